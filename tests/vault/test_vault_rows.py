"""What is written comes back: all of it, some columns, some rows, with the importer's last word applied."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vault_world import SCHEMA, everywhere, people, persons, read, table, write

from cleanroom.errors import UsageError
from cleanroom.vault import Finish

pytestmark = everywhere
ORDINARY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain(values):
    return values.to_pylist()


@ORDINARY
@given(st.data())
def test_a_vault_agrees_with_a_plain_table(another, data):
    vault = another()
    numbers = data.draw(st.lists(st.integers(0, 999), max_size=65))
    keep = data.draw(st.none() | st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers)))
    forgotten = data.draw(st.sets(st.sampled_from(numbers))) if numbers else set()
    size = data.draw(st.integers(1, 30))
    standing = [at for at in range(len(numbers)) if keep is None or keep[at]]
    replaced = data.draw(st.none() | st.just({"t.spend": np.arange(len(standing), dtype=np.int64) * 11}))
    if forgotten:
        vault.forget(persons(forgotten))

    want = table(numbers).take(pa.array(standing, pa.int64()))
    if replaced:
        want = want.set_column(3, "t.spend", pa.array(replaced["t.spend"]))
    want = want.take(pa.array([i for i, at in enumerate(standing) if numbers[at] not in forgotten], pa.int64()))
    mask = None if keep is None else np.array(keep, np.bool_)
    manifest = write(vault, "crm", numbers, size, finish=lambda _: Finish(mask, replaced or {}))

    assert manifest.rows == vault.rows("crm") == want.num_rows
    assert manifest.tombstoned == len(standing) - want.num_rows
    assert people(vault, "crm") == [numbers[at] for at in standing if numbers[at] not in forgotten]
    columns = data.draw(st.permutations(SCHEMA.names).map(lambda names: names[: 1 + len(numbers) % 6]))
    rows = data.draw(st.sets(st.integers(0, want.num_rows - 1))) if want.num_rows else set()
    positions = np.array(sorted(rows), np.int64)
    for chosen, expected in ((None, want), (positions, want.take(pa.array(positions)))):
        got = read(vault, "crm", columns, chosen)
        if expected.num_rows:
            assert got.schema == vault.schema("crm", columns)
        for column in columns if expected.num_rows else ():
            assert plain(got[column]) == plain(expected[column])
        assert got.num_rows == expected.num_rows


def test_rows_dropped_and_amounts_replaced_over_many_groups(vault):
    keep = np.arange(65) % 3 > 0
    manifest = write(vault, "crm", range(65), finish=lambda _: Finish(keep, {"t.spend": np.arange(43) * 7}))
    assert (manifest.rows, len(manifest.parts), len(manifest.refined)) == (43, 4, 4)
    assert plain(read(vault, "crm")["t.spend"]) == [at * 7 for at in range(43)]
    assert people(vault, "crm") == [number for number in range(65) if number % 3]
    assert plain(read(vault, "crm", ["t.spend"], np.array([9, 20, 42]))["t.spend"]) == [63, 140, 294]


def test_types_nullability_and_odd_headers_survive(vault):
    write(vault, "crm", range(33))
    schema = vault.schema("crm")
    assert schema.names == SCHEMA.names
    assert [field.nullable for field in schema] == [field.nullable for field in SCHEMA]
    assert schema.field("t.level").type == pa.dictionary(pa.int32(), pa.string())
    assert [column.name for column in vault.manifest("crm").columns] == SCHEMA.names


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.5, None, float("nan")]),
        pa.array([True, None, False]),
        pa.array([b"x", b"", None]),
        pa.array([1, 2, 3], pa.date32()),
        pa.array([1, 2, None], pa.timestamp("ns", "Asia/Shanghai")),
        pa.array([None, None, None]),
        pa.array(["a", None, ""], pa.large_string()),
        pa.array(["150.25", None, "1"]).cast(pa.decimal128(20, 4)),
    ],
)
def test_columns_of_any_plain_type(vault, values):
    data = pa.record_batch([pa.array([bytes([n]) * 32 for n in range(3)], pa.binary(32)), values], ["digest", "o.x"])
    vault.write("odd", data.schema, [data], meta={})
    got = read(vault, "odd")["o.x"].combine_chunks()
    assert got.type == values.type
    assert str(got) == str(values)


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.month_day_nano_interval()])
def test_columns_that_cannot_be_stored_are_refused_by_name(vault, kind):
    schema = pa.schema([("digest", pa.binary(32)), ("o.x", kind)])
    with pytest.raises(UsageError):
        vault.write("odd", schema, [], meta={})
    assert vault.datasets() == []


def test_md5_digests_have_sixteen_bytes(vault):
    data = pa.record_batch([pa.array([bytes([n]) * 16 for n in range(3)], pa.binary(16))], ["digest"])
    vault.write("md5", data.schema, [data], meta={})
    assert vault.digests("md5").tolist() == [[n] * 16 for n in range(3)]


def test_a_dataset_of_no_rows(vault):
    assert write(vault, "none", []).rows == 0
    assert list(vault.read("none")) == []
    assert vault.digests("none").shape == (0, 32)
    assert vault.schema("none").names == SCHEMA.names


def test_dictionaries_that_differ_batch_by_batch(vault):
    schema = pa.schema([("digest", pa.binary(32)), ("t.city", pa.dictionary(pa.int8(), pa.string()))])

    def batches():
        for at in range(40):  # 40 dictionaries of 10 values each: together more than 8 bits can index
            cities = pa.array([f"city {at * 10 + n}" for n in range(10)])
            indices = pa.array(range(10), pa.int8())
            digests = pa.array([bytes([at, n] * 16) for n in range(10)], pa.binary(32))
            yield pa.record_batch([digests, pa.DictionaryArray.from_arrays(indices, cities)], schema=schema)

    vault._setting = type(vault._setting)(vault._setting.keys, vault._setting.wrapping)  # one row group for all
    vault.write("cities", schema, batches(), meta={})
    assert plain(read(vault, "cities")["t.city"]) == [f"city {n}" for n in range(400)]


def test_what_the_importer_says_is_asked_for_at_the_end(vault):
    order = []

    def batches():
        for batch in table(range(20)).to_batches(5):
            order.append("batch")
            yield batch

    manifest = vault.write(
        "crm",
        SCHEMA,
        batches(),
        meta=lambda: order.append("meta") or {"funnel": {"rows": 20, "losses": {"masked": 3}}},
        finish=lambda _: order.append("finish") or Finish(),
    )
    assert order == ["batch"] * 4 + ["finish", "meta"]
    assert manifest.meta == vault.manifest("crm").meta == {"funnel": {"rows": 20, "losses": {"masked": 3}}}


def test_nothing_is_rewritten_when_nothing_changes(vault):
    assert write(vault, "crm", range(30)).refined == ()
    everything = write(vault, "crm", range(30), finish=lambda _: Finish(np.ones(30, np.bool_)))
    assert everything.refined == ()
    assert len(everything.parts) == 2


@pytest.mark.parametrize(
    "finish",
    [
        Finish(np.ones(29, np.bool_)),
        Finish(np.ones(30, np.int64)),
        Finish(np.arange(30) < 9, {"t.spend": np.zeros(30, np.int64)}),
        Finish(None, {"t.spend": np.zeros(30, np.float64)}),
        Finish(None, {"nothing": np.zeros(30, np.int64)}),
        Finish(None, {"o.备注": np.zeros(30, np.int64)}),
    ],
)
def test_a_last_word_that_does_not_fit_is_refused(vault, finish):
    write(vault, "crm", range(3))
    with pytest.raises(UsageError):
        write(vault, "crm", range(30), finish=lambda _: finish)
    assert people(vault, "crm") == [0, 1, 2]


def test_schemas_and_batches_that_do_not_fit_are_refused(vault):
    digest = pa.field("digest", pa.binary(32))
    for schema in (
        pa.schema([("x", pa.int64())]),
        pa.schema([("digest", pa.binary(20))]),
        pa.schema([("digest", pa.string())]),
        pa.schema([digest, ("a", pa.int64()), ("a", pa.int64())]),
    ):
        with pytest.raises(UsageError):
            vault.write("crm", schema, [], meta={})
    other = pa.record_batch([pa.array([b"x" * 32], pa.binary(32))], ["digest"])
    empty = pa.record_batch([pa.array([None], pa.binary(32))], ["digest"])
    with pytest.raises(UsageError):
        vault.write("crm", SCHEMA, [other], meta={})
    with pytest.raises(UsageError):
        vault.write("crm", empty.schema, [empty], meta={})
    assert vault.datasets() == []


def test_questions_that_do_not_fit_are_refused(vault):
    write(vault, "crm", range(5))
    with pytest.raises(UsageError, match="no dataset"):
        vault.read("crn")
    with pytest.raises(UsageError, match=r"t\.level"):
        vault.read("crm", ["o.nothing"])
    with pytest.raises(UsageError, match="version"):
        vault.read("crm", version=7)
    for rows in ([5], [-1], [2, 1], [1, 1]):
        with pytest.raises(UsageError):
            vault.read("crm", rows=np.array(rows))


def test_versions_follow_each_other_and_one_older_is_kept(vault):
    for last in (5, 6, 7):
        write(vault, "crm", range(last))
    assert vault.versions("crm") == [2, 3]
    assert (vault.rows("crm"), vault.manifest("crm", 2).rows) == (7, 6)
    assert people(vault, "crm", 2) == list(range(6))
    assert read(vault, "crm", version=2).num_rows == 6


def test_history_can_be_switched_off(home):
    from cleanroom.vault import Vault

    alone = Vault(home.path / "vault", home.keys, home.wrapping, history=0)
    write(alone, "crm", range(5))
    write(alone, "crm", range(6))
    assert alone.versions("crm") == [2]


def test_a_reader_finishes_the_version_it_began(vault):
    write(vault, "crm", range(65))
    reading = vault.read("crm")
    first = next(reading)
    for last in (5, 6, 7):
        write(vault, "crm", range(last))
    assert first.num_rows + sum(batch.num_rows for batch in reading) == 65


def test_a_dataset_can_be_made_from_itself(vault):
    write(vault, "crm", range(65))
    vault.write("crm", vault.schema("crm"), vault.read("crm", rows=np.arange(0, 65, 2)), meta={})
    assert people(vault, "crm") == list(range(0, 65, 2))


def test_datasets_are_listed_by_name(vault, reopened):
    for name in ("会员", "crm-2024", "a b", "..a"):
        write(vault, name, range(3))
    assert reopened().datasets() == ["..a", "a b", "crm-2024", "会员"]
    assert people(reopened(), "会员") == [0, 1, 2]


def test_one_name_in_two_unicode_forms_is_one_dataset(vault):
    write(vault, "caf\u00e9", range(3))
    assert vault.rows("cafe\u0301") == 3
    assert len(vault.datasets()) == 1
