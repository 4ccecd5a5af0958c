"""Whether a cluster can do what a room asks of it, tried with a thousand made-up people."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom import engines
from cleanroom.enclave import spark, tables
from cleanroom.enclave.query import PEOPLE, Query
from cleanroom.errors import Interrupted
from cleanroom.node import config

_PEOPLE = 1_000


def checked(home: Path) -> dict[str, Any]:
    """What a home's cluster is, and how long a first small match takes. Raises the error of what does not fit."""
    settings = engines.of_cluster(config.load(home))
    started = time.perf_counter()
    with spark.start(settings) as engine:
        up = time.perf_counter()
        tokens = np.random.default_rng(0).integers(0, 256, (_PEOPLE, 16), dtype=np.uint8)
        for dataset in ("a", "b"):
            schema = pa.schema({tables.TOKEN: tables.TOKEN_TYPE, f"{dataset}.half": pa.int64()})
            half = tables.as_array(np.arange(_PEOPLE) % 2)
            engine.load(dataset, schema, [pa.record_batch([tables.as_binary(tokens), half], schema=schema)])
        engine.match("a", "b")
        people = engine.run(Query(("a.half", "b.half"))).table.column(PEOPLE).to_pylist()
        if people != [_PEOPLE // 2, _PEOPLE // 2]:
            raise Interrupted("The cluster counts wrong.", "Do not use it; and report it.")
        done = time.perf_counter()
        versions = engine.versions()
    return {
        "master": settings.master, "staging": settings.staging, "buckets": settings.buckets, **versions,
        "start_seconds": round(up - started, 1), "match_seconds": round(done - up, 1),
    }  # fmt: skip
