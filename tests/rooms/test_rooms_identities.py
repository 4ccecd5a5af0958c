"""Several identities a person as a contract's term: the same on both sides, none left out in silence, told to all."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from cleanroom.errors import BadData, CleanroomError, Refused
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.machine import Machine
from cleanroom.overlap.asked import MOST_SLOT_ROWS, Overlap, check, check_comparable, match_wish, refuse_slow
from cleanroom.rooms import assembly, cards, choose, disclosure, draft
from cleanroom.rooms.assembly import Plan
from cleanroom.rooms.cards import Card
from cleanroom.rooms.contract import Contract, from_canonical
from cleanroom.rooms.identities import as_agreed
from cleanroom.rooms.terms import Dataset, Identity, Match, Party, ReleaseRules
from tests.rooms.parts import START

FAST = Machine("a processor", 2, frozenset({"aes", "pclmul", "vaes", "vpclmulqdq", "avx512f", "avx512ifma"}))
ALSO = (Identity("email", "meta/1"), Identity("device", "device/1"))
PARTIES = (Party("merchant", "merchant", "11" * 32, "22" * 32), Party("platform", "platform", "33" * 32, "44" * 32))


@pytest.fixture
def contract() -> Contract:
    return Contract(
        room="spring",
        parties=PARTIES,
        datasets=(
            Dataset("crm", "merchant", "phone", "cn-mobile/1", 1000, also=ALSO),
            Dataset("users", "platform", "phone", "cn-mobile/1", 2000, also=ALSO),
        ),
        match=Match("dh", "crm", "users", "platform", "platform"),
        release=ReleaseRules(("merchant", "platform")),
        purposes=("overlap",),
        created=START.isoformat(),
        expires=(START + dt.timedelta(days=30)).isoformat(),
    )


def with_also(contract: Contract, *also: tuple[Identity, ...]) -> Contract:
    left, right = (dataclasses.replace(each, also=its) for each, its in zip(contract.datasets, also, strict=True))
    return dataclasses.replace(contract, datasets=(left, right))


def test_a_contract_of_one_identity_is_signed_as_before(contract: Contract) -> None:
    plain = with_also(contract, (), ()).canonical()
    assert set(plain["datasets"][0]) == {"name", "owner", "identity", "profile", "rows", "columns", "consent"}
    assert from_canonical(plain).canonical() == plain
    plain["datasets"][0]["also"] = []  # no second way to say the same
    with pytest.raises(BadData):
        from_canonical(plain)


def test_identities_and_their_order_are_signed(contract: Contract) -> None:
    plain = contract.canonical()
    assert plain["datasets"][0]["also"] == [
        {"kind": "email", "profile": "meta/1"}, {"kind": "device", "profile": "device/1"},
    ]  # fmt: skip
    assert from_canonical(json.loads(json.dumps(plain))) == contract
    other = with_also(contract, ALSO[::-1], ALSO[::-1])
    assert len({contract.digest(), other.digest(), with_also(contract, (), ()).digest()}) == 3
    with pytest.raises(BadData, match="format"):
        dataclasses.replace(contract, format="cleanroom-contract/1")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: with_also(c, ALSO, ALSO[:1]), "same identities and profiles, in the same order"),
        (lambda c: with_also(c, ALSO, ALSO[::-1]), "same identities and profiles, in the same order"),
        (lambda c: with_also(c, (), ALSO), "same identities and profiles, in the same order"),
        (lambda c: with_also(c, (ALSO[0], ALSO[0]), ALSO), "names an identity twice"),
        (lambda c: with_also(c, (Identity("phone", "e164/1"),), ALSO), "names an identity twice"),
        (lambda c: with_also(c, tuple(Identity(f"k{n}", "x") for n in range(16)), ALSO), "more than 16 identities"),
        (lambda c: match_of(c, protocol="oprf", quota=9), "oprf matches by one identity only"),
        (lambda c: match_of(c, protocol="join-sum", output="size"), "join-sum matches by one identity only"),
        (lambda c: match_of(c, output="size"), "never the size alone"),
        (lambda c: match_of(c, updates=True), "no run goes on from an earlier one"),
        (lambda c: Identity("k" * 33, "x"), "at most 32 bytes"),
        (lambda c: Identity("", "x"), "at most 32 bytes"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused(contract: Contract, change: Any, text: str) -> None:
    with pytest.raises(CleanroomError) as raised:
        change(contract)
    assert text in raised.value.template.format(**raised.value.params)


def match_of(contract: Contract, **changes: Any) -> Contract:
    return dataclasses.replace(contract, match=dataclasses.replace(contract.match, **changes))


def neutral(contract: Contract, **changes: Any) -> Contract:
    """The same, with an operator."""
    operator = Party("operator", "operator", "55" * 32, "66" * 32)
    match = dataclasses.replace(contract.match, protocol="keyed", host="operator", **changes)
    return dataclasses.replace(contract, parties=(*PARTIES, operator), match=match)


def test_an_operator_may_match_by_several_and_need_tell_nobody_who_did(contract: Contract) -> None:
    for output in ("members", "size"):
        made = neutral(contract, output=output)
        assert from_canonical(json.loads(json.dumps(made.canonical()))) == made
        made.check_usable()
    with pytest.raises(Refused, match="no run goes on from an earlier one"):
        neutral(contract, updates=True)


def test_what_an_operator_learns_by_several_is_told_and_the_owners_learn_less(contract: Contract) -> None:
    told = {
        party: [each.template.format(**each.params) for each in found]
        for party, found in disclosure.learns(neutral(contract)).items()
    }
    more = "by each of phone,email,device, how many pseudonyms both sides share, and which of these stand in one row"
    assert more in told["operator"]
    assert not any("identities" in each or "one person" in each for each in (*told["merchant"], *told["platform"]))
    single = disclosure.learns(neutral(with_also(contract, (), ())))["operator"]
    assert not any("stand in one row" in each.template for each in single)


def test_a_draft_says_it_in_one_line(contract: Contract, tmp_path: Path) -> None:
    draft.write(tmp_path / "spring.toml", contract, ())
    line = 'also = [{ kind = "email", profile = "meta/1" }, { kind = "device", profile = "device/1" }]'
    assert (tmp_path / "spring.toml").read_text("utf-8").count(line) == 2
    assert draft.read(tmp_path / "spring.toml")[0] == contract


def test_who_learns_what_is_told_before_signing(contract: Contract) -> None:
    told = {
        party: [each.template.format(**each.params) for each in found]
        for party, found in disclosure.learns(contract).items()
    }
    more = {
        "by which identities each of its rows matched, tried in the order phone,email,device",
        "which of its own rows are one person to merchant",
    }
    assert more <= set(told["platform"])
    assert not more & set(told["merchant"])
    single = disclosure.learns(with_also(contract, (), ()))
    assert not more & {each.template.format(**each.params) for each in single["platform"]}


# -- from cards


def card(party: Party, name: str, kinds: str) -> Card:
    profiles = {"phone": "cn-mobile/1", "email": "meta/1", "device": "device/1"}
    first, *also = ({"kind": kind, "profile": profiles[kind]} for kind in kinds.split(","))
    offer = {"name": name, "identity": first["kind"], "profile": first["profile"], "rows": 5000, "columns": []}
    return Card(party, {**offer, **({"also": also} if also else {})})


def assembled(merchant: str, platform: str) -> Contract:
    plan = Plan("spring", "vole", "platform", 100, "overlap")
    owners = card(PARTIES[0], "crm", merchant), card(PARTIES[1], "users", platform)
    return assembly.assemble(plan, owners, None, [])[0]


def test_a_room_takes_what_both_have_in_the_merchants_order() -> None:
    contract = assembled("email,phone,device", "phone,device,email")
    assert [each.kind for each in contract.dataset("users").identities] == ["email", "phone", "device"]
    assert contract.notes[-1].startswith("Several identities a person")
    assert not any("Several" in note for note in assembled("phone", "phone").notes)
    assert cards.terms(card(PARTIES[0], "crm", "phone,email").offer or {}, "merchant")[0].also == ALSO[:1]


@pytest.mark.parametrize(
    ("merchant", "platform", "dataset", "wanted"),
    [("phone,email", "phone", "crm", "phone"), ("device,email", "email,phone,device", "users", "device,email")],
)
def test_an_identity_that_the_partner_lacks_is_not_left_out_in_silence(
    merchant: str, platform: str, dataset: str, wanted: str
) -> None:
    """A row may have that identity alone."""
    with pytest.raises(Refused, match="what both have is") as raised:
        assembled(merchant, platform)
    assert (raised.value.params["dataset"], raised.value.params["wanted"]) == (dataset, wanted)
    assert raised.value.hint == "Import it again: --on {wanted}."
    with pytest.raises(Refused, match="no identity in common"):
        assembled("phone", "email")


def test_a_card_offers_all_identities_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crm.csv").write_text("phone,email\n13800000001,\n,a@example.com\n")
    home = Home.create(tmp_path / "merchant", "merchant")
    import_source(home, Wish("crm", str(tmp_path / "crm.csv"), "phone,email"))
    monkeypatch.setattr(cards.paillier_keys, "own_fingerprint", lambda *_: "ab" * 32)  # else it is made, slowly
    made = cards.parse(cards.make(home, "merchant", "crm"), "crm.json")
    assert made.offer is not None and made.offer["also"] == [{"kind": "email", "profile": "meta/1"}]
    assert made.identities == 2
    assert cards.terms(made.offer, "merchant")[0].also == ALSO[:1]


def test_a_dataset_serves_a_contract_of_exactly_its_identities() -> None:
    meta = imported("email,phone")
    agreed = as_agreed(Dataset("crm", "merchant", "phone", "cn-mobile/1", 9, also=ALSO[:1]), meta)
    assert [each.kind for each in agreed] == ["phone", "email"]  # in the contract's order
    with pytest.raises(Refused, match="was imported by"):
        as_agreed(Dataset("crm", "merchant", "phone", "cn-mobile/1", 9), meta)
    with pytest.raises(Refused, match="another identity profile"):
        as_agreed(
            Dataset("crm", "merchant", "phone", "cn-mobile/1", 9, also=(Identity("email", "google-customer-match/1"),)),
            meta,
        )


# -- what is asked


def imported(kinds: str, **changes: dict[str, str]) -> dict[str, Any]:
    """What an import tells; changes: of a kind."""
    profiles = {"phone": "cn-mobile/1", "email": "meta/1"}
    first, *also = (
        {"identity": kind, "profile": profiles[kind], "profile_digest": "ab", "digest_form": "sha256",
         **changes.get(kind, {})}
        for kind in kinds.split(",")
    )  # fmt: skip
    return {**first, "funnel": {"digest_form": first["digest_form"]}, "also": also}


@pytest.mark.parametrize(
    ("change", "text"),
    [({"digest_form": "md5"}, "can never match"), ({"profile_digest": "cd"}, "normalise or hash the identity")],
)
def test_what_can_never_match_is_refused_for_the_kind(change: dict[str, str], text: str) -> None:
    good = imported("phone,email")
    check_comparable({"merchant": good, "platform": good})
    for kind in ("phone", "email"):
        with pytest.raises(Refused, match=text) as raised:
            check_comparable({"merchant": good, "platform": imported("phone,email", **{kind: change})})
        assert raised.value.params["kind"] == kind


@pytest.mark.parametrize("protocol", ["oprf", "join-sum"])
def test_a_protocol_that_matches_by_one_is_refused_before_anything_is_read(protocol: Any) -> None:
    with pytest.raises(Refused, match="matches by one identity only") as raised:
        check(Overlap("m.csv", "p.csv", "phone,email", protocol=protocol))
    assert "vole" in raised.value.hint


def test_slots_that_travel_with_each_identity_are_reckoned_so() -> None:
    one, two = (Overlap("m.csv", "p.csv", on, operator=False) for on in ("phone", "phone,email"))
    rows = {"merchant": MOST_SLOT_ROWS // 2, "platform": 1}
    alone, both = (refuse_slow(asked, rows, ["merchant"]) for asked in (one, two))
    assert alone and both and both["megabytes"] == 2 * alone["megabytes"] and both["seconds"] == alone["seconds"]
    with pytest.raises(Refused, match="more memory"):
        refuse_slow(two, {**rows, "merchant": rows["merchant"] + 1}, ["merchant"])
    to_operator = Overlap("m.csv", "p.csv", "phone,email")  # once, beside all tokens
    assert refuse_slow(to_operator, {"merchant": MOST_SLOT_ROWS, "platform": 1}, ["merchant"])
    assert refuse_slow(to_operator, rows, ["merchant"]) == alone


@pytest.mark.parametrize(("rows", "protocol"), [(500, "dh"), (1_000_000, "vole")])
def test_auto_takes_two_parties_where_there_is_no_operator_and_says_why(rows: int, protocol: str) -> None:
    asked = Overlap("m.csv", "p.csv", "phone,email", operator=False)
    wish = match_wish(asked, {"merchant": rows, "platform": rows}, [], [])
    single = dataclasses.replace(wish, identities=1)
    choice = choose.choose(wish, FAST)
    assert choice.protocol == protocol
    assert "By 2 identities a person" in choice.why.format(**choice.params)
    options = {each.protocol: each for each in choice.options}
    assert all(options[name].why_not is not None for name in ("keyed", "oprf", "join-sum"))
    assert "one person" in options[choice.protocol].learns
    alone = {each.protocol: each.estimate for each in choose.choose(single, FAST).options}
    assert options["dh"].estimate.wire == 2 * alone["dh"].wire
    assert options["dh"].estimate.seconds > alone["dh"].seconds


def test_auto_takes_an_operator_where_there_is_one() -> None:
    asked = Overlap("m.csv", "p.csv", "phone,email")
    assert asked.neutral
    wish = match_wish(asked, {"merchant": 10**6, "platform": 10**6}, [], [])
    choice = choose.choose(wish, FAST)
    assert choice.protocol == "keyed" and choice.why.startswith("An operator")
    options = {each.protocol: each for each in choice.options}
    assert "by each identity" in options["keyed"].learns and "one person" not in options["keyed"].learns
    single = choose.choose(dataclasses.replace(wish, identities=1), FAST).options[0].estimate
    assert options["keyed"].estimate.wire == 2 * single.wire  # no slots
    slots = dataclasses.replace(wish, slots=True)
    alone, both = (choose.choose(dataclasses.replace(slots, identities=n), FAST).options[0].estimate for n in (1, 2))
    assert both.wire == alone.wire + single.wire  # slots travel once
