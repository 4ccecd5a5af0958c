"""Checks of ledgers and receipts afterwards. Nothing here writes or holds a secret.

Each check raises BadData naming its step; a report is the list of steps that held. What a ledger alone cannot show, a
cut or a fork by the party that holds its key, the heads show that peers have seen (`heads_seen`), and a second copy
shows which entry is the first to differ (`first_difference`).
"""

import bisect
import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cleanroom import private_files
from cleanroom.errors import BadData
from cleanroom.keys import verify as verify_signature
from cleanroom.ledger import receipt as receipts
from cleanroom.ledger.chain import (
    COSIGN_LABEL,
    FIRST_FORMAT,
    FORMAT,
    HEAD_LABEL,
    KEPT,
    Entry,
    Head,
    check_body,
    entry_hash,
    genesis,
    head_message,
    unhex,
)
from cleanroom.ledger.receipt import Receipt, SignedReceipt
from cleanroom.ledger.spending import Spent, by_month, charges, month_of
from cleanroom.ledger.store import Contents, read

_RECEIPT_LIMIT = 1 << 20


@dataclass(frozen=True)
class AuditReport:
    """What held. subject: party or room; entries: of the ledger, 0 for a receipt; steps: texts, to be translated;
    spent: of budgets, added up anew; isolation: in a receipt's words, None for a ledger."""

    subject: str
    entries: int
    steps: tuple[str, ...]
    spent: tuple[Spent, ...] = ()
    isolation: str | None = None


LEDGER_STEPS = (
    "1 owner: the ledger is of a known version, and of this party's key",
    "2 order: entries are numbered without gaps, and each has the fields of its kind",
    "3 chain: every entry fixes its own content and the entry before it",
    "4 signatures: the party signed every entry",
    "5 debits: noise and releases were debited before, nothing happened twice, no month's budget was overdrawn",
    "6 answers: every stored answer, question and draw of noise is the one on record, and there is no other",
    "7 countersignatures: what peers have signed is in this ledger",
    "8 witnesses: what peers have seen of this ledger is still in it",
)


RELEASE_STEP = "6 ledger: it holds this release"
"""The last step of a receipt."""


def verify_home_ledger(
    path: Path, public_key: bytes, *, peers: Collection[tuple[str, bytes]] | None = None, witnesses: Sequence[Head] = ()
) -> AuditReport:
    """Check a ledger, step by step; raises BadData naming the step that failed.

    `public_key`: whose it should be; `peers`: (name, signing key), the only ones that may countersign (None: any);
    `witnesses`: heads of this ledger that others hold.
    """
    contents = read(path)
    verify_entries(contents, public_key)  # 1 to 5
    _check_kept(contents)  # 6
    verify_heads(contents, public_key, peers, witnesses)  # 7, 8
    steps = LEDGER_STEPS if witnesses else LEDGER_STEPS[:-1]
    return AuditReport(contents.party, len(contents.entries), steps, by_month(contents.entries))


def verify_entries(contents: Contents, public_key: bytes) -> None:
    """Steps 1 to 5: all that entries show of themselves."""
    _check_owner(contents, public_key)
    _check_order(contents.entries)
    _check_chain(contents, public_key)
    _check_signatures(contents, public_key)
    _check_debits(contents.entries)
    if contents.spent not in (None, by_month(contents.entries)):
        raise BadData("Ledger, step 5, debits: the sums by which budgets are kept are not those of the debits.")


def verify_heads(
    contents: Contents, public_key: bytes, peers: Collection[tuple[str, bytes]] | None, witnesses: Sequence[Head]
) -> None:
    """Steps 7 and 8: what peers have signed and seen."""
    _check_countersignatures(contents, peers)
    _check_witnesses(contents, public_key, witnesses)


def first_difference(one: Sequence[Entry], other: Sequence[Entry]) -> int | None:
    """Number of the first entry that differs between two verified ledgers of one key; None where one begins the other.

    By bisection: an entry's hash fixes all before it.
    """
    both = min(len(one), len(other))
    place = bisect.bisect_left(range(both), True, key=lambda at: one[at].hash != other[at].hash)
    return place + 1 if place < both else None


def heads_seen(path: Path, key: bytes) -> tuple[Head, ...]:
    """Heads of the ledger with this key that stand in the ledger at `path`: witnesses for `verify_home_ledger`."""
    found: list[Head] = []
    for entry in read(path).entries:
        check_body(entry.kind, entry.body)
        body = entry.body
        if body.get("key") != key.hex():
            continue
        if entry.kind == "line":
            found = []  # a restored ledger that was accepted begins a new line
        if entry.kind == "line" or body["whose"] == "theirs":
            names = {"party": "peer", "key": "key", "seq": "seq", "hash": "hash", "signature": "signature"}
            found.append(Head.parse({name: body[source] for name, source in names.items()}))
    return tuple(found)


def verify_receipt_file(
    path: Path,
    keys: Mapping[str, bytes],
    *,
    contract: str | None = None,
    answer: tuple[pa.Table, bytes] | None = None,
    ledger: Path | None = None,
) -> AuditReport:
    """Check a receipt file as `receipt.verify`, and that the ledger, where one is given, holds its release."""
    signed = SignedReceipt.parse(private_files.read(path, _RECEIPT_LIMIT))
    steps = receipts.verify(signed, keys, contract=contract, answer=answer)
    if ledger is not None:
        steps = (*steps, check_release(signed.receipt, read(ledger).entries))
    return AuditReport(signed.receipt.room, 0, steps, isolation=signed.receipt.isolation)


def check_release(receipt: Receipt, entries: Sequence[Entry]) -> str:
    """Step 6 of a receipt: the ledger holds its release. Raises BadData."""
    told = (receipt.question, receipt.table)  # a repeated question has one release, and its table
    if told not in [(entry.body["question"], entry.body["table"]) for entry in entries if entry.kind == "release"]:
        raise BadData("Receipt, step 6, ledger: this ledger does not hold its release.")
    paid = [entry.body for entry in entries if entry.kind == "debit" and entry.body["question"] == receipt.question]
    if any(body["rho_micro"] != receipt.rho_micro for body in paid):
        raise BadData("Receipt, step 6, ledger: it says another price than the one that was charged.")
    return RELEASE_STEP


def _check_owner(contents: Contents, public_key: bytes) -> None:
    if contents.format not in (FORMAT, FIRST_FORMAT):
        raise BadData("Ledger, step 1, owner: its version is not known.", "Update this program.")
    if contents.key != public_key.hex():
        raise BadData("Ledger, step 1, owner: it is of another key.")


def _check_order(entries: Sequence[Entry]) -> None:
    for place, entry in enumerate(entries, start=1):
        if entry.seq != place:
            raise BadData("Ledger, step 2, order: entry {seq} is missing.", seq=place)
        try:
            check_body(entry.kind, entry.body)
            dt.datetime.strptime(entry.time, "%Y-%m-%dT%H:%M:%SZ")
        except (BadData, ValueError) as error:
            raise BadData("Ledger, step 2, order: entry {seq} is not in its form.", seq=place) from error


def _check_chain(contents: Contents, public_key: bytes) -> None:
    previous = genesis(contents.party, public_key)
    for entry in contents.entries:
        if entry.previous != previous:
            raise BadData("Ledger, step 3, chain: entry {seq} does not follow from the one before.", seq=entry.seq)
        if entry_hash(entry.seq, entry.time, entry.kind, entry.body, previous) != entry.hash:
            raise BadData("Ledger, step 3, chain: entry {seq} was edited.", seq=entry.seq)
        previous = entry.hash


def _check_signatures(contents: Contents, public_key: bytes) -> None:
    for entry in contents.entries:
        message = head_message(contents.party, contents.key, entry.seq, entry.hash)
        try:
            verify_signature(public_key, HEAD_LABEL, message, unhex(entry.signature))
        except BadData as error:
            raise BadData("Ledger, step 4, signatures: entry {seq} is signed by another key.", seq=entry.seq) from error


def _check_debits(entries: Sequence[Entry]) -> None:
    done: dict[str, set[object]] = {kind: set() for kind in KEPT}
    for entry in entries:
        if entry.kind not in done:
            continue
        question = entry.body["question"]
        if question in done[entry.kind]:
            raise BadData("Ledger, step 5, debits: entry {seq} repeats an earlier one.", seq=entry.seq)
        if entry.kind != "debit" and question not in done["debit"]:
            if entry.kind == "release":
                raise BadData("Ledger, step 5, debits: entry {seq} is a release without a debit.", seq=entry.seq)
            raise BadData("Ledger, step 5, debits: entry {seq} is noise without a debit.", seq=entry.seq)
        if entry.kind == "draws" and question in done["release"]:
            raise BadData("Ledger, step 5, debits: entry {seq} is noise drawn after its release.", seq=entry.seq)
        done[entry.kind].add(question)
    _check_budgets(entries)


def _check_budgets(entries: Sequence[Entry]) -> None:
    until = ""
    for entry in entries:
        if entry.kind == "restored":
            until = max(until, str(entry.body["until"]))
        if entry.kind == "debit" and entry.body.get("lineage") and month_of(entry.time) <= until:
            raise BadData("Ledger, step 5, debits: entry {seq} spends in a month that a restore closed.", seq=entry.seq)
        if entry.kind == "debit" and int(str(entry.body["rho_micro"])) < 0:
            raise BadData("Ledger, step 5, debits: entry {seq} gives back what was spent.", seq=entry.seq)
    for each in charges(entries):
        if each.rho_micro and each.before + each.rho_micro > each.most_micro:
            raise BadData("Ledger, step 5, debits: entry {seq} overdraws the budget it names.", seq=each.entry.seq)


def _check_kept(contents: Contents) -> None:
    for kind, field in KEPT.items():
        on_record = {
            entry.body["question"]: entry.body[field]
            for entry in contents.entries
            if entry.kind == kind and entry.body.get(field)
        }
        if on_record != contents.kept[kind]:
            raise BadData("Ledger, step 6, answers: what is kept with {kind} entries is not what they say.", kind=kind)


def _check_countersignatures(contents: Contents, peers: Collection[tuple[str, bytes]] | None) -> None:
    hashes = _hashes(contents)
    for entry in contents.entries:
        if entry.kind not in ("countersign", "line"):
            continue
        body = entry.body
        peer, key, seq, hash_ = str(body["peer"]), str(body["key"]), int(str(body["seq"])), str(body["hash"])
        if peers is not None and (peer, unhex(key)) not in peers:
            raise BadData("Ledger, step 7, countersignatures: entry {seq} is of an unknown peer.", seq=entry.seq)
        ours = body.get("whose") == "ours"
        if ours and hashes.get(seq) != hash_:
            raise BadData("Ledger, step 7, countersignatures: entry {seq} is of a head not in here.", seq=entry.seq)
        message = (
            head_message(contents.party, contents.key, seq, hash_) if ours else head_message(peer, key, seq, hash_)
        )
        try:
            label = COSIGN_LABEL if ours else HEAD_LABEL
            verify_signature(unhex(key), label, message, unhex(str(body["signature"])))
        except BadData as error:
            raise BadData("Ledger, step 7, countersignatures: entry {seq} does not verify.", seq=entry.seq) from error


def _check_witnesses(contents: Contents, public_key: bytes, witnesses: Sequence[Head]) -> None:
    hashes, agreed = _hashes(contents), 0
    for head in sorted(witnesses, key=lambda head: head.seq):
        head.verify(public_key)
        if head.seq not in hashes:
            raise BadData("Ledger, step 8, witnesses: it is cut: a peer has seen entry {seq}.", seq=head.seq)
        if hashes[head.seq] != head.hash:
            raise BadData(
                "Ledger, step 8, witnesses: it is forked: the first entry that differs from what a peer has seen is "
                "one of {first} to {seq}.",
                "An export of the other copy tells which: cleanroom audit verify --export.",
                first=agreed + 1,
                seq=head.seq,
            )
        agreed = head.seq


def _hashes(contents: Contents) -> dict[int, str]:
    beginning = genesis(contents.party, bytes.fromhex(contents.key))
    return {0: beginning} | {entry.seq: entry.hash for entry in contents.entries}
