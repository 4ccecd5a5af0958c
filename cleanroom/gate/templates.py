"""Templates: questions that the owners sign beforehand, with values left open.

A parameter stands where a value of WHERE does, and is compared with one declared column. It is put in after the text is
parsed, by the gate, so that it can be no name, no operator and no second statement, whatever it holds.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.gate import gate
from cleanroom.gate.ask import Ask, Given
from cleanroom.gate.schema import Schema
from cleanroom.rooms.contract import Contract

FORMAT = "cleanroom-template/1"
LABEL = "cleanroom/template/1"
MOST_PARAMETERS = 20
LATEST_VERSION = 1_000_000
LONGEST_VALUE = 256
_NAME = re.compile(r"[^\W\d_][\w-]{0,63}")
_PARAMETER = re.compile(r"[^\W\d]\w{0,63}")
_COLUMN = re.compile(r"[^.]{1,64}\..{1,64}", re.DOTALL)


@dataclass(frozen=True)
class Parameter:
    """What `:name` stands for: a cell or an edge of `column` (dataset.column), and which where nothing is said."""

    name: str
    column: str
    default: str

    def __post_init__(self) -> None:
        texts = (self.name, self.column, self.default)
        plain = all(type(text) is str for text in texts) and len(self.default) <= LONGEST_VALUE
        if not plain or not _PARAMETER.fullmatch(self.name) or not _COLUMN.fullmatch(self.column):
            raise BadData("A parameter of the template has a name, a column dataset.column, and a default of text.")


@dataclass(frozen=True)
class Template:
    """A question of one contract (its digest, in hex), by name and version; parameters sorted by name."""

    name: str
    version: int
    contract: str
    sql: str
    parameters: tuple[Parameter, ...] = ()
    format: str = field(default=FORMAT)

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise BadData("This template has a format that this version does not know.")
        if type(self.name) is not str or not _NAME.fullmatch(self.name):
            raise BadData("A name may have letters, digits, - and _, at most 64, and starts with a letter.")
        if type(self.version) is not int or not 1 <= self.version <= LATEST_VERSION:
            raise BadData("A template has a whole number from 1 on as its version.")
        if type(self.contract) is not str or not re.fullmatch("[0-9a-f]{64}", self.contract):
            raise BadData("A template names the contract that it is for.")
        if type(self.sql) is not str or not 0 < len(self.sql) <= gate.LONGEST:
            raise BadData("A template has an SQL text of at most {most} characters.", most=gate.LONGEST)
        names = [each.name for each in self.parameters]
        if len(names) > MOST_PARAMETERS or names != sorted(set(names)):
            raise BadData("A template has at most {most} parameters, each of another name.", most=MOST_PARAMETERS)

    @property
    def title(self) -> str:
        """name@version"""
        return f"{self.name}@{self.version}"

    def canonical(self) -> dict[str, Any]:
        """As canonical JSON."""
        parameters = [{"name": p.name, "column": p.column, "default": p.default} for p in self.parameters]
        return {"format": self.format, "name": self.name, "version": self.version, "contract": self.contract,
                "sql": self.sql, "parameters": parameters}  # fmt: skip

    def digest(self) -> str:
        """What is signed: SHA-256 in hex over the canonical form."""
        return canonical.digest(LABEL, self.canonical())

    def ask(self, schema: Schema, values: Mapping[str, str]) -> Ask:
        """The question with these values, and the defaults of the others. Raises QueryRefused for one that the column
        does not declare, UsageError for a parameter that is not there."""
        if unknown := sorted(values.keys() - {each.name for each in self.parameters}):
            raise UsageError(
                "The template {template} has no parameter {name}.", "It has: {names}.", template=self.title,
                name=unknown[0][:64], names=", ".join(each.name for each in self.parameters) or "–",
            )  # fmt: skip
        given = {each.name: Given(each.column, values.get(each.name, each.default)) for each in self.parameters}
        return gate.ask(self.sql, schema, given)

    def owners(self, contract: Contract, asked: Ask) -> tuple[str, ...]:
        """Who must sign it, sorted: the owners of what it reads. Who is matched tells of all sides' people, whichever
        columns are named."""
        read = (asked.over or contract.match.datasets) if asked.table == gate.MATCHED else (asked.table,)
        return tuple(sorted({contract.dataset(name).owner for name in read}))


def read(path: Path, contract: str, schema: Schema) -> Template:
    """A template written as TOML, for the contract of that digest. Raises BadData, Refused."""
    try:
        terms = tomllib.loads(path.read_text("utf-8"))
        given = terms.pop("parameters", {})
        parameters = [Parameter(name, _column(p["column"], schema), p["default"]) for name, p in given.items()]
        extra = [name for p in given.values() for name in p if name not in ("column", "default")]
        if extra or not {"format", "name", "version", "sql"} >= terms.keys():
            raise KeyError((extra or sorted(terms))[0])
        sql = terms.pop("sql")
        return Template(sql=sql.strip(), contract=contract, parameters=_sorted(parameters),
                        **{"format": None, **terms})  # fmt: skip
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadData("The template {name} is not TOML.", name=path.name) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise BadData(
            "The template {name} is not in the form that this version knows.", "Compare it with docs/queries.md.",
            name=path.name,
        ) from error  # fmt: skip


def from_canonical(value: Any) -> Template:
    """The template of `canonical`. Raises BadData for an unknown version or another form."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadData("This template has a format that this version does not know.")
    try:
        parameters = tuple(Parameter(**each) for each in value["parameters"])
        template = Template(**{**value, "parameters": parameters})
        if canonical.encode(template.canonical()) != canonical.encode(value):
            raise ValueError
        return template
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData("The template is not in the form that this version knows.") from error


def _sorted(parameters: list[Parameter]) -> tuple[Parameter, ...]:
    return tuple(sorted(parameters, key=lambda each: each.name))


def _column(written: Any, schema: Schema) -> str:
    """The declared column that is written as `column` or `dataset.column`."""
    found = [each for each in schema.fields if written in (each.name, each.column) and each.kind != "amount"]
    if len(found) != 1:
        raise Refused(
            "A parameter is a value of one declared category or bucket.", "Columns: {columns}.",
            columns=", ".join(each.name for each in schema.fields if each.kind != "amount"),
        )  # fmt: skip
    return found[0].name
