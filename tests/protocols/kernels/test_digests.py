"""SHA-256 over Arrow's own memory: whatever the column's type, offsets and chunks, as hashlib on each text."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.identity import digests as identities
from protocols.kernels import digests

TYPES = [
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.binary(), pa.large_binary(), pa.binary_view()),
]
TEXTS = ["x" * length for length in range(201)] + ["é中𝄞" * 7, "13800138000", "", "y" * 5_000, "\0\x80"]


def wanted(column) -> list[bytes]:
    texts = column.cast(pa.large_binary()).to_pylist()
    return [hashlib.sha256(text).digest() for text in texts]


def found(column, width: int = 32) -> list[bytes]:
    rows = digests.sha256(column, width)
    assert rows.shape == (len(column), width)
    return [row.tobytes() for row in rows]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_every_length_and_type(kind):
    column = pa.array(TEXTS).cast(kind)
    assert found(column) == wanted(column)
    for start, count in ((1, 7), (3, 190), (len(TEXTS) - 1, 1), (5, 0)):
        part = column.slice(start, count)
        assert found(part) == wanted(part)


def test_text_at_the_very_end_of_its_memory():
    """Nothing beyond a buffer is read into a digest: bytes after a text may be anything."""
    for length in range(70):
        data = pa.py_buffer(bytes(range(length)))
        offsets = pa.py_buffer(np.array([0, length], np.int32))
        column = pa.BinaryArray.from_buffers(pa.binary(), 1, [None, offsets, data])
        assert found(column) == [hashlib.sha256(bytes(range(length))).digest()]
        tail = pa.py_buffer(bytes(range(length)) + b"\xff" * 70)
        assert found(pa.BinaryArray.from_buffers(pa.binary(), 1, [None, offsets, tail])) == found(column)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.one_of(st.text(max_size=30), st.text(min_size=50, max_size=70)), max_size=20), max_size=5))
def test_chunks(parts):
    column = pa.chunked_array([pa.array(part, pa.string()) for part in parts], pa.string())
    assert found(column) == wanted(column)


def test_threads_meet_where_chunks_do_not():
    texts = [str(number) for number in range(20_001)]
    column = pa.chunked_array([texts[:5], texts[5:9_000], texts[9_000:]])
    assert found(column) == wanted(column)


def test_half_a_digest():
    assert found(pa.array(TEXTS), 16) == [digest[:16] for digest in wanted(pa.array(TEXTS))]
    with pytest.raises(ValueError, match="16 or 32"):
        digests.sha256(pa.array(TEXTS), 20)


def test_nulls_have_no_digest():
    """Pitfall 11: equal placeholders for nulls would match each other."""
    for column in (pa.array(["a", None]), pa.chunked_array([["a"], [None]])):
        with pytest.raises(ValueError, match="leave nulls out"):
            digests.sha256(column)
        assert found(column.drop_null()) == [hashlib.sha256(b"a").digest()]


def test_what_is_no_text_is_refused():
    for column in (pa.array([1, 2]), pa.array(["a"]).dictionary_encode()):
        with pytest.raises(TypeError, match="not"):
            digests.sha256(column)


def test_identities_may_be_hashed_by_it():
    texts = pa.array(TEXTS)
    by_duckdb = identities.sha256(texts)
    calls = []
    identities.set_sha256(lambda column: calls.append(len(column)) or digests.sha256(column))
    try:
        assert (identities.sha256(texts) == by_duckdb).all()
    finally:
        identities.set_sha256(None)
    assert calls == [len(texts)]
    assert (identities.sha256(texts) == by_duckdb).all()
