"""Tokens by several identities: each row counts once, by the first that hits, as a plain model says."""

import secrets

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.enclave import tables
from cleanroom.enclave.duck import DuckEngine
from cleanroom.enclave.errors import LimitReached
from cleanroom.enclave.query import Query
from cleanroom.errors import UsageError
from protocols import canary
from protocols.errors import BadMessage
from protocols.psi import keyed
from protocols.psi.waterfall import Identities

NUMBERS = 7
Row = tuple[int | None, ...]
"""Who a row is by each identity: a number, or None where it lacks that identity."""


def engine(memory: int = 64 << 20) -> DuckEngine:
    return DuckEngine(memory, 2, 60)


def tokens(rows: int) -> np.ndarray:
    return np.frombuffer(bytearray(secrets.token_bytes(16 * rows)), np.uint8).reshape(-1, 16)


def side(name: str, rows: list[Row], known: list[np.ndarray]) -> pa.Table:
    """A dataset as an owner sends it: the known tokens of its numbers, random ones elsewhere, and a column."""
    columns = {}
    for kind, of in enumerate(known):
        token = tokens(len(rows))
        for at, row in enumerate(rows):
            token[at] = of[row[kind]] if row[kind] is not None else token[at]
        columns["token" if kind == 0 else f"token#{kind}"] = tables.as_binary(token)
    return pa.table(columns | {f"{name}.row": pa.array(range(len(rows)), pa.int64())})


def load(into: DuckEngine, name: str, table: pa.Table) -> None:
    into.load(name, table.schema, table.to_batches(3))


def pairs(left: list[Row], right: list[Row], kinds: int, dropped: set[int]) -> set[tuple[int, int]]:
    """By one identity after the other, whoever is left on both sides; `dropped`: numbers of canaries by the first."""
    ours, theirs = ({at for at, row in enumerate(rows) if row[0] not in dropped} for rows in (left, right))
    found = set()
    for kind in range(kinds):
        hits = {
            (one, other)
            for one in ours
            for other in theirs
            if left[one][kind] is not None and left[one][kind] == right[other][kind]
        }
        ours -= {one for one, _ in hits}
        theirs -= {other for _, other in hits}
        found |= hits
    return found


@st.composite
def rows(draw: st.DrawFn, kinds: int) -> list[Row]:
    """Rows in which no number stands twice for one identity."""
    drawn = draw(st.lists(st.tuples(*[st.none() | st.integers(0, NUMBERS - 1)] * kinds), max_size=12))
    seen: set[tuple[int, int | None]] = set()
    found = []
    for row in drawn:
        kept = tuple(None if (kind, who) in seen else who for kind, who in enumerate(row))
        seen |= set(enumerate(kept))
        found.append(kept)
    return found


@settings(max_examples=8, deadline=None)
@given(st.data(), st.integers(1, 4), st.sets(st.integers(0, NUMBERS - 1), max_size=2))
def test_everybody_counts_once_by_the_first_identity_that_hits(
    data: st.DataObject, kinds: int, dropped: set[int]
) -> None:
    left, right = data.draw(rows(kinds)), data.draw(rows(kinds))
    known = [tokens(NUMBERS) for _ in range(kinds)]
    made = engine()
    load(made, "m", side("m", left, known))
    load(made, "p", side("p", right, known))
    made.drop(known[0][sorted(dropped)])
    expected = pairs(left, right, kinds, dropped)
    assert made.match("m", "p") == len(expected)
    assert made.positions("m").to_pylist() == sorted(one for one, _ in expected)
    assert made.positions("p").to_pylist() == sorted(other for _, other in expected)
    answer = made.run(Query(("m.row", "p.row")), {}).table.to_pylist()
    assert {(row["m.row"], row["p.row"]) for row in answer} == expected
    assert all(row["people"] == 1 for row in answer)


@pytest.mark.parametrize("turned", [False, True])
def test_whoever_matched_is_not_matched_again(turned: bool) -> None:
    """One row here, which are two there: the first identity decides."""
    known = [tokens(NUMBERS), tokens(NUMBERS)]
    one, two = ("p", "m") if turned else ("m", "p")
    made = engine()
    load(made, one, side(one, [(0, 1)], known))
    load(made, two, side(two, [(3, 1), (0, 2)], known))
    assert made.match("m", "p") == 1
    assert (made.positions(one).to_pylist(), made.positions(two).to_pylist()) == ([0], [1])


def test_a_row_that_is_left_out_comes_in_by_no_other_identity() -> None:
    """A canary that a faulty or hostile owner gives somebody's second token."""
    known = [tokens(NUMBERS), tokens(NUMBERS)]
    made = engine()
    load(made, "m", side("m", [(0, 5), (1, 1)], known))
    load(made, "p", side("p", [(3, 5), (4, 1)], known))
    assert made.drop(known[0][[0]]) == {"m": 1, "p": 0}
    assert made.match("m", "p") == 1
    assert (made.positions("m").to_pylist(), made.positions("p").to_pylist()) == ([1], [1])


def test_a_token_matches_none_of_another_identity() -> None:
    """The same 16 bytes in two columns are not even compared."""
    one = tokens(3)
    made = engine()
    for name, columns in (("m", (one, tokens(3))), ("p", (tokens(3), one))):
        table = {"token": tables.as_binary(columns[0]), "token#1": tables.as_binary(columns[1])}
        load(made, name, pa.table(table))
    assert made.match("m", "p") == 0


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_token_twice_by_any_identity_is_refused(kind: int) -> None:
    known = [tokens(NUMBERS) for _ in range(3)]
    made = engine()
    twice = [tuple(1 if place == kind else None for place in range(3))] * 2
    load(made, "m", side("m", twice, known))
    load(made, "p", side("p", [(1, 1, 1)], known))
    with pytest.raises(BadMessage, match="stand twice in"):
        made.match("m", "p")


def test_columns_of_tokens_that_do_not_fit_are_refused() -> None:
    token, wide = tables.as_binary(tokens(1)), tables.as_binary(np.zeros((1, 32), np.uint8))
    none = pa.array([None], pa.binary(16))
    unfit = ({"token#1": token}, {"token#2": token}, {"token#1": wide}, {"token#1": none}, {"token.1": token})
    for columns in (unfit[0], *({"token": token} | each for each in unfit[1:])):
        with pytest.raises((UsageError, BadMessage)):
            load(engine(), "m", pa.table(columns))
    made, known = engine(), [tokens(NUMBERS) for _ in range(2)]
    load(made, "token", pa.table({"token": token, "token.1": token}))  # a dataset may have that name
    load(made, "p", side("p", [(1, 1)], known))
    with pytest.raises(UsageError, match="as many identities"):
        made.match("token", "p")


def test_the_budget_counts_the_tokens_of_every_identity() -> None:
    table = pa.table({name: tables.as_binary(tokens(60_000)) for name in ("token", "token#1", "token#2")})
    engine(2 << 20).load("m", table.select(["token"]).schema, table.select(["token"]).to_batches())
    with pytest.raises(LimitReached):
        engine(2 << 20).load("m", table.schema, table.to_batches())


def test_an_owner_who_sends_one_identity_as_another_hits_nothing() -> None:
    """Every kind has a key of its own, so that the same bytes have other tokens; and what is lacking is nobody's."""
    key, items, persons, present = b"k" * 32, tokens(20), tokens(20), np.arange(20) % 3 > 0
    items[4] = items[1]  # the first row has it
    dummies = tokens(canary.COUNT)

    def sent(side: str, kind: str) -> list[bytes]:
        """Of the same bytes, and the same persons."""
        made = keyed._tokens_by(key, side, persons, Identities(kind, items, present), dummies)[:20]
        return [token.tobytes() for token in made]

    email, other = sent("merchant", "email"), sent("platform", "email")
    own = {row for row in range(20) if present[row] and row != 4}
    assert (
        {row for row in range(20) if email[row] == other[row]}
        == own
        == {row for row in range(20) if email[row] in other}
    )
    everything = [*email, *sent("merchant", "device"), *(each.tobytes() for each in keyed.identity_tokens(key, items))]
    assert len(set(everything)) == len(everything) - 1  # the last, by one identity alone, has that item twice
    assert sent("merchant", "email") == email  # in the room's next run too, so that no change says who lacks it
