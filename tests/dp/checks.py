"""The noise itself: its scale, its shape, its support, its independence, and what is said with it."""

import math
from dataclasses import dataclass

import numpy as np
import scipy

from cleanroom.privacy import accounting, noise
from dp import exact
from dp.judge import bounds
from dp.mechanisms import Numbers, fresh


@dataclass(frozen=True)
class Check:
    """What was measured, beside what it should be."""

    name: str
    measured: str
    expected: str
    held: bool


def scale(drawn: Numbers, sigma: int, alpha: float) -> Check:
    """Mean and standard deviation; a tail of the normal distribution bounds how far either may be off."""
    far = scipy.stats.norm.isf(alpha / 4)
    mean, deviation = float(drawn.mean()), float(drawn.std())
    room = far * sigma / math.sqrt(len(drawn)), far * sigma / math.sqrt(2 * len(drawn))
    held = abs(mean) < room[0] and abs(deviation - sigma) < room[1]
    return Check(f"scale, sigma {sigma}", f"mean {mean:+.4f}, deviation {deviation:.4f}",
                 f"0 ± {room[0]:.4f}, {sigma} ± {room[1]:.4f}", held)  # fmt: skip


def shape(drawn: Numbers, sigma: int, alpha: float) -> Check:
    """A chi-square test against the exact chances; numbers that are expected fewer than 20 times are taken together."""
    reach, chances = exact.distribution(sigma)
    expected = chances * len(drawn)
    seen = np.bincount(drawn + reach, minlength=len(chances)).astype(np.float64)
    common = expected >= 20
    cells = [np.append(values[common], values[~common].sum()) for values in (seen, expected)]
    p = float(scipy.stats.chisquare(cells[0], cells[1] * cells[0].sum() / cells[1].sum()).pvalue)
    return Check(f"shape, sigma {sigma}", f"chi-square over {len(cells[0])} cells, p = {p:.2g}", f"p > {alpha:.0g}",
                 p > alpha)  # fmt: skip


def support(drawn: Numbers, name: str, alpha: float) -> Check:
    """D1: of large noise the eight lowest bits are all equally likely; floating point leaves them at zero."""
    p = float(scipy.stats.chisquare(np.bincount(drawn & 255, minlength=256)).pvalue)
    return Check(f"low bits, {name}", f"chi-square over 256 cells, p = {p:.2g}", f"p > {alpha:.0g}", p > alpha)


def independence(one: Numbers, other: Numbers, name: str, alpha: float) -> Check:
    """Noise of two numbers: correlation, which the normal approximation bounds."""
    r = float(np.corrcoef(one, other)[0, 1])
    room = scipy.stats.norm.isf(alpha / 2) / math.sqrt(len(one))
    return Check(f"correlation, {name}", f"{r:+.5f}", f"0 ± {room:.5f}", abs(r) < room)


def coverage(drawn: Numbers, sigma: int, draws: int, alpha: float) -> Check:
    """How often the noise is within the width that is shown: as often as the distribution says, and 95 % at least."""
    width = accounting.half_width(sigma, draws)
    inside = np.abs(drawn) <= width
    low, high = (float(end[0]) for end in bounds(np.array([inside.sum()]), len(drawn), alpha))
    # above, the discrete and the normal distribution differ by nothing that can be measured
    normal = math.erf(width / sigma / math.sqrt(2 * draws))
    chance = exact.within(width, sigma, draws) if sigma <= noise.MOST_SIGMA else normal
    held = low <= chance <= high and chance >= accounting.CONFIDENCE - 1e-9
    name = f"± {width}, sigma {sigma}" if sigma <= noise.MOST_SIGMA else f"width shown, sigma 2^{math.log2(sigma):.0f}"
    return Check(f"{name}, {draws} drawn", f"{inside.mean():.4%}",
                 f"{chance:.4%}, seen within {low:.4%} to {high:.4%}", held)  # fmt: skip


def singletons(drawn: Numbers, sigma: int, k: int = 50) -> Check:
    """D3: a key of one person, at the least k; the exact chance that it is shown, and how often it was."""
    least = accounting.threshold(k, sigma)
    chance, seen = exact.at_least(least - 1, sigma), int((1 + drawn >= least).sum())
    return Check(f"singleton shown, k {k}, sigma {sigma}", f"{seen} of {len(drawn):,}",
                 f"chance {chance:.1e}, at most 1e-6", seen == 0 and chance <= 1e-6)  # fmt: skip


def likeliest_singleton(k: int) -> Check:
    """D3 over the sigmas and numbers of parties that can be asked: the largest exact chance."""
    chance, sigma, draws = max(
        (exact.at_least(accounting.threshold(k, sigma, draws) - 1, sigma, draws), sigma, draws)
        for sigma in (noise.LEAST_SIGMA, 10, noise.DEFAULT_SIGMA, 50, 100, 200, 500, noise.MOST_SIGMA)
        for draws in (1, 2)
    )
    return Check(f"singleton shown, k {k}, any sigma", f"likeliest at sigma {sigma}, {draws} drawn",
                 f"chance {chance:.1e}, at most 1e-6", chance <= 1e-6)  # fmt: skip


def rounded_floats(rows: int) -> Numbers:
    """What a sampler in floating point would give: must fail `support`."""
    return np.rint(np.random.default_rng(1).normal(size=rows) * LARGE).astype(np.int64)


LARGE = 2**59
"""A scale at which floating-point numbers are 64 apart."""


def large(rows: int) -> Numbers:
    """Noise of the largest scales."""
    return fresh(LARGE, rows)
