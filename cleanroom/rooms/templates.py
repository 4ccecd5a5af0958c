"""Templates of a room: kept beside its contract, signed by the owners whose data they read, passed on as JSON files.

In a room whose contract says `queries = "templates"`, the match is asked by nothing else: the asker's node looks here,
and so does every other owner's, each in its own store. Templates hold labels, so operators never get them.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.gate import gate, templates
from cleanroom.gate.ask import Ask
from cleanroom.gate.schema import Schema
from cleanroom.gate.templates import LABEL, Template
from cleanroom.home import Home
from cleanroom.keys import verify
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room, Rooms

FORMAT = "cleanroom-signed-template/1"
FOLDER = "templates"


@dataclass(frozen=True)
class SignedTemplate:
    """A template with the signatures collected so far (party → hex)."""

    template: Template
    signatures: Mapping[str, str] = field(default_factory=dict)

    def missing(self, contract: Contract, asked: Ask) -> tuple[str, ...]:
        """Owners who have not signed yet. Raises BadData for a signature that does not verify, or of nobody known."""
        for name, signature in self.signatures.items():
            key = bytes.fromhex(contract.party(name).signing)
            verify(key, LABEL, bytes.fromhex(self.template.digest()), bytes.fromhex(signature))
        return tuple(name for name in self.template.owners(contract, asked) if name not in self.signatures)

    def plain(self) -> dict[str, Any]:
        """As it is stored and sent."""
        return {"format": FORMAT, "template": self.template.canonical(), "signatures": dict(self.signatures)}


def from_plain(value: Any) -> SignedTemplate:
    """The template of `plain`. Raises BadData for an unknown version or another form."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadData("This template has a format that this version does not know.")
    signatures = value.get("signatures")
    if value.keys() != {"format", "template", "signatures"} or not isinstance(signatures, dict):
        raise BadData("The template is not in the form that this version knows.")
    if any(type(text) is not str or not re.fullmatch("[0-9a-f]{128}", text) for text in signatures.values()):
        raise BadData("A signature of the template is not 64 bytes in hex.")
    return SignedTemplate(templates.from_canonical(value["template"]), signatures)


class Templates:
    """The templates of one room in one home, those of its contract alone."""

    def __init__(self, home: Home, room: Room) -> None:
        """Raises Refused at a party that brings no data: it holds no labels to check a template by."""
        if home.party not in room.contract.owners or room.annexes is None:
            raise Refused("Templates are kept by the owners of data alone.")
        self.home, self.room, self.contract = home, room, room.contract
        self.schema = Schema.of(room.contract, room.annexes)
        self._folder = home.rooms / room.contract.room / FOLDER

    def all(self) -> list[SignedTemplate]:
        """By name, then version. Raises BadData for a damaged file."""
        found = [_loaded(path) for path in sorted(self._folder.glob("*.json"))] if self._folder.is_dir() else []
        here = [each for each in found if each.template.contract == self.contract.digest()]
        return sorted(here, key=lambda each: (each.template.name, each.template.version))

    def find(self, name: str) -> SignedTemplate:
        """That of NAME@VERSION or of a digest; of a NAME the newest that all have signed, else the newest."""
        named = [each for each in self.all()
                 if name in (each.template.name, each.template.title, each.template.digest())]  # fmt: skip
        if not named:
            raise UsageError("The room {room} has no template {name}.", "cleanroom template list names them.",
                             room=self.contract.room, name=name[:64])  # fmt: skip
        return max(named, key=lambda each: (not self.missing(each), each.template.version))

    def missing(self, signed: SignedTemplate) -> tuple[str, ...]:
        """Owners who have not signed it yet, as it is asked by default."""
        return signed.missing(self.contract, signed.template.ask(self.schema, {}))

    def keep(self, offered: SignedTemplate) -> SignedTemplate:
        """Check and store it, with the signatures that are known already.

        1. It is for this room's contract. 2. The gate lets it in, by its defaults. 3. All signatures verify. 4. Its
        name and version are no other template's. Raises Refused, BadData.
        """
        template = offered.template
        if template.contract != self.contract.digest():
            raise Refused("The template is for another contract than that of the room {room}.", "Add it anew as TOML.",
                          room=self.contract.room)  # fmt: skip
        self.missing(offered)
        held = next((each for each in self.all() if each.template.title == template.title), None)
        if held is not None and held.template != template:
            raise Refused("There is another template {template} here.", "Give the new one a higher version.",
                          template=template.title)  # fmt: skip
        both = SignedTemplate(template, {**(held.signatures if held else {}), **offered.signatures})
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_bytes(self._folder / f"{template.name}-{template.version}.json", canonical.encode(both.plain()))
        return both

    def signed(self, template: SignedTemplate) -> SignedTemplate:
        """The same with this party's signature. Raises Refused where the contract names other keys."""
        party, keys = self.home.party, self.home.keys
        if self.contract.party(party).signing != keys.public.signing.hex():
            raise Refused(
                "The contract names other keys for {party}.", "Ask for a contract with your keys.", party=party
            )
        signature = keys.sign(LABEL, bytes.fromhex(template.template.digest())).hex()
        return SignedTemplate(template.template, {**template.signatures, party: signature})

    def line(self, signed: SignedTemplate) -> dict[str, Any]:
        """A template for people."""
        template, asked = signed.template, signed.template.ask(self.schema, {})
        missing = signed.missing(self.contract, asked)
        return {
            "template": template.title, "digest": template.digest(), "sql": template.sql,
            "parameters": template.canonical()["parameters"], "table": asked.table, "columns": list(asked.columns),
            "signed": sorted(signed.signatures), "missing": list(missing),
        }  # fmt: skip


def resolve(home: Home, room: Room, name: str, values: Mapping[str, str]) -> tuple[Ask, str]:
    """The question that the template `name` asks with `values`, and its digest.

    Raises Refused unless every owner of what it reads has signed it, QueryRefused for values that are not declared.
    """
    kept = Templates(home, room)
    signed = kept.find(name)
    asked = signed.template.ask(kept.schema, values)
    if missing := signed.missing(room.contract, asked):
        raise Refused("{party} has not signed the template {template}.", "cleanroom template sign.",
                      party=missing[0], template=signed.template.title)  # fmt: skip
    return asked, signed.template.digest()


def check_allowed(contract: Contract, asked: Ask, template: str | None) -> None:
    """Raises Refused where the contract allows templates only, and `asked` is about the match and of none."""
    if contract.release.queries == "templates" and asked.table == gate.MATCHED and template is None:
        raise Refused("This room answers templates only.", "cleanroom template list names them: query --template NAME.")


def check_asked(home: Home, room: Room, by: Sequence[str], sums: Sequence[str],
                where: Sequence[Sequence[tuple[str, Sequence[int | str]]]], *, template: str | None,
                values: Mapping[str, str], over: Sequence[str] = ()) -> None:  # fmt: skip
    """At an owner that was asked about the match: raises Refused unless the question is one that the room allows.

    template: digest of the one that the asker names; where: disjoint boxes of cells, none for everybody; over: as of an
    `Ask`. What was asked is made anew from this home's own store, and must be the same.
    """
    if room.contract.release.queries == "free" and template is None:
        return
    if template is None:
        check_allowed(room.contract, Ask(gate.MATCHED, tuple(by), tuple(sums)), None)
        return
    asked, found = resolve(home, room, template, values)
    boxes = [] if asked.chosen.everybody else asked.chosen.plain()
    same = found == template and boxes == [[[name, list(cells)] for name, cells in box] for box in where]
    same = same and asked.over == tuple(over)
    if not same or (asked.table, list(asked.by), list(asked.sums)) != (gate.MATCHED, list(by), list(sums)):
        raise Refused("This is not the question that the template asks.")


def values_of(texts: Sequence[str]) -> dict[str, str]:
    """Parameters as they are written on the command line: NAME=VALUE each. Raises UsageError."""
    pairs = [text.partition("=") for text in texts]
    if any(not name or not sign for name, sign, _ in pairs) or len({name for name, *_ in pairs}) != len(pairs):
        raise UsageError("A parameter is set once, as NAME=VALUE.")
    return {name: value for name, _, value in pairs}


# -- for the command


def add(path: Path, name: str, file: Path) -> dict[str, Any]:
    """Keep a template of TOML, or one that a partner sent, in the room `name` of the home at `path`."""
    kept = _opened(path, name)
    return {"room": name, **kept.line(kept.keep(_offered(kept, file)))}


def sign(path: Path, name: str, which: str, out: Path | None) -> dict[str, Any]:
    """Sign a template by its file or name, keep it, and write it for the partners."""
    kept = _opened(path, name)
    file = Path(which)
    template = _offered(kept, file) if file.suffix.lower() in (".toml", ".json") else kept.find(which)
    signed = kept.keep(kept.signed(kept.keep(template)))
    shared = out or Path(f"{signed.template.name}-{signed.template.version}.template.json")
    write_bytes(shared, canonical.encode(signed.plain()))
    return {"room": name, **kept.line(signed), "path": str(shared)}


def listed(path: Path, name: str) -> dict[str, Any]:
    """The templates of a room."""
    home = Home.open(path.expanduser())
    kept = Templates(home, Rooms(home.rooms).load(name))
    return {"room": name, "queries": kept.contract.release.queries, "templates": list(map(kept.line, kept.all()))}


def _opened(path: Path, name: str) -> Templates:
    """The templates of a room in force."""
    home = Home.open(path.expanduser())
    room = Rooms(home.rooms).load(name)
    room.in_force(dt.datetime.now(dt.UTC))
    return Templates(home, room)


def _offered(kept: Templates, file: Path) -> SignedTemplate:
    if not file.is_file():
        raise UsageError("There is no file {name}.", "docs/queries.md shows a template.", name=file.name)
    if file.suffix.lower() == ".toml":
        return SignedTemplate(templates.read(file, kept.contract.digest(), kept.schema))
    return _loaded(file)


def _loaded(path: Path) -> SignedTemplate:
    try:
        return from_plain(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise BadData("{name} is not a template.", "Ask the partner for it again.", name=path.name) from error
