"""Crowds' rules as a document that other tools and other rooms read: canonical JSON, versioned, with a JSON Schema.

    {"format": "cleanroom-crowd-rules/1", "columns": ["crm.level"], "crowds": [
        {"id": "1", "name": "gold", "description": "", "rule": {"format": "cleanroom-crowd-rule/1", "pools": […]}}]}
A rule says whom one means and holds nothing of the data. Lists of people do not leave: a rule that names one is
refused. A crowd that a rule stands on is in the document before it, and is named by its id there. columns: all that the
rules name, as dataset.column. The schema: `crowd-rules-1.schema.json` beside this module.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.crowds import desk
from cleanroom.crowds import rule as language
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.pools import Meaning, selection_of
from cleanroom.crowds.reading import meaning, understood
from cleanroom.crowds.rule import Other, Rule, Tags, Uploaded
from cleanroom.crowds.store import Crowds
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.gate.errors import QueryRefused
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.querying import opened
from cleanroom.rooms.store import Room

FORMAT = "cleanroom-crowd-rules/1"
SCHEMA = Path(__file__).with_name("crowd-rules-1.schema.json")
MOST_CROWDS = 1_000
_LIMIT = 64 << 20
_CROWD = {"id", "name", "description", "rule"}


@dataclass(frozen=True)
class Named:
    """A rule with what people call it. id: in the document; crowds that it stands on are named by theirs. Raises
    BadData for texts that a crowd cannot have."""

    id: str
    name: str
    description: str
    rule: Rule

    def __post_init__(self) -> None:
        texts = (
            (self.id, 1, language.MOST_CODE),
            (self.name, 1, desk.MOST_NAME),
            (self.description, 0, desk.MOST_TEXT),
        )
        if not all(least <= len(text) <= most and text.isprintable() for text, least, most in texts):
            raise _malformed()
        if self.name.strip() != self.name:
            raise _malformed()


@dataclass(frozen=True)
class Rules:
    """A document. columns: sorted. Raises BadData for ids that are not distinct, or that name no crowd before."""

    columns: tuple[str, ...]
    crowds: tuple[Named, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.crowds) <= MOST_CROWDS:
            raise BadData("A document of rules holds 1 to {most} crowds.", most=MOST_CROWDS)
        known: set[str] = set()
        for place, crowd in enumerate(self.crowds, 1):
            if crowd.id in known:
                raise BadData("Crowd {crowd} of the document has the id of another.", crowd=place)
            if not known.issuperset(crowd.rule.crowds):
                raise BadData("The rule of crowd {crowd} of the document stands on a crowd that is not before it.",
                              crowd=place)  # fmt: skip
            known.add(crowd.id)

    def encode(self) -> bytes:
        """The canonical bytes."""
        crowds: list[canonical.Json] = [
            {"id": each.id, "name": each.name, "description": each.description, "rule": each.rule.plain()}
            for each in self.crowds
        ]
        return canonical.encode({"format": FORMAT, "columns": list(self.columns), "crowds": crowds})


def parse(content: bytes) -> Rules:
    """The reverse of `Rules.encode`; other spaces and another order of entries are taken too.

    Raises BadData for an unknown version or another form, of the document or of a rule in it, UsageError for a rule
    that cannot be meant, BadData for one that names a list.
    """
    try:
        found = json.loads(content)
        canonical.encode(found)
    except (ValueError, TypeError, RecursionError) as error:
        raise _malformed() from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BadData("The document of rules is of an unknown version.", 'It begins with "format": "{known}".',
                      known=FORMAT)  # fmt: skip
    columns, crowds = found.get("columns"), found.get("crowds")
    if found.keys() != {"format", "columns", "crowds"} or not isinstance(columns, list) or not isinstance(crowds, list):
        raise _malformed()
    if any(type(each) is not str for each in columns):
        raise _malformed()
    return Rules(tuple(columns), tuple(_named(each) for each in crowds))


def export(path: Path, room: str, codes: Sequence[str], file: Path) -> dict[str, Any]:
    """Write the rules of these crowds of a room, and of those they stand on; what is in the file.

    Raises Refused for a crowd that is a list of people or a lookalike, UsageError for one of another room.
    """
    home, held = opened(path, room)
    if file.exists() or file.is_symlink():
        raise UsageError("{name} exists already.", "Name a file that does not exist yet.", name=file.name)
    ids: dict[str, Named] = {}
    for code in codes:
        _gather(home, held, code, ids)
    columns = {column for each in _ordered(home, held, ids) for column in each}
    document = Rules(tuple(sorted(columns)), tuple(ids.values()))
    write_bytes(file, document.encode())
    return _told(room, document) | {"file": str(file)}


def check(path: Path, room: str, file: Path) -> dict[str, Any]:
    """What a document would make here; nothing is made. Raises as `parse`, and RuleRefused by name and place."""
    home, held = opened(path, room)
    document = parse(private_files.read(file, _LIMIT))
    _check(home, held, document)
    return _told(room, document)


def bring(path: Path, room: str, file: Path, days: int = 90) -> dict[str, Any]:
    """Make crowds of a document's rules in a room; their codes by id. Nothing is made unless all can be meant."""
    home, held = opened(path, room)
    document = parse(private_files.read(file, _LIMIT))
    _check(home, held, document)
    codes: dict[str, str] = {}
    for each in document.crowds:
        rule = _renamed(each.rule, codes.__getitem__)
        codes[each.id] = desk.create(path, room, each.name, rule=rule, description=each.description, days=days).code
    return _told(room, document) | {"codes": codes}


class RuleRefused(Refused):
    """A rule of a document that cannot be meant in the room. line, column: in its condition, from 1."""

    code = "rule"

    def __init__(self, template: str, hint: str = "", *, line: int, column: int, **params: object) -> None:
        """The place in the condition is for programs, too."""
        self.line, self.column = line, column
        super().__init__(template, hint, line=line, column=column, **params)

    def details(self) -> dict[str, object]:
        """For programs: the code, and the place."""
        return {"code": self.code, "line": self.line, "column": self.column}


def _check(home: Home, held: Room, document: Rules) -> None:
    """Every condition of every rule is one that the room's columns can mean, and so is every rule as a whole. Raises
    RuleRefused, and what `selection_of` does."""
    before = {each.id: each.rule for each in document.crowds}
    within = replace(meaning(home, held, str), rule_of=before.__getitem__)
    for crowd in document.crowds:
        for pool, each in enumerate(crowd.rule.pools, 1):
            for place, node in enumerate(each.nodes, 1):
                if isinstance(node, Tags):
                    _check_condition(within, crowd.name, pool, place, node)
        selection_of(crowd.rule, within)


def _check_condition(within: Meaning, crowd: str, pool: int, place: int, node: Tags) -> None:
    try:
        selection_of(language.simple(node.where), within)
    except QueryRefused as error:
        what = [t(text, **error.params) for text in (error.template, error.hint) if text]
        raise RuleRefused(
            "The rule of {crowd} cannot be meant in this room, in pool {pool}, condition {place}, line {line}, "
            "column {column}: {what}",
            crowd=crowd, pool=pool, place=place, line=error.line, column=error.column, what=" ".join(what),
        ) from error  # fmt: skip


def _gather(home: Home, held: Room, code: str, ids: dict[str, Named]) -> str:
    """The id of a crowd in the document; it and what it stands on are put there where they are not."""
    if code in ids:
        return ids[code].id
    crowd = Crowds(home).get(code)
    _check_leaves(held, crowd)
    rule = _renamed(crowd.rule, lambda other: _gather(home, held, other, ids))
    ids[code] = Named(str(len(ids) + 1), crowd.name, crowd.description, rule)
    return ids[code].id


def _check_leaves(held: Room, crowd: Crowd) -> None:
    if crowd.room != held.contract.room:
        raise UsageError("The crowd {code} is of the room {room}.", "Crowds of one room are combined.",
                         code=crowd.code, room=crowd.room)  # fmt: skip
    if crowd.kind == "spread" or any(isinstance(node, Uploaded) for node in crowd.rule.nodes):
        raise Refused("The crowd {code} is of people, not of conditions: people do not leave as a rule.",
                      code=crowd.code)  # fmt: skip


def _ordered(home: Home, held: Room, ids: dict[str, Named]) -> list[tuple[str, ...]]:
    return [understood(home, held, Crowds(home).get(code).rule).columns for code in ids]


def _renamed(rule: Rule, name: Callable[[str], str]) -> Rule:
    """The same with other names for the crowds that it stands on."""
    pools = []
    for pool in rule.pools:
        nodes = tuple(Other(name(node.crowd_code)) if isinstance(node, Other) else node for node in pool.nodes)
        pools.append(replace(pool, nodes=nodes) if nodes != pool.nodes else pool)
    return Rule(tuple(pools))


def _named(value: Any) -> Named:
    if not isinstance(value, dict) or value.keys() != _CROWD:
        raise _malformed()
    if any(type(value[name]) is not str for name in ("id", "name", "description")):
        raise _malformed()
    rule = language.from_plain(value["rule"])
    if any(isinstance(node, Uploaded) for node in rule.nodes):
        raise BadData("A rule of the document names a list of people.", "Lists do not travel: upload it here.")
    return Named(value["id"], value["name"], value["description"], rule)


def _told(room: str, document: Rules) -> dict[str, Any]:
    return {"room": room, "columns": list(document.columns), "crowds": [
        {"id": each.id, "name": each.name, "rule": each.rule.plain()} for each in document.crowds
    ]}  # fmt: skip


def _malformed() -> BadData:
    return BadData("The document of rules is not in the form that this version knows.",
                   "Check it with its JSON Schema: {name}.", name=SCHEMA.name)  # fmt: skip
