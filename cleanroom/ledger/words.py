"""A ledger in words: who did what, and who learned what. Texts are templates, to be translated and filled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cleanroom.errors import BadData
from cleanroom.ledger.chain import Entry, check_body
from cleanroom.ledger.store import read

TEXTS: Mapping[str, str] = {
    "contract": "The contract {contract} of the room {room} is in force between {parties}.",
    "import": "A version of the dataset {dataset} with {rows} rows was imported.",
    "dh/members": "{receiver} learned which of its own rows matched; both sides learned each other's number of rows.",
    "dh/size": "{receiver} learned the exact size of the match; both sides learned each other's number of rows.",
    "vole/members": "{receiver} learned which of its own rows matched; both sides learned each other's number of rows.",
    "oprf/members": "{receiver} learned which of its own rows matched; both sides learned each other's number of rows.",
    "join-sum/size": "{receiver} learned the exact size of the match; both sides learned each other's number of rows.",
    "keyed/members": "{receiver} learned which of its own rows matched; both sides learned each other's number of "
    "rows; {host} learned sizes, the overlap of pseudonyms, how often each token occurs, and exact counts of groups.",
    "keyed/size": "Both sides learned each other's number of rows; {host} learned sizes, the overlap of pseudonyms, "
    "how often each token occurs, and exact counts of groups.",
    "keyed/crowd": "{receiver} learned which of its own rows are in a crowd, if these were enough; both sides learned "
    "each other's number of rows; {host} learned sizes, the overlap of pseudonyms in the crowd, and exact counts.",
    "vole/crowd": "{receiver} learned which of its own rows are in a crowd; both sides learned each other's number of "
    "rows.",
    "dh/crowd": "{receiver} learned which of its own rows are in a crowd; both sides learned each other's number of "
    "rows.",
    "replay": "An answer was computed again for an audit.",
    "input": "{owner} brought its dataset {dataset} with {rows} rows to a run.",
    "debit": "A question by {by} was charged with {rho_micro} millionths of ρ.",
    "debit/lineage": "A question by {by} was charged with {rho_micro} millionths of ρ, to the budget of {lineage}.",
    "draws": "The noise of a question was drawn, and kept.",
    "release": "{recipients} learned a table of {rows} groups of at least {k} people each, counted exactly "
    "(noise off).",
    "release/withheld": "{recipients} learned a table of {rows} groups of at least {k} people each, counted exactly "
    "(noise off); other groups may be withheld.",
    "release/noise": "{recipients} learned a table of {rows} groups, with noise on every number; other groups may be "
    "withheld.",
    "forget": "{persons} persons were forgotten in the dataset {dataset}.",
    "countersign/theirs": "{peer} showed its ledger up to entry {seq}.",
    "countersign/ours": "{peer} countersigned this ledger up to entry {seq}.",
    "restored": "This home was restored from a backup of {made}: its budgets are closed until {until} is over.",
    "line": "{who} accepted the restored ledger of {peer}, from entry {seq} on.",
    "cleanroom-match-tokens/1/export": "{receiver} was given match tokens of this party's people in a file: with "
    "another owner's file it learns sizes and the overlap of pseudonyms.",
    "cleanroom-three-key-list/1/list": "{receiver} was given this party's people for three-key matching, and learned "
    "how many they are.",
    "cleanroom-three-key-list/1/cross": "{receiver}'s people for three-key matching were put under this party's key "
    "and given back: with them {receiver} learns how many are shared.",
    "cleanroom-three-key-list/1/match": "This party learned how many people it shares with {receiver} by three-key "
    "matching, and as the advertiser the publisher's identifiers of them.",
}
"""Entries in words, by their kind and what tells kinds of a kind apart."""


@dataclass(frozen=True)
class Row:
    """An entry for people. text: English template, the key of its translation; params fill it; asked_by: the party that
    asked and who did in its name, where the entry says so."""

    seq: int
    time: str
    kind: str
    text: str
    params: Mapping[str, object]
    asked_by: tuple[str, ...] = ()


def show(path: Path) -> tuple[Row, ...]:
    """The entries of the ledger at `path` in words, unverified. Raises BadData for kinds that are not known."""
    return tuple(_row(entry) for entry in read(path).entries)


def _row(entry: Entry) -> Row:
    check_body(entry.kind, entry.body)
    body, key = dict(_readable(entry)), entry.kind
    if entry.kind == "match":
        key = f"{body['protocol']}/{body['output']}"
    elif entry.kind == "debit" and body.get("lineage"):
        key = "debit/lineage"
    elif entry.kind == "release" and body["noise"] != "off":
        key = "release/noise"
    elif entry.kind == "release" and body["withheld"]:
        key = "release/withheld"
    elif entry.kind == "countersign":
        key = f"countersign/{body['whose']}"
    if key not in TEXTS:
        raise BadData("Entry {seq} of the ledger is of a kind that this version does not know.", seq=entry.seq)
    body.pop("asked_by", None)
    asked_by = entry.body.get("asked_by", ())
    names = tuple(map(str, asked_by)) if isinstance(asked_by, list | tuple) else ()
    return Row(entry.seq, entry.time, entry.kind, TEXTS[key], body, names)


def _readable(entry: Entry) -> Iterator[tuple[str, object]]:
    for name, value in entry.body.items():
        if isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or "–"
        else:
            yield name, value[:12] if name == "contract" and isinstance(value, str) else value
