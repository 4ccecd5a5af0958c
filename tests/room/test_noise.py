"""Rooms with noise: every protocol's release is noised, thresholded, charged once, and the same when asked again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanroom.answer import closing, planning
from cleanroom.answer.side import Side
from cleanroom.answer.slots import Codes
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.ledger.ledger import Charge
from cleanroom.ledger.opening import open_ledger
from cleanroom.node.jobs import PartyJobs
from cleanroom.overlap.asked import Overlap
from cleanroom.plan import reading
from cleanroom.plan.store import Plans
from cleanroom.privacy import accounting
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.rooms.store import Room
from protocols.errors import BadMessage
from tests.room.world import Ran, csv, prepare, run

pytestmark = pytest.mark.usefixtures("near_engines")

K = 50
PEOPLE = 1600
SHARE = {"a": 1 / 2, "b": 1 / 2, "x": 2 / 3, "y": 1 / 3}
"""Of the 1,200 people in both."""
MUCH = 10**9
COST = 1250
"""Millionths of ρ for one number at sigma 20."""


def world(folder: Path, protocol: str, by: tuple[str, ...], sums: tuple[str, ...] = (),
          receiver: str = "platform") -> tuple[dict[str, Home], Room, Query]:  # fmt: skip
    """1,600 people on either side, 1,200 of them in both; levels a, b and a rare one; amounts up to 10.00."""
    levels = ["a" if at % 2 else "b" for at in range(PEOPLE)]
    levels[:60] = ["rare"] * 60
    merchant = csv(folder / "merchant.csv", {
        "phone": [f"1380000{at:04d}" for at in range(PEOPLE)], "level": levels,
        "spend": [f"{at % 10}.00" for at in range(PEOPLE)],
    })  # fmt: skip
    platform = csv(folder / "platform.csv", {
        "phone": [f"1380000{at:04d}" for at in range(400, PEOPLE + 400)],
        "city": ["x" if at % 3 else "y" for at in range(PEOPLE)],
    })  # fmt: skip
    asked = Overlap(merchant, platform, protocol=protocol, by=by, sums=sums, receiver=receiver, k=K, key_bits=2048,
                    noise=True, operator=protocol == "keyed")  # fmt: skip
    return prepare(folder, asked, protocol)


def segments(ran: Ran, party: str = "platform") -> list[dict[str, Any]]:
    assert not ran.failures, ran.failures
    found = ran.outcomes[party].segments
    assert found is not None
    return found


def spent(homes: dict[str, Home], room: Room) -> list[int]:
    """What the datasets of both owners were charged this month."""
    found = []
    for owner in room.contract.owners:
        with open_ledger(homes[owner]) as ledger:
            found.append(MUCH - ledger.left(Charge(room.contract.dataset_of(owner).name, 0, MUCH)))
    return found


@pytest.mark.parametrize(
    ("protocol", "by", "sums", "draws"),
    [
        ("keyed", ("merchant.level", "platform.city"), ("merchant.spend",), 1),
        ("dh", ("merchant.level", "platform.city"), ("merchant.spend",), 2),
        ("dh", ("platform.city",), (), 1),
        ("join-sum", ("merchant.level",), ("merchant.spend",), 2),
    ],
)
def test_releases_hold_noise_of_the_shown_size_and_cost_once(
    tmp_path: Path, protocol: str, by: tuple[str, ...], sums: tuple[str, ...], draws: int
) -> None:
    homes, room, query = world(tmp_path, protocol, by, sums)
    first = run(homes, query)
    shown = segments(first)
    noise = first.outcomes["platform"].noise
    assert noise is not None
    assert (noise["sigma"], noise["draws"]) == (20, draws)
    assert noise["least"] == accounting.threshold(K, 20, draws)
    assert shown and all(row["people"] >= noise["least"] for row in shown)
    assert segments(first, "merchant") == shown  # both are recipients, and see the same
    for row in shown:
        true = 1200 * np.prod([SHARE[row[name.split(".")[1]]] for name in by])
        assert abs(row["people"] - true) < 6 * 20 * np.sqrt(draws)
    if sums:
        for row in shown:
            assert abs(row["spend"] - 4.5 * row["people"]) < 6 * (next(iter(noise["sums"].values())) + 5 * 40) + 100
    cost = COST * (1 + len(sums))
    assert spent(homes, room) == [cost, cost]
    receipts = [first.outcomes[party].receipt for party in ("merchant", "platform")]
    assert receipts[0] == receipts[1]
    assert receipts[0]["rho_micro"] == cost
    assert receipts[0]["rules"] == {"k": K, "noise": "gaussian", "sigma": 20, "draws": draws}
    again = run(homes, query)
    assert segments(again) == shown
    assert again.outcomes["platform"].receipt == receipts[0]  # the stored one: nothing was computed
    assert spent(homes, room) == [cost, cost]


def test_a_condition_is_computed_in_the_enclave_and_noised(tmp_path: Path) -> None:
    homes, room, _ = world(tmp_path, "keyed", ("merchant.level", "platform.city"))
    level = next(each for each in room.contract.datasets if each.owner == "merchant")
    name = f"{level.name}.level"
    city = f"{room.contract.dataset_of('platform').name}.city"
    wanted = room.annex(level.name, "level").labels.index("a")
    ran = run(homes, Query((city,), (), (((name, (wanted,)),),)))
    again = run(homes, Query((city,), (), (((name, (1 - wanted,)),),)))  # other people, and charged
    assert segments(again) != segments(ran)
    shown = [(row["city"], row["people"]) for row in (*segments(ran), *segments(again))]
    assert all(abs(people - {"x": 400, "y": 200}[city]) < 6 * 20 for city, people in shown)
    cities = [city for city, _ in shown]
    assert cities.count("x") == 2 and "y" in cities  # "y" is near the floor: noise may take one of the two below
    assert spent(homes, room) == [2 * COST, 2 * COST]


def test_a_run_again_with_the_noise_drawn_then_gives_the_same(tmp_path: Path) -> None:
    homes, room, query = world(tmp_path, "keyed", ("platform.city",))
    first = run(homes, query)
    again = run(homes, query, again=True)
    assert segments(again) == segments(first)
    assert again.outcomes["platform"].enclave_memory == 0
    assert again.outcomes["operator"].enclave_memory > 0  # it was computed
    assert spent(homes, room) == [COST, COST]


def test_questions_end_with_the_budget(tmp_path: Path) -> None:
    homes, room, query = world(tmp_path, "keyed", ("platform.city",))
    most = accounting.budget_micro(room.contract.release.epsilon)
    with open_ledger(homes["merchant"]) as ledger:  # spent in another room: the budget is the dataset's
        other = replace(first_question(room), contract="0" * 64)
        ledger.debit(other, Charge(room.contract.dataset_of("merchant").name, most - COST + 1, most))
    ran = run(homes, query)
    assert all(isinstance(error, Refused) for error in ran.failures.values())
    assert spent(homes, room)[1] == 0  # nobody is charged for what is not answered


def first_question(room: Room) -> Question:
    versions = tuple(DatasetVersion(each.owner, each.name, "1" * 64, 1) for each in room.contract.datasets)
    return Question((), (), room.contract.digest(), versions, "", (), 20)


def test_a_plan_holds_all_tables_by_one_and_two_and_is_kept_by_both(tmp_path: Path) -> None:
    homes, room, _ = world(tmp_path, "keyed", ("merchant.level", "platform.city"))
    columns = planning.columns_of(room.contract)
    ran = run(homes, Query(columns), plan=True)
    assert not ran.failures, ran.failures
    cubes = [Plans(homes[party]).latest(room.contract.room) for party in ("merchant", "platform")]
    assert cubes[0] is not None and cubes[1] is not None
    assert cubes[0].to_bytes() == cubes[1].to_bytes()
    found = reading.answer(cubes[0], [columns[0]]).groups
    people = {group.labels[0]: group.people for group in found}
    exact = {"a": 600, "b": 600} if "a" in people else {"x": 800, "y": 400}
    assert all(abs((people[label] or 0) - count) < 6 * 20 for label, count in exact.items())
    assert reading.answer(cubes[0]).groups[0].people is not None
    assert spent(homes, room) == [4 * COST, 4 * COST]  # the total, two tables by one, one by two


def test_between_two_parties_people_are_chosen_by_the_hosts_columns_alone(tmp_path: Path) -> None:
    homes, room, _ = world(tmp_path, "dh", ("merchant.level", "platform.city"))
    merchant, platform = (room.contract.dataset_of(owner).name for owner in ("merchant", "platform"))
    city = room.annex(platform, "city").labels.index("x")
    chosen = Query((f"{merchant}.level",), (), (((f"{platform}.city", (city,)),),))
    shown = {row["level"]: row["people"] for row in segments(run(homes, chosen))}
    assert set(shown) == {"a", "b"}
    assert all(abs(people - 400) < 6 * 20 * np.sqrt(2) for people in shown.values())
    level = Query((f"{platform}.city",), (), (((f"{merchant}.level", (0,)),),))
    assert all(isinstance(error, Refused) for error in run(homes, level).failures.values())
    assert spent(homes, room) == [COST, COST]
    plan = run(homes, Query((f"{platform}.city",)), plan=True)
    assert not plan.failures, plan.failures
    cube = Plans(homes["merchant"]).latest(room.contract.room)  # the other side has it too
    assert cube is not None
    found = {group.labels[0]: group.people or 0 for group in reading.answer(cube, [f"{platform}.city"]).groups}
    assert abs(found["x"] - 800) < 6 * 20


def test_by_two_identities_a_person_moves_more_and_a_question_costs_more() -> None:
    """Judged by force: whoever is added to one side of a small match by two identities, the second of which rows share
    (the first that has it counts)."""
    random, most = np.random.default_rng(3), 0
    for _ in range(20_000):
        left, right = (people(random) for _ in "ab")
        most = max(most, len(matched(left[1:], right) ^ matched(left, right)))
    assert 2 < most <= 3  # `Contract.moved` by two identities


def people(random: np.random.Generator) -> list[tuple[int, ...]]:
    """A few rows of two identities, the first of each its own."""
    firsts = random.permutation(5)[: random.integers(1, 5)].tolist()
    return [(first, int(random.integers(0, 3))) for first in firsts]


Pair = tuple[tuple[int, ...], tuple[int, ...]]


def matched(left: list[tuple[int, ...]], right: list[tuple[int, ...]]) -> set[Pair]:
    """The pairs of a waterfall: by the first identity, then by the second whom the first did not match."""
    pairs: set[Pair] = set()
    for kind in (0, 1):
        holders = [{row[kind]: row for row in reversed(rows)} for rows in (left, right)]
        free = [{a for a, _ in pairs}, {b for _, b in pairs}]
        for value, a in holders[0].items():
            b = holders[1].get(value)
            if b is not None and a not in free[0] and b not in free[1]:
                pairs.add((a, b))
    return pairs


def test_columns_in_another_order_are_the_same_question_with_the_same_noise(tmp_path: Path) -> None:
    homes, room, query = world(tmp_path, "keyed", ("merchant.level", "platform.city"))
    first = run(homes, query)
    turned = run(homes, Query(query.by[::-1]), again=True)
    assert segments(turned) == segments(first)
    assert turned.outcomes["platform"].same is None
    assert turned.outcomes["operator"].same is True
    assert spent(homes, room) == [COST, COST]


@pytest.mark.parametrize("protocol", ["keyed", "dh"])
def test_another_input_under_the_same_version_shows_the_same_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """An owner that leaves one person out of a question asked again would read that person off the difference."""
    homes, _, query = world(tmp_path, protocol, ("merchant.level", "platform.city"), ("merchant.spend",))
    first = run(homes, query)
    codes = Side.codes

    def altered(side: Side, column: str) -> Codes:
        found = codes(side, column).copy()
        if side.party == "merchant":
            found[700:1000] = found[0]  # hundreds, so that it could not be missed
        return found

    monkeypatch.setattr(Side, "codes", altered)
    again = run(homes, query, again=True)
    assert segments(again) == segments(first)
    assert again.outcomes["merchant"].same is None  # or it would be told whether who it left out is in the match
    host = "operator" if protocol == "keyed" else "platform"
    assert again.outcomes[host].same is (protocol == "dh")  # the merchant's cells are not the host's to compare
    for _ in range(closing.MOST_REPLAYS - 1):
        assert not run(homes, query, again=True).failures
    assert any(isinstance(error, Refused) for error in run(homes, query, again=True).failures.values())


def forgotten(home: Home) -> None:
    """Its ledger is gone, as after a backup from before it."""
    for path in home.ledger_path.parent.glob(f"{home.ledger_path.name}*"):
        path.unlink()


def test_an_operator_whose_ledger_was_set_back_draws_no_new_noise(tmp_path: Path) -> None:
    """However often it is asked, so that its new ledger cannot outgrow what was seen of the old one."""
    homes, room, query = world(tmp_path, "keyed", ("platform.city",))
    run(homes, query)
    forgotten(homes["operator"])
    for _ in range(5):
        after = run(homes, query)
        assert not after.outcomes
        assert any(isinstance(error, BadData | BadMessage) for error in after.failures.values())
    assert spent(homes, room) == [COST, COST]


def test_a_host_that_lost_what_it_told_gets_no_cells_for_other_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key holder's cells were for the order and masks of the first time."""
    homes, _, query = world(tmp_path, "dh", ("merchant.level", "platform.city"))

    def gone(*_: object) -> None:
        raise BadMessage("The peer went away.")

    with monkeypatch.context() as patched:  # before either has seen the other's ledger
        patched.setattr(closing, "exchange_heads", gone)
        assert run(homes, query).failures
    forgotten(homes["platform"])
    after = run(homes, query)
    assert not after.outcomes
    assert any(isinstance(error, BadMessage) for error in after.failures.values())


def test_only_what_was_answered_is_computed_again(tmp_path: Path) -> None:
    """Neither by a run, nor by the digest of a question that anybody can work out."""
    homes, room, query = world(tmp_path, "keyed", ("platform.city",))
    failures = run(homes, query, again=True).failures
    assert any(isinstance(error, Refused) for error in failures.values())
    job = PartyJobs(homes["merchant"], {}, lambda *_: None)
    with pytest.raises(Refused, match="computed again"):
        job.job_run(room.contract.room, {"by": list(query.by), "sums": []}, expected="0" * 64)
    assert spent(homes, room) == [0, 0]
