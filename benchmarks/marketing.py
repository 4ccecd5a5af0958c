"""What marketers wait for: an overview board, a crowd by rule, a portrait, a lookalike; on made-up cells in memory.

    python -m benchmarks.marketing          | tee docs/evidence/marketing.md

Median of five, after one that is not counted. Reading and decrypting a version's cells the first time is not in it.
"""

import datetime as dt
import os
import statistics
import time
from collections.abc import Callable

import duckdb
import numpy as np
import pyarrow as pa

from cleanroom.crowds import lookalike, selecting
from cleanroom.crowds.selection import Within
from cleanroom.insight import portraits, registry
from cleanroom.insight.counting import count
from cleanroom.insight.metric import View
from cleanroom.insight.tables import Tables, wanted
from cleanroom.plan.cube import Cube, tables
from connectors.private_domain.columns import CATEGORIES

ROWS, RUNS = 10_000_000, 5


def timed(work: Callable[[], object]) -> float:
    """Seconds, the median."""
    work()
    found = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def row(what: str, seconds: float, target: str, beside: str = "–") -> None:
    """One line of the table."""
    print(f"| {what} | **{seconds:.2f} s** | {target} | {beside} |", flush=True)


def overview(random: np.random.Generator) -> None:
    """All tables of a full board in one pass, and every metric of it; DuckDB's GROUP BYs beside."""
    sizes = {each.name: len(each.labels) + 2 for each in CATEGORIES}
    columns = {name: random.integers(0, size, ROWS, dtype=np.uint8) for name, size in sizes.items()}
    board, _ = wanted(dict.fromkeys(sizes, "category"))
    board = tuple(tuple(sorted(each)) for each in board)
    seconds = timed(lambda: count(columns, sizes, board, ROWS))
    table = pa.table({name: pa.array(codes) for name, codes in columns.items()})
    connection = duckdb.connect()
    connection.register("users", table)

    def grouped() -> None:
        for each in board:
            by = ", ".join(f'"{name}"' for name in each)
            connection.execute(f"SELECT count(*) FROM users{f' GROUP BY {by}' if by else ''}").fetchall()

    start = time.perf_counter()
    grouped()
    plain = time.perf_counter() - start
    row(
        f"overview board: {ROWS:,} users, {len(board)} tables, exact",
        seconds,
        "≤ 2 s",
        f"DuckDB, a GROUP BY a table: {plain:.1f} s, {plain / seconds:.1f} ×",
    )
    labels = {each.name: (*each.labels, "other", "unknown") for each in CATEGORIES}
    counts = dict(zip(board, count(columns, sizes, board, ROWS), strict=True))
    exact = Tables("users", dt.date(2026, 11, 21), labels, counts, {}, {}, 0, 100, 100, "", "", "bench")
    row("all metrics of that board", timed(lambda: registry.computed(View(exact), list(registry.REGISTRY))), "–")


def crowd(random: np.random.Generator) -> None:
    """One owner's part of a rule of four conditions."""
    codes = [random.integers(0, 12, ROWS, dtype=np.int64) for _ in range(4)]
    parts = [Within(f"users.c{at}", tuple(range(at, at + 5))) for at in range(4)]

    def chosen() -> int:
        found = np.ones(ROWS, np.bool_)
        for own, part in zip(codes, parts, strict=True):
            found &= selecting._in_cells(own, part.cells)
        return int(found.sum())

    row(f"crowd by rule: four conditions over {ROWS:,} rows, an owner's part", timed(chosen), "≤ 1 s + gate")


def portrait(random: np.random.Generator) -> None:
    """Twenty keys of a segment from a plan."""
    labels = {f"users.k{at:02}": tuple(f"v{cell}" for cell in range(8)) for at in range(21)}
    counts = {each: random.integers(100, 90_000, [8] * len(each)) if each else np.array(9_000_000)
              for each in tables(list(labels))}  # fmt: skip
    cube = Cube("bench", "0" * 64, dt.datetime(2026, 11, 22, tzinfo=dt.UTC), 36, 100, labels, counts,
                dict.fromkeys(counts, 1), "0" * 64)  # fmt: skip
    segment = ((("users.k20", (1, 2)),),)
    keys = [f"users.k{at:02}" for at in range(20)]
    row("portrait with 20 keys, TGI and intervals", timed(lambda: portraits.of_plan(cube, keys, segment)), "≤ 2 s")


def like(random: np.random.Generator) -> None:
    """Fit, rank and choose."""
    users, seed = 1_000_000, 6_000
    columns = {f"f{at:02}": random.integers(0, 6, users, dtype=np.uint8) for at in range(30)}
    weights = [random.normal(0, 0.5, 6) for _ in columns]
    propensity = sum(own[codes] for own, codes in zip(weights, columns.values(), strict=True))
    chosen = np.argsort(-(propensity + random.gumbel(0, 1, users)))[:seed]
    noised = {name: np.bincount(codes[chosen], minlength=6) + np.rint(random.normal(0, 20, 6)).astype(np.int64)
              for name, codes in columns.items()}  # fmt: skip

    def made() -> None:
        model = lookalike.fit(columns, dict.fromkeys(columns, 6), noised, seed, 20)
        lookalike.choose(lookalike.rank(model, columns), 100_000)

    row("lookalike: 1,000,000 users × 30 features, fitted, ranked, chosen", timed(made), "≤ 20 s")


def main() -> None:
    """The table."""
    random = np.random.default_rng(1)
    print(
        f"# What marketers wait for\n\n{dt.date.today()}, {os.cpu_count()} cores; `python -m benchmarks.marketing`.\n"
    )
    print("| work | measured (median of 5) | target | beside, in the same run |\n|---|---|---|---|")
    overview(random)
    crowd(random)
    portrait(random)
    like(random)


if __name__ == "__main__":
    main()
