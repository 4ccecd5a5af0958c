"""More than two datasets in one enclave: people whom all of them have, whatever the order of rows and of datasets."""

import secrets
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.enclave import handle, tables
from cleanroom.enclave.duck import DuckEngine
from cleanroom.enclave.query import PEOPLE, Query
from cleanroom.errors import UsageError
from protocols import canary
from protocols.errors import BadMessage, ProtocolError
from protocols.psi import lining_up
from protocols.psi import tokens as bulk

NUMBERS = 12
TOKENS = np.frombuffer(bytearray(secrets.token_bytes(16 * NUMBERS)), np.uint8).reshape(-1, 16)


def dataset(name: str, people: list[int]) -> pa.Table:
    """A row a person, with the number that it has: odd or even, and itself to be summed."""
    return pa.table({
        "token": tables.as_binary(TOKENS[people]), f"{name}.odd": pa.array([n % 2 for n in people], pa.int64()),
        f"{name}.number": pa.array(people, pa.int64()),
    })  # fmt: skip


def engine(sides: dict[str, list[int]]) -> DuckEngine:
    made = DuckEngine(64 << 20, 2, 60)
    for name, people in sides.items():
        table = dataset(name, people)
        made.load(name, table.schema, table.to_batches(3))
    return made


people = st.lists(st.integers(0, NUMBERS - 1), unique=True, max_size=NUMBERS)


@settings(max_examples=20, deadline=None)
@given(st.lists(people, min_size=2, max_size=5), st.randoms())
def test_the_match_is_whom_all_have(sides: list[list[int]], random: Random) -> None:
    named = {f"d{at}": side for at, side in enumerate(sides)}
    made, order = engine(named), list(named)
    random.shuffle(order)
    common = set.intersection(*map(set, sides))
    assert made.match(*order) == len(common)
    for name, side in named.items():
        assert {side[at] for at in made.positions(name).to_pylist()} == common
    groups = made.run(Query(("d1.odd",), ("d0.number",)), {}).table.to_pylist()
    assert {(row["d1.odd"], row[PEOPLE], row["d0.number"]) for row in groups} == {
        (odd, len(of), sum(of)) for odd in (0, 1) if (of := [n for n in common if n % 2 == odd])
    }


def test_a_person_twice_in_any_of_them_is_refused() -> None:
    for at in range(3):
        made = engine({f"d{n}": [1, 2, 3, *([2] if n == at else [])] for n in range(3)})
        with pytest.raises(BadMessage, match="stand twice in d"):
            made.match("d0", "d1", "d2")


def test_a_dataset_is_matched_once_and_by_one_identity() -> None:
    sides = {f"d{n}": [1, 2] for n in range(3)}
    with pytest.raises(UsageError, match="two or more datasets"):
        engine(sides).match("d0", "d1", "d0")
    made = engine({"d0": [1], "d1": [1]})
    table = dataset("d2", [1]).append_column("token#1", tables.as_binary(TOKENS[:1]))
    made.load("d2", table.schema, table.to_batches())
    with pytest.raises(UsageError, match="one identity only"):
        made.match("d0", "d1", "d2")


def test_the_process_matches_as_many() -> None:
    with handle.start() as enclave:
        for name, held in {"a": [1, 2, 3, 4], "b": [2, 3, 4, 5], "c": [3, 4, 5, 6]}.items():
            table = dataset(name, held)
            enclave.load(name, table.schema, iter(table.to_batches()))
        enclave.drop_tokens(TOKENS[[4]])
        assert enclave.match("a", "b", "c") == 1
        assert enclave.matched_positions("c").to_pylist() == [0]


# -- canaries of many sides


def words(*names: str) -> np.ndarray:
    return np.concatenate([_DRAWN[name] for name in names])


def ascending(tokens: np.ndarray) -> bulk.Pair:
    """As an owner sends them."""
    return bulk.words(bulk.take(tokens, bulk.ascending(tokens)))


_DRAWN = {
    "common": np.frombuffer(bytearray(secrets.token_bytes(16 * canary.COMMON)), np.uint8).reshape(-1, 16),
    **{name: np.frombuffer(bytearray(secrets.token_bytes(16 * canary.OWN)), np.uint8).reshape(-1, 16)
       for name in ("a", "b", "c")},
}  # fmt: skip


def test_canaries_are_common_to_all_and_own_to_one() -> None:
    named = [words("common", name) for name in ("a", "b", "c")]
    sent = list(map(ascending, named))
    assert len(lining_up.canaries_among(named, sent)) == canary.COMMON + 3 * canary.OWN
    for at, wrong in ((0, words("a")), (1, words("common", "b", "c")), (2, words("common")), (2, words("common", "a"))):
        bad = [ascending(wrong) if place == at else each for place, each in enumerate(sent)]
        with pytest.raises(ProtocolError, match="canaries"):
            lining_up.canaries_among(named, bad)
    with pytest.raises(ProtocolError, match="canaries"):
        lining_up.canaries_among([named[0], named[1], named[2][::-1]], sent)
