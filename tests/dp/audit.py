"""One mechanism over many pairs of neighbours: each pair judged alone, and all pairs of a sigma together.

A mean over pairs of P(S) and of P'(S) obeys the same inequality as each pair, and the sum of unlike trials is no
further from its mean than that of like ones (Hoeffding 1956), so that pooled counts are judged as one pair's.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cleanroom.privacy import accounting
from dp.judge import SHOWN_DELTA, Claim, Counts, Verdict, count, judge
from dp.mechanisms import Draws, Mechanism, Numbers, fresh

SIGMAS = (20, 5)
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Result:
    """pairs: how many; contradicted: of those, how many; pooled: the verdict on all pairs of each sigma."""

    pairs: int
    contradicted: int
    pooled: dict[int, Verdict]
    columns: int

    @property
    def caught(self) -> bool:
        """Whether the claim is false."""
        return self.contradicted > 0 or any(verdict.contradicted for verdict in self.pooled.values())

    def claimed(self, sigma: int) -> float:
        """The epsilon at delta 1e-6 that is claimed for `sigma`."""
        return accounting.epsilon(accounting.rho_micro(sigma, self.columns), SHOWN_DELTA)


def bank(pairs: int, trials: int, over: Map = map) -> Numbers:
    """Noise int64[pairs, trials]; row i has the sigma of pair i."""
    return np.stack(list(over(partial(fresh, rows=trials), [SIGMAS[pair % len(SIGMAS)] for pair in range(pairs)])))


def draws_of(noise: Numbers) -> Iterator[Draws]:
    """For each pair its row, and as noise of another column or party the row of another pair of the same sigma."""
    pairs, trials = noise.shape
    other = max(len(SIGMAS), pairs // 2 // len(SIGMAS) * len(SIGMAS))
    for pair in range(pairs):
        sigma = SIGMAS[pair % len(SIGMAS)]
        yield Draws(pair, sigma, noise[pair], noise[(pair + other) % pairs], partial(fresh, rows=trials))


@dataclass(frozen=True)
class Seen:
    """What a pair showed: how often each event among releases of the one and of the other, and what is claimed."""

    sigma: int
    hits: Counts
    others: Counts
    claim: Claim


def one_pair(mechanism: Mechanism, draws: Draws) -> Seen:
    """Release both of a pair with all draws. The pair is the same in every run; only noise is by chance."""
    case = mechanism(np.random.default_rng(draws.pair), draws)
    return Seen(draws.sigma, count(case.seen, case.edges), count(case.others, case.edges), case.claim)


def audit(mechanism: Mechanism, noise: Numbers, alpha: float, columns: int = 1, over: Map = map) -> Result:
    """Judge `mechanism`; a sound one is called false with probability alpha at most.

    `noise`: of `bank`; `columns`: how many are charged for; `over`: maps pairs, in processes where there are some.
    """
    pairs, trials = noise.shape
    seen = list(over(partial(one_pair, mechanism), draws_of(noise)))
    alone = [judge(pair.hits, pair.others, trials, pair.claim, alpha / 2 / pairs) for pair in seen]
    pooled = {}
    for sigma in SIGMAS:
        of_sigma = [pair for pair in seen if pair.sigma == sigma]
        hits, others = sum(pair.hits for pair in of_sigma), sum(pair.others for pair in of_sigma)
        claim = Claim(of_sigma[0].claim.rho, max(pair.claim.beside for pair in of_sigma))
        pooled[sigma] = judge(hits, others, trials * len(of_sigma), claim, alpha / 2 / len(SIGMAS))
    return Result(pairs, sum(verdict.contradicted for verdict in alone), pooled, columns)
