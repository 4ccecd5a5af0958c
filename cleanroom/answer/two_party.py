"""The two-party room: the receiver hosts the enclave and groups by its own columns; the sender holds the slots' key.

sender               host
             match                  the host learns its matched rows (join-sum: their number) and opens labels
               ←     sums           groups in a secret order, codes relabelled, amounts masked, all re-randomised
opened         →                    counts and masked amounts of released cells only
               ←     release        the table, for the sender as a recipient

Without noise the sender sees exact counts of all groups that somebody is in. With noise it gets all groups that the
contract's cells make, empty ones too, each with the host's noise inside its ciphertext; it adds its own and applies the
threshold to the sum, so that neither side can take the noise off the other's people.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.answer import closing, matching, planning
from cleanroom.answer.draws import drawn, once, replayed
from cleanroom.answer.notes import hear, malformed, receive_rows, send_rows, take, tell, whole_numbers
from cleanroom.answer.side import Side
from cleanroom.answer.slots import Codes, cell_layout, crossed, most_groups, sizes, uncrossed
from cleanroom.answer.tables import Table
from cleanroom.enclave.query import PEOPLE, SLOTS, Groups, Query, split_name
from cleanroom.errors import Refused
from cleanroom.privacy.history import Question
from cleanroom.privacy.threshold import release_groups, with_people
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Column, Dataset, Slots
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.paillier import answer, cipher
from protocols.paillier.cells import CellLayout, Totals
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.paillier.slots import Integers
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import permutation, schema, to_batch

LOAD_ROWS = 2048
MOST_GROUPS = 100_000
MOST_NOISED_GROUPS = 10_000


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


def answer_as_host(side: Side, channel: Channel, result: ReceiverResult, public: PublicKey | None,
                   question: Question) -> tuple[Table, tuple[str, ...], int]:  # fmt: skip
    """The released table in codes, what the enclave's process had given up, and how many people were asked about."""
    theirs = side.contract.dataset_of(side.peer)
    own_by = tuple(f"{side.dataset.name}.{name}" for name in side.own(side.query.by))
    own_sums = tuple(f"{side.dataset.name}.{name}" for name in side.own(side.query.sums))
    slot_sum = (f"{theirs.name}.{SLOTS}",) if public is not None else ()
    ciphertexts = result.labels.size // public.width if public is not None else 0
    with side.stage("enclave"), side.enclave(ciphertexts) as enclave:
        columns = _own_columns(side, result)
        enclave.load_matched(*_matched_rows(columns, slot_sum, result))
        if side.plan:
            return planning.answered(side, enclave, question, planning.numbers(side)), enclave.isolation, result.size
        keys = {theirs.name: public.n} if public is not None else {}
        query = Query(own_by, own_sums + slot_sum, side.query.where)
        if side.earlier and enclave.subtractable(query, side.earlier, side.rules.k):
            raise closing.subtractable(side)
        groups = enclave.run(query, keys)
        isolation = enclave.isolation
    people = int(groups.table.column(PEOPLE).to_numpy().sum()) if question.where else result.size
    if public is None:
        return _released_here(side, groups, own_by, own_sums, question), isolation, people
    with side.stage("sums"):
        if question.sigma:
            return _noised_there(side, channel, groups, own_by, own_sums, public, question), isolation, people
        return _released_there(side, channel, groups, own_by, own_sums, public), isolation, people


def people_shown(table: Table, question: Question) -> int:
    """By their noised counts; of a plan, its total."""
    return max(0, int(table["people"][0])) if question.plan else sum(table["people"])


def _own_columns(side: Side, result: ReceiverResult) -> dict[str, NDArray[np.int64]]:
    """The host's columns of the question, at its matched rows."""
    if result.matched is None:
        return {}
    name = side.dataset.name
    columns = {f"{name}.{column}": side.codes(column)[result.matched] for column in side.own(side.cells_asked)}
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


def _released_here(side: Side, groups: Groups, by: tuple[str, ...], sums: tuple[str, ...],
                   question: Question) -> Table:  # fmt: skip
    """Without slots the host counts, adds noise and applies the threshold, alone."""
    if not question.sigma:
        return _shown(side, groups.table, by, sums)
    exact = {name: groups.table.column(name).to_pylist() for name in (PEOPLE, *sums)}

    def compute() -> dict[str, Any]:
        noised = drawn(question, len(groups.table), _own_amounts(side, sums))
        counted = with_people(groups.table, groups.table.column(PEOPLE).to_numpy() + noised.people)
        for at, name in enumerate(sums):
            column = pa.array(counted.column(name).to_numpy() + noised.amounts[:, at])
            counted = counted.set_column(counted.column_names.index(name), name, column)
        return {"table": _shown(side, counted, by, sums), "exact": exact}

    kept = once(side, question, compute)
    table: Table = kept["table"]
    return _again(side, question, table, same=kept["exact"] == exact)


def _shown(side: Side, groups: pa.Table, by: tuple[str, ...], sums: tuple[str, ...]) -> Table:
    """The groups that may be shown, in codes."""
    released = release_groups(groups, by, side.rules, side.sensitive)
    table = released.table
    return {
        "by": {name: table.column(name).to_pylist() for name in by},
        "people": table.column(PEOPLE).to_pylist(),
        "sums": {name: [int(value) for value in table.column(name).to_pylist()] for name in sums},
        "withheld": released.withheld,
    }


def _again(side: Side, question: Question, table: Table, *, same: bool) -> Table:
    """The table, and where it was computed again whether that gave the same."""
    return {**table, "same": replayed(side, question, same=same)} if side.again else table


def _own_amounts(side: Side, sums: tuple[str, ...]) -> list[Column]:
    return [side.dataset.column(split_name(name)[1]) for name in sums]


def _released_there(side: Side, channel: Channel, groups: Groups, by: tuple[str, ...], sums: tuple[str, ...],
                    public: PublicKey) -> Table:  # fmt: skip
    """Ask the key holder, who applies the threshold, for the cells that may be shown."""
    theirs, slots = _their_slots(side)
    layout = cell_layout(side.contract, theirs, slots)
    order = permutation(len(groups.table), os.urandom)
    people = groups.table.column(PEOPLE).to_numpy()[order]
    rows, masks = answer.prepare(public, layout, groups.ciphertexts[theirs.name][order], people)
    tell(channel, "sums.groups", {"people": people.tolist()})
    send_rows(channel, "sums.rows", rows)
    opened = hear(channel, "sums.opened")
    group, cell, counts = _cells_of(opened, len(people), layout.cells, int(people.sum()))
    if (np.bincount(group, counts, len(people)) > people).any():
        raise BadMessage("The counts of a group do not add up.")
    values = _amounts_of(channel, layout, masks, group, cell)
    own = {name: groups.table.column(name).to_numpy()[order][group].tolist() for name in (*by, *sums)}
    return _table(theirs, slots, {name: own[name] for name in by}, cell, counts, values,
                  {name: own[name] for name in sums}, take(opened, "withheld", bool))  # fmt: skip


def _noised_there(side: Side, channel: Channel, groups: Groups, by: tuple[str, ...], sums: tuple[str, ...],
                  public: PublicKey, question: Question) -> Table:  # fmt: skip
    """The same with noise: ours goes inside the ciphertexts of all groups that there can be, in a secret order."""
    theirs, slots = _their_slots(side)
    layout = cell_layout(side.contract, theirs, slots)
    shape, count = sizes(side.dataset, [split_name(name)[1] for name in by]), noised_groups(side.contract, by)
    at = crossed([groups.table.column(name).to_numpy() for name in by], shape, len(groups.table))
    exact = {name: np.zeros(count, np.int64) for name in (PEOPLE, *sums)}
    for name, values in exact.items():
        values[at] = groups.table.column(name).to_numpy()

    def compute() -> dict[str, Any]:
        order, split = permutation(count, os.urandom), len(layout.amounts)
        noised = drawn(question, count * layout.cells, [*layout_columns(theirs, slots), *_own_amounts(side, sums)])
        amounts = noised.amounts.reshape(count, layout.cells, -1)
        inside = Totals(noised.people.reshape(count, layout.cells)[order], amounts[order, :, :split].astype(object))
        ciphertexts = cipher.zeros(public, count, layout.plaintexts)
        ciphertexts[at] = groups.ciphertexts[theirs.name]
        rows, masks = answer.prepare(public, layout, ciphertexts[order], exact[PEOPLE][order], noise=inside)
        own = {  # of whole groups: the other side has no cells (`allowed` refuses it)
            name: (exact[name] + amounts[:, 0, place])[order].tolist() for place, name in enumerate(sums, start=split)
        }
        plain = {name: values.tolist() for name, values in exact.items()}
        return {"rows": rows.tobytes().hex(), "masks": masks.tolist(), "order": order.tolist(), "own": own,
                "exact": plain}  # fmt: skip

    kept = once(side, question, compute)
    order = np.array(kept["order"], np.int64)
    masks = np.array(kept["masks"], object).reshape(count, layout.cells, len(layout.amounts))
    tell(channel, "sums.groups", {"groups": count})
    send_rows(channel, "sums.rows", np.frombuffer(bytes.fromhex(kept["rows"]), np.uint8).reshape(count, -1))
    opened = hear(channel, "sums.opened")
    most = side.dataset.rows + layout.count_noise
    group, cell, counts = _cells_of(opened, count, layout.cells, most)
    amounts = _amounts_of(channel, layout, masks, group, cell)
    codes = [axis[order][group].tolist() for axis in uncrossed(np.arange(count), shape)]
    own = {name: np.array(kept["own"][name], object)[group].tolist() for name in sums}
    table = _table(theirs, slots, dict(zip(by, codes, strict=True)), cell, counts, amounts, own,
                   take(opened, "withheld", bool))  # fmt: skip
    return _again(side, question, table, same=kept["exact"] == {n: v.tolist() for n, v in exact.items()})


def noised_groups(contract: Contract, by: Sequence[str]) -> int:
    """How many groups the host's columns make, empty ones too. Raises Refused for more than are sent."""
    count = most_groups(contract, by)
    if count > MOST_NOISED_GROUPS:
        raise Refused(
            "This grouping has more than {limit} possible cells.",
            "Group by fewer columns, or by coarser buckets.",
            limit=MOST_NOISED_GROUPS,
        )
    return count


def _their_slots(side: Side) -> tuple[Dataset, Slots]:
    """The other side's dataset and its slots."""
    theirs = side.contract.dataset_of(side.peer)
    slots = side.contract.slots_of(theirs.name)
    if slots is None:
        raise malformed()
    return theirs, slots


def layout_columns(dataset: Dataset, slots: Slots) -> list[Column]:
    """The amounts of a slot layout."""
    return [dataset.column(name) for name in slots.sums]


def _amounts_of(channel: Channel, layout: CellLayout, masks: Integers, group: Codes, cell: Codes) -> Integers:
    """Sums of the released cells, whose masks come off: Python integers [cells, amounts]."""
    amounts = len(layout.amounts)
    packed = receive_rows(channel, "sums.amounts", rows=len(group), width=max(answer.AMOUNT_WIDTH * amounts, 1))
    masked = answer.unpack_amounts(packed[:, : answer.AMOUNT_WIDTH * amounts]).reshape(len(group), amounts)
    return answer.unmask(layout, masked, masks[group, cell])


def _table(theirs: Dataset, slots: Slots, by: dict[str, list[int]], cell: Codes, counts: Codes, values: Integers,
           totals: dict[str, list[int]], withheld: bool) -> Table:  # fmt: skip
    """The released cells in codes: the host's own columns, then those of the slots."""
    codes = dict(by)
    for name, axis in zip(slots.by, uncrossed(cell, sizes(theirs, slots.by)), strict=True):
        codes[f"{theirs.name}.{name}"] = axis.tolist()
    sums = {f"{theirs.name}.{name}": [int(value) for value in values[:, at]] for at, name in enumerate(slots.sums)}
    return {"by": codes, "people": counts.tolist(), "sums": sums | totals, "withheld": withheld}


def _cells_of(opened: Any, groups: int, cells: int, most_people: int) -> tuple[Codes, Codes, Codes]:
    """Group, cell and count of every released cell, as the key holder told of `groups` groups. Raises BadMessage."""
    told = [whole_numbers(take(opened, "group", list))]
    told += [whole_numbers(take(opened, name, list), len(told[0])) for name in ("cell", "people")]
    if len(set(zip(*told[:2], strict=True))) < len(told[0]):
        raise malformed()
    for numbers, most in zip(told, (groups - 1, cells - 1, most_people), strict=True):
        if not all(0 <= number <= most for number in numbers):
            raise malformed()
    group, cell, counts = (np.array(numbers, np.int64) for numbers in told)
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


def open_as_sender(side: Side, channel: Channel, key: PrivateKey, question: Question) -> list[int]:
    """Decrypt the host's sums, add our noise, apply the threshold, tell the cells that may be shown; their people."""
    slots = side.contract.slots_of(side.dataset.name)
    if slots is None:
        raise malformed()
    layout = cell_layout(side.contract, side.dataset, slots)
    theirs = [name for name in side.query.by if split_name(name)[0] != side.dataset.name]
    width = layout.plaintexts * key.public.width
    note = hear(channel, "sums.groups")
    if question.sigma:
        count = take(note, "groups", int)
        if count != noised_groups(side.contract, theirs):
            raise malformed()
        rows = receive_rows(channel, "sums.rows", rows=count, width=width)
        of = hashlib.sha256(rows.tobytes()).hexdigest()

        def compute() -> dict[str, Any]:
            totals = _with_own_noise(side, question, layout, slots, answer.open_sums(key, layout, rows))
            group, cell = (places.ravel() for places in np.indices(totals.counts.shape))
            return {**_opened(side, slots, totals, group, cell), "of": of}

        opened = once(side, question, compute)
        if opened.get("of") != of:  # its order and masks are others: our cells would get the labels of others
            raise BadMessage("The peer's sums are not those answered before.", "Ask with another accuracy (--within).")
    else:
        people = _people_of(note, most_groups(side.contract, theirs), side.dataset.rows)
        totals = answer.open_sums(key, layout, receive_rows(channel, "sums.rows", rows=len(people), width=width))
        if (totals.counts.sum(axis=1) != people).any():
            raise BadMessage("The counts of a group do not add up.")
        group, cell = (places.astype(np.int64) for places in np.nonzero(totals.counts))
        opened = _opened(side, slots, totals, group, cell)
    shown: list[int] = opened["people"]
    tell(channel, "sums.opened", {name: opened[name] for name in ("group", "cell", "people", "withheld")})
    packed = np.frombuffer(bytes.fromhex(opened["amounts"]), np.uint8)
    send_rows(channel, "sums.amounts", packed.reshape(len(shown), max(answer.AMOUNT_WIDTH * len(layout.amounts), 1)))
    return shown


def _opened(side: Side, slots: Slots, totals: Totals, group: Codes, cell: Codes) -> dict[str, Any]:
    """Which of these cells may be shown: their places, people, and amounts under the host's masks."""
    axes = uncrossed(cell, sizes(side.dataset, slots.by))
    own = {f"own.{name}": axis for name, axis in zip(slots.by, axes, strict=True)}
    # The host knows its groups' totals whatever columns make them, so they are one axis to the rules of release.
    cells = pa.table({"group": group, **own, PEOPLE: totals.counts[group, cell], "cell": cell})
    sensitive = [f"own.{name}" for name in slots.by if side.dataset.column(name).sensitive]
    released = release_groups(cells, ["group", *own], side.rules, sensitive)
    group, cell = (released.table.column(name).to_numpy() for name in ("group", "cell"))
    masked = totals.amounts[group, cell]
    packed = answer.pack_amounts(masked) if masked.shape[1] else np.zeros((len(group), 1), np.uint8)
    return {"group": group.tolist(), "cell": cell.tolist(), "people": released.table.column(PEOPLE).to_pylist(),
            "withheld": released.withheld, "amounts": packed.tobytes().hex()}  # fmt: skip


def _with_own_noise(side: Side, question: Question, layout: CellLayout, slots: Slots, opened: Totals) -> Totals:
    """What was decrypted with the noise of this side, too."""
    shape = opened.counts.shape
    noised = drawn(question, opened.counts.size, layout_columns(side.dataset, slots))
    amounts = noised.amounts.astype(object).reshape(*shape, len(layout.amounts))
    return Totals(opened.counts + noised.people.reshape(shape), opened.amounts + amounts)


def _people_of(told: Any, groups: int, rows: int) -> NDArray[np.int64]:
    """People in each of the host's groups, as it told: so many groups and rows at most. Raises BadMessage."""
    people = whole_numbers(take(told, "people", list))
    if len(people) > min(groups, MOST_GROUPS) or not all(0 <= count <= rows for count in people):
        raise malformed()
    return np.array(people, np.int64)
