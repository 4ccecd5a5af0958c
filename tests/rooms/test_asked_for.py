"""What a peer may ask when it begins a run, and what a person is told of it."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.lang import catalogue
from cleanroom.rooms import asked_for
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Column, Dataset, Match, Party, ReleaseRules

OWNERS = {"brand": "crm", "shop": "orders", "platform": "users"}
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ALL = [*OWNERS, "operator"]


def contract(noise: Any = "gaussian") -> Contract:
    roles: dict[str, Any] = {"brand": "merchant", "shop": "merchant", "platform": "platform", "operator": "operator"}
    parties = tuple(Party(name, role, f"{at:02x}" * 32, f"{at + 9:02x}" * 32) for at, (name, role) in
                    enumerate(roles.items(), 1))  # fmt: skip
    level = Column("level", "category", cells=3, annex="ab" * 32)
    paid = Column("paid", "amount", low=0, high=900, unit="0.01")
    datasets = tuple(Dataset(name, owner, "phone", "cn-mobile/1", 1000, (level, paid)) for owner, name in
                     OWNERS.items())  # fmt: skip
    sigma = {"sigma": 20, "epsilon": 10} if noise != "off" else {"sigma": 0, "epsilon": 0}
    match = Match("keyed", "crm", "orders", "operator", "brand", "size", 0, others=("users",), commitment="cd" * 32)
    return Contract("spring", parties, datasets, match, ReleaseRules(tuple(OWNERS), 100, noise, **sigma),
                    ("insight",), START.isoformat(), (START + dt.timedelta(days=90)).isoformat())  # fmt: skip


ROOM = contract()


def job(**query: Any) -> dict[str, Any]:
    more = {name: query.pop(name) for name in ("again", "expected", "template", "values", "room") if name in query}
    return {"room": "spring", "query": {"by": ["crm.level"], "sums": [], **query}, **more}


def check(asked: Any, asker: str = "brand", parties: Any = ALL, party: str = "shop") -> None:
    asked_for.check(ROOM, party, asker, parties, asked)


def test_what_owners_ask_passes() -> None:
    check(job())
    check(job(sums=["orders.paid"], sigma=7, where=[[["users.level", [0, 2]]], []], template=None, values={"a": "b"}))
    check(job(plan=True, sigma=20))
    check(job(again=True, expected="ab" * 32))
    check(job(over=["crm", "orders"]), parties=["shop", "brand", "operator"])
    check(job(by=[]), party="operator")


def test_an_operator_puts_no_question() -> None:
    with pytest.raises(Refused, match="Only an owner of data"):
        check(job(), asker="operator")


def test_nobody_asks_about_the_data_of_others_alone() -> None:
    over = job(by=[], over=["orders", "users"])
    with pytest.raises(Refused, match="brand brings none of the datasets"):
        check(over, asker="brand", parties=["brand", "shop", "platform", "operator"])
    check(over, asker="platform", parties=["shop", "platform", "operator"])


@pytest.mark.parametrize("parties", [
    ["brand", "shop", "operator"], ["brand", "shop", "platform"], [*ALL, "brand"], [*ALL, "nobody"], ["brand", "shop"],
])  # fmt: skip
def test_just_those_who_take_part_are_asked(parties: list[str]) -> None:
    with pytest.raises(BadData):
        check(job(), parties=parties)


def test_who_does_not_take_part_is_not_asked() -> None:
    with pytest.raises(BadData):
        check(job(by=[], over=["crm", "users"]), parties=["brand", "operator", "platform"], party="shop")


@pytest.mark.parametrize("asked", [
    job(by=["crm.salary"]), job(by=["other.level"]), job(sums=["crm.nothing"]), job(where=[[["crm.nothing", [0]]]]),
])  # fmt: skip
def test_columns_are_the_contracts(asked: Any) -> None:
    with pytest.raises((BadData, Refused)):
        check(asked)


@pytest.mark.parametrize("asked", [
    {}, {"room": "spring"}, {"room": "spring", "query": {}}, {**job(), "members": "/tmp/x"}, job(room="autumn"),
    {**job(), "asked_by": ["x"]}, job(by="crm.level"), job(by=[["crm.level"]]), job(by=["crm.level"] * 2), job(by=[7]),
    job(by=["crm.level\x1b[2J"]), job(by=["level"]), job(by=[f"crm.c{n}" for n in range(300)]), job(sigma=True),
    job(sigma=5.5), job(sigma=-5), job(sigma="5"), job(plan=1), job(plan="yes"), job(over="crm"), job(over=["crm", []]),
    job(again=1), job(expected=["x"]), job(template=7), job(template="x" * 600), job(values=[]), job(values={"a": 1}),
    job(values={str(n): "x" * 500 for n in range(2000)}), job(where={}), job(where=[{}]), job(where=[[["crm.level"]]]),
    job(where=[[["crm.level", ["00"]]]]), job(where=[[["crm.level", [1.5]]]]), job(where=[[[[], [1]]]]),
    job(by=["crm.\ud800"]), job(sigma=float("nan")), job(limit=3),
])  # fmt: skip
def test_anything_else_is_no_question(asked: Any) -> None:
    with pytest.raises(BadData):
        check(asked)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("crm.level"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["by", "sums", "where", "sigma", "plan", "over", "x"]), json),
       st.dictionaries(st.sampled_from(["again", "expected", "template", "values", "members"]), json))  # fmt: skip
def test_whatever_comes_is_a_question_or_refused_by_name(query: Any, more: Any) -> None:
    asked = {"room": "spring", "query": {"by": [], "sums": [], **query}, **more}
    try:
        check(asked)
    except (BadData, Refused):
        return
    except UsageError:
        pytest.fail("a peer's words are no use of ours")
    assert asked_for.said(ROOM, asked)


def test_a_person_is_told_all_that_a_question_asks() -> None:
    asked = job(sums=["orders.paid"], sigma=5, where=[[["users.level", [0]]]], over=["crm", "orders", "users"])
    sentences = asked_for.said(ROOM, asked)
    text = " ".join(each.template.format(**each.params) for each in sentences)
    for word in ("crm.level, orders.paid", "users.level", "crm, orders, users", "5 persons", "40000 millionths", "100"):
        assert word in text
    assert "a plan" in " ".join(each.template for each in asked_for.said(ROOM, job(plan=True)))
    assert not any("costs" in each.template for each in asked_for.said(ROOM, job(again=True)))
    assert not any("costs" in each.template for each in asked_for.said(contract("off"), job()))
    assert {each.template for each in sentences} <= catalogue().keys()
