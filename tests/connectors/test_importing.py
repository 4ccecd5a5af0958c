"""The import funnel: every row accounted for, on whatever comes in; and what the merge rules keep."""

import datetime
import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pytest
from few_rows import Rows, mapping
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import InputError
from connectors.funnel import Funnel
from connectors.identity import Loss, profile
from connectors.importing import Importer, ImportSpec, MixedForms
from connectors.merging import Persons
from connectors.private_domain import scratch
from connectors.source import Rejected
from connectors.values import LIMIT

ROLES = mapping(phone="identity", spend="amount", level="category", day="date", score="bucket", yes="consent")
SPEC = ImportSpec(ROLES, "phone", "cn-mobile/1")
PHONES = [f"1380000000{n}" for n in range(10)]


def table(phones: list[str | None], **columns: list[object]) -> dict[str, object]:
    blank = dict.fromkeys(("spend", "level", "day", "score", "yes"), [""] * len(phones))
    return {"phone": pa.array(phones, pa.string())} | {
        name: pa.array(values, pa.string()) for name, values in (blank | columns).items()
    }


def run(source: Rows, spec: ImportSpec = SPEC, **options: str) -> tuple[pa.Table, Importer]:
    importer = Importer(source, spec, **options)  # type: ignore[arg-type]
    return pa.Table.from_batches(importer.batches(), importer.schema), importer


def digest(phone: str) -> bytes:
    return hashlib.sha256(phone.encode()).digest()


messy = st.one_of(
    st.none(),
    st.sampled_from(PHONES[:4]),
    st.sampled_from(PHONES[:4]).map(lambda phone: f"+86 {phone[:3]}-{phone[3:]}"),
    st.sampled_from(["", "NULL", "138****1234", "1.38E+10", "010-88888888", "x", "1380000000", "13800000001.0"]),
    st.sampled_from(["a", "b"]).map(lambda text: hashlib.sha256(text.encode()).hexdigest()),
    st.text("01358+-.*E ", max_size=14),
)


@given(
    st.lists(messy, max_size=40),
    st.integers(1, 50),
    st.lists(st.sampled_from(["ragged", "total"]), max_size=4),
    st.sampled_from(["first", "last", "sum"]),
)
@settings(max_examples=15, deadline=None)
def test_every_row_is_accounted_for(phones: list[str | None], size: int, unread: list[str], merge: str) -> None:
    rejected = [Rejected(1_000 + place, reason) for place, reason in enumerate(unread)]
    source = Rows(table(phones), size, rejected)
    spec = replace(SPEC, merge=merge, columns=("spend",))
    column = pa.array(phones, pa.string())
    form = profile("cn-mobile/1").form(column)
    judge = profile("cn-mobile/1").normalise(column)
    rows, importer = run(source, spec, form=form)
    funnel = importer.funnel()
    lost = Counter(judge.reason.to_pylist())
    valid = lost.pop(None, 0)
    missing = lost.get("missing", 0)
    assert funnel.rows == len(phones) + len(unread)
    assert funnel.losses == lost + Counter(unread)
    assert (funnel.present, funnel.valid, funnel.unread) == (len(phones) - missing, valid, len(unread))
    digests = [one for one in judge.digest.to_pylist() if one is not None]
    assert (funnel.unique, funnel.merged) == (len(set(digests)), valid - len(set(digests)))
    assert rows["digest"].to_pylist() == digests
    assert sum(funnel.formats.values()) == funnel.present
    assert rows["o.phone"].to_pylist() == [phones[number - 2] for number in rows["row"].to_pylist()]
    for name, examples in funnel.examples.items():
        where = [place + 2 for place, why in enumerate(judge.reason.to_pylist()) if why == name]
        where += [one.row for one in rejected if one.reason == name]
        assert list(examples) == where[:5]


people = st.lists(
    st.tuples(
        st.sampled_from(PHONES[:5]),
        st.one_of(st.none(), st.integers(-(10**6), 10**6), st.just(10**16)),
        st.one_of(st.none(), st.dates(datetime.date(2024, 1, 1), datetime.date(2024, 1, 9))),
    ),
    max_size=30,
)


@given(people, st.sampled_from(["first", "last", "sum"]), st.booleans(), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_merge_rules_as_the_judge_says(
    rows: list[tuple[str, int | None, datetime.date | None]], merge: str, dated: bool, size: int
) -> None:
    texts = [["" if value is None else str(value) for value in column] for column in zip(*rows, strict=True)]
    phones, spend, days = texts or ([], [], [])
    source = Rows(table(phones, spend=spend, day=days), size)
    _, importer = run(source, replace(SPEC, columns=("spend",), merge=merge, merge_by="day" if dated else None))
    standing: dict[str, int] = {}
    for place, (phone, _, day) in enumerate(rows):
        earlier = rows[standing[phone]][2] if phone in standing else None
        newer = not dated or (day or datetime.date.min) >= (earlier or datetime.date.min)
        if phone not in standing or (merge == "last" and newer):
            standing[phone] = place
    keep = importer.keep()
    if len(standing) == len(rows):
        assert keep is None
        assert importer.merged() is None
        return
    assert keep is not None
    assert np.flatnonzero(keep).tolist() == sorted(standing.values())
    if merge == "sum":
        wanted = []
        for place in sorted(standing.values()):
            known = [cents * 100 for phone, cents, _ in rows if phone == rows[place][0] and cents is not None]
            wanted.append(sum(known) if known and abs(sum(known)) <= LIMIT else None)
        assert (importer.merged() or {})["spend"].tolist() == wanted
    else:
        assert importer.merged() is None


def test_typed_columns_and_what_could_not_be_read() -> None:
    source = Rows(
        table(
            PHONES[:5],
            spend=["¥1,234.50", "1.2万", "much", "", "99999999999999999999"],
            level=["ＶＩＰ", " 金卡 ", "", "1", "x"],
            day=["2024年1月2日", "45293", "01/02/2024", "", "2024-02-30"],
            score=["1", "2.5", "3%", "", "-4"],
        )
    )
    rows, importer = run(source, replace(SPEC, columns=("spend", "level", "day", "score")))
    assert rows["t.spend"].to_pylist() == [123_450, 1_200_000, None, None, None]
    assert rows["t.level"].to_pylist() == ["VIP", "金卡", None, "1", "x"]
    assert rows["t.day"].to_pylist() == [datetime.date(2024, 1, 2)] * 2 + [None] * 3
    assert rows["t.score"].to_pylist() == [1.0, 2.5, None, None, -4.0]
    assert rows["o.spend"].to_pylist()[0] == "¥1,234.50"
    funnel = importer.funnel()
    assert funnel.unparsed == {"spend": 2, "level": 0, "day": 2, "score": 1}
    assert funnel.examples["unparsed:spend"] == (4, 6)
    assert importer.schema.names[:3] == ["row", "digest", "t.spend"]


def test_a_bucket_of_dates_becomes_days() -> None:
    source = Rows(table(PHONES[:2], score=["2024-01-02", "2024-01-03"]))
    rows, _ = run(source, replace(SPEC, columns=("score",)))
    assert rows["t.score"].type == pa.date32()


def test_without_consent_nobody_gets_in() -> None:
    phones = [*PHONES[:4], "", "bad"]
    source = Rows(table(phones, yes=["是", "否", "", "maybe", "否", "no"]))
    rows, importer = run(source, replace(SPEC, consent="yes"))
    assert rows["o.phone"].to_pylist() == PHONES[:1]
    assert importer.funnel().losses == {Loss.NO_CONSENT: 4, Loss.MISSING: 1}


def test_md5_columns_have_short_digests_and_say_so() -> None:
    hashes = [hashlib.md5(phone.encode()).hexdigest() for phone in PHONES]
    rows, importer = run(Rows(table([*hashes, hashes[0].upper(), "13800000000"])))
    assert rows["digest"].type == pa.binary(16)
    funnel = importer.funnel()
    assert (funnel.digest_form, funnel.unique, funnel.merged) == ("md5", 10, 1)
    assert funnel.losses == {Loss.RAW_AMONG_HASHED: 1}
    assert funnel.formats == {"32 hex": 11, "11 digits": 1}


def test_a_column_that_changes_its_form_is_refused_at_the_end() -> None:
    hashes = [hashlib.sha256(phone.encode()).hexdigest() for phone in PHONES]
    with pytest.raises(MixedForms, match="first rows are raw"):
        run(Rows(table(PHONES[:3] + hashes)))


def test_a_second_reading_starts_anew() -> None:
    importer = Importer(Rows(table([PHONES[0], PHONES[0], "x"])), SPEC)
    first = [batch.num_rows for batch in importer.batches()]
    funnel = importer.funnel()
    assert [batch.num_rows for batch in importer.batches()] == first
    assert importer.funnel() == funnel


def test_nothing_is_told_before_the_end() -> None:
    importer = Importer(Rows(table(PHONES)), SPEC)
    with pytest.raises(RuntimeError):
        importer.funnel()


def test_no_rows_at_all() -> None:
    rows, importer = run(Rows(table([])))
    assert rows.num_rows == 0
    assert importer.keep() is None
    assert importer.funnel().rows == 0


def test_identities_are_neither_groups_nor_sums() -> None:
    with pytest.raises(InputError, match="is an identity"):
        Importer(Rows(table(PHONES)), replace(SPEC, columns=("phone",)))


def test_progress_counts_rows() -> None:
    seen: list[int] = []
    importer = Importer(Rows(table(PHONES), size=4), SPEC, seen.append)
    list(importer.batches())
    assert seen == [4, 8, 10]


def test_a_funnel_that_loses_a_row_cannot_be_made() -> None:
    good = {"rows": 3, "present": 2, "valid": 1, "unique": 1, "losses": {"missing": 1, "masked": 1}}
    rest = {"repairs": {}, "examples": {}, "formats": {}, "digest_form": "sha256"}
    rest |= {"merged": 0, "unparsed": {}, "unread": 0}
    Funnel(**good, **rest)  # type: ignore[arg-type]
    for change in ({"rows": 4}, {"valid": 2}, {"unique": 0}, {"losses": {"missing": 1}}, {"unread": 1}):
        with pytest.raises(RuntimeError, match="does not account"):
            Funnel(**(good | rest | change))  # type: ignore[arg-type]


def test_persons_whose_digests_share_their_first_half_stay_apart() -> None:
    persons = Persons("sum", ("spend",))
    digests = np.zeros((5, 32), np.uint8)
    digests[:, 8] = [1, 2, 1, 3, 2]
    digests[:, 31] = range(5)  # beyond the 16 bytes that are kept
    amounts = np.array([5, 7, LIMIT, LIMIT, LIMIT])
    persons.add(digests, None, {"spend": (amounts, np.array([True, True, False, True, True]))})
    merged = persons.merge()
    assert merged.people == 3
    assert merged.keep is not None
    assert merged.keep.tolist() == [True, True, False, True, False]
    assert merged.amounts is not None
    assert merged.amounts["spend"].tolist() == [5, None, LIMIT]


def test_a_sum_that_wraps_around_is_no_sum() -> None:
    persons = Persons("sum", ("spend",))
    persons.add(np.zeros((4, 16), np.uint8), None, {"spend": (np.full(4, LIMIT), np.ones(4, bool))})
    merged = persons.merge()
    assert merged.amounts is not None
    assert merged.amounts["spend"].tolist() == [None]


@pytest.mark.parametrize("rule", ["first", "last", "sum"])
def test_what_many_rows_come_to_is_what_few_do(rule: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    rows = 4000
    digests = np.frombuffer(b"".join(digest(str(n)) for n in draw.integers(0, 1500, rows)), np.uint8).reshape(rows, 32)
    days = draw.integers(0, 9, rows).astype(np.int32), draw.random(rows) < 0.9
    amounts = draw.integers(-(10**6), 10**6, rows), draw.random(rows) < 0.9
    stored = draw.random(rows) < 0.7

    def merged(most: int) -> tuple[int, list[bool], list[int | None]]:
        monkeypatch.setattr(scratch, "MOST_IN_MEMORY", most)
        monkeypatch.setattr(scratch, "CHUNK_ROWS", 300)
        persons = Persons(rule, ("spend",) if rule == "sum" else (), days=rule == "last", scratch=tmp_path)  # type: ignore[arg-type]
        for start in range(0, rows, 250):
            some = slice(start, start + 250)
            given = (days[0][some], days[1][some]) if rule == "last" else None
            persons.add(digests[some], given, {"spend": (amounts[0][some], amounts[1][some])})
        found = persons.merge(stored)
        assert found.keep is not None
        return found.people, found.keep.tolist(), found.amounts["spend"].tolist() if found.amounts else []

    few, many = merged(1_000_000), merged(500)
    assert many == few
    assert few[0] == len(np.unique(digests[:, :8].copy().view(np.uint64)))


def test_what_is_set_aside_shows_no_digest_and_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scratch, "MOST_IN_MEMORY", 1000)
    opened: list[IO[bytes]] = []

    def watched(**options: Any) -> IO[bytes]:
        opened.append((tmp_path / "aside").open("w+b"))
        return opened[-1]

    monkeypatch.setattr(scratch.tempfile, "TemporaryFile", watched)
    persons = Persons("first", scratch=tmp_path)
    digests = np.random.default_rng(1).integers(0, 256, (2000, 32), np.uint8)
    persons.add(digests, None, {})
    persons.add(digests, None, {})
    merged = persons.merge()
    content = (tmp_path / "aside").read_bytes()
    assert merged.people == 2000
    assert len(content) > 4000 * 24
    assert not any(bytes(row[:8]) in content for row in digests)
    assert opened[0].closed


def test_a_full_disk_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> IO[bytes]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "MOST_IN_MEMORY", 10)
    monkeypatch.setattr(scratch.tempfile, "TemporaryFile", full)
    with pytest.raises(InputError, match="No space left"):
        Persons("first").add(np.zeros((20, 32), np.uint8), None, {})
