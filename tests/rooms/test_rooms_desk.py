"""From cards to a room in force, between homes that share nothing but files; and what is refused on the way."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cleanroom import auditing
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.home import Home
from cleanroom.rooms import cards, desk, draft, paillier_keys
from cleanroom.rooms.drafting import new
from cleanroom.rooms.signing import sign
from cleanroom.rooms.store import Rooms
from protocols.errors import BadMessage
from protocols.paillier import modulus_proof
from protocols.paillier.keys import PublicKey
from protocols.psi import vole
from tests.rooms import parts

DATASETS = {"merchant": "crm", "platform": "users"}
BITS = 2048


@pytest.fixture(autouse=True)
def _small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "DEFAULT_KEY_BITS", BITS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes with a dataset, a Paillier key and its proof each, which take a while."""
    folder = tmp_path_factory.mktemp("made")
    for party, dataset in DATASETS.items():
        key = paillier_keys.own(parts.home(folder, party, dataset), BITS)
        paillier_keys._own_proof(Home.open(folder / party), key)
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> dict[str, Home]:
    for party in DATASETS:
        shutil.copytree(made / party, tmp_path / party)
        shutil.copy(made / f"{party}.mapping.toml", tmp_path)
    return {party: Home.open(tmp_path / party) for party in DATASETS}


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
    return path


def drafted(world: dict[str, Home], folder: Path, *, operator: bool = False, **changes: Any) -> Path:
    partners = [written(folder / "platform.json", desk.card(world["platform"].path, "platform", "users"))]
    if operator:
        partners.append(written(folder / "operator.json", desk.card(folder / "operator", "operator", None)))
    asked = {"receiver": "platform", "protocol": "auto", "k": 100, "purpose": "overlap", **changes}
    (folder / "spring.toml").unlink(missing_ok=True)
    new(world["merchant"].path, "spring", "merchant", "crm", partners, out=folder / "spring.toml", **asked)
    return folder / "spring.toml"


def test_a_card_offers_columns_without_rare_values(world: dict[str, Home], tmp_path: Path) -> None:
    card = desk.card(world["merchant"].path, "merchant", "crm")
    offer = card["dataset"]
    assert card["fingerprint"] == world["merchant"].keys.fingerprint
    assert offer["rows"] >= 300
    assert offer["columns"] == [
        {"name": "tier", "kind": "category", "cells": ["gold", "silver"], "edges": []},
        {"name": "spend", "kind": "amount", "low": 0, "high": 50000, "unit": "0.01"},
    ]
    assert "private" not in json.dumps(card)
    assert cards.read(written(tmp_path / "card.json", card)).rows == offer["rows"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": "cleanroom-card/1"}, "not a card of a version that is known"),
        ({"signing": "11" * 32}, "not that of its keys"),
        ({"signing": "11"}, "not 32 bytes in hex"),
        ({"dataset": {"name": "users"}}, "is damaged"),
        ({"role": "king"}, "must be one of"),
    ],
)
def test_a_card_that_is_not_whole_is_refused(
    world: dict[str, Home], tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    card = {**desk.card(world["merchant"].path, "merchant", "crm"), **change}
    with pytest.raises(BadData, match=text):
        cards.read(written(tmp_path / "card.json", card))
    with pytest.raises(UsageError, match=r"no file gone\.json"):
        cards.read(tmp_path / "gone.json")
    (tmp_path / "not.json").write_text("{")
    with pytest.raises(BadData, match=r"not\.json is not a card"):
        cards.read(tmp_path / "not.json")


def test_auto_is_resolved_in_the_draft(world: dict[str, Home], tmp_path: Path) -> None:
    contract, _ = draft.read(drafted(world, tmp_path))
    assert (contract.match.protocol, contract.match.host, contract.match.receiver) == ("dh", "platform", "platform")
    assert [(slots.dataset, slots.by, slots.sums) for slots in contract.slots] == [("crm", ("tier",), ("spend",))]
    contract, _ = draft.read(drafted(world, tmp_path, operator=True))
    assert (contract.match.protocol, contract.match.host) == ("keyed", "operator")
    assert [(slots.dataset, slots.by, slots.sums) for slots in contract.slots] == [
        ("crm", (), ("spend",)), ("users", (), ("spend",)),
    ]  # fmt: skip
    contract, _ = draft.read(drafted(world, tmp_path, protocol="join-sum", receiver="merchant"))
    assert (contract.match.output, contract.match.host) == ("size", "merchant")
    contract, _ = draft.read(drafted(world, tmp_path, protocol="vole"))
    assert contract.dataset("users").rows == 2000 == vole.LEAST_ROWS
    contract, _ = draft.read(drafted(world, tmp_path, protocol="oprf", receiver="merchant"))
    assert contract.match.quota == 10 * contract.dataset("crm").rows


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"protocol": "keyed"}, "needs a third party"),
        ({"protocol": "dh", "operator": True}, "operator has nothing to do"),
        ({"receiver": "auditor"}, "not one of the data owners"),
        ({"k": 10}, "k = 10 is below"),
    ],
)
def test_a_draft_that_no_one_could_sign_is_not_written(
    world: dict[str, Home], tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(CleanroomError, match=text):
        drafted(world, tmp_path, **changes)
    assert not (tmp_path / "spring.toml").exists()


def test_partners_must_fit(world: dict[str, Home], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two data owners"):
        new(world["merchant"].path, "s", "merchant", "crm", [], "merchant", "auto", 100, "x", tmp_path / "s.toml")
    for dataset, text in ((None, "offers no dataset"), ("crm", "Both sides call their dataset crm")):
        if dataset:
            parts.fill(world["platform"], dataset, 300)
        card = written(tmp_path / "card.json", desk.card(world["platform"].path, "platform", dataset))
        with pytest.raises(UsageError, match=text):
            new(world["merchant"].path, "s", "merchant", "crm", [card], "merchant", "auto", 100, "x", tmp_path / "s")


def test_three_parties_sign_by_passing_files(world: dict[str, Home], tmp_path: Path) -> None:
    merchant, platform, operator = world["merchant"].path, world["platform"].path, tmp_path / "operator"
    toml = drafted(world, tmp_path, operator=True)
    first = sign(merchant, toml, tmp_path / "a.json")
    assert first["missing"] == ["platform", "operator"]
    assert (tmp_path / "a.operator.json").read_bytes().count(b"gold") == 0
    with pytest.raises(Refused, match="has not signed"):
        desk.verified(merchant, "spring")
    sign(operator, tmp_path / "a.operator.json", tmp_path / "o.json")
    sign(platform, tmp_path / "a.json", tmp_path / "b.json")
    done = sign(platform, tmp_path / "o.json", tmp_path / "all.json")  # labels are those that it has already
    assert (done["missing"], done["in_force"]) == ([], True)
    sign(merchant, tmp_path / "all.json", tmp_path / "all2.json")
    assert (tmp_path / "all2.json").read_bytes() == (tmp_path / "all.json").read_bytes()
    sign(operator, tmp_path / "all.operator.json", tmp_path / "o2.json")
    for path, steps in ((merchant, 4), (platform, 4), (operator, 3)):
        assert len(desk.verified(path, "spring")["steps"]) == steps
        assert desk.listed(path)["rooms"][0]["in_force"]
        entries = auditing.entries(path)["entries"]
        assert [entry["kind"] for entry in entries] == ["contract"]
        assert auditing.verified(path, None, None)["ledger"]["entries"] == 1
    assert Rooms(Home.open(operator).rooms).load("spring").annexes is None
    assert "gold" not in json.dumps(desk.described(operator, "spring"))


def test_described_says_who_learns_what(world: dict[str, Home], tmp_path: Path) -> None:
    sign(world["merchant"].path, drafted(world, tmp_path), tmp_path / "a.json")
    told = desk.described(world["merchant"].path, "spring")
    columns = {column["name"]: column for dataset in told["datasets"] for column in dataset["columns"]}
    assert columns["tier"]["kind"] == "category"
    assert columns["tier"]["labels"] == ["gold", "silver", "other", "unknown"]
    assert columns["spend"]["kind"] == "amount"
    assert (told["in_force"], "platform has not signed" in told["why_not"]) == (False, True)
    learns = {party: [each["template"] for each in found] for party, found in told["learns"].items()}
    assert "which of its own rows matched" in learns["platform"]
    assert "which of its own rows matched" not in learns["merchant"]
    assert "counts of unlabelled groups, also of withheld ones, under the other side's noise" in learns["merchant"]


def _edit(path: Path, before: str, after: str) -> Path:
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")
    return path


@pytest.mark.parametrize(
    ("before", "after", "kind", "text"),
    [
        ('"k":100', '"k":50', BadData, "does not verify"),
        ("cleanroom-contract/2", "cleanroom-contract/9", BadData, "format that this version does not know"),
        ("cleanroom-room/2", "cleanroom-room/9", BadData, "format that this version does not know"),
        ('"silver"', '"copper"', BadData, "not those that were signed"),
        ('"created":"20', '"created":"10', BadData, "does not verify"),
    ],
)
def test_a_contract_changed_on_the_way_is_refused(
    world: dict[str, Home], tmp_path: Path, before: str, after: str, kind: type[Exception], text: str
) -> None:
    sign(world["merchant"].path, drafted(world, tmp_path), tmp_path / "a.json")
    with pytest.raises(kind, match=text):
        sign(world["platform"].path, _edit(tmp_path / "a.json", before, after), tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()
    assert Rooms(world["platform"].rooms).names() == []


def test_what_a_party_cannot_stand_for_it_does_not_sign(world: dict[str, Home], tmp_path: Path) -> None:
    toml = drafted(world, tmp_path).read_text("utf-8")
    key = world["merchant"].keys.public.signing.hex()
    first = toml.index("rows = 1000")
    cases = {
        "more rows than the contract allows": toml[:first] + "rows = 20" + toml[first + 11 :],
        "has no column": toml.replace('columns."tier"', 'columns."mood"').replace('by = ["tier"]', 'by = ["mood"]'),
        "names other keys for merchant": toml.replace(key, "ab" * 32),
        "not in force": re.sub('(created|expires) = "2', r'\1 = "1', toml),
        "another identity profile": toml.replace("cn-mobile/1", "e164/1"),
        "has no party merchant": toml.replace('"merchant"', '"shop"').replace('role = "shop"', 'role = "merchant"'),
    }
    for text, content in cases.items():
        (tmp_path / "bad.toml").write_text(content, "utf-8")
        with pytest.raises(CleanroomError, match=text):
            sign(world["merchant"].path, tmp_path / "bad.toml", tmp_path / "out.json")
        assert not (tmp_path / "out.json").exists()
    assert Rooms(world["merchant"].rooms).names() == []


def test_a_room_in_force_keeps_its_contract(world: dict[str, Home], tmp_path: Path) -> None:
    merchant, platform = world["merchant"].path, world["platform"].path
    toml = drafted(world, tmp_path)
    sign(merchant, toml, tmp_path / "a.json")
    sign(merchant, toml, tmp_path / "a.json")  # nobody else has signed: it may be drafted again
    sign(platform, tmp_path / "a.json", tmp_path / "b.json")
    with pytest.raises(Refused, match="another contract"):
        sign(platform, toml, tmp_path / "c.json")


def test_an_owner_needs_the_labels(world: dict[str, Home], tmp_path: Path) -> None:
    sign(world["merchant"].path, drafted(world, tmp_path, operator=True), tmp_path / "a.json")
    with pytest.raises(BadData, match="has no labels"):
        sign(world["platform"].path, tmp_path / "a.operator.json", tmp_path / "b.json")


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "cleanroom-room/1"}'])
def test_a_file_that_is_no_contract_is_refused(world: dict[str, Home], tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(BadData):
        sign(world["merchant"].path, tmp_path / "x.json", None)
    with pytest.raises(BadData):
        auditing.verified(tmp_path / "none", written(tmp_path / "r.json", {}), tmp_path / "x.json")
    with pytest.raises(UsageError):
        sign(world["merchant"].path, tmp_path / "gone.json", None)


def test_a_room_that_is_not_there(world: dict[str, Home], tmp_path: Path) -> None:
    for name in ("none", "../merchant", ""):
        with pytest.raises(UsageError, match="no room"):
            desk.described(world["merchant"].path, name)
    with pytest.raises(UsageError, match="not a home"):
        desk.listed(tmp_path / "none")


def test_the_host_checks_a_paillier_key_once(
    world: dict[str, Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []
    verify = modulus_proof.verify

    def counting(public: PublicKey, proof: bytes, context: bytes) -> None:
        checked.append(context)
        verify(public, proof, context)

    monkeypatch.setattr(modulus_proof, "verify", counting)
    merchant, platform = world["merchant"], world["platform"]
    sign(merchant.path, drafted(world, tmp_path), tmp_path / "a.json")
    plain = json.loads((tmp_path / "a.json").read_bytes())
    (key,) = plain["keys"]
    proof, contract = key["proof"], Rooms(merchant.rooms).load("spring").contract
    bad: dict[str, dict[str, Any]] = {
        "does not hold": {"proof": proof[:-2] + f"{int(proof[-2:], 16) ^ 1:02x}"},
        "not the one that the contract names": {"key": f"{key['key'][:-2]}ff"},
        "not in the form": {"more": 1},
    }
    for text, change in bad.items():
        with pytest.raises((BadData, BadMessage), match=text):
            bad_file = written(tmp_path / "bad.json", {**plain, "keys": [{**key, **change}]})
            sign(platform.path, bad_file, tmp_path / "no.json")
        assert Rooms(platform.rooms).names() == []
        assert not (tmp_path / "no.json").exists()
    sign(platform.path, written(tmp_path / "none.json", {**plain, "keys": []}), tmp_path / "b.json")
    with pytest.raises(Refused, match="has not come with the contract"):
        paillier_keys.of_peer(platform, contract, contract.slots[0])
    checked.clear()
    for _ in range(2):
        sign(platform.path, tmp_path / "a.json", tmp_path / "b.json")
    assert checked == [paillier_keys._context(merchant.keys.public.signing)]
    assert paillier_keys.of_peer(platform, contract, contract.slots[0]).to_bytes().hex() == key["key"]
    other = dataclasses.replace(contract, slots=(dataclasses.replace(contract.slots[0], key="ab" * 32),))
    with pytest.raises(Refused, match="another Paillier key for crm"):
        paillier_keys.offered(merchant, other)


def test_a_kept_key_cannot_be_exchanged_on_the_disk(world: dict[str, Home], tmp_path: Path) -> None:
    sign(world["merchant"].path, drafted(world, tmp_path), tmp_path / "a.json")
    sign(world["platform"].path, tmp_path / "a.json", tmp_path / "b.json")
    contract = Rooms(world["platform"].rooms).load("spring").contract
    (kept,) = (world["platform"].path / "keys").glob("peer-*.paillier")
    kept.write_bytes(world["merchant"].wrapping.wrap("peer-paillier", b"another"))
    with pytest.raises(BadData):
        paillier_keys.of_peer(world["platform"], contract, contract.slots[0])
