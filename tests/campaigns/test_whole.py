"""A campaign from its plan to its lift, in a room with noise: both homes, real runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cleanroom.campaigns import assets, columns, holdout, playbooks, running
from cleanroom.campaigns.campaign import Terms
from cleanroom.campaigns.lift import Z95
from cleanroom.campaigns.store import Campaigns
from cleanroom.commands import campaigns as commands
from cleanroom.crowds import desk, rule
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.insight import costs
from tests import near
from tests.campaigns.world import PEOPLE, PURPOSE, ROOM, made, platform
from tests.cli.support import phone

DAY = "2026-11-01"
EFFECT = 0.6
"""Of the even persons, the treated pay if their last digit is 0, 2, 4, 6, the others if it is 0."""
NEVER = "users.paid_last = 'never'"
"""The even persons."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("campaigns"))


@pytest.fixture(scope="module")
def code(home: Path) -> str:
    """A crowd that was given to the platform."""
    crowd = desk.create(home, ROOM, "Never paid", rule=rule.simple(NEVER), channels=["coupon"])
    with near.parties():
        assert desk.activate(home, crowd.code, "coupon", PURPOSE).status == "done"
    return crowd.code


@pytest.fixture(scope="module")
def started(home: Path, code: str) -> Path:
    """A campaign of that crowd, begun at both homes: nothing may be sent before."""
    other, terms = platform(home), replace(TERMS, crowd=code)
    for path in (home, other.path):
        running.create(path, terms)
    rows = np.arange(0, PEOPLE, 2)
    with pytest.raises(Refused, match="not started"):
        holdout.addressed(other, ROOM, code, "users", rows, "20261101")
    told = running.start(other.path, ROOM, "spring", day=DAY)
    send = holdout.addressed(other, ROOM, code, "users", rows, "20261101")
    assert (told["drawn"]["treated"], told["drawn"]["held_out"]) == (int(send.sum()), int((~send).sum()))
    running.start(home, ROOM, "spring", commitment=told["commitments"][-1]["commitment"], day=DAY)
    return home


TERMS = Terms("spring", ROOM, "C1", "coupon", PURPOSE, days=14, held_out=300, slot=1, strata=("city_tier",))


@pytest.fixture(scope="module")
def measured(started: Path) -> Path:
    """Of the treated one in two was reached and a third of these claimed; the treated pay by 40 %, the others by 20 %.

    Everybody who pays brings 100.00; those outside the crowd pay too, and count in no arm.
    """
    arms = holdout.arm_codes(*reversed(Campaigns(platform(started), ROOM).arms("spring")), _digests(started)).codes
    events = ["mobile,event,time,campaign"]
    for person in np.flatnonzero(arms == 1)[::2].tolist():
        events.append(f"{phone(person)},promotion.exposure,2026-11-03T02:00:00Z,spring")
        if person % 4 == 0:
            events.append(f"{phone(person)},coupon.claim,2026-11-03T03:00:00Z,spring")
            events.append(f"{phone(person)},coupon.redeem,2026-11-03T03:20:00Z,spring")
    events.append(f"{phone(0)},promotion.exposure,2026-11-03T02:00:00Z,another")
    events.append(f"{phone(1)},promotion.exposure,2026-12-03T02:00:00Z,spring")
    orders = ["phone,下单日期,实付金额"]
    for person, arm in enumerate(arms.tolist()):
        if person % 10 in ((0, 2, 4, 6) if arm == 1 else (0, 1)):
            orders.append(f"{phone(person)},2026-11-05,150.00")
            orders.append(f"{phone(person)},2026-11-06,-50.00")
        orders.append(f"{phone(person)},2026-10-30,70.00")
    folder = started.parent
    (folder / "events.csv").write_text("\n".join(events) + "\n", "utf-8")
    (folder / "orders.csv").write_text("\n".join(orders) + "\n", "utf-8")
    told = running.collect(platform(started).path, ROOM, "spring", str(folder / "events.csv"))
    assert told["own"]["exposed"] == (np.count_nonzero(arms == 1) + 1) // 2
    assert told["own"]["losses"] == {"outside the window, or of another campaign": 2}
    assert told["own"]["claimed"] == told["own"]["redeemed"] > 0
    running.collect(started, ROOM, "spring", str(folder / "orders.csv"))
    return started


def _holds(interval: dict[str, float], truth: float) -> bool:
    """Whether the truth is within five standard deviations: the noise is real, and 95 % misses one draw in twenty."""
    below, above = interval["value"] - interval["low"], interval["high"] - interval["value"]
    wider = 5 / Z95
    return interval["value"] - below * wider < truth < interval["value"] + above * wider


def _digests(home: Path) -> "np.typing.NDArray[np.uint8]":
    vault = platform(home).vault
    return columns.digests(platform(home), vault.manifest("users"))


def test_the_lift_is_found_by_one_charged_release(measured: Path) -> None:
    due = running.measure(measured, ROOM, "spring", dry_run=True)["price"]
    with near.parties():
        told = running.measure(measured, ROOM, "spring")
        again = running.measure(measured, ROOM, "spring")
    found = told["measured"]
    assert len(due) == len(found["receipts"]) == 1
    assert found["receipts"] == again["measured"]["receipts"], "the same question: nothing is charged again"
    treated, held = found["arms"]
    assert abs(treated["people"] - 1400) < 120
    assert abs(held["people"] - 600) < 120
    difference = found["difference"]
    assert _holds(difference, EFFECT)
    assert found["significant"]
    assert _holds(found["revenue"], EFFECT * 100 * 1400)
    assert found["payers"]["low"] > 0


def test_costs_make_worth_of_it(measured: Path) -> None:
    with near.parties():
        running.measure(measured, ROOM, "spring")
    told = running.cost(measured, ROOM, "spring", {"media": 1_000_000, "coupons": 500_000, "margin": 300})
    worth = told["worth"]
    assert told["costs"]["total"] == 1_500_000
    assert _holds(worth["cost_per_payer"], 15_000 / (EFFECT * 1400))
    assert _holds(worth["roi"], (EFFECT * 100 * 1400 * 0.3 - 15_000) / 15_000)
    assert worth["roas"] is None, "nothing was attributed"


def test_touches_and_payments_are_put_in_buckets_of_days(measured: Path) -> None:
    """Exposed on the third day; who claimed was last touched by the coupon. Orders before the start do not count."""
    touched = _column(platform(measured), "users", "touch_1")
    exposed = _column(platform(measured), "users", "exposed_1").count("yes")
    alone, claimed = "commercial-promotion@2-7 days", "commercial-promotion@2-7 days>coupon@2-7 days"
    assert touched.count(alone) + touched.count(claimed) == exposed > touched.count(claimed) > 0
    home = Home.open(measured)
    when, paid = (_column(home, "crm", name) for name in ("paid_when_1", "paid_after_1"))
    assert when.count("2-7 days") == paid.count("yes") > 0
    assert set(when) == {"none", "2-7 days"}
    spend = _column(home, "crm", "spend_after_1")
    assert set(spend) == {0, 10_000}, "net of the refund; nothing of before"
    assert set(_column(home, "crm", "spend_sq_1")) == {0, 10_000}, "100 major units, squared"


def test_attribution_is_of_touches_before_payments_and_says_so(measured: Path) -> None:
    """Claims were the last touch of half of the exposed; the noise of a group's spend is 10,000.00."""
    touched = _column(platform(measured), "users", "touch_1")
    with near.parties():
        told = running.measure(measured, ROOM, "spring", touches=True)
    found = told["measured"]["attribution"]
    spent = {channel: 100 * 0.8 * sum(label.endswith(f"{channel}@2-7 days") for label in touched)
             for channel in ("coupon", "commercial-promotion")}  # fmt: skip
    for channel, spend in spent.items():
        assert abs(found["last_touch"][channel] - spend) < 50_000
    assert found["position"]["coupon"] == pytest.approx(found["last_touch"]["coupon"] / 2)
    assert told["worth"]["attributed"] == pytest.approx(sum(found["last_touch"][channel] for channel in spent))
    out = measured.parent / "attributed.html"
    running.report(measured, ROOM, "spring", out)
    assert "This is no lift" in out.read_text("utf-8")


def _column(home: Home, dataset: str, name: str) -> list[object]:
    return [value for batch in home.vault.read(dataset, [f"t.{name}"]) for value in batch.column(0).to_pylist()]


def test_reach_is_of_the_treated_and_no_question_compares_the_exposed_with_others(measured: Path) -> None:
    with near.parties():
        reach = running.measure(measured, ROOM, "spring", reach=True)["measured"]["reach"]
    assert abs(reach["exposed"] - 700) < 200
    from cleanroom.campaigns import measuring
    from cleanroom.querying import opened

    contract = opened(measured, ROOM)[1].contract
    asked = measuring.question(contract, TERMS)
    assert "exposed" not in asked.sql
    assert "engaged" not in asked.sql
    exposed = measuring.reach_question(contract, TERMS)
    assert "SUM" not in exposed.sql, "nobody's payments are set beside who was exposed"
    assert "treated" in exposed.sql


def test_a_later_version_draws_only_its_new_people_and_the_arms_verify(started: Path, code: str) -> None:
    home = platform(started)
    rows = np.arange(0, PEOPLE, 2)
    before = Campaigns(home, ROOM).arms("spring")[1]
    first = holdout.addressed(home, ROOM, code, "users", rows, "20261101")
    assert Campaigns(home, ROOM).arms("spring")[1].to_bytes() == before.to_bytes()
    more = holdout.addressed(home, ROOM, code, "users", np.arange(0, 600), "20261102")
    assert (more[::2] == first[:300]).all()
    assert 0.55 < more[1::2].mean() < 0.85
    told = holdout.verify(home, ROOM, "spring")
    assert (told["verified"], told["batches"]) == (True, 2)
    assert told["entry"] > 0


def test_whatever_is_changed_afterwards_is_refused(started: Path) -> None:
    home = platform(started)
    store = Campaigns(home, ROOM)
    seed, members = store.arms("spring")
    held = store.load("spring")
    other = members.arms.copy()
    other[:2] = 1 - other[:2]
    for changed in ((seed, type(members)(members.draws, members.strata, members.batches, other)),
                    (bytes(32), members)):  # fmt: skip
        store.save_arms("spring", *changed)
        with pytest.raises(Refused, match="committed"):
            holdout.verify(home, ROOM, "spring")
    store.save_arms("spring", seed, members)
    assert held.manifest is not None
    store.change("spring", manifest={**held.manifest, "created": "2026-11-01T00:00:00+00:00"})
    with pytest.raises(Refused, match="ledger"):
        holdout.verify(home, ROOM, "spring")
    store.change("spring", manifest=held.manifest)
    arm = columns.Category(holdout.ARM_LABELS, np.zeros(PEOPLE, np.uint8))
    columns.put(home, home.vault.manifest("users"), {"arm_1": arm})
    with pytest.raises(Refused, match="not as the arms say"):
        holdout.verify(home, ROOM, "spring")
    running.collect(platform(started).path, ROOM, "spring")
    assert holdout.verify(home, ROOM, "spring")["verified"]


def test_only_who_addresses_people_draws(started: Path) -> None:
    with pytest.raises(Refused, match="addresses people"):
        holdout.admit(Home.open(started), ROOM, "spring", "crm", np.arange(5), "20261101")


def test_a_campaign_leaves_tags_that_rules_can_name(started: Path) -> None:
    from cleanroom.gate import gate
    from cleanroom.gate.schema import Schema
    from cleanroom.querying import opened

    found = {each.tag: each for each in assets.assets(Home.open(started), ROOM)}
    assert found["paying"].column == "crm.paid_after_1"
    room = opened(started, ROOM)[1]
    for each in found.values():
        gate.ask(f"SELECT COUNT(*) FROM matched WHERE {each.where}", Schema.of(room.contract, room.annexes or ()))


def test_nothing_of_seed_or_draws_stands_open_in_the_home_and_closing_removes_them(started: Path) -> None:
    home = platform(started)
    seed, members = Campaigns(home, ROOM).arms("spring")
    stored = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    assert seed not in stored
    assert members.draws[:4].tobytes() not in stored
    assert b"spring" not in stored.replace(b"campaigns/spring", b"")


def test_a_playbook_makes_its_crowd_and_campaign_once_and_sends_nothing(started: Path) -> None:
    told = [playbooks.start(started, ROOM, "拉新转化") for _ in range(2)]
    assert told[0] == told[1]
    assert told[0]["where"] == "users.paid_last IN ('never')"
    assert told[0]["lacking"] == ["stage_30d", "reach", "consent"]
    made = told[0]["campaign"]
    assert (made["slot"], made["channel"], made["starts"]) == (2, "coupon", "")
    shown = playbooks.shown(started, ROOM, "first-order")
    assert shown["size"] is None, "no plan was made, and nothing is charged for a look"
    assert [each["people"] for each in shown["smallest"]] == [10_000, 100_000], "examples stand for the size"
    with pytest.raises(Refused, match="paid_last"):
        playbooks.start(started, ROOM, "win-back")
    with near.parties():
        pushed = [playbooks.push(started, ROOM, "first-order") for _ in range(2)]
    assert pushed[0] == pushed[1], "the same day again changes nothing"
    assert pushed[0]["status"] == "done"


def test_every_command_answers_people_and_programs(measured: Path, tmp_path: Path) -> None:
    with near.parties():
        running.measure(measured, ROOM, "spring")
    out, chart = tmp_path / "out.html", tmp_path / "out.svg"
    calls = [
        ["plan", ROOM, "--people", "20000", "--lift", "0.01", "--within", "12"], ["list", ROOM],
        ["show", ROOM, "spring"],
        ["report", ROOM, "spring", "--out", str(out), "--chart", str(chart)], ["cost", ROOM, "spring", "--media", "10"],
        ["measure", ROOM, "spring", "--dry-run"], ["playbook", "list"], ["playbook", "show", "first-order", ROOM],
    ]  # fmt: skip
    for words in calls:
        where = [] if words[:2] == ["playbook", "list"] else ["--home", str(measured)]
        found = CliRunner().invoke(commands.app, [*words, *where, "--json"])
        assert found.exit_code == 0, found.output
        assert isinstance(json.loads(found.stdout), dict)
        people = CliRunner().invoke(commands.app, [*words, *where])
        assert people.exit_code == 0, people.output
        assert people.output.strip()
    platforms = CliRunner().invoke(commands.app, ["verify", ROOM, "spring", "--home",
                                                  str(platform(measured).path)])  # fmt: skip
    assert "committed to before anything was sent" in platforms.output
    assert "95 of 100" in out.read_text("utf-8")
    assert chart.read_text("utf-8").startswith("<svg")


def test_a_closed_campaign_has_no_seed_and_its_costs_are_in_the_table(measured: Path, tmp_path: Path) -> None:
    for party in ("merchant", "platform"):
        shutil.copytree(measured.parent / party, tmp_path / party)
    copy = tmp_path / "merchant"
    running.cost(copy, ROOM, "spring", {"media": 5000})
    running.close(copy, ROOM, "spring")
    assert {each.kind for each in costs.listed(Home.open(copy), ROOM)} >= {"media"}
    running.close(platform(copy).path, ROOM, "spring")
    with pytest.raises(UsageError, match="not here"):
        Campaigns(platform(copy), ROOM).arms("spring")
    with pytest.raises(Refused, match="closed"):
        holdout.admit(platform(copy), ROOM, "spring", "users", np.arange(5), "20261101")


def test_a_slot_is_of_one_campaign_and_names_are_checked(started: Path) -> None:
    with pytest.raises(UsageError, match="slot"):
        running.create(started, Terms("summer", ROOM, "C2", "coupon", PURPOSE, slot=1))
    with pytest.raises(Refused, match="arm_3"):
        running.create(started, Terms("summer", ROOM, "C2", "coupon", PURPOSE, slot=3))
    with pytest.raises(Refused, match="purpose"):
        running.create(started, Terms("summer", ROOM, "C2", "coupon", "selling", slot=2))
    with pytest.raises(UsageError):
        Terms("../x", ROOM, "C2", "coupon", PURPOSE)
    with pytest.raises(UsageError):
        Campaigns(Home.open(started), ROOM).load("autumn")
