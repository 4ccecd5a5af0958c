"""An owner's part of the neutral-enclave room: it sends tokens and slots to an operator that owns nothing, which joins,
counts and sums (`answer.keyed_operator`).

owner                     operator
tokens, slots   →                    (protocols.psi.keyed), or what changed of them (cleanroom.answer.updates);
                                     a token for each identity, where the contract names several
                  ←    sums          to an amount's owner: released groups only, masked, re-randomised
sealed          →                    masked amounts, under the room key that the operator lacks
                  ←    release       tokens, counts, everyone's sealed amounts and their masks
                  ←    matched       to the receiver alone, where the contract gives it members
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cleanroom import engines
from cleanroom.answer import crowd, updates
from cleanroom.answer.notes import hear, malformed, reading, receive_rows, take, tell
from cleanroom.answer.release import Release
from cleanroom.answer.side import Side
from cleanroom.answer.slots import cell_layout, most_groups, slot_layout
from cleanroom.answer.tables import Table
from cleanroom.answer.updates import Change, Sent
from cleanroom.enclave.query import SLOTS, split_name
from protocols.canary import Canaries
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.paillier import answer, cipher
from protocols.paillier.keys import PrivateKey
from protocols.paillier.slots import Integers
from protocols.psi import keyed, keyed_updates
from protocols.psi.tokens import Items
from protocols.rows import Bytes, Indices

if TYPE_CHECKING:
    from cleanroom.answer.clustered import Spread

NO_CLASS = np.zeros(1, np.int64)
"""Of nobody: whoever a crowd's rule selects is in one."""
ALL_CELLS = np.arange(256)
"""Codes that a column may have (`rooms.terms`), and classes of a crowd."""
SEAL_LABEL = "cleanroom/keyed-amounts/1"


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
    layout = slot_layout(side.contract, side.dataset.name)
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
