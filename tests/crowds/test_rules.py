"""Rules of crowds: what they mean is what sets of people mean, in one form whatever the words; bad ones are named."""

import itertools
import json
import tracemalloc
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.crowds import channels, pools
from cleanroom.crowds import rule as rules
from cleanroom.crowds.pools import Meaning, selection_of
from cleanroom.crowds.rule import Other, Pool, Rule, Tags, Uploaded
from cleanroom.crowds.selection import MOST_BOXES, Listed, Selection, Within
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.schema import Field, Schema

FIELDS = (
    Field("crm", "level", "category", ("gold", "silver", "basic", "unknown")),
    Field("crm", "orders", "bucket", ("0", "1–2", "3+", "unknown"), ("1", "3")),
    Field("crm", "spend", "amount"),
    Field("users", "stage", "category", ("none", "visit", "pay")),
)
SCHEMA = Schema(("crm", "users"), FIELDS)
SIZES = {field.name: len(field.labels) for field in FIELDS if field.labels}
LISTS = (("crm", "L1"), ("crm", "L2"), ("users", "P1"))
PEOPLE = [
    {**dict(zip(SIZES, cells, strict=True)), **dict(zip(LISTS, inside, strict=True))}
    for cells in itertools.product(*map(range, SIZES.values()))
    for inside in itertools.product((False, True), repeat=len(LISTS))
]
"""One person of every kind there can be."""
CONDITIONS: Mapping[str, Callable[[dict[object, int]], bool]] = {
    "level = 'gold'": lambda p: p["crm.level"] == 0,
    "NOT level = 'gold'": lambda p: p["crm.level"] in (1, 2),
    "level <> 'silver' OR stage = 'pay'": lambda p: p["crm.level"] in (0, 2) or p["users.stage"] == 2,
    "orders >= 1 AND stage IN ('visit', 'pay')": lambda p: p["crm.orders"] in (1, 2) and p["users.stage"] > 0,
    "users.stage = 'none'": lambda p: p["users.stage"] == 0,
    "": lambda _: True,
}


def meaning(crowds: Mapping[str, Rule] | None = None) -> Meaning:
    def rule_of(code: str) -> Rule:
        if code not in (crowds or {}):
            raise UsageError("There is no crowd {code}.", code=code)
        return (crowds or {})[code]

    return Meaning(SCHEMA, "crm", rule_of, lambda code: code)


def people(selection: Selection) -> set[int]:
    def holds(person: dict[object, int], literal: object) -> bool:
        if isinstance(literal, Within):
            return person[literal.column] in literal.cells
        assert isinstance(literal, Listed)
        return person[(literal.dataset, literal.code)] == literal.inside

    return {at for at, person in enumerate(PEOPLE)
            if any(all(holds(person, each) for each in box) for box in selection.boxes)}  # fmt: skip


def reference(rule: Rule, crowds: Mapping[str, Rule]) -> set[int]:
    def node(each: rules.Node) -> set[int]:
        if isinstance(each, Tags):
            return {at for at, person in enumerate(PEOPLE) if CONDITIONS[each.where](person)}
        if isinstance(each, Uploaded):
            return {at for at, person in enumerate(PEOPLE) if person[(each.dataset or "crm", each.list_code)]}
        return reference(crowds[each.crowd_code], crowds)

    whole: set[int] = set()
    for at, pool in enumerate(rule.pools):
        parts = [node(each) for each in pool.nodes]
        own = set.union(*parts) if pool.inside == "union" else set.intersection(*parts)
        if at == 0:
            whole = own
        else:
            whole = {"union": whole | own, "intersection": whole & own, "difference": whole - own}[pool.join]
    return whole


plain_nodes = st.one_of(
    st.sampled_from(list(CONDITIONS)).map(Tags),
    st.sampled_from([("L1", ""), ("L2", ""), ("P1", "users"), ("L1", "crm")]).map(lambda pair: Uploaded(*pair)),
)
INSIDE: list[rules.Inside] = ["union", "intersection"]
JOINS: list[rules.Join] = ["union", "intersection", "difference"]
sides, joins = st.sampled_from(INSIDE), st.sampled_from(JOINS)


@st.composite
def some_rules(draw: st.DrawFn, nodes: st.SearchStrategy[rules.Node]) -> Rule:
    count = draw(st.integers(1, 4))
    return Rule(tuple(
        Pool(tuple(draw(st.lists(nodes, min_size=1, max_size=3))), draw(sides), draw(joins) if at else "union")
        for at in range(count)
    ))  # fmt: skip


with_crowds = st.one_of(plain_nodes, st.sampled_from(["C1", "C2"]).map(Other))


@settings(max_examples=120, deadline=None)
@given(some_rules(plain_nodes), some_rules(st.one_of(plain_nodes, st.just(Other("C1")))), some_rules(with_crowds),
       st.booleans())  # fmt: skip
def test_a_rule_means_what_the_sets_mean(first: Rule, second: Rule, rule: Rule, crossed: bool) -> None:
    crowds = {"C1": first, "C2": second}
    wanted = reference(rule, crowds)
    with pytest.MonkeyPatch.context() as patch:
        if not crossed:
            patch.setattr(pools, "MOST_CROSSINGS", 0)
        if not wanted:
            with pytest.raises(CleanroomError):
                found = selection_of(rule, meaning(crowds))
                assert people(found)
            return
        found = selection_of(rule, meaning(crowds))
    assert people(found) == wanted
    if crossed and len(wanted) < len(PEOPLE):  # one form: whoever is not outside is inside
        crowds |= {"R": rule, "OUT": Rule((Pool((Tags(""),)), Pool((Other("R"),), "union", "difference")))}
        inside = Rule((Pool((Tags(""),)), Pool((Other("OUT"),), "union", "difference")))
        assert selection_of(inside, meaning(crowds)) == found
    assert rules.from_plain(json.loads(json.dumps(rule.plain()))) == rule


def test_other_words_for_the_same_people_are_the_same_selection() -> None:
    same = [
        Rule((Pool((Tags("level IN ('gold', 'silver')"),)),)),
        Rule((Pool((Tags("level = 'silver'"), Tags("level = 'gold'"))),)),
        Rule((Pool((Tags("level <> 'basic'"),)),)),
        Rule((Pool((Tags("level IS NOT NULL"),)), Pool((Tags("level = 'basic'"),), "union", "difference"))),
    ]
    assert len({selection_of(each, meaning()).digest() for each in same}) == 1


def test_whoever_has_no_value_is_not_in_a_condition_but_is_outside_of_it() -> None:
    rule = Rule((Pool((Tags(""),)), Pool((Tags("level = 'gold'"),), "union", "difference")))
    assert selection_of(rule, meaning()).boxes == ((Within("crm.level", (1, 2, 3)),),)


def test_many_lists_are_joined_though_they_cross_in_more_ways_than_are_looked_at() -> None:
    union = Rule((Pool(tuple(Uploaded(f"L{at}") for at in range(40))),))
    assert len(selection_of(union, meaning()).boxes) == 40
    both = Rule((Pool(tuple(Uploaded(f"L{at}") for at in range(40)), "intersection"),))
    assert len(selection_of(both, meaning()).boxes) == 1
    none = Rule((Pool((Tags(""),)), *[Pool((Uploaded(f"L{at}"),), "union", "difference") for at in range(30)]))
    assert selection_of(none, meaning()).boxes == (tuple(Listed("crm", f"L{at}", False) for at in sorted(range(30), key=str)),)  # fmt: skip  # noqa: E501


def test_crowds_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    crowds = {"C0": rules.simple("level = 'gold'")}
    for at in range(1, 15):
        crowds[f"C{at}"] = Rule((Pool((Other(f"C{at - 1}"),) * 60),))
    tracemalloc.start()
    with pytest.raises(Refused, match="alternatives"):
        selection_of(rules.Rule((Pool((Other("C14"),)),)), meaning(crowds))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    grown = Rule(tuple(
        Pool((Uploaded(f"A{at}"), Uploaded(f"B{at}")), "union", "intersection" if at else "union") for at in range(12)
    ))  # fmt: skip
    with pytest.raises(Refused):
        selection_of(grown, meaning())


def test_crowds_that_stand_on_themselves_are_refused() -> None:
    crowds = {"C1": Rule((Pool((Other("C2"),)),)), "C2": Rule((Pool((Tags(""), Other("C1"))),))}
    with pytest.raises(UsageError, match="C1 stands on itself"):
        selection_of(Rule((Pool((Other("C1"),)),)), meaning(crowds))
    with pytest.raises(UsageError, match="There is no crowd C9"):
        selection_of(Rule((Pool((Other("C9"),)),)), meaning(crowds))


@pytest.mark.parametrize(
    ("where", "code", "place"),
    [
        ("level = 'gold' AND stge = 'pay'", "column", (1, 20)),
        ("level = 'gold'\n  AND\n  nosuch = 1", "column", (3, 3)),
        ("level = 'platin'", "value", (1, 9)),
        ("spend > 100", "amount", (1, 1)),
        ("orders > 2", "edge", (1, 10)),
        ("level = 'gold' AND level = 'basic'", "nobody", None),
        ("level = 'gold' ORDER BY 1", "syntax", None),
        ("level = 'gold') ORDER BY (1", None, None),
        ("level = 'gold') GROUP BY (level", None, None),
        ("level = 'gold'); SELECT (1", "statement", None),
        ("level IN (SELECT level FROM crm)", None, None),
        ("COUNT(*) > 1", None, None),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused_at_its_place(
    where: str, code: str | None, place: tuple[int, int] | None
) -> None:
    with pytest.raises(QueryRefused) as caught:
        selection_of(rules.simple(where), meaning())
    assert code in (None, caught.value.code)
    if place:
        assert (caught.value.line, caught.value.column) == place
    if caught.value.code == "column" and "stge" in where:
        assert "users.stage" in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rule(()),
        lambda: Rule((Pool(()),)),
        lambda: Rule((Pool((Tags("x"),), "difference"),)),  # type: ignore[arg-type]
        lambda: Rule((Pool((Tags("x"),), "union", "without"),)),  # type: ignore[arg-type]
        lambda: Rule((Pool((Tags("x"),), "union", "difference"),)),
        lambda: Rule((Pool((Tags("x"),)),) * 33),
        lambda: Rule((Pool((Tags("x"),) * 65),)),
        lambda: Rule((Pool((Uploaded(""),)),)),
        lambda: Rule((Pool((Other("C" * 65),)),)),
        lambda: Rule((Pool((Tags("x" * 20_001),)),)),
        lambda: rules.combined(("C1",), "union"),
        lambda: rules.combined(("C1", "C1"), "union"),
        lambda: rules.combined(("C1", "C2"), "xor"),  # type: ignore[arg-type]
        lambda: channels.check(["coupons"]),
    ],
)
def test_what_cannot_be_meant_is_named(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "cleanroom-crowd-rule/2", "pools": []}', "[" * 100_000,
     '{"format": "cleanroom-crowd-rule/1"}', '{"format": "cleanroom-crowd-rule/1", "pools": {}}',
     '{"format": "cleanroom-crowd-rule/1", "pools": [{"nodes": [["tags", 1]]}]}',
     '{"format": "cleanroom-crowd-rule/1", "pools": [{"nodes": [["sql", "x"]]}]}',
     '{"format": "cleanroom-crowd-rule/1", "pools": [{"nodes": "x"}]}',
     '{"format": "cleanroom-crowd-rule/1", "pools": [{"nodes": [["tags", "x"]], "more": 1}]}'],
)  # fmt: skip
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(BadData):
        rules.from_text(text)


def test_a_list_of_another_dataset_is_named_with_it() -> None:
    with pytest.raises(UsageError, match="no dataset shop"):
        selection_of(rules.listed("L1", "shop"), meaning())
    assert selection_of(rules.listed("P1", "users"), meaning()).boxes == ((Listed("users", "P1"),),)


def test_a_rule_that_is_too_long_says_so() -> None:
    wide = [Pool((Uploaded(f"X{at}-{n}"),), "union", "union") for at in range(1) for n in range(8)]
    assert selection_of(Rule(tuple(wide)), meaning())
    boxes = tuple((Listed("crm", f"L{at}"),) for at in range(MOST_BOXES + 1))
    with pytest.raises(Refused, match="too long"):
        Selection(boxes)
