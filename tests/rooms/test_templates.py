"""Templates: signed by all whose data they read, kept under their contract, and in some rooms the only questions."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.gate import ask
from cleanroom.gate.schema import Schema
from cleanroom.home import Home
from cleanroom.rooms import draft, templates
from cleanroom.rooms.contract import Contract, SignedContract
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.terms import Annex, Column, Dataset, Match, Party, ReleaseRules
from cleanroom.terminal.templates import asked_by

TOML = """
format = "cleanroom-template/1"
name = "tiers"
version = 1
sql = "SELECT tier, COUNT(*), MEDIAN(visits) FROM matched WHERE city = :city AND visits >= :since GROUP BY tier"

[parameters.city]
column = "users.city"
default = "一线"

[parameters.since]
column = "visits"
default = "31"
"""
World = dict[str, Home]


def party(home: Home, role: Any) -> Party:
    return Party(home.party, role, home.keys.public.signing.hex(), home.keys.public.exchange.hex())


def contract(homes: World, queries: Any) -> tuple[Contract, tuple[Annex, ...]]:
    """Of two owners with an operator; everything is matched by phone."""
    tier, tiers = draft.column("crm", "tier", "category", draft.Cells(("gold", "silver")))
    city, cities = draft.column("users", "city", "category", draft.Cells(("一线", "二线")))
    edges = ("31", "61")
    visits, visited = draft.column("users", "visits", "bucket", draft.Cells(draft.edge_labels(edges), edges))
    spend = Column("spend", "amount", low=0, high=1000, unit="0.01")
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    terms = Contract(
        "spring",
        (party(homes["merchant"], "merchant"), party(homes["platform"], "platform"),
         party(homes["operator"], "operator")),
        (Dataset("crm", "merchant", "phone", "cn-mobile/1", 300, (tier, spend)),
         Dataset("users", "platform", "phone", "cn-mobile/1", 300, (city, visits))),
        Match("keyed", "crm", "users", "operator", "platform"),
        ReleaseRules(("merchant", "platform"), queries=queries),
        ("overlap",),
        (now - dt.timedelta(days=1)).isoformat(),
        (now + dt.timedelta(days=30)).isoformat(),
    )  # fmt: skip
    return terms, (tiers, cities, visited)


def save(homes: World, queries: Any = "templates") -> None:
    """The room, signed by all, in each home; the operator's without labels."""
    terms, annexes = contract(homes, queries)
    signed = SignedContract(terms)
    for home in homes.values():
        signed = signed.sign(home.party, home.keys)
    for home in homes.values():
        kept = Rooms(home.rooms)
        before = kept.load("spring").contract.digest() if kept.names() else ""
        kept.save(Room(signed, None if home.party == "operator" else annexes), instead_of=before)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    homes = {name: Home.create(tmp_path / name, name) for name in ("merchant", "platform", "operator")}
    save(homes)
    (tmp_path / "tiers.toml").write_text(TOML, "utf-8")
    return homes


def room(home: Home) -> Room:
    return Rooms(home.rooms).load("spring")


def exchanged(world: World, file: str = "tiers.toml") -> None:
    """Signed by the merchant, then by the platform, then taken back by the merchant."""
    sent = templates.sign(world["merchant"].path, "spring", file, None)["path"]
    back = Path("both.json")
    templates.sign(world["platform"].path, "spring", sent, back)
    templates.add(world["merchant"].path, "spring", back)


def test_a_template_is_asked_once_all_owners_signed(world: World) -> None:
    """With its defaults or with values; the question is the one that the SQL would have asked."""
    merchant, platform = world["merchant"], world["platform"]
    told = templates.sign(merchant.path, "spring", "tiers.toml", None)
    assert (told["signed"], told["missing"], told["path"]) == (["merchant"], ["platform"], "tiers-1.template.json")
    assert told["columns"] == ["crm.tier", "users.city", "users.visits"]
    with pytest.raises(Refused, match="platform has not signed"):
        templates.resolve(merchant, room(merchant), "tiers", {})
    exchanged(world)
    found, digest = templates.resolve(merchant, room(merchant), "tiers", {"city": "二线"})
    assert digest == told["digest"]
    sql = "SELECT tier, COUNT(*), MEDIAN(visits) FROM matched WHERE city = '二线' AND visits >= 31 GROUP BY tier"
    assert found == ask(sql, Schema.of(room(merchant).contract, room(merchant).annexes or ()))
    assert templates.resolve(platform, room(platform), digest, {"city": "二线"}) == (found, digest)
    assert templates.resolve(merchant, room(merchant), "tiers@1", {})[0] != found
    listed = templates.listed(platform.path, "spring")
    assert [(each["template"], each["missing"]) for each in listed["templates"]] == [("tiers@1", [])]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"city": "三线"}, QueryRefused),
        ({"city": "一线' OR city = '二线"}, QueryRefused),
        ({"since": "32"}, QueryRefused),
        ({"town": "一线"}, UsageError),
    ],
)
def test_values_are_declared_ones(world: World, values: dict[str, str], error: type[CleanroomError]) -> None:
    """Of the parameters that it has, and of their columns."""
    exchanged(world)
    with pytest.raises(error):
        templates.resolve(world["merchant"], room(world["merchant"]), "tiers", values)


def test_a_room_of_templates_answers_nothing_else(world: World) -> None:
    """About the match; one's own data stays free, and a free room answers all."""
    home = world["merchant"]
    schema = Schema.of(room(home).contract, room(home).annexes or ())
    matched, own = (ask(f"SELECT tier, COUNT(*) FROM {table} GROUP BY tier", schema) for table in ("matched", "crm"))
    with pytest.raises(Refused, match="templates only"):
        templates.check_allowed(room(home).contract, matched, None)
    templates.check_allowed(room(home).contract, matched, "ab" * 32)
    templates.check_allowed(room(home).contract, own, None)
    save(world, "free")
    templates.check_allowed(room(home).contract, matched, None)


def test_the_other_owner_checks_for_itself(world: World) -> None:
    """It makes the question anew: what the asker claims of a template does not count."""
    exchanged(world)
    merchant, platform = world["merchant"], world["platform"]
    found, digest = templates.resolve(merchant, room(merchant), "tiers", {"city": "二线"})
    parts: dict[str, Any] = {"by": found.by, "sums": found.sums, "where": found.where.boxes}

    def check(**changes: Any) -> None:
        asked = {**parts, "template": digest, "values": {"city": "二线"}, **changes}
        templates.check_asked(platform, room(platform), **asked)

    check()
    lies: list[dict[str, Any]] = [
        {"template": None}, {"template": "ab" * 32}, {"template": "tiers"}, {"values": {}}, {"by": ("crm.tier",)},
        {"sums": ("crm.spend",)}, {"where": ()}, {"values": {"city": "一线"}}, {"values": {"x": "y"}},
    ]  # fmt: skip
    for lie in lies:
        with pytest.raises((Refused, UsageError)):
            check(**lie)


def test_everybody_is_no_condition(world: World) -> None:
    """A template without WHERE asks for all, which travels as no box at all."""
    Path("all.toml").write_text(TOML.split("[parameters")[0].replace("WHERE city = :city AND visits >= :since ", ""))
    exchanged(world, "all.toml")
    home = world["platform"]
    found, digest = templates.resolve(home, room(home), "tiers", {})
    templates.check_asked(home, room(home), found.by, found.sums, (), template=digest, values={})


def test_both_owners_sign_what_is_about_the_match(world: World) -> None:
    """Even if it names one side's columns alone: who is matched tells of both sides' people."""
    Path("own.toml").write_text(TOML.split("[parameters")[0].replace(", MEDIAN(visits)", "").replace(
        "WHERE city = :city AND visits >= :since ", ""))  # fmt: skip
    told = templates.add(world["merchant"].path, "spring", Path("own.toml"))
    assert (told["columns"], told["missing"]) == (["crm.tier"], ["merchant", "platform"])
    Path("alone.toml").write_text(Path("own.toml").read_text().replace("matched", "crm").replace("tiers", "mine"))
    assert templates.sign(world["merchant"].path, "spring", "alone.toml", None)["missing"] == []


def test_versions(world: World) -> None:
    """A name and version stand for one text; the newest that all signed is asked, unless another is named."""
    exchanged(world)
    home = world["merchant"]
    Path("other.toml").write_text(TOML.replace("tier, COUNT(*)", "tier, SUM(spend)"))
    with pytest.raises(Refused, match="tiers@1"):
        templates.add(home.path, "spring", Path("other.toml"))
    Path("second.toml").write_text(TOML.replace("version = 1", "version = 2").replace("COUNT(*)", "SUM(spend)"))
    templates.sign(home.path, "spring", "second.toml", None)
    assert templates.resolve(home, room(home), "tiers", {})[0].sums == ()
    with pytest.raises(Refused, match="tiers@2"):
        templates.resolve(home, room(home), "tiers@2", {})
    exchanged(world, "second.toml")
    assert templates.resolve(home, room(home), "tiers", {})[0].sums == ("crm.spend",)
    assert templates.resolve(home, room(home), "tiers@1", {})[0].sums == ()


def test_a_template_is_for_one_contract(world: World) -> None:
    """Another contract of the same room knows none of its templates, and takes none over."""
    exchanged(world)
    save(world, "free")
    home = world["merchant"]
    assert templates.listed(home.path, "spring")["templates"] == []
    with pytest.raises(UsageError):
        templates.resolve(home, room(home), "tiers", {})
    with pytest.raises(Refused, match="another contract"):
        templates.add(home.path, "spring", Path("both.json"))


def changed(change: dict[str, Any]) -> Path:
    """What was exchanged, with another entry somewhere."""
    value = json.loads(Path("both.json").read_bytes())
    for path, new in change.items():
        *folders, last = path.split(".")
        inner = value
        for name in folders:
            inner = inner[name]
        inner[last] = new
    Path("changed.json").write_text(json.dumps(value))
    return Path("changed.json")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "cleanroom-signed-template/2"}, {"extra": 1}, {"signatures": []}, {"signatures.merchant": "00"},
        {"signatures.merchant": "00" * 64}, {"signatures.stranger": "00" * 64}, {"template.version": 7},
        {"template.sql": "SELECT city, COUNT(*) FROM matched GROUP BY city", "template.parameters": []},
        {"template.format": "x"}, {"template": []}, {"template.parameters": [[]]},
    ],
)  # fmt: skip
def test_what_was_changed_on_the_way_is_refused(world: World, change: dict[str, Any]) -> None:
    """A signature holds for every letter, and unknown versions are not guessed at; nothing of it is kept."""
    exchanged(world)
    before = templates.listed(world["merchant"].path, "spring")
    with pytest.raises(BadData):
        templates.add(world["merchant"].path, "spring", changed(change))
    assert templates.listed(world["merchant"].path, "spring") == before


@pytest.mark.parametrize("text", ["", "[1", "[]", "[" * 100_000, "\x00", '{"format": 1e999}'])
def test_a_file_that_is_none(world: World, text: str) -> None:
    """Whatever it holds."""
    Path("none.json").write_text(text)
    with pytest.raises(BadData):
        templates.add(world["merchant"].path, "spring", Path("none.json"))


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("cleanroom-template/1", "cleanroom-template/2", BadData),
        ('name = "tiers"', "", BadData),
        ("version = 1", 'version = "1"', BadData),
        ("version = 1", "version = 1\nextra = 2", BadData),
        ("format =", "format", BadData),
        ('default = "31"', "default = 31", BadData),
        ('default = "31"', "", BadData),
        ('default = "31"', 'default = "31"\nextra = 1', BadData),
        ("[parameters.since]", "[parameters.till]", Refused),
        ('column = "visits"', 'column = "spend"', Refused),
        ('column = "visits"', 'column = "city"', Refused),
        ('default = "31"', 'default = "32"', Refused),
        ("FROM matched", "FROM other", Refused),
        ("city = :city", "city = :city; DROP TABLE x", Refused),
    ],
)
def test_a_draft_is_checked_when_it_is_added(world: World, old: str, new: str, error: type[CleanroomError]) -> None:
    """By its form, and by the gate with its defaults."""
    assert old in TOML
    Path("draft.toml").write_text(TOML.replace(old, new), "utf-8")
    with pytest.raises(error):
        templates.add(world["merchant"].path, "spring", Path("draft.toml"))
    assert templates.listed(world["merchant"].path, "spring")["templates"] == []


def test_who_may_keep_and_sign(world: World) -> None:
    """Owners, by the keys in the contract, in a room that is in force; an operator holds no labels to read it by."""
    with pytest.raises(Refused, match="owners of data"):
        templates.add(world["operator"].path, "spring", Path("tiers.toml"))
    with pytest.raises(UsageError, match=r"missing\.toml"):
        templates.add(world["merchant"].path, "spring", Path("missing.toml"))
    with pytest.raises(UsageError, match="no template tiers"):
        templates.sign(world["merchant"].path, "spring", "tiers", None)
    impostor = dataclasses.replace(world["merchant"], keys=world["operator"].keys)
    kept = templates.Templates(impostor, room(impostor))
    template = templates.SignedTemplate(templates.templates.read(Path("tiers.toml"), "ab" * 32, kept.schema))
    with pytest.raises(Refused, match="other keys"):
        kept.signed(template)


def test_the_commands(world: World) -> None:
    """add, sign by name, list: for people and for programs."""

    def run(*words: object) -> str:
        done = CliRunner().invoke(cli.app, [*map(str, words)], env={"LC_ALL": "C.UTF-8", "COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.stdout

    home = ("--home", world["merchant"].path)
    assert "No templates yet" in run("template", "list", "spring", *home)
    assert "merchant, platform" in run("template", "add", "spring", "tiers.toml", *home)
    assert ":city  a value of users.city" in run("template", "sign", "spring", "tiers", "--out", "x.json", *home)
    shown = run("template", "sign", "spring", "x.json", "--home", world["platform"].path)
    assert "All have signed. Ask it: cleanroom query spring --template tiers@1" in shown
    assert json.loads(run("template", "list", "spring", *home, "--json"))["templates"][0]["missing"] == ["platform"]
    assert "templates only" in run("template", "list", "spring", *home)


def test_how_a_query_names_a_template() -> None:
    """SQL, or a template with its values; each once."""
    assert asked_by("SELECT", None, None) == {}
    assert asked_by("", "tiers", ["city=a=b", "since="]) == {
        "template": "tiers",
        "values": {"city": "a=b", "since": ""},
    }
    for wrong in (("", None, None), ("SELECT", "tiers", None), ("SELECT", None, ["a=b"]), ("", "tiers", ["a"]),
                  ("", "tiers", ["=a"]), ("", "tiers", ["a=b", "a=c"])):  # fmt: skip
        with pytest.raises(UsageError):
            asked_by(*wrong)
