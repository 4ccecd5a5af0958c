"""Batch SHA-512 is hashlib's, for every length at which blocks and padding change; so is expand_message_xmd on it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_words import IntWord

from protocols import hashing, labels
from protocols.hashing import expand_message_xmd
from protocols.kernels import sha512

EXPAND = json.loads((Path(__file__).parents[2] / "vectors" / "expand_message_xmd_SHA512_38.json").read_text())


def reference(prefix: bytes, rows: np.ndarray, suffix: bytes) -> list[bytes]:
    return [hashlib.sha512(prefix + row.tobytes() + suffix).digest() for row in rows]


@settings(max_examples=25, deadline=None)
@given(
    st.one_of(st.integers(0, 300), st.sampled_from([127, 128, 129, 256])),
    st.one_of(st.integers(0, 300), st.sampled_from([111, 112, 127, 128])),
    st.integers(0, 150),
    st.integers(0, 20),
)
def test_any_lengths_and_numbers(before, width, after, count):
    random = np.random.default_rng(before * width + after)
    prefix, suffix = random.bytes(before), random.bytes(after)
    rows = random.integers(0, 256, (count, width), dtype=np.uint8)
    digests = sha512.digest_rows(prefix, rows, suffix)
    assert digests.shape == (count, 64)
    assert [digest.tobytes() for digest in digests] == reference(prefix, rows, suffix)


def test_many_rows_in_chunks_and_threads(monkeypatch):
    monkeypatch.setattr(sha512, "LEAST_ROWS", 1000)
    monkeypatch.setattr(sha512, "_CHUNK", 512)
    monkeypatch.setattr("protocols.kernels.threads.cores", lambda: 3)
    rows = np.random.default_rng(1).integers(0, 256, (5003, 33), dtype=np.uint8)[:, 1:]
    assert [row.tobytes() for row in sha512.digest_rows(b"p", rows, b"s")] == reference(b"p", rows, b"s")


def test_constants_and_one_block_on_integers():
    """FIPS 180-4's constants, and the emitted formulas on Python integers, on "abc"."""
    assert (sha512.CONSTANTS[0], sha512.CONSTANTS[79]) == (0x428A2F98D728AE22, 0x6C44198C4A475817)
    assert (sha512.INITIAL[0], sha512.INITIAL[7]) == (0x6A09E667F3BCC908, 0x5BE0CD19137E2179)
    block = b"abc\x80".ljust(120, b"\0") + (24).to_bytes(8, "big")
    w = [IntWord(int.from_bytes(block[at : at + 8], "big"), strict=False) for at in range(0, 128, 8)]
    state = before = [IntWord(number, strict=False) for number in sha512.INITIAL]
    for start in range(0, 80, 16):
        for word, constant in zip(w, sha512.CONSTANTS[start : start + 16], strict=True):
            state = sha512.round_of(state, word + constant)
        w = sha512.next_schedule(w)
    digest = b"".join((x + y).value.to_bytes(8, "big") for x, y in zip(before, state, strict=True))
    assert digest == hashlib.sha512(b"abc").digest()


@pytest.mark.parametrize("test", EXPAND["tests"], ids=lambda test: f"{len(test['msg'])}-{test['len_in_bytes']}")
def test_expand_message_on_the_kernel(test):
    message = np.frombuffer(test["msg"].encode(), np.uint8).reshape(1, -1)
    many = np.repeat(message, hashing._LEAST_ROWS, axis=0)
    expanded = expand_message_xmd(many, EXPAND["DST"].encode(), int(test["len_in_bytes"], 16))
    assert {row.tobytes().hex() for row in expanded} == {test["uniform_bytes"]}


def test_few_rows_and_many_have_the_same_tags():
    outputs = np.random.default_rng(2).integers(0, 256, (hashing.FEW_ROWS + 1, 32), dtype=np.uint8)
    many = labels.derive(b"s" * 32, outputs)
    few = labels.derive(b"s" * 32, outputs[:5])
    assert all((a[:5] == b).all() for a, b in zip(many, few, strict=True))
