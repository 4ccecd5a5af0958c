"""Fixed keys, published on purpose: `published_keys.json`. `small` has 512 bits, for arithmetic only."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.kernels.target import has
from protocols.paillier import backend, keys

sys.path.insert(0, str(Path(__file__).parent.parent))  # for `support`
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


@pytest.fixture(scope="module", params=["gmpy2", "lanes"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything in a module with either arithmetic, whatever the size of a batch."""
    if request.param == "lanes" and not has("avx512f", "avx512ifma"):
        pytest.skip("this target has no AVX512-IFMA")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "SLOW", 0)
        patch.setattr(backend, "FEWEST", 1 if request.param == "lanes" else 1 << 62)
        yield request.param
