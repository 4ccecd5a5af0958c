"""Matched rows as DuckDB groups them fastest: every value a small number, the values themselves beside them.

Texts and tokens become their places in sorted order, so that groups come in the order of the values and no value stands
in any SQL. Whole numbers keep their worth, in as few bytes as hold them all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cleanroom.enclave import tables
from cleanroom.enclave.query import Query, Where

WIDTHS = (pa.uint8(), pa.int8(), pa.uint16(), pa.int16(), pa.uint32(), pa.int32())


@dataclass
class Coding:
    """How the columns of the matched rows are coded."""

    kinds: dict[str, pa.DataType] = field(default_factory=dict)
    """Of each column as it came."""
    values: dict[str, pa.Array] = field(default_factory=dict)
    """Of each text or token column the values, sorted: a code is a place among them."""

    def code(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The column in codes; nulls stay nulls."""
        self.kinds[name] = kind = column.type
        if pa.types.is_integer(kind):
            return narrow(column)
        if pa.types.is_boolean(kind) or pa.types.is_date32(kind):
            return column
        encoded = column.dictionary_encode().unify_dictionaries()
        found = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], kind)
        order = tables.as_numbers(pa.chunked_array([pc.sort_indices(found).cast(pa.int64())]))
        self.values[name] = found.take(tables.as_array(order))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        places = narrow(pa.chunked_array([tables.as_array(place)]))
        return pa.chunked_array([places.take(piece.indices).combine_chunks() for piece in encoded.chunks], places.type)

    def decoded(self, name: str, codes: pa.ChunkedArray) -> pa.ChunkedArray:
        """The values of `codes`, in the type in which they came."""
        if name in self.values:
            return pa.chunked_array([self.values[name].take(codes.combine_chunks().cast(pa.int64()))])
        return pc.cast(codes, self.kinds[name])

    def coded(self, query: Query) -> Query:
        """The same question with the condition in codes; tokens that nobody has are gone."""
        return Query(query.by, query.sums, self._where(query.where))

    def _where(self, where: Where) -> Where:
        return tuple(tuple((name, self._cells(name, cells)) for name, cells in box) for box in where)

    def _cells(self, name: str, cells: tuple[int | str, ...]) -> tuple[int | str, ...]:
        if name not in self.values:
            return cells
        wanted = pa.array([bytes.fromhex(str(cell)) for cell in cells], self.kinds[name])
        return tuple(pc.index_in(wanted, self.values[name]).drop_null().to_pylist())


def narrow(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers in the smallest type that holds them all."""
    span = pc.min_max(column)
    low, high = span["min"].as_py() or 0, span["max"].as_py() or 0
    for kind in WIDTHS:
        least, most = _RANGES[kind]
        if least <= low and high <= most and kind.bit_width < column.type.bit_width:
            return column.cast(kind)
    return column


_RANGES: Mapping[pa.DataType, tuple[int, int]] = {
    kind: (int(np.iinfo(str(kind)).min), int(np.iinfo(str(kind)).max)) for kind in WIDTHS
}
