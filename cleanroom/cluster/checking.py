"""Whether a cluster can do what a room asks of it, tried with a thousand made-up people."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom import engines
from cleanroom.cluster import errors, session, stages, staging
from cleanroom.cluster.handover import Place
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.tokenising import shown_part
from cleanroom.enclave import spark, tables
from cleanroom.enclave.query import PEOPLE, Query
from cleanroom.errors import Interrupted, Refused, UsageError
from cleanroom.node import config

_PEOPLE = 1_000
_TRIAL, _ROW = "trial", pa.schema({"trial": pa.int64()})


def checked(home: Path) -> dict[str, Any]:
    """What a home's cluster is, and how long a first small match takes. Raises the error of what does not fit."""
    node = config.load(home)
    settings, reads_only = engines.of_cluster(node), node.role == "enclave"
    started = time.perf_counter()
    with spark.start(settings) as engine, _place(settings, reads_only) as place:
        up = time.perf_counter()
        engine.load("a", *_dataset("a"))
        if place is None:
            engine.load("b", *_dataset("b"))
        else:
            engine.take(staging.stage(place, 1, "b", *_dataset("b"), settings.buckets))
        engine.match("a", "b")
        people = engine.run(Query(("a.half", "b.half"))).table.column(PEOPLE).to_pylist()
        if people != [_PEOPLE // 2, _PEOPLE // 2]:
            raise Interrupted("The cluster counts wrong.", "Do not use it; and report it.")
        done = time.perf_counter()
        versions = engine.versions()
    return {
        "master": settings.master, "staging": settings.staging, "handover": settings.handover,
        "buckets": settings.buckets, **versions, "start_seconds": round(up - started, 1),
        "match_seconds": round(done - up, 1),
    }  # fmt: skip


def _dataset(name: str) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    tokens = np.random.default_rng(0).integers(0, 256, (_PEOPLE, 16), dtype=np.uint8)
    schema = pa.schema({tables.TOKEN: tables.TOKEN_TYPE, f"{name}.half": pa.int64()})
    half = tables.as_array(np.arange(_PEOPLE) % 2)
    return schema, [pa.record_batch([tables.as_binary(tokens), half], schema=schema)]


@contextmanager
def _place(settings: ClusterSettings, reads_only: bool) -> Iterator[Parts | None]:
    """Where owners would leave rows, if they do; empty again afterwards. reads_only: of an operator, which may not have
    leave to write there; that it is let in is tried."""
    if not settings.handover:
        yield None
        return
    parts = Place.new(settings).parts
    if reads_only:
        parts.stands(shown_part(0))
        _by_executor(settings, functools.partial(_look, parts))
        yield None
        return
    try:
        _by_executor(settings, functools.partial(_leave, parts))
        if not parts.stands(_TRIAL):
            raise UsageError("What an executor wrote is not there for this node.",
                             "A folder must be one that all of them share; else use s3://.")  # fmt: skip
        yield parts
    finally:
        parts.remove()
    if parts.names():
        raise Refused("What was written for a trial cannot be removed.", "Let this node list and delete there.")


def _by_executor(
    settings: ClusterSettings, task: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
) -> None:
    """What this node is let do at the place, its executors may not be: one tries. Raises its named error."""
    spark = session.started(settings)
    frame = spark.range(0, 1, 1, 1).mapInArrow(errors.named(task), "id long")
    stages.watched(spark, frame.collect, _TRIAL, 1, lambda *_: None)


def _leave(parts: Parts, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    with parts.write(_TRIAL, _ROW) as writer:
        writer.add(pa.record_batch([pa.array([1], pa.int64())], schema=_ROW))
        writer.close()
    yield from batches


def _look(parts: Parts, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    parts.stands(shown_part(0))
    yield from batches
