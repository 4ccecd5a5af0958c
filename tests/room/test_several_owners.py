"""Three owners of data in one room: each question asks, charges and tells those alone whose datasets it lines up."""

import dataclasses
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanroom import auditing, planning, querying, replaying
from cleanroom.answer import closing
from cleanroom.answer.run import run_room
from cleanroom.answer.side import Side
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, Refused
from cleanroom.gate import gate
from cleanroom.gate.schema import Schema
from cleanroom.home import Home
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.receipt import SignedReceipt, verify
from cleanroom.ledger.spending import by_month
from cleanroom.ledger.store import read
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.rooms.store import Rooms
from cleanroom.rooms.taking_part import signers, takes_part
from tests import near
from tests.room import three, world
from tests.room.three import OPERATOR, OWNERS, TRIPLE, asked, joined, phone, segments


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    three.build(folder)
    return folder


@pytest.fixture
def homes(made: Path, tmp_path: Path) -> dict[str, Home]:
    return three.copied(made, tmp_path)


@pytest.fixture(autouse=True)
def quick_enclave(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engine without its process; some tests have the real one."""
    monkeypatch.setattr("cleanroom.enclave.handle.start", lambda **_: near.NearEngine())
    yield


# -- the numbers


def test_all_three_answer_as_a_plain_join_does(homes: dict[str, Home], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # in the enclave's own process
    by, sums = ("crm.level",), ("crm.spend", "orders.fee")
    ran = asked(homes, "exact", TRIPLE, by, sums)
    wanted = joined(TRIPLE, by, sums)
    assert len(wanted) == 2
    for owner in OWNERS:
        assert segments(ran, owner, by, sums) == wanted
    assert ran.outcomes["platform"].size == sum(row[1] for row in wanted)
    assert ran.outcomes["brand"].size is None
    assert {each.params.get("party") for each in ran.outcomes["brand"].learned} == {"shop", "platform", None}


@pytest.mark.parametrize(
    ("over", "by", "sums"),
    [
        (("crm", "orders"), ("crm.level", "orders.goods"), ("orders.fee",)),
        (("crm", "users"), ("users.zone",), ("crm.spend",)),
        (("orders", "users"), ("orders.goods",), ()),
    ],
)
def test_a_pair_answers_as_a_plain_join_does(
    over: tuple[str, ...], by: tuple[str, ...], sums: tuple[str, ...], homes: dict[str, Home]
) -> None:
    away = next(owner for owner, dataset in OWNERS.items() if dataset not in over)
    before = world.everything_in(homes[away].path)
    ran = asked(homes, "exact", over, by, sums)
    wanted = joined(over, by, sums)
    owners = [owner for owner in OWNERS if owner != away]
    for owner in owners:
        assert segments(ran, owner, by, sums) == wanted
    assert world.everything_in(homes[away].path) == before
    receipt = SignedReceipt.parse(_receipt(homes[owners[0]], ran, owners[0]))
    assert receipt.receipt.recipients == tuple(owners)
    assert sorted(receipt.signatures) == sorted([*owners, OPERATOR])
    assert sorted(version.name for version in receipt.receipt.datasets) == sorted(over) == list(receipt.receipt.over)


def _receipt(home: Home, ran: world.Ran, owner: str) -> bytes:
    outcome = ran.outcomes[owner].receipt
    assert outcome is not None
    return closing.recall(home, outcome["question"])[1].encode()


def test_noise_is_on_the_released_numbers_and_charged_to_those_lined_up(homes: dict[str, Home]) -> None:
    over, by = ("crm", "users"), ("crm.level",)
    first = asked(homes, "noised", over, by, ("crm.spend",))
    truth = {row[0]: row[1:] for row in joined(over, by, ("crm.spend",))}
    shown = segments(first, "brand", by, ("crm.spend",))
    assert shown == segments(first, "platform", by, ("crm.spend",))
    assert shown
    for level, people, spend in shown:
        assert abs(people - truth[level][0]) <= 12 * 20
        assert abs(spend - truth[level][1]) <= 12 * 20 * 1000
    assert [tuple(row) for row in shown] != [(row[0], *truth[row[0]]) for row in shown]
    spent = {owner: [each.lineage for each in by_month(read(homes[owner].ledger_path).entries)] for owner in OWNERS}
    assert spent == {"brand": ["crm"], "shop": [], "platform": ["users"]}

    cost = read(homes["brand"].ledger_path).entries
    again = asked(homes, "noised", over, by, ("crm.spend",))
    assert segments(again, "brand", by, ("crm.spend",)) == shown
    assert not again.outcomes["brand"].charged
    assert len(read(homes["brand"].ledger_path).entries) == len(cost)
    other = asked(homes, "noised", TRIPLE, by, ("crm.spend",))
    assert all(other.outcomes[owner].charged for owner in OWNERS)


def test_without_noise_a_third_dataset_is_not_added_to_two_that_were_lined_up(homes: dict[str, Home]) -> None:
    assert not asked(homes, "exact", ("crm", "users")).failures
    before = {name: len(read(home.ledger_path).entries) for name, home in homes.items()}
    refused = asked(homes, "exact", TRIPLE)
    assert isinstance(refused.failures[OPERATOR], Refused)
    assert "subtracted" in str(refused.failures["brand"])
    assert {name: len(read(home.ledger_path).entries) for name, home in homes.items()} == before
    assert not asked(homes, "exact", ("orders", "users")).failures  # no more than a room of these two would answer
    assert not asked(homes, "exact", ("crm", "users"), ("crm.level",)).failures


def test_of_two_questions_at_once_that_could_be_subtracted_one_is_debited(homes: dict[str, Home]) -> None:
    def question(*over: str) -> Question:
        versions = tuple(DatasetVersion(name, name, "00" * 32, 100) for name in over)
        return Question((), (), "11" * 32, versions, over=tuple(sorted(over)))

    with open_ledger(homes["brand"]) as ledger:
        ledger.debit(question("crm", "users"))
        with pytest.raises(Refused, match="could be subtracted"):
            ledger.debit(question(*TRIPLE))
        ledger.debit(question("crm", "orders"))
        ledger.debit(dataclasses.replace(question(*TRIPLE), sigma=20))
        ledger.debit(dataclasses.replace(question(*TRIPLE), contract="22" * 32))
        assert ledger.lined_up("11" * 32) == {("crm", "users"), ("crm", "orders")}


# -- who signs, who is asked


def test_a_receipt_is_signed_by_those_that_took_part(homes: dict[str, Home]) -> None:
    ran = asked(homes, "exact", ("crm", "orders"), ("crm.level",))
    contract = Rooms(homes["brand"].rooms).load("exact").contract
    signed = SignedReceipt.parse(_receipt(homes["brand"], ran, "brand"))
    keys = signers(contract, signed.receipt)
    assert list(keys) == ["brand", "shop", OPERATOR]
    assert verify(signed, keys, contract=contract.digest())
    everybody = {party.name: bytes.fromhex(party.signing) for party in contract.parties}
    with pytest.raises(BadData, match="took part"):
        verify(signed, everybody)
    without = SignedReceipt(signed.receipt, {name: text for name, text in signed.signatures.items() if name != "shop"})
    with pytest.raises(BadData, match="took part"):
        verify(without, keys)
    alone = dataclasses.replace(signed.receipt, datasets=signed.receipt.datasets[:1], over=())
    with pytest.raises(BadData, match="other datasets"):
        signers(contract, alone)
    version = dataclasses.replace(signed.receipt.datasets[0], owner="platform")
    lied = dataclasses.replace(signed.receipt, datasets=(version, *signed.receipt.datasets[1:]))
    with pytest.raises(BadData, match="other datasets"):
        signers(contract, lied)


def test_who_is_not_lined_up_neither_asks_nor_answers(homes: dict[str, Home]) -> None:
    room = Rooms(homes["shop"].rooms).load("exact")
    everyone = world.run(homes, Query(("crm.level",), ()), name="exact", over=("crm", "users"))
    assert isinstance(everyone.failures["shop"], Refused)
    assert "takes no part" in str(everyone.failures["shop"])
    schema = Schema.of(room.contract, room.annexes or ())
    pair = gate.ask("SELECT level, COUNT(*) FROM crm JOIN users USING (person) GROUP BY 1", schema)
    assert takes_part(room.contract, pair) == ("brand", "platform", OPERATOR)
    with pytest.raises(Refused, match="takes no part"):
        querying.priced(homes["shop"], room, pair, None)
    stranger = asked(homes, "exact", ("crm", "users"), ("orders.goods",))
    assert "does not line up" in str(stranger.failures["brand"])


def test_parties_that_were_asked_about_different_datasets_stop(homes: dict[str, Home]) -> None:
    taps, failures = world.wires(list(homes)), {}

    def play(party: str, over: tuple[str, ...]) -> None:
        room = Rooms(homes[party].rooms).load("exact")
        try:
            run_room(Side(homes[party], room, Query(), taps[party], None, lambda *_: None, over=over))
        except Exception as error:
            failures[party] = error
            for tap in taps[party].values():
                tap.close()

    overs = {"brand": (), "shop": (), "platform": ("orders", "users"), OPERATOR: ()}
    threads = [threading.Thread(target=play, args=each) for each in overs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(failures) == set(homes)
    assert "dataset" in str(failures[OPERATOR]) or "question" in str(failures[OPERATOR])


# -- SQL


def test_sql_names_the_datasets_that_are_lined_up(homes: dict[str, Home]) -> None:
    room = Rooms(homes["brand"].rooms).load("exact")
    schema = Schema.of(room.contract, room.annexes or ())
    whole = gate.ask("SELECT COUNT(*) FROM matched", schema)
    named = gate.ask("SELECT COUNT(*) FROM users JOIN crm USING (person) JOIN orders USING (person)", schema)
    assert whole == named
    assert takes_part(room.contract, whole) == (*OWNERS, OPERATOR)
    pair = gate.ask("SELECT goods, COUNT(*) FROM orders o JOIN crm c USING (person) WHERE c.level = 'gold' "
                    "GROUP BY 1", schema)  # fmt: skip
    assert (pair.table, pair.over) == ("matched", ("crm", "orders"))
    assert takes_part(room.contract, gate.ask("SELECT COUNT(*) FROM crm", schema)) == ("brand",)
    for wrong in ("crm JOIN crm USING (person)", "crm, users", "crm JOIN matched USING (person)",
                  "crm JOIN users USING (phone)"):  # fmt: skip
        with pytest.raises(Refused):
            gate.ask(f"SELECT COUNT(*) FROM {wrong}", schema)
    with pytest.raises(Refused, match=r"no column|no table"):
        gate.ask("SELECT users.zone, COUNT(*) FROM crm JOIN orders USING (person) GROUP BY 1", schema)


def test_a_pair_is_asked_with_the_third_home_away(homes: dict[str, Home], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    shutil.rmtree(homes["shop"].path)
    sql = "SELECT level, COUNT(*) AS n, SUM(spend) FROM crm JOIN users USING (person) WHERE zone = 'T1' GROUP BY level"
    file = homes["brand"].path.parent / "receipt.json"
    with near.parties():
        answer = querying.answer(homes["platform"].path, "noised", sql)
        assert answer["understood"]["over"] == ["crm", "users"]
        again = querying.answer(homes["brand"].path, "noised", sql, receipt=file)
        assert replaying.replayed(homes["brand"].path, file)["same"]
    assert answer["rows"] == again["rows"]
    assert answer["price"] is not None
    assert again["price"] is None
    assert auditing.verified(homes["brand"].path, file, None)


# -- the operator's view


def test_the_operator_sees_tokens_that_no_other_choice_of_datasets_has(homes: dict[str, Home]) -> None:
    by = ("crm.level",)
    pair = asked(homes, "noised", ("crm", "users"), by).values[OPERATOR]
    three = asked(homes, "noised", TRIPLE, by).values[OPERATOR]
    assert len(pair["token"]) == 450 + 475 + 2 * 12  # each owner's six canaries, and what they were
    assert len(three["token"]) == 450 + 450 + 475 + 3 * 12
    assert not set(pair["token"]) & set(three["token"])
    assert len(set(pair["crm.level"])) == 3  # of the cells that somebody has, and what canaries have
    assert not set(pair["crm.level"]) & set(three["crm.level"])
    digests = {row.tobytes()[:16] for owner, name in OWNERS.items() for row in homes[owner].vault.digests(name)}
    assert not digests & {*pair["token"], *three["token"]}
    kept = b"".join(world.everything_in(homes[OPERATOR].path).values())
    for text in ("gold", "shoes", "hats", phone(200)):
        assert text.encode() not in kept
    assert not Rooms(homes[OPERATOR].rooms).load("noised").secrets


def test_slots_of_a_row_are_never_sent_twice(homes: dict[str, Home]) -> None:
    sums = ("crm.spend",)
    pair = asked(homes, "noised", ("crm", "users"), (), sums).values[OPERATOR]["crm.#slots"]
    three = asked(homes, "noised", TRIPLE, (), sums).values[OPERATOR]["crm.#slots"]
    assert not set(pair[:-6]) & set(three)


def test_a_plan_is_of_all_datasets(homes: dict[str, Home]) -> None:
    with near.parties():
        made = planning.make(homes["shop"].path, "noised")
    assert made["made"]
    assert made["columns"] == ["crm.level", "orders.goods", "users.zone"]
    found = planning.read(homes["shop"].path, "noised", "SELECT COUNT(*) AS n FROM matched")
    assert abs(found["rows"][0]["n"] - joined(TRIPLE, (), ())[0][0]) <= 12 * made["sigma"]
    with pytest.raises(Refused, match="all datasets"):
        planning.read(homes["shop"].path, "noised", "SELECT COUNT(*) FROM crm JOIN users USING (person)")
