"""All of the audit: 500 pairs of neighbours x 20,000 draws a mechanism; `make test-dp`.

    python -m dp [file to save to] [--quick]

Exit code 1 where a claim is contradicted, a check fails, or a fault is not caught. A sound product fails once in a
million runs.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from cleanroom import machine
from dp import checks
from dp.audit import SIGMAS, Map, Result, audit, bank
from dp.faults import FAULTS
from dp.mechanisms import MECHANISMS, Numbers

PAIRS, TRIALS = 500, 20_000
FAULTY_PAIRS = 40
ALPHA = 1e-6
_PARTS = 40
"""Into how many the chance of a false alarm is divided: more than there are mechanisms and checks."""
_ROW = "{:<38} {:>12} {:>21} {:>21}  {}"
_CHECK = "{:<46} {:<42} {:<44} {}"


def rows_of(results: dict[str, Result], *, wanted: bool) -> Iterator[str]:
    """A line a mechanism: for each sigma the epsilon surely needed at delta 1e-6, beside the claimed one."""
    yield _ROW.format("", "contradicted", "epsilon, sigma 20", "epsilon, sigma 5", "")
    for name, result in results.items():
        needed = [f"{result.pooled[s].epsilon:.3f} of {result.claimed(s):.3f}" for s in SIGMAS]
        said = ("caught" if wanted else "CONTRADICTED") if result.caught else ("NOT CAUGHT" if wanted else "held")
        yield _ROW.format(name, f"{result.contradicted} of {result.pairs}", *needed, said)


def all_checks(noise: Numbers, alpha: float) -> list[checks.Check]:
    """Everything in `checks`, on the noise of the audit and some more."""
    rows = noise.shape[1]
    found = []
    for place, sigma in enumerate(SIGMAS):
        drawn = noise[place :: len(SIGMAS)]
        flat = drawn.ravel()
        found += [
            checks.scale(flat, sigma, alpha),
            checks.shape(flat, sigma, alpha),
            checks.independence(flat[:-1], flat[1:], f"draw and next, sigma {sigma}", alpha),
            checks.independence(flat, np.roll(drawn, 1, axis=0).ravel(), f"two columns, sigma {sigma}", alpha),
            checks.coverage(flat, sigma, 1, alpha),
            checks.coverage((drawn + np.roll(drawn, 1, axis=0))[::2].ravel(), sigma, 2, alpha),
            checks.singletons(flat, sigma),
        ]
    largest = checks.large(5 * rows)
    found += [checks.coverage(largest, checks.LARGE, 1, alpha), checks.support(largest, "sigma 2^59", alpha)]
    return [*found, *(checks.likeliest_singleton(k) for k in (50, 100))]


def report(pairs: int, trials: int, over: Map) -> Iterator[tuple[str, bool]]:
    """Lines, each with whether all is well."""
    alpha, start, here = ALPHA / _PARTS, time.monotonic(), machine.here()
    yield (
        f"{pairs} pairs of neighbours x {trials:,} draws a mechanism; a false alarm once in {1 / ALPHA:,.0f} runs",
        True,
    )
    yield f"OpenDP {version('opendp')}, {here.name}, {here.cores} cores, {datetime.now(UTC):%Y-%m-%d}", True
    noise = bank(pairs, trials, over)
    columns = {"count and clamped sum": 2}
    sound = {name: audit(m, noise, alpha, columns.get(name, 1), over) for name, m in MECHANISMS.items()}
    yield "\nReleases: the epsilon at delta 1e-6 that is surely needed, of the claimed one", True
    yield from ((line, True) for line in rows_of(sound, wanted=False))
    faulty = {name: audit(fault, noise[:FAULTY_PAIRS], alpha, 1, over) for name, fault in FAULTS.items()}
    yield "\nFaults, put in on purpose", True
    yield from ((line, True) for line in rows_of(faulty, wanted=True))
    floats = checks.support(checks.rounded_floats(5 * trials), "rounded floats, put in on purpose", alpha)
    yield "\nThe noise itself", True
    for check in all_checks(noise, alpha):
        yield _CHECK.format(check.name, check.measured, check.expected, "held" if check.held else "FAILED"), check.held
    yield _CHECK.format(floats.name, floats.measured, floats.expected, "NOT CAUGHT" if floats.held else "caught"), True
    well = not (floats.held or any(r.caught for r in sound.values())) and all(r.caught for r in faulty.values())
    yield f"\n{time.monotonic() - start:,.0f} s", well


def main(arguments: list[str]) -> int:
    """Print the report, save it where a file is named; 1 where something is not well."""
    quick = "--quick" in arguments
    files = [Path(argument) for argument in arguments if not argument.startswith("--")]
    text, well = "", True
    with ProcessPoolExecutor() as pool:
        for line, fine in report(*((20, 5_000) if quick else (PAIRS, TRIALS)), pool.map):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            text, well = text + line + "\n", well and fine
    for file in files:
        file.write_text(text, "utf-8")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
