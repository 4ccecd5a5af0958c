"""Codes of folded users as columns of labels. A column that the sources say nothing of is left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.arrays import is_valid, numbers, values_of, words
from connectors.private_domain import ranks
from connectors.private_domain.columns import AMOUNTS, ARM_SLOTS, ATTRIBUTES, CATEGORIES, YES_NO

Codes = NDArray[np.integer]
OUTSIDE = "outside"


@dataclass(frozen=True)
class Labelling:
    """What the sources allow: whether there is a users' table and which of its columns were seen; texts by code of the
    attributes in it (`texts`) and in events (`levels`); columns of places; how many campaigns are named."""

    user: str
    users: bool
    seen: frozenset[str]
    texts: dict[str, list[str]]
    levels: dict[str, list[str]]
    places: tuple[str, ...]
    campaigns: int

    def labelled(self, part: pa.RecordBatch) -> pa.RecordBatch:
        """A part of the fold: its user, dictionary columns, and amounts in decimals with two places."""
        found: dict[str, pa.Array] = {self.user: part.column("u")}
        for column in CATEGORIES:
            if self._certain(column.name):
                found[column.name] = _coded(values_of(part.column(column.name)), column.labels)
        if "consent" in self.seen:
            found["consent"] = _known(values_of(part.column("consent")), YES_NO)
        for column in AMOUNTS:
            unit = 1 if column.name == "net_paid_30d" else 100
            found[column.name] = _decimals(values_of(part.column(column.name)), unit)
        return pa.RecordBatch.from_pydict({**found, **self._attributes(part), **self._slots(part)})

    def _certain(self, name: str) -> bool:
        return self.users if name == "imported" else name != "consent"

    def _attributes(self, part: pa.RecordBatch) -> dict[str, pa.Array]:
        """What the users' table says goes before what events say."""
        found = {}
        for name in (*ATTRIBUTES, *ARM_SLOTS):
            codes = values_of(part.column(f"c_{name}")).astype(np.int32)
            texts, later = self.texts.get(name, []), self.levels.get(name, [])
            if later:
                told = values_of(part.column(f"l_{name}")).astype(np.int32)
                codes = np.where(codes > 0, codes, np.where(told > 0, told + len(texts), 0))
            if name in ARM_SLOTS and name in self.seen:
                found[name] = _coded(codes, (OUTSIDE, *texts))
            elif name in self.seen or later:
                found[name] = _known(codes, [*texts, *later])
        return found

    def _slots(self, part: pa.RecordBatch) -> dict[str, pa.Array]:
        """Yes or no a place, and a campaign."""
        near, slots = (values_of(part.column(name)) for name in ("near", "slots"))
        bits = {place: near >> slot for slot, place in enumerate(self.places) if "cell" in self.seen}
        for slot in range(self.campaigns):
            bits |= {f"exposed_{slot + 1}": slots >> slot, f"engaged_{slot + 1}": slots >> (4 + slot)}
        return {name: _coded(bit & 1, YES_NO) for name, bit in bits.items()}


def decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Dictionaries as their texts."""
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def rfm(parts: Sequence[pa.RecordBatch]) -> Iterator[NDArray[np.uint8]]:
    """The RFM code of each user of each part, ranked over the payers of all parts."""
    payers = [is_valid(part.column("r_back")) for part in parts]
    told = [
        np.concatenate([values_of(part.column(name))[paid] for part, paid in zip(parts, payers, strict=True)])
        for name in ("r_back", "r_days", "r_net")
    ]
    classes, start = ranks.classes(*(values.astype(np.int64) for values in told)), 0
    for paid in payers:
        codes = np.zeros(len(paid), np.uint8)
        count = int(paid.sum())
        codes[paid] = classes[start : start + count]
        start += count
        yield codes


def _coded(codes: Codes, labels: Sequence[str]) -> pa.DictionaryArray:
    kind = np.uint8 if len(labels) < 256 else np.int32
    return pa.DictionaryArray.from_arrays(numbers(codes.astype(kind)), words(labels))


def _known(codes: Codes, texts: Sequence[str]) -> pa.DictionaryArray:
    """The text of each code from 1; null for 0."""
    return pa.DictionaryArray.from_arrays(numbers(codes.astype(np.int32) - 1, codes > 0), words(texts))


def _decimals(values: NDArray[np.int64], unit: int) -> pa.Array:
    """Whole numbers of 1/100, or of 1, as decimals with two places."""
    whole = pc.cast(numbers(values), pa.decimal128(19, 0))
    return whole.view(pa.decimal128(19, 2)) if unit == 1 else pc.cast(whole, pa.decimal128(21, 2))
