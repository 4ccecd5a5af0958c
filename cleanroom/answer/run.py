"""One run of a room at one party: match, answer, receipt, ledger, members, by the role that the contract gives it."""

import datetime as dt
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from cleanroom.answer import (
    allowed,
    alone,
    closing,
    crowd,
    crowd_members,
    heads,
    keyed_operator,
    keyed_owner,
    matching,
    planning,
    tables,
    two_party,
)
from cleanroom.answer.members import write_members
from cleanroom.answer.notes import hear, malformed, reading, take, tell
from cleanroom.answer.release import MINOR, Release
from cleanroom.answer.side import Learned, Side, now
from cleanroom.answer.slots import reach
from cleanroom.errors import BadData, Refused
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.privacy.history import Question
from cleanroom.privacy.padding import Quantum
from cleanroom.privacy.ranges import Range, size_range
from cleanroom.rooms import room_secrets
from cleanroom.sources import code_version
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.rows import Indices


@dataclass(frozen=True)
class Outcome:
    """What a party's process tells whoever started it: the release it may see, and figures of the run.

    size: exact, only where the contract gives this party its members; same: of an answer computed again, whether it was
    the same; charged: whether this run cost something; noise: how much is in the numbers, None without; learned: what
    it got to know, in words.
    """

    size: int | None
    range: dict[str, Any] | None
    segments: list[dict[str, Any]] | None
    withheld: bool | None
    same: bool | None
    charged: bool
    noise: dict[str, Any] | None
    members: dict[str, Any] | None
    receipt: dict[str, Any] | None
    learned: list[Learned]
    stages: dict[str, float]
    sent: int
    enclave_memory: int


def run_room(side: Side) -> Outcome:
    """Play this party's role to the end. Raises Refused unless the contract is signed, in force and allows it."""
    contract = side.room.in_force(dt.datetime.now(dt.UTC))
    allowed.check(side)
    if side.board is not None:
        return _outcome(side, *alone.play(side, side.board), None, None)
    if side.party not in contract.owners:
        return _operate(side)
    if side.room.annexes is None:
        raise BadData("This file has no labels, which a data owner needs.", "Ask for the file that is for the owners.")
    if side.members is not None and (contract.match.receiver != side.party or contract.match.output != "members"):
        raise Refused("The contract gives {party} no members.", party=side.party)
    if contract.match.protocol == "keyed":
        room_secrets.check_here(side.home, side.room)  # before anybody is charged
        return _own(side)
    return _host(side) if contract.match.host == side.party else _send(side)


# -- two parties


def _host(side: Side) -> Outcome:
    with side.channel(side.peer, "receiver", "sender") as channel:
        question, answered = _agree(side, channel)
        if answered:
            channel.confirm()
            return _recalled(side, question)
        result, public = two_party.match_as_host(side, channel)
        if result.peer_rows != _peer_rows(side, question):
            raise malformed()
        transcript = closing.transcript_of([channel])
        with Quantum().padded():
            table, isolation, people = two_party.answer_as_host(side, channel, result, public, question)
        side.same = table.pop("same", None)  # stays here: of data that a peer could alter it would tell a person
        size = size_range(two_party.people_shown(table, question) if question.sigma else people, side.rules.k)
        told: dict[str, Any] = {
            "table": table,
            "size": [size.low, size.high, int(size.withheld)],
            "time": now(),
            "isolation": list(isolation),
            "code": code_version(),
            "transcript": transcript,
        }
        tell(channel, "release", told)
        release = _heard(side, told, table, None)
        signed = _close(side, channel, question, release, told)
        if crowd.gives(side.contract, side.crowd, release.first if side.plan else 0) and result.matched is not None:
            _keep_crowd(side, signed, result.matched, release.first)
        channel.confirm()
    sender = side.peer
    learned = [
        Learned("the number of rows of {party}: {rows}", {"party": sender, "rows": result.peer_rows}),
        Learned("the exact size of the overlap" if result.matched is None else "which of its own rows matched"),
        *matching.learned(side),
        *_by_updates(side),
        Learned("the release"),
    ]
    return _outcome(side, release, signed, learned, result.matched, result.size)


def _send(side: Side) -> Outcome:
    with side.channel(side.peer, "sender", "receiver") as channel:
        question, answered = _agree(side, channel)
        if answered:
            channel.confirm()
            return _recalled(side, question)
        result, key = two_party.match_as_sender(side, channel)
        theirs = _peer_rows(side, question)
        if not matching.declares(side.contract.match.protocol, theirs, result.peer_rows):
            raise malformed()
        transcript, opened = closing.transcript_of([channel]), None
        if key is not None:
            with side.stage("sums"):
                opened = two_party.open_as_sender(side, channel, key, question)
        told = hear(channel, "release")
        if take(told, "transcript", str) != transcript:
            raise BadMessage("The two sides did not see the same messages.")
        release = _heard(side, told, take(told, "table", dict), opened)
        signed = _close(side, channel, question, release, told)
        channel.confirm()
    learned = [Learned("the number of rows of {party}: {rows}", {"party": side.peer, "rows": theirs})]
    if side.contract.match.protocol == "oprf":
        asked = {"party": side.peer, "rows": result.peer_rows}
        learned.append(Learned("how many identities {party} asked about: {rows}", asked))
    learned += _by_updates(side)
    if key is not None and question.sigma:
        learned.append(Learned("counts of unlabelled groups, also of withheld ones, under the other side's noise"))
    elif key is not None:
        learned.append(Learned("exact counts of unlabelled groups, and so the size of the overlap (noise is off)"))
    return _outcome(side, release, signed, [*learned, Learned("the release")], None, None)


def _by_updates(side: Side) -> list[Learned]:
    """What a match between two parties that goes on from its last run tells beside its result."""
    updated = side.contract.match.updates
    return [Learned("how many rows of {party} come and go within a key epoch", {"party": side.peer})] if updated else []


def _agree(side: Side, channel: Channel) -> tuple[Question, bool]:
    """The question, over versions that both sides name, debited at both before anything is computed; and whether there
    is nothing to compute, since both hold the answer."""
    mine = closing.version_note(side)
    tell(channel, "version", mine)
    question = closing.question_from(side, [mine, hear(channel, "version")], mine)
    standing = closing.standing(side, question)
    tell(channel, "standing", standing)
    return question, closing.settle(side, question, [standing, hear(channel, "standing")])


def _close(side: Side, channel: Channel, question: Question, release: Release, told: dict[str, Any]) -> SignedReceipt:
    with side.stage("receipt"):
        signed = closing.sign_with_peer(side, channel, closing.draft(side, question, release, told))
        _record(side, signed, release)
        closing.exchange_heads(side, channel, side.peer)
    return signed


def _keep_crowd(side: Side, signed: SignedReceipt, matched: Indices, noised: int) -> None:
    """The members of a crowd, of whom this party addresses: of what it brought, the rows of its dataset. noised: how
    many there are."""
    if side.crowd is not None and side.chosen is not None:
        rows = matched[matched < side.chosen.rows]
        crowd_members.keep(side.home, side.contract, side.crowd, rows, signed.receipt.digest(), noised)


def _record(side: Side, signed: SignedReceipt, release: Release) -> None:
    """The release into the ledger, and a plan into the home."""
    closing.record(side, signed, release.table)
    if side.plan and side.crowd is None and not side.again:
        planning.keep(side, release, signed)


def _recalled(side: Side, question: Question) -> Outcome:
    """The answer that was given before: nothing is computed, and nothing charged."""
    release, signed = closing.recall(side.home, question.digest())
    if side.plan and side.crowd is None:
        planning.keep(side, release, signed)
    return _outcome(side, release, signed, [Learned("the release, as it was released before")], None, None)


# -- a neutral enclave


def _own(side: Side) -> Outcome:
    operator = side.contract.match.host
    with side.channel(operator, "owner", "operator") as channel:
        mine = closing.version_note(side)
        tell(channel, "version", mine)
        heard = hear(channel, "versions")
        heads.check_not_set_back(side, [heard])
        question = closing.question_from(side, take(heard, "notes", list), mine)
        standing = closing.standing(side, question)
        tell(channel, "standing", standing)
        standings = hear(channel, "standings")
        if type(standings) is not list or standing not in standings:
            raise malformed()
        if closing.settle(side, question, standings):
            channel.confirm()
            return _recalled(side, question)
        sending = keyed_owner.send_as_owner(side, channel)
        opened = keyed_owner.open_as_owner(side, channel, sending.key) if sending.key is not None else None
        told = hear(channel, "release")
        release = _heard(side, told, told if side.plan else keyed_owner.table_from(side, told), opened)
        with side.stage("receipt"):
            receipt = closing.draft(side, question, release, told)
            tell(channel, "receipt", {"receipt": _text(SignedReceipt(receipt).sign(side.party, side.home.keys))})
            gathered = hear(channel, "receipts")
            with reading():
                signed = closing.checked(side, SignedReceipt.parse(take(gathered, "receipt", str).encode()))
            if signed.receipt != receipt:
                raise BadMessage("The operator signed another receipt.")
            _record(side, signed, release)
            closing.exchange_heads(side, channel, operator)
        matched = keyed_owner.receive_members(side, channel, sending, release)
        if side.crowd is not None and matched is not None:
            _keep_crowd(side, signed, matched, release.first)
        channel.confirm()
    learned = [
        Learned("the number of rows of {party}: {rows}", {"party": other.owner, "rows": other.rows})
        for other in question.datasets if other.owner != side.party
    ]  # fmt: skip
    if matched is not None:
        learned.append(Learned("which of its own rows matched"))
    learned.append(Learned("the release"))
    return _outcome(side, release, signed, learned, matched, None if matched is None else len(matched))


def _operate(side: Side) -> Outcome:
    owners = side.owners
    with ExitStack() as stack:
        channels = {owner: stack.enter_context(side.channel(owner, "operator", "owner")) for owner in owners}
        notes = [hear(channels[owner], "version") for owner in owners]
        question = closing.question_from(side, notes)
        side.query = replace(side.query, where=question.where)
        allowed.check(side)
        for channel in channels.values():
            tell(channel, "versions", {"notes": notes, "seen": heads.seen(side)})
        standings = [closing.standing(side, question), *(hear(each, "standing") for each in channels.values())]
        for channel in channels.values():
            tell(channel, "standings", standings)
        if closing.settle(side, question, standings):
            for channel in channels.values():
                channel.confirm()
            return _nothing_new(side, question)
        summed = [
            version.rows for version in question.datasets
            if side.columns(side.query.sums, side.contract.dataset_of(version.owner))
        ]  # fmt: skip
        with side.stage("enclave"), side.enclave(sum(summed)) as enclave:
            gathered = keyed_operator.receive_as_operator(side, channels, enclave)
            with Quantum().padded():
                told = keyed_operator.answer_as_operator(side, channels, enclave, gathered.keys, question, notes)
            side.same = told.pop("same", None)  # stays here: an owner that alters its data would be told a person
            told |= {"time": now(), "isolation": list(enclave.isolation), "code": code_version()}
            told["transcript"] = closing.transcript_of([channels[owner] for owner in owners])
            for channel in channels.values():
                tell(channel, "release", told)
            signed = _countersign(side, question, told, channels)
            for owner, channel in channels.items():
                closing.exchange_heads(side, channel, owner)
            keyed_operator.send_members(side, channels, enclave, gathered, told)
        for channel in channels.values():
            channel.confirm()
    learned = [
        *keyed_operator.learned(side),
        Learned("how often each token of a value occurs, and exact counts of groups; no identity, label or amount"),
        Learned("the query"),
        *([Learned("what changed between versions of a dataset")] if side.contract.match.updates else []),
    ]
    return _of_operator(side, signed.receipt.digest(), learned)


def _nothing_new(side: Side, question: Question) -> Outcome:
    """Of an operator, where all hold the answer already."""
    return _of_operator(side, closing.receipt_recorded(side, question), [])


def _of_operator(side: Side, receipt: str, learned: list[Learned]) -> Outcome:
    """It sees no release, and tells its receipt's digest only."""
    return Outcome(None, None, None, None, side.same, side.charged, None, None, {"digest": receipt}, learned,
                   side.stages, side.sent, side.enclave_memory)  # fmt: skip


def _countersign(side: Side, question: Question, told: dict[str, Any], channels: dict[str, Channel]) -> SignedReceipt:
    """Gather the owners' receipts, which must be one, and of this run; sign it; give it to all of them."""
    notes = [hear(channel, "receipt") for channel in channels.values()]
    with reading():
        first, *others = (SignedReceipt.parse(take(note, "receipt", str).encode()) for note in notes)
        signed = reduce(SignedReceipt.merge, others, first)
        rows = len(told["people"])
        size, table = closing.as_range(told["size"], side.rules.k), signed.receipt.table  # salted: the owners' to know
        if signed.receipt != closing.receipt_of(side, question, told, table, rows, size, told["withheld"]):
            raise BadMessage("The owners' receipt is for another question.")
        signed = closing.checked(side, signed.sign(side.party, side.home.keys))
    closing.record(side, signed, None)
    for channel in channels.values():
        tell(channel, "receipts", {"receipt": _text(signed)})
    return signed


def _text(signed: SignedReceipt) -> str:
    return signed.encode().decode()


# -- what is told


def _outcome(side: Side, release: Release, signed: SignedReceipt, learned: list[Learned], matched: Indices | None,
             size: int | None) -> Outcome:  # fmt: skip
    members = None
    if side.members is not None and matched is not None:
        with side.stage("members"):
            members = {"path": str(side.members), "rows": write_members(side, matched)}
    exact = size if matched is not None else None
    return Outcome(
        exact, _range(release.size), [] if side.plan or side.board else release.segments(), release.withheld,
        side.same, side.charged,
        _noise(side, signed.receipt.rho_micro),
        members,
        {**signed.receipt.plain(), "digest": signed.receipt.digest(), "file": signed.encode().decode()},
        learned, side.stages, side.sent, side.enclave_memory,
    )  # fmt: skip


def _noise(side: Side, rho_micro: int) -> dict[str, Any] | None:
    """Of the noise: sigma in persons, least count shown, half widths of 95 % intervals by column, in persons and major
    units, and the price."""
    rules = side.rules
    if not rules.sigma:
        return None
    widths = {name: float(rules.half_width * reach(side.term(name)) / MINOR) for name in side.query.sums}
    return {"sigma": rules.sigma, "draws": rules.draws, "least": rules.least, "people": rules.half_width,
            "sums": widths, "rho_micro": rho_micro}  # fmt: skip


def _heard(side: Side, told: Any, table: dict[str, Any], opened: list[int] | None) -> Release:
    """A release as the host told it; `opened`: the counts that this party decrypted for it. Raises BadMessage."""
    if side.plan:
        return planning.heard(side, table)
    size = closing.as_range(take(told, "size", list), side.rules.k)
    release = Release(tables.table_of(side, table), take(table, "withheld", bool), size)
    if opened is not None and sorted(opened) != sorted(table["people"]):
        raise BadMessage("The released counts are not those that were opened.")
    return release


def _peer_rows(side: Side, question: Question) -> int:
    """The rows that the peer said beforehand that it has, which its part in the match must bear out."""
    return next(version for version in question.datasets if version.owner == side.peer).rows


def _range(size: Range) -> dict[str, Any]:
    return {"range": [size.low, size.high], "withheld": size.withheld}
