"""`make bench`: the main job measured as whole processes, beside a plain join of the same files in the same run.

Prints a Markdown table; `--save` writes it to docs/evidence/benchmarks.md. Times move from machine to machine: compare
the ratios. The peers' figures are those of their own runs on the machine named, not of this one.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

COMMAND = str(Path(sys.executable).with_name("cleanroom"))
EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence" / "benchmarks.md"
Row = tuple[str, str, str, str]


def files(folder: Path, rows: int) -> tuple[str, str]:
    """Two CSV files of `rows` made-up phones each, half of them in both."""
    draw = np.random.default_rng(rows)
    phones = (draw.choice(9 * 10**8, rows + rows // 2, replace=False) + 13_000_000_000).astype(str)
    paths = []
    for name, part in (("merchant", phones[:rows]), ("platform", phones[rows // 2 :])):
        path = folder / f"{name}-{rows}.csv"
        columns = {
            "phone": pa.array(part.tolist()),
            "level": pa.array(draw.choice(["gold", "silver", "plain"], rows).tolist()),
            "city": pa.array(draw.choice(["Shanghai", "Beijing", "Hangzhou", "Chengdu"], rows).tolist()),
            "spend": pa.array(draw.gamma(2, 150, rows).round(2)),
            "visits": pa.array(draw.poisson(3, rows)),
        }
        pa.csv.write_csv(pa.table(columns), path)
        paths.append(str(path))
    return paths[0], paths[1]


def timed(work: Callable[[], object], times: int) -> tuple[float, list[object]]:
    """(median seconds, what each run gave)."""
    seconds, given = [], []
    for _ in range(times):
        start = time.perf_counter()
        given.append(work())
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), given


def command(*words: str) -> dict[str, object]:
    """A command's JSON."""
    done = subprocess.run([COMMAND, *words, "--json"], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def plain_join(merchant: str, users: str, out: Path) -> float:
    """Seconds of DuckDB joining the two plain files into a third, in a process of its own: the limit, no privacy."""
    sql = f"COPY (SELECT b.* FROM read_csv('{users}') b JOIN read_csv('{merchant}') a USING (phone)) TO '{out}'"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import duckdb; duckdb.execute({sql!r})"], check=True)
    return time.perf_counter() - start


def overlap(folder: Path, protocol: str, rows: int, target: str, peer: str, times: int) -> Row:
    """CSV in, members out."""
    merchant, users = files(folder, rows)
    out = folder / "members.csv"
    words = ("overlap", merchant, users, "--protocol", protocol, "--members", str(out))
    seconds, given = timed(lambda: command(*words), times)
    limit = statistics.median(plain_join(merchant, users, folder / "plain.csv") for _ in range(times))
    last = given[-1]
    if not isinstance(last, dict) or last["overlap"]["value"] != rows // 2:
        raise SystemExit("the overlap is wrong")
    memory = max(last["peak_memory"].values()) >> 20
    wire = last["wire_bytes"] / 2 / rows
    figure = f"{seconds:.1f} s, {memory} MB a process at most, {wire:.0f} B an item"
    return (f"`{protocol}` {rows:,} × {rows:,}, CSV → members", figure, target,
            f"{seconds / limit:.1f} × plain DuckDB join ({limit:.2f} s); {peer}")  # fmt: skip


def doctor(folder: Path, rows: int, times: int) -> Row:
    """One file examined."""
    merchant, _ = files(folder, rows)
    seconds, _ = timed(lambda: command("data", "doctor", merchant), times)
    return f"doctor, {rows:,} CSV rows", f"{seconds:.1f} s", "≤ 3 s", "–"


def help_time(times: int) -> Row:
    """`cleanroom --help`."""
    seconds, _ = timed(lambda: subprocess.run([COMMAND, "--help"], capture_output=True, check=True), times)
    return "`cleanroom --help`", f"{seconds:.2f} s", "≤ 0.4 s", "–"


def main() -> None:
    """Run everything."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=3, help="runs of each, of which the median counts")
    options.add_argument("--save", action="store_true", help="write docs/evidence/benchmarks.md")
    given = options.parse_args()
    peers = "SecretFlow RR22 4.3 s, its ECDH with a sound hash to the curve 348 s (their runs, another machine)"
    slower = "OpenMined PSI 29.9 s (its run, another machine, one thread)"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            help_time(max(5, given.times)),
            overlap(folder, "keyed", 20_000, "≤ 3 s", "a first match", given.times),
            overlap(folder, "keyed", 1_000_000, "≤ 4 s, ≤ 400 MB", peers, given.times),
            overlap(folder, "dh", 100_000, "≤ 16 s", slower, 1),
            doctor(folder, 1_000_000, given.times),
        ]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    lines = [
        f"{machine}, load {os.getloadavg()[0]:.1f}",
        "",
        "| what | measured (median) | target | beside |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if given.save:
        EVIDENCE.write_text("# Benchmarks\n\n`make bench` wrote this.\n\n" + text, "utf-8")


if __name__ == "__main__":
    main()
