"""Eight-lane SHA-256: the messages of FIPS 180-4's examples, and lanes that end at different blocks."""

import hashlib

import pyarrow as pa
import pytest

from protocols.kernels.digests import sha256

EXAMPLES = {
    "abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    "a" * 1_000_000: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}


@pytest.mark.parametrize(("message", "digest"), EXAMPLES.items(), ids=["abc", "empty", "two blocks", "million"])
@pytest.mark.parametrize("lane", [0, 3, 7])
def test_published_examples_in_any_lane(message, digest, lane):
    texts = ["x" * (13 * other) for other in range(8)]
    texts[lane] = message
    found = sha256(pa.array(texts))
    assert found[lane].tobytes().hex() == digest
    for other in set(range(8)) - {lane}:
        assert found[other].tobytes() == hashlib.sha256(texts[other].encode()).digest()
