"""A ledger in one file for an auditor who has no node: entries, the contracts they are under, heads that peers saw.

JSON lines, each in canonical form: a header with the version, then an object a line. The file holds what the parties
signed and digests; no answer, question, draw of noise, label or secret, sealed or not. Whose keys count stands in the
contracts, so the auditor compares fingerprints with the parties, or brings a contract that was agreed on.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cleanroom import canonical
from cleanroom.errors import BadData
from cleanroom.files import replacing
from cleanroom.keys import PublicKeys
from cleanroom.keys import verify as verify_signature
from cleanroom.ledger import audit
from cleanroom.ledger.audit import LEDGER_STEPS, AuditReport
from cleanroom.ledger.chain import Entry, Head, unhex
from cleanroom.ledger.spending import by_month
from cleanroom.ledger.store import Contents
from cleanroom.privacy import accounting
from cleanroom.rooms.contract import LABEL as CONTRACT_LABEL
from cleanroom.rooms.contract import Contract, SignedContract, signed_from_canonical

FORMAT = "cleanroom-audit/1"
_LONGEST_LINE = 1 << 24
_HEADER = {"format": str, "ledger": str, "party": str, "signing": str, "exchange": str, "entries": int}
_ENTRY = {"seq": int, "time": str, "kind": str, "body": dict, "previous": str, "hash": str, "signature": str}

EXPORT_STEPS = (
    "9 contracts: every one is signed by its parties and names this ledger's key",
    "10 copy: the two copies of this ledger do not contradict each other",
)
"""What is checked beyond `audit.LEDGER_STEPS`."""


@dataclass(frozen=True)
class Export:
    """What an export file says, unverified."""

    ledger: Contents
    keys: PublicKeys
    contracts: tuple[SignedContract, ...]
    witnesses: tuple[Head, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Digests of contracts that entries name and that are not here."""
        held = {signed.contract.digest() for signed in self.contracts}
        named = {str(entry.body["contract"]) for entry in self.ledger.entries if "contract" in entry.body}
        return tuple(sorted(named - held))

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of every party, by the keys in contracts and that of the ledger: what the auditor compares."""
        parties = {party for signed in self.contracts for party in signed.contract.parties}
        found = {party.name: PublicKeys(unhex(party.signing), unhex(party.exchange)) for party in parties}
        return {name: keys.fingerprint for name, keys in sorted({**found, self.ledger.party: self.keys}.items())}


def write(path: Path, export: Export) -> None:
    """The export as a file, whole or not at all."""
    with replacing(path) as aside, aside.open("wb") as file:
        file.writelines(canonical.encode(line) + b"\n" for line in _lines(export))


def read(path: Path) -> Export:
    """The export in the file, unverified. Raises BadData where it is not in its form."""
    try:
        with path.open("rb") as file:
            return _parse(_objects(file, path.name), path.name)
    except OSError as error:
        raise BadData("{name} cannot be read: {reason}.", name=path.name, reason=error.strerror) from error


def verify(export: Export, *, copy: Contents | None = None, witnesses: Sequence[Head] = ()) -> AuditReport:
    """Check an export, step by step; raises BadData naming the step that failed.

    What is kept sealed is not in it, so step 6 is left out. copy: this ledger as somebody else has it, verified;
    witnesses: heads of it that others hold.
    """
    contents, key = export.ledger, export.keys.signing
    audit.verify_entries(contents, key)  # 1 to 5
    check_budgets(contents.entries, {signed.contract.digest(): signed.contract for signed in export.contracts})
    seen = (*export.witnesses, *witnesses)
    steps = [step for step in LEDGER_STEPS if step[0] != "6" and (seen or step[0] != "8")]
    if copy is not None:  # before the heads: it names the very entry
        _check_copy(contents, copy)  # 10
    peers = {(party.name, unhex(party.signing)) for signed in export.contracts for party in signed.contract.parties}
    audit.verify_heads(contents, key, peers, seen)  # 7, 8
    _check_contracts(export)  # 9
    return AuditReport(
        contents.party, len(contents.entries), (*steps, *EXPORT_STEPS[: 2 if copy else 1]), by_month(contents.entries)
    )


def check_budgets(entries: Sequence[Entry], contracts: Mapping[str, Contract]) -> None:
    """Step 5 with contracts (by digest) at hand: raises BadData where a debit names a larger budget than that."""
    for entry in entries:
        contract = contracts.get(str(entry.body.get("contract")))
        if contract is None or not (entry.kind == "debit" and entry.body.get("lineage")):
            continue
        epsilon, rows = contract.release.epsilon, contract.dataset(str(entry.body["lineage"])).rows
        most = accounting.budget_micro(epsilon, accounting.delta(rows)) if epsilon else 0
        if int(str(entry.body["most_micro"])) > most:
            raise BadData(
                "Ledger, step 5, debits: entry {seq} names a larger budget than its contract gives.", seq=entry.seq
            )


def _check_contracts(export: Export) -> None:
    for signed in export.contracts:
        contract = signed.contract
        ours = contract.party(export.ledger.party)
        if (ours.signing, ours.exchange) != (export.keys.signing.hex(), export.keys.exchange.hex()):
            raise BadData("Export, step 9, contracts: {room} names another key for this ledger.", room=contract.room)
        if signed.signatures.keys() != {party.name for party in contract.parties}:
            raise BadData("Export, step 9, contracts: {room} is not signed by its parties.", room=contract.room)
        for party in contract.parties:
            signature = unhex(signed.signatures[party.name])
            verify_signature(unhex(party.signing), CONTRACT_LABEL, bytes.fromhex(contract.digest()), signature)


def _check_copy(contents: Contents, copy: Contents) -> None:
    if (copy.party, copy.key) != (contents.party, contents.key):
        raise BadData("Export, step 10, copy: it is of another ledger.")
    differs = audit.first_difference(contents.entries, copy.entries)
    if differs is not None:
        raise BadData(
            "Export, step 10, copy: the ledger is forked: entry {seq} is the first that differs.", seq=differs
        )


def _lines(export: Export) -> Iterator[dict[str, canonical.Json]]:
    contents, keys = export.ledger, export.keys
    yield {
        "format": FORMAT,
        "ledger": contents.format,
        "party": contents.party,
        "signing": keys.signing.hex(),
        "exchange": keys.exchange.hex(),
        "entries": len(contents.entries),
    }
    for entry in contents.entries:
        yield {"entry": asdict(entry)}
    for signed in export.contracts:
        yield {"contract": signed.canonical()}
    for head in export.witnesses:
        yield {"witness": head.plain()}


def _objects(file: Any, name: str) -> Iterator[dict[str, Any]]:
    """The lines. Raises BadData for one that is too long or not canonical."""
    while line := file.readline(_LONGEST_LINE):
        try:
            value = json.loads(line)
            if not isinstance(value, dict) or canonical.encode(value) + b"\n" != line:
                raise ValueError
        except (ValueError, TypeError, RecursionError) as error:
            raise _damaged(name) from error
        yield value


def _parse(lines: Iterator[dict[str, Any]], name: str) -> Export:
    header = next(lines, {})
    if header.get("format") != FORMAT:
        raise BadData("{name} is no export of a ledger, or of an unknown version.", name=name)
    if not _typed(header, _HEADER):
        raise _damaged(name)
    entries: list[Entry] = []
    contracts: list[SignedContract] = []
    witnesses: list[Head] = []
    for line in lines:
        match line:
            case {"entry": dict(value)} if len(line) == 1 and _typed(value, _ENTRY):
                entries.append(Entry(**value))
            case {"contract": value} if len(line) == 1:
                contracts.append(signed_from_canonical(value))
            case {"witness": value} if len(line) == 1:
                witnesses.append(Head.parse(value))
            case _:
                raise _damaged(name)
    if len(entries) != header["entries"]:
        raise _damaged(name)
    keys = PublicKeys(unhex(header["signing"]), unhex(header["exchange"]))
    contents = Contents(header["ledger"], header["party"], header["signing"], tuple(entries), {})
    return Export(contents, keys, tuple(contracts), tuple(witnesses))


def _typed(value: Mapping[str, Any], fields: Mapping[str, type]) -> bool:
    return value.keys() == fields.keys() and all(type(value[name]) is kind for name, kind in fields.items())


def _damaged(name: str) -> BadData:
    return BadData("The export {name} is damaged or incomplete.", "Ask for it again.", name=name)
