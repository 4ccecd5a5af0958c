"""Places as sets of H3 cells, against the library's own distance and parents."""

import h3
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import InputError
from connectors.private_domain.places import Place, near, parents, parse_cells

MALL = Place("mall", 31.23, 121.47, 5, 3)


@given(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08), st.integers(8, 12))
@settings(max_examples=100, deadline=None)
def test_a_cell_is_near_where_the_centre_of_its_parent_is(north: float, east: float, resolution: int) -> None:
    cell = h3.latlng_to_cell(31.23 + north, 121.47 + east, resolution)
    away = h3.great_circle_distance(h3.cell_to_latlng(h3.cell_to_parent(cell, 8)), (31.23, 121.47), unit="km")
    (found,) = near(parse_cells(pa.array([cell])), MALL)
    assert found == (3 <= away < 5)


@given(st.floats(-60, 70), st.floats(-180, 180), st.integers(0, 15), st.data())
@settings(max_examples=100, deadline=None)
def test_parents_by_bits_are_those_of_the_library(lat: float, lng: float, resolution: int, data: st.DataObject) -> None:
    cell, coarser = h3.latlng_to_cell(lat, lng, resolution), data.draw(st.integers(0, resolution))
    assert parents(np.array([int(cell, 16)], np.uint64), coarser).tolist() == [
        int(h3.cell_to_parent(cell, coarser), 16)
    ]


def test_what_is_no_cell_is_nowhere() -> None:
    cell = h3.latlng_to_cell(31.23 + 0.035, 121.47, 9)
    texts = pa.array(
        [cell, cell.upper(), "", None, "zz" + cell[2:], "31.2,121.4", cell + "0", h3.cell_to_parent(cell, 7)]
    )
    assert near(parse_cells(texts), MALL).tolist() == [True, True, *[False] * 6]
    assert near(parse_cells(pa.array([int(cell, 16), 0, None], pa.uint64())), MALL).tolist() == [True, False, False]


@pytest.mark.parametrize("lat,to_km,resolution", [(91, 5, 8), (31, 0, 8), (31, 5, 3), (31, 200, 10)])
def test_places_off_the_map_or_too_large_are_refused(lat: float, to_km: float, resolution: int) -> None:
    with pytest.raises(InputError):
        assert Place("mall", lat, 121, to_km, 0, resolution).cells is None
