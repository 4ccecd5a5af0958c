"""How an engine grows: one size a call, checked against what is known: `python -m benchmarks.growth --engine spark
--rows 10e6`. --save appends to docs/evidence/growth.json and renews growth.md.

Two datasets of N rows have half of their people in common. Rows are made as they are sent, in batches, as owners of a
neutral room send them: tokens ascending, categories as 8-byte tokens of values, an amount. The groups that must come
out are counted beside the engine, from the rule by which rows are made. --kill ends a worker in the middle, twice.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.family import Killer, Watch
from benchmarks.processes import Failed
from cleanroom import machine
from cleanroom.enclave import handle, tables
from cleanroom.enclave.query import PEOPLE, Groups, Query
from cleanroom.files import write_bytes
from protocols.psi import keyed

EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence"
BATCH = 1 << 17
CATEGORIES = {"m.tier": 5, "m.channel": 8, "p.city": 30}
SIDES = {"m": ("m.tier", "m.channel", "m.amount"), "p": ("p.city",)}
AMOUNT = 1000
SALTS = {name: np.uint64(at + 1) for at, name in enumerate((*CATEGORIES, "m.amount", "low", "high"))}
ROOM_KEY = bytes(range(32))
HANDED_OVER = "spark-handover"
Numbers = NDArray[np.uint64]


# -- made-up rows


def hashed(ids: Numbers, salt: str) -> Numbers:
    """A number for each id, by splitmix64."""
    with np.errstate(over="ignore"):
        x = (ids + SALTS[salt] * np.uint64(1 << 40)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


def ids_of(side: str, places: NDArray[np.int64]) -> Numbers:
    """Who the rows are: of three people the first is ours, the second of both, the third theirs."""
    return (3 * (places // 2) + places % 2 + (side == "p")).astype(np.uint64)


def tokens(ids: Numbers, people: int) -> pa.Array:
    """16 bytes each, ascending with the ids, spread evenly."""
    step = np.uint64((1 << 64) // people)
    words = np.empty((len(ids), 2), ">u8")
    words[:, 0], words[:, 1] = ids * step + hashed(ids, "high") % step, hashed(ids, "low")
    return tables.as_binary(words.view(np.uint8).reshape(-1, 16))


def values(name: str) -> NDArray[np.uint8]:
    """uint8[values, 8]: the tokens that stand for a category's values."""
    return keyed.value_tokens(ROOM_KEY, name, np.arange(CATEGORIES[name]))


def column(name: str, ids: Numbers) -> pa.Array:
    """The values of these people."""
    if name == "m.amount":
        return tables.as_array((hashed(ids, name) % np.uint64(AMOUNT)).astype(np.int64))
    return tables.as_binary(values(name)[hashed(ids, name) % np.uint64(CATEGORIES[name])])


def schema(side: str) -> pa.Schema:
    """A dataset's columns."""
    kinds = {name: pa.int64() if name == "m.amount" else pa.binary(8) for name in SIDES[side]}
    return pa.schema({tables.TOKEN: tables.TOKEN_TYPE} | kinds)


def rows(side: str, many: int, told: dict[str, float]) -> Iterator[pa.RecordBatch]:
    """The dataset; told: gathers the seconds that making it took."""
    for start in range(0, many, BATCH):
        began = time.perf_counter()
        ids = ids_of(side, np.arange(start, min(start + BATCH, many)))
        made = [tokens(ids, 3 * many // 2 + 3), *(column(name, ids) for name in SIDES[side])]
        batch = pa.record_batch(made, schema=schema(side))
        told["made"] = told.get("made", 0.0) + time.perf_counter() - began
        yield batch


def questions(engine: str) -> tuple[Query, ...]:
    """All; by two categories; by three, of the people in any of two boxes; with sums of plain amounts where an engine
    is given any."""
    sums = () if engine == HANDED_OVER else ("m.amount",)
    tier, city = (tuple(value.tobytes().hex() for value in values(name)[:2]) for name in ("m.tier", "p.city"))
    return (
        Query((), sums),
        Query(("m.tier", "p.city")),
        Query(tuple(CATEGORIES), sums, ((("m.tier", tier),), (("p.city", city),))),
    )


def known(many: int) -> list[dict[tuple[bytes, ...], tuple[int, ...]]]:
    """The groups of each question: (people, sum), by the values."""
    sizes = tuple(CATEGORIES.values())
    people, amount = np.zeros(sizes, np.int64), np.zeros(sizes, np.int64)
    for start in range(0, many // 2, 8 * BATCH):
        ids = 3 * np.arange(start, min(start + 8 * BATCH, many // 2)).astype(np.uint64) + np.uint64(1)
        cells = [(hashed(ids, name) % np.uint64(size)).astype(np.int64) for name, size in CATEGORIES.items()]
        flat = np.ravel_multi_index(cells, sizes)
        people += np.bincount(flat, minlength=people.size).reshape(sizes)
        sums = np.bincount(
            flat, weights=(hashed(ids, "m.amount") % np.uint64(AMOUNT)).astype(float), minlength=people.size
        )
        amount += sums.astype(np.int64).reshape(sizes)
    chosen = np.zeros(sizes, np.bool_)
    chosen[:2] = chosen[:, :, :2] = True
    named = [[value.tobytes() for value in values(name)] for name in CATEGORIES]
    return [
        {(): (int(people.sum()), int(amount.sum()))},
        {(named[0][a], named[2][c]): (int(people[a, :, c].sum()),) for a in range(5) for c in range(30)},
        {tuple(names[at] for names, at in zip(named, place, strict=True)): (int(people[place]), int(amount[place]))
         for place in map(tuple, np.argwhere(chosen & (people > 0)).tolist())},
    ]  # fmt: skip


def check(engine: str, many: int, size: int, answers: list[Groups]) -> None:
    """Raises Failed where anything that came out is not what is known."""
    if size != many // 2:
        raise Failed(f"{size:,} people instead of {many // 2:,}")
    for query, answer, expected in zip(questions(engine), answers, known(many), strict=True):
        found = {
            tuple(row[name] for name in query.by): tuple(row[name] for name in (PEOPLE, *query.sums))
            for row in answer.table.to_pylist()
        }
        wanted = {group: counts[: 1 + len(query.sums)] for group, counts in expected.items()}
        if found != {group: counts for group, counts in wanted.items() if counts[0] or not query.by}:
            raise Failed(f"the groups by {query.by} are not those that were made")


# -- one run


def measured(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run: seconds and processor seconds by stage, memory, bytes; its answers are right, or Failed is raised."""
    many, told, stages, cpu = int(given.rows) // 2 * 2, {}, {}, {}
    killer, opened = Killer(given.kill), ENGINES[given.engine](given, folder)
    with Watch() as watch:

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            began, before = time.perf_counter(), watch.cpu
            yield
            stages[name] = round(time.perf_counter() - began, 3)
            cpu[name] = round(watch.cpu - before, 2)

        with stage("start"):
            engine = opened.__enter__()
        try:
            with stage("load"):
                for side in SIDES:
                    sent = many if given.engine == HANDED_OVER else rows(side, many, told)
                    engine.load(side, schema(side), sent)
            with stage("match"), killer.during("match"):
                size = engine.match("m", "p")
            staged = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            answers = []
            for number, query in enumerate(questions(given.engine), 1):
                with stage(f"run {number}"), killer.during(f"run {number}"):
                    answers.append(engine.run(query, {}))
        finally:
            opened.__exit__(None, None, None)
    check(given.engine, many, size, answers)
    here = machine.here()
    return {
        "engine": given.engine, "rows": many, "matched": size, "cores": given.cores, "seconds": stages, "cpu": cpu,
        "made": round(told.get("made", 0.0), 3), "peak": watch.peak, "peaks": watch.own_peak, "staged": staged,
        "kill": given.kill, "killed": killer.killed, "machine": f"{here.name}, {here.cores} cores",
        "day": dt.date.today().isoformat(), "load": round(os.getloadavg()[0], 1), "memory": given.memory,
        "buckets": given.buckets,
    }  # fmt: skip


def duckdb(given: argparse.Namespace, _: Path) -> AbstractContextManager[Any]:
    """The enclave's process."""
    return handle.start(memory=given.memory << 20, threads=given.cores, seconds=given.seconds)


@contextmanager
def cluster(given: argparse.Namespace, folder: Path) -> Iterator[tuple[Any, Any]]:
    """This machine as a cluster, with its parts in `folder`: the engine and its settings."""
    from cleanroom.cluster import executor_keys
    from cleanroom.cluster.settings import ClusterSettings
    from cleanroom.enclave import spark as distributed

    with tempfile.TemporaryDirectory(prefix="key-") as name:
        key = Path(name) / "executor.key"
        executor_keys.make(key)
        master = given.master or f"local[{given.cores},4]"
        settings = ClusterSettings(
            master=master, staging=str(folder / "staging"), executor_key=str(key), buckets=given.buckets,
            memory_mb=given.memory, handover=str(folder / "handover"), options=tuple(given.option),
        )  # fmt: skip
        with _work_removed(), distributed.start(settings, seconds=given.seconds) as engine:
            yield engine, settings


@contextmanager
def spark(given: argparse.Namespace, folder: Path) -> Iterator[Any]:
    """A cluster that is fed by one process."""
    with cluster(given, folder) as (engine, _):
        yield engine


def handed_over(given: argparse.Namespace, folder: Path) -> AbstractContextManager[Any]:
    """A cluster that reads what owners' clusters left."""
    from benchmarks import handed_over

    return handed_over.engine(given, folder)


@contextmanager
def _work_removed() -> Iterator[None]:
    """What local-cluster's executors leave in Spark's own folder is gone afterwards."""
    import pyspark.sql

    work = Path(pyspark.__file__).parent / "work"
    before = work.exists()
    try:
        yield
    finally:
        if (known := pyspark.sql.SparkSession.getActiveSession()) is not None:
            known.stop()
        if not before:
            shutil.rmtree(work, ignore_errors=True)


ENGINES: Mapping[str, Callable[[argparse.Namespace, Path], AbstractContextManager[Any]]] = {
    "duckdb": duckdb, "spark": spark, HANDED_OVER: handed_over
}  # fmt: skip


def save(row: Mapping[str, Any]) -> None:
    """Append the run to growth.json, in place of one of the same engine, size and kill; renew growth.md."""
    path = EVIDENCE / "growth.json"
    before = json.loads(path.read_text("utf-8")) if path.exists() else []
    same = ("engine", "rows", "kill", "cores")
    kept = [each for each in before if any(each[name] != row[name] for name in same)]
    kept = sorted([*kept, row], key=lambda each: [each[name] for name in same])
    write_bytes(path, (json.dumps(kept, ensure_ascii=False, indent=1) + "\n").encode())
    write_bytes(EVIDENCE / "growth.md", markdown(kept).encode())


def markdown(runs: list[dict[str, Any]]) -> str:
    """The runs as a page."""
    lines = [
        "# Growth", "",
        "`python -m benchmarks.growth --engine ENGINE --rows N [--kill worker] --save`, a size a call: two datasets of",
        "N rows, half of their people in common, three categories and an amount; load, match, three questions. Every",
        "answer was compared with the groups that were made. Memory is of all processes together (proportional set",
        "size); `load` holds the making of the rows, which `made` is of it; CPU is of all processes and stages.", "",
        "| engine | rows a side | start | load | made | match | questions | CPU | memory | staged | ended | day |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for run in runs:
        seconds = run["seconds"]
        asked = sum(value for name, value in seconds.items() if name.startswith("run"))
        killed = ", ".join(f"{run['kill']} in {stage}" for stage in run["killed"]) or (
            "nothing" if run["kill"] else "–"
        )
        lines.append(
            f"| {run['engine']}, {run['cores']} cores | {run['rows']:,} | {seconds['start']:.1f} s | "
            f"{seconds['load']:.1f} s | {run['made']:.1f} s | {seconds['match']:.1f} s | {asked:.1f} s | "
            f"{sum(run['cpu'].values()):.0f} | {run['peak'] / 1e9:.2f} GB | {run['staged'] / 1e9:.2f} GB | {killed} | "
            f"{run['day']} |"
        )
    return "\n".join([*lines, "", *sorted({f"Machine: {run['machine']}." for run in runs}), ""])


def main() -> None:
    """Measure one size."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=sorted(ENGINES), required=True)
    options.add_argument("--rows", type=float, required=True, help="of a side, as in 10e6")
    options.add_argument(
        "--kill", choices=["", "worker", "executor"], default="", help="end one in the middle, with -9"
    )
    options.add_argument("--cores", type=int, default=2)
    options.add_argument("--memory", type=int, default=2048, help="MB: of the enclave, or of each of Spark's JVMs")
    options.add_argument("--master", default="", help="of Spark, instead of local[CORES,4]")
    options.add_argument("--option", action="append", default=[], help="of Spark, as key=value; may stand again")
    options.add_argument("--buckets", type=int, default=32)
    options.add_argument(
        "--staging", type=Path, default=None, help="a folder for encrypted parts; else a temporary one"
    )
    options.add_argument("--seconds", type=float, default=7200.0, help="the most that a match or a question may take")
    options.add_argument("--save", action="store_true", help="into docs/evidence")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="growth-", dir=given.staging) as folder:
        row = measured(given, Path(folder))
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    if given.save:
        save(row)


if __name__ == "__main__":
    main()
