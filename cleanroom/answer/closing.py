"""How a run is put on record: the debit before anything is computed, a receipt that every party signs, the ledgers.

All recipients compute the same receipt for themselves and sign only their own; a peer's signature must be under it too.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from cleanroom.answer.notes import hear, tell
from cleanroom.answer.release import Release
from cleanroom.answer.side import Side
from cleanroom.errors import BadData
from cleanroom.ledger.chain import Head
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.receipt import SALT_BYTES, Receipt, SignedReceipt, table_digest, verify
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.privacy.ranges import Range
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.psi import keyed


def version_note(side: Side) -> dict[str, Any]:
    """What a party tells of its data before a run."""
    return {"version": side.version().plain(), "epoch": side.home.vault.epoch}


def question_from(side: Side, notes: Sequence[Any]) -> Question:
    """The canonical question, from what both owners told. Raises BadMessage."""
    try:
        versions = tuple(DatasetVersion(**note["version"]) for note in notes)
        epochs = {version.owner: int(note["epoch"]) for version, note in zip(versions, notes, strict=True)}
    except (TypeError, KeyError, ValueError) as error:
        raise BadMessage("A message is not in the form that this version knows.") from error
    expected = {(dataset.owner, dataset.name) for dataset in side.contract.datasets}
    if {(version.owner, version.name) for version in versions} != expected:
        raise BadMessage("The peer named another dataset than the contract.")
    return side.question(versions, epochs)


def debit(side: Side, question: Question) -> None:
    """Charge the question; on the disk before anything is computed."""
    with open_ledger(side.home) as ledger:
        ledger.debit(question)


def salt(side: Side, question: Question) -> bytes:
    """What hides the released table in the receipt from everybody but its recipients."""
    return keyed.subkey(side.room_key, "cleanroom/receipt-salt/1", bytes.fromhex(question.digest()))[:SALT_BYTES]


def draft(side: Side, question: Question, release: Release, told: Mapping[str, Any]) -> Receipt:
    """The receipt of a release; `told` holds what the host alone knew: time, isolation, transcript."""
    contract = side.contract
    try:
        return Receipt(
            room=contract.room,
            contract=contract.digest(),
            question=question.digest(),
            by=question.by,
            sums=question.sums,
            datasets=question.datasets,
            protocol=contract.match.protocol,
            transcript=str(told["transcript"]),
            isolation=", ".join(told["isolation"]),
            rules=side.rules,
            recipients=contract.release.recipients,
            purposes=contract.purposes,
            table=table_digest(release.table, salt(side, question)),
            rows=release.table.num_rows,
            columns=release.table.num_columns,
            people=release.size,
            withheld=release.withheld,
            time=str(told["time"]),
            epoch=question.epoch,
        )
    except (KeyError, TypeError, BadData) as error:
        raise BadMessage("A message is not in the form that this version knows.") from error


def sign_with_peer(side: Side, channel: Channel, receipt: Receipt) -> SignedReceipt:
    """Both owners' signatures under the same receipt."""
    mine = SignedReceipt(receipt).sign(side.party, side.home.keys)
    tell(channel, "receipt", {"signature": mine.signatures[side.party]})
    theirs = str(hear(channel, "receipt").get("signature"))
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
        ledger.record_release(receipt, answer)


def exchange_heads(side: Side, channel: Channel, peer: str) -> None:
    """Both show the head of their ledger, and each countersigns the other's."""
    key = bytes.fromhex(side.contract.party(peer).signing)
    with open_ledger(side.home) as ledger:
        mine = ledger.head()
        tell(channel, "ledger.head", mine.plain())
        signature = ledger.countersign(Head.parse(hear(channel, "ledger.head")), key)
        tell(channel, "ledger.cosign", {"signature": signature.hex()})
        theirs = str(hear(channel, "ledger.cosign").get("signature"))
        ledger.accept(peer, key, mine, bytes.fromhex(theirs))


def transcript_of(channels: Sequence[Channel]) -> str:
    """One digest over the sessions of a run, in the order of the contract's datasets."""
    return hashlib.sha256(b"".join(channel.transcript() for channel in channels)).hexdigest()


def as_range(value: Any) -> Range:
    """The range of [low, high, withheld]. Raises BadMessage."""
    try:
        low, high, withheld = value
        return Range(int(low), int(high), bool(withheld))
    except (TypeError, ValueError, BadData) as error:
        raise BadMessage("A message is not in the form that this version knows.") from error


def stored_form(table: pa.Table) -> bytes:
    """A released table as it is kept: an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
