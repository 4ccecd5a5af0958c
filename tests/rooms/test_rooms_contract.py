"""The contract's forms: what is signed is what is read, and nothing can be changed unseen."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom import canonical
from cleanroom.errors import BadData, CleanroomError, Refused
from cleanroom.home import Home
from cleanroom.rooms import draft
from cleanroom.rooms.contract import Contract, SignedContract, from_canonical, signed_from_canonical
from cleanroom.rooms.store import Room, from_plain, to_plain
from cleanroom.rooms.terms import Column, Dataset, Match, Party, ReleaseRules
from tests.rooms import parts
from tests.rooms.parts import START, Drafted

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DAY = dt.timedelta(days=1)


@FEW
@given(parts.contracts())
def test_the_canonical_form_says_everything(drafted: Drafted) -> None:
    contract = drafted[0]
    sent = json.loads(canonical.encode(contract.canonical()))
    assert from_canonical(sent) == contract
    assert from_canonical(sent).digest() == contract.digest()
    room = Room(SignedContract(contract), drafted[1])
    assert from_plain(json.loads(canonical.encode(to_plain(room)))) == room


@FEW
@given(parts.contracts())
def test_a_draft_says_everything_but_the_salts(tmp_path: Path, drafted: Drafted) -> None:
    draft.write(tmp_path / "draft.toml", *drafted)
    again = draft.read(tmp_path / "draft.toml")
    assert parts.unsalted(again) == parts.unsalted(drafted)
    salted = any(column.annex for dataset in drafted[0].datasets for column in dataset.columns)
    assert (again[0].digest() == drafted[0].digest()) == (not salted)


def _changed(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}x"


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [leaf for key, item in items for leaf in _leaves(item, (*path, key))]
    return inner if isinstance(value, dict | list) else [path]


@FEW
@given(parts.contracts(), st.data())
def test_every_changed_field_changes_the_digest(drafted: Drafted, data: st.DataObject) -> None:
    plain = drafted[0].canonical()
    path = data.draw(st.sampled_from(_leaves(plain)))
    inner = plain
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = _changed(inner[path[-1]])
    try:
        changed = from_canonical(plain)
    except CleanroomError:
        return  # not even a contract any more
    assert changed.digest() != drafted[0].digest(), path


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Home]:
    folder = tmp_path_factory.mktemp("signers")
    return {name: parts.home(folder, name) for name in ("merchant", "platform")}


@pytest.fixture(scope="module")
def contract(signers: dict[str, Home]) -> Contract:
    parties = tuple(
        Party(name, name, made.keys.public.signing.hex(), made.keys.public.exchange.hex())  # type: ignore[arg-type]
        for name, made in signers.items()
    )
    return Contract(
        room="spring",
        parties=parties,
        datasets=(Dataset("crm", "merchant", "phone", "cn-mobile/1", 1000),
                  Dataset("users", "platform", "phone", "cn-mobile/1", 1000)),
        match=Match("dh", "crm", "users", "platform", "platform"),
        release=ReleaseRules(("merchant", "platform")),
        purposes=("overlap",),
        created=START.isoformat(),
        expires=(START + 30 * DAY).isoformat(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def signed(signers: dict[str, Home], contract: Contract) -> SignedContract:
    found = SignedContract(contract)
    for name, made in signers.items():
        found = found.sign(name, made.keys)
    return found


def test_signed_by_all_and_in_time_is_in_force(signed: SignedContract, contract: Contract) -> None:
    assert signed.check(START + DAY) == contract
    assert signed_from_canonical(json.loads(canonical.encode(signed.canonical()))).check(START) == contract


@pytest.mark.parametrize("moment", [START - DAY, START + 30 * DAY, START + 31 * DAY])
def test_out_of_time_is_refused(signed: SignedContract, moment: dt.datetime) -> None:
    with pytest.raises(Refused, match="not in force"):
        signed.check(moment)


def test_a_missing_signature_is_refused(signed: SignedContract) -> None:
    one = SignedContract(signed.contract, {"merchant": signed.signatures["merchant"]})
    with pytest.raises(Refused, match="platform has not signed"):
        one.check(START)


@pytest.mark.parametrize(
    "change", [{"purposes": ("resale",)}, {"release": ReleaseRules(("merchant", "platform"), 50)}, {"room": "summer"}]
)
def test_a_change_after_the_signature_is_refused(signed: SignedContract, change: dict[str, Any]) -> None:
    changed = SignedContract(dataclasses.replace(signed.contract, **change), signed.signatures)
    with pytest.raises(BadData, match="does not verify"):
        changed.check(START)


def test_anothers_signature_is_refused(signed: SignedContract) -> None:
    swapped = dict(zip(("merchant", "platform"), reversed(signed.signatures.values()), strict=True))
    with pytest.raises(BadData, match="does not verify"):
        SignedContract(signed.contract, swapped).check(START)


def test_only_the_named_keys_sign(signers: dict[str, Home], contract: Contract) -> None:
    with pytest.raises(Refused, match="names other keys for merchant"):
        SignedContract(contract).sign("merchant", signers["platform"].keys)
    with pytest.raises(BadData, match="has no party nobody"):
        SignedContract(contract).sign("nobody", signers["platform"].keys)


def _with(plain: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"format": "cleanroom-contract/2"}, BadData),
        ({"more": 1}, BadData),
        ({"parties": None}, BadData),
        ({"parties": [{"name": "merchant"}]}, BadData),
        ({"purposes": []}, BadData),
        ({"expires": "soon"}, BadData),
        ({"expires": "2026-06-01T00:00:00"}, BadData),
        ({"expires": START.isoformat()}, BadData),
        ({"room": "../spring"}, BadData),
    ],
)
def test_malformed_terms_are_refused(contract: Contract, changes: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        from_canonical(_with(contract.canonical(), **changes))
    with pytest.raises(BadData):
        signed_from_canonical({"contract": contract.canonical(), "signatures": {"merchant": "ff"}})
    with pytest.raises(BadData):
        from_plain({"format": "cleanroom-room/2"})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: {"match": dataclasses.replace(c.match, receiver="nobody")}, "must be owners of data"),
        (lambda c: {"match": dataclasses.replace(c.match, host="merchant")}, "receiver hosts the enclave"),
        (lambda c: {"match": dataclasses.replace(c.match, protocol="keyed")}, "third party as operator"),
        (lambda c: {"match": dataclasses.replace(c.match, right="crm")}, "two datasets of two owners"),
        (lambda c: {"release": ReleaseRules(("auditor",))}, "must be owners of data"),
        (
            lambda c: {"datasets": (c.datasets[0], dataclasses.replace(c.datasets[1], profile="e164/1"))},
            "same identity",
        ),
    ],
)
def test_terms_that_contradict_each_other_are_refused(contract: Contract, change: Any, text: str) -> None:
    with pytest.raises(CleanroomError, match=text):
        dataclasses.replace(contract, **change(contract))


def test_rules_no_room_may_have_are_refused() -> None:
    with pytest.raises(Refused, match="k = 49 is below 50"):
        ReleaseRules(("merchant",), 49)
    with pytest.raises(Refused, match="nobody may learn the matched rows"):
        Match("join-sum", "a", "b", "a", "a", "members")
    with pytest.raises(BadData, match="bounds"):
        Column("spend", "amount", low=2, high=1)


def test_exchanged_labels_are_refused(contract: Contract) -> None:
    term, annex = draft.column("crm", "tier", "category", draft.Cells(("gold",)))
    crm = dataclasses.replace(contract.datasets[0], columns=(term,))
    changed = dataclasses.replace(contract, datasets=(crm, contract.datasets[1]))
    plain = to_plain(Room(SignedContract(changed), (annex,)))
    from_plain(plain)
    plain["annexes"][0]["labels"][0] = "silver"
    with pytest.raises(BadData, match="not those that were signed"):
        from_plain(plain)
    for annexes in ((), (annex, annex), (dataclasses.replace(annex, salt="00"),)):
        if annexes != (annex, annex):
            with pytest.raises(BadData):
                from_plain({**plain, "annexes": to_plain(Room(SignedContract(changed), annexes))["annexes"]})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version = 2", "must begin with version = 1"),
        ("version = 1\n[", "is not TOML"),
        ("version = 1", "lacks or does not know the entry"),
    ],
)
def test_a_draft_that_is_none_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "draft.toml").write_text(text)
    with pytest.raises(BadData, match=told):
        draft.read(tmp_path / "draft.toml")
    with pytest.raises(CleanroomError, match=r"no file gone\.toml"):
        draft.read(tmp_path / "gone.toml")
