"""Key epochs of an `oprf` room: what is asked twice, sent twice or asked too often, and what is left on the disk."""

import dataclasses
import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pytest

from cleanroom import datasets
from cleanroom.answer import epochs, unbalanced
from cleanroom.answer.epochs import Kept, checked_number, number_at
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.overlap import Overlap, drafting, run
from cleanroom.rooms import assembly
from cleanroom.rooms.store import Rooms
from protocols.canary import COUNT
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.oprf.keys import Quota
from protocols.psi import oprf
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

Made = tuple[dict[str, Home], Query]
FEW, MANY = range(60), range(10, 130)
"""Persons by number: those of the merchant, who asks, and of the platform."""


def phone(person: int) -> str:
    return str(13_900_000_000 + 7919 * person)


def table(folder: Path, name: str, people: range | list[int]) -> str:
    return world.csv(folder / f"{name}.csv", {"phone": [phone(n) for n in people], "level": ["gold"] * len(people)})


@pytest.fixture
def made(tmp_path: Path) -> Made:
    asked = Overlap(table(tmp_path, "m", FEW), table(tmp_path, "p", MANY), by=(), receiver="merchant", k=50)
    homes, _, query = world.prepare(tmp_path, asked, "oprf")
    return homes, query


def put(made: Made, party: str, people: range | list[int]) -> None:
    """Another version of a party's dataset."""
    home = made[0][party]
    name = {"merchant": "crm", "platform": "users"}[party]
    import_source(home, Wish(name, table(home.path.parent, party, people)))


def kept(made: Made, party: str, number: int = 1) -> Kept:
    home = made[0][party]
    return Kept(home, Rooms(home.rooms).load("overlap").contract, number)


def spent(made: Made) -> int:
    return Quota.from_bytes(kept(made, "platform").load("quota") or b"").spent


def asked_and_came(ran: world.Ran) -> tuple[int, int]:
    """Points that the platform was asked to evaluate; tags that came to the merchant."""
    assert not ran.failures, ran.failures
    return len(ran.values["platform"].get("point", [])), len(ran.values["merchant"].get("tag", []))


def test_within_an_epoch_nothing_is_asked_or_sent_twice(made: Made, tmp_path: Path) -> None:
    assert asked_and_came(world.run(*made)) == (60 + COUNT, 120 + COUNT)
    again = world.run(*made)
    assert asked_and_came(again) == (COUNT, 0)
    assert again.outcomes["merchant"].size == 50
    few, many = [*range(8, 60), *range(200, 208)], [*range(17, 130), *range(203, 210)]
    put(made, "merchant", few)
    put(made, "platform", many)
    out = tmp_path / "members.csv"
    third = world.run(*made, {"merchant": out})
    assert asked_and_came(third) == (8 + COUNT, 7 + 7)
    assert third.outcomes["merchant"].size == len(set(few) & set(many))
    lines = out.read_text("utf-8").split()[1:]
    assert {line.split(",")[0].strip('"') for line in lines} == {phone(n) for n in set(few) & set(many)}
    assert [each.params.get("rows") for each in third.outcomes["platform"].learned[:2]] == [60, 8]
    assert spent(made) == 60 + 8 + 3 * COUNT


@pytest.mark.usefixtures("near_parties")
def test_overlap_enters_the_same_room_again_while_it_fits(tmp_path: Path) -> None:
    home = tmp_path / "home"
    merchant, platform = str(tmp_path / "m.csv"), table(tmp_path, "p", MANY)

    def told(people: range, k: int) -> Any:
        table(tmp_path, "m", people)
        return run(Overlap(merchant, platform, protocol="oprf", receiver="merchant", k=k), home)

    every = [told(FEW, 50), told(range(5, 65), 50), told(FEW, 60)]  # the last has other terms
    assert [each["room"] for each in every] == ["overlap", "overlap", "overlap-2"]
    asked = [each["learned"]["platform"][1]["params"]["rows"] for each in every]
    assert asked == [60, 5, 60]
    assert [each["overlap"]["value"] for each in every] == [50, 55, 50]


def test_a_table_without_its_twin_is_made_anew(made: Made) -> None:
    world.run(*made)
    folder = kept(made, "platform").folder
    old = (folder / "table").read_bytes()
    put(made, "platform", range(20, 140))
    world.run(*made)
    (folder / "table").write_bytes(old)  # as if the power had failed between two files
    ran = world.run(*made)
    assert not ran.failures
    assert ran.outcomes["merchant"].size == 40
    (folder / "table").write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
    assert type(world.run(*made).failures["platform"]) is BadData


def test_the_quota_ends_what_may_be_asked(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(assembly, "QUOTA_RUNS", 2)
    monkeypatch.setattr(assembly, "LEAST_ASKED", 1)
    monkeypatch.setattr(drafting, "room_to_grow", lambda rows: rows)
    (tmp_path / "few").mkdir()
    asked = Overlap(table(tmp_path, "m", FEW), table(tmp_path, "p", MANY), receiver="merchant", k=50)
    homes, _, query = world.prepare(tmp_path / "few", asked, "oprf")
    few = homes, query
    world.run(*few)
    put(few, "merchant", range(500, 560))
    ran = world.run(*few)
    assert (type(ran.failures["platform"]), type(ran.failures["merchant"])) == (ProtocolError, PeerAborted)
    assert "66 queries are asked, 54 are left" in str(ran.failures["platform"])
    assert "point" not in ran.values["merchant"]
    assert spent(few) == 66


def test_what_is_asked_is_counted_on_the_disk_before_it_is_answered(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    answer = oprf.suite.blind_evaluate

    def counting(*given: object) -> object:
        counts.append(spent(made))
        return answer(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(oprf.suite, "blind_evaluate", counting)
    world.run(*made)
    assert counts == [60 + COUNT]
    monkeypatch.setattr(Kept, "save", lambda *_: (_ for _ in ()).throw(BadData("The disk is full.")))
    ran = world.run(*made)
    assert type(ran.failures["platform"]) is BadData
    assert "point" not in ran.values["merchant"]


def test_a_new_epoch_has_a_new_key_and_forgets_the_last(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(*made)
    first = kept(made, "merchant").load("public")
    for module in (epochs, unbalanced):
        monkeypatch.setattr(module, "number_at", lambda *_: 2)
    assert asked_and_came(world.run(*made)) == (60 + COUNT, 120 + COUNT)
    for party in made[0]:
        assert not kept(made, party).folder.exists()
    assert kept(made, "merchant", 2).load("public") != first
    monkeypatch.setattr(unbalanced, "number_at", lambda *_: 1)
    assert "begun already" in str(world.run(*made).failures["platform"])


def test_the_receiver_holds_the_sender_to_one_key_an_epoch(made: Made) -> None:
    world.run(*made)
    shutil.rmtree(kept(made, "platform").folder)
    ran = world.run(*made)
    assert type(ran.failures["merchant"]) is BadMessage
    assert "changed its key" in str(ran.failures["merchant"])
    assert "point" not in ran.values["platform"]


def test_forgotten_persons_are_nowhere_in_an_epoch(made: Made, tmp_path: Path) -> None:
    world.run(*made)
    gone = table(tmp_path, "gone", [20])
    datasets.forget(made[0]["platform"].path, gone, "phone", None)
    assert {path.name for path in kept(made, "platform").folder.iterdir()} == {"key", "quota", "lock"}
    made[0]["platform"] = Home.open(made[0]["platform"].path)
    ran = world.run(*made)
    assert not ran.failures, ran.failures
    assert ran.outcomes["merchant"].size == 49


def test_epochs_are_counted_from_the_contract_on_and_do_not_begin_again(made: Made) -> None:
    contract = kept(made, "merchant").contract
    now = dt.datetime.now(dt.UTC)
    for days, number in ((-1, 1), (0, 1), (29, 1), (30, 2), (65, 3)):
        assert number_at(contract, dt.datetime.fromisoformat(contract.created) + dt.timedelta(days=days)) == number
        then = dataclasses.replace(contract, created=(now - dt.timedelta(days=days + 0.5)).isoformat())
        assert checked_number(then, number) == number
        with pytest.raises(BadMessage, match="another key epoch"):
            checked_number(then, number + 2)
    kept(made, "merchant", 3).begin()
    with pytest.raises(Refused, match="begun already"):
        kept(made, "merchant", 2).begin()
