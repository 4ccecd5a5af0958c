"""From a file with several identities a person into the vault, and out of it for good."""

import hashlib
import io
import secrets
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom import datasets
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from connectors.errors import InputError
from connectors.identity import profile
from connectors.source import BATCH_ROWS

PHONES = [f"1390000000{n}" for n in range(10)]
MAILS = [f"someone{n}@example.com" for n in range(10)]
Row = tuple[str, ...]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home", "merchant")


def csv(path: Path, rows: list[Row], header: str = "手机号,邮箱,消费金额") -> str:
    path.write_text("\n".join([header, *(",".join(row) for row in rows), ""]), "utf-8")
    return str(path)


def add(home: Home, file: str, on: str = "phone,email", named: str | None = None) -> dict[str, Any]:
    return datasets.add(home.path, file, "crm", on, named, None, None, None, lambda *_: None)


def held(home: Home) -> list[tuple[str | None, ...]]:
    """Each person of the dataset by the texts behind the identities."""
    texts = {hashlib.sha256(text.encode()).digest(): text for text in PHONES + MAILS}
    kinds = [
        [texts[bytes(row)] if there else None for row, there in zip(digests, present, strict=True)]
        for _, digests, present in home.vault.identities("crm")
    ]
    return list(zip(*kinds, strict=True))


def test_what_the_manifest_says(home: Home, tmp_path: Path) -> None:
    rows = [(PHONES[0], MAILS[0], "1"), ("", MAILS[1].upper(), "2"), (PHONES[2], "nobody", "3"), ("x", "", "4")]
    result = add(home, csv(tmp_path / "crm.csv", rows))
    meta: Any = home.vault.manifest("crm").meta
    assert held(home) == [(PHONES[0], MAILS[0]), (None, MAILS[1]), (PHONES[2], None)]
    assert (meta["identity"], meta["profile"]) == ("phone", "cn-mobile/1")
    digest = profile("meta/1", "email").digest()
    wanted = {"identity": "email", "profile": "meta/1", "profile_digest": digest, "digest_form": "sha256"}
    assert meta["also"] == [wanted]
    assert [one["kind"] for one in result["funnel"]["kinds"]] == ["phone", "email"]
    assert [one["valid"] for one in result["funnel"]["kinds"]] == [2, 2]
    assert result["funnel"]["losses"] == {"other-characters": 1}
    (listed,) = datasets.listed(home.path)["datasets"]
    assert (listed["identity"], listed["also"]) == ("phone", [{"identity": "email", "profile": "meta/1"}])
    told = repr(result) + repr(meta)
    assert not any(value in told for value in (*PHONES, *MAILS))


def test_one_identity_says_nothing_new(home: Home, tmp_path: Path) -> None:
    result = add(home, csv(tmp_path / "crm.csv", [(PHONES[0], MAILS[0], "1")]), "phone")
    meta = home.vault.manifest("crm").meta
    assert set(meta) == {"source", "identity", "profile", "profile_digest", "columns", "funnel"}
    assert "kinds" not in result["funnel"]
    assert [name for name in home.vault.schema("crm").names if name.startswith("i.")] == []


def test_a_named_profile_is_every_identitys(home: Home, tmp_path: Path) -> None:
    file = csv(tmp_path / "crm.csv", [(PHONES[0], MAILS[0], "1")])
    add(home, file, named="uid2/1")
    meta: Any = home.vault.manifest("crm").meta
    assert [meta["profile"], meta["also"][0]["profile"]] == ["uid2/1", "uid2/1"]
    assert meta["profile_digest"] == meta["also"][0]["profile_digest"] == profile("uid2/1").digest()
    digests = {kind: bytes(rows[0]) for kind, rows, _ in home.vault.identities("crm")}
    assert digests["phone"] == hashlib.sha256(f"+86{PHONES[0]}".encode()).digest()
    for named, kind in (("cn-mobile/1", "email"), ("openid/1", "phone")):
        with pytest.raises(UsageError, match=f"not for {kind}"):
            add(home, file, named=named)


def test_a_further_column_that_the_first_rows_misrepresent_is_read_again(home: Home, tmp_path: Path) -> None:
    """A first batch without an address, then a few that are hashed."""
    hashed = hashlib.md5(MAILS[0].encode()).hexdigest()
    rows = [(PHONES[0], "", "1")] * (BATCH_ROWS + 1) + [("", hashed, "2")] * 5
    result = add(home, csv(tmp_path / "crm.csv", rows))
    assert [one["digest_form"] for one in result["funnel"]["kinds"]] == ["sha256", "md5"]
    (_, _, phone), (_, digests, email) = home.vault.identities("crm")
    assert (phone.tolist(), email.tolist(), bytes(digests[1]).hex()) == ([True, False], [False, True], hashed)
    assert home.vault.digests("crm").shape == (2, 32)


@pytest.mark.parametrize(("on", "error", "said"), [
    ("phone,phone", InputError, "asked for twice"),
    ("phone,spend", InputError, "No column holds the spend"),
    ("phone,device", InputError, "No column holds the device"),
])  # fmt: skip
def test_what_is_no_list_of_identities_is_refused(
    home: Home, tmp_path: Path, on: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        add(home, csv(tmp_path / "crm.csv", [(PHONES[0], MAILS[0], "1")]), on)
    assert home.vault.datasets() == []


def test_two_columns_with_one_header_are_refused_or_told_apart(home: Home, tmp_path: Path) -> None:
    file = csv(tmp_path / "crm.csv", [(PHONES[0], PHONES[1], MAILS[0])], "手机号,mobile,邮箱")
    with pytest.raises(InputError, match="Two columns can be the phone"):
        add(home, file)
    with pytest.raises(InputError, match="asked for twice"):
        add(home, file, "手机号,mobile")
    add(home, file, "mobile,邮箱")
    assert held(home) == [(PHONES[1], MAILS[0])]


def test_whoever_is_forgotten_by_one_identity_comes_back_by_none(home: Home, tmp_path: Path) -> None:
    rows = [(PHONES[n], MAILS[n], "1") for n in range(6)]
    add(home, csv(tmp_path / "crm.csv", rows))
    gone = datasets.forget(home.path, csv(tmp_path / "gone.csv", [(MAILS[1],)], "邮箱"), "email", None)
    assert (gone["persons"], gone["datasets"], gone["form"]) == (1, {"crm": 1}, "raw")
    result = add(home, csv(tmp_path / "again.csv", [(PHONES[1], "", "1"), ("", MAILS[1], "2"), (PHONES[0], "", "3")]))
    assert (held(home), result["forgotten"]) == ([(PHONES[0], None)], 2)


def test_a_row_that_is_left_out_stands_for_nobody(home: Home, tmp_path: Path) -> None:
    people = [(PHONES[3], MAILS[0])]
    datasets.forget(home.path, csv(tmp_path / "gone.csv", people, "手机号,邮箱"), "phone,email", None)
    result = add(home, csv(tmp_path / "crm.csv", [(PHONES[0], MAILS[0], "1"), (PHONES[0], "", "2")]))
    assert (held(home), result["rows"], result["forgotten"]) == ([(PHONES[0], None)], 1, 0)
    add(home, csv(tmp_path / "e164.csv", [(PHONES[3], "", "1"), (PHONES[4], "", "1")]), "phone", "e164/1")
    assert home.vault.rows("crm") == 1  # a raw identity is forgotten as every profile writes it


def test_a_list_of_several_identities(home: Home, tmp_path: Path) -> None:
    add(home, csv(tmp_path / "crm.csv", [(PHONES[n], MAILS[n], "1") for n in range(6)]))
    hashed = hashlib.sha256(MAILS[4].encode()).hexdigest()
    people = [(PHONES[0], "0" * 63 + "1"), ("", hashed), ("nobody", "")]
    gone = datasets.forget(home.path, csv(tmp_path / "gone.csv", people, "手机号,邮箱"), "phone,email", None)
    assert (gone["persons"], gone["datasets"], gone["form"]) == (2, {"crm": 2}, "sha256")
    assert gone["losses"] == {"other-characters": 1}
    assert held(home) == [(PHONES[n], MAILS[n]) for n in (1, 2, 3, 5)]


def test_standard_input_names_people_by_one_kind(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(home, csv(tmp_path / "crm.csv", [(PHONES[n], MAILS[n], "1") for n in range(3)]))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(f"{MAILS[2]}\n".encode())))
    with pytest.raises(UsageError, match="one kind"):
        datasets.forget(home.path, "-", "phone,email", None)
    assert datasets.forget(home.path, "-", "email", None)["datasets"] == {"crm": 1}
    assert [phone for phone, _ in held(home)] == PHONES[:2]


cell = st.one_of(st.just(-1), st.integers(0, 4))
people = st.lists(st.tuples(cell, cell, st.integers(0, 9)), min_size=1, max_size=8).filter(
    lambda rows: any(row[:2] != (-1, -1) for row in rows)
)


@given(people, people, st.sampled_from(["phone", "email"]), st.integers(0, 4))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_persons_as_the_judge_says(
    tmp_path: Path, first: list[tuple[int, int, int]], second: list[tuple[int, int, int]], kind: str, number: int
) -> None:
    """Rows with a forgotten identity go; of the others one row a person stands, the first."""
    home = Home.create(tmp_path / secrets.token_hex(8), "merchant")

    def texts(rows: list[tuple[int, int, int]]) -> list[Row]:
        return [(PHONES[p] if p >= 0 else "", MAILS[m] if m >= 0 else "", str(spend)) for p, m, spend in rows]

    def standing(rows: list[Row], gone: set[str]) -> list[tuple[str | None, ...]]:
        left = [row for row in rows if any(row[:2]) and not set(row[:2]) & gone]
        return [
            (row[0] or None, row[1] or None) for row in {(row[0] or row[1]): row for row in reversed(left)}.values()
        ]

    import_source(home, Wish("crm", csv(tmp_path / "a.csv", texts(first)), on="phone,email"))
    assert sorted(held(home), key=repr) == sorted(standing(texts(first), set()), key=repr)
    gone = {(PHONES if kind == "phone" else MAILS)[number]}
    datasets.forget(home.path, csv(tmp_path / "gone.csv", [(*gone,)], kind), kind, None)
    everything = [set(row[:2]) - {""} for row in texts(first)]
    while tied := [row for row in everything if row & gone and not row <= gone]:
        gone = gone.union(*tied)
    assert sorted(held(home), key=repr) == sorted(standing(texts(first), gone), key=repr)
    import_source(home, Wish("crm", csv(tmp_path / "b.csv", texts(second)), on="phone,email"))
    assert sorted(held(home), key=repr) == sorted(standing(texts(second), gone), key=repr)
