"""C8: an export shows an auditor without a node what a ledger holds and nothing of the answers; a false one fails."""

import json
import shutil
import sqlite3
from dataclasses import replace

import pytest
from homes import answered, asked, charge, contract, homes

from cleanroom import auditing, canonical
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.ledger.ledger import Charge
from cleanroom.ledger.opening import open_ledger

NOWHERE = "no-home"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    parties = homes(folder)
    signed = contract(parties)
    (folder / "receipt.json").write_bytes(answered(parties, asked(signed), charge(signed)))
    auditing.exported(folder / "merchant", folder / "ledger.jsonl")
    return folder


@pytest.fixture
def world(made, tmp_path):
    """Files and homes to spoil; the merchant's export is ledger.jsonl."""
    shutil.copytree(made, tmp_path / "world")
    return tmp_path / "world"


def checked(world, file="ledger.jsonl", home=NOWHERE, receipt=None, room=None):
    return auditing.verified_export(world / home, world / file, receipt and world / receipt, room and world / room)


def lines(world):
    return [json.loads(line) for line in (world / "ledger.jsonl").read_bytes().splitlines()]


def write(world, values):
    (world / "ledger.jsonl").write_bytes(b"".join(canonical.encode(value) + b"\n" for value in values))


def test_an_auditor_without_a_node_checks_ledger_and_receipt(world):
    told = checked(world, receipt="receipt.json", room="platform/rooms/spring/room.json")
    assert [step.split()[0] for step in told["ledger"]["steps"]] == ["1", "2", "3", "4", "5", "7", "9"]
    assert [step[0] for step in told["receipt"]["steps"]] == ["1", "2", "3", "4", "6"]
    assert told["ledger"]["spent"][0]["rho_micro"] == 2500
    parties = {name: Home.open(world / name).keys.fingerprint for name in ("merchant", "platform")}
    assert told["fingerprints"] == parties
    assert (told["contracts"].keys(), told["missing_contracts"]) == ({"spring"}, [])


def test_an_export_holds_nothing_of_an_answer(world):
    text = (world / "ledger.jsonl").read_bytes()
    with sqlite3.connect(world / "merchant" / "ledger.sqlite") as database:
        sealed = [
            row[0]
            for table in ("answers", "questions", "draws")
            for row in database.execute(f"SELECT sealed FROM {table}")
        ]
    assert len(sealed) == 3
    for secret in (
        b"the answer",
        b"the noise",
        b"labels",
        b'salt"',
        *sealed,
        *(each.hex().encode() for each in sealed),
    ):
        assert secret not in text


def test_the_other_side_holds_its_heads_against_the_export(world):
    assert any(step.startswith("8") for step in checked(world, home="platform")["ledger"]["steps"])
    entries = [line for line in lines(world) if "entry" in line]
    rest = [line for line in lines(world) if "contract" in line]
    write(world, [{**lines(world)[0], "entries": 1}, entries[0], *rest])
    checked(world)
    with pytest.raises(BadData, match=r"step 8.*cut"):
        checked(world, home="platform")


def test_a_fork_names_the_first_entry_that_differs(world):
    assert checked(world, home="merchant")["ledger"]["steps"][-1].startswith("10")
    shutil.copytree(world / "merchant", world / "twin")
    with sqlite3.connect(world / "twin" / "ledger.sqlite") as database:
        database.execute("DELETE FROM entries WHERE seq > 3")  # the release and what followed
        database.execute("DELETE FROM answers")
    with open_ledger(Home.open(world / "twin")) as twin:
        twin.append("import", {"dataset": "crm", "manifest": "a" * 64, "rows": 1})
    auditing.exported(world / "twin", world / "twin.jsonl")
    checked(world, file="twin.jsonl")  # by itself it looks whole
    with pytest.raises(BadData, match="entry 4 is the first that differs"):
        checked(world, file="twin.jsonl", home="merchant")
    with pytest.raises(BadData, match=r"step 8.*(cut|forked)"):
        checked(world, file="twin.jsonl", home="platform")


def test_an_older_copy_is_no_fork(world):
    home = Home.open(world / "merchant")
    with open_ledger(home) as ledger:
        ledger.append("import", {"dataset": "crm", "manifest": "a" * 64, "rows": 1})
    assert checked(world, home="merchant")["ledger"]["entries"] == 5


def entry(seq, **fields):
    return lambda values: [
        {"entry": {**line["entry"], **fields}} if line.get("entry", {}).get("seq") == seq else line for line in values
    ]


def swapped(values):
    return [values[0], values[2], values[1], *values[3:]]


def body(seq, **fields):
    def change(values):
        found = next(line["entry"]["body"] for line in values if line.get("entry", {}).get("seq") == seq)
        return entry(seq, body={**found, **fields})(values)

    return change


def other_party(values):
    signed = json.loads(json.dumps(values[-1]))
    signed["contract"]["contract"]["parties"][0]["signing"] = "ab" * 32
    return [*values[:-1], signed]


def unsigned(values):
    found = json.loads(json.dumps(values[-1]))
    del found["contract"]["signatures"]["platform"]
    return [*values[:-1], found]


def forged(values):
    found = json.loads(json.dumps(values[-1]))
    found["contract"]["signatures"]["platform"] = found["contract"]["signatures"]["merchant"]
    return [*values[:-1], found]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda values: [{**values[0], "format": "cleanroom-audit/2"}, *values[1:]], "unknown version"),
        (lambda values: values[1:], "no export"),
        (lambda values: [], "no export"),
        (lambda values: [{**values[0], "more": 1}, *values[1:]], "damaged"),
        (lambda values: [*values[:3], *values[4:]], "damaged"),
        (lambda values: [*values, {"answer": "gold"}], "damaged"),
        (lambda values: [*values, {"witness": 1}], "not in its form"),
        (lambda values: [{**values[0], "entries": 3}, *values[:3], *values[4:]], "damaged"),
        (lambda values: [{**values[0], "entries": 4}, *values[1:3], *values[4:]], "step 2"),
        (swapped, "step 2"),
        (lambda values: [{**values[0], "ledger": "cleanroom-ledger/9"}, *values[1:]], "step 1"),
        (lambda values: [{**values[0], "signing": "ab" * 32}, *values[1:]], "step 3"),
        (body(2, rho_micro=1), "step 3"),
        (entry(2, time="2020-01-01T00:00:00Z"), "step 3"),
        (entry(3, signature="00" * 64), "step 4"),
        (entry(3, kind=True), "damaged"),
        (unsigned, "step 9"),
        (forged, "does not verify"),
        (other_party, "step 9"),
        (lambda values: [line for line in values if "contract" not in line], "step 7"),
    ],
)
def test_a_changed_export_fails(world, change, says):
    write(world, change(lines(world)))
    with pytest.raises(BadData, match=says):
        checked(world)


@pytest.mark.parametrize(
    "content", [b"", b"[]\n", b"{}\n", b"\xff\n", b"[" * 9999, b'{"format": "cleanroom-audit/1"}\n']
)
def test_what_is_no_export_is_named(world, content):
    (world / "ledger.jsonl").write_bytes(content)
    with pytest.raises(BadData, match=r"ledger\.jsonl"):
        checked(world)
    with pytest.raises(BadData, match="cannot be read"):
        checked(world, file="none")


def test_contracts_and_receipts_that_are_not_in_it_are_named(world):
    parties = {name: Home.open(world / name) for name in ("merchant", "platform")}
    later = contract(parties, "summer")
    (world / "later.json").write_bytes(answered(parties, asked(later), Charge()))
    with pytest.raises(BadData, match="no contract of this receipt"):
        checked(world, receipt="later.json")
    with pytest.raises(BadData, match="not among"):
        checked(world, room="merchant/rooms/summer/room.json")
    shutil.rmtree(world / "merchant" / "rooms" / "summer")
    auditing.exported(world / "merchant", world / "ledger.jsonl")
    assert checked(world)["missing_contracts"] == [later.contract.digest()]


def test_a_budget_beyond_the_contract_is_named(world):
    parties = {name: Home.open(world / name) for name in ("merchant", "platform")}
    signed = contract(parties, "summer")
    most = charge(signed).most_micro
    with open_ledger(parties["merchant"]) as ledger:
        ledger.debit(asked(signed), replace(charge(signed), most_micro=most + 1))
    with pytest.raises(BadData, match=r"step 5.*larger budget"):
        auditing.verified(world / "merchant", None, None)
    with pytest.raises(BadData, match=r"step 5.*larger budget"):
        auditing.exported(world / "merchant", world / "out.jsonl")


def test_a_damaged_ledger_is_not_exported(world):
    with sqlite3.connect(world / "merchant" / "ledger.sqlite") as database:
        database.execute("UPDATE entries SET time = '2020-01-01T00:00:00Z' WHERE seq = 2")
    with pytest.raises(BadData, match="step 3"):
        auditing.exported(world / "merchant", world / "out.jsonl")
    assert not (world / "out.jsonl").exists()
    with pytest.raises(UsageError):
        auditing.exported(world / "platform", world / "nowhere" / "out.jsonl")
