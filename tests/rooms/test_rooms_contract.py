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
from cleanroom.rooms import disclosure, draft
from cleanroom.rooms.contract import Contract, SignedContract, from_canonical, signed_from_canonical
from cleanroom.rooms.store import Room, from_plain, to_plain
from cleanroom.rooms.terms import Column, Dataset, Match, Party, ReleaseRules, Slots
from tests.rooms import parts
from tests.rooms.parts import START, Drafted

FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
                  Dataset("users", "platform", "phone", "cn-mobile/1", 2000)),
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
        ({"format": "cleanroom-contract/3"}, BadData),
        ({"format": "cleanroom-contract/1"}, BadData),  # it has entries that version 1 had not
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
        from_plain({"format": "cleanroom-room/3"})


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
        (
            lambda c: {
                "match": dataclasses.replace(c.match, protocol="vole"),
                "datasets": (c.datasets[0], dataclasses.replace(c.datasets[1], rows=1999)),
            },
            "vole cannot hold the receiver to 1999 rows",
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
    for protocol in ("vole", "oprf"):
        with pytest.raises(Refused, match="never the size alone"):
            Match(protocol, "a", "b", "a", "a", "size", 100)  # type: ignore[arg-type]
    for protocol, quota in (("oprf", 0), ("oprf", -1), ("dh", 1), ("vole", 1)):
        with pytest.raises(BadData, match="quota"):
            Match(protocol, "a", "b", "a", "a", "members", quota)  # type: ignore[arg-type]
    with pytest.raises(BadData, match="fingerprint of a Paillier key"):
        Slots("crm", key="ab")
    with pytest.raises(BadData, match="bounds"):
        Column("spend", "amount", low=2, high=1)


FIRST = """{"created":"2026-01-01T00:00:00+00:00","datasets":[{"columns":[{"annex":"","cells":0,"high":5,
"kind":"amount","low":0,"members":false,"name":"spend","unit":"0.01"}],"consent":"","identity":"phone","name":"crm",
"owner":"merchant","profile":"cn-mobile/1","rows":1000},{"columns":[],"consent":"","identity":"phone","name":"users",
"owner":"platform","profile":"cn-mobile/1","rows":1000}],"expires":"2026-04-01T00:00:00+00:00",
"format":"cleanroom-contract/1","match":{"host":"platform","left":"crm","output":"members","protocol":"dh","receiver":
"platform","right":"users"},"notes":[],"parties":[{"exchange":"EX","name":"merchant","role":"merchant","signing":"SI"},
{"exchange":"44","name":"platform","role":"platform","signing":"33"}],"purposes":["overlap"],"release":{"k":100,"noise":
"off","recipients":["merchant","platform"]},"room":"spring","slots":[{"by":[],"dataset":"crm","key_bits":3072,
"mask_bits":40,"sums":["spend"]}]}"""
FIRST_DIGEST = "d35a79cc661cff5bf97e26c0a9ff7fd77fe09ed7a35e30e97dd0ff38c30bdcb6"
"""A contract as version 1 signed it."""


def test_a_contract_of_the_first_format_is_read_as_it_was_signed_and_not_run(signers: dict[str, Home]) -> None:
    plain = json.loads(FIRST)
    for party, exchange, signing in zip(plain["parties"], ("22", "44"), ("11", "33"), strict=True):
        party["exchange"], party["signing"] = exchange * 32, signing * 32
    first = from_canonical(plain)
    assert first.digest() == FIRST_DIGEST
    assert first.canonical() == plain
    with pytest.raises(Refused, match="older format"):
        first.check_current()
    later: list[dict[str, Any]] = [
        {"match": dataclasses.replace(first.match, protocol="vole")},
        {"match": dataclasses.replace(first.match, protocol="oprf", quota=10)},
        {"slots": (dataclasses.replace(first.slots[0], key="ab" * 32),)},
    ]
    for change in later:
        with pytest.raises(BadData, match="format"):
            dataclasses.replace(first, **change)
    room = Room(SignedContract(first), ())
    old = {**to_plain(room), "format": "cleanroom-room/1"}
    with pytest.raises(BadData, match="format"):
        from_plain(old)  # the first had no keys
    del old["keys"]
    assert from_plain(old) == room


ASKING = [
    "whether the other side has any of {quota} identities asked in {days} days",
    "how many rows of {party} come and go within a key epoch",
]


@pytest.mark.parametrize(
    ("protocol", "told", "asked"),
    [("vole", [], []), ("oprf", ASKING, ["how many identities {party} asks about"])],
)
def test_what_each_side_learns_by_the_new_protocols(
    contract: Contract, protocol: Any, told: list[str], asked: list[str]
) -> None:
    quota = 1000 if protocol == "oprf" else 0
    changed = dataclasses.replace(contract, match=dataclasses.replace(contract.match, protocol=protocol, quota=quota))
    found = {party: [each.template for each in sentences] for party, sentences in disclosure.learns(changed).items()}
    rows, released = "the number of rows of {party}", found["merchant"][-1]
    assert found["platform"] == [rows, "which of its own rows matched", *told, released]
    assert found["merchant"] == [rows, *asked, released]


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
