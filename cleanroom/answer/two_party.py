"""The two-party room: the receiver hosts the enclave and groups by its own columns; the sender holds the slots' key.

sender               host
             match                  the host learns its matched rows (join-sum: their number) and opens labels
               ←     sums           groups in a secret order, codes relabelled, amounts masked, all re-randomised
opened         →                    counts and masked amounts of released cells only
               ←     release        the table, for the sender as a recipient
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.answer import matching
from cleanroom.answer.notes import hear, malformed, receive_rows, send_rows, take, tell, whole_numbers
from cleanroom.answer.release import labelled
from cleanroom.answer.side import Side
from cleanroom.answer.slots import Codes, cell_layout, most_groups, sizes, uncrossed
from cleanroom.enclave.query import PEOPLE, SLOTS, Groups, Query, split_name
from cleanroom.errors import Refused
from cleanroom.privacy.threshold import release_groups
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.paillier import answer, cipher
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import permutation, schema, to_batch

LOAD_ROWS = 2048
MOST_GROUPS = 100_000
Table = dict[str, Any]
"""A released table in codes: by (column → codes), people, sums (column → minor units), withheld."""


# -- the host


def match_as_host(side: Side, channel: Channel) -> tuple[ReceiverResult, PublicKey | None]:
    """Learn what the contract's protocol gives the receiver, with the sender's labels where it has slots."""
    theirs = side.contract.dataset_of(side.peer)
    slots = side.slots_asked(theirs)
    public, width = None, 0
    if slots:
        public = side.peer_paillier(slots)
        width = cell_layout(side.contract, theirs, slots).plaintexts * public.width
    with side.stage("match"):
        result = matching.receive(side, channel, width)
    if result.peer_rows > theirs.rows:
        raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=theirs.name)
    if public is not None:
        with side.stage("check"):
            for part in range(0, len(result.labels), LOAD_ROWS):
                cipher.check_ciphertexts(public, result.labels[part : part + LOAD_ROWS])
    return result, public


def answer_as_host(
    side: Side, channel: Channel, result: ReceiverResult, public: PublicKey | None
) -> tuple[Table, tuple[str, ...]]:
    """The released table in codes, and what the enclave's process had given up."""
    theirs = side.contract.dataset_of(side.peer)
    own_by = tuple(f"{side.dataset.name}.{name}" for name in side.own(side.query.by))
    own_sums = tuple(f"{side.dataset.name}.{name}" for name in side.own(side.query.sums))
    slot_sum = (f"{theirs.name}.{SLOTS}",) if public is not None else ()
    ciphertexts = result.labels.size // public.width if public is not None else 0
    with side.stage("enclave"), side.enclave(ciphertexts) as enclave:
        columns = _own_columns(side, result)
        enclave.load_matched(*_matched_rows(columns, slot_sum, result))
        keys = {theirs.name: public.n} if public is not None else {}
        groups = enclave.run(Query(own_by, own_sums + slot_sum), keys)
        isolation = enclave.isolation
    if public is None:
        return _released_here(side, groups, own_by, own_sums), isolation
    with side.stage("sums"):
        return _released_there(side, channel, groups, own_by, own_sums, public), isolation


def _own_columns(side: Side, result: ReceiverResult) -> dict[str, NDArray[np.int64]]:
    """The host's columns of the question, at its matched rows."""
    if result.matched is None:
        return {}
    name = side.dataset.name
    columns = {f"{name}.{column}": side.codes(column)[result.matched] for column in side.own(side.query.by)}
    return columns | {f"{name}.{column}": side.amounts(column)[result.matched] for column in side.own(side.query.sums)}


def _matched_rows(
    columns: Mapping[str, NDArray[np.int64]], slots: tuple[str, ...], result: ReceiverResult
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    width = result.labels.shape[1]
    fields = [pa.field(name, pa.int64()) for name in columns] + [pa.field(name, pa.binary(width)) for name in slots]
    if not fields:  # an enclave counts rows, and a row needs a column
        columns = {"match.row": np.zeros(result.size, np.int64)}
        fields = [pa.field("match.row", pa.int64())]
    of = pa.schema(fields)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, result.size, LOAD_ROWS):
            part = slice(start, start + LOAD_ROWS)
            arrays = [pa.array(values[part]) for values in columns.values()]
            if slots:
                arrays += to_batch(schema({"row": width}), result.labels[part]).columns
            yield pa.record_batch(arrays, schema=of)

    return of, batches()


def _released_here(side: Side, groups: Groups, by: tuple[str, ...], sums: tuple[str, ...]) -> Table:
    """Without slots the host counts, and applies the threshold, alone."""
    released = release_groups(groups.table, by, side.rules)
    table = released.table
    return {
        "by": {name: table.column(name).to_pylist() for name in by},
        "people": table.column(PEOPLE).to_pylist(),
        "sums": {name: [int(value) for value in table.column(name).to_pylist()] for name in sums},
        "withheld": released.withheld,
    }


def _released_there(side: Side, channel: Channel, groups: Groups, by: tuple[str, ...], sums: tuple[str, ...],
                    public: PublicKey) -> Table:  # fmt: skip
    """Ask the key holder, who applies the threshold, for the cells that may be shown."""
    theirs = side.contract.dataset_of(side.peer)
    slots = side.contract.slots_of(theirs.name)
    if slots is None:
        raise BadMessage("A message is not in the form that this version knows.")
    layout = cell_layout(side.contract, theirs, slots)
    order = permutation(len(groups.table), os.urandom)
    people = groups.table.column(PEOPLE).to_numpy()[order]
    own = [groups.table.column(name).to_numpy()[order] for name in by]
    rows, masks = answer.prepare(public, layout, groups.ciphertexts[theirs.name][order], people)
    tell(channel, "sums.groups", {"people": people.tolist()})
    send_rows(channel, "sums.rows", rows)
    opened = hear(channel, "sums.opened")
    group, cell, counts = _cells_of(opened, people, layout.cells)
    amounts = len(layout.amounts)
    packed = receive_rows(channel, "sums.amounts", rows=len(group), width=max(answer.AMOUNT_WIDTH * amounts, 1))
    masked = answer.unpack_amounts(packed[:, : answer.AMOUNT_WIDTH * amounts]).reshape(len(group), amounts)
    values = answer.unmask(layout, masked, masks[group, cell])
    codes = {name: axis[group].tolist() for name, axis in zip(by, own, strict=True)}
    for name, axis in zip(slots.by, uncrossed(cell, sizes(theirs, slots.by)), strict=True):
        codes[f"{theirs.name}.{name}"] = axis.tolist()
    totals = {f"{theirs.name}.{name}": [int(value) for value in values[:, at]] for at, name in enumerate(slots.sums)}
    for name in sums:  # of whole groups: with own sums the other side has no cells (`run` refuses it)
        totals[name] = groups.table.column(name).to_numpy()[order][group].tolist()
    return {"by": codes, "people": counts.tolist(), "sums": totals, "withheld": take(opened, "withheld", bool)}


def _cells_of(opened: Any, people: NDArray[np.int64], cells: int) -> tuple[Codes, Codes, Codes]:
    """Group, cell and count of every released cell, as the key holder told; `people`: in each group that we sent.

    Raises BadMessage.
    """
    told = [whole_numbers(take(opened, "group", list))]
    told += [whole_numbers(take(opened, name, list), len(told[0])) for name in ("cell", "people")]
    if len(set(zip(*told[:2], strict=True))) < len(told[0]):
        raise malformed()
    for numbers, most in zip(told, (len(people) - 1, cells - 1, int(people.sum())), strict=True):
        if not all(0 <= number <= most for number in numbers):
            raise malformed()
    group, cell, counts = (np.array(numbers, np.int64) for numbers in told)
    if (np.bincount(group, counts, len(people)) > people).any():
        raise BadMessage("The counts of a group do not add up.")
    return group, cell, counts


# -- the sender, who holds the key


def match_as_sender(side: Side, channel: Channel) -> tuple[SenderResult, PrivateKey | None]:
    """Let the host match, and give it the slots of the rows it matches, where the question is about them."""
    slots = side.slots_asked(side.dataset)
    key, labels = None, None
    if slots:
        with side.stage("encrypt"):
            key = side.paillier(slots)
            _, labels = side.slot_rows(slots, key)
    with side.stage("match"):
        result = matching.send(side, channel, labels)
    if result.peer_rows > side.contract.dataset_of(side.peer).rows:
        raise Refused(
            "The dataset {dataset} has more rows than the contract allows.",
            dataset=side.contract.dataset_of(side.peer).name,
        )
    return result, key


def open_as_sender(side: Side, channel: Channel, key: PrivateKey) -> list[int]:
    """Decrypt the host's sums, apply the threshold, and tell the cells that may be shown; their people."""
    slots = side.contract.slots_of(side.dataset.name)
    if slots is None:
        raise BadMessage("A message is not in the form that this version knows.")
    layout = cell_layout(side.contract, side.dataset, slots)
    theirs = [name for name in side.query.by if split_name(name)[0] != side.dataset.name]
    people = _people_of(hear(channel, "sums.groups"), most_groups(side.contract, theirs), side.dataset.rows)
    rows = receive_rows(channel, "sums.rows", rows=len(people), width=layout.plaintexts * key.public.width)
    totals = answer.open_sums(key, layout, rows)
    if (totals.counts.sum(axis=1) != people).any():
        raise BadMessage("The counts of a group do not add up.")
    group, cell = (places.astype(np.int64) for places in np.nonzero(totals.counts))
    own = {
        f"own.{name}": axis for name, axis in zip(slots.by, uncrossed(cell, sizes(side.dataset, slots.by)), strict=True)
    }
    # The host knows its groups' totals whatever columns make them, so they are one axis to the rules of release.
    cells = pa.table({"group": group, **own, PEOPLE: totals.counts[group, cell], "cell": cell})
    released = release_groups(cells, ["group", *own], side.rules)
    group, cell = (released.table.column(name).to_numpy() for name in ("group", "cell"))
    shown: list[int] = released.table.column(PEOPLE).to_pylist()
    tell(channel, "sums.opened", {
        "group": group.tolist(), "cell": cell.tolist(), "people": shown, "withheld": released.withheld,
    })  # fmt: skip
    masked = totals.amounts[group, cell]
    packed = answer.pack_amounts(masked) if masked.shape[1] else np.zeros((len(group), 1), np.uint8)
    send_rows(channel, "sums.amounts", packed)
    return shown


def _people_of(told: Any, groups: int, rows: int) -> NDArray[np.int64]:
    """People in each of the host's groups, as it told: so many groups and rows at most. Raises BadMessage."""
    people = whole_numbers(take(told, "people", list))
    if len(people) > min(groups, MOST_GROUPS) or not all(0 <= count <= rows for count in people):
        raise malformed()
    return np.array(people, np.int64)


def table_of(side: Side, table: Table) -> pa.Table:
    """The released table with labels; the same at every recipient. `table` may be as a peer told it.

    Raises BadMessage below the threshold, for cells that do not exist or stand twice, for sums that so many people
    cannot have. A question without columns asks for the size, which leaves as a range only: its table has no row.
    """
    if not side.query.by and not side.query.sums:
        return labelled(side.room, (), {}, [], {})
    people = whole_numbers(take(table, "people", list))
    if any(count < side.rules.k for count in people):
        raise BadMessage("The peer released a group below the contract's threshold.")
    codes, totals = take(table, "by", dict), take(table, "sums", dict)
    by = {name: whole_numbers(codes.get(name), len(people)) for name in side.query.by}
    sums = {name: whole_numbers(totals.get(name), len(people)) for name in side.query.sums}
    if len(people) > len(set(zip(*by.values(), strict=True)) if by else {()}):
        raise malformed()
    if any(count > side.contract.dataset(side.contract.match.left).rows for count in people):
        raise malformed()
    for name, numbers in (by | sums).items():
        dataset, column = split_name(name)
        term = side.contract.dataset(dataset).column(column)
        low, high = (term.low, term.high) if name in sums else (0, term.cells - 1)
        for number, count in zip(numbers, people, strict=True):
            weight = count if name in sums else 1
            if not weight * low <= number <= weight * high:
                raise malformed()
    return labelled(side.room, side.query.by, by, people, sums)
