"""What a peer may ask a node for as a board; what the draft, the review and a change of the contract say of it."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cleanroom.errors import BadData, Refused
from cleanroom.lang import catalogue
from cleanroom.rooms import asked_for, draft
from cleanroom.rooms.changes import differences
from cleanroom.rooms.contract import Contract, SignedContract, from_canonical
from cleanroom.rooms.review import _learned
from cleanroom.rooms.store import Room
from cleanroom.rooms.terms import Column, Dataset, Match, Party, ReleaseRules

CELLS = draft.Cells(("f", "m"))
LABELLED = [draft.column("users", name, "category", CELLS) for name in ("gender", "tier")]


def contract(alone: tuple[str, ...] = ("users",), **release: Any) -> Contract:
    keys = {name: (f"{at}1" * 32, f"{at}2" * 32) for at, name in enumerate(("brand", "platform", "operator"), start=1)}
    roles: dict[str, Any] = {"brand": "merchant", "platform": "platform", "operator": "operator"}
    columns = (*(term for term, _ in LABELLED), Column("paid", "amount", low=0, high=1000))
    rules = {"noise": "gaussian", "sigma": 20, "epsilon": 10, **release}
    return Contract(
        room="spring",
        parties=tuple(Party(name, roles[name], *keys[name]) for name in keys),
        datasets=(Dataset("crm", "brand", "phone", "cn-mobile/1", 1000),
                  Dataset("users", "platform", "phone", "cn-mobile/1", 1000, columns)),
        match=Match("keyed", "crm", "users", "operator", "platform"),
        release=ReleaseRules(("brand", "platform"), alone=alone, **rules),
        purposes=("autumn",),
        created="2026-01-01T00:00:00+00:00",
        expires="2027-01-01T00:00:00+00:00",
    )  # fmt: skip


ROOM = contract()


def job(*, by: Any = ("users.gender",), sums: Any = ("users.paid",), query: Any = None, **board: Any) -> dict[str, Any]:
    asked = {"asker": "brand", "dataset": "users", "tables": [[], ["users.gender"]], **board}
    return {"room": "spring", "query": {"by": list(by), "sums": list(sums), "sigma": 20, **(query or {})},
            "board": asked}  # fmt: skip


def check(asked: Any, *, of: Contract = ROOM, asker: str = "brand", party: str = "platform",
          parties: tuple[str, ...] = ("brand", "platform")) -> None:  # fmt: skip
    asked_for.check(of, party, asker, list(parties), asked)


def test_an_owner_asks_another_for_a_board_of_its_dataset() -> None:
    check(job())
    said = asked_for.said(ROOM, job())
    text = " ".join(each.template.format(**each.params) for each in said)
    for word in ("board", "users.gender, users.paid", "2 tables", "20 persons", "3750 millionths"):
        assert word in text
    assert {each.template for each in said} <= catalogue().keys()


@pytest.mark.parametrize("asked", [
    job(dataset="crm"), job(dataset="nothing"), job(tables=[]), job(tables=[["users.gender"]]), job(tables=[[], []]),
    job(tables=[["users.gender"], []]), job(tables=[[], ["crm.gender"]]), job(tables=[[], ["users.paid"]]),
    job(tables=[[], ["users.tier"]]), job(tables=[[], [7]]), job(tables={}), job(tables=[[], "users.gender"]),
    job(tables=[[], ["users.gender", "users.gender"]]), job(tables=[[], ["users.tier", "users.gender"]]), job(asker=7),
    job(by=("users.gender", "users.tier")), job(sums=("users.gender",)), job(sums=("users.nothing",)), job(more=1),
    job(sums=("users.paid", "users.paid")), job(tables=[[], *([[f"users.{n}"] for n in range(99)])]),
    job(query={"over": ["users"]}), job(query={"plan": True}), job(asker="platform"), job(asker="operator"),
    job(tables=[[], ["users.gender"] * 9]), job(tables=[[], ["gender"]], by=("gender",)),
])  # fmt: skip
def test_whatever_else_is_no_board(asked: Any) -> None:
    with pytest.raises((BadData, Refused)):
        check(asked)


def test_nobody_else_asks_or_is_asked() -> None:
    for parties in (("brand", "platform", "operator"), ("brand",), ("brand", "operator")):
        with pytest.raises(BadData):
            check(job(), parties=parties)
    for asker in ("platform", "operator"):
        with pytest.raises((BadData, Refused)):
            check(job(), asker=asker)
    with pytest.raises(BadData):
        check(job(), party="operator")
    with pytest.raises(Refused, match="no boards"):
        check(job(), of=contract(()))


def test_old_contracts_are_what_they_were() -> None:
    plain = contract(()).canonical()
    assert "alone" not in plain["release"]
    assert from_canonical(plain) == contract(())
    assert from_canonical(ROOM.canonical()) == ROOM
    empty = copy.deepcopy(plain)
    empty["release"]["alone"] = []
    with pytest.raises(BadData):  # no second way to say the same
        from_canonical(empty)


def test_a_contract_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(BadData):
        contract(("nothing",))
    with pytest.raises(BadData):
        contract(("users", "users"))
    with pytest.raises(Refused):
        contract(noise="off", sigma=0, epsilon=0)
    with pytest.raises(Refused):
        contract(queries="templates")


def test_the_draft_says_it_in_one_line(tmp_path: Path) -> None:
    annexes = tuple(annex for _, annex in LABELLED)
    draft.write(tmp_path / "room.toml", ROOM, annexes)
    assert 'alone = ["users"]' in (tmp_path / "room.toml").read_text("utf-8")
    assert draft.read(tmp_path / "room.toml")[0].release == ROOM.release
    draft.write(tmp_path / "none.toml", contract(()), annexes)
    assert "alone" not in (tmp_path / "none.toml").read_text("utf-8")


def test_a_review_says_it_and_a_change_that_allows_it_is_marked() -> None:
    said = " ".join(each.template.format(**each.params) for each in _learned(ROOM))
    assert "boards of users: numbers with noise about all its persons" in said
    assert {each.template for each in _learned(ROOM)} <= catalogue().keys()
    before, after = (Room(SignedContract(each), tuple(a for _, a in LABELLED)) for each in (contract(()), ROOM))
    (line,) = [each for each in differences(before, after) if each.template.startswith("boards of")]
    assert (line.weaker, line.params["after"]) == (True, "users")
    (line,) = [each for each in differences(after, before) if each.template.startswith("boards of")]
    assert not line.weaker
    assert replace(ROOM.release, alone=()) == contract(()).release
