"""What a ledger consists of: entries that each name the one before, and heads that fix all entries up to one. No disk.

An entry's hash covers its place, time, kind, body and the hash before it; its signature is the signed head of the
ledger at that moment. So a ledger cannot be edited or reordered without its key, and not cut or forked without
contradicting a head that a peer holds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cleanroom import canonical
from cleanroom.errors import BadData
from cleanroom.keys import verify

FORMAT = "cleanroom-ledger/2"
FIRST_FORMAT = "cleanroom-ledger/1"
"""Without budgets, kept questions and draws of noise; what was written in it stays what it was."""
GENESIS_LABEL = "cleanroom/ledger/1"
ENTRY_LABEL = "cleanroom/ledger-entry/1"
HEAD_LABEL = "cleanroom/ledger-head/1"
COSIGN_LABEL = "cleanroom/ledger-cosign/1"

Body = Mapping[str, canonical.Json]

_DEBIT: Mapping[str, type] = {
    "question": str,
    "query": str,
    "contract": str,
    "population": str,
    "by": list,
    "rho_micro": int,
}
_CHARGED: Mapping[str, type] = {**_DEBIT, "sigma": int, "lineage": str, "most_micro": int, "asked": str}
_RELEASE: Mapping[str, type] = {
    "question": str,
    "receipt": str,
    "recipients": list,
    "table": str,
    "rows": int,
    "withheld": bool,
    "k": int,
    "noise": str,
    "answer": str,
}
_ASKED_BY: Mapping[str, type] = {"asked_by": list}
FIELDS: Mapping[str, tuple[Mapping[str, type], ...]] = {
    "contract": ({"contract": str, "room": str, "parties": list},),
    "import": ({"dataset": str, "manifest": str, "rows": int},),
    "input": ({"contract": str, "owner": str, "dataset": str, "manifest": str, "rows": int},),
    "match": ({"contract": str, "protocol": str, "transcript": str, "host": str, "receiver": str, "output": str},),
    "debit": (_CHARGED, {**_CHARGED, **_ASKED_BY}, _DEBIT),
    "draws": ({"question": str, "draws": str},),
    "release": (_RELEASE, {**_RELEASE, **_ASKED_BY}),
    "replay": ({"question": str, "same": bool, "salt": str},),
    "forget": ({"dataset": str, "persons": int, "epoch": str},),
    "countersign": ({"peer": str, "key": str, "whose": str, "seq": int, "hash": str, "signature": str},),
    "restored": ({"made": str, "until": str, "seq": int, "hash": str},),
    "line": ({"peer": str, "key": str, "seq": int, "hash": str, "signature": str, "who": str},),
}
"""Kinds of entries and the fields that they have: of a debit and a release also who asked, where that is known, and of
a debit those of FIRST_FORMAT.

salt: random, or whoever sees a head could try both answers.
Lists hold names. asked, draws, answer: SHA-256 of what is kept sealed beside the chain, or ''; sigma: of the noise, 0
without; asked_by: the party that asked, and who did in its name where that was another; lineage: the dataset whose
budget of `most_micro` a month was charged `rho_micro`, in millionths of ρ, or ''.
restored: the home was brought back from a backup `made` then, whose ledger ended with entry `seq`; what was spent since
is not known, so that nothing is spent until the month `until` is over. line: `who` accepted a peer's restored ledger,
of which this is the head; what was seen of it before no longer counts.
"""
KEPT = {"debit": "asked", "draws": "draws", "release": "answer"}
"""Kinds of entries that happen once a question, and their field that fixes what is sealed with each."""

_DIGEST = re.compile("[0-9a-f]{64}")
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON can say and nothing can hash."""
_LONGEST = 128


class Signer(Protocol):
    """Whoever signs for a party: `cleanroom.keys.PartyKeys`."""

    def sign(self, label: str, message: bytes) -> bytes:
        """64 bytes over label and message."""
        ...


@dataclass(frozen=True)
class Entry:
    """One entry. seq from 1; time in UTC, ISO 8601; hashes and signature in hex."""

    seq: int
    time: str
    kind: str
    body: Body
    previous: str
    hash: str
    signature: str


@dataclass(frozen=True)
class Head:
    """A ledger's newest entry, signed by its party: it fixes everything before it. key, hash, signature in hex."""

    party: str
    key: str
    seq: int
    hash: str
    signature: str

    def message(self) -> bytes:
        """What is signed, by the party under HEAD_LABEL and by a peer that has seen it under COSIGN_LABEL."""
        return head_message(self.party, self.key, self.seq, self.hash)

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON, to be sent to a peer."""
        return {"party": self.party, "key": self.key, "seq": self.seq, "hash": self.hash, "signature": self.signature}

    @classmethod
    def parse(cls, value: object) -> "Head":
        """The reverse of `plain`. Raises BadData."""
        names = {"party": str, "key": str, "seq": int, "hash": str, "signature": str}
        if not isinstance(value, Mapping) or not _typed(value, names):
            raise BadData("The head of a ledger is not in its form.")
        return cls(**value)

    def verify(self, key: bytes) -> None:
        """Raises BadData unless the party with this signing key signed the head."""
        if self.key != key.hex():
            raise BadData("The head of {party}'s ledger names another key than the contract.", party=self.party)
        verify(key, HEAD_LABEL, self.message(), unhex(self.signature))


def genesis(party: str, key: bytes) -> str:
    """The hash before the first entry of a party's ledger."""
    return canonical.digest(GENESIS_LABEL, {"party": party, "key": key.hex()})


def entry_hash(seq: int, time: str, kind: str, body: Body, previous: str) -> str:
    """SHA-256 in hex over all that an entry says."""
    return canonical.digest(ENTRY_LABEL, {"seq": seq, "time": time, "kind": kind, "body": body, "previous": previous})


def head_message(party: str, key: str, seq: int, hash_: str) -> bytes:
    """The bytes of a head that are signed."""
    return canonical.encode({"party": party, "key": key, "seq": seq, "hash": hash_})


def check_body(kind: str, body: Body) -> None:
    """Raises BadData unless the kind is known and the body has exactly its fields, of their types and short."""
    forms = FIELDS.get(kind, ())
    if not any(_typed(body, fields) for fields in forms):
        raise BadData("A ledger has no entry of the kind {kind} with such fields.", kind=kind if forms else "?")


def countersign_body(peer: str, key: bytes, whose: str, head: Head, signature: str) -> Body:
    """Of a countersignature: whose head, `ours` or `theirs`, and the signature under it in hex."""
    return {
        "peer": peer,
        "key": key.hex(),
        "whose": whose,
        "seq": head.seq,
        "hash": head.hash,
        "signature": signature,
    }


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 in hex."""
    return _DIGEST.fullmatch(text) is not None


def unhex(text: str) -> bytes:
    """Bytes of a hex text. Raises BadData."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadData("A signature is not in hex.") from error


def _typed(body: Mapping[str, object], fields: Mapping[str, type]) -> bool:
    return body.keys() == fields.keys() and all(_fits(body[name], kind) for name, kind in fields.items())


def _fits(value: object, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list | tuple) and all(_fits(item, str) for item in value)
    if kind is str:
        return isinstance(value, str) and len(value) <= _LONGEST and not _SURROGATE.search(value)
    return type(value) is kind
