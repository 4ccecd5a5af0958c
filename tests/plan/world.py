"""Made-up matches: people whose columns hang together through a hidden class, and the cubes a run would release."""

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cleanroom.plan import cube
from cleanroom.plan.consistency import Names
from cleanroom.plan.cube import Cube

MADE = dt.datetime(2026, 11, 22, 2, 30, tzinfo=dt.UTC)
LABELS = {
    "crm.tier": ("gold", "silver", "basic", "other", "unknown"),
    "crm.visits": ("0", "1–3", "4–9", "10+"),
    "users.city": ("一线", "二线", "三线", "other", "unknown"),
}

Codes = Mapping[str, NDArray[np.int64]]
Counts = dict[Names, NDArray[np.int64]]


def people(
    rng: np.random.Generator, sizes: Mapping[str, int], count: int, classes: int = 5
) -> dict[str, NDArray[np.int64]]:
    """count persons' cells by column."""
    hidden = rng.integers(classes, size=count)
    found = {}
    for name, size in sizes.items():
        limits = np.cumsum(rng.dirichlet(np.full(size, 0.7), classes), axis=1)
        found[name] = np.minimum((rng.random(count)[:, None] > limits[hidden]).sum(axis=1), size - 1)
    return found


def counted(codes: Codes, sizes: Mapping[str, int], columns: Sequence[str] | None = None) -> Counts:
    """The true tables."""
    found = {}
    for table in cube.tables(list(sizes) if columns is None else columns):
        shape = tuple(sizes[name] for name in table)
        flat = (
            np.ravel_multi_index(tuple(codes[name] for name in table), shape)
            if table
            else 0 * next(iter(codes.values()))
        )
        found[table] = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)
    return found


def noised(rng: np.random.Generator, true: Counts, sigma: float, draws: Mapping[Names, int] | None = None) -> Counts:
    """The tables with normal noise rounded to whole persons, which from sigma 5 on is as the discrete one."""
    scale = {table: sigma * (draws[table] if draws else 1) ** 0.5 for table in true}
    return {table: counts + np.rint(rng.normal(0, scale[table], counts.shape)).astype(np.int64)
            for table, counts in true.items()}  # fmt: skip


def made(
    counts: Counts, labels: Mapping[str, tuple[str, ...]], sigma: int = 20, *, k: int = 100, when: dt.datetime = MADE
) -> Cube:
    """A cube of one draw of noise a table."""
    return Cube("demo", "ab" * 32, when, sigma, k, labels, counts, dict.fromkeys(counts, 1), "cd" * 32)


def small(seed: int = 1, sigma: int = 20, count: int = 20_000) -> tuple[Cube, Counts, dict[str, NDArray[np.int64]]]:
    """(a cube over `LABELS`, its true tables, the people)."""
    rng = np.random.default_rng(seed)
    sizes = {name: len(labels) for name, labels in LABELS.items()}
    codes = people(rng, sizes, count)
    true = counted(codes, sizes)
    return made(noised(rng, true, sigma), LABELS, sigma), true, codes
