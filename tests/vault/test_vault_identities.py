"""Several identities a person at rest: read back as given, and a person forgotten by any of them is gone by all."""

from collections import Counter
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vault_world import everywhere_in_time, people, persons, write

from cleanroom.errors import UsageError
from cleanroom.vault import Finish

pytestmark = everywhere_in_time
PHONE, MAIL, DEVICE = 0, 1, 2
SCHEMA = pa.schema([
    pa.field("digest", pa.binary(32), nullable=False),
    pa.field("i.phone", pa.binary(32)),
    pa.field("i.email", pa.binary(16)),
    pa.field("i.device", pa.binary(32)),
    pa.field("t.spend", pa.int64()),
])  # fmt: skip


def identity(kind, number):
    """The digest of identity `number` of a kind; e-mails come as MD5."""
    return bytes([kind, number]) * (8 if kind == MAIL else 16)


def batch(rows):
    """Rows of (phone, email, device) numbers, None where there is none."""
    named = [[None if row[kind] is None else identity(kind, row[kind]) for kind in range(3)] for row in rows]
    digests = [next(one for one in row if one is not None).ljust(32, b"\0") for row in named]
    columns = [digests, *([row[kind] for row in named] for kind in range(3)), list(range(len(rows)))]
    return pa.record_batch(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def put(vault, name, rows, keep=None, size=7):
    """Writes the rows; keep: which stand for their person."""
    whole = pa.Table.from_batches([batch(rows)])
    finish = None if keep is None else lambda _: Finish(np.array(keep, np.bool_))
    return vault.write(name, SCHEMA, whole.to_batches(size), meta={"identity": "phone"}, finish=finish)


def held(vault, name):
    """The rows of a dataset as (phone, email, device) numbers."""
    kinds = [
        [int(row[1]) if there else None for row, there in zip(digests, present, strict=True)]
        for _, digests, present in vault.identities(name)
    ]
    return list(zip(*kinds, strict=True))


def forget(vault, *named):
    """Forgets identities given as (kind, number)."""
    return vault.forget(*(np.frombuffer(identity(*one), np.uint8).reshape(1, -1) for one in named))


def test_every_kind_is_read_back_in_the_order_of_the_rows(vault, reopened):
    rows = [(n if n % 3 else None, n if n % 5 else None, n if n % 2 or n == 30 else None) for n in range(1, 60)]
    rows = [row for row in rows if any(one is not None for one in row)]
    put(vault, "crm", rows)
    found = reopened().identities("crm")
    assert [kind for kind, _, _ in found] == ["phone", "email", "device"]
    assert [digests.shape for _, digests, _ in found] == [(len(rows), 32), (len(rows), 16), (len(rows), 32)]
    assert held(vault, "crm") == rows
    for _, digests, present in found:
        assert not digests[~present].any()
    assert bytes(vault.digests("crm")[0]) == identity(PHONE, 1)


def test_a_dataset_of_one_kind_has_one_entry(vault):
    write(vault, "crm", range(30), meta={"identity": "phone"})
    ((kind, digests, present),) = vault.identities("crm")
    assert (kind, digests.tobytes()) == ("phone", vault.digests("crm").tobytes())
    assert present.all()


def test_one_identity_forgets_the_person_by_all(vault, reopened):
    rows = [(1, 1, None), (2, None, 2), (None, 3, 3), (4, 4, 4), (5, None, None)]
    put(vault, "crm", rows)
    forgotten = forget(vault, (MAIL, 1), (DEVICE, 3))
    assert dict(forgotten.datasets) == {"crm": 2}
    assert held(vault, "crm") == [(2, None, 2), (4, 4, 4), (5, None, None)]
    again = [(1, None, None), (None, 1, None), (None, 3, None), (9, None, 3), (6, 6, 6)]
    manifest = put(reopened(), "crm", again)
    assert (held(vault, "crm"), manifest.tombstoned) == ([(6, 6, 6)], 4)
    only = pa.record_batch([pa.array([identity(PHONE, n) for n in range(5)], pa.binary(32))], ["digest"])
    vault.write("phones", only.schema, [only], meta={})
    assert [int(row[1]) for row in vault.digests("phones")] == [0, 2, 3, 4]


def test_what_one_dataset_ties_together_another_forgets(vault):
    put(vault, "shop", [(None, 7, 7), (8, 8, None)])
    put(vault, "app", [(None, None, 7), (None, None, 8)])
    put(vault, "crm", [(7, 7, None), (9, 9, 9)])
    forgotten = forget(vault, (PHONE, 7))  # crm knows the address, shop the device, app only that
    assert dict(forgotten.datasets) == {"app": 1, "crm": 1, "shop": 1}
    assert (held(vault, "shop"), held(vault, "app")) == ([(8, 8, None)], [(None, None, 8)])


def test_a_row_that_another_stands_for_is_searched_too(vault, home):
    rows = [(1, None, None), (1, 1, None), (2, 2, None)]
    put(vault, "crm", rows, keep=[True, False, True])
    forgotten = forget(vault, (MAIL, 1))
    assert dict(forgotten.datasets) == {"crm": 1}
    assert held(vault, "crm") == [(2, 2, None)]
    assert put(vault, "crm", [(1, None, None), (2, 2, None)]).rows == 1


def test_ties_are_followed_before_the_rows_that_tell_them_are_gone(vault):
    """The way leads crm, shop, crm; a rewritten dataset keeps no row that another stands for."""
    for first, second in (("crm", "shop"), ("shop", "crm")):
        put(vault, first, [(None, 0, 0), (1, None, 2), (5, 5, 5)], keep=[False, False, True])
        put(vault, second, [(None, 0, None), (1, None, 0), (6, 6, 6)], keep=[True, False, True])
    forget(vault, (DEVICE, 2))
    assert [held(vault, name) for name in ("crm", "shop")] == [[(6, 6, 6)], [(5, 5, 5)]]


def test_a_chain_within_a_dataset(vault):
    put(vault, "crm", [(n, n + 1, None) for n in range(30)] + [(n + 1, n + 1, None) for n in range(20)])
    forget(vault, (PHONE, 3))
    assert held(vault, "crm") == [(n, n + 1, None) for n in range(21, 30)]


def test_after_a_crash_between_the_two_steps_the_rows_still_tell(vault, reopened):
    """The tombstones are durable, the datasets are not rewritten yet."""
    put(vault, "crm", [(1, 1, None), (2, 2, None)])
    vault._remember([np.frombuffer(identity(PHONE, 1), np.uint8).reshape(1, -1)])
    assert held(reopened(), "crm") == [(2, 2, None)]
    assert put(reopened(), "crm", [(None, 1, 1), (2, None, None)]).rows == 1


def test_forgetting_is_given_to_whoever_merges(vault):
    given = []
    forget(vault, (MAIL, 1))
    vault.write("crm", SCHEMA, [batch([(1, 1, None), (1, 2, None)])], meta={},
                finish=lambda stored: given.append(stored) or Finish())  # fmt: skip
    assert given[0].tolist() == [False, True]
    vault.write("crm", SCHEMA, [batch([(1, 2, None)])], meta={}, finish=lambda stored: given.append(stored) or Finish())
    assert given[1] is None


def test_rows_and_schemas_that_say_nobody_are_refused(vault):
    good = batch([(1, 1, None)])
    nobody = [good.column(0), *(pa.nulls(1, field.type) for field in list(SCHEMA)[1:4]), good.column(4)]
    with pytest.raises(UsageError, match="without an identity"):
        vault.write("crm", SCHEMA, [pa.record_batch(nobody, schema=SCHEMA)], meta={})
    for kind in (pa.binary(20), pa.string()):
        with pytest.raises(UsageError, match=r"column i\.phone of 32 or 16"):
            vault.write("crm", pa.schema([("digest", pa.binary(32)), ("i.phone", kind)]), [], meta={})


def test_a_placeholder_ties_nobody_to_anybody(vault, reopened):
    """50 rows share an address; in another dataset, it stands in one row only."""
    rows = [(n, 99, None) for n in range(50)] + [(60, 60, 60)]
    put(vault, "crm", rows)
    put(vault, "app", [(None, 99, 7), (None, 60, 60), (None, None, 8)])
    forgotten = forget(vault, (PHONE, 3))
    assert (dict(forgotten.datasets), forgotten.shared) == ({"crm": 1}, 1)
    assert held(vault, "crm") == [row for row in rows if row[0] != 3]
    assert put(reopened(), "crm", rows).tombstoned == 1
    assert forget(vault, (DEVICE, 60)).shared == 0
    forgotten = forget(vault, (MAIL, 99))
    assert (dict(forgotten.datasets), forgotten.shared) == ({"app": 1, "crm": 49}, 0)
    assert put(reopened(), "crm", rows).rows == 0
    assert held(vault, "app") == [(None, None, 8)]


@pytest.mark.parametrize(("rows", "left"), [(20, 0), (21, 20)])
def test_how_many_may_share_an_identity(vault, rows, left):
    put(vault, "crm", [(n, 99, None) for n in range(rows)])
    for name in ("app", "box", "zoo"):
        put(vault, name, [(3, 99, 1), (None, 99, 2)])
    assert forget(vault, (PHONE, 3)).shared == (1 if left else 0)
    assert vault.rows("crm") == left  # when the others are settled, only 20 may share it, and still nobody is tied
    assert {vault.rows(name) for name in ("app", "box", "zoo")} == {1 if left else 0}


@pytest.mark.parametrize("size", [7, 1000])
def test_a_phone_in_many_rows_of_one_person_is_followed(vault, size):
    put(vault, "crm", [(1, 1, None)] * 60 + [(1, None, None)] * 60 + [(2, 2, None)], size=size)
    assert forget(vault, (MAIL, 1)).shared == 0
    assert held(vault, "crm") == [(2, 2, None)]
    assert put(vault, "crm", [(1, None, None), (2, 2, None)]).tombstoned == 1


def test_a_placeholder_is_one_after_a_crash_too(vault, reopened):
    put(vault, "app", [(None, 99, 7), (3, 99, None)])
    put(vault, "crm", [(n, 99, None) for n in range(50)])
    vault._remember([np.frombuffer(identity(PHONE, 3), np.uint8).reshape(1, -1)])
    assert held(reopened(), "app") == [(None, 99, 7)]
    assert reopened().rows("crm") == 49


some = st.one_of(st.none(), st.integers(0, 4))
rows = st.lists(st.tuples(some, some, some).filter(lambda row: row != (None, None, None)), max_size=6)
imports = st.tuples(st.sampled_from(["crm", "shop"]), rows, st.lists(st.booleans(), min_size=6, max_size=6))
named = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=2)


@given(st.lists(st.one_of(imports, named), max_size=7), st.sampled_from([1, 2, 20]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_the_judge_says(another, steps, most):
    """A vault is versions of (row, stands); forgetting ties identities together until nothing new is tied."""
    with mock.patch("cleanroom.vault.shared.MOST_SHARED", most):
        judged(another(), steps, most)


def judged(vault, steps, most):
    """Every step, and at the end what is held; what more than `most` different rows of a version share ties nobody."""
    gone, versions = set(), {}

    def ids(row):
        return {(kind, number) for kind, number in enumerate(row) if number is not None}

    for step in steps:
        if isinstance(step, tuple):
            name, given, keep = step
            put(vault, name, given, keep[: len(given)])
            stored = [(row, stands) for row, stands in zip(given, keep, strict=False) if not ids(row) & gone]
            versions[name] = [*versions.get(name, [])[-1:], stored]
            continue
        forget(vault, *step)
        gone |= set(step)
        every = [{row for row, _ in version} for kept in versions.values() for version in kept]
        times = [Counter(one for row in version for one in ids(row)) for version in every]
        shared = {one for counted in times for one, count in counted.items() if count > most} - gone
        everything = [ids(row) - shared for version in every for row in version]
        while tied := [row for row in everything if row & gone and not row <= gone]:
            gone = gone.union(*tied)
        for name, kept in versions.items():
            touched = [any(ids(row) & gone for row, _ in version) for version in kept]
            last = [(row, True) for row, stands in kept[-1] if stands and not ids(row) & gone]
            versions[name] = [version for version, hit in zip(kept[:-1], touched, strict=False) if not hit]
            versions[name].append(last if touched[-1] else kept[-1])
    for name, kept in versions.items():
        assert held(vault, name) == [row for row, stands in kept[-1] if stands]
        assert len(vault.versions(name)) == len(kept)


def test_single_kinds_are_forgotten_as_ever(vault):
    write(vault, "crm", range(20))
    assert (vault.forget(persons([3])).epoch, people(vault, "crm")) == (1, [n for n in range(20) if n != 3])
