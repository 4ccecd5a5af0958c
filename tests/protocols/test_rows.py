"""Rows of bytes: looked up as a dictionary would, first come first found; repeated ones are counted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.rows import Bytes, check_items, index_in


def rows(width: int, contents: list[bytes]) -> Bytes:
    return np.frombuffer(b"".join(contents), np.uint8).reshape(-1, width)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Bytes, Bytes]:
    """Two of one width, which have rows in common, repeated ones, and ones that differ only at their end."""
    width = draw(st.integers(1, 34))
    ends = st.binary(min_size=1, max_size=1).map(lambda end: bytes(width - 1) + end)
    content = st.lists(st.one_of(ends, st.binary(min_size=width, max_size=width)), max_size=30)
    among = draw(content)
    known = st.lists(st.sampled_from(among), max_size=20) if among else st.just([])
    return rows(width, draw(content) + draw(known)), rows(width, among)


@settings(max_examples=25, deadline=None)
@given(tables())
def test_rows_are_found_where_they_first_stand(given_tables: tuple[Bytes, Bytes]) -> None:
    values, among = given_tables
    first: dict[bytes, int] = {}
    for place, row in enumerate(among):
        first.setdefault(row.tobytes(), place)
    assert index_in(values, among).tolist() == [first.get(row.tobytes(), -1) for row in values]


def test_many_rows() -> None:
    among = np.random.default_rng(1).integers(0, 256, (100_000, 11), np.uint8)
    order = np.random.default_rng(2).permutation(len(among))
    assert (index_in(among[order], among) == order).all()
    assert (index_in(among[order] ^ 1, among) < 0).all()


def test_repeated_items_are_counted_and_like_beginnings_are_not() -> None:
    alike = [bytes(15) + bytes([end]) for end in range(5)]
    assert len(check_items(rows(16, alike))) == 5
    with pytest.raises(ProtocolError, match="2 identities are repeated"):
        check_items(rows(16, [*alike, alike[0], alike[0]]))


def test_a_small_match_of_a_cold_process_loads_nothing_heavy_and_leaves_nothing(tmp_path: Path) -> None:
    """Neither numba nor pandas, half a second each, nor what `rbcl` loads for its own tests."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from support import canaries, digests, session
from protocols.psi import dh

found = session(
    lambda channel: dh.sender(channel, digests(range(150)), None, canaries=canaries("sender"), ordered=True),
    lambda channel: dh.receiver(
        channel, digests(range(100, 250)), label_width=0, canaries=canaries("receiver"), ordered=True
    ),
).both()
assert found[1].size == 50
sys.exit(", ".join({{"numba", "pandas", "pyarrow.compute", "doctest"}} & set(sys.modules)) or None)
"""
    temporary = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=temporary)
    assert not done.returncode, done.stderr
    assert not list(tmp_path.iterdir())
