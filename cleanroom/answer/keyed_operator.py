"""The operator's part of the neutral-enclave room: what owners send it joins, counts and sums, and answers in tokens.

What passes between them is told in `answer.keyed_owner`. The room key is the owners' alone: no identity, label or
amount is ever open here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.answer import closing, crowd, merging, planning, updates
from cleanroom.answer.draws import drawn, once, replayed
from cleanroom.answer.merging import Merged
from cleanroom.answer.notes import hear, send_rows, take, tell
from cleanroom.answer.side import Learned, Side
from cleanroom.answer.slots import cell_layout, slot_layout, slots_of
from cleanroom.enclave.query import PEOPLE, SLOTS, Engine, Groups, Query, Where, split_name
from cleanroom.privacy.history import Question
from cleanroom.privacy.ranges import Range, size_range
from cleanroom.privacy.threshold import release_groups, with_people
from cleanroom.rooms.disclosure import SHARED
from cleanroom.rooms.identities import named
from cleanroom.rooms.terms import Column, Dataset
from protocols.channel import Channel
from protocols.paillier import answer
from protocols.paillier.cells import Totals
from protocols.paillier.keys import PublicKey
from protocols.psi import keyed, keyed_updates, lining_up
from protocols.psi import tokens as bulk
from protocols.psi.keyed_updates import State, Update
from protocols.rows import Bytes, Indices, to_rows


@dataclass
class Gathered:
    """What owners sent, by dataset: bytes of columns, Paillier keys, tokens (and columns that are kept), changes; or
    what is left of it where it was merged as it came."""

    widths: dict[str, dict[str, int]] = field(default_factory=dict)
    keys: dict[str, PublicKey] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    changes: dict[str, Update] = field(default_factory=dict)
    merged: Merged | None = None


def receive_as_operator(side: Side, channels: Mapping[str, Channel], enclave: Engine) -> Gathered:
    """All owners' rows into the enclave, whole or as they are now, canaries checked and taken out."""
    gathered = Gathered()
    widths = gathered.widths
    for dataset in side.lined_up:
        widths[dataset.name] = _widths(side, dataset, gathered.keys)
    if side.handed_over is not None:
        from cleanroom.answer import clustered

        clustered.take(side, channels, enclave, side.handed_over, widths)
        return gathered
    held = updates.held_states(side, channels, widths) if side.updates else None
    if held is None:
        came = {
            each.name: keyed.operator(channels[each.owner], widths[each.name], most=each.rows) for each in side.lined_up
        }
        keeps = side.updates and updates.may_be_kept(sum(received.rows for received in came.values()))
        if not keeps and merging.fits(side, enclave):
            gathered.merged = merging.receive(side, channels, enclave, widths, came, _told(side))
            return gathered
        if not keeps and "cluster" in enclave.isolation:
            from cleanroom.answer import clustered

            clustered.load(side, channels, enclave, widths, came)
            return gathered
    for dataset in side.lined_up:
        name, channel = dataset.name, channels[dataset.owner]
        if held is None:
            holds = keeps and came[name].rows * sum(widths[name].values()) <= updates.MOST_COLUMN_BYTES
            parts = _Parts(list(widths[name]) if holds else [])
            enclave.load(name, keyed.layout(widths[name]), parts.seen(came[name]))
            gathered.states[name] = parts.state(channel.session)
        else:
            gathered.changes[name] = change = keyed_updates.operator(channel, held[name], most=dataset.rows)
            gathered.states[name] = change.after
            enclave.load(name, keyed.layout(widths[name]), change.after.batches())
    dummies = [keyed.named_canaries(channels[owner]) for owner in side.owners]
    tokens = [gathered.states[side.contract.dataset_of(owner).name].tokens for owner in side.owners]
    enclave.drop_tokens(lining_up.canaries_among(dummies, tokens))
    return gathered


def _widths(side: Side, dataset: Dataset, keys: dict[str, PublicKey]) -> dict[str, int]:
    """Bytes of a dataset's columns in this question; in `keys` the owner's, where there are slots."""
    widths = keyed.further_tokens(len(dataset.identities))
    widths |= {name: keyed.VALUE_BYTES for name in side.cells_asked if split_name(name)[0] == dataset.name}
    slots = side.contract.slots_of(dataset.name)
    if slots and any(split_name(name)[0] == dataset.name for name in side.query.sums):
        keys[dataset.name] = public = side.peer_paillier(slots)
        layout = cell_layout(side.contract, dataset, slots)
        widths[f"{dataset.name}.{SLOTS}"] = layout.plaintexts * public.width
    return widths


class _Parts:
    """What of batches is kept as they pass: tokens, and the columns named."""

    def __init__(self, columns: list[str]) -> None:
        self._tokens: list[bulk.Pair] = []
        self._columns: dict[str, list[Bytes]] = {name: [] for name in columns}

    def seen(self, received: keyed.Received) -> Iterator[pa.RecordBatch]:
        """The batches as they come."""
        for batch, tokens in received.parts:
            self._tokens.append(tokens)
            for name, parts in self._columns.items():
                parts.append(to_rows(batch.column(name)).copy())
            yield batch

    def state(self, session: bytes) -> State:
        """What was kept, once all have passed."""
        high, low = (np.concatenate(halves) for halves in zip(*self._tokens, strict=True))
        return State(session, (high, low), {name: np.concatenate(parts) for name, parts in self._columns.items()})


def answer_as_operator(side: Side, channels: Mapping[str, Channel], enclave: Engine, keys: Mapping[str, PublicKey],
                       question: Question, notes: Sequence[Any]) -> dict[str, Any]:  # fmt: skip
    """Count, add noise, threshold, have the owners open the sums of released groups; what every recipient is told."""
    names = [side.contract.dataset_of(owner).name for owner in side.owners]
    size = enclave.match(*names, addressed=_addressed(side) if side.crowd is not None else "")
    if side.plan:
        return planning.answered(side, enclave, question, planning.tokens_heard(side, notes))
    query = Query(side.query.by, tuple(f"{dataset}.{SLOTS}" for dataset in keys), question.where)
    if side.earlier and enclave.subtractable(query, side.earlier, side.rules.k):
        raise closing.subtractable(side)

    def compute() -> dict[str, Any]:
        groups = enclave.run(query, {dataset: public.n for dataset, public in keys.items()})
        return _computed(side, groups, keys, question, size)

    kept = once(side, question, compute) if question.sigma else compute()
    told = {name: kept[name] for name in ("tokens", "people", "withheld", "size", "masks")}
    told["sealed"] = {
        name: _opened(channels[side.contract.dataset(name).owner], _rows_of(kept["rows"][name], len(told["people"])))
        for name in keys
    }
    if side.again:
        counts = enclave.run(Query(query.by, (), query.where)).table.column(PEOPLE).to_pylist()
        told["same"] = replayed(side, question, same=counts == kept["exact"])
    return told


def _rows_of(text: str, groups: int) -> Bytes:
    content = np.frombuffer(bytes.fromhex(text), np.uint8)
    return content.reshape(groups, -1) if groups else content.reshape(0, 1)


def _computed(side: Side, groups: Groups, keys: Mapping[str, PublicKey], question: Question,
              size: int) -> dict[str, Any]:  # fmt: skip
    """What leaves, but for the opened sums: tokens and people of released groups, ciphertexts, masks; and, to stay, the
    exact counts.

    Without noise the size is that of the people asked about; with noise that of the groups shown, by their noised
    counts.
    """
    exact = groups.table.column(PEOPLE).to_numpy()
    if question.where:
        size = int(exact.sum())
    noised = drawn(question, len(exact), _amounts_of(side, keys)) if question.sigma else None
    counted = groups.table if noised is None else with_people(groups.table, exact + noised.people)
    numbered = counted.append_column("group", pa.array(np.arange(len(counted))))
    released = release_groups(numbered, side.query.by, side.rules, side.sensitive)
    asks_size_only = not (side.query.by or side.query.sums or question.sigma)
    table = released.table.slice(0, 0) if asks_size_only else released.table
    chosen = table.column("group").to_numpy()
    people = table.column(PEOPLE).to_numpy()
    found: dict[str, Any] = {
        "tokens": {name: [value.hex() for value in table.column(name).to_pylist()] for name in side.query.by},
        "people": people.tolist(),
        "withheld": released.withheld,
        "size": _plain(size_range(int(people.sum()) if question.sigma else size, side.rules.k)),
        "rows": {},
        "masks": {},
        "exact": exact.tolist(),
    }
    first = 0
    for name, public in keys.items():
        layout, sums, inside = slot_layout(side.contract, name), groups.ciphertexts[name][chosen], None
        if noised is not None:
            own = noised.amounts[chosen, first : first + len(layout.amounts)].astype(object)
            inside = Totals(noised.people[chosen, None], own[:, None, :])
            first += len(layout.amounts)
        rows, masks = answer.prepare(public, layout, sums, exact[chosen], noise=inside)
        found["rows"][name] = rows.tobytes().hex()
        found["masks"][name] = answer.pack_amounts(masks[:, 0]).tobytes().hex()
    return found


def _amounts_of(side: Side, keys: Mapping[str, PublicKey]) -> list[Column]:
    """The amounts that are summed, in the order of their datasets' slots."""
    return [side.term(f"{name}.{column}") for name in keys for column in slots_of(side.contract, name).sums]


def _opened(channel: Channel, rows: Bytes) -> str:
    """An owner's sealed sums of these groups."""
    tell(channel, "sums.groups", {"groups": len(rows)})
    send_rows(channel, "sums.rows", rows)
    return take(hear(channel, "sums.sealed"), "sealed", str)


def _told(side: Side) -> str:
    """The dataset whose owner is told which of its rows matched, or are in the crowd; none where it takes no part."""
    match = side.contract.match
    if side.crowd is not None:
        name = _addressed(side)
    else:
        name = side.contract.dataset_of(match.receiver).name if match.output == "members" else ""
    return name if any(dataset.name == name for dataset in side.lined_up) else ""


def _addressed(side: Side) -> str:
    """The dataset of who addresses people."""
    term = side.contract.activation
    return "" if term is None else side.contract.dataset_of(term.receiver).name


def send_members(side: Side, channels: Mapping[str, Channel], enclave: Engine, gathered: Gathered,
                 told: Mapping[str, Any]) -> None:  # fmt: skip
    """Tell the receiver alone which of its rows matched, or what changed of that; keep what the next run needs.

    Of a crowd: which rows are in it, where what was told of its size lets them be given.
    """
    match = side.contract.match
    if side.crowd is not None:
        if crowd.gives(side.contract, side.crowd, told["people"][0]):
            name = _addressed(side)
            positions = _positions(gathered, enclave, name, side.query.where)
            keyed.send_matched(channels[side.contract.dataset(name).owner], positions)
        return
    if match.output == "members" and gathered.changes:
        updates.send_matched(side, channels[match.receiver], gathered.changes)
    elif match.output == "members" and match.receiver in side.owners:
        positions = _positions(gathered, enclave, side.contract.dataset_of(match.receiver).name)
        keyed.send_matched(channels[match.receiver], positions)
    if side.updates:
        updates.keep_states(side, gathered.states, gathered.widths)


def _positions(gathered: Gathered, enclave: Engine, dataset: str, where: Where = ()) -> Indices:
    """Which rows of a dataset are matched and meant, as its owner sent them."""
    if gathered.merged is not None and not where:
        return gathered.merged.matched
    found: Indices = enclave.matched_positions(dataset, where).to_numpy()
    return found if gathered.merged is None else gathered.merged.positions[found]


def learned(side: Side) -> list[Learned]:
    """What the operator learns by the match itself: of more than two datasets, and by several identities, some more."""
    if side.contract.match.others:
        datasets = ", ".join(dataset.name for dataset in side.lined_up)
        return [Learned("the numbers of rows of {datasets}, and how many pseudonyms any of these share",
                        {"datasets": datasets})]  # fmt: skip
    sizes = Learned("both sides' numbers of rows, and how many pseudonyms they share")
    identities = side.contract.dataset(side.contract.match.left).identities
    return [sizes, *([Learned(SHARED, {"identities": named(identities)})] if len(identities) > 1 else [])]


def _plain(size: Range) -> list[int]:
    return [size.low, size.high, int(size.withheld)]
