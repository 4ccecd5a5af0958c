"""The engine's answers are those of an independent judge, and what it cannot answer it refuses by name."""

import datetime
import secrets
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.enclave import products, sql, tables
from cleanroom.enclave.duck import DuckEngine, connect
from cleanroom.enclave.errors import LimitReached
from cleanroom.enclave.query import Box, Query, Where
from cleanroom.errors import UsageError
from protocols.errors import BadMessage
from protocols.paillier import cipher, keys

MEMORY = 256 << 20


def engine(memory: int = MEMORY, seconds: float = 60) -> DuckEngine:
    return DuckEngine(memory, 2, seconds)


def matched(table: pa.Table, batch: int = 7) -> DuckEngine:
    made = engine()
    made.load_matched(table.schema, table.to_batches(batch))
    return made


def tokens(count: int) -> np.ndarray:
    return np.frombuffer(bytearray(secrets.token_bytes(16 * count)), np.uint8).reshape(-1, 16)


def dataset(name: str, token: np.ndarray, **columns: pa.Array) -> pa.Table:
    return pa.table({"token": tables.as_binary(token)} | {f"{name}.{column}": v for column, v in columns.items()})


def load(into: DuckEngine, name: str, table: pa.Table, batch: int = 5) -> int:
    return into.load(name, table.schema, table.to_batches(batch))


VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[object]]] = {
    "text": (pa.string(), st.sampled_from(["", "a", "B", "会员", 'q"', "nan", "None", "a\0b"])),
    "coded": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["x", "y"])),
    "number": (pa.int32(), st.integers(-2, 2)),
    "large": (pa.uint64(), st.sampled_from([0, 2**63, 2**64 - 1])),
    "truth": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), st.dates(datetime.date(2024, 1, 1), datetime.date(2024, 1, 3))),
    "code": (pa.binary(8), st.sampled_from([b"\0" * 8, b"\xff" * 8, b"12345678"])),
}


@st.composite
def matched_rows(draw: st.DrawFn) -> tuple[pa.Table, tuple[str, ...]]:
    rows = draw(st.integers(0, 40))
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=3))
    columns = {
        f"m.{name}": pa.array(
            draw(st.lists(st.none() | VALUES[name][1], min_size=rows, max_size=rows)), VALUES[name][0]
        )
        for name in names
    }
    spend = draw(st.lists(st.none() | st.integers(-(2**55), 2**55), min_size=rows, max_size=rows))
    return pa.table(columns | {"m.spend": pa.array(spend, pa.int64())}), tuple(f"m.{name}" for name in names)


@settings(max_examples=12, deadline=None)
@given(matched_rows(), st.randoms(use_true_random=False))
def test_groups_are_those_of_pandas_and_know_no_row_order(
    drawn: tuple[pa.Table, tuple[str, ...]], random: object
) -> None:
    table, by = drawn
    query = Query(by, ("m.spend",))
    answer = matched(table).run(query, {}).table
    assert answer.schema.names == [*by, "people", "m.spend", "m.spend#count"]

    # pandas groups by codes of the values: among nulls it would turn whole numbers into floats
    values = {name: list(dict.fromkeys(table.column(name).to_pylist())) for name in by}
    frame = pd.DataFrame({name: [values[name].index(v) for v in table.column(name).to_pylist()] for name in by})
    frame["spend"] = pd.Series(table.column("m.spend").to_pylist(), dtype=object)
    judged = {}
    for codes, group in frame.groupby(list(by), sort=False) if by else [((), frame)]:
        spend = [value for value in group["spend"] if value is not None]
        key = tuple(values[name][code] for name, code in zip(by, codes, strict=True))
        judged[key] = (len(group), sum(spend), len(spend))
    rows = [tuple(row.values()) for row in answer.to_pylist()]
    assert {row[: len(by)]: row[len(by) :] for row in rows} == judged
    assert len(rows) == len(judged)

    order = list(range(len(table)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert matched(table.take(pa.array(order, pa.int64())), batch=3).run(query, {}).table.equals(answer)
    keys = [tuple((part is None, part if part is not None else 0) for part in row[: len(by)]) for row in rows]
    assert keys == sorted(keys, key=lambda key: [(null, v.encode() if isinstance(v, str) else v) for null, v in key])


def meets(row: dict[str, Any], box: Box) -> bool:
    return all((row[name].hex() if isinstance(row[name], bytes) else row[name]) in cells for name, cells in box)


@st.composite
def conditions(draw: st.DrawFn) -> Where:
    """Boxes of both kinds of cells, overlapping or not, empty or about everybody."""
    cells = {"m.cell": st.integers(-1, 3), "p.token": st.sampled_from(["0000", "00ff", "6162"])}
    sides = st.lists(st.sampled_from(sorted(cells)), unique=True).flatmap(
        lambda names: st.tuples(*(st.tuples(st.just(n), st.lists(cells[n], max_size=3).map(tuple)) for n in names))
    )
    return tuple(draw(st.lists(sides, max_size=4)))


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.integers(-1, 3), st.none() | st.sampled_from([b"\0\0", b"\0\xff", b"ab"])), max_size=40
    ),
    conditions(),
    st.sampled_from([(), ("m.cell",), ("p.token",), ("p.token", "m.cell")]),
)
def test_a_condition_means_who_is_in_any_box_once(drawn: list[Any], where: Where, by: tuple[str, ...]) -> None:
    table = pa.table(
        {
            "m.cell": pa.array([cell for cell, _ in drawn], pa.int64()),
            "p.token": pa.array([token for _, token in drawn], pa.binary(2)),
            "m.spend": pa.array([1 << at for at in range(len(drawn))], pa.int64()),
        }
    )
    judged: dict[tuple[object, ...], list[int]] = {} if by else {(): []}
    for row in table.to_pylist():
        if not where or any(meets(row, box) for box in where):
            judged.setdefault(tuple(row[name] for name in by), []).append(row["m.spend"])
    answer = matched(table).run(Query(by, ("m.spend",), where), {}).table.to_pylist()
    found = {tuple(row[name] for name in by): (row["people"], row["m.spend"]) for row in answer}
    assert found == {group: (len(spend), sum(spend)) for group, spend in judged.items()}


def test_cells_of_another_kind_than_the_column_are_refused() -> None:
    made = matched(
        pa.table(
            {"m.cell": pa.array([1]), "m.small": pa.array([1], pa.int8()), "p.token": pa.array([b"ab"], pa.binary(2))}
        )
    )
    for name, cell in (("m.cell", "6162"), ("m.small", 1), ("p.token", 1), ("p.token", "61"), ("m.other", 1)):
        with pytest.raises(UsageError):
            made.run(Query(where=(((name, (cell,)),),)), {})


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.data())
def test_a_match_is_the_intersection(ours: set[int], theirs: set[int], canaries: set[int], data: st.DataObject) -> None:
    left, right = (data.draw(st.permutations(sorted(side))) for side in (ours, theirs))
    all_tokens = tokens(61)
    all_tokens[:30, :8] = all_tokens[0, :8]  # tokens that agree in half their bytes are still not the same
    made = engine()
    load(made, "m", dataset("m", all_tokens[left], level=pa.array([who % 3 for who in left], pa.int64())))
    load(made, "p", dataset("p", all_tokens[right], city=pa.array([str(who % 2) for who in right], pa.string())))
    dropped = made.drop(all_tokens[sorted(canaries)])
    assert dropped == {"m": len(ours & canaries), "p": len(theirs & canaries)}

    both = (ours & theirs) - canaries
    assert made.match("m", "p") == len(both)
    assert [left[at] for at in made.positions("m").to_pylist()] == [who for who in left if who in both]
    assert [right[at] for at in made.positions("p").to_pylist()] == [who for who in right if who in both]
    counted: dict[tuple[int, str], int] = {}
    for who in both:
        counted[who % 3, str(who % 2)] = counted.get((who % 3, str(who % 2)), 0) + 1
    rows = made.run(Query(("m.level", "p.city")), {}).table.to_pylist()
    assert {(row["m.level"], row["p.city"]): row["people"] for row in rows} == counted


@pytest.fixture(scope="module")
def key() -> keys.PrivateKey:
    return keys.generate(2048)


def encrypted(key: keys.PrivateKey, numbers: list[list[int]]) -> np.ndarray:
    width = key.public.plain_width
    plain = b"".join(number.to_bytes(width, "little") for row in numbers for number in row)
    return cipher.encrypt(key, np.frombuffer(plain, np.uint8).reshape(len(numbers), -1))


def decrypted(key: keys.PrivateKey, rows: np.ndarray) -> list[list[int]]:
    width = key.public.plain_width
    return [
        [int.from_bytes(row[at : at + width].tobytes(), "little") for at in range(0, len(row), width)]
        for row in cipher.decrypt(key, rows)
    ]


def test_ciphertexts_add_up_by_group_on_both_ways_in(key: keys.PrivateKey) -> None:
    numbers = [[who, 1000 + who] for who in range(12)]
    slots = tables.as_binary(encrypted(key, numbers))
    level = [None if who == 5 else "gold" if who % 2 else "basic" for who in range(12)]
    query, public = Query(("m.level",), ("p.#slots",)), {"p": key.public.n}

    two_party = matched(pa.table({"m.level": level, "p.#slots": slots}), batch=5)
    groups = two_party.run(query, public)
    assert groups.table.to_pylist() == [
        {"m.level": "basic", "people": 6},
        {"m.level": "gold", "people": 5},
        {"m.level": None, "people": 1},
    ]
    expected = [
        [sum(numbers[who][at] for who in range(12) if level[who] == name) for at in (0, 1)]
        for name in ("basic", "gold", None)
    ]
    assert decrypted(key, groups.ciphertexts["p"]) == expected
    whole = two_party.run(Query(sums=("p.#slots",)), public)
    assert decrypted(key, whole.ciphertexts["p"]) == [[66, 12066]]

    cell = pa.array([who % 4 for who in range(12)], pa.int64())
    some = matched(pa.table({"m.level": level, "m.cell": cell, "p.#slots": slots}), batch=5)
    meant = ((("m.cell", (1, 2)),), (("m.cell", (2,)),))
    groups = some.run(Query(("m.level",), ("p.#slots",), meant), public)
    assert groups.table.column("people").to_pylist() == [3, 2, 1]
    assert [row[0] for row in decrypted(key, groups.ciphertexts["p"])] == [2 + 6 + 10, 1 + 9, 5]
    nobody = some.run(Query((), ("p.#slots",), ((("m.cell", (7,)),),)), public)
    assert nobody.table.to_pylist() == [{"people": 0}]
    assert decrypted(key, nobody.ciphertexts["p"]) == [[0, 0]]

    all_tokens, neutral = tokens(20), engine()
    backwards = list(range(19, 3, -1))  # the right side holds persons 4..19, and matches 4..11
    load(neutral, "m", dataset("m", all_tokens[backwards], level=pa.array([str(who % 2) for who in backwards])))
    load(neutral, "p", pa.table({"token": tables.as_binary(all_tokens[:12]), "p.#slots": slots}))
    assert neutral.match("m", "p") == 8
    groups = neutral.run(query, public)
    assert decrypted(key, groups.ciphertexts["p"]) == [[4 + 6 + 8 + 10, 4028], [5 + 7 + 9 + 11, 4032]]


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_pieces_of_any_size_add_up_to_the_same(
    key: keys.PrivateKey, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "ROWS_AT_ONCE", 4)
    rows = encrypted(key, [[1 << who] for who in range(15)])
    places = np.array([0, 2, -1, 2, 0] * 3, np.int64)
    slots = tables.Slots(rows.shape[1], [rows[at : at + batch] for at in range(0, 15, batch)])
    sums = products.group_products(key.public.n, slots, places, 4, lambda: None)
    expected = [[sum(1 << who for who in range(15) if places[who] == group)] for group in range(4)]
    assert decrypted(key, sums) == expected


def test_nobody_matched_is_an_answer(key: keys.PrivateKey) -> None:
    made = engine()
    slots = tables.as_binary(encrypted(key, [[1]]))
    load(made, "m", dataset("m", tokens(3), level=pa.array(["a", "b", "c"])))
    load(made, "p", pa.table({"token": tables.as_binary(tokens(1)), "p.#slots": slots}))
    assert made.match("m", "p") == 0
    assert made.positions("m").to_pylist() == []
    public = {"p": key.public.n}
    by_level = made.run(Query(("m.level",), ("p.#slots",)), public)
    assert by_level.table.num_rows == 0
    assert by_level.ciphertexts["p"].shape == (0, key.public.width)
    whole = made.run(Query(sums=("p.#slots",)), public)
    assert whole.table.to_pylist() == [{"people": 0}]
    assert decrypted(key, whole.ciphertexts["p"]) == [[0]]


def test_no_rows_and_no_columns_at_all() -> None:
    empty = engine()
    assert empty.load_matched(pa.schema({"m.level": pa.string()}), []) == 0
    assert empty.run(Query(), {}).table.to_pylist() == [{"people": 0}]
    assert empty.run(Query(("m.level",)), {}).table.num_rows == 0


@pytest.mark.parametrize(
    "name", ['m."; DROP TABLE matched; --', "m.会员等级", "m.count(*)", "m.people", "m.position", "m.*"]
)
def test_hostile_names_are_only_names(name: str) -> None:
    made = matched(pa.table({name: ["a", "b", "a"], "m.spend": pa.array([1, 2, 3], pa.int64())}))
    rows = made.run(Query((name,), ("m.spend",)), {}).table.to_pylist()
    assert [list(row.values()) for row in rows] == [["a", 2, 4, 2], ["b", 1, 2, 1]]


@pytest.mark.parametrize(
    "query",
    [
        Query(("m.other",)),
        Query(("m.LEVEL",)),
        Query((), ("m.other",)),
        Query((), ("m.level",)),
        Query((), ("q.#slots",)),
        Query((), ("p.#slots",)),
        Query(("people.x",)),
    ],
)
def test_unknown_columns_are_refused_before_any_sql(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    made = matched(pa.table({"m.level": ["a"], "p.#slots": tables.as_binary(np.zeros((1, 512), np.uint8))}))
    monkeypatch.setattr(sql, "groups", lambda _: pytest.fail("SQL was made"))
    with pytest.raises(UsageError):
        made.run(query, {})


def test_slots_of_another_width_than_the_key(key: keys.PrivateKey) -> None:
    made = matched(pa.table({"p.#slots": tables.as_binary(np.zeros((1, 500), np.uint8))}))
    with pytest.raises(UsageError):
        made.run(Query(sums=("p.#slots",)), {"p": key.public.n})


def with_nulls(kind: pa.DataType) -> pa.Array:
    return pa.array([None], kind)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"m.level": pa.array(["a"])}, UsageError),  # no token
        ({"token": pa.array([b"x"])}, UsageError),
        ({"token": with_nulls(pa.binary(16))}, BadMessage),
        ({"token": tables.as_binary(tokens(1)), "p.level": pa.array(["a"])}, UsageError),  # another's column
        ({"token": tables.as_binary(tokens(1)), "level": pa.array(["a"])}, UsageError),
        ({"token": tables.as_binary(tokens(1)), "m.x": pa.array([1.5])}, UsageError),
        ({"token": tables.as_binary(tokens(1)), "m.x": pa.array([[1]])}, UsageError),
        ({"token": tables.as_binary(tokens(1)), "m.x": pa.array([Decimal(1)])}, UsageError),
        ({"token": tables.as_binary(tokens(1)), "m.#slots": pa.array([1])}, UsageError),
        ({"token": tables.as_binary(tokens(1)), "m.#slots": with_nulls(pa.binary(8))}, BadMessage),
        ({"token": tables.as_binary(tokens(1)), "m.x": pa.array([1]), "m.X": pa.array([1])}, UsageError),
    ],
)
def test_rows_that_do_not_fit_are_refused(columns: dict[str, pa.Array], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        load(engine(), "m", pa.table(columns))


def test_text_that_is_not_text_is_refused_without_showing_it() -> None:
    data = pa.py_buffer(b"secret\xff!")
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 8], np.int32)), data)
    with pytest.raises(BadMessage) as caught:
        matched(pa.table({"m.level": broken}))
    assert "secret" not in repr(caught.value) + str(caught.value)


def test_a_person_counts_once() -> None:
    some = tokens(4)
    made = engine()
    load(made, "m", dataset("m", some[[0, 1, 2, 1]]))
    load(made, "p", dataset("p", some))
    with pytest.raises(BadMessage):
        made.match("m", "p")


def test_the_order_of_work_is_fixed() -> None:
    some, made = tokens(3), engine()
    fail: list[Callable[[], object]] = [
        lambda: made.run(Query(), {}),
        lambda: made.match("m", "p"),
        lambda: made.positions("m"),
    ]
    for call in fail:
        with pytest.raises(UsageError):
            call()
    load(made, "m", dataset("m", some))
    load(made, "p", dataset("p", some))
    again: list[Callable[[], object]] = [
        lambda: load(made, "m", dataset("m", some)),
        lambda: made.load_matched(pa.schema({}), []),
        lambda: made.match("m", "m"),
        lambda: made.match("m", "q"),
    ]
    for call in again:
        with pytest.raises(UsageError):
            call()
    assert made.match("m", "p") == 3
    late: list[Callable[[], object]] = [
        lambda: made.match("m", "p"),
        lambda: made.drop(some),
        lambda: load(made, "q", dataset("q", some)),
        lambda: made.positions("q"),
    ]
    for call in late:
        with pytest.raises(UsageError):
            call()


def test_a_sum_beyond_64_bits_is_refused_without_showing_it() -> None:
    largest = 2**63 - 1
    fits = matched(pa.table({"m.spend": pa.array([largest, -1, 1], pa.int64())}))
    assert fits.run(Query(sums=("m.spend",)), {}).table.to_pylist() == [
        {"people": 3, "m.spend": largest, "m.spend#count": 3}
    ]
    beyond = matched(pa.table({"m.spend": pa.array([largest, 1], pa.int64())}))
    with pytest.raises(LimitReached) as caught:
        beyond.run(Query(sums=("m.spend",)), {})
    assert str(largest + 1) not in str(caught.value)


def test_out_of_memory_names_the_distributed_engine() -> None:
    def endless() -> Iterator[pa.RecordBatch]:
        while True:
            yield dataset("m", np.zeros((10_000, 16), np.uint8)).to_batches()[0]

    with pytest.raises(LimitReached, match=r"4 MB of memory .* distributed engine"):
        engine(4 << 20).load("m", pa.schema({"token": pa.binary(16)}), endless())

    both, tight = tokens(100_000), engine(4 << 20)  # the rows fit, DuckDB's join of them does not
    for name in ("m", "p"):
        load(tight, name, dataset(name, both), batch=100_000)
    with pytest.raises(LimitReached, match="distributed engine"):
        tight.match("m", "p")


def test_a_runaway_query_is_ended_and_the_engine_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(seconds=0.3)
    made.load_matched(pa.schema({"m.level": pa.string()}), [])
    with monkeypatch.context() as patched:
        patched.setattr(
            sql, "groups", lambda _: "SELECT count(*) AS people FROM range(1000000000000) WHERE range % 7 = 1"
        )
        with pytest.raises(LimitReached, match=r"within 0\.3 seconds"):
            made.run(Query(), {})
    assert made.run(Query(), {}).table.to_pylist() == [{"people": 0}]


def test_sums_of_ciphertexts_keep_the_time_limit_too(key: keys.PrivateKey) -> None:
    slow = engine(seconds=0)
    table = pa.table({"p.#slots": tables.as_binary(encrypted(key, [[1]]))})
    slow.load_matched(table.schema, table.to_batches())
    with pytest.raises(LimitReached):
        slow.run(Query(sums=("p.#slots",)), {"p": key.public.n})


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'out.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access=true",
        "SET memory_limit='10GB'",
        "SET temp_directory='x'",
        "RESET memory_limit",
        "SELECT * FROM visible",
        "EXPORT DATABASE 'out'",
        "SELECT getenv('HOME')",
    ],
)
def test_duckdb_itself_can_reach_nothing(statement: str) -> None:
    visible = pa.table({"a": [1]})  # a variable of Python that must not be found
    connection = connect(64 << 20, 1)
    with pytest.raises(duckdb.Error):
        connection.execute(statement).fetchall()
    assert visible.num_rows == 1
