"""An owner's own part of a crowd's rule: which of its rows, and of people in its lists, take part in the match.

Runs at the data's owner, over its own cells and lists. What the other side brings is not known here.

A rule that mixes both sides in its alternatives is cut into classes: a person of one side and one of the other are in
the crowd if and only if their classes, sets of alternatives as bits, meet. One class needs no column at all.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom import canonical
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.lookalike_request import of_room
from cleanroom.crowds.selection import Box, Listed, Selection, Within
from cleanroom.enclave.query import Where, split_name
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.matching import cells
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room
from protocols.rows import Bytes

MOST_CLASS_BITS = 8
FILLED_UP = 1_000
"""People without a row are brought in so many at a time, the last filled up."""
LABEL = "cleanroom/selected/1"
FOR_PEERS = "lookalike"
"""The kind of lists that an owner makes for what a peer asks."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Chosen:
    """What an owner brings to the match of a crowd.

    items: uint8[rows + others, w]: the digest of every row of its dataset, then of people in its lists who have no row;
    in place of whoever is not meant, and to fill up the last ones, random bytes, so that the number of items does not
    tell how many are meant; rows: of the dataset; classes: of every item, 0 where not meant; digest: which only this
    owner can make again.
    """

    items: Bytes
    rows: int
    classes: NDArray[np.int64]
    digest: str


@dataclass(frozen=True)
class Classes:
    """bits: how many; of: by dataset the class of everybody whom a part of a box means, parts in order."""

    bits: int
    of: Mapping[str, Mapping[Box, int]]


def classes(contract: Contract, selection: Selection) -> Classes:
    """Raises Refused for too many alternatives that mix both sides."""
    names = [dataset.name for dataset in contract.datasets]
    parts = {name: selection.of(name) for name in names}
    distinct = {name: tuple(dict.fromkeys(parts[name])) for name in names}
    few, many = sorted(names, key=lambda name: (len(distinct[name]), names.index(name)))
    meets: dict[Box, set[Box]] = {part: set() for part in distinct[few]}
    for own, other in zip(parts[few], parts[many], strict=True):
        meets[own].add(other)
    alike = list(dict.fromkeys(frozenset(met) for met in meets.values()))  # parts that meet the same are one class
    if len(alike) > MOST_CLASS_BITS:
        raise Refused(
            "The rule has more than {most} alternatives that mix both sides.",
            "Split the crowd: each of the two may be a union of its own.",
            most=MOST_CLASS_BITS,
        )
    bit = {part: 1 << alike.index(frozenset(met)) for part, met in meets.items()}
    met = dict.fromkeys(distinct[many], 0)
    for own, other in zip(parts[few], parts[many], strict=True):
        met[other] |= bit[own]
    return Classes(len(alike), {few: bit, many: met})


def where(contract: Contract, selection: Selection, column: Mapping[str, str]) -> Where:
    """Who is in the crowd, by the columns (dataset → dataset.column) that hold classes; () where all chosen who match
    are. Raises Refused as `classes`, and between two parties alone for more than one class."""
    found = classes(contract, selection)
    if found.bits == 1:
        return ()
    if contract.match.protocol != "keyed":
        raise Refused(
            "Between two parties alone, a crowd cannot be made by alternatives that mix both sides.",
            "Make one crowd of each, or use a room with a neutral enclave.",
        )
    sets = range(1, 1 << found.bits)
    boxes = []
    for bit in range(found.bits):
        holding = tuple(each for each in sets if each >> bit & 1)
        boxes.append(tuple((column[name], holding) for name in sorted(column)))
    return tuple(boxes)


def choose(home: Home, room: Room, selection: Selection, *, by_peer: bool = False) -> Chosen:
    """What this owner brings by the rule. by_peer: another party asks, who may name no list of this owner's but those
    made for peers of this room. Raises Refused above the contract's bound of rows, and for such a list."""
    if by_peer:
        dataset = room.contract.dataset_of(home.party).name
        made = {head.code for head in Lists(home).names(FOR_PEERS)}
        named = {code.partition("@")[0] for code in selection.lists(dataset)}
        if not named <= made or not all(code.startswith(of_room(room.contract.room)) for code in named):
            raise Refused("A crowd names a list that is its owner's alone.", "Name lists of your own.")
    return _choose(home, room, selection, os.urandom)


def _choose(home: Home, room: Room, selection: Selection, draw: Callable[[int], bytes]) -> Chosen:
    contract = room.contract
    dataset = contract.dataset_of(home.party)
    found = classes(contract, selection).of[dataset.name]
    own = _Own(home, room, dataset.name, selection)
    of_rows = np.zeros(len(own.digests), np.int64)
    of_others = np.zeros(len(own.others), np.int64)
    for part, bits in found.items():
        of_rows[own.rows_in(part)] |= bits
        of_others[own.others_in(part)] |= bits
    listed = np.flatnonzero(of_others)
    filled = -(-len(listed) // FILLED_UP) * FILLED_UP
    if len(of_rows) + filled > dataset.rows:
        raise Refused(
            "The dataset {dataset} and the people listed beside it are more rows than the contract allows.",
            "Agree on a larger bound of rows.",
            dataset=dataset.name,
        )
    width = own.digests.shape[1]
    items = np.frombuffer(draw((len(of_rows) + filled) * width), np.uint8).reshape(-1, width).copy()
    meant = np.flatnonzero(of_rows)
    items[meant] = own.digests[meant]
    items[len(of_rows) : len(of_rows) + len(listed)] = own.others[listed]
    found_classes = np.zeros(len(items), np.int64)
    found_classes[: len(of_rows)] = of_rows
    found_classes[len(of_rows) : len(of_rows) + len(listed)] = of_others[listed]
    return Chosen(items, len(of_rows), found_classes, own.digest())


class _Own:
    """The cells and lists of one owner that a rule names."""

    def __init__(self, home: Home, room: Room, dataset: str, selection: Selection) -> None:
        self._home, self._selection, vault = home, selection, home.vault
        self._manifest = vault.manifest(dataset).digest
        self._dataset = dataset
        names = [name for name in selection.columns if split_name(name)[0] == dataset]
        self._codes = {name: cells.codes(vault, dataset, room.annex(*split_name(name))) for name in names}
        lists = Lists(home)
        self._lists = {code: lists.digests(code) for code in selection.lists(dataset)}
        self.digests = vault.digests(dataset)
        self._among = {code: _among(self.digests, held) for code, held in self._lists.items()}
        self.others = self._without_rows(selection, dataset)
        self._others_among = {code: _among(self.others, held) for code, held in self._lists.items()}

    def _without_rows(self, selection: Selection, dataset: str) -> Bytes:
        """Distinct digests of people whom a list brings in, and who have no row here."""
        literals = (each for box in selection.of(dataset) for each in box)
        codes = sorted({each.code for each in literals if isinstance(each, Listed) and each.inside})
        width = self.digests.shape[1]
        brought = [self._lists[code] for code in codes if self._lists[code].shape[1] == width]
        if not brought:
            return np.empty((0, width), np.uint8)
        people = np.unique(np.concatenate(brought), axis=0)
        return np.asarray(people[~_among(people, self.digests)])

    def rows_in(self, part: Box) -> Mask:
        """Which rows of the dataset a part means; one without literals all."""
        found = np.ones(len(self.digests), np.bool_)
        for each in part:
            if isinstance(each, Within):
                found &= _in_cells(self._codes[each.column], each.cells)
            else:
                found &= self._among[each.code] == each.inside
        return found

    def others_in(self, part: Box) -> Mask:
        """Which people without a row: those whom lists alone mean."""
        listed = [each for each in part if isinstance(each, Listed)]
        if len(listed) < len(part) or not any(each.inside for each in listed):
            return np.zeros(len(self.others), np.bool_)
        found = np.ones(len(self.others), np.bool_)
        for each in listed:
            found &= self._others_among[each.code] == each.inside
        return found

    def digest(self) -> str:
        """Of the dataset's version, the rule and the lists' contents, under this party's key: it tells nobody else
        whether a list is the one of before, unless nothing changed."""
        content = canonical.encode({
            "manifest": self._manifest, "rule": self._selection.plain(),
            "lists": [[code, hashlib.sha256(held.tobytes()).hexdigest()] for code, held in sorted(self._lists.items())],
        })  # fmt: skip
        return hashlib.sha256(self._home.keys.sign(LABEL, hashlib.sha256(content).digest())).hexdigest()


def _in_cells(codes: NDArray[np.int64], cells: tuple[int, ...]) -> Mask:
    if not len(codes):
        return np.zeros(0, np.bool_)
    table = np.zeros(max(int(codes.max()), max(cells)) + 1, np.bool_)
    table[list(cells)] = True
    return np.asarray(table[codes])


def _among(people: Bytes, held: Bytes) -> Mask:
    """Which rows of `people` (uint8[n, w]) stand in `held`."""
    if not len(people) or not len(held) or people.shape[1] != held.shape[1]:
        return np.zeros(len(people), np.bool_)
    heads, theirs = _heads(people), np.unique(_heads(held))
    place = np.minimum(np.searchsorted(theirs, heads), len(theirs) - 1)
    found = theirs[place] == heads  # by eight bytes; then by all
    chosen = np.flatnonzero(found)
    found[chosen] = pc.is_in(_column(people[chosen]), value_set=_column(held)).to_numpy(zero_copy_only=False)
    return np.asarray(found)


def _column(rows: Bytes) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))]
    )


def _heads(rows: Bytes) -> NDArray[np.uint64]:
    return np.ascontiguousarray(rows[:, :8]).view(np.uint64).ravel()
