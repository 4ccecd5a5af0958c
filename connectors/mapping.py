"""What each column of a source means: found from its header, from a preset, from its content, or said by its owner.

A mapping is a proposal that is shown; nothing is read from disk here but presets and the owner's own TOML. Contents
are looked at only to tell kinds apart, and never stand in a name or an error.
"""

import difflib
import functools
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Literal, cast

import pyarrow as pa

from connectors.content import guess
from connectors.errors import InputError
from connectors.headers import KINDS, Kind, canonical_kinds, normal, recognise, slug

Why = Literal["override", "preset", "header", "content"]
IDENTITIES = ("phone", "email", "openid", "device")


@dataclass(frozen=True)
class ColumnRole:
    """What one column is.

    header: as the source calls it; name: canonical ('phone', 'spend', 'city', …) or made from the header; kind: see
    design.md, "Column kinds"; why: what told so.
    """

    header: str
    name: str
    kind: Kind
    why: Why = "header"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                "Column {column} is given the unknown kind {kind}.", "Kinds: {kinds}.",
                column=self.header, kind=self.kind, kinds=", ".join(KINDS),
            )  # fmt: skip
        if self.kind == "identity" and self.name not in IDENTITIES:
            raise InputError(
                "Column {column} is an identity but is called {name}.", "Identities: {names}.",
                column=self.header, name=self.name, names=", ".join(IDENTITIES),
            )  # fmt: skip


@dataclass(frozen=True)
class Mapping:
    """The roles of a source's columns, in its order; preset: the name of the export it was recognised as."""

    columns: tuple[ColumnRole, ...]
    preset: str | None = None

    def find(self, column: str) -> ColumnRole:
        """The role of a column given by canonical name, header or a word for it (tier: level); case does not matter.

        Raises InputError.
        """
        wanted = column.casefold()
        meant = {wanted, (recognise(column) or (wanted,))[0]}
        for same in (
            [role for role in self.columns if role.header == column],
            [role for role in self.columns if wanted in (role.name.casefold(), role.header.casefold())],
            [role for role in self.columns if (recognise(role.header) or ("",))[0] in meant],
        ):
            if len(same) == 1:
                return same[0]
            if same:
                raise InputError(
                    "{column} can be several columns: {headers}.", "Name one of them by its header.",
                    column=column, headers=", ".join(role.header for role in same),
                )  # fmt: skip
        raise InputError(
            "There is no column {column}.", "Nearest: {nearest}.", column=column, nearest=self._nearest(column)
        )

    def of_kind(self, kind: Kind) -> tuple[ColumnRole, ...]:
        """The columns of one kind."""
        return tuple(role for role in self.columns if role.kind == kind)

    def to_toml(self) -> str:
        """The mapping as a file that `load_mapping` reads."""
        lines = [
            f"{_text(role.header)} = {{ name = {_text(role.name)}, kind = {_text(role.kind)} }}"
            for role in self.columns
        ]
        return "\n".join(["version = 1", "", "[columns]", *lines, ""])

    def _nearest(self, column: str) -> str:
        names = {name.casefold(): name for role in self.columns for name in (role.header, role.name)}
        near = [names[name] for name in difflib.get_close_matches(column.casefold(), names, n=3, cutoff=0.4)]
        return ", ".join(near or [role.header for role in self.columns[:8]])


def propose(schema: pa.Schema, sample: pa.RecordBatch, overrides: Mapping | None = None) -> Mapping:
    """What the columns of a source probably are.

    What the owner says goes first, then the preset that fits, then the header, then the content of `sample`. Where two
    columns other than identities would have one name, each is called by its header. Raises InputError where
    `overrides` names a column that the source lacks.
    """
    said = _by_header(overrides.columns if overrides else ())
    _refuse_absent(said, schema)
    preset = _preset_of(schema.names)
    told = _by_header(preset.columns) if preset else {}
    roles = [
        said.get(normal(name)) or told.get(normal(name)) or _by_name(name) or _by_content(name, sample.column(place))
        for place, name in enumerate(schema.names)
    ]
    named = [replace(role, header=name) for role, name in zip(roles, schema.names, strict=True)]
    return Mapping(tuple(_distinct(named)), preset.preset if preset else None)


def identity_column(mapping: Mapping, on: str) -> ColumnRole:
    """The column to match by: `on` is a header, an identity ('phone'), or a word for one (手机号).

    A column known by what its owner, a preset or its header says goes before one known by content only. Raises
    InputError where there is none, or two fit equally.
    """
    named = [role for role in mapping.columns if role.header == on]
    fit = [role for role in named or mapping.of_kind("identity") if role.kind == "identity"]
    if not named:
        wanted = (recognise(on) or (on.casefold(),))[0]
        fit = [role for role in fit if role.name == wanted]
        fit = [role for role in fit if role.why != "content"] or fit
    if len(fit) == 1:
        return fit[0]
    if fit:
        raise InputError(
            "Two columns can be the {identity}: {headers}.",
            "Name one by its header, as in --on {first}, or in a mapping file.",
            identity=on,
            headers=", ".join(role.header for role in fit),
            first=fit[0].header,
        )
    raise InputError(
        "No column holds the {identity}; the columns are {headers}.",
        'Say which in a mapping file: "header" = {{ name = "phone", kind = "identity" }}.',
        identity=on,
        headers=", ".join(role.header for role in mapping.columns),
    )


def identity_columns(mapping: Mapping, on: str) -> tuple[ColumnRole, ...]:
    """The columns to match by, in order: `on` is what `identity_column` takes, or several of them between commas.

    A header with a comma in it is one column. Raises InputError as `identity_column` does, and where a kind comes
    twice.
    """
    one = any(role.header == on for role in mapping.columns)
    roles = [identity_column(mapping, each.strip()) for each in ([on] if one else re.split("[,，]", on))]
    check_kinds(roles)
    return tuple(roles)


def check_kinds(roles: Sequence[ColumnRole]) -> None:
    """Raises InputError where a kind of identity comes twice."""
    for place, role in enumerate(roles):
        if role.name in [other.name for other in roles[:place]]:
            raise InputError(
                "The {identity} is asked for twice.", "Name each kind of identity once, as in --on phone,email.",
                identity=role.name,
            )  # fmt: skip


def load_mapping(path: Path) -> Mapping:
    """A mapping that its owner wrote: `version = 1`, then [columns] with "header" = { name = …, kind = … }.

    Either of name and kind may be left out where the other tells it. Raises InputError for what is not known.
    """
    try:
        text = path.read_text("utf-8")
        return _parse(path.name, tomllib.loads(text), "override")
    except (OSError, UnicodeDecodeError):
        raise InputError("{file} cannot be read.", "Check the name; it must be UTF-8.", file=path.name) from None
    except tomllib.TOMLDecodeError:
        raise InputError(
            "{file} is not valid TOML.", 'Put headers in quotes: "手机号" = {{ name = "phone" }}.', file=path.name
        ) from None


@functools.cache
def presets() -> tuple[Mapping, ...]:
    """The exports that are recognised."""
    folder = resources.files(__package__).joinpath("presets")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return tuple(_parse(file.name, tomllib.loads(file.read_text("utf-8")), "preset") for file in files)


def _preset_of(headers: Sequence[str]) -> Mapping | None:
    """The preset most of whose columns are there: at least three in four, and five."""
    here = set(map(normal, headers))
    found = {preset: len(here & _by_header(preset.columns).keys()) for preset in presets()}
    best = max(found, key=lambda preset: found[preset])
    return best if found[best] >= max(5, 0.75 * len(best.columns)) else None


def _parse(file: str, given: dict[str, object], why: Why) -> Mapping:
    if given.get("version") != 1:
        raise InputError(
            "{file} has the version {version}, which is not known.", "Write version = 1.",
            file=file, version=str(given.get("version")),
        )  # fmt: skip
    unknown = sorted(given.keys() - {"version", "preset", "columns"})
    columns = given.get("columns", {})
    if unknown or not isinstance(columns, dict):
        raise _unknown_key(file, *(unknown or ["columns"]))
    return Mapping(
        tuple(_role(file, header, entry, why) for header, entry in columns.items()),
        cast(str | None, given.get("preset")),
    )


def _role(file: str, header: str, entry: object, why: Why) -> ColumnRole:
    if not isinstance(entry, dict) or not entry or not all(isinstance(value, str) for value in entry.values()):
        raise InputError(
            "{file}: column {column} needs a table with a name or a kind.",
            'As in "{column}" = {{ name = "phone", kind = "identity" }}.',
            file=file,
            column=header,
        )
    if unknown := sorted(entry.keys() - {"name", "kind"}):
        raise _unknown_key(file, *unknown)
    known = recognise(header) or (slug(header), "handle")
    name = entry.get("name", known[0])
    return ColumnRole(header, name, entry.get("kind", canonical_kinds().get(name, known[1])), why)


def _unknown_key(file: str, *keys: str) -> InputError:
    return InputError(
        "{file}: unknown key {key}.", "Known: version, columns; in a column: name, kind.",
        file=file, key=", ".join(keys),
    )  # fmt: skip


def _refuse_absent(said: dict[str, ColumnRole], schema: pa.Schema) -> None:
    here = set(map(normal, schema.names))
    absent = [role.header for place, role in said.items() if place not in here]
    if absent:
        near = difflib.get_close_matches(absent[0], schema.names, n=3, cutoff=0.3) or schema.names[:8]
        raise InputError(
            "The mapping names a column that is not there: {column}.", "Nearest: {nearest}.",
            column=absent[0], nearest=", ".join(near),
        )  # fmt: skip


def _by_header(roles: Sequence[ColumnRole]) -> dict[str, ColumnRole]:
    return {normal(role.header): role for role in roles}


def _by_name(header: str) -> ColumnRole | None:
    known = recognise(header)
    return ColumnRole(header, *known, "header") if known else None


def _by_content(header: str, values: pa.Array) -> ColumnRole:
    identity, kind = guess(values)
    return ColumnRole(header, identity or slug(header), kind, "content")


def _distinct(roles: Sequence[ColumnRole]) -> list[ColumnRole]:
    """No name twice among columns that are not identities: those that share one are called by their headers."""
    times = Counter(role.name for role in roles)
    taken: set[str] = set()
    result = []
    for role in roles:
        if role.kind != "identity" and times[role.name] > 1 and role.why in ("header", "content"):
            role = replace(role, name=slug(role.header))
        name, attempt = role.name, 2
        while role.kind != "identity" and role.name in taken:
            role, attempt = replace(role, name=f"{name}_{attempt}"), attempt + 1
        taken.add(role.name)
        result.append(role)
    return result


def _text(text: str) -> str:
    """A TOML basic string."""
    escaped = "".join(f"\\u{ord(sign):04x}" if ord(sign) < 32 or sign in '"\\\x7f' else sign for sign in text)
    return f'"{escaped}"'
