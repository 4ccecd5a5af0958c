"""The planning cube as it is released: noised counts of all one- and two-way tables of a match, and what they rest on.

A cube holds nothing but noised counts, of every declared cell, empty ones too; which cells have people cannot be seen
from its form. Whoever reads it may compute what they like: all of it is post-processing.

    "cleanroom-cube/1\\n" | u32 LE: bytes of the header | header: canonical JSON | int64 LE: the tables, one by one
"""

import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.plan.consistency import Errors, Estimates, Names, consistent, errors
from cleanroom.privacy import accounting
from cleanroom.privacy.noise import LEAST_SIGMA, MOST_SIGMA
from cleanroom.rooms.terms import MOST_CELLS

FORMAT = b"cleanroom-cube/1\n"
MOST_COLUMNS = 64
MOST_COUNTS = 1 << 23
"""Cells of all tables together: 64 MiB."""
WEEKLY_RHO, MONTHLY_RHO = 20_000, 100_000
"""What a cube costs by default, in millionths of rho: 0.02 a week, 0.1 a month."""
_MOST_HEADER = 1 << 23

Counts = NDArray[np.int64]


def tables(columns: Sequence[str]) -> tuple[Names, ...]:
    """The tables of a cube over these columns: the total (), each column, each pair; names and tables sorted.

    Raises UsageError where a column is named twice.
    """
    names = sorted(set(columns))
    if len(names) != len(columns):
        raise UsageError("A plan names a column twice.")
    return ((), *((name,) for name in names), *combinations(names, 2))


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raises Refused where columns of so many cells make no cube: to be asked before anything is charged."""
    counts = sum(math.prod(sizes[name] for name in table) for table in tables(list(sizes)))
    if not 1 <= len(sizes) <= MOST_COLUMNS or counts > MOST_COUNTS:
        raise Refused(
            "A plan has 1 to {columns} columns and at most {counts} cells in all its tables.",
            "Leave columns out, or declare coarser ones.",
            columns=MOST_COLUMNS,
            counts=f"{MOST_COUNTS:,}",
        )


def price(released: Sequence[Names], sigma: int) -> int:
    """Millionths of rho that these tables cost, each a histogram in which a person stands once."""
    return accounting.rho_micro(sigma, len(released))


def sigma_for(released: Sequence[Names], rho_micro: int) -> int:
    """The least sigma at which these tables cost at most `rho_micro`. Raises Refused where none in use does."""
    sigma = max(LEAST_SIGMA, math.isqrt(len(released) * 500_000 // max(1, rho_micro)))
    while price(released, sigma) > rho_micro:
        sigma += 1
        if sigma > MOST_SIGMA:
            raise Refused("So little budget gives no plan of any use.", "Leave columns out, or plan less often.")
    return sigma


@dataclass(frozen=True, eq=False)
class Cube:
    """A released cube.

    contract, receipt: digests in hex; made: UTC, whole seconds; sigma: of one draw; k: least people of a group shown;
    columns: labels of the cells of each, by `dataset.column`; counts: int64 by table, shaped as the columns' cells;
    draws: how many draws of noise are in each table. Raises BadData where these do not fit together.
    """

    room: str
    contract: str
    made: dt.datetime
    sigma: int
    k: int
    columns: Mapping[str, tuple[str, ...]]
    counts: Mapping[Names, Counts]
    draws: Mapping[Names, int]
    receipt: str

    def __post_init__(self) -> None:
        wanted = tables(list(self.columns))
        shapes = {table: tuple(len(self.columns[name]) for name in table) for table in wanted}
        if not (
            self.made.tzinfo is dt.UTC
            and self.made.microsecond == 0
            and 0 < self.sigma <= MOST_SIGMA
            and self.k > 0
            and 1 <= len(self.columns) <= MOST_COLUMNS
            and all(len(set(labels)) == len(labels) in range(1, MOST_CELLS + 1) for labels in self.columns.values())
            and self.draws.keys() == self.counts.keys() == set(wanted)
            and all(1 <= draws <= 2 for draws in self.draws.values())
            and all(self.counts[table].shape == shapes[table] for table in wanted)
            and all(counts.dtype == np.int64 for counts in self.counts.values())
            and sum(counts.size for counts in self.counts.values()) <= MOST_COUNTS
        ):
            raise damaged()

    @cached_property
    def estimates(self) -> Mapping[Names, Estimates]:
        """The tables made consistent: their margins agree."""
        return consistent(self.counts, self.sigma, self.draws)

    @cached_property
    def errors(self) -> Errors:
        """Standard errors of `estimates` and of sums over them."""
        return errors(self.counts, self.sigma, self.draws)

    @property
    def digest(self) -> str:
        """SHA-256 in hex of everything but the receipt's digest, so that a receipt can name it."""
        return hashlib.sha256(self._written("")).hexdigest()

    def to_bytes(self) -> bytes:
        """As stored; the same cube gives the same bytes."""
        return self._written(self.receipt)

    def _written(self, receipt: str) -> bytes:
        order = tables(list(self.columns))
        header = canonical.encode({
            "room": self.room, "contract": self.contract, "made": self.made.isoformat(), "sigma": self.sigma,
            "k": self.k, "draws": [self.draws[table] for table in order], "receipt": receipt,
            "columns": [[name, list(self.columns[name])] for name in sorted(self.columns)],
        })  # fmt: skip
        bodies = (np.ascontiguousarray(self.counts[table], "<i8").tobytes() for table in order)
        return b"".join((FORMAT, len(header).to_bytes(4, "little"), header, *bodies))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Cube":
        """Of `to_bytes`. Raises BadData for an unknown version or anything malformed."""
        if not content.startswith(FORMAT):
            raise BadData("This plan has a format that this version does not know.", "Update this program.")
        start = len(FORMAT) + 4
        length = int.from_bytes(content[len(FORMAT) : start], "little")
        if length > _MOST_HEADER:
            raise damaged()
        try:
            cube = cls._read(json.loads(content[start : start + length]), content[start + length :])
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise damaged() from error
        if cube.to_bytes() != content:  # no other way to write the same
            raise damaged()
        return cube

    @classmethod
    def _read(cls, header: Any, body: bytes) -> "Cube":
        if len(header["columns"]) > MOST_COLUMNS:
            raise damaged()
        columns = {_text(name): tuple(map(_text, labels)) for name, labels in header["columns"]}
        order, counts, start = tables(list(columns)), {}, 0
        for table in order:
            shape = tuple(len(columns[name]) for name in table)
            end = start + 8 * math.prod(shape)
            counts[table] = np.frombuffer(body[start:end], "<i8").astype(np.int64).reshape(shape)
            start = end
        return cls(
            room=_text(header["room"]), contract=_text(header["contract"]), receipt=_text(header["receipt"]),
            made=dt.datetime.fromisoformat(header["made"]), sigma=_whole(header["sigma"]), k=_whole(header["k"]),
            columns=columns, counts=counts, draws=dict(zip(order, map(_whole, header["draws"]), strict=True)),
        )  # fmt: skip


def damaged() -> BadData:
    """The error for a cube whose parts do not fit together."""
    return BadData("A plan is damaged, or was not made by this program.", "Restore it from a backup.")


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value
