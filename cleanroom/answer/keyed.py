"""The neutral-enclave room: owners send tokens and slots to an operator that owns nothing; it joins, counts and sums.

owner                     operator
tokens, slots   →                    (protocols.psi.keyed), or what changed of them (cleanroom.answer.updates);
                                     a token for each identity, where the contract names several
                  ←    sums          to an amount's owner: released groups only, masked, re-randomised
sealed          →                    masked amounts, under the room key that the operator lacks
                  ←    release       tokens, counts, everyone's sealed amounts and their masks
                  ←    matched       to the receiver alone, where the contract gives it members
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cleanroom import engines
from cleanroom.answer import closing, crowd, merging, planning, updates
from cleanroom.answer.draws import drawn, once, replayed
from cleanroom.answer.merging import Merged
from cleanroom.answer.notes import hear, malformed, reading, receive_rows, send_rows, take, tell
from cleanroom.answer.release import Release
from cleanroom.answer.side import Learned, Side
from cleanroom.answer.slots import cell_layout, most_groups
from cleanroom.answer.tables import Table
from cleanroom.answer.updates import Change, Sent
from cleanroom.enclave.query import PEOPLE, SLOTS, Engine, Groups, Query, Where, split_name
from cleanroom.privacy.history import Question
from cleanroom.privacy.ranges import Range, size_range
from cleanroom.privacy.threshold import release_groups, with_people
from cleanroom.rooms.disclosure import SHARED
from cleanroom.rooms.identities import named
from cleanroom.rooms.terms import Column, Dataset, Slots
from protocols.canary import Canaries
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.paillier import answer, cipher
from protocols.paillier.cells import CellLayout, Totals
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.paillier.slots import Integers
from protocols.psi import keyed, keyed_updates, lining_up
from protocols.psi import tokens as bulk
from protocols.psi.keyed_updates import State, Update
from protocols.psi.tokens import Items
from protocols.rows import Bytes, Indices, to_rows

if TYPE_CHECKING:
    from cleanroom.answer.clustered import Spread

NO_CLASS = np.zeros(1, np.int64)
"""Of nobody: whoever a crowd's rule selects is in one."""
ALL_CELLS = np.arange(256)
"""Codes that a column may have (`rooms.terms`), and classes of a crowd."""
SEAL_LABEL = "cleanroom/keyed-amounts/1"


# -- an owner


@dataclass(frozen=True)
class Sending:
    """An owner's part of a run as it was sent: all rows, in the order of `whole`, or this change of them.

    session: names it; key: of its slots, where these went along; items, columns: where the next run is to go on from
    this one, its digests and what stands in the columns, as updates compare it.
    """

    session: bytes
    key: PrivateKey | None
    items: Bytes = field(default_factory=lambda: np.empty((0, keyed.TOKEN_BYTES), np.uint8))
    columns: Mapping[str, Bytes] = field(default_factory=dict)
    whole: keyed.Sent | None = None
    change: Change | None = None
    spread: "Spread | None" = None
    """The rows as a cluster made them, instead."""


def send_as_owner(side: Side, channel: Channel) -> Sending:
    """Send this party's tokens, the tokens of its columns in the question, and its slots; or what changed of them."""
    if engines.cluster(side.home.path) is not None:
        from cleanroom.answer import clustered

        if clustered.fits(side):
            spread = clustered.send(side, channel)
            return Sending(channel.session, spread.key, spread=spread)
    name = side.dataset.name
    keeps = side.updates and updates.may_be_kept(side.manifest.rows)
    items = side.digests() if keeps or side.dataset.also else side.items()
    with side.stage("tokens"):
        codes = {f"{name}.{column}": updates.cells(side.codes(column))[:, 0] for column in side.own(side.cells_asked)}
        unknown = {f"{name}.{column.name}": np.array([column.cells - 1]) for column in side.dataset.columns}
        nobody = {each: unknown.get(each, NO_CLASS) for each in codes}
        fill = {each: keyed.value_tokens(side.room_key, each, cell).tobytes() for each, cell in nobody.items()}
        every = {each: keyed.value_tokens(side.room_key, each, ALL_CELLS).view(np.uint64)[:, 0] for each in codes}
    slots, key = _encrypted(side, fill)
    widths = dict.fromkeys(codes, keyed.VALUE_BYTES) | {each: rows.shape[1] for each, rows in slots.items()}

    def values(rows: Indices) -> Mapping[str, Bytes]:
        tokens = {each: every[each][column[rows]].view(np.uint8) for each, column in codes.items()}
        shaped = {each: column.reshape(-1, keyed.VALUE_BYTES) for each, column in tokens.items()}
        return shaped | {each: encrypted[rows] for each, encrypted in slots.items()}

    canaries = side.canaries(side.party, keyed.TOKEN_BYTES)
    if isinstance(items, Items) or not keeps:
        if side.updates:
            updates.last_sent(side, channel, {})
        with side.stage("match"):
            return Sending(channel.session, key, whole=_send_all(side, channel, items, widths, values, canaries, fill))
    amounts = {f"{name}.{column}": side.amounts(column) for column in side.own(side.query.sums)}
    columns = {each: column[:, None] for each, column in codes.items()}
    columns |= {each: updates.numbers(column) for each, column in amounts.items()}
    last = updates.last_sent(side, channel, columns)
    with side.stage("match"):
        if last is None:
            whole = _send_all(side, channel, items, widths, values, canaries, fill)
            return Sending(channel.session, key, items, columns, whole=whole)
        change = last.since(items, columns)
        session = keyed_updates.owner(
            channel,
            side.room_key,
            last.session,
            change.removed,
            items[change.added],
            widths,
            lambda added: values(change.added[added]),
            canaries=canaries,
        )
        return Sending(session, key, items, columns, change=change)


def _send_all(side: Side, channel: Channel, items: Bytes | Items, widths: dict[str, int], values: keyed.Columns,
              canaries: Canaries, fill: dict[str, bytes]) -> keyed.Sent:  # fmt: skip
    """All rows, with a token for each identity that the contract names."""
    if isinstance(items, Items) or not side.dataset.also:
        return keyed.owner(channel, side.room_key, items, widths, values, canaries=canaries, fill=fill)
    return keyed.owner_of_several(channel, side.room_key, side.party, items, side.identities(), widths, values,
                                  canaries=canaries, fill=fill)  # fmt: skip


def _encrypted(side: Side, fill: dict[str, bytes]) -> tuple[dict[str, Bytes], PrivateKey | None]:
    """The slots of every row, where the question sums this party's columns; in `fill` those of nobody."""
    slots = side.contract.slots_of(side.dataset.name)
    if not slots or not side.own(side.query.sums):
        return {}, None
    with side.stage("encrypt"):
        key = side.paillier(slots)
        layout, rows = side.slot_rows(slots, key)
        name = f"{side.dataset.name}.{SLOTS}"
        nobody = layout.encode(np.array([-1]), np.zeros((1, len(layout.amounts)), np.int64), key.public)
        fill[name] = cipher.encrypt(key, nobody).tobytes()
    return {name: rows}, key


def receive_members(side: Side, channel: Channel, sending: Sending, release: Release) -> Indices | None:
    """The receiver's rows that matched, ascending; None for the other owner. Both keep what the next run goes on from.

    Of a crowd those that are in it, to whoever addresses people. release: as it was released. Raises BadMessage where
    the operator names rows that cannot be.
    """
    matched = None
    if side.crowd is not None:
        given = crowd.receives(side.contract, side.party) and crowd.gives(side.contract, side.crowd, release.first)
        return keyed.receive_matched(channel, sending.whole) if given and sending.whole is not None else None
    if side.contract.match.output == "members" and side.contract.match.receiver == side.party:
        if sending.spread is not None:
            matched = sending.spread.receive_matched(channel)
        elif sending.whole is not None:
            matched = keyed.receive_matched(channel, sending.whole)
        elif sending.change is not None:
            had = sending.change.had
            gained, lost = keyed_updates.receive_changes(channel, side.room_key, sending.items, had)
            matched = sending.change.matched_now(gained, lost)
        size = release.size
        whole = not side.sigma and not side.query.where  # then the size is that of all who matched
        if matched is not None and whole and not size.low <= len(matched) <= size.high:
            raise BadMessage("The operator named more or fewer rows than the size that it released.")
    if side.updates and not len(sending.items):
        updates.forget_sent(side)
    elif side.updates:
        flagged = np.empty(0, np.int64) if matched is None else matched
        updates.keep_sent(side, Sent.of(sending.session, sending.items, sending.columns, flagged))
    return matched


def open_as_owner(side: Side, channel: Channel, key: PrivateKey) -> list[int]:
    """Decrypt the masked sums of released groups, and seal them for those who hold the room key; the groups' people."""
    layout = _layout(side, side.dataset.name)
    groups = take(hear(channel, "sums.groups"), "groups", int)
    if not 0 <= groups <= most_groups(side.contract, side.query.by):
        raise malformed()
    rows = receive_rows(channel, "sums.rows", rows=groups, width=layout.plaintexts * key.public.width)
    totals = answer.open_sums(key, layout, rows)
    if (totals.counts < side.rules.least).any():
        raise BadMessage("The peer released a group below the contract's threshold.")
    packed = answer.pack_amounts(totals.amounts[:, 0]).tobytes()
    tell(channel, "sums.sealed", {"sealed": keyed.seal(side.room_key, SEAL_LABEL, packed).hex()})
    people: list[int] = totals.counts[:, 0].tolist()
    return people


def table_from(side: Side, told: Mapping[str, Any]) -> Table:
    """The released table in codes, from the operator's tokens and the owners' sealed sums. Raises BadMessage."""
    tokens, sealed, masked_by = (take(told, name, dict) for name in ("tokens", "sealed", "masks"))
    people = take(told, "people", list)
    by = {}
    for name in side.query.by:
        owner, column = split_name(name)
        codes = np.arange(side.contract.dataset(owner).column(column).cells)
        own = keyed.value_tokens(side.room_key, name, codes)
        code_of = {token.tobytes().hex(): code for code, token in enumerate(own)}
        told_of = take(tokens, name, list)
        if not all(type(token) is str and token in code_of for token in told_of):
            raise BadMessage("The operator named a value token that no cell has.")
        by[name] = [code_of[token] for token in told_of]
    sums: dict[str, list[int]] = {}
    for dataset in side.lined_up:
        slots = side.contract.slots_of(dataset.name)
        wanted = [name for name in side.query.sums if split_name(name)[0] == dataset.name]
        if slots is None or not wanted:
            continue
        layout = cell_layout(side.contract, dataset, slots)
        opened = keyed.open_sealed(side.room_key, SEAL_LABEL, _unhex(sealed, dataset.name))
        masked, masks = (
            _amounts(content, len(people), len(layout.amounts)) for content in (opened, _unhex(masked_by, dataset.name))
        )
        values = answer.unmask(layout, masked, masks)
        sums |= {f"{dataset.name}.{name}": values[:, at].tolist() for at, name in enumerate(slots.sums)}
    return {"by": by, "people": people, "sums": sums, "withheld": take(told, "withheld", bool)}


def _amounts(content: bytes, groups: int, amounts: int) -> Integers:
    """Sums or masks of the released groups: Python integers [groups, amounts]."""
    width = answer.AMOUNT_WIDTH * amounts
    if len(content) != groups * width:
        raise malformed()
    return answer.unpack_amounts(np.frombuffer(content, np.uint8).reshape(groups, width))


def _unhex(texts: dict[str, Any], name: str) -> bytes:
    with reading():
        return bytes.fromhex(take(texts, name, str))


# -- the operator


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
        layout, sums, inside = _layout(side, name), groups.ciphertexts[name][chosen], None
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
    return [side.term(f"{name}.{column}") for name in keys for column in _slots(side, name).sums]


def _slots(side: Side, dataset: str) -> Slots:
    slots = side.contract.slots_of(dataset)
    if slots is None:
        raise malformed()
    return slots


def _layout(side: Side, dataset: str) -> CellLayout:
    return cell_layout(side.contract, side.contract.dataset(dataset), _slots(side, dataset))


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
