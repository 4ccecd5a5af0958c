"""Several identities a person at import: who a row is about, what is lost, who stands, and what is refused."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from few_rows import Rows, mapping
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import InputError
from connectors.funnel import Funnel, WaterfallFunnel
from connectors.identity import Loss, profile
from connectors.importing import Also, Importer, ImportSpec, MixedForms
from connectors.mapping import ColumnRole, Mapping, identity_columns

ROLES = mapping(phone="identity", email="identity", device="identity", spend="amount", yes="consent")
SPEC = ImportSpec(ROLES, "phone", "cn-mobile/1", also=(Also("email", "meta/1"),))
THREE = replace(SPEC, also=(Also("email", "meta/1"), Also("device", "device/1")))
PHONES = [f"1380000000{n}" for n in range(5)]
MAILS = [f"user{n}@example.com" for n in range(5)]
DEVICES = [f"{n}1234567-89ab-4def-8123-456789abcdef" for n in range(3)]


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def source(rows: list[dict[str, str | None]], size: int = 3) -> Rows:
    names = ("phone", "email", "device", "spend", "yes")
    return Rows({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}, size)


def run(rows: Rows, spec: ImportSpec = SPEC, **options: object) -> tuple[pa.Table, Importer]:
    importer = Importer(rows, spec, **options)  # type: ignore[arg-type]
    return pa.Table.from_batches(importer.batches(), importer.schema), importer


phones = st.sampled_from([*PHONES, "138****1234", "1.38E+10", "", None])
mails = st.sampled_from([*MAILS, "USER1@EXAMPLE.COM ", "nobody", "", None])
devices = st.sampled_from([*DEVICES, "00000000-0000-0000-0000-000000000000", "", None])
person = st.fixed_dictionaries({
    "phone": phones, "email": mails, "device": devices,
    "spend": st.sampled_from(["1", "2.5", "30", "", "much"]), "yes": st.sampled_from(["是", "是", "是", "否"]),
})  # fmt: skip


@given(st.lists(person, max_size=30), st.integers(1, 31), st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_row_is_about_the_first_identity_that_is_valid(
    rows: list[dict[str, str | None]], size: int, asked: bool
) -> None:
    table, importer = run(source(rows, size), replace(THREE, consent="yes" if asked else None), form=("raw",) * 3)
    used = {"phone": "cn-mobile/1", "email": "meta/1", "device": "device/1"}
    judged = {
        kind: profile(name).normalise(pa.array([r[kind] for r in rows], pa.string())) for kind, name in used.items()
    }
    wanted, lost = [], Counter[str]()
    by_kind = {kind: Counter[str]() for kind in used}
    for place, row in enumerate(rows):
        found = {kind: one.digest[place].as_py() for kind, one in judged.items()}
        why = {kind: one.reason[place].as_py() for kind, one in judged.items()}
        if asked and row["yes"] == "否":
            why = {kind: reason if reason == Loss.MISSING else Loss.NO_CONSENT for kind, reason in why.items()}
        for kind, reason in why.items():
            by_kind[kind][str(reason or "valid")] += 1
        usable = [kind for kind in used if why[kind] is None]
        if usable:
            wanted.append((place + 2, found[usable[0]], *(found[kind] for kind in used)))
        else:
            lost[next((str(reason) for reason in why.values() if reason != Loss.MISSING), "missing")] += 1
    names = ["row", "digest", "i.phone", "i.email", "i.device"]
    assert importer.schema.names[:5] == names
    assert list(zip(*(table[name].to_pylist() for name in names), strict=True)) == wanted
    funnel = importer.funnel()
    assert isinstance(funnel, WaterfallFunnel)
    assert (funnel.rows, funnel.valid, funnel.losses) == (len(rows), len(wanted), dict(lost))
    assert funnel.unique == len({row[1] for row in wanted})
    assert sum(funnel.formats.values()) == funnel.present == len(rows) - lost["missing"]
    for told in funnel.kinds:
        assert told.valid == by_kind[told.kind].pop("valid", 0)
        assert told.losses == dict(by_kind[told.kind])
        assert told.present == len(rows) - told.losses.get("missing", 0)
        for reason, examples in told.examples.items():
            assert len(examples) == min(5, told.losses[reason])


@given(st.lists(person, max_size=30), st.sampled_from(["first", "last", "sum"]), st.data())
@settings(max_examples=15, deadline=None)
def test_rows_that_were_not_stored_are_as_if_they_had_not_been_there(
    rows: list[dict[str, str | None]], merge: str, data: st.DataObject
) -> None:
    spec = replace(SPEC, columns=("spend",), merge=merge)
    valid, importer = run(source(rows, 7), spec, form=("raw", "raw"))
    stored = np.array([data.draw(st.booleans()) for _ in range(valid.num_rows)], np.bool_)
    importer.leave_out(stored)
    keep = np.ones(valid.num_rows, np.bool_) if importer.keep() is None else importer.keep()
    assert keep is not None
    people = set(valid["digest"].to_pylist())
    assert importer.funnel().unique == len(people) == keep.sum()
    numbers = [row for row, one in zip(valid["row"].to_pylist(), stored, strict=True) if one]
    rest, again = run(source([rows[number - 2] for number in numbers], 7), spec, form=("raw", "raw"))
    standing = np.arange(len(numbers)) if again.keep() is None else np.flatnonzero(again.keep())
    assert [row for row, k, s in zip(valid["row"].to_pylist(), keep, stored, strict=True) if k and s] == [
        numbers[place] for place in standing
    ]
    if merge == "sum":
        sums = (importer.merged() or {"spend": np.ma.array(_plain(valid, keep))})["spend"][stored[keep]].tolist()
        assert sums == (again.merged() or {"spend": np.ma.array(_plain(rest, None))})["spend"].tolist()


def _plain(table: pa.Table, keep: np.ndarray | None) -> "np.ma.MaskedArray":
    values = table["t.spend"].to_pylist()
    return np.ma.MaskedArray([v or 0 for v in values], mask=[v is None for v in values])[
        slice(None) if keep is None else keep
    ]


def test_persons_are_told_apart_by_their_first_identity() -> None:
    rows = [
        {"phone": PHONES[0], "email": MAILS[0]},
        {"phone": PHONES[1], "email": MAILS[0]},  # another phone: another person, with the same address
        {"email": MAILS[0]},  # no phone: a third
        {"email": MAILS[0].upper()},
        {"phone": f"+86 {PHONES[1]}"},
    ]
    table, importer = run(source(rows))
    assert importer.keep().tolist() == [True, True, True, False, False]  # type: ignore[union-attr]
    assert table["digest"].to_pylist() == [sha256(one) for one in (PHONES[0], PHONES[1], MAILS[0], MAILS[0], PHONES[1])]
    assert table["i.phone"].to_pylist() == [sha256(PHONES[0]), sha256(PHONES[1]), None, None, sha256(PHONES[1])]
    assert table["i.email"].null_count == 1


def test_md5_beside_sha256() -> None:
    md5 = [hashlib.md5(mail.encode()).hexdigest() for mail in MAILS]
    rows = [{"phone": PHONES[0], "email": md5[0]}, {"email": md5[1].upper()}, {"phone": PHONES[2]}, {"email": md5[1]}]
    table, importer = run(source(rows))
    assert importer.forms == ("raw", "md5")
    assert [importer.schema.field(name).type.byte_width for name in ("digest", "i.phone", "i.email")] == [32, 32, 16]
    assert table["i.email"].to_pylist() == [*map(bytes.fromhex, md5[:2]), None, bytes.fromhex(md5[1])]
    padded = bytes.fromhex(md5[1]) + bytes(16)
    assert table["digest"].to_pylist() == [sha256(PHONES[0]), padded, sha256(PHONES[2]), padded]
    funnel = importer.funnel()
    assert isinstance(funnel, WaterfallFunnel)
    assert (funnel.digest_form, [one.digest_form for one in funnel.kinds]) == ("sha256", ["sha256", "md5"])
    assert (funnel.unique, funnel.merged) == (3, 1)
    _, only = run(source(rows), replace(SPEC, on="email", profile="meta/1", also=(Also("phone", "cn-mobile/1"),)))
    assert only.funnel().digest_form == "md5"
    _, both = run(source([{"phone": hashlib.md5(b"1").hexdigest(), "email": md5[0]}]))
    assert both.schema.field("digest").type.byte_width == 16


def test_no_rows_and_only_blank_ones() -> None:
    for rows in ([], [{}, {"email": " "}]):
        table, importer = run(source(rows))
        assert (table.num_rows, importer.funnel().unique, importer.funnel().present) == (0, 0, 0)


def test_a_further_column_that_changes_its_form_is_refused_at_the_end() -> None:
    rows = [{"phone": PHONES[0], "email": MAILS[0]}] * 3 + [{"phone": PHONES[1], "email": sha256("x").hex()}] * 4
    with pytest.raises(MixedForms, match="column email the first rows are raw"):
        run(source(rows))
    _, importer = run(source(rows), form=("raw", "sha256"))
    assert importer.funnel().kinds[1].losses == {Loss.RAW_AMONG_HASHED: 3}  # type: ignore[attr-defined]


def test_one_identity_has_the_columns_and_the_account_it_always_had() -> None:
    _, importer = run(source([{"phone": PHONES[0]}]), replace(SPEC, also=()))
    assert [name for name in importer.schema.names if name.startswith("i.")] == []
    assert type(importer.funnel()) is Funnel


def test_which_columns_are_meant() -> None:
    assert [role.header for role in identity_columns(ROLES, "email, phone")] == ["email", "phone"]
    assert [role.header for role in identity_columns(ROLES, "手机号，邮箱")] == ["phone", "email"]
    comma = Mapping((ColumnRole("phone, home", "phone", "identity"), ColumnRole("mail", "email", "identity")))
    assert [role.header for role in identity_columns(comma, "phone, home")] == ["phone, home"]
    assert [role.header for role in identity_columns(comma, "email,phone")] == ["mail", "phone, home"]
    two = Mapping((ColumnRole("a", "phone", "identity"), ColumnRole("b", "phone", "identity"), *comma.columns[1:]))
    for roles, on, said in (
        (ROLES, "phone,phone", "phone is asked for twice"),
        (ROLES, "phone,手机号", "phone is asked for twice"),
        (two, "a,b", "phone is asked for twice"),
        (two, "email,phone", "Two columns can be the phone"),
        (ROLES, "phone,spend", "No column holds the spend"),
        (ROLES, "phone,openid", "No column holds the openid"),
        (ROLES, "phone,", "No column holds the"),
    ):
        with pytest.raises(InputError, match=said):
            identity_columns(roles, on)
    with pytest.raises(InputError, match="asked for twice"):
        Importer(source([]), replace(SPEC, also=(Also("phone", "e164/1"),)))
    with pytest.raises(InputError, match="does not say how email"):
        Importer(source([]), replace(SPEC, also=(Also("email", "cn-mobile/1"),)))
