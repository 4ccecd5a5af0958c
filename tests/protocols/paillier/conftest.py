"""Fixed keys, published on purpose: `published_keys.json`. `small` has 512 bits, for arithmetic only."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.paillier import keys

PUBLISHED = json.loads(Path(__file__).with_name("published_keys.json").read_text("utf-8"))


def published(name: str) -> keys.PrivateKey:
    entry = PUBLISHED[name]
    factors = (tuple(int(f, 16) for f in entry[which]) for which in ("p_factors", "q_factors"))
    return keys.PrivateKey(int(entry["p"], 16), int(entry["q"], 16), *factors)


@pytest.fixture(scope="session")
def key() -> keys.PrivateKey:
    return published("p2048")


@pytest.fixture(scope="session")
def other() -> keys.PrivateKey:
    return published("other2048")


@pytest.fixture(scope="session")
def large() -> keys.PrivateKey:
    return published("p3072")


@pytest.fixture(scope="session")
def small() -> Iterator[keys.PrivateKey]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "KEY_BITS", (512,))
        key = published("small")
    yield key
