"""Crowds from their making to their end, in a real room: frozen versions, ranges, activations, and what is not told."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanroom import planning
from cleanroom.activation import memberships
from cleanroom.crowds import daily, desk, guards, reading, sizes, telling, using
from cleanroom.crowds import lists as own_lists
from cleanroom.crowds import rule as rules
from cleanroom.crowds.crowd import STATUSES, TASKS, Crowd
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.rule import Other, Pool, Rule, Tags, Uploaded
from cleanroom.crowds.running import Found
from cleanroom.crowds.store import Crowds
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.parties import usual
from cleanroom.privacy.ranges import size_range
from tests.crowds.world import ROOM, World, build
from tests.near import new_home, parties

NOW = dt.date(2026, 11, 22)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with parties():
        yield build(tmp_path_factory.mktemp("keyed"), "keyed", sigma=5)


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dt.date]]:
    """The clock of crowds."""
    held = {"day": NOW}
    monkeypatch.setattr(own_lists, "today", lambda: held["day"])
    monkeypatch.setattr(memberships, "today_in_china", lambda: held["day"])
    yield held


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every selection that was counted by a run."""
    from cleanroom.crowds import running

    seen: list[Any] = []

    def noted(path: Path, room: str, selection: Any, **more: Any) -> Any:
        seen.append(selection)
        return running.run(path, room, selection, **more)

    monkeypatch.setattr(sizes, "released", noted)
    monkeypatch.setattr(using, "released", noted)
    return seen


def users_in(world: World, crowd: str, version: str) -> set[str]:
    held = memberships.load(world.homes["platform"], ROOM, crowd, version)
    return {world.users[row] for row in held.rows}


def purpose(world: World) -> str:
    return world.room.contract.purposes[0]


def test_an_uploaded_crowd_from_the_file_to_whom_it_addresses(
    world: World, today: dict[str, dt.date], runs: list[Any]
) -> None:
    digests = world.homes["merchant"].vault.digests("crm")
    crowd = desk.create(world.merchant, ROOM, "leads", digests=digests[:1500], channels=("coupon",), external="E1")
    same = desk.create(world.merchant, ROOM, "leads", digests=digests[:1500][::-1], channels=("coupon",), external="E1")
    assert same == crowd
    with pytest.raises(Refused, match="E1 means another"):
        desk.create(world.merchant, ROOM, "leads", digests=digests[:1501], channels=("coupon",), external="E1")
    desk.add(world.merchant, crowd.code, digests[1500:2000])
    desk.remove(world.merchant, crowd.code, digests[:200])
    first = desk.refresh(world.merchant, crowd.code)
    assert (first.day, first.size.low, first.size.high, first.size.source) == ("20261121", 1000, 1999, "run")
    desk.add(world.merchant, crowd.code, digests[2000:5000])  # after the version: of tomorrow
    assert desk.refresh(world.merchant, crowd.code) == first
    assert len(runs) == 1
    found = desk.activate(world.merchant, crowd.code, "coupon", purpose(world), out_no="N1")
    assert (found.status, found.version, found.size and found.size.text) == ("done", "20261121", first.size.text)
    assert users_in(world, crowd.code, "20261121") == set(world.members[200:2000])
    assert desk.activate(world.merchant, crowd.code, "coupon", purpose(world), out_no="N1") == found
    assert len(runs) == 2
    today["day"] += dt.timedelta(days=1)
    second = desk.refresh(world.merchant, crowd.code)
    assert (second.day, second.size.low) == ("20261122", 2000)
    difference = desk.diff(world.merchant, crowd.code, first.day, second.day)
    assert difference.direction == "more"
    assert difference.by and difference.by.low == 2000
    assert list(difference.lists.values()) == [(3000, 0)]
    assert [each.day for each in desk.history(world.merchant, crowd.code)] == ["20261121", "20261122"]
    assert desk.get(world.merchant, external="E1").status(today["day"]) == "ready"
    assert telling.difference(difference)["lists"][0]["came"] == 3000  # own data, exactly
    told = json.dumps([telling.crowd(desk.get(world.merchant, crowd.code)), telling.task(found),
                       {**telling.difference(difference), "lists": []}])  # fmt: skip
    assert not re.search(rf"\b({first.noised}|{second.noised}|{second.noised - first.noised})\b", told)
    assert "noised" not in told
    assert "sigma" not in told
    archived = desk.archive(world.merchant, crowd.code)
    assert archived.status(today["day"]) == "archived"
    assert not [head for head in Lists(world.homes["merchant"]).names() if head.code in crowd.lists]
    for act in (lambda: desk.refresh(world.merchant, crowd.code), lambda: desk.add(world.merchant, crowd.code, digests),
                lambda: desk.activate(world.merchant, crowd.code, "coupon", purpose(world))):  # fmt: skip
        with pytest.raises(Refused, match="archived"):
            act()


def test_pools_and_what_stands_on_what(world: World, today: dict[str, dt.date], runs: list[Any]) -> None:
    gold = desk.create(world.merchant, ROOM, "gold", rule=rules.simple("level = 'gold'"))
    paid = desk.create(world.merchant, ROOM, "paid", rule=rules.simple("stage = 'pay'"))
    both = desk.pool(world.merchant, ROOM, "both", [gold.code, paid.code], "union")
    rest = desk.pool(world.merchant, ROOM, "rest", [both.code, paid.code], "difference", ["message"])
    found = desk.activate(world.merchant, rest.code, "message", purpose(world))
    assert found.status == "done"
    assert users_in(world, rest.code, found.version) == world.meant(("gold",), ("none", "visit"))
    with pytest.raises(Refused, match=both.code):
        desk.archive(world.merchant, gold.code)
    with pytest.raises(Refused, match="not for the channel coupon"):
        desk.activate(world.merchant, rest.code, "coupon", purpose(world))
    with pytest.raises(Refused, match="not for the channel live"):
        desk.activate(world.merchant, gold.code, "live", purpose(world))
    with pytest.raises(Refused, match="no purpose"):
        desk.activate(world.merchant, gold.code, "coupon", "something else")
    with pytest.raises(Refused, match="another activation"):
        desk.activate(world.merchant, gold.code, "coupon", purpose(world), out_no=found.number)
    assert len(runs) == 1
    with pytest.raises(UsageError, match="rule"):
        desk.add(world.merchant, gold.code, world.homes["merchant"].vault.digests("crm")[:1])
    page, total = desk.listed(world.merchant, "O", 1, 2, room=ROOM)
    assert total >= 2
    assert all("o" in each.name for each in page)
    renamed = desk.modify(world.merchant, gold.code, "gold again", ["coupon"])
    assert (renamed.name, renamed.channels, renamed.rule) == ("gold again", ("coupon",), gold.rule)


def test_a_crowd_below_the_floor_says_so_and_nobody_is_given(
    world: World, today: dict[str, dt.date], runs: list[Any]
) -> None:
    rule = rules.simple("level = 'gold' AND stage = 'pay' AND city = 'Hangzhou'")  # some 225 people
    size = desk.estimate(world.merchant, ROOM, rule)
    assert (size.low, size.high, size.withheld, size.text) == (0, 999, True, "fewer than 1,000")
    crowd = desk.create(world.merchant, ROOM, "few", rule=rule)
    found = desk.activate(world.merchant, crowd.code, "coupon", purpose(world), out_no="FEW")
    assert found.status == "small"
    assert desk.task(world.merchant, "FEW") == desk.task(world.merchant, found.number) == found
    with pytest.raises(UsageError):
        memberships.load(world.homes["platform"], ROOM, crowd.code, found.version)
    assert desk.refresh(world.merchant, crowd.code).size.withheld
    assert desk.get(world.merchant, crowd.code).status(today["day"]) == "small"
    assert not desk.usable(desk.get(world.merchant, crowd.code))


def test_a_plan_tells_sizes_for_nothing(world: World, today: dict[str, dt.date], runs: list[Any]) -> None:
    rule = Rule((Pool((Tags("level = 'gold'"), Tags("stage = 'visit'"))),
                 Pool((Tags("city = 'Hangzhou'"),), "union", "difference")))  # fmt: skip
    with pytest.raises(Refused, match="charged"):
        desk.estimate(world.merchant, ROOM, rule, charge=False)
    assert desk.price(world.merchant, ROOM, rule)["rho_micro"] > 0
    planning.make(world.merchant, ROOM)
    size = desk.estimate(world.merchant, ROOM, rule, charge=False)
    assert (size.source, size.estimated, size.charged) == ("plan", True, False)
    pair = desk.estimate(world.merchant, ROOM, rules.simple("level = 'gold' AND stage = 'visit'"), charge=False)
    assert pair.withheld  # some 600
    everybody = desk.estimate(world.merchant, ROOM, rules.simple(""), charge=False)
    assert (everybody.low, everybody.high, everybody.estimated) in ((5000, 9999, False), (2000, 4999, False))
    one = desk.estimate(world.merchant, ROOM, rules.simple("level = 'silver'"), charge=False)
    assert (one.low, one.high) in ((1000, 1999), (2000, 4999))
    assert desk.price(world.merchant, ROOM, rule)["free"]
    assert not runs
    with pytest.raises(Refused, match="charged"):  # a list is in no plan
        code = desk.risk(world.merchant, "some", world.homes["merchant"].vault.digests("crm")[:10])
        desk.estimate(world.merchant, ROOM, rules.listed(code), charge=False)


def test_guards_leave_people_out_of_every_activation(world: World, today: dict[str, dt.date], runs: list[Any]) -> None:
    merchant = world.homes["merchant"]
    digests = merchant.vault.digests("crm")
    black = desk.risk(world.merchant, "fraud", digests[:300], black=True, tags=("FRAUD",))
    late = desk.create(world.merchant, ROOM, "late", rule=rules.simple("stage = 'none'"))
    home, room = merchant, reading_room(world)
    meaning = reading.meaning(home, room, lambda code: code)
    guards.set_guard(world.merchant, ROOM, (Other(late.code), Tags("city = 'Shanghai'")), 100, meaning)
    try:
        crowd = desk.create(world.merchant, ROOM, "gold or silver", rule=rules.simple("level <> 'basic'"))
        found = desk.activate(world.merchant, crowd.code, "coupon", purpose(world))
        users = users_in(world, crowd.code, found.version)
        city = dict(zip(world.users, world.city, strict=True))
        open_to = {each for each in world.meant(("gold", "silver"), ("visit", "pay")) if city[each] == "Hangzhou"}
        held_out = Lists(merchant).digests("holdout-100")
        assert 450 < len(held_out) < 750  # of 6,000
        phone_of = {digest.tobytes(): phone for digest, phone in zip(digests, world.members, strict=True)}
        out = {phone_of[each.tobytes()] for each in held_out if each.tobytes() in phone_of}
        assert users == open_to - set(world.members[:300]) - out
        larger = guards._drawn(merchant, digests, 200)
        assert (larger | ~guards._drawn(merchant, digests, 100)).all()  # a larger share holds the smaller one
    finally:
        guards.set_guard(world.merchant, ROOM, (), 0, meaning)
        Lists(merchant).drop(black)
    for nodes, share in (((Tags("nosuch = 1"),), 0), ((Other("C9"),), 0), ((Uploaded("L9"),), 0), ((), 201), ((), -1)):
        with pytest.raises(CleanroomError):
            guards.set_guard(world.merchant, ROOM, nodes, share, reading.meaning(home, room, Lists(home).pinned))


def reading_room(world: World) -> Any:
    from cleanroom.querying import opened

    return opened(world.merchant, ROOM)[1]


def test_an_unattended_day_is_done_once(world: World, today: dict[str, dt.date], runs: list[Any]) -> None:
    class Afar:
        meeting = staticmethod(usual)

    crowd = desk.create(world.merchant, ROOM, "daily", rule=rules.simple("level <> 'gold' AND stage <> 'none'"))
    arguments = {"crowd": crowd.code, "channel": "message", "purpose": purpose(world)}
    home = world.homes["merchant"]
    first = daily.work(home, ROOM, arguments, Afar(), lambda *_: None)  # type: ignore[arg-type]
    assert (first["day"], first["task"]["status"]) == ("20261121", "done")
    assert daily.work(home, ROOM, arguments, Afar(), lambda *_: None) == first  # type: ignore[arg-type]
    assert len(runs) == 1
    today["day"] += dt.timedelta(days=1)
    second = daily.work(home, ROOM, arguments, Afar(), lambda *_: None)  # type: ignore[arg-type]
    assert second["day"] == "20261122"
    assert second["task"]["number"] != first["task"]["number"]
    only = daily.work(home, ROOM, {"crowd": crowd.code}, Afar(), lambda *_: None)  # type: ignore[arg-type]
    assert only["task"] is None
    for wrong in ({}, {"crowd": 7}, {"crowd": "C0"}):
        with pytest.raises(UsageError):
            daily.work(home, ROOM, wrong, Afar(), lambda *_: None)  # type: ignore[arg-type]
    with pytest.raises(Refused):
        daily.work(home, "autumn", {"crowd": crowd.code}, Afar(), lambda *_: None)  # type: ignore[arg-type]


def test_what_fails_is_a_task_that_failed_and_goes_on_by_its_number(
    world: World, today: dict[str, dt.date], monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = desk.create(world.merchant, ROOM, "later", rule=rules.simple("stage <> 'none'"))
    with monkeypatch.context() as patch:
        patch.setattr(using, "released", _refuses)
        with pytest.raises(Refused):
            desk.activate(world.merchant, crowd.code, "coupon", purpose(world), out_no="LATER")
    failed = desk.task(world.merchant, "LATER")
    assert (failed.status, failed.error, failed.size) == ("failed", "refused", None)
    done = desk.activate(world.merchant, crowd.code, "coupon", purpose(world), out_no="LATER")
    assert (done.status, done.number) == ("done", failed.number)
    assert {"failed", "done", "small", "running"} == set(TASKS)


def _refuses(*_: object, **__: object) -> None:
    raise Refused("The peer is not there.")


def test_mistakes_are_named_and_leave_nothing(world: World, today: dict[str, dt.date]) -> None:
    rule, digests = rules.simple("level = 'gold'"), np.zeros((1, 32), np.uint8)
    home = world.homes["merchant"]
    before = (Crowds(home).entries(), Lists(home).names())
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "rule or of"), ({"rule": rule, "digests": digests}, "rule or of"),
        ({"rule": rule, "channels": ("mail",)}, "no channel mail"), ({"rule": rule, "days": 0}, "1 to 366"),
        ({"rule": rule, "days": 367}, "1 to 366"), ({"rule": rule, "external": "x" * 65}, "at most 64"),
        ({"rule": rule, "description": "x" * 501}, "at most 500"), ({"digests": digests[:, :16]}, "32 bytes"),
        ({"digests": digests, "identity": "device"}, "matches people by phone"),
        ({"rule": rules.simple("nosuch = 1")}, "no column nosuch"),
        ({"rule": rules.listed("L9")}, "no list L9"), ({"rule": Rule((Pool((Other("C9"),)),))}, "no crowd C9"),
        ({"rule": Rule((Pool((Tags("level = 'gold'"), Tags("level = 'basic'")), "intersection"),))}, "nobody"),
    ]  # fmt: skip
    for arguments, match in wrong:
        with pytest.raises(CleanroomError, match=match):
            desk.create(world.merchant, ROOM, "name", **arguments)
    for name in ("", " x", "x" * 65, "a\nb"):
        with pytest.raises(UsageError):
            desk.create(world.merchant, ROOM, name, rule=rule)
    with pytest.raises(UsageError, match="no room"):
        desk.create(world.merchant, "nosuch", "name", rule=rule)
    assert (Crowds(home).entries(), Lists(home).names()) == before
    for call in (lambda: desk.get(world.merchant, "C1"), lambda: desk.get(world.merchant, external="E9"),
                 lambda: desk.task(world.merchant, "N9"), lambda: desk.task(world.merchant, ""),
                 lambda: desk.listed(world.merchant, page=0),
                 lambda: desk.listed(world.merchant, size=201)):  # fmt: skip
        with pytest.raises(UsageError):
            call()
    crowd = desk.create(world.merchant, ROOM, "short", rule=rule, days=3)
    for day in (NOW + dt.timedelta(days=1), NOW + dt.timedelta(days=30)):
        with pytest.raises(UsageError, match="not of one to come"):
            desk.refresh(world.merchant, crowd.code, day)
    with pytest.raises(UsageError, match="no version of 20200101"):
        desk.diff(world.merchant, crowd.code, "20200101", "20200102")
    today["day"] += dt.timedelta(days=4)
    assert desk.get(world.merchant, crowd.code).status(today["day"]) == "expired"
    for act in (lambda: desk.refresh(world.merchant, crowd.code), lambda: desk.modify(world.merchant, crowd.code, "x"),
                lambda: desk.activate(world.merchant, crowd.code, "coupon", purpose(world)),
                lambda: desk.pool(world.merchant, ROOM, "x", [crowd.code, "C9"], "union")):  # fmt: skip
        with pytest.raises(CleanroomError, match=r"expired|no crowd"):
            act()


def test_a_home_holds_its_crowds_sealed(world: World, today: dict[str, dt.date]) -> None:
    crowd = desk.create(
        world.merchant, ROOM, "very secret name", rule=rules.simple("level = 'gold'"), external="EXT-77"
    )
    folder = world.merchant / "crowds"
    for path in folder.iterdir():
        content = path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
        assert not any(word in content for word in (b"secret", b"gold", b"EXT-77", ROOM.encode()))
    other = desk.create(world.merchant, ROOM, "another", rule=rules.simple("level = 'basic'"))
    (folder / crowd.code).write_bytes((folder / other.code).read_bytes())
    with pytest.raises(BadData):
        desk.get(world.merchant, crowd.code)
    (folder / crowd.code).unlink()
    crowds = Crowds(world.homes["merchant"])
    with crowds.lock():
        crowds._save(crowd)
    assert desk.get(world.merchant, crowd.code) == crowd
    assert {"new", "ready", "small", "expired", "archived"} == set(STATUSES)


def test_the_same_external_code_at_once_makes_one_crowd(world: World, today: dict[str, dt.date]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    digests = world.homes["merchant"].vault.digests("crm")[:50]

    def make(_: int) -> Crowd:
        return desk.create(world.merchant, ROOM, "at once", digests=digests, external="ONCE")

    with ThreadPoolExecutor(8) as pool:
        assert len({each.code for each in pool.map(make, range(8))}) == 1
    assert len([head for head in Lists(world.homes["merchant"]).names() if head.name == "at once"]) == 1


def test_who_is_added_cannot_be_told_from_ranges(
    world: World, today: dict[str, dt.date], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1 and P3: a list at the edge of a range, with one person more or less, asked about again and again.

    Within a day nothing moves at all. Over days every question is noised and charged, and so tells about one person no
    more than the noise lets through: an attacker's guess by the range is hardly better than chance.
    """
    random, seen = np.random.default_rng(3), 0
    merchant = new_home(world.merchant.parent / "attacker", "merchant")

    found = Found(0, size_range(0, 100), 40, 20, True, {}, True, 1250, "", "")

    def at_edge(inside: bool) -> bool:
        """Whether the range is the upper one; the true size is 2,000 with the victim, 1,999 without."""
        noised = round(2_000 - (not inside) + random.normal(0, found.sigma))
        return sizes.of_run(world.room.contract, replace(found, people=noised)).low == 2_000

    for _ in range(4_000):
        inside = bool(random.integers(2))
        seen += at_edge(inside) == inside
    assert abs(seen / 4_000 - 0.5) < 0.05
    lists = Lists(merchant)
    lists.create("L1", "upload", "probe", random.integers(0, 256, (1_999, 32), np.uint8), day=NOW)
    first = lists.pinned("L1", NOW)
    for _ in range(30):
        victim = random.integers(0, 256, (1, 32), np.uint8)
        lists.add("L1", victim, NOW)
        assert lists.pinned("L1", NOW) == first
        lists.remove("L1", victim, NOW)
    assert lists.size("L1") == 1_999


def test_asking_thirty_times_about_a_changed_list_is_charged_each_time(
    world: World, today: dict[str, dt.date], runs: list[Any]
) -> None:
    digests = world.homes["merchant"].vault.digests("crm")
    crowd = desk.create(world.merchant, ROOM, "probe", digests=digests[:1200])
    price = desk.price(world.merchant, ROOM, crowd.rule)
    left = [price["left_rho_micro"]]
    for _ in range(3):
        desk.estimate(world.merchant, ROOM, crowd.rule)
        desk.estimate(world.merchant, ROOM, crowd.rule)  # the same question: the same answer, for nothing
        desk.add(world.merchant, crowd.code, digests[1200:1201])
        desk.estimate(world.merchant, ROOM, crowd.rule)  # frozen today
        left.append(desk.price(world.merchant, ROOM, crowd.rule)["left_rho_micro"])
        desk.remove(world.merchant, crowd.code, digests[1200:1201])
        desk.add(world.merchant, crowd.code, digests[1300:1301])
        today["day"] += dt.timedelta(days=1)
    spent = [before - after for before, after in pairwise(left)]
    assert spent[:2] == [price["rho_micro"]] * 2
    assert all(run_once.lists("crm") for run_once in runs)


def test_a_lookalike_is_a_crowd_of_whom_nobody_here_knows(
    world: World, today: dict[str, dt.date], monkeypatch: pytest.MonkeyPatch
) -> None:
    gold = desk.create(world.merchant, ROOM, "seed", rule=rules.simple("level = 'gold'"))
    made = desk.spread(world.merchant, ROOM, "like gold", gold.code, 2_000, False, ["message"], external="LIKE")
    assert desk.spread(world.merchant, ROOM, "like gold", gold.code, 2_000, False, ["message"], external="LIKE") == made
    assert (made.kind, made.size and made.size.text, made.status(NOW)) == ("spread", "2,000–4,999", "ready")
    assert desk.get(world.merchant, made.code) == made
    assert desk.refresh(world.merchant, made.code) == made.versions[-1]
    held = memberships.load(world.homes["platform"], ROOM, made.code, made.versions[-1].day)
    assert len(held.rows) == 2_000
    assert desk.activate(world.merchant, made.code, "message", purpose(world)).status == "done"
    with pytest.raises(Refused, match="known to the other side alone"):
        desk.pool(world.merchant, ROOM, "x", [made.code, gold.code], "union")
    before = len(Crowds(world.homes["merchant"]).entries())
    few = desk.create(world.merchant, ROOM, "few", rule=rules.simple("level = 'gold' AND stage = 'pay'"))
    with pytest.raises(Refused):
        desk.spread(world.merchant, ROOM, "like few", few.code, 2_000, False)
    with pytest.raises(Refused, match="no channel live"):
        desk.spread(world.merchant, ROOM, "like gold", gold.code, 2_000, False, ["live"])
    assert len(Crowds(world.homes["merchant"]).entries()) == before + 1


def test_homes_of_others_have_none_of_it(world: World) -> None:
    platform = Home.open(world.homes["platform"].path)
    assert not Crowds(platform).entries()
    assert not [head for head in Lists(platform).names() if head.kind != "lookalike"]
