"""A board's run: noised counts and sums of all persons of one dataset, answered by its owner alone. Nobody is matched.

asker          owner
version   ⇄    version       the question: of the owner's data as they are now
standing  ⇄    standing      both debit, the owner by its budget
          ←    release       every declared cell of every table, empty ones too, and the sums, each with noise
receipt   ⇄    receipt       both sign, record, and show the heads of their ledgers

No operator and no other owner hears of it. The exact numbers stay with the owner, sealed in its ledger beside what it
told; asked again, by whichever owner of the room, the same numbers are told and nothing is charged.
"""

import datetime as dt
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.answer import board as boards
from cleanroom.answer import closing, heads
from cleanroom.answer.board import BoardAsked
from cleanroom.answer.draws import check_count, once, replayed
from cleanroom.answer.notes import hear, malformed, reading, take, tell, whole_numbers
from cleanroom.answer.release import Release
from cleanroom.answer.side import Learned, Side, now
from cleanroom.answer.slots import reach
from cleanroom.enclave.query import split_name
from cleanroom.errors import BadData, Refused
from cleanroom.insight import coded
from cleanroom.insight.board_store import Boards
from cleanroom.insight.tables import Tables
from cleanroom.ledger.chain import is_digest
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.privacy import noise
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.privacy.noise import MOST_SCALE, MOST_SIGMAS
from cleanroom.privacy.padding import Quantum
from cleanroom.privacy.ranges import size_range
from cleanroom.rooms.store import Room
from cleanroom.sources import code_version
from protocols.channel import Channel
from protocols.errors import BadMessage, ProtocolError

NUMBERS = "numbers"
"""The one column of a board as the ledger keeps it: all tables, one after the other, then the sums."""

Played = tuple[Release, SignedReceipt, list[Learned]]


def check(side: Side, board: BoardAsked) -> None:
    """Raises Refused where the room allows no such board, or its noise or its sums would not fit."""
    query = side.query
    boards.check(side.contract, board, query.by, query.sums)
    if query.where or side.plan or side.over or not side.sigma or side.party not in side.owners:
        raise Refused("A board is of all persons of a dataset, with noise, between its owner and another.")
    check_count(sum(prod(shape) for shape in _shapes(side, board)), 1)
    rows = side.contract.dataset(board.dataset).rows
    for name in query.sums:
        most = reach(side.term(name))
        if side.sigma * most > MOST_SCALE or most * (rows + MOST_SIGMAS * side.sigma) >= 1 << 63:
            raise Refused("Sums of {column} with their noise do not fit into 64 bits.",
                          "Declare narrower bounds, fewer rows or a coarser unit.", column=name)  # fmt: skip


def play(side: Side, board: BoardAsked) -> Played:
    """This party's role to the end: that of who asks, or of the owner who answers."""
    asks = side.party == board.asker
    roles = ("asker", "owner") if asks else ("owner", "asker")
    with side.channel(side.peer, *roles) as channel:
        mine = _note(side, board, asks=asks)
        tell(channel, "version", mine)
        theirs = hear(channel, "version")
        heads.check_not_set_back(side, [mine, theirs])
        told = theirs if asks else mine
        question, day = _question(side, board, mine, theirs, told), _day(take(told, "day", str))
        standing = closing.standing(side, question)
        tell(channel, "standing", standing)
        if closing.settle(side, question, [standing, hear(channel, "standing")]):
            channel.confirm()
            release, signed = closing.recall(side.home, question.digest())
        else:
            release, signed = _released(side, channel, board, question, asks=asks)
            channel.confirm()
    if asks and not side.again:
        kept = tables_of(side.room, signed, release.table.column(NUMBERS).to_numpy(), day)
        Boards(side.home).keep(side.room.contract.room, kept, question.datasets[0].manifest)
    return release, signed, _learned(side, board, question, asks=asks)


def _released(side: Side, channel: Channel, board: BoardAsked, question: Question, *, asks: bool) -> tuple[
    Release, SignedReceipt
]:  # fmt: skip
    """The numbers, the receipt under them that both signed, and both ledgers' entries."""
    transcript = closing.transcript_of([channel])
    if asks:
        told = hear(channel, "release")
        if take(told, "transcript", str) != transcript:
            raise BadMessage("The two sides did not see the same messages.")
    else:
        with side.stage("count"), Quantum().padded():
            numbers = _answered(side, board, question)
        size = size_range(max(0, numbers[0]), side.rules.k)  # the first table is the total
        told = {NUMBERS: numbers, "size": [size.low, size.high, int(size.withheld)], "withheld": False, "time": now(),
                "isolation": [], "code": code_version(), "transcript": transcript}  # fmt: skip
        tell(channel, "release", told)
    release = _heard(side, board, told)
    with side.stage("receipt"):
        signed = closing.sign_with_peer(side, channel, closing.draft(side, question, release, told))
        closing.record(side, signed, release.table)
        closing.exchange_heads(side, channel, side.peer)
    return release, signed


# -- the question


def _note(side: Side, board: BoardAsked, *, asks: bool) -> dict[str, Any]:
    """What a party tells before: what it was asked; the owner of its data too, as they are now."""
    asked = {"board": board.plain(), "sums": list(side.query.sums), "sigma": side.sigma, "seen": heads.seen(side)}
    if asks:
        return asked
    return {**asked, "version": side.version().plain(), "epoch": side.home.vault.epoch,
            "day": report_date(side.manifest.meta, side.manifest.created).isoformat()}  # fmt: skip


def report_date(meta: Any, created: str) -> dt.date:
    """The day that a version of a dataset is about: as its import says, else the day before it was made, in China."""
    if isinstance(meta.get("as_of"), str):
        return dt.date.fromisoformat(meta["as_of"])
    made = dt.datetime.fromisoformat(created).astimezone(dt.UTC)
    return (made + dt.timedelta(hours=8)).date() - dt.timedelta(days=1)


def _question(side: Side, board: BoardAsked, mine: Any, theirs: Any, told: Any) -> Question:
    """The canonical question. Raises ProtocolError where both were not asked the same, BadMessage, Refused."""
    for name in ("board", "sums", "sigma"):
        if take(theirs, name, type(mine[name])) != mine[name]:
            raise ProtocolError("The parties were not asked the same question.", "Ask for the same accuracy.")
    said = take(told, "version", dict)
    owner, name, manifest = (take(said, field, str) for field in ("owner", "name", "manifest"))
    version = DatasetVersion(owner, name, manifest, take(said, "rows", int))
    dataset = side.contract.dataset(board.dataset)
    if version.plain() != said or (owner, name) != (dataset.owner, dataset.name) or not is_digest(manifest):
        raise malformed()
    if not 0 <= version.rows <= dataset.rows:
        raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=name)
    epoch = f"{owner}:{take(told, 'epoch', int)}"
    question = Question(side.query.by, side.query.sums, side.contract.digest(), (version,), epoch, (), side.sigma,
                        over=(name,), tables=board.tables)  # fmt: skip
    if side.expected and question.digest() != side.expected:
        raise Refused("The datasets are of other versions than those of the receipt.", "It can no longer be replayed.")
    return question


def _day(text: str) -> dt.date:
    with reading():
        return dt.date.fromisoformat(text)


# -- the numbers


def _answered(side: Side, board: BoardAsked, question: Question) -> list[int]:
    """At the owner: all numbers with noise, kept before they are told."""

    def exact() -> list[int]:
        annexes = {name: side.room.annex(*split_name(name)) for name in board.columns}
        columns = {name: coded.codes(side.home, side.manifest, annexes[name]) for name in board.columns}
        sizes = {name: side.term(name).cells for name in board.columns}
        from cleanroom.insight import counting  # numba: only where a board is counted

        counts = counting.count(columns, sizes, board.tables, side.manifest.rows)
        sums = [coded.total(side.home, side.manifest, side.term(name)) for name in side.query.sums]
        side.check_unchanged()
        return [*np.concatenate([each.ravel() for each in counts]).tolist(), *sums]

    def compute() -> dict[str, Any]:
        found = exact()
        counts = len(found) - len(side.query.sums)
        drawn = noise.draw([side.sigma], counts)[:, 0].tolist()
        for name in side.query.sums:
            drawn += noise.draw([side.sigma * reach(side.term(name))], 1)[0].tolist()
        return {NUMBERS: [a + b for a, b in zip(found, drawn, strict=True)], "exact": found}

    kept = once(side, question, compute)
    if side.again:
        side.same = replayed(side, question, same=exact() == kept["exact"])
    numbers: list[int] = kept[NUMBERS]
    return numbers


def _heard(side: Side, board: BoardAsked, told: Any) -> Release:
    """The board as it was told: all numbers that it has, none that cannot be. Raises BadMessage."""
    cells = sum(prod(shape) for shape in _shapes(side, board))
    numbers = whole_numbers(take(told, NUMBERS, list), cells + len(side.query.sums))
    with reading():
        column = pa.array(numbers, pa.int64())
    if take(told, "withheld", bool):
        raise malformed()
    return Release(pa.table({NUMBERS: column}), False, closing.as_range(take(told, "size", list), side.rules.k))


def _shapes(side: Side, board: BoardAsked) -> list[tuple[int, ...]]:
    return [tuple(side.term(name).cells for name in table) for table in board.tables]


def tables_of(room: Room, signed: SignedReceipt, numbers: NDArray[np.int64], day: dt.date) -> Tables:
    """What a board's numbers are, by labels. Raises BadData where the receipt is of no board of the room."""
    receipt = signed.receipt
    dataset = room.contract.dataset(receipt.over[0])
    terms = {name: dataset.column(split_name(name)[1]) for name in (*receipt.by, *receipt.sums)}
    shapes = [tuple(terms[name].cells for name in table) for table in receipt.tables]
    ends = list(accumulate(map(prod, shapes)))
    if len(numbers) != ends[-1] + len(receipt.sums):
        raise BadData("A stored answer is not the one that was released.", "Run: cleanroom audit verify.")
    counts = {
        tuple(terms[name].name for name in table): numbers[end - prod(shape) : end].reshape(shape).copy()
        for table, shape, end in zip(receipt.tables, shapes, ends, strict=True)
    }
    sums = dict(zip((terms[name].name for name in receipt.sums), map(int, numbers[ends[-1] :]), strict=True))
    return Tables(
        dataset=dataset.name,
        report_date=day,
        columns={terms[name].name: room.annex(dataset.name, terms[name].name).labels for name in receipt.by},
        counts=counts,
        sums=sums,
        sum_reach={name: reach(dataset.column(name)) for name in sums},
        sigma=receipt.rules.sigma,
        k=receipt.rules.k,
        least=receipt.rules.least,
        made=receipt.time,
        receipt=receipt.digest(),
        room=receipt.room,
    )


def _learned(side: Side, board: BoardAsked, question: Question, *, asks: bool) -> list[Learned]:
    if not asks:
        return [Learned("which board of {dataset} {party} asked for", {"dataset": board.dataset, "party": board.asker})]
    rows = {"party": side.peer, "rows": question.datasets[0].rows}
    return [Learned("the number of rows of {party}: {rows}", rows),
            Learned("numbers with noise about all persons of {dataset}", {"dataset": board.dataset})]  # fmt: skip
