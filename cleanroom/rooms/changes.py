"""What a change would change, in words: every term that differs, and which of them protect less than before.

Nothing that differs can be left out: terms are compared leaf by leaf in their canonical form, and one that no rule here
knows is told as it stands and marked. Dates of drafting and the salts of labels alone say nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room

Path = tuple[str, ...]
Weaker = Callable[[Any, Any], bool]


@dataclass(frozen=True)
class Line:
    """A difference: an English template with its parameters; weaker: it protects less than before, or may."""

    template: str
    params: dict[str, Any] = field(default_factory=dict)
    weaker: bool = False

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"template": self.template, "params": self.params, "weaker": self.weaker}


def _more(before: Any, after: Any) -> bool:
    return bool((after or 0) > (before or 0))


def _less(before: Any, after: Any) -> bool:
    return bool((after or 0) < (before or 0))


def _always(before: Any, after: Any) -> bool:
    return True


def _never(before: Any, after: Any) -> bool:
    return False


def _longer(before: Any, after: Any) -> bool:
    return bool(after > before)


def _grows(before: Any, after: Any) -> bool:
    return not set(after or ()) <= set(before or ())


_RULES: Mapping[Path, tuple[str, Weaker]] = {
    ("purposes",): ("purposes: {after}; before: {before}", _grows),
    ("expires",): ("the room ends on {after}; before: {before}", _longer),
    ("notes",): ("notes: {after}; before: {before}", _always),
    ("release", "k"): ("at least {after} people behind any number; before: {before}", _less),
    ("release", "noise"): ("noise in releases: {after}; before: {before}", lambda before, after: after == "off"),
    ("release", "sigma"): ("noise of {after} people on each count; before: {before}", _less),
    ("release", "epsilon"): ("questions of ε {after} a month about each dataset; before: {before}", _more),
    ("release", "queries"): ("questions: {after}; before: {before}", lambda before, after: after != "templates"),
    ("release", "alone"): ("boards of all persons of {after}; before: {before}", _grows),
    ("activation",): ("crowds may be addressed: {after}; before: {before}", _always),
    ("activation", "receiver"): ("{after} addresses crowds; before: {before}", _always),
    ("activation", "channels"): ("crowds are addressed by {after}; before: {before}", _grows),
    ("activation", "floor"): ("crowds of at least {after} people are given; before: {before}", _less),
    ("activation", "most_versions"): ("a person is in {after} given versions a month; before: {before}", _more),
    ("activation", "lists"): ("lists may define crowds: {after}; before: {before}", _more),
    ("release", "planned"): ("plans are of {after}; before: {before}", _always),
    ("release", "recipients"): ("releases go to {after}; before: {before}", _grows),
    ("match", "protocol"): ("the match protocol is {after}; before: {before}", _always),
    ("match", "host"): ("{after} hosts the enclave; before: {before}", _always),
    ("match", "receiver"): ("{after} receives the match; before: {before}", _always),
    ("match", "output"): ("the receiver learns: {after}; before: {before}", lambda before, after: after != "size"),
    ("match", "quota"): ("{after} identities may be asked about in a key epoch; before: {before}", _more),
    ("match", "updates"): ("a run goes on from the last one: {after}; before: {before}", _more),
    ("datasets", "*", "rows"): ("{name}: at most {after} persons; before: {before}", _more),
    ("datasets", "*", "consent"): ("{name}: consent or legal basis: {after}; before: {before}", _always),
    ("datasets", "*", "identity"): ("{name}: matched by {after}; before: {before}", _always),
    ("datasets", "*", "columns", "*", "low"): ("{name}: least amount {after}; before: {before}", _less),
    ("datasets", "*", "columns", "*", "high"): ("{name}: largest amount {after}; before: {before}", _more),
    ("datasets", "*", "columns", "*", "members"): (
        "{name}: may define members lists: {after}; before: {before}",
        _more,
    ),
    ("datasets", "*", "columns", "*", "sensitive"): ("{name}: is sensitive: {after}; before: {before}", _less),
    ("datasets", "*", "columns", "*", "labels"): ("{name}: values {after}; before: {before}", _grows),
    ("datasets", "*", "columns", "*", "edges"): ("{name}: edges {after}; before: {before}", _grows),
    ("datasets", "*", "columns", "*", "cells"): ("{name}: {after} cells; before: {before}", _more),
    ("slots", "*", "by"): ("{name}: encrypted cells of {after}; before: {before}", _grows),
    ("slots", "*", "sums"): ("{name}: encrypted sums of {after}; before: {before}", _grows),
    ("slots", "*", "mask_bits"): ("{name}: sums are hidden by {after} bits; before: {before}", _less),
    ("slots", "*", "key_bits"): ("{name}: a Paillier key of {after} bits; before: {before}", _less),
    ("slots", "*", "key"): ("{name}: another Paillier key", _always),
}
_ADDED: Mapping[Path, str] = {
    ("parties", "*"): "the party {name} is added",
    ("datasets", "*"): "the dataset {name} is added",
    ("datasets", "*", "columns", "*"): "the column {name} is added: {kind}",
    ("datasets", "*", "also", "*"): "{name} is matched too",
    ("slots", "*"): "columns of {name} travel as Paillier slots",
}
_REMOVED: Mapping[Path, str] = {
    ("parties", "*"): "the party {name} is left out",
    ("datasets", "*"): "the dataset {name} is left out",
    ("datasets", "*", "columns", "*"): "the column {name} is left out",
    ("datasets", "*", "also", "*"): "{name} is no longer matched",
    ("slots", "*"): "no column of {name} travels as Paillier slots any more",
}
_OTHER = "{name}: {after}; before: {before}"
_EPOCH = "Key epochs and quotas begin anew; templates are to be signed again, and plans to be made again."
_SILENT = {("created",), ("format",), ("datasets", "*", "columns", "*", "annex")}
_UNLABELLED = "{name}: the labels may be others; this node holds none"
TEXTS = (*(text for text, _ in _RULES.values()), *_ADDED.values(), *_REMOVED.values(), _OTHER, _EPOCH, _UNLABELLED)
"""All that it says."""


def differences(before: Room, after: Room) -> list[Line]:
    """Every term in which `after` differs from `before`; what is weaker comes first."""
    lines = list(_compared((), (), _leaves(before), _leaves(after)))
    if before.annexes is None or after.annexes is None:
        lines += _unlabelled(before.contract, after.contract)
    lines.sort(key=lambda line: not line.weaker)
    return [*lines, Line(_EPOCH, {}, after.contract.match.protocol == "oprf")]


def _leaves(room: Room) -> dict[str, Any]:
    """The terms with everything that has a name under its name, and labels in place where this node holds them."""
    plain = room.contract.canonical()
    held = {(each.dataset, each.column): each for each in room.annexes or ()}
    for dataset in plain["datasets"]:
        for column in dataset["columns"]:
            annex = held.get((dataset["name"], column["name"]))
            if annex is not None:
                column.update(labels=list(annex.labels), edges=list(annex.edges))
        dataset["columns"] = _by(dataset["columns"], "name")
        dataset["also"] = _by(dataset.get("also", []), "kind")
    return {**plain, "parties": _by(plain["parties"], "name"), "datasets": _by(plain["datasets"], "name"),
            "slots": _by(plain["slots"], "dataset")}  # fmt: skip


def _by(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return {each[name]: {key: value for key, value in each.items() if key != name} for each in items}


def _compared(path: Path, pattern: Path, before: Any, after: Any) -> Iterator[Line]:
    """Lines for what differs at or under a path; pattern: the path with stars for names."""
    if before == after or pattern in _SILENT:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        star = bool(pattern) and (*pattern, "*") in _ADDED
        for key in dict.fromkeys((*before, *after)):
            inner = (*pattern, "*" if star else key)
            yield from _compared((*path, key), inner, before.get(key), after.get(key))
        return
    name = _name(path)
    if pattern in _ADDED and before is None:
        yield Line(_ADDED[pattern], {"name": name, **_kind(pattern, after)}, weaker=True)
    elif pattern in _REMOVED and after is None:
        yield Line(_REMOVED[pattern], {"name": name}, weaker=pattern[0] == "slots")
    else:
        template, weaker = _RULES.get(pattern, (_OTHER, _always))
        told = {"name": name if pattern in _RULES else ".".join(path), "before": _said(before), "after": _said(after)}
        yield Line(template, told, weaker(before, after))


def _name(path: Path) -> str:
    """What people call a term by: its dataset, and its column."""
    return ".".join((path[1], *path[3:4])) if len(path) > 1 else path[0]


def _kind(pattern: Path, value: Any) -> dict[str, Any]:
    return {"kind": value["kind"]} if pattern[-2] == "columns" else {}


def _said(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _unlabelled(before: Contract, after: Contract) -> Iterator[Line]:
    """At an operator: columns whose labels may differ, since their salted digests do."""
    digests = {(each.name, column.name): column.annex for each in before.datasets for column in each.columns}
    for dataset in after.datasets:
        for column in dataset.columns:
            if column.annex != digests.get((dataset.name, column.name), column.annex):
                yield Line(_UNLABELLED, {"name": f"{dataset.name}.{column.name}"})
