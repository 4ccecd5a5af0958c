"""The neutral-enclave room: owners send tokens and slots to an operator that owns nothing; it joins, counts and sums.

owner                     operator
tokens, slots   →                    (protocols.psi.keyed)
                  ←    sums          to an amount's owner: released groups only, masked, re-randomised
sealed          →                    masked amounts, under the room key that the operator lacks
                  ←    release       tokens, counts, everyone's sealed amounts and their masks
                  ←    matched       to the receiver alone, where the contract gives it members
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.answer.notes import hear, malformed, reading, receive_rows, send_rows, take, tell
from cleanroom.answer.side import Side
from cleanroom.answer.slots import cell_layout, most_groups
from cleanroom.answer.two_party import Table
from cleanroom.enclave.handle import Enclave
from cleanroom.enclave.query import PEOPLE, SLOTS, Query, split_name
from cleanroom.privacy.ranges import Range, size_range
from cleanroom.privacy.threshold import release_groups
from cleanroom.rooms.terms import Dataset
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.paillier import answer, cipher
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.paillier.slots import Integers
from protocols.psi import keyed
from protocols.rows import Bytes, Indices, schema, to_rows

SEAL_LABEL = "cleanroom/keyed-amounts/1"


# -- an owner


def send_as_owner(side: Side, channel: Channel) -> tuple[keyed.Sent, PrivateKey | None]:
    """Send this party's tokens, the tokens of its columns in the question, and its slots."""
    slots = side.contract.slots_of(side.dataset.name)
    items = side.digests()
    widths: dict[str, int] = {}
    held: dict[str, Bytes] = {}
    fill: dict[str, bytes] = {}
    key = None
    with side.stage("tokens"):
        for column in side.own(side.query.by):
            name = f"{side.dataset.name}.{column}"
            unknown = side.dataset.column(column).cells - 1
            tokens = keyed.value_tokens(side.room_key, name, np.append(side.codes(column), unknown))
            held[name], fill[name], widths[name] = tokens[:-1], tokens[-1].tobytes(), keyed.VALUE_BYTES
    if slots and side.own(side.query.sums):
        with side.stage("encrypt"):
            key = side.paillier(slots)
            layout, rows = side.slot_rows(slots, key)
            name = f"{side.dataset.name}.{SLOTS}"
            nobody = layout.encode(np.array([-1]), np.zeros((1, len(layout.amounts)), np.int64), key.public)
            held[name], fill[name], widths[name] = rows, cipher.encrypt(key, nobody).tobytes(), rows.shape[1]
    with side.stage("match"):
        sent = keyed.owner(
            channel,
            side.room_key,
            items,
            widths,
            lambda rows: {name: values[rows] for name, values in held.items()},
            canaries=side.canaries(side.party, items.shape[1]),
            fill=fill,
        )
    return sent, key


def open_as_owner(side: Side, channel: Channel, key: PrivateKey) -> list[int]:
    """Decrypt the masked sums of released groups, and seal them for those who hold the room key; the groups' people."""
    slots = side.contract.slots_of(side.dataset.name)
    if slots is None:
        raise BadMessage("A message is not in the form that this version knows.")
    layout = cell_layout(side.contract, side.dataset, slots)
    groups = take(hear(channel, "sums.groups"), "groups", int)
    if not 0 <= groups <= most_groups(side.contract, side.query.by):
        raise malformed()
    rows = receive_rows(channel, "sums.rows", rows=groups, width=layout.plaintexts * key.public.width)
    totals = answer.open_sums(key, layout, rows)
    if (totals.counts < side.rules.k).any():
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
        named = take(tokens, name, list)
        if not all(type(token) is str and token in code_of for token in named):
            raise BadMessage("The operator named a value token that no cell has.")
        by[name] = [code_of[token] for token in named]
    sums: dict[str, list[int]] = {}
    for dataset in side.contract.datasets:
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


def receive_as_operator(side: Side, channels: Mapping[str, Channel], enclave: Enclave) -> dict[str, PublicKey]:
    """Both owners' rows into the enclave, canaries checked and taken out, matched; the owners' keys by dataset."""
    keys: dict[str, PublicKey] = {}
    tokens: dict[str, Bytes] = {}
    for dataset in side.contract.datasets:
        channel = channels[dataset.owner]
        widths = {name: keyed.VALUE_BYTES for name in side.query.by if split_name(name)[0] == dataset.name}
        slots = side.contract.slots_of(dataset.name)
        if slots and any(split_name(name)[0] == dataset.name for name in side.query.sums):
            keys[dataset.name] = public = side.peer_paillier(slots)
            layout = cell_layout(side.contract, dataset, slots)
            widths[f"{dataset.name}.{SLOTS}"] = layout.plaintexts * public.width
        received = keyed.operator(channel, widths, most=dataset.rows)
        parts: list[Bytes] = []
        enclave.load(dataset.name, schema({"token": keyed.TOKEN_BYTES, **widths}), _seen(received.batches, parts))
        tokens[dataset.name] = np.concatenate(parts)
    left, right = (side.contract.dataset(name) for name in (side.contract.match.left, side.contract.match.right))
    named = {dataset.name: keyed.named_canaries(channels[dataset.owner]) for dataset in (left, right)}
    dummies = keyed.check_canaries(named[left.name], named[right.name], tokens[left.name], tokens[right.name])
    enclave.drop_tokens(dummies)
    return keys


def _seen(batches: Iterator[pa.RecordBatch], parts: list[Bytes]) -> Iterator[pa.RecordBatch]:
    """The batches as they pass, their tokens kept in `parts`."""
    for batch in batches:
        parts.append(to_rows(batch.column(0)).copy())
        yield batch


def answer_as_operator(
    side: Side, channels: Mapping[str, Channel], enclave: Enclave, keys: Mapping[str, PublicKey]
) -> dict[str, Any]:
    """Count, threshold, have the owners open the sums of released groups; what every recipient is told."""
    size = enclave.match(side.contract.match.left, side.contract.match.right)
    slots = tuple(f"{dataset}.{SLOTS}" for dataset in keys)
    groups = enclave.run(Query(side.query.by, slots), {dataset: public.n for dataset, public in keys.items()})
    numbered = groups.table.append_column("group", pa.array(np.arange(len(groups.table))))
    released = release_groups(numbered, side.query.by, side.rules)
    chosen = released.table.column("group").to_numpy()
    people = released.table.column(PEOPLE).to_numpy()
    told: dict[str, Any] = {
        "tokens": {name: [value.hex() for value in released.table.column(name).to_pylist()] for name in side.query.by},
        "people": people.tolist(),
        "withheld": released.withheld,
        "size": _plain(size_range(size, side.rules.k)),
        "sealed": {},
        "masks": {},
    }
    for name, public in keys.items():
        dataset = side.contract.dataset(name)
        sums = groups.ciphertexts[name][chosen]
        sealed, masks = _opened(side, channels[dataset.owner], dataset, public, sums, people)
        told["sealed"][name], told["masks"][name] = sealed, masks
    return told


def _opened(side: Side, channel: Channel, dataset: Dataset, public: PublicKey, sums: Bytes,
            people: Indices) -> tuple[str, str]:  # fmt: skip
    """An owner's sealed sums, and the masks that the recipients take off."""
    slots = side.contract.slots_of(dataset.name)
    if slots is None:
        raise BadMessage("A message is not in the form that this version knows.")
    layout = cell_layout(side.contract, dataset, slots)
    rows, masks = answer.prepare(public, layout, sums, people)
    tell(channel, "sums.groups", {"groups": len(people)})
    send_rows(channel, "sums.rows", rows)
    return take(hear(channel, "sums.sealed"), "sealed", str), answer.pack_amounts(masks[:, 0]).tobytes().hex()


def send_members(side: Side, channels: Mapping[str, Channel], enclave: Enclave) -> None:
    """Tell the receiver alone which of its rows matched, where the contract says so."""
    if side.contract.match.output != "members":
        return
    receiver = side.contract.match.receiver
    positions = enclave.matched_positions(side.contract.dataset_of(receiver).name)
    keyed.send_matched(channels[receiver], positions.to_numpy())


def _plain(size: Range) -> list[int]:
    return [size.low, size.high, int(size.withheld)]
