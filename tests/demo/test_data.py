"""The demo's files hold exactly the defects and the overlap that they are said to hold, and nobody's number."""

import re
from datetime import date
from pathlib import Path

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleanroom.demo import people
from cleanroom.demo.data import DemoFiles, _write_demo, write_demo
from cleanroom.errors import UsageError
from cleanroom.insight.checkup import checkup
from connectors.doctor import examine
from connectors.events import EVENTS, Feature, fold
from connectors.importing import Importer, ImportSpec
from connectors.open import open_source

AS_OF = date(2026, 11, 21)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return write_demo(tmp_path_factory.mktemp("demo"), AS_OF, 0.2)


def _digests(path: Path) -> dict[bytes, dict[str, object]]:
    """Digest → the first row of each person."""
    source = open_source(str(path))
    mapping = examine(source, "phone").mapping
    found: dict[bytes, dict[str, object]] = {}
    for batch in Importer(source, ImportSpec(mapping, "phone", "cn-mobile/1")).batches():
        for row in batch.to_pylist():
            found.setdefault(row["digest"], row)
    return found


def test_the_doctor_finds_every_defect_of_the_export(files: DemoFiles) -> None:
    funnel = examine(open_source(str(files.members)), "phone").funnel
    truth = files.truth
    assert (funnel.rows, funnel.present, funnel.valid) == (truth.rows, truth.present, truth.valid)
    assert (funnel.unique, funnel.merged) == (truth.unique, truth.merged)
    assert funnel.losses == truth.losses
    assert funnel.repairs == truth.repairs
    assert all(count == 0 for count in funnel.unparsed.values()), "every amount, count and date can be read"
    assert min(truth.losses.values()) > 5
    assert min(truth.repairs.values()) > 50


def test_the_overlap_is_the_one_that_is_told(files: DemoFiles) -> None:
    members, users = _digests(files.members), _digests(files.users)
    both = members.keys() & users.keys()
    assert len(both) == files.truth.overlap == round(0.6 * files.truth.unique)
    levels = [str(members[one]["o.会员等级"]) for one in both]
    assert {level: levels.count(level) for level in set(levels)} == files.truth.by_level
    tiers = [str(users[one]["o.city_tier"]) for one in both]
    assert {tier: tiers.count(tier) for tier in set(tiers)} == files.truth.by_city_tier
    assert len(users) == files.truth.users == 8_000


def test_money_is_exact_through_all_its_writings(files: DemoFiles) -> None:
    orders, members = checkup(str(files.orders)), checkup(str(files.members))
    source = open_source(str(files.members))
    kept = {row["o.会员编号"]: row["o.累计消费(元)"] for row in _digests(files.members).values()}
    assert any("万" in str(text) for text in kept.values())
    assert any("¥" in str(text) for text in kept.values())
    assert source.notes[0][1]["encoding"] == "gb18030"
    assert members.used == files.truth.valid
    assert orders.rows == orders.used
    assert orders.as_of == AS_OF == members.as_of
    assert orders.customers == round(23_570 * 0.2)


def test_the_workbook_is_a_workbook(files: DemoFiles) -> None:
    source = open_source(str(files.workbook))
    found = examine(source, "phone")
    assert found.funnel.rows - found.funnel.losses["total"] == 3_000
    assert all(count == 0 for count in found.funnel.unparsed.values())
    assert source.notes[0][1]["row"] == 2, "a title stands above the header"


def test_events_are_known_ones_of_known_users_and_end_on_the_day(files: DemoFiles) -> None:
    events = pq.read_table(files.events)
    assert events.num_rows == files.truth.events
    assert set(events.column("event").unique().to_pylist()) <= EVENTS.keys()
    features = [
        Feature("visits", "count", ("mini-program.visit",), 30),
        Feature("paid", "sum", ("payment.pay",), 0, "amount", "amount"),
    ]
    folded = fold(open_source(str(files.events)), features, AS_OF)
    assert folded.losses == {}
    table = pa.Table.from_batches([batch.table for batch in folded.batches()])
    told = {row["phone"]: row for batch in open_source(str(files.users)).batches() for row in batch.table.to_pylist()}
    for user, visits, paid in zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True):
        assert str(visits) == told[user]["visits_30d"]
        assert str(paid) == told[user]["spend_180d"]


def test_members_visit_more_than_strangers(files: DemoFiles) -> None:
    members = _digests(files.members).keys()
    visits: dict[bool, list[int]] = {True: [], False: []}
    for digest, row in _digests(files.users).items():
        visits[digest in members].append(int(str(row["o.visits_30d"])))
    assert np.mean(visits[True]) > 1.3 * np.mean(visits[False])


def test_no_number_is_one_that_a_subscriber_can_have() -> None:
    numbers = people.phones(np.concatenate([np.arange(3_000), np.array([10**7, 99_999_999])])).to_pylist()
    assert len(set(numbers)) == len(numbers)
    for number in numbers:
        assert re.fullmatch(r"1[3-9]\d{9}", number)
        assert not phonenumbers.is_valid_number(phonenumbers.parse(number, "CN"))


def test_the_same_day_gives_the_same_bytes_and_another_day_moves_them(tmp_path: Path) -> None:
    first, again = (_write_demo(tmp_path / name, AS_OF, 0.02) for name in "ab")
    for name in ("orders", "members", "workbook", "users", "events"):
        assert getattr(first, name).read_bytes() == getattr(again, name).read_bytes()
    moved = _write_demo(tmp_path / "c", date(2025, 1, 1), 0.02)
    assert moved.truth.losses == first.truth.losses
    assert checkup(str(moved.orders)).money == checkup(str(first.orders)).money
    assert checkup(str(moved.orders)).as_of <= date(2025, 1, 1)


def test_more_people_than_there_were_customers_are_still_different_people(tmp_path: Path) -> None:
    from cleanroom.demo.purchases import deal

    bought = deal(50_000, AS_OF)
    assert bought.per_person().min() >= 1
    assert len(set(people.phones(np.arange(50_000)).to_pylist())) == 50_000


def test_a_senseless_scale_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scale"):
        write_demo(tmp_path, AS_OF, 0)
    assert list(tmp_path.iterdir()) == []
