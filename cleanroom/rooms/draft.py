"""The contract as people write it: TOML with labels in place. `read` turns it into terms and annexes, `write` back."""

import itertools
import json
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.privacy.noise import DEFAULT_SIGMA
from cleanroom.rooms.contract import Contract, annex_digest
from cleanroom.rooms.terms import (
    DEFAULT_EPSILON,
    Activation,
    Annex,
    Column,
    Dataset,
    Identity,
    Match,
    Party,
    ReleaseRules,
    Slots,
)

VERSION = 1
OTHER, UNKNOWN = "other", "unknown"
"""The last two cells of every column: values that are not declared, and rows without a value."""


@dataclass(frozen=True)
class Cells:
    """A category's declared values, or a bucket's edges; `other` and `unknown` are added to both."""

    labels: tuple[str, ...]
    edges: tuple[str, ...] = ()


def column(dataset: str, name: str, kind: Any, cells: Cells, *, members: bool = False,
           sensitive: bool = False) -> tuple[Column, Annex]:  # fmt: skip
    """The term and the annex (with a fresh salt) of a category or bucket."""
    labels = (*cells.labels, OTHER, UNKNOWN)
    if len(set(labels)) != len(labels):
        raise BadData("Two cells of {dataset}.{column} have the same label.", dataset=dataset, column=name)
    annex = Annex(dataset, name, secrets.token_hex(16), labels, cells.edges)
    return Column(name, kind, cells=len(labels), annex=annex_digest(annex), members=members,
                  sensitive=sensitive), annex  # fmt: skip


def edge_labels(edges: tuple[str, ...]) -> tuple[str, ...]:
    """Labels of the buckets that `edges` cut: below the first, between, from the last on."""
    return (f"< {edges[0]}", *(f"{a} – {b}" for a, b in itertools.pairwise(edges)), f"≥ {edges[-1]}")


def read(path: Path) -> tuple[Contract, tuple[Annex, ...]]:
    """Terms and annexes of a TOML draft. Raises UsageError for a missing file, BadData for what is not understood."""
    try:
        draft = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UsageError("There is no file {name}.", "cleanroom room new writes a draft.", name=path.name) from error
    except (ValueError, RecursionError) as error:
        raise BadData("The draft {name} is not TOML: {why}.", name=path.name, why=str(error)) from error
    if draft.pop("version", None) != VERSION:
        raise BadData("The draft {name} must begin with version = {version}.", name=path.name, version=VERSION)
    try:
        return _contract(draft)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadData("The draft {name} lacks or does not know the entry {entry}.", "Compare it with docs/contract.md.",
                      name=path.name, entry=str(error)) from error  # fmt: skip


def _contract(draft: dict[str, Any]) -> tuple[Contract, tuple[Annex, ...]]:
    annexes: list[Annex] = []
    datasets = tuple(_dataset(name, dict(entry), annexes) for name, entry in draft.pop("datasets").items())
    release, match = draft.pop("release"), draft.pop("match")
    activation = draft.pop("activation", None)
    contract = Contract(
        parties=tuple(Party(name, **entry) for name, entry in draft.pop("parties").items()),
        datasets=datasets,
        match=Match(**{**match, "others": tuple(match.get("others", ()))}),
        release=ReleaseRules(
            **{
                **_noised(release),
                "recipients": tuple(release["recipients"]),
                "alone": tuple(release.get("alone", ())),
                "planned": tuple(release.get("planned", ())),
            }
        ),
        slots=tuple(
            Slots(**{**entry, "by": tuple(entry.get("by", ())), "sums": tuple(entry.get("sums", ()))})
            for entry in draft.pop("slots", [])
        ),
        purposes=tuple(draft.pop("purposes")),
        notes=tuple(draft.pop("notes", ())),
        activation=activation and Activation(**{**activation, "channels": tuple(activation["channels"])}),
        **draft,
    )
    return contract, tuple(annexes)


def _dataset(name: str, entry: dict[str, Any], annexes: list[Annex]) -> Dataset:
    columns = []
    for title, terms in entry.pop("columns", {}).items():
        if terms.get("kind") == "amount":
            columns.append(Column(title, **terms))
            continue
        if unknown := terms.keys() - {"kind", "cells", "edges", "members", "sensitive"}:
            raise KeyError(min(unknown))
        edges = tuple(str(edge) for edge in terms.get("edges", ()))
        cells = Cells(edge_labels(edges) if edges else tuple(terms["cells"]), edges)
        flags = {flag: terms.get(flag, False) for flag in ("members", "sensitive")}
        term, annex = column(name, title, terms["kind"], cells, **flags)
        columns.append(term)
        annexes.append(annex)
    also = tuple(Identity(**each) for each in entry.pop("also", ()))
    return Dataset(name, columns=tuple(columns), also=also, **entry)


def write(path: Path, contract: Contract, annexes: tuple[Annex, ...]) -> None:
    """The draft of `contract` at `path`, ready to be edited and read again."""
    held = {(annex.dataset, annex.column): annex for annex in annexes}
    lines = [
        f"version = {VERSION}",
        *_entries(room=contract.room, purposes=contract.purposes, created=contract.created, expires=contract.expires),
        *_entries(notes=contract.notes),
    ]
    for party in contract.parties:
        lines += ["", f"[parties.{_key(party.name)}]"]
        lines += _entries(role=party.role, signing=party.signing, exchange=party.exchange)
    for dataset in contract.datasets:
        lines += ["", f"[datasets.{_key(dataset.name)}]"]
        lines += _entries(owner=dataset.owner, identity=dataset.identity, profile=dataset.profile, rows=dataset.rows,
                          consent=dataset.consent)  # fmt: skip
        if dataset.also:
            lines += _entries(also=[vars(each) for each in dataset.also])
        for term in dataset.columns:
            lines += [
                "",
                f"[datasets.{_key(dataset.name)}.columns.{_key(term.name)}]",
                *_column(term, held, dataset.name),
            ]
    lines += ["", "[match]", *_entries(**_said(contract.match)), "", "[release]", *_entries(**_said(contract.release))]
    if contract.activation is not None:
        lines += ["", "[activation]", *_entries(**vars(contract.activation))]
    for slots in contract.slots:
        lines += ["", "[[slots]]", *_entries(**_said(slots))]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _column(term: Column, held: dict[tuple[str, str], Annex], dataset: str) -> list[str]:
    if term.kind == "amount":
        return _entries(kind=term.kind, low=term.low, high=term.high, unit=term.unit)
    annex = held[dataset, term.name]
    cells = {"edges": annex.edges} if annex.edges else {"cells": annex.labels[:-2]}
    return _entries(kind=term.kind, **cells, members=term.members, **({"sensitive": True} if term.sensitive else {}))


def _noised(release: dict[str, Any]) -> dict[str, Any]:
    """The entries of a release with noise as most rooms have it, where the draft does not say how much."""
    usual = {"sigma": DEFAULT_SIGMA, "epsilon": DEFAULT_EPSILON} if release.get("noise") == "gaussian" else {}
    return usual | release


_LEFT_OUT = ("quota", "key", "updates", "sigma", "epsilon", "others", "commitment", "alone", "planned")


def _said(term: Match | Slots | ReleaseRules) -> dict[str, Any]:
    """The entries of a term without those that are of no matter to it."""
    return {name: value for name, value in vars(term).items() if value or name not in _LEFT_OUT}


def _entries(**values: Any) -> list[str]:
    """TOML lines; a JSON text of strings, integers and booleans is a TOML value."""
    return [f"{name} = {_value(value)}" for name, value in values.items()]


def _key(name: str) -> str:
    return _value(name)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(_entries(**value))} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one sign JSON takes and TOML does not
