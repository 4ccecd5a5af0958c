"""Rules of crowds go out and come back as the same document; what it cannot mean is refused by name and place."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cleanroom import canonical
from cleanroom.crowds import desk
from cleanroom.crowds.rule import Other, Pool, Rule, Tags, Uploaded, simple
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.interop import rules
from cleanroom.interop.rules import Named, Rules
from tests.interop.world import ROOM, World

pytestmark = pytest.mark.xdist_group("interop")  # one worker makes the room
DOCS = Path(__file__).parents[2] / "docs" / "formats"
SCHEMA = Draft202012Validator(json.loads(rules.SCHEMA.read_text()))
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
INSIDE, JOIN = st.sampled_from(["union", "intersection"]), st.sampled_from(["union", "intersection", "difference"])


@st.composite
def documents(draw: st.DrawFn) -> Rules:
    made: list[Named] = []
    for place in range(draw(st.integers(1, 4))):
        others = st.sampled_from([each.id for each in made]).map(Other) if made else st.nothing()
        nodes = st.lists(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(Tags) | others, min_size=1, max_size=4
        ).map(tuple)
        pools = [
            Pool(draw(nodes), draw(INSIDE), draw(JOIN) if at else "union") for at in range(draw(st.integers(1, 3)))
        ]
        made.append(Named(f"{place}{draw(TEXT)}", draw(TEXT), draw(TEXT), Rule(tuple(pools))))
    return Rules(tuple(sorted(draw(st.sets(TEXT)))), tuple(made))


@given(documents())
def test_a_document_comes_back_as_it_went_and_fits_its_schema(document):
    content = document.encode()
    assert rules.parse(content) == document
    assert rules.parse(content).encode() == content
    SCHEMA.validate(json.loads(content))


@given(documents(), st.data())
def test_a_document_with_any_entry_changed_to_another_type_is_refused_or_means_what_the_schema_allows(document, data):
    found = json.loads(document.encode())
    where = data.draw(st.sampled_from(["format", "columns", "crowds"]))
    found[where] = data.draw(st.none() | st.integers() | st.lists(st.integers(), min_size=1) | st.text())
    assert not SCHEMA.is_valid(found)
    with pytest.raises(CleanroomError):
        rules.parse(canonical.encode(found))


def test_the_schema_in_the_documentation_is_the_one_that_is_packaged():
    assert (DOCS / rules.SCHEMA.name).read_bytes() == rules.SCHEMA.read_bytes()


RULE = '{"format": "cleanroom-crowd-rule/1", "pools": [{"nodes": [["tags", "x"]]}]}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not in the form"),
        (b"[]", "unknown version"),
        (b'{"format": "cleanroom-crowd-rules/2", "columns": [], "crowds": []}', "unknown version"),
        (b'{"format": "cleanroom-crowd-rules/1", "columns": [], "crowds": []}', "1 to 1000"),
        (b'{"format": "cleanroom-crowd-rules/1", "columns": [1], "crowds": []}', "not in the form"),
        (b'{"format": "cleanroom-crowd-rules/1", "columns": [], "crowds": [], "more": 1}', "not in the form"),
        (b'{"format": "cleanroom-crowd-rules/1", "columns": [], "crowds": [{"id": "1"}]}', "not in the form"),
        (b'{"format": "cleanroom-crowd-rules/1", "columns": ["\\ud800"], "crowds": []}', "not in the form"),
        (b"[" * 100_000, "not in the form"),
    ],
)  # fmt: skip
def test_a_document_of_another_form_or_version_is_refused(content, said):
    with pytest.raises(BadData, match=said):
        rules.parse(content)


def one(rule: str = RULE, **values: str) -> bytes:
    crowd = {"id": "1", "name": "gold", "description": "", **values}
    return canonical.encode({"format": rules.FORMAT, "columns": [], "crowds": [{**crowd, "rule": json.loads(rule)}]})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (one(RULE.replace("rule/1", "rule/2")), "unknown version"),
        (one(RULE.replace("tags", "people")), "not in the form"),
        (one(RULE.replace('["tags", "x"]', '["uploaded", "L1"]')), "names a list"),
        (one(RULE.replace('["tags", "x"]', '["crowd", "1"]')), "not before it"),
        (one(name=" gold"), "not in the form"),
        (one(name="g\n"), "not in the form"),
        (one(id=""), "not in the form"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_travel_is_refused(content, said):
    with pytest.raises(CleanroomError, match=said):
        rules.parse(content)


def test_rules_of_a_room_go_to_a_document_and_back_as_the_same_crowds(world: World, folder: Path):
    home = world.path("merchant")
    gold = desk.create(home, ROOM, "gold", rule=simple("level = 'gold'"), description="who pays")
    away = desk.create(
        home,
        ROOM,
        "gold, away",
        rule=Rule((Pool((Other(gold.code),)), Pool((Tags("stage = 'visit'"),), "union", "difference"))),
    )
    told = rules.export(home, ROOM, [away.code, gold.code], folder / "rules.json")
    assert told["columns"] == ["crm.level", "users.stage"]
    assert [(each["id"], each["name"]) for each in told["crowds"]] == [("1", "gold"), ("2", "gold, away")]
    assert gold.code not in (folder / "rules.json").read_text()
    assert rules.check(home, ROOM, folder / "rules.json")["crowds"] == told["crowds"]
    codes = rules.bring(world.path("platform"), ROOM, folder / "rules.json")["codes"]
    made = desk.get(world.path("platform"), codes["2"])
    assert made.rule == Rule((Pool((Other(codes["1"]),)), away.rule.pools[1]))
    assert desk.get(world.path("platform"), codes["1"]).description == "who pays"
    with pytest.raises(UsageError, match="exists already"):
        rules.export(home, ROOM, [gold.code], folder / "rules.json")


def test_an_unknown_column_is_named_with_its_place_and_nothing_is_made(world: World, folder: Path):
    first = Named("1", "fine", "", simple("level = 'gold'"))
    second = Named(
        "2",
        "not",
        "",
        Rule(
            (Pool((Tags("level = 'gold'"),)), Pool((Tags("stage = 'visit'"), Tags("level = 'gold'\nAND city = 'x'"))))
        ),
    )
    (folder / "rules.json").write_bytes(Rules((), (first, second)).encode())
    before = desk.listed(world.path("merchant"), size=200)[1]
    with pytest.raises(
        rules.RuleRefused, match=r"rule of not .* pool 2, condition 2, line 2, column 5: .* no column city"
    ) as refused:
        rules.bring(world.path("merchant"), ROOM, folder / "rules.json")
    assert refused.value.details() == {"code": "rule", "line": 2, "column": 5}
    assert desk.listed(world.path("merchant"), size=200)[1] == before


def test_people_do_not_leave_as_a_rule(world: World, folder: Path):
    import numpy as np

    home = world.path("merchant")
    people = desk.create(home, ROOM, "people", digests=np.arange(64, dtype=np.uint8).reshape(2, 32))
    above = desk.create(home, ROOM, "above", rule=Rule((Pool((Other(people.code),)),)))
    for code in (people.code, above.code):
        with pytest.raises(Refused, match="people do not leave"):
            rules.export(home, ROOM, [code], folder / "rules.json")
    assert isinstance(people.rule.nodes[0], Uploaded)
    assert not (folder / "rules.json").exists()
