"""What a platform's operator keeps and sees: channels, tags, quotas, and what each merchant used."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cleanroom.access import catalogue
from cleanroom.access.catalogue import Channel, Quota, Tag
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.home import Home
from cleanroom.ledger.chain import Entry
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State
from cleanroom.rooms.store import Rooms
from tests.access import world
from tests.rooms.test_templates import contract, save

FEED = Channel("feed", "信息流", "News feed", ("advertising", "overlap"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return world.home(tmp_path, "platform")


def test_what_is_kept_is_listed_replaced_and_dropped(home: Home) -> None:
    assert catalogue.load(home) == catalogue.Catalogue()
    catalogue.kept(home.path, FEED)
    catalogue.kept(home.path, Tag("users.city_tier", "城市等级", "City tier", "Six tiers, by residence."))
    catalogue.kept(home.path, Quota("merchant", 20, 5_000_000))
    catalogue.kept(home.path, dataclasses.replace(FEED, en="Feed"))
    told = catalogue.listed(home.path)
    assert [each["en"] for each in told["channels"]] == ["Feed"]
    assert [each["name"] for each in told["tags"]] == ["users.city_tier"]
    assert told["quotas"] == [{"peer": "merchant", "runs": 20, "rows": 5_000_000}]
    assert catalogue.dropped(home.path, "channels", "feed") == {"dropped": "feed"}
    assert catalogue.load(home).channels == ()
    with pytest.raises(UsageError):
        catalogue.drop(home, "channels", "feed")
    assert (home.path / "catalogue.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "wrong",
    [
        Channel("", "a", "a", ("x",)), Channel("../feed", "a", "a", ("x",)), Channel("feed", "", "a", ("x",)),
        Channel("feed", "a", "a", ()), Channel("feed", "a", "a", ("",)), Channel("feed", "a\x1b[2J", "a", ("x",)),
        Channel("feed", "a" * 501, "a", ("x",)), Channel("feed", "a", "a", "advertising"),  # type: ignore[arg-type]
        Tag("city", "a", "a", "a"), Tag("users.", "a", "a", ""), Tag(".city", "a", "a", "a"),
        Quota("merchant", -1, 5), Quota("merchant", 1, True), Quota("", 1, 1), Quota("merchant", "1", 1),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_not_kept(home: Home, wrong: Any) -> None:
    with pytest.raises(CleanroomError):
        catalogue.put(home, wrong)
    assert not (home.path / "catalogue.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, '{"format": "cleanroom-catalogue/2"}',
                                     '{"format": "cleanroom-catalogue/1", "channels": [{}], "tags": [], "quotas": []}',
                                     '{"format": "cleanroom-catalogue/1", "channels": [], "tags": []}'])  # fmt: skip
def test_a_damaged_file_is_refused(home: Home, content: str) -> None:
    (home.path / "catalogue.json").write_text(content)
    with pytest.raises(BadData):
        catalogue.load(home)


def test_quotas_and_channels_are_checked(home: Home) -> None:
    catalogue.check_quota(home, "merchant", 10**6, 10**12)  # without a quota the node's settings decide
    catalogue.put(home, Quota("merchant", 2, 1_000))
    catalogue.check_quota(home, "merchant", 1, 1_000)
    for runs, rows in ((2, 10), (0, 1_001)):
        with pytest.raises(Refused):
            catalogue.check_quota(home, "merchant", runs, rows)
    catalogue.put(home, FEED)
    catalogue.check_channel(home, "feed", ["measurement", "overlap"])
    for name, purposes in (("feed", ["measurement"]), ("feed", []), ("search", ["overlap"])):
        with pytest.raises(Refused):
            catalogue.check_channel(home, name, purposes)


def entry(kind: str, time: str, **body: Any) -> Entry:
    return Entry(1, time, kind, body, "", "", "")


def test_usage_is_counted_by_merchant_and_month(tmp_path: Path) -> None:
    homes = {name: world.home(tmp_path, name) for name in ("merchant", "platform", "operator")}
    save(homes, "free")
    terms = contract(homes, "free")[0]
    held = Rooms(homes["platform"].rooms).load("spring").contract
    digest = held.digest()
    entries = [
        entry("input", "2026-05-04T00:00:00Z", contract=digest, owner="merchant", rows=300),
        entry("input", "2026-05-04T00:00:00Z", contract=digest, owner="platform", rows=900),
        entry("debit", "2026-05-04T00:00:00Z", contract=digest, rho_micro=2_500, asked_by=["merchant", "agency"]),
        entry("debit", "2026-05-31T23:59:59Z", contract=digest, rho_micro=1_250),
        entry("debit", "2026-06-01T00:00:00Z", contract=digest, rho_micro=7, asked_by=["platform"]),
        entry("debit", "2026-06-01T00:00:00Z", contract="f" * 64, rho_micro=9_999),
        entry("release", "2026-06-01T00:00:00Z", question="q"),
    ]
    found = catalogue.usage("platform", [held], entries)
    assert found == {
        ("merchant", "2026-05"): catalogue.Used(2, 300, 3_750, 0),
        ("merchant", "2026-06"): catalogue.Used(1, 0, 7, 0),
    }
    assert terms.room == "spring"
    with State.open(homes["platform"]) as state:
        jobs = Jobs(state)
        for result in ({"sent": 1_000}, {"sent": 24}, {"sent": "x"}, {}, None):
            job = jobs.submit("query", "spring", {}, "owner")
            jobs.take(_later(), 0)
            jobs.finish(job.id, result)
        jobs.submit("query", "spring", {}, "owner")
    told = catalogue.used(homes["platform"].path)
    assert [(each["merchant"], each["sent"], each["runs"]) for each in told["usage"]] == [("merchant", 1_024, 0)]


def _later() -> Any:
    import datetime as dt

    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
