"""A platform's tags made on a cluster: the table of one machine, and only what is new is ever evaluated again."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_rows import InProcess, Made, digest_of, drawn, parts, quiet, settings

from cleanroom.cluster import oprf_tables
from cleanroom.cluster.oprf_tables import OwnTags, StoredTable, Terms
from protocols import canary
from protocols.errors import ProtocolError
from protocols.oprf import tables
from protocols.oprf.keys import Epoch, Key

KEY = Key(b"r" * 32, 3, b"k" * 32)
EPOCH = Epoch(3, KEY.public, 1000, 200)
TERMS = Terms(KEY, EPOCH, bytes(range(50, 82)), "sender", 32)
FIRST = drawn(200, 2, 120)
LATER = Made((FIRST.rows[0], tuple((person, "tin", 1) for person in range(300, 310)), ((None, None, None),)))


def evaluated(spark, folder: Path, source: Made = FIRST, earlier: OwnTags | None = None, terms: Terms = TERMS,
              count: int = 3) -> OwnTags:  # fmt: skip
    given = settings(folder, count)
    return oprf_tables.evaluate(spark, given, parts(folder), source, terms, 200, quiet, earlier=earlier)


def table(spark, folder: Path, own: OwnTags) -> StoredTable:
    return oprf_tables.table(spark, settings(folder, 3), parts(folder), own, TERMS, quiet)


def items(source: Made) -> np.ndarray:
    content = b"".join(digest_of(person) for _, person, _, _ in source.merged())
    return np.frombuffer(content, np.uint8).reshape(-1, 32)


def alone(source: Made) -> tuple[tables.TagTable, np.ndarray]:
    drawn_canaries = canary.draw(TERMS.canaries, "sender", 32)
    return tables.precompute(KEY, EPOCH, items(source), None, canaries=drawn_canaries)


def test_the_table_is_that_of_one_machine(spark_session, tmp_path):
    own = evaluated(spark_session, tmp_path)
    found, (expected, tags) = table(spark_session, tmp_path, own), alone(FIRST)
    assert found.whole().to_arrow().equals(expected.to_arrow())
    assert found.fingerprint == expected.fingerprint
    assert (found.rows, own.rows, own.evaluated) == (len(expected), len(tags), len(tags))
    asked = np.concatenate([tags[:7], np.zeros((1, EPOCH.tag_bytes), np.uint8)])
    assert found.find(asked).tolist() == expected.find(asked).tolist()
    rows = pa.Table.from_batches(found.batches())
    assert rows.equals(pa.Table.from_batches([expected.to_batch()]))
    assert sum(len(found.bucket(number)) for number in range(3)) == found.rows


def test_a_later_version_evaluates_what_is_new_only(tmp_path):
    """Who stayed has its tag from before, also where there are more buckets now; who went is gone."""
    own = evaluated(InProcess(), tmp_path)
    later = evaluated(InProcess(), tmp_path, LATER, own, count=5)
    assert later.evaluated == 10
    assert later.rows == len(LATER.merged()) < own.rows + 10
    assert table(InProcess(), tmp_path, later).whole().to_arrow().equals(alone(LATER)[0].to_arrow())


def test_tags_of_another_epoch_are_no_use(tmp_path):
    own = evaluated(InProcess(), tmp_path, Made(((),)))
    key = KEY.rotated()
    epoch = Epoch(4, key.public, 1000, 200)
    with pytest.raises(ProtocolError, match="another key epoch"):
        evaluated(InProcess(), tmp_path, earlier=own, terms=Terms(key, epoch, TERMS.canaries, "sender", 32))
    with pytest.raises(ProtocolError, match="not the one of this epoch"):
        Terms(key, EPOCH, TERMS.canaries, "sender", 32)


def test_more_persons_than_the_epoch_allows_are_refused(tmp_path):
    few = Terms(KEY, Epoch(3, KEY.public, 5, 200), TERMS.canaries, "sender", 32)
    source = Made((tuple((person, None, None) for person in range(6)),))
    with pytest.raises(ProtocolError, match="6 rows are more than the 5"):
        evaluated(InProcess(), tmp_path, source, terms=few)
