"""ristretto255 and its hash against RFC 9496, 9380 and 9497; what is not an element is refused (attack C1)."""

import json
from pathlib import Path

import numpy as np
import pytest

from protocols.errors import BadMessage
from protocols.group import Libsodium, backend
from protocols.hashing import expand_message_xmd

VECTORS = Path(__file__).parent.parent / "vectors"
RISTRETTO = json.loads((VECTORS / "rfc9496_ristretto255.json").read_text())
EXPAND = json.loads((VECTORS / "expand_message_xmd_SHA512_38.json").read_text())
OPRF = [
    suite
    for suite in json.loads((VECTORS / "rfc9497_voprf.json").read_text())
    if suite["identifier"] == "ristretto255-SHA512" and suite["mode"] < 2
]
GENERATOR = bytes.fromhex(RISTRETTO["generator_multiples"][1]["encoding"])
GROUP = backend()


def rows(*contents: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(contents), np.uint8).reshape(len(contents), -1)


@pytest.mark.parametrize("multiple", RISTRETTO["generator_multiples"][1:], ids=lambda m: str(m["k"]))
def test_multiples_of_the_generator(multiple):
    product = GROUP.multiply(multiple["k"].to_bytes(32, "little"), rows(GENERATOR))
    assert product.tobytes().hex() == multiple["encoding"]


@pytest.mark.parametrize(
    "bad", RISTRETTO["bad_encodings"] + RISTRETTO["bad_encodings_extra"] + [{"encoding": "00" * 32}]
)
def test_bad_encodings_and_zero_are_refused_anywhere_in_a_batch(bad):
    points = rows(*[GENERATOR] * 2, bytes.fromhex(bad["encoding"]), GENERATOR)
    with pytest.raises(BadMessage):
        GROUP.multiply(GROUP.random_scalar(), points)


def test_an_element_with_its_highest_bit_set_is_refused():
    """It is not canonical (RFC 9496, 4.3.1), though libsodium before 1.0.20 takes it."""
    point = bytearray(GENERATOR)
    point[31] |= 0x80
    with pytest.raises(BadMessage):
        GROUP.multiply(GROUP.random_scalar(), rows(bytes(point)))


@pytest.mark.parametrize("row", RISTRETTO["uniform_bytes_to_element"], ids=lambda row: row["encoding"][:8])
def test_elements_from_uniform_bytes(row):
    element = Libsodium().from_uniform(rows(bytes.fromhex(row["uniform_bytes"])))
    assert element.tobytes().hex() == row["encoding"]


@pytest.mark.parametrize("test", EXPAND["tests"], ids=lambda test: f"{len(test['msg'])}-{test['len_in_bytes']}")
def test_expand_message(test):
    message = np.frombuffer(test["msg"].encode(), np.uint8).reshape(1, -1)
    expanded = expand_message_xmd(message, EXPAND["DST"].encode(), int(test["len_in_bytes"], 16))
    assert expanded.tobytes().hex() == test["uniform_bytes"]


@pytest.mark.parametrize(("dst", "length"), [(b"", 64), (bytes(256), 64), (b"x", 0), (b"x", 64 * 255 + 1)])
def test_expand_message_refuses_what_the_rfc_does_not_allow(dst, length):
    with pytest.raises(ValueError, match="tag"):
        expand_message_xmd(np.zeros((1, 4), np.uint8), dst, length)


@pytest.mark.parametrize(("suite", "vector"), [(s, v) for s in OPRF for v in s["vectors"] if v["Batch"] == 1])
def test_blinding_evaluation_and_unblinding_of_rfc9497(suite, vector):
    blind, key = bytes.fromhex(vector["Blind"]), bytes.fromhex(suite["skSm"])
    hashed = GROUP.hash_to_group(rows(bytes.fromhex(vector["Input"])), bytes.fromhex(suite["groupDST"]))
    blinded = GROUP.multiply(blind, hashed)
    assert blinded.tobytes().hex() == vector["BlindedElement"]
    evaluated = GROUP.multiply(key, blinded)
    assert evaluated.tobytes().hex() == vector["EvaluationElement"]
    assert (GROUP.multiply(GROUP.invert(blind), evaluated) == GROUP.multiply(key, hashed)).all()


def test_a_batch_is_its_rows_one_by_one():
    items = np.random.default_rng(1).integers(0, 256, (9, 32), dtype=np.uint8)
    scalar = GROUP.random_scalar()
    batch = GROUP.multiply(scalar, GROUP.hash_to_group(items, b"tag"))
    single = [GROUP.multiply(scalar, GROUP.hash_to_group(item[None], b"tag"))[0] for item in items]
    assert (batch == np.array(single)).all()
    assert (GROUP.multiply(scalar, np.repeat(batch, 2, axis=0)[::2]) == GROUP.multiply(scalar, batch)).all()  # strided
    assert GROUP.multiply(scalar, np.empty((0, 32), np.uint8)).shape == (0, 32)
    assert GROUP.hash_to_group(np.empty((0, 32), np.uint8), b"tag").shape == (0, 32)


def test_the_tag_separates_domains():
    item = np.ones((1, 32), np.uint8)
    assert (GROUP.hash_to_group(item, b"one") != GROUP.hash_to_group(item, b"two")).any()


def test_scalars_are_drawn_reduced_and_never_zero():
    draws = iter([bytes(64), b"\1" + bytes(63)])
    assert GROUP.random_scalar(lambda n: next(draws)) == b"\1" + bytes(31)
    order = (2**252 + 27742317777372353535851937790883648493).to_bytes(64, "little")
    draws = iter([order, b"\2" + bytes(63)])
    assert GROUP.random_scalar(lambda n: next(draws)) == b"\2" + bytes(31)
    with pytest.raises(ValueError, match="inverse"):
        GROUP.invert(bytes(32))
    with pytest.raises(BadMessage):
        GROUP.multiply(bytes(32), rows(GENERATOR))


@pytest.mark.parametrize("points", [np.zeros((2, 31), np.uint8), np.zeros(32, np.uint8)])
def test_points_of_another_shape_are_a_bug(points):
    with pytest.raises(ValueError, match="uint8"):
        GROUP.multiply(GROUP.random_scalar(), points)
