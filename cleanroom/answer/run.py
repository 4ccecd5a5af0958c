"""One run of a room at one party: match, answer, receipt, ledger, members, by the role that the contract gives it."""

import datetime as dt
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from cleanroom.answer import closing, keyed, two_party
from cleanroom.answer.members import write_members
from cleanroom.answer.notes import hear, tell
from cleanroom.answer.release import Release
from cleanroom.answer.side import Learned, Side, now
from cleanroom.errors import Refused
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.privacy.history import Question
from cleanroom.privacy.ranges import Range, size_range
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.psi import keyed as keyed_psi
from protocols.rows import Indices


@dataclass(frozen=True)
class Outcome:
    """What a party's process tells whoever started it: the release it may see, and figures of the run.

    size: exact, only where the contract gives this party its members; learned: what it got to know, in words.
    """

    size: int | None
    range: dict[str, Any] | None
    segments: list[dict[str, Any]] | None
    withheld: bool | None
    members: dict[str, Any] | None
    receipt: dict[str, Any] | None
    learned: list[Learned]
    stages: dict[str, float]
    sent: int
    enclave_memory: int


def run_room(side: Side) -> Outcome:
    """Play this party's role to the end. Raises Refused unless the contract is signed, in force and allows it."""
    contract = side.room.in_force(dt.datetime.now(dt.UTC))
    _check_query(side)
    if side.party not in contract.owners:
        return _operate(side)
    if side.members is not None and (contract.match.receiver != side.party or contract.match.output != "members"):
        raise Refused("The contract gives {party} no members.", party=side.party)
    if contract.match.protocol == "keyed":
        return _own(side)
    return _host(side) if contract.match.host == side.party else _send(side)


def _check_query(side: Side) -> None:
    """Every column asked for stands in the contract, and sums have slots or are the host's own. Raises Refused."""
    contract = side.contract
    for name in (*side.query.by, *side.query.sums):
        owner, _, column = name.partition(".")
        kind = contract.dataset(owner).column(column).kind
        if (kind == "amount") != (name in side.query.sums):
            raise Refused("{column} cannot be used like this: it is of the kind {kind}.", column=name, kind=kind)
    for dataset in contract.datasets:
        mine = {name.partition(".")[2] for name in side.query.sums if name.startswith(f"{dataset.name}.")}
        slots = contract.slots_of(dataset.name)
        if mine and contract.match.protocol == "keyed" and (slots is None or mine != set(slots.sums)):
            raise Refused("The contract declares no slots for the sums of {dataset}.", dataset=dataset.name)


# -- two parties


def _host(side: Side) -> Outcome:
    with side.channel(side.peer, "receiver", "sender") as channel:
        question = _agree(side, channel)
        result, public = two_party.match_as_host(side, channel)
        transcript = closing.transcript_of([channel])
        table, isolation = two_party.answer_as_host(side, channel, result, public)
        size = size_range(result.size, side.rules.k)
        told: dict[str, Any] = {
            "table": table,
            "size": [size.low, size.high, int(size.withheld)],
            "time": now(),
            "isolation": list(isolation),
            "transcript": transcript,
        }
        tell(channel, "release", told)
        release = Release(two_party.table_of(side, table), bool(table["withheld"]), size)
        signed = _close(side, channel, question, release, told)
        channel.confirm()
    sender = side.peer
    learned = [
        Learned("the number of rows of {party}: {rows}", {"party": sender, "rows": result.peer_rows}),
        Learned("the exact size of the overlap" if result.matched is None else "which of its own rows matched"),
        Learned("the release"),
    ]
    return _outcome(side, release, signed, learned, result.matched, result.size)


def _send(side: Side) -> Outcome:
    with side.channel(side.peer, "sender", "receiver") as channel:
        question = _agree(side, channel)
        result, key = two_party.match_as_sender(side, channel)
        if key is not None:
            with side.stage("sums"):
                two_party.open_as_sender(side, channel, key)
        told = hear(channel, "release")
        release = Release(
            two_party.table_of(side, told["table"]), bool(told["table"]["withheld"]), closing.as_range(told["size"])
        )
        signed = _close(side, channel, question, release, told)
        channel.confirm()
    learned = [
        Learned("the number of rows of {party}: {rows}", {"party": side.peer, "rows": result.peer_rows}),
        Learned("the release"),
    ]
    if key is not None:
        learned.insert(1, Learned("exact counts of unlabelled groups, and so the size of the overlap (noise is off)"))
    return _outcome(side, release, signed, learned, None, None)


def _agree(side: Side, channel: Channel) -> Question:
    """The question, over versions that both sides name; debited at both before anything is computed."""
    mine = closing.version_note(side)
    tell(channel, "version", mine)
    question = closing.question_from(side, [mine, hear(channel, "version")])
    closing.debit(side, question)
    return question


def _close(side: Side, channel: Channel, question: Question, release: Release, told: dict[str, Any]) -> SignedReceipt:
    with side.stage("receipt"):
        signed = closing.sign_with_peer(side, channel, closing.draft(side, question, release, told))
        closing.record(side, signed, closing.stored_form(release.table))
        closing.exchange_heads(side, channel, side.peer)
    return signed


# -- a neutral enclave


def _own(side: Side) -> Outcome:
    operator = side.contract.match.host
    with side.channel(operator, "owner", "operator") as channel:
        tell(channel, "version", closing.version_note(side))
        notes = hear(channel, "versions")
        question = closing.question_from(side, notes)
        closing.debit(side, question)
        sent, key = keyed.send_as_owner(side, channel)
        if key is not None:
            keyed.open_as_owner(side, channel, key)
        told = hear(channel, "release")
        table = two_party.table_of(side, keyed.table_from(side, told))
        release = Release(table, bool(told["withheld"]), closing.as_range(told["size"]))
        with side.stage("receipt"):
            receipt = closing.draft(side, question, release, told)
            mine = SignedReceipt(receipt).sign(side.party, side.home.keys)
            tell(channel, "receipt", {"receipt": mine.encode().decode()})
            signed = closing.checked(side, SignedReceipt.parse(hear(channel, "receipts")["receipt"].encode()))
            if signed.receipt != receipt:
                raise BadMessage("The operator signed another receipt.")
            closing.record(side, signed, closing.stored_form(table))
            closing.exchange_heads(side, channel, operator)
        matched = None
        if side.contract.match.output == "members" and side.contract.match.receiver == side.party:
            matched = keyed_psi.receive_matched(channel, sent)
        channel.confirm()
    other = next(version for version in question.datasets if version.owner != side.party)
    learned = [
        Learned("the number of rows of {party}: {rows}", {"party": side.peer, "rows": other.rows}),
        Learned("the release"),
    ]
    if matched is not None:
        learned.insert(1, Learned("which of its own rows matched"))
    return _outcome(side, release, signed, learned, matched, None if matched is None else len(matched))


def _operate(side: Side) -> Outcome:
    owners = side.contract.owners
    with ExitStack() as stack:
        channels = {owner: stack.enter_context(side.channel(owner, "operator", "owner")) for owner in owners}
        notes = [hear(channels[owner], "version") for owner in owners]
        question = closing.question_from(side, notes)
        closing.debit(side, question)
        for channel in channels.values():
            tell(channel, "versions", notes)
        with side.stage("enclave"), side.enclave() as enclave:
            keys = keyed.receive_as_operator(side, channels, enclave)
            told = keyed.answer_as_operator(side, channels, enclave, keys)
            told |= {"time": now(), "isolation": list(enclave.isolation)}
            told["transcript"] = closing.transcript_of([channels[owner] for owner in owners])
            for channel in channels.values():
                tell(channel, "release", told)
            signed = _countersign(side, question, channels)
            for owner, channel in channels.items():
                closing.exchange_heads(side, channel, owner)
            keyed.send_members(side, channels, enclave)
        for channel in channels.values():
            channel.confirm()
    closing.as_range(told["size"])
    learned = [
        Learned("both sides' numbers of rows, and how many pseudonyms they share"),
        Learned("how often each token of a value occurs, and exact counts of groups; no identity, label or amount"),
        Learned("the query"),
    ]
    return Outcome(
        None,
        None,
        None,
        None,
        None,
        {"digest": signed.receipt.digest()},
        learned,
        side.stages,
        side.sent,
        side.enclave_memory,
    )


def _countersign(side: Side, question: Question, channels: dict[str, Channel]) -> SignedReceipt:
    """Gather the owners' receipts, which must be one; sign it; give it to both."""
    told = [str(hear(channel, "receipt").get("receipt")) for channel in channels.values()]
    first, second = (SignedReceipt.parse(text.encode()) for text in told)
    signed = first.merge(second)
    if signed.receipt.question != question.digest():
        raise BadMessage("The owners' receipt is for another question.")
    signed = closing.checked(side, signed.sign(side.party, side.home.keys))
    closing.record(side, signed, None)
    for channel in channels.values():
        tell(channel, "receipts", {"receipt": signed.encode().decode()})
    return signed


# -- what is told


def _outcome(side: Side, release: Release, signed: SignedReceipt, learned: list[Learned], matched: Indices | None,
             size: int | None) -> Outcome:  # fmt: skip
    members = None
    if side.members is not None and matched is not None:
        with side.stage("members"):
            members = {"path": str(side.members), "rows": write_members(side, matched)}
    exact = size if matched is not None else None
    return Outcome(
        exact, _range(release.size), release.segments(), release.withheld, members,
        {**signed.receipt.plain(), "digest": signed.receipt.digest(), "file": signed.encode().decode()},
        learned, side.stages, side.sent, side.enclave_memory,
    )  # fmt: skip


def _range(size: Range) -> dict[str, Any]:
    return {"range": [size.low, size.high], "withheld": size.withheld}
