"""Parts of a run in an object store: a real S3 server over HTTP, which the driver and executors write and read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import made_rows
import numpy as np
import pyarrow as pa
import pytest
import requests

from cleanroom.cluster.settings import ClusterSettings
from cleanroom.enclave import spark, tables
from cleanroom.enclave.query import PEOPLE, Query
from cleanroom.errors import BadData, Refused
from cleanroom.stores import store
from tests.s3_server import address

TOKENS = np.random.default_rng(4).integers(0, 256, (900, 16), dtype=np.uint8)


@pytest.fixture
def settings(spark_session: Any, spark_settings: ClusterSettings, s3: str) -> ClusterSettings:
    return replace(spark_settings, staging=address(s3))


def load(engine: Any, dataset: str, tokens: np.ndarray) -> None:
    schema = pa.schema({"token": tables.TOKEN_TYPE, f"{dataset}.half": pa.int64()})
    half = pa.array(np.arange(len(tokens)) % 2)
    engine.load(dataset, schema, [pa.record_batch([tables.as_binary(tokens), half], schema=schema)])


def test_a_match_counts_right_and_leaves_nothing_behind(settings: ClusterSettings) -> None:
    with spark.start(settings) as engine:
        load(engine, "m", TOKENS[:600])
        load(engine, "p", TOKENS[300:])
        assert engine.match("m", "p") == 300
        table = engine.run(Query(("m.half",))).table
        assert table.column(PEOPLE).to_pylist() == [150, 150]
        assert store(settings.staging).names()
    assert not store(settings.staging).names()


def test_a_store_that_lets_nobody_in_is_named_and_ends_no_run_that_is_answered(tmp_path: Path, s3: str) -> None:
    """It is not told as damage; and what cannot be removed afterwards opens to nobody."""
    parts = replace(made_rows.parts(tmp_path), uri=address(s3))
    table = pa.table({"number": range(9)})
    with parts.write("one", table.schema) as writer:
        writer.add(table.to_batches()[0])
        writer.close()
    requests.post(f"{s3}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        for look in (lambda: list(parts.read("one")), lambda: parts.schema("one"), lambda: parts.stands("one")):
            with pytest.raises(Refused, match="does not let this user in"):
                look()
        parts.remove()
    finally:
        requests.post(f"{s3}/moto-api/reset-auth", data=b"inf", timeout=10)
    assert parts.stands("one") and not parts.stands("two")
    parts.remove()
    assert not parts.names()


def test_a_part_that_vanished_from_the_store_is_no_smaller_count(settings: ClusterSettings) -> None:
    with pytest.raises(BadData, match="missing or damaged"), spark.start(settings) as engine:
        load(engine, "m", TOKENS[:600])
        load(engine, "p", TOKENS[300:])
        place = store(settings.staging)
        place.remove(next(name for name in place.names() if "/rows-1-0-" in name))
        engine.match("m", "p")
