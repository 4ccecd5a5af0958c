"""The secret that the owners of one room share, how it goes round, and the contract that names it."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.ledger.spending import by_month
from cleanroom.ledger.store import read
from cleanroom.rooms import cards, draft, drafting, room_secrets, signing
from cleanroom.rooms.contract import Contract, SignedContract, from_canonical
from cleanroom.rooms.disclosure import NOTES, SEVERAL, learns
from cleanroom.rooms.keeping import keep
from cleanroom.rooms.signing import with_signature
from cleanroom.rooms.store import Room, Rooms, from_plain, to_plain
from cleanroom.rooms.terms import Identity
from tests import near
from tests.room import three
from tests.room.three import BITS, OPERATOR, OWNERS, TRIPLE, K, asked, drafted


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


# -- the shared secret


def test_owners_share_a_secret_that_no_operator_gets(homes: dict[str, Home]) -> None:
    held = {owner: Rooms(homes[owner].rooms).load("noised") for owner in OWNERS}
    keys = {room_secrets.run_key(homes[owner], room.contract, room.secrets, ()) for owner, room in held.items()}
    assert len(keys) == 1
    contract, secrets = held["shop"].contract, held["shop"].secrets
    pair = room_secrets.run_key(homes["shop"], contract, secrets, ("crm", "users"))
    other = Rooms(homes["shop"].rooms).load("exact")
    assert len({*keys, pair, room_secrets.run_key(homes["shop"], other.contract, other.secrets, ())}) == 3
    with pytest.raises(Refused, match="has not come"):
        room_secrets.opened(homes[OPERATOR], contract, secrets)
    stolen = [dataclasses.replace(each, to=OPERATOR) for each in secrets if each.to == "shop"]
    with pytest.raises(BadData, match="does not open"):
        room_secrets.opened(homes[OPERATOR], contract, stolen)


def test_what_is_not_the_signed_secret_is_refused_by_name(homes: dict[str, Home]) -> None:
    room = drafted(homes, "third")
    with pytest.raises(Refused, match="has not come"):
        with_signature(homes["shop"], room)
    with pytest.raises(Refused, match="has not drawn"):
        lent = dataclasses.replace(room.contract.match, commitment=room_secrets.digest(bytes(32)))
        with_signature(homes["brand"], Room(SignedContract(dataclasses.replace(room.contract, match=lent)), None))
    signed = with_signature(homes["brand"], room)
    assert with_signature(homes["brand"], _later(room)).secrets  # another contract of the same parties
    with pytest.raises(Refused, match="for other parties"):
        with_signature(homes["brand"], _with_owner_for(room, homes["shop"], homes[OPERATOR]))
    changed = [dataclasses.replace(each, sealed=each.sealed[:-1] + bytes([each.sealed[-1] ^ 1]))
               for each in signed.secrets]  # fmt: skip
    with pytest.raises(BadData, match="does not open"):
        with_signature(homes["shop"], dataclasses.replace(signed, secrets=tuple(changed)))
    with pytest.raises(BadData, match="does not open"):
        keep(homes["platform"], dataclasses.replace(signed, secrets=tuple(changed)))
    foreign = Rooms(homes["shop"].rooms).load("exact").secrets  # of another contract
    with pytest.raises(BadData, match="does not open"):
        with_signature(homes["shop"], dataclasses.replace(signed, secrets=foreign))
    other = tuple(
        room_secrets.SealedSecret(
            "brand", each.to, room_secrets._sealed(homes["brand"], room.contract, each.to, b"x" * 32)
        )
        for each in signed.secrets
    )
    with pytest.raises(BadData, match="not the one that the contract names"):
        with_signature(homes["shop"], dataclasses.replace(signed, secrets=other))
    with pytest.raises(BadData, match="not the one that the contract names"):
        keep(homes["platform"], dataclasses.replace(signed, secrets=other))


def _later(room: Room) -> Room:
    return Room(SignedContract(dataclasses.replace(room.contract, purposes=("winter",))), room.annexes)


def _with_owner_for(room: Room, owner: Home, operator: Home) -> Room:
    """The room with the operator's keys in the place of an owner's: it would be handed what opens the other's runs."""
    keys, fresh = operator.keys.public, owner.keys.public
    swapped: dict[str, Any] = {
        owner.party: {"signing": keys.signing.hex(), "exchange": keys.exchange.hex()},
        operator.party: {"signing": fresh.signing.hex(), "exchange": fresh.exchange.hex()},
    }
    parties = tuple(dataclasses.replace(each, **swapped.get(each.name, {})) for each in room.contract.parties)
    return Room(SignedContract(dataclasses.replace(room.contract, parties=parties)), room.annexes)


def test_any_owner_hands_the_secret_on_for_a_change_of_the_same_parties(homes: dict[str, Home]) -> None:
    held = Rooms(homes["shop"].rooms).load("noised")
    changed = dataclasses.replace(held.contract, purposes=("winter",))
    passed = room_secrets.handed_on(homes["shop"], held, changed)
    found = {room_secrets.opened(homes[owner], changed, passed) for owner in OWNERS}
    assert found == {room_secrets.opened(homes["platform"], held.contract, held.secrets)}
    with pytest.raises(BadData, match="does not open"):
        room_secrets.opened(homes["platform"], held.contract, passed)
    others = _with_owner_for(held, homes["platform"], homes[OPERATOR]).contract
    with pytest.raises(Refused, match="for other parties"):
        room_secrets.handed_on(homes["shop"], held, others)
    forged = [dataclasses.replace(each, by=OPERATOR) for each in passed]
    with pytest.raises(Refused, match="has not come"):
        room_secrets.opened(homes["platform"], changed, forged)


def test_a_run_without_the_secret_ends_by_name(homes: dict[str, Home]) -> None:
    kept = Rooms(homes["platform"].rooms)
    room = kept.load("noised")
    kept.save(dataclasses.replace(room, secrets=()))
    ran = asked(homes, "noised", TRIPLE, ("crm.level",))
    assert isinstance(ran.failures["platform"], Refused)
    assert "has not come" in str(ran.failures["platform"])
    assert set(ran.failures) == set(homes)
    assert not [each for each in by_month(read(homes["brand"].ledger_path).entries) if each.lineage == "crm"]


# -- the contract


def contract_of(homes: dict[str, Home]) -> Contract:
    return Rooms(homes["brand"].rooms).load("noised").contract


def test_the_contract_keeps_its_form_and_says_who_opens_what(homes: dict[str, Home], tmp_path: Path) -> None:
    room = Rooms(homes["brand"].rooms).load("noised")
    contract = room.contract
    assert from_canonical(contract.canonical()) == contract
    draft.write(tmp_path / "room.toml", contract, room.annexes or ())
    again, _ = draft.read(tmp_path / "room.toml")
    assert again.match == contract.match
    assert contract.match.others == ("users",)
    assert contract.notes == NOTES[SEVERAL]
    said = {party: [each.template for each in found] for party, found in learns(contract).items()}
    assert set(said) == {*OWNERS, OPERATOR}
    assert set(NOTES[SEVERAL]) <= set(said[OPERATOR])
    assert contract.moved == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": "dh", "host": "platform"}, "lines up two datasets"),
        ({"updates": True}, "no run goes on"),
        ({"commitment": ""}, "digest of the secret"),
        ({"commitment": "00"}, "digest of the secret"),
        ({"others": ()}, "digest of the secret"),
        ({"others": (), "commitment": ""}, "two datasets of two owners"),
        ({"others": ("crm",)}, "each dataset of the contract once"),
        ({"others": ("users", "more")}, "each dataset of the contract once"),
        ({"others": tuple(f"d{n}" for n in range(7))}, "8 data owners"),
    ],
)
def test_contracts_that_cannot_be_meant_are_refused(change: dict[str, Any], said: str, homes: dict[str, Home]) -> None:
    contract = contract_of(homes)
    with pytest.raises((BadData, Refused), match=said):
        dataclasses.replace(contract, match=dataclasses.replace(contract.match, **change))


def test_several_identities_and_missing_recipients_are_refused(homes: dict[str, Home]) -> None:
    contract = contract_of(homes)
    also = tuple(dataclasses.replace(each, also=(Identity("email", "meta/1"),)) for each in contract.datasets)
    with pytest.raises(Refused, match="one identity only"):
        dataclasses.replace(contract, datasets=also)
    release = dataclasses.replace(contract.release, recipients=("brand", "shop"))
    with pytest.raises(Refused, match="all owners see"):
        dataclasses.replace(contract, release=release).check_usable()
    same = tuple(dataclasses.replace(each, owner="brand") for each in contract.datasets)
    with pytest.raises(BadData, match="another owner"):
        dataclasses.replace(contract, datasets=same)


def test_an_operator_without_its_secrets_field_is_no_room(homes: dict[str, Home]) -> None:
    plain = to_plain(Rooms(homes["brand"].rooms).load("noised"))
    assert plain["format"] == "cleanroom-room/3"
    with pytest.raises(BadData, match="format"):
        from_plain({name: value for name, value in plain.items() if name != "secrets"} | {"format": "cleanroom-room/2"})
    with pytest.raises(BadData, match="sealed secret"):
        from_plain({**plain, "secrets": [{"by": "brand", "to": "shop"}]})
    assert to_plain(from_plain(plain), for_operator=True)["secrets"] == []


def test_a_room_of_three_goes_round_as_files(
    homes: dict[str, Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "DEFAULT_KEY_BITS", BITS)
    files = []
    for name, dataset, role in (("shop", "orders", "merchant"), ("platform", "users", "platform"),
                                (OPERATOR, None, OPERATOR)):  # fmt: skip
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(cards.make(homes[name], role, dataset)))
    toml = tmp_path / "autumn.toml"
    drafting.new(homes["brand"].path, "autumn", "merchant", "crm", files, "platform", "auto", K, "autumn", toml)
    path = toml
    for name in ("brand", "shop", "platform"):
        signed = tmp_path / f"{name}.room.json"
        signing.sign(homes[name].path, path, signed)
        path = signed
    beside = path.with_name(f"{path.name.removesuffix('.json')}.{OPERATOR}.json")
    assert json.loads(beside.read_bytes())["secrets"] == []
    signing.sign(homes[OPERATOR].path, beside, tmp_path / "operator.room.json")
    for name in OWNERS:
        signing.sign(homes[name].path, tmp_path / "operator.room.json", tmp_path / "done.json")
    over = ("orders", "users")
    assert not asked(homes, "autumn", over, ("orders.goods",)).failures
