"""A lookalike's model: who of a platform's users is like a seed that the platform knows only by noised numbers.

The seed comes as its noised size and one noised histogram a column; the users' own columns are the platform's. A
logistic regression needs no more: with a coefficient a cell its likelihood knows the seed only by how many people it
has in each cell (Cox, 'The regression analysis of binary sequences', 1958: the sufficient statistics). So the model is
what a regression on the seed's true list would be, but for the noise, and nobody is named to it.

Everything here is arithmetic on what its caller has: no file, no budget, no list of people of the other side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cleanroom.errors import Refused, UsageError

LEAST_SEED = 1_000
"""People of a seed, by its noised size."""
MOST_FIT = 1_000_000
"""Users that the coefficients are fitted to: of more, so many drawn at random. That adds at most a few percent to the
error that the seed's own size leaves, as long as the seed is a small part of the users."""
_SAMPLE = 50_000
"""Users from whom a first model and the curvature are taken."""
_JOINT = 4_096
"""Cells of columns that are looked up together."""
_SEED = 20_220_801
"""Of the draws above: the same inputs give the same model."""
_TOLERANCE = 1e-9

Codes = NDArray[np.integer]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Model:
    """A logistic regression by cells. weights: for every column float64[cells]; people: the seed's size that it was
    fitted to, put together from all noised numbers; users: how many it was fitted against; steps: of the solver."""

    weights: Mapping[str, Floats]
    intercept: float
    people: float
    users: int
    steps: int


def fit(columns: Mapping[str, Codes], cells: Mapping[str, int], seed: Mapping[str, NDArray[np.int64]], seed_size: int,
        sigma: float) -> Model:  # fmt: skip
    """The model of a seed among users.

    columns: of all n users the cell, 0 ≤ code < cells (uint8 saves memory); seed: of the same columns the noised number
    of the seed's people in each cell, int64[cells]; sigma: standard deviation of the noise in each of these numbers.
    Raises Refused for a seed below LEAST_SEED, UsageError for tables that do not belong together.
    """
    _check(columns, cells, seed)
    if seed_size < LEAST_SEED:
        raise Refused("The seed has fewer than {least} people, by its noised size.", "Take a wider seed.",
                      least=LEAST_SEED)  # fmt: skip
    users = len(next(iter(columns.values())))
    people = _people(seed, seed_size, users)
    known = {name: np.bincount(columns[name], minlength=cells[name]).astype(np.float64) for name in columns}
    targets = {name: _within(seed[name].astype(np.float64), known[name], people) for name in columns}
    names = sorted(columns)
    target = np.concatenate([targets[name] for name in names])
    expected = np.concatenate([known[name] for name in names]) * people / users * (1 - people / users)
    ridge = 1 + sigma**2 / np.maximum(expected, 1.0)
    problem = _Problem([cells[name] for name in names], target, people, ridge, users)
    found, steps = problem.solved([np.asarray(columns[name]) for name in names])
    parts = np.split(found[:-1], np.cumsum([cells[name] for name in names])[:-1])
    return Model(dict(zip(names, parts, strict=True)), float(found[-1]), people, users, steps)


def rank(model: Model, columns: Mapping[str, Codes]) -> Floats:
    """How like the seed every user is: log-odds, float64[n]."""
    names = sorted(model.weights)
    blocks = _Blocks([len(model.weights[name]) for name in names])
    weights = np.concatenate([model.weights[name] for name in names])
    return model.intercept + blocks.scores(blocks.joint([np.asarray(columns[name]) for name in names]), weights)


def choose(scores: Floats, size: int, *, without: NDArray[np.int64] | None = None,
           first: NDArray[np.int64] | None = None, draw: int = _SEED) -> NDArray[np.int64]:  # fmt: skip
    """The `size` users that are most like the seed, fewer only where there are fewer: ascending rows, int64.

    without: rows that are left out; first: rows that are in whatever their score, as far as there is room, the most
    like first. Among equals the draw decides, so that the order of rows tells nothing. Raises UsageError for no size.
    """
    if size < 1:
        raise UsageError("A crowd has at least one person.")
    value = scores.copy()
    if first is not None:
        value[first] += 1 + np.ptp(scores)
    kept = np.ones(len(scores), np.bool_)
    if without is not None:
        kept[without] = False
    rows = np.flatnonzero(kept)
    if size >= len(rows):
        return rows
    value = value[rows]
    edge = np.partition(value, len(value) - size)[len(value) - size]
    above, equal = rows[value > edge], rows[value == edge]
    drawn = np.random.default_rng(draw).permutation(equal)[: size - len(above)]
    return np.sort(np.concatenate([above, drawn]))


def deciles(scores: Floats, draw: int = _SEED) -> NDArray[np.uint8]:
    """The tenth of the users in which each stands, 0 the most like the seed: uint8[n]. Equals are drawn."""
    mixed = np.random.default_rng(draw).permutation(len(scores))
    order = mixed[np.argsort(-scores[mixed], kind="stable")]
    found = np.empty(len(scores), np.uint8)
    found[order] = np.arange(len(scores)) * 10 // max(len(scores), 1)
    return found


class _Blocks:
    """Columns in blocks of few joint cells: a look-up a block, where one a column costs three times as much."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = list(sizes)
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        self._blocks: list[list[int]] = []
        cells = _JOINT + 1
        for at, size in enumerate(sizes):
            if cells * size > _JOINT:
                self._blocks.append([])
                cells = 1
            self._blocks[-1].append(at)
            cells *= size

    def joint(self, codes: Sequence[Codes]) -> list[NDArray[np.intp]]:
        """The joint cell of every user, an array a block."""
        return [self._joined(block, codes) for block in self._blocks]

    def _joined(self, block: Sequence[int], codes: Sequence[Codes]) -> NDArray[np.intp]:
        found = np.zeros(len(codes[0]), np.intp)
        for at in block:
            found *= self._sizes[at]
            found += codes[at]
        return found

    def scores(self, joint: Sequence[NDArray[np.intp]], weights: Floats) -> Floats:
        """The sum of the weights of every user's cells."""
        found = np.zeros(len(joint[0]))
        for block, code in zip(self._blocks, joint, strict=True):
            table = np.zeros(())
            for at in block:
                table = np.add.outer(table, weights[self._starts[at] : self._starts[at + 1]])
            found += table.ravel()[code]
        return found

    def sums(self, joint: Sequence[NDArray[np.intp]], values: Floats) -> Floats:
        """Of every column's every cell the sum of its users' values."""
        parts: list[Floats] = []
        for block, code in zip(self._blocks, joint, strict=True):
            shape = [self._sizes[at] for at in block]
            table = np.bincount(code, values, int(np.prod(shape))).reshape(shape)
            parts += [table.sum(axis=tuple(axis for axis in range(len(shape)) if axis != own))
                      for own in range(len(shape))]  # fmt: skip
        return np.concatenate(parts)


class _Problem:
    """The penalised likelihood: target · θ + people · b − Σ over users log(1 + exp(θ·x + b)) − ½ Σ ridge θ².

    The penalty of a coefficient is that of the usual regression (scikit-learn's C = 1), and more where the noise is
    large beside the people that are to be expected in the cell: the best linear estimate from a noised count is drawn
    towards "like everybody" by that factor.
    """

    def __init__(self, sizes: Sequence[int], target: Floats, people: float, ridge: Floats, users: int) -> None:
        self._blocks, self._sizes, self._users = _Blocks(sizes), list(sizes), users
        self._wanted = np.append(target, people)
        self._ridge = np.append(ridge, 0.0)

    def solved(self, codes: Sequence[Codes]) -> tuple[Floats, int]:
        """θ and b in one array, and the solver's steps: first to a sample, then, from there, to all."""
        share = self._wanted[-1] / self._users
        found = np.zeros(len(self._wanted))
        found[-1] = np.log(share / (1 - share))
        draw = np.random.default_rng(_SEED)
        most = _drawn(codes, MOST_FIT, draw)
        few = _drawn(most, _SAMPLE, draw)
        steps = 0
        for rows in (few, most):
            found, more = self._minimised(found, self._blocks.joint(rows), self._curvature(found, few))
            steps += more
        return found, steps

    def _curvature(self, at: Floats, few: Sequence[Codes]) -> Floats:
        """The lower Cholesky factor of the second derivative, estimated from a sample: float64[p, p]."""
        from scipy import sparse, special

        rows, width = len(few[0]), len(few)
        starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        cells = np.stack([np.asarray(code, np.int64) + start for code, start in zip(few, starts, strict=True)], axis=1)
        cells = np.column_stack([cells, np.full(rows, len(at) - 1)])
        shape = (rows, len(at))
        hot = sparse.csr_array((np.ones(cells.size), cells.ravel(), np.arange(0, cells.size + 1, width + 1)), shape)
        share = special.expit(hot @ at)
        weighted = hot.multiply((share * (1 - share) * self._users / rows)[:, None]).tocsr()
        second = (hot.T @ weighted).toarray() + np.diag(self._ridge)
        return np.linalg.cholesky(second + 1e-9 * np.trace(second) / len(at) * np.eye(len(at)))

    def _minimised(self, begin: Floats, joint: Sequence[NDArray[np.intp]], factor: Floats) -> tuple[Floats, int]:
        """From `begin` to the minimum of the loss over these users, in coordinates in which it is nearly round."""
        from scipy import linalg, optimize, special

        scale = self._users / len(joint[0])

        def loss(moved: Floats) -> tuple[float, Floats]:
            at = linalg.solve_triangular(factor, moved, lower=True, trans="T")
            scores = self._blocks.scores(joint, at[:-1]) + at[-1]
            share = special.expit(scores)
            value = scale * -special.log_expit(-scores).sum() - self._wanted @ at + 0.5 * (self._ridge * at) @ at
            pull = scale * np.append(self._blocks.sums(joint, share), share.sum()) - self._wanted + self._ridge * at
            return value / self._users, linalg.solve_triangular(factor, pull, lower=True) / self._users

        options = {"maxiter": 200, "ftol": 1e-15, "gtol": _TOLERANCE * np.sqrt(self._wanted[-1]) / self._users * 1e3}
        found = optimize.minimize(loss, factor.T @ begin, jac=True, method="L-BFGS-B", options=options)
        return linalg.solve_triangular(factor, found.x, lower=True, trans="T"), int(found.nit)


def _drawn(codes: Sequence[Codes], most: int, draw: np.random.Generator) -> Sequence[Codes]:
    """So many users at random, all where they are no more."""
    users = len(codes[0])
    if users <= most:
        return codes
    rows = np.sort(draw.choice(users, most, replace=False, shuffle=False))
    return [code[rows] for code in codes]


def _people(seed: Mapping[str, NDArray[np.int64]], seed_size: int, users: int) -> float:
    """The seed's size: the mean of what the size and every histogram's total say, by the inverse of their variances."""
    said = [(float(seed_size), 1.0), *((float(counts.sum()), 1 / len(counts)) for counts in seed.values())]
    mean = sum(value * weight for value, weight in said) / sum(weight for _, weight in said)
    return float(np.clip(mean, 1.0, users - 1.0))


def _within(noised: Floats, most: Floats, total: float) -> Floats:
    """The numbers nearest to the noised ones that sum to `total`, none below 0 or above the users in its cell."""
    low, high = float((-noised).min()), float((most - noised).max())
    for _ in range(100):
        middle = (low + high) / 2
        if np.clip(noised + middle, 0, most).sum() < total:
            low = middle
        else:
            high = middle
    return np.clip(noised + high, 0, most)


def _check(columns: Mapping[str, Codes], cells: Mapping[str, int], seed: Mapping[str, NDArray[np.int64]]) -> None:
    if not columns or not columns.keys() == cells.keys() == seed.keys():
        raise UsageError("A lookalike needs the seed's table of every column, and a column of every table.")
    lengths = {len(each) for each in columns.values()}
    if len(lengths) != 1 or min(lengths) < 2:
        raise UsageError("A lookalike needs the columns of at least two users.")
    for name, codes in columns.items():
        if len(seed[name]) != cells[name] or not 0 <= int(codes.min()) <= int(codes.max()) < cells[name]:
            raise UsageError("The cells of {column} are not those of the seed's table.", column=name)
