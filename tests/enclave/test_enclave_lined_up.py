"""Rows that an operator lined up as they came: canaries taken out by token, then asked about as any matched rows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.enclave import tables
from cleanroom.enclave.duck import DuckEngine
from cleanroom.enclave.errors import LimitReached
from cleanroom.enclave.handle import start
from cleanroom.enclave.query import Query
from cleanroom.errors import UsageError
from protocols.errors import BadMessage
from protocols.paillier import cipher, keys

MEMORY = 256 << 20


def people(count: int) -> np.ndarray:
    """uint8[count, 16] tokens, ascending as owners send them."""
    return np.sort(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(">u8").repeat(
        2
    ).view(np.uint8).reshape(-1, 16)  # fmt: skip


def codes(values: np.ndarray) -> pa.Array:
    return tables.as_binary(values.astype("<u8").view(np.uint8).reshape(-1, 8))


def lined_up(rows: int, kinds: int = 3) -> pa.Table:
    """Rows of `m` and `p`, of so many different cells each."""
    at = np.arange(rows)
    return pa.table({
        "token": tables.as_binary(people(rows)), "m.level": codes(at % kinds), "p.city": codes(at // 2 % kinds),
    })  # fmt: skip


def loaded(table: pa.Table, batch: int = 7) -> DuckEngine:
    engine = DuckEngine(MEMORY, 2, 60)
    assert engine.load_matched(table.schema, table.to_batches(batch)) == len(table)
    return engine


def counted(table: pa.Table) -> dict[tuple[bytes, ...], int]:
    names = [name for name in table.column_names if name != "token"]
    found: dict[tuple[bytes, ...], int] = {}
    for row in table.select(names).to_pylist():
        found[tuple(row.values())] = found.get(tuple(row.values()), 0) + 1
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 60), st.sets(st.integers(0, 70), max_size=9), st.integers(1, 30), st.integers(1, 50))
def test_groups_and_positions_are_those_of_the_rows_that_were_not_dropped(
    rows: int, out: set[int], batch: int, kinds: int
) -> None:
    table, kept = lined_up(rows, kinds), [row for row in range(rows) if row not in out]
    engine = loaded(table, batch)
    dropped = engine.drop(people(rows)[sorted(row for row in out if row < rows)])
    assert sum(dropped.values()) == rows - len(kept)
    assert engine.match("m", "p") == len(kept)
    groups = engine.run(Query(("m.level", "p.city")), {}).table
    people_of = groups.column("people").to_pylist()
    found = dict(zip(zip(*(groups.column(at).to_pylist() for at in (0, 1)), strict=True), people_of, strict=True))
    assert found == counted(table.take(pa.array(kept, pa.int64())))
    assert groups.schema.types == [pa.binary(8), pa.binary(8), pa.int64()]
    for name in ("m", "p"):
        assert engine.positions(name).to_pylist() == kept


def test_a_condition_may_be_asked_of_who_is_addressed() -> None:
    engine = loaded(lined_up(30))
    engine.drop(people(30)[[0, 4]])
    engine.match("m", "p", addressed="p")
    wanted = bytes(codes(np.array([2])).to_pylist()[0]).hex()
    found = engine.positions("p", ((("m.level", (wanted,)),),)).to_pylist()
    assert found == [row for row in range(30) if row % 3 == 2]
    with pytest.raises(UsageError, match="no dataset"):
        engine.positions("m", ((("m.level", (wanted,)),),))


def test_ciphertexts_of_both_sides_are_summed_without_those_dropped() -> None:
    key = keys.generate(2048)
    plain = np.zeros((6, key.public.plain_width), np.uint8)
    plain[:, 0] = [1, 2, 4, 8, 16, 32]
    rows = cipher.encrypt(key, plain)
    table = lined_up(6, 2).append_column("m.#slots", tables.as_binary(rows))
    table = table.append_column("p.#slots", tables.as_binary(rows[::-1]))
    with start(ciphertexts=12) as enclave:
        enclave.load_matched(table.schema, table.to_batches(4))
        assert sum(enclave.drop_tokens(people(6)[[1]]).values()) == 1
        assert enclave.match("m", "p") == 5
        assert enclave.matched_positions("p").to_pylist() == [0, 2, 3, 4, 5]
        asked = Query(("m.level",), ("m.#slots", "p.#slots"))
        groups = enclave.run(asked, {"m": key.public.n, "p": key.public.n})
    sums = {name: cipher.decrypt(key, found)[:, 0].tolist() for name, found in groups.ciphertexts.items()}
    assert groups.table.column("people").to_pylist() == [3, 2]
    assert sums == {"m": [1 + 4 + 16, 8 + 32], "p": [32 + 8 + 2, 4 + 1]}


def test_what_does_not_fit_is_refused() -> None:
    table = lined_up(4)
    with pytest.raises(UsageError, match="not a column"):
        loaded(table.append_column("token#1", table.column(0)))
    with pytest.raises(UsageError, match="not a column"):
        loaded(table.set_column(0, "token", pa.array([b"12345678"] * 4, pa.binary(8))))
    with pytest.raises(BadMessage, match="without a value"):
        loaded(table.set_column(0, "token", pa.array([None] * 4, pa.binary(16))))
    engine = loaded(table)
    with pytest.raises(UsageError, match="no matched rows"):
        engine.run(Query(), {})
    with pytest.raises(UsageError, match="has rows already"):
        engine.load_matched(table.schema, table.to_batches())
    engine.match("m", "p")
    with pytest.raises(UsageError, match="match is done"):
        engine.drop(people(1))


@pytest.mark.parametrize("kinds", [3, 300])
def test_a_token_of_few_values_takes_a_byte_or_two_a_row(kinds: int) -> None:
    """Forty bytes a row come; what is held are the sixteen of the token and a number for each column."""
    budget, table = tables.Budget(MEMORY), lined_up(20_000, kinds)
    tables.read(table.schema, table.to_batches(1_000), budget)
    assert budget.held <= 20_000 * (16 + 2 * 2)
    with pytest.raises(LimitReached):
        tables.read(table.schema, table.to_batches(1_000), tables.Budget(20_000 * 16))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.none() | st.binary(min_size=2, max_size=2), max_size=9), max_size=6), st.integers(0, 12))
def test_a_column_of_tokens_comes_out_as_it_went_in(parts: list[list[bytes | None]], most: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "MOST_VALUES", most)
        column = tables.Plain(pa.binary(2))
        for part in parts:
            column.add(pa.array(part, pa.binary(2)))
    assert column.column().to_pylist() == [value for part in parts for value in part]
