"""Members of a crowd's version: kept once, sealed, within floor and cap; gone when it is over."""

import dataclasses
import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanroom.activation import keeping, memberships, people, reach
from cleanroom.activation.tally import Tally
from cleanroom.crowds.channels import CHANNELS
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from tests.activation import world
from tests.activation.world import ROOM, USERS, VERSION, note, rows

RECEIPT = "ab" * 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.new(tmp_path_factory.mktemp("platform"), most_versions=2).path


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    shutil.copytree(made, tmp_path / "home")
    return Home.open(tmp_path / "home")


def keep(home: Home, whom: Any, rule: str = "gold", **noted: Any) -> None:
    memberships.keep(
        home, ROOM, note(**noted), USERS, whom, RECEIPT, noised=2_000, columns=("crm.tier",), rule=rule
    )  # fmt: skip


def test_the_same_again_changes_nothing_and_another_channel_adds_a_use(home: Home) -> None:
    keep(home, rows(range(2_000)))
    before = {path: path.read_bytes() for path in (home.rooms / ROOM).rglob("*") if path.is_file()}
    keep(home, rows(range(2_000)))
    assert {path: path.read_bytes() for path in before} == before
    assert memberships.has(home, ROOM, note()) and not memberships.has(home, ROOM, note(channel="coupon"))
    keep(home, rows(range(2_000)), channel="coupon")
    held = memberships.load(home, ROOM, "C1")
    assert [use.channel for use in held.uses] == ["message", "coupon"]
    assert np.array_equal(held.rows, rows(range(2_000))) and held.columns == ("crm.tier",)
    assert held.manifest == home.vault.manifest(USERS).digest
    assert memberships.versions_given(home, ROOM, VERSION[:6]) == 1


def test_a_version_is_frozen(home: Home, tmp_path: Path) -> None:
    keep(home, rows(range(2_000)))
    before = memberships.load(home, ROOM, "C1")
    for wrong in ({"rule": "silver"}, {"rule": "silver", "channel": "coupon"}, {"purpose": "overlap"}):
        with pytest.raises(Refused, match="kept already"):
            keep(home, rows(range(2_000)), **wrong)
        told = {"rule": "gold", **wrong}
        with pytest.raises(Refused, match="kept already"):  # and before anything is charged
            memberships.check(home, ROOM, note(**{k: v for k, v in told.items() if k != "rule"}), rule=told["rule"])
    assert np.array_equal(memberships.load(home, ROOM, "C1").keys, before.keys)
    world.bring(home, tmp_path, without=range(2_500, 2_600))
    keep(home, rows(range(2_000)), channel="coupon")  # the same people in the dataset's next version
    keep(home, rows(range(1_500)))  # the same run again, as after a crash of the other side
    assert len(memberships.load(home, ROOM, "C1").keys) == 2_000


@pytest.mark.parametrize("others", [range(2_001), range(1, 2_001), range(1_999), range(0)])
def test_whether_a_version_is_taken_does_not_tell_who_is_in_it(home: Home, others: range) -> None:
    """Two crowds under one name, one person apart: what the other side sees of the second run is the same."""
    keep(home, rows(range(2_000)))
    for channel in ("message", "coupon"):
        keep(home, rows(others), channel=channel)
    held = memberships.load(home, ROOM, "C1")
    assert np.array_equal(held.rows, rows(range(2_000))) and [use.channel for use in held.uses] == ["message", "coupon"]


@pytest.mark.parametrize(
    ("noted", "noised", "text"),
    [
        ({"channel": "live"}, 2_000, "no crowd be used in the channel live"),
        ({"purpose": "resale"}, 2_000, "not for the purpose"),
        ({"days": -1}, 2_000, "ended"),
        ({}, 999, "fewer people than may be addressed"),
    ],
)
def test_what_the_contract_does_not_allow_is_not_kept(home: Home, noted: Any, noised: int, text: str) -> None:
    with pytest.raises(Refused, match=text) as found:
        memberships.keep(home, ROOM, note(**noted), USERS, rows(range(990)), RECEIPT, noised=noised)
    assert "99" not in str(found.value).replace("1000", "")  # neither size stands in it
    assert not list(memberships.listed(home, ROOM))
    with pytest.raises(UsageError):
        memberships.load(home, ROOM, "C1")


def test_only_who_addresses_people_keeps_members(tmp_path: Path) -> None:
    home = world.new(tmp_path, receiver="merchant")
    with pytest.raises(Refused, match="no crowd is given to platform"):
        keep(home, rows(range(2_000)))


def test_a_person_is_given_in_no_more_versions_a_month_than_agreed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(home, rows(range(1_500)), code="A")
    keep(home, rows(range(1_000, 2_500)), code="B")
    keep(home, rows(range(2_500)), code="C")
    third = memberships.load(home, ROOM, "C")
    assert third.left_out == 500 and not set(third.rows) & set(range(1_000, 1_500))
    keep(home, rows(range(2_500)), code="C", channel="coupon")  # the same version: no further bit of anybody
    keep(home, rows(range(3_000)), code="D")
    assert set(memberships.load(home, ROOM, "D").rows) == set(range(2_500, 3_000))
    keep(home, rows(range(3_000)), code="E", version="20250131")  # whatever day its version is said to be of
    assert set(memberships.load(home, ROOM, "E").rows) == set(range(2_500, 3_000))
    later = memberships.today_in_china() + dt.timedelta(days=32)
    monkeypatch.setattr(memberships, "today_in_china", lambda: later)
    keep(home, rows(range(3_000)), code="F", days=60)
    assert memberships.load(home, ROOM, "F").left_out == 0


def test_a_crash_before_the_count_does_not_give_a_version_more(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(Exception):
        pass

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "add", dies)
        with pytest.raises(Killed):
            keep(home, rows(range(2_000)), code="A")
    keep(home, rows(range(2_000)), code="A")
    keep(home, rows(range(2_000)), code="B")
    keep(home, rows(range(2_500)), code="C")
    assert memberships.load(home, ROOM, "C").left_out == 2_000


def test_a_file_opens_in_its_place_alone(home: Home) -> None:
    keep(home, rows(range(2_000)), code="A")
    keep(home, rows(range(2_500)), code="B")
    folder = home.rooms / ROOM / "members"
    paths = sorted(folder.iterdir())
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o600] * 2
    shutil.copy(paths[0], paths[1])
    with pytest.raises(BadData):
        memberships.load(home, ROOM, "B")
    paths[0].write_bytes(paths[0].read_bytes()[:-1] + b"x")
    with pytest.raises(BadData):
        memberships.load(home, ROOM, "A")


def test_who_is_forgotten_is_in_no_kept_file(home: Home) -> None:
    keep(home, rows(range(2_000)))
    gone = people.digests(home, USERS, rows(range(10, 20)))
    home.vault.forget(gone)
    keeping.forget_people(home)
    held = memberships.load(home, ROOM, "C1")
    assert len(held.keys) == 1_990 and not people.among(people.keys_of(gone), np.sort(held.keys)).any()
    assert held.manifest == home.vault.manifest(USERS).digest
    assert np.array_equal(people.keys(home, USERS, held.rows), held.keys)
    month = Tally(home, memberships.given_folder(home, ROOM) / VERSION[:6])
    assert not month.of(people.keys_of(gone)).any() and month.of(held.keys).all()


def test_what_is_over_is_removed(home: Home) -> None:
    keep(home, rows(range(2_000)), code="A", days=3)
    keep(home, rows(range(2_000)), code="B", days=30)
    today = memberships.today_in_china()
    assert keeping.sweep(home, today + dt.timedelta(days=3))["versions"] == 0
    assert keeping.sweep(home, today + dt.timedelta(days=4))["versions"] == 1
    assert [each.code for each in memberships.listed(home, ROOM)] == ["B"]


def test_what_a_room_kept_does_not_outlive_it(tmp_path: Path) -> None:
    homes = {name: world.new_home(tmp_path / name, name) for name in ("merchant", "platform", "operator")}
    terms = world.contract(homes)
    world.sign(homes, terms)
    home = homes["platform"]
    world.bring(home, tmp_path)
    keep(home, rows(range(2_000)))
    over = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(seconds=1)
    world.sign(homes, dataclasses.replace(terms, expires=over.isoformat()))
    assert keeping.sweep(home)["versions"] == 1
    assert not list((home.rooms / ROOM / "members").iterdir())


def test_every_channel_says_what_it_needs() -> None:
    assert reach.NEEDS.keys() == CHANNELS.keys()
