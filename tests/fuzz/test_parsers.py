"""Everything that parses, given anything: a value or one of our named errors, soon, in little memory, and no cell's
value in its text. What longer runs have found (corpus/) is tried every time."""

import random
import resource
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.guided.parsers import CORPUS
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, Target, tried

SECONDS, MEGABYTES = 5.0, 512
ALL = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))


def soon(target: Target, content: bytes) -> None:
    """Tried within the limits."""
    started, held = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tried(target, content)
    assert time.process_time() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < MEGABYTES << 10


@ALL
def test_what_is_sound_is_read(target: Target) -> None:
    """So that the spoilt ones are near something that is."""
    told = [tried(target, content) for content in target.examples]
    assert None in told


@ALL
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_what_is_spoilt_is_refused_by_name(target: Target, seed: int) -> None:
    """Bits, pieces, numbers, texts, keys and whole branches of an example changed."""
    chance = random.Random(seed)
    soon(target, mutated(chance.choice(target.examples), chance, structured=target.structured))


@ALL
@settings(max_examples=20, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(target: Target, content: bytes) -> None:
    """Also behind the first bytes of what is sound."""
    soon(target, content)
    soon(target, target.examples[0][:20] + content)


FOUND = [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]


@pytest.mark.parametrize(("name", "path"), FOUND, ids=[f"{name}-{path.name[:8]}" for name, path in FOUND])
def test_what_was_found_stays_fixed(name: str, path: Path) -> None:
    """Each of these once broke its parser."""
    soon(TARGETS[name], path.read_bytes())


def test_a_length_that_lies_takes_no_memory() -> None:
    """An enclave that says 64 GB come is believed as far as they have come."""
    (content,) = TARGETS["wire"].examples
    at = content.index(b"\xff\xff\xff\xff") + 4
    lie = content[:at] + (2**31 - 1).to_bytes(4, "little") + content[at + 4 :]
    before = pa.total_allocated_bytes()
    soon(TARGETS["wire"], lie)
    assert pa.total_allocated_bytes() - before < 1 << 20
