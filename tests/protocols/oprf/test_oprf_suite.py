"""RFC 9497's vectors byte by byte, and an independent implementation as client and as server."""

import json
from pathlib import Path

import numpy as np
import pytest
from voprf import ristretto

from protocols.errors import BadMessage
from protocols.group import ORDER, backend
from protocols.oprf import points, proof, suite
from protocols.oprf.suite import Mode

VECTORS = Path(__file__).parent.parent.parent / "vectors"
SUITES = [
    one
    for one in json.loads((VECTORS / "rfc9497_voprf.json").read_text())
    if one["identifier"] == "ristretto255-SHA512" and one["mode"] in (0, 1)
]
BAD = [row["encoding"] for row in json.loads((VECTORS / "rfc9496_ristretto255.json").read_text())["bad_encodings"]]
SEED, INFO = bytes(range(32)), b"a room"
SECRET, PUBLIC = suite.derive_key_pair(SEED, INFO, Mode.VOPRF)


def rows(*contents: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(contents), np.uint8).reshape(len(contents), -1)


def unhex(listed: str) -> list[bytes]:
    return [bytes.fromhex(part) for part in listed.split(",")]


def each(content: np.ndarray) -> list[str]:
    return [row.tobytes().hex() for row in content]


def test_both_modes_have_vectors():
    assert [one["mode"] for one in SUITES] == [0, 1]
    assert [len(one["vectors"]) for one in SUITES] == [2, 3]


@pytest.mark.parametrize("given", SUITES, ids=["oprf", "voprf"])
def test_derived_keys(given):
    mode = Mode(given["mode"])
    secret, public = suite.derive_key_pair(bytes.fromhex(given["seed"]), bytes.fromhex(given["keyInfo"]), mode)
    assert secret.hex() == given["skSm"]
    assert public.hex() == given.get("pkSm", public.hex())
    assert b"HashToGroup-" + suite.context(mode) == bytes.fromhex(given["groupDST"])


@pytest.mark.parametrize(("given", "vector"), [(one, vector) for one in SUITES for vector in one["vectors"]])
def test_every_message_and_output(given, vector):
    mode, secret = Mode(given["mode"]), bytes.fromhex(given["skSm"])
    inputs, blinds = unhex(vector["Input"]), unhex(vector["Blind"])
    blinded = np.concatenate([suite._blind([one], mode, scalar) for one, scalar in zip(inputs, blinds, strict=True)])
    assert each(blinded) == vector["BlindedElement"].split(",")
    evaluated = suite.blind_evaluate(secret, blinded)
    assert each(evaluated) == vector["EvaluationElement"].split(",")
    for place, (content, scalar) in enumerate(zip(inputs, blinds, strict=True)):
        output = suite.finalize([content], scalar, evaluated[place : place + 1])
        assert each(output) == vector["Output"].split(",")[place : place + 1]
    assert each(suite.evaluate(secret, inputs, mode)) == vector["Output"].split(",")
    if mode is Mode.VOPRF:
        public, nonce = bytes.fromhex(given["pkSm"]), points.to_int(bytes.fromhex(vector["Proof"]["r"]))
        made = proof._prove(secret, public, blinded, evaluated, nonce)
        assert made.hex() == vector["Proof"]["proof"]
        proof.check(public, blinded, evaluated, made)


INPUTS = [b"a", b"merchant", b"\0" * 32, b"x" * 300, "身份".encode(), b"merchant2"]


def test_our_client_at_an_independent_server():
    server = ristretto.Evaluator.from_seed(SEED, INFO)
    assert server.public_key.serialize() == PUBLIC
    scalar, blinded = suite.blind(INPUTS, Mode.VOPRF)
    answer = server.evaluate_batch([ristretto.BlindedInput.deserialize(row.tobytes()) for row in blinded]).serialize()
    held, evaluated = answer[:64], rows(*[answer[at : at + 32] for at in range(64, len(answer), 32)])
    proof.check(PUBLIC, blinded, evaluated, held)
    outputs = suite.finalize(INPUTS, scalar, evaluated)
    assert [row.tobytes() for row in outputs] == [server.evaluate_known_input(one) for one in INPUTS]
    assert (outputs == suite.evaluate(SECRET, INPUTS, Mode.VOPRF)).all()


def test_an_independent_client_at_our_server():
    clients, asked = zip(*map(ristretto.Client.blind, INPUTS), strict=True)
    blinded = rows(*[one.serialize() for one in asked])
    evaluated = suite.blind_evaluate(SECRET, blinded)
    made = proof.prove(SECRET, PUBLIC, blinded, evaluated)
    answer = ristretto.VerifiableBatchOutput.deserialize(made + evaluated.tobytes())
    key = ristretto.PublicKey.deserialize(PUBLIC)
    outputs = ristretto.Client.finalize_batch(list(clients), answer, key)
    assert outputs == [row.tobytes() for row in suite.evaluate(SECRET, INPUTS, Mode.VOPRF)]
    single = suite.blind_evaluate(SECRET, blinded[:1])
    made = proof.prove(SECRET, PUBLIC, blinded[:1], single)
    answer = ristretto.VerifiableOutput.deserialize(made + single.tobytes())
    assert clients[0].finalize(answer, key) == outputs[0]


def test_a_batch_may_be_rows_of_bytes():
    digests = np.random.default_rng(1).integers(0, 256, (9, 32), dtype=np.uint8)
    listed = [row.tobytes() for row in digests]
    assert (suite.evaluate(SECRET, digests, Mode.VOPRF) == suite.evaluate(SECRET, listed, Mode.VOPRF)).all()
    scalar, blinded = suite.blind(digests, Mode.OPRF)
    outputs = suite.finalize(digests, scalar, suite.blind_evaluate(SECRET, blinded))
    assert (outputs == suite.evaluate(SECRET, listed, Mode.OPRF)).all()
    assert (outputs != suite.evaluate(SECRET, listed, Mode.VOPRF)).any(axis=1).all()
    assert (
        suite.evaluate(SECRET, digests[:0], Mode.OPRF).shape == suite.evaluate(SECRET, [], Mode.OPRF).shape == (0, 64)
    )


def test_lengths_that_the_rfc_does_not_allow():
    with pytest.raises(ValueError, match=r"65,535"):
        suite.evaluate(SECRET, [bytes(1 << 16)], Mode.OPRF)
    with pytest.raises(ValueError, match="seed"):
        suite.derive_key_pair(bytes(31), b"", Mode.OPRF)
    none = np.empty((0, 32), np.uint8)
    with pytest.raises(ValueError, match="proof covers"):
        proof.prove(SECRET, PUBLIC, none, none)


def proved(n: int = 3) -> tuple[np.ndarray, np.ndarray, bytes]:
    blinded = suite.blind([b"%d" % number for number in range(n)], Mode.VOPRF)[1]
    evaluated = suite.blind_evaluate(SECRET, blinded)
    return blinded, evaluated, proof.prove(SECRET, PUBLIC, blinded, evaluated)


def test_the_proof_holds_for_its_batch_only():
    blinded, evaluated, made = proved()
    proof.check(PUBLIC, blinded, evaluated, made)
    other, other_public = suite.derive_key_pair(SEED, b"another room", Mode.VOPRF)
    one_off = evaluated.copy()
    one_off[1] = suite.blind_evaluate(other, blinded[1:2])[0]
    flipped = [made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :] for at in (0, 31, 32, 63)]
    for public, asked, answered, held in [
        (other_public, blinded, evaluated, made),
        (PUBLIC, blinded, one_off, made),
        (PUBLIC, blinded[::-1], evaluated[::-1], made),
        (PUBLIC, blinded[:2], evaluated[:2], made),
        (PUBLIC, evaluated, blinded, made),
        *[(PUBLIC, blinded, evaluated, held) for held in flipped],
        (PUBLIC, blinded, evaluated, bytes(64)),
        (PUBLIC, blinded, one_off, proof.prove(other, PUBLIC, blinded, one_off)),
    ]:
        with pytest.raises(BadMessage, match="proof that the peer used"):
            proof.check(public, asked, answered, held)


@pytest.mark.parametrize("bad", [*BAD[::6], "ff" * 32])
def test_a_proof_over_what_is_no_element_is_refused(bad):
    blinded, evaluated, made = proved()
    evaluated[2] = np.frombuffer(bytes.fromhex(bad), np.uint8)
    with pytest.raises(BadMessage, match="group element"):
        proof.check(PUBLIC, blinded, evaluated, made)
    with pytest.raises(BadMessage, match="group element"):
        suite.finalize([b"0", b"1", b"2"], backend().random_scalar(), evaluated)


def test_a_scalar_has_one_encoding():
    blinded, evaluated, made = proved()
    above = (points.to_int(made[:32]) + ORDER).to_bytes(32, "little")
    for held in (above + made[32:], made[:32] + ORDER.to_bytes(32, "little"), made[:63], made + b"0"):
        with pytest.raises(BadMessage, match="scalar"):
            proof.check(PUBLIC, blinded, evaluated, held)
