"""Parts of a run in an object store: a real S3 server over HTTP, which the driver and executors write and read."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cleanroom.cluster.settings import ClusterSettings
from cleanroom.enclave import spark, tables
from cleanroom.enclave.query import PEOPLE, Query
from cleanroom.errors import BadData
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


def test_a_part_that_vanished_from_the_store_is_no_smaller_count(settings: ClusterSettings) -> None:
    with pytest.raises(BadData, match="missing or damaged"), spark.start(settings) as engine:
        load(engine, "m", TOKENS[:600])
        load(engine, "p", TOKENS[300:])
        place = store(settings.staging)
        place.remove(next(name for name in place.names() if "/rows-1-0-" in name))
        engine.match("m", "p")
