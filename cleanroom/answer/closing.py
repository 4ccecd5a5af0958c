"""How a run is put on record: the debit before anything is computed, a receipt that every party signs, the ledgers.

All recipients compute the same receipt for themselves and sign only their own; a peer's signature must be under it too.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from cleanroom.answer.notes import hear, malformed, reading, take, tell, whole_numbers
from cleanroom.answer.release import Release
from cleanroom.answer.side import Side
from cleanroom.errors import BadData, Refused
from cleanroom.keys import verify as verify_signature
from cleanroom.ledger.chain import COSIGN_LABEL, Head, is_digest
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.receipt import SALT_BYTES, Receipt, SignedReceipt, table_digest, verify
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.privacy.ranges import Range, size_range
from protocols.channel import Channel
from protocols.errors import BadMessage, ProtocolError
from protocols.psi import keyed

_CLOCKS_APART = dt.timedelta(days=1)


def version_note(side: Side) -> dict[str, Any]:
    """What a party tells of its data and of what it was asked, before a run."""
    asked = {"by": list(side.query.by), "sums": list(side.query.sums)}
    forms = side.identity_forms()
    told = {"version": side.version().plain(), "epoch": side.home.vault.epoch, "form": forms[0], **asked}
    return {**told, "also": forms[1:]} if len(forms) > 1 else told


def question_from(side: Side, notes: Any, mine: Mapping[str, Any] | None = None) -> Question:
    """The canonical question, from what both owners told; `mine`: of an owner, what must stand among it.

    Raises BadMessage, ProtocolError where the sides ask different things, Refused where they cannot match.
    """
    if type(notes) is not list or (mine is not None and mine not in notes):
        raise malformed()
    versions = tuple(_version(note) for note in notes)
    if sorted((version.owner, version.name) for version in versions) != sorted(
        (dataset.owner, dataset.name) for dataset in side.contract.datasets
    ):
        raise BadMessage("The peer named another dataset than the contract.")
    for version, note in zip(versions, notes, strict=True):
        if (take(note, "by", list), take(note, "sums", list)) != (list(side.query.by), list(side.query.sums)):
            raise ProtocolError("The parties were not asked the same question.", "Name the same columns everywhere.")
        if version.rows > side.contract.dataset(version.name).rows:
            raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=version.name)
    _check_forms(side, notes)
    return side.question(versions, {v.owner: take(n, "epoch", int) for v, n in zip(versions, notes, strict=True)})


def _check_forms(side: Side, notes: list[Any]) -> None:
    """Raises Refused where the sides cannot match by an identity, or by one of several."""
    if len({take(note, "form", str) for note in notes}) > 1:
        if not side.contract.datasets[0].also:
            raise Refused(
                "The two sides normalise identities differently.", "Use the same version and profile on both."
            )
        raise _differs(side.contract.datasets[0].identity)
    also = side.contract.datasets[0].also
    forms = [take(note, "also", list) for note in notes] if also else []
    if any(len(each) != len(also) for each in forms):
        raise malformed()
    for at, identity in enumerate(also):
        if any(each[at] != forms[0][at] for each in forms):
            raise _differs(identity.kind)


def _differs(kind: str) -> Refused:
    return Refused(
        "The two sides normalise or hash the identity {kind} differently.",
        "Use the same version, profile and digest on both.",
        kind=kind,
    )


def _version(note: Any) -> DatasetVersion:
    """The version of a dataset that a note names. Raises BadMessage."""
    told = take(note, "version", dict)
    owner, name, manifest = (take(told, field, str) for field in ("owner", "name", "manifest"))
    version = DatasetVersion(owner, name, manifest, take(told, "rows", int))
    if version.plain() != told or version.rows < 0 or not is_digest(version.manifest):
        raise malformed()
    return version


def debit(side: Side, question: Question) -> None:
    """Charge the question; on the disk before anything is computed."""
    with open_ledger(side.home) as ledger:
        ledger.debit(question)


def salt(side: Side, question: Question) -> bytes:
    """What hides the released table in the receipt from everybody but its recipients."""
    return keyed.subkey(side.room_key, "cleanroom/receipt-salt/1", bytes.fromhex(question.digest()))[:SALT_BYTES]


def draft(side: Side, question: Question, release: Release, told: Mapping[str, Any]) -> Receipt:
    """The receipt of a release; `told` holds what the host alone knew: time, isolation, transcript."""
    table = table_digest(release.table, salt(side, question))
    return receipt_of(side, question, told, table, release.table.num_rows, release.size, release.withheld)


def receipt_of(side: Side, question: Question, told: Mapping[str, Any], table: str, rows: int, size: Range,
               withheld: bool) -> Receipt:  # fmt: skip
    """The receipt of `rows` groups whose salted digest is `table`. Raises BadMessage."""
    contract = side.contract
    with reading():
        return Receipt(
            room=contract.room,
            contract=contract.digest(),
            question=question.digest(),
            by=question.by,
            sums=question.sums,
            datasets=question.datasets,
            protocol=contract.match.protocol,
            transcript=take(told, "transcript", str),
            isolation=", ".join(take(told, "isolation", list)),
            rules=side.rules,
            recipients=contract.release.recipients,
            purposes=contract.purposes,
            table=table,
            rows=rows,
            columns=len(question.by) + 1 + len(question.sums),
            people=size,
            withheld=withheld,
            time=_of_now(side, take(told, "time", str)),
            epoch=question.epoch,
        )


def _of_now(side: Side, time: str) -> str:
    """The host's time, if the contract ran then and it is about ours: whoever audits the receipt goes by it."""
    moment = dt.datetime.fromisoformat(time)
    start, end = (dt.datetime.fromisoformat(text) for text in (side.contract.created, side.contract.expires))
    if not start <= moment < end or abs(dt.datetime.now(dt.UTC) - moment) > _CLOCKS_APART:
        raise BadMessage("The time of the receipt is not that of this run.", "Check the clocks of both sides.")
    return time


def sign_with_peer(side: Side, channel: Channel, receipt: Receipt) -> SignedReceipt:
    """Both owners' signatures under the same receipt."""
    mine = SignedReceipt(receipt).sign(side.party, side.home.keys)
    tell(channel, "receipt", {"signature": mine.signatures[side.party]})
    theirs = take(hear(channel, "receipt"), "signature", str)
    with reading():
        return checked(side, SignedReceipt(receipt, {**mine.signatures, side.peer: theirs}))


def checked(side: Side, signed: SignedReceipt) -> SignedReceipt:
    """The receipt, if every party of the contract signed it; raises BadData else."""
    keys = {party.name: bytes.fromhex(party.signing) for party in side.contract.parties}
    verify(signed, keys, contract=side.contract.digest())
    return signed


def record(side: Side, signed: SignedReceipt, answer: bytes | None) -> None:
    """The match and the release into this party's ledger."""
    contract, receipt = side.contract, signed.receipt
    match = contract.match
    with open_ledger(side.home) as ledger:
        ledger.append("match", {
            "contract": receipt.contract, "protocol": match.protocol, "transcript": receipt.transcript,
            "host": match.host, "receiver": match.receiver, "output": match.output,
        })  # fmt: skip
        first = ledger.record_release(receipt, answer)
    if first.body["table"] != receipt.table:
        raise BadData("The same question got another answer than before.", "Run: cleanroom audit verify.")


def exchange_heads(side: Side, channel: Channel, peer: str) -> None:
    """Both show the head of their ledger, and each countersigns the other's."""
    key = bytes.fromhex(side.contract.party(peer).signing)
    with open_ledger(side.home) as ledger:
        mine = ledger.head()
        tell(channel, "ledger.head", mine.plain())
        head = hear(channel, "ledger.head")
        with reading():
            theirs = Head.parse(head)
            theirs.verify(key)
            if theirs.party != peer:  # a name that no contract knows would spoil this ledger for good
                raise ValueError
        tell(channel, "ledger.cosign", {"signature": ledger.countersign(theirs, key).hex()})
        signature = hear(channel, "ledger.cosign")
        with reading():
            cosigned = bytes.fromhex(take(signature, "signature", str))
            verify_signature(key, COSIGN_LABEL, mine.message(), cosigned)
        ledger.accept(peer, key, mine, cosigned)


def transcript_of(channels: Sequence[Channel]) -> str:
    """One digest over the sessions of a run, in the order of the contract's datasets."""
    return hashlib.sha256(b"".join(channel.transcript() for channel in channels)).hexdigest()


def as_range(value: Any, k: int) -> Range:
    """The range of [low, high, withheld], one of those that a room with this `k` shows. Raises BadMessage."""
    low, high, withheld = whole_numbers(value, 3)
    found = size_range(low, k)
    if (found.low, found.high, int(found.withheld)) != (low, high, withheld):
        raise malformed()
    return found


def stored_form(table: pa.Table) -> bytes:
    """A released table as it is kept: an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
