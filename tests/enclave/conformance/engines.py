"""The engines under one name each, and what is done with any of them: load, match, ask, compare.

Whoever compares knows no engine: what comes back must be equal to the judge's answer in values, types and order.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom.cluster.settings import ClusterSettings
from cleanroom.enclave import handle
from cleanroom.enclave.duck import DuckEngine
from cleanroom.enclave.query import Groups, Query
from tests.enclave.conformance import judge
from tests.enclave.conformance.judge import World

SECONDS = 120.0
Opened = Callable[..., AbstractContextManager[Any]]
"""`seconds`: the most that a match or a query may take."""


class InProcess:
    """DuckDB's engine with the methods that a party calls, without the enclave's process."""

    def __init__(self, seconds: float) -> None:
        self._engine = engine = DuckEngine(256 << 20, 2, seconds)
        self.load, self.load_matched, self.drop_tokens = engine.load, engine.load_matched, engine.drop
        self.match, self.matched_positions, self.subtractable = engine.match, engine.positions, engine.subtractable

    def run(self, query: Query, public_keys: Mapping[str, int] | None = None) -> Groups:
        """As `handle.Enclave.run`."""
        return self._engine.run(query, public_keys or {})


@contextmanager
def duckdb(seconds: float = SECONDS) -> Iterator[InProcess]:
    """DuckDB in this process."""
    yield InProcess(seconds)


def enclave(seconds: float = SECONDS) -> AbstractContextManager[Any]:
    """DuckDB in the enclave's process, as parties have it."""
    return handle.start(memory=256 << 20, threads=2, seconds=seconds)


@contextmanager
def spark(seconds: float = SECONDS, settings: ClusterSettings | None = None) -> Iterator[Any]:
    """Spark: with these settings, or on two cores of this machine."""
    from cleanroom.enclave import spark as distributed

    with (
        cluster() if settings is None else nullcontext(settings) as chosen,
        distributed.start(chosen, seconds=seconds) as engine,
    ):
        yield engine


@contextmanager
def cluster(**more: Any) -> Iterator[ClusterSettings]:
    """Two cores of this machine, with a staging folder and an executor key of its own; `more` goes over it."""
    from cleanroom.cluster import executor_keys

    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        key = Path(folder) / "executor.key"
        executor_keys.make(key)
        chosen = {"staging": f"{folder}/staging", "executor_key": str(key), "buckets": 4, "memory_mb": 1024}
        yield ClusterSettings(**{**chosen, **more})


ENGINES: Mapping[str, Opened] = {"DuckDB": duckdb, "DuckDB, the enclave's process": enclave, "Spark": spark}


@dataclass(frozen=True)
class Case:
    """One comparison: of which shape, what the engine gave and what it should have given."""

    shape: str
    found: object
    expected: object


def load(engine: Any, world: World) -> None:
    """All rows of the world, in its batches."""
    for name, table in world.datasets.items():
        if world.matched_already:
            engine.load_matched(table.schema, iter(table.to_batches(world.batch)))
        else:
            engine.load(name, table.schema, iter(table.to_batches(world.batch)))


def cases(opened: Opened, world: World) -> Iterator[Case]:
    """Everything that is asked about the world, each beside the judge's answer."""
    with opened() as engine:
        load(engine, world)
        people = judge.persons(world)
        if not world.matched_already:
            left_out = np.frombuffer(bytearray(b"".join(world.dropped)), np.uint8).reshape(-1, 16)
            yield Case("canaries left out", engine.drop_tokens(left_out), judge.dropped(world))
            found = engine.match(*world.datasets, addressed=world.addressed)
            yield Case(world.shape, found, len(people))
        for each in world.located:
            found = engine.matched_positions(each.dataset, each.where).to_pylist()
            yield Case(each.shape, found, judge.positions(world, each))
        for asked in world.asked:
            answer = engine.run(asked.query, world.moduli)
            expected = judge.groups(world, people, asked.query)
            yield Case(asked.shape, plain(answer.table, answer.ciphertexts), plain(*expected))
        for sub in world.subtracted:
            found = engine.subtractable(sub.query, sub.earlier, sub.k)
            yield Case(sub.shape, found, judge.subtractable(people, sub))


def plain(table: Any, ciphertexts: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """An answer as it is compared: names and types of the columns, all values in order, all ciphertexts."""
    kinds = [(each.name, str(each.type)) for each in table.schema]
    return (
        kinds,
        [list(row.values()) for row in table.to_pylist()],
        {of: each.tobytes() for of, each in ciphertexts.items()},
    )
