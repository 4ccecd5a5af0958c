"""Places as sets of H3 cells: "within 3 to 5 km of a mall" is a set, and nobody's coordinate is ever asked for.

H3: https://h3geo.org/docs/core-library/h3Indexing. A cell's parent is found by its bits: nothing loops over rows.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrays import Flags
from connectors.errors import InputError
from connectors.identity.texts import as_texts, uniform

MOST_CELLS = 50_000
MOST_PLACES = 8
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_EARTH_KM = 6371.0088
_LETTER = np.full(256, 255, np.uint8)
_LETTER[np.frombuffer(b"0123456789abcdefABCDEF", np.uint8)] = [*range(10), *range(10, 16), *range(10, 16)]


@dataclass(frozen=True)
class Place:
    """All that lies from `from_km` up to `to_km` (as the crow flies) of a point, by the centres of H3 cells of
    `resolution` (8: cells 0.9 km across, 9: 0.35 km). Raises InputError."""

    name: str
    lat: float
    lng: float
    to_km: float
    from_km: float = 0.0
    resolution: int = 8

    def __post_init__(self) -> None:
        numbers = (self.lat, self.lng, self.to_km, self.from_km)
        if not _NAME.fullmatch(self.name) or not all(isinstance(one, int | float) for one in numbers):
            raise InputError("{place} is no name for a place, or it lacks numbers.", "As in name = \"mall\".",
                             place=str(self.name))  # fmt: skip
        if not (abs(self.lat) <= 90 and abs(self.lng) <= 180 and 0 <= self.from_km < self.to_km <= 200):
            raise InputError(
                "The place {place} does not lie on the map.",
                "Latitude within 90, longitude within 180, 0 ≤ from_km < to_km ≤ 200.",
                place=self.name,
            )
        if not isinstance(self.resolution, int) or not 5 <= self.resolution <= 10:
            raise InputError(
                "The place {place} has a resolution that is not offered.", "Take 5 to 10.", place=self.name
            )

    @property
    def column(self) -> str:
        """The yes/no column of a dataset."""
        return f"near_{self.name}"

    @cached_property
    def cells(self) -> NDArray[np.uint64]:
        """The cells whose centre lies in the ring, ascending. Raises InputError where there would be too many."""
        import h3

        edge = h3.average_hexagon_edge_length(self.resolution, unit="km")
        if math.pi * self.to_km**2 / h3.average_hexagon_area(self.resolution, unit="km^2") > MOST_CELLS:
            raise InputError("The place {place} has more than {most} cells.", "Take a coarser resolution.",
                             place=self.name, most=MOST_CELLS)  # fmt: skip
        # a step between neighbours is √3 edges on average; a cell's own edge varies by about a third
        steps = math.ceil(self.to_km / (edge * math.sqrt(3) * 0.7)) + 1
        disk = list(h3.grid_disk(h3.latlng_to_cell(self.lat, self.lng, self.resolution), steps))
        centres = np.radians(np.array([h3.cell_to_latlng(cell) for cell in disk]))
        away = _distance(centres, math.radians(self.lat), math.radians(self.lng))
        inside = (away >= self.from_km) & (away < self.to_km)
        found = np.array([int(cell, 16) for cell in disk], np.uint64)[inside]
        return np.sort(found)


def near(cells: NDArray[np.uint64], place: Place) -> Flags:
    """bool[n]: which H3 cells (uint64, of the place's resolution or finer; 0: not known) lie in the place."""
    known = resolution_of(cells) >= place.resolution
    return known & np.isin(parents(cells, place.resolution), place.cells)


def parse_cells(values: pa.Array) -> NDArray[np.uint64]:
    """H3 cells as uint64 out of a column of their 15 hexadecimal digits, or of integers; 0 for anything else."""
    if pa.types.is_integer(values.type):
        found = np.asarray(values.fill_null(0)).astype(np.uint64)
    else:
        fits, rows = uniform(as_texts(values), 15)
        digits = _LETTER[rows]
        good = (digits < 16).all(1)
        found = np.zeros(len(values), np.uint64)
        total = np.zeros(len(rows), np.uint64)
        for place in range(15):
            total = (total << np.uint64(4)) | (digits[:, place] & 15).astype(np.uint64)
        found[fits] = np.where(good, total, 0)
    mode = (found >> np.uint64(59)) & np.uint64(0xF)
    return np.where(mode == 1, found, 0).astype(np.uint64)


def resolution_of(cells: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The resolution of each cell; -1 where there is none."""
    found: NDArray[np.int64] = np.where(cells > 0, (cells >> np.uint64(52)) & np.uint64(0xF), 0).astype(np.int64)
    return np.where(cells > 0, found, -1)


def parents(cells: NDArray[np.uint64], resolution: int) -> NDArray[np.uint64]:
    """The cell of a coarser resolution that holds each: its number in bits 52 to 55, and 7 in each digit below."""
    below = np.uint64((1 << 3 * (15 - resolution)) - 1)
    numbered = (cells & ~np.uint64(0xF << 52)) | np.uint64(resolution << 52)
    return numbered | below


def _distance(centres: NDArray[np.float64], lat: float, lng: float) -> NDArray[np.float64]:
    """Kilometres on the sphere (haversine) of each (lat, lng) in radians from a point."""
    half = np.sin((centres[:, 0] - lat) / 2) ** 2
    half = half + np.cos(centres[:, 0]) * math.cos(lat) * np.sin((centres[:, 1] - lng) / 2) ** 2
    away: NDArray[np.float64] = 2 * _EARTH_KM * np.arcsin(np.sqrt(half))
    return away
