"""What a worker makes of an upload: its columns and funnel for a preview, a dataset, or persons forgotten.

A preview holds names of columns, counts, row numbers and texts of errors, and no value; it is kept wrapped beside the
file, since a file without a header has values for its column names. The parsers run in the worker's process, with the
connectors' own limits (F2, F3 of the attack catalogue).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from cleanroom import datasets, uploads
from cleanroom.errors import BadData
from cleanroom.home import Home
from cleanroom.importing import look, plain
from connectors.doctor import Advice, examine
from connectors.errors import InputError
from connectors.headers import KINDS, Kind, slug
from connectors.identity import DEFAULT_PROFILE
from connectors.mapping import IDENTITIES, ColumnRole, Mapping
from connectors.memory import ArrowSource
from connectors.open import open_source
from connectors.source import Source

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Choice:
    """What its owner says of a file. columns: (header, name, kind) of each; on: headers of the identities to match by,
    in order; profile: by name, "" for each identity's own."""

    columns: tuple[tuple[str, str, str], ...]
    on: tuple[str, ...]
    profile: str = ""

    @property
    def mapping(self) -> Mapping:
        """As connectors take it."""
        return Mapping(tuple(ColumnRole(header, name, cast(Kind, kind), "override")
                             for header, name, kind in self.columns))  # fmt: skip

    @property
    def identities(self) -> str:
        """Likewise the identities: by header, or by kind where a header holds a comma."""
        names = {header: name for header, name, _ in self.columns}
        parted = any(set(header) & set(",，") for header in self.on)
        return self.on[0] if len(self.on) == 1 else ",".join(names[each] if parted else each for each in self.on)


def chosen(columns: list[tuple[str, str, str]], kinds: list[str], first: str, profile: str) -> Choice:
    """The columns (header, name, kind) with other kinds, each one of KINDS or "identity:phone"; first: the header of
    the identity that is tried first. Of several columns with one identity the first is matched by. Raises InputError
    for an unknown kind."""
    made, taken = [], set()
    for (header, name, _), wanted in zip(columns, kinds, strict=True):
        kind, _, identity = wanted.partition(":")
        if kind not in KINDS or (kind == "identity" and identity not in IDENTITIES):
            raise InputError("Column {column} is given the unknown kind {kind}.", "Kinds: {kinds}.", column=header,
                             kind=wanted[:40], kinds=", ".join(KINDS))  # fmt: skip
        called = identity or (slug(header) if name in IDENTITIES else name)
        while not identity and called in taken:
            called += "_2"
        taken.add(called)
        made.append((header, called, kind))
    found = [(header, name) for header, name, kind in made if kind == "identity"]
    found.sort(key=lambda each: each[0] != first)
    on = {name: header for header, name in reversed(found)}
    return Choice(tuple(made), tuple(header for header, name in found if on[name] == header), profile)


def proposed(mapping: Mapping) -> Choice:
    """What the columns are taken for where nobody said anything. A column known by its name goes before one known by
    what it holds."""
    roles = sorted(mapping.of_kind("identity"), key=lambda each: each.why == "content")
    on = {role.name: role.header for role in reversed(roles)}
    order = [role.header for role in mapping.columns if role.header in on.values()]
    return Choice(tuple((role.header, role.name, role.kind) for role in mapping.columns), tuple(order))


def choice_of(home: Home, number: str) -> Choice | None:
    """What its owner said of a file, or else what it was taken for; None where neither is known."""
    held = uploads.note(home, number, "asked") or (uploads.note(home, number, "found") or {}).get("choice")
    return None if held is None else Choice(tuple(map(tuple, held["columns"])), tuple(held["on"]), held["profile"])


def choose(home: Home, number: str, choice: Choice) -> None:
    """Keeps what its owner says."""
    uploads.keep(home, number, "asked", asdict(choice))


def examined(home: Home, number: str, step: Step) -> dict[str, Any]:
    """The job `examine`: the whole file read, what was found kept for the page; also what it cannot be read for."""
    name = uploads.find(home, number).name
    found: dict[str, Any] = {"notes": [], "preset": None, "choice": None, "funnel": None, "advice": [], "by_kind": {},
                             "error": None, "whys": {}}  # fmt: skip
    try:
        with uploads.opened(home, number) as path, _called(path, name):
            _examine(home, number, open_source(str(path)), found, step)
    except InputError as error:
        found["error"] = [error.template, error.hint, {key: str(value) for key, value in error.params.items()}]
    uploads.keep(home, number, "found", found)
    return {"upload": number, "readable": found["error"] is None}


def imported(home: Home, number: str, dataset: str, step: Step) -> dict[str, Any]:
    """The job `refresh` of an upload: a new version of the dataset. Done once more it gives what it gave."""
    done = uploads.note(home, number, "done")
    if done is not None:
        return dict(done)
    upload, choice = uploads.find(home, number), choice_of(home, number)
    with uploads.opened(home, number) as path, _called(path, _neutral(upload.name)):
        on = choice.identities if choice and choice.on else "phone"
        added = datasets.add(
            home.path, str(path), dataset, on, (choice.profile or None) if choice else None,
            choice.mapping if choice else None, None, None, lambda _, stage, count, total: step(stage, count, total),
            label=upload.name,
        )  # fmt: skip
    told = {name: added[name] for name in ("dataset", "version", "rows")}
    uploads.keep(home, number, "done", told)
    uploads.remove_file(home, number)
    return told


def people_kept(home: Home, who: str, on: str, lines: list[str]) -> str:
    """A list of persons to be forgotten, sealed until that is done. Returns its number."""
    with uploads.Sealing(home, uploads.new_number(), "people", who, "people") as sealing:
        sealing.add(json.dumps({"on": on, "lines": lines}, ensure_ascii=False).encode())
        return sealing.done()


def people(home: Home, number: str) -> tuple[str, list[str]]:
    """(identity, lines) of such a list. Raises BadData where it is another upload."""
    if uploads.find(home, number).kind != "people":
        raise BadData("This upload is no list of persons.")
    with uploads.opened(home, number) as path:
        value = json.loads(path.read_bytes())
    return value["on"], value["lines"]


def forgotten(home: Home, number: str) -> dict[str, Any]:
    """The job `forget`: everyone of the list, in all datasets and for ever. Done once more it gives what it gave."""
    done = uploads.note(home, number, "done")
    if done is not None:
        return dict(done)
    on, lines = people(home, number)
    table = pa.table({on: pa.array(lines, pa.string())})
    told = datasets.forget_named(home, ArrowSource(on, table), on, None)
    uploads.keep(home, number, "done", told)
    uploads.remove_file(home, number)
    return told


def _examine(home: Home, number: str, source: Source, found: dict[str, Any], step: Step) -> None:
    """Fills `found` as far as it comes. Raises InputError."""
    choice = choice_of(home, number) if uploads.note(home, number, "asked") else None
    mapping = look(source, None)
    choice = choice or proposed(mapping)
    found["choice"], found["preset"] = asdict(choice), mapping.preset
    found["whys"] = {role.header: role.why for role in mapping.columns}
    found["notes"] = plain(list(source.notes))
    if not choice.on:
        raise InputError("No column tells who a row is about.",
                         "Say below which column holds phone numbers, e-mail addresses, open ids or device ids, "
                         "then check again.")  # fmt: skip
    result = examine(source, choice.identities, choice.profile or None, choice.mapping,
                     progress=lambda rows: step("check", rows, 0))  # fmt: skip
    found["funnel"], found["advice"] = plain(result.funnel), _plain(result.advice)
    found["by_kind"] = {kind: _plain(advice) for kind, advice in result.by_kind.items()}
    found["profiles"] = {header: choice.profile or DEFAULT_PROFILE[name] for header, name, _ in choice.columns
                         if header in choice.on}  # fmt: skip


def _plain(advice: tuple[Advice, ...]) -> list[Any]:
    return [[text, plain(params)] for text, params in advice]


@contextmanager
def _called(path: Path, name: str) -> Iterator[None]:
    """Errors name the file as its owner knows it, not as it is called in memory."""
    try:
        yield
    except InputError as error:
        own = {key: name if key in ("file", "source") and value in (path.name, str(path)) else value
               for key, value in error.params.items()}  # fmt: skip
        raise type(error)(error.template, error.hint, **own) from None


def _neutral(name: str) -> str:
    """A name for errors that a job keeps in the clear: what kind of file it is, and no more."""
    end = name.rpartition(".")[2].lower()
    return f"*.{end}" if end.isascii() and end.isalnum() and len(end) <= 7 and "." in name else "*"
