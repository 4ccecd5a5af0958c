"""The cube as it is priced and stored: what is not one is refused by name."""

import contextlib
import dataclasses
import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.plan import cube
from cleanroom.plan.cube import MONTHLY_RHO, WEEKLY_RHO, Cube
from tests.plan import world


def test_the_total_each_column_each_pair_in_one_order() -> None:
    assert cube.tables(["b", "a", "c"]) == ((), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"))
    with pytest.raises(UsageError):
        cube.tables(["a", "a"])


def test_twelve_columns_a_month_have_the_noise_that_was_promised() -> None:
    order = cube.tables([f"c{at}" for at in range(12)])
    assert len(order) == 79
    assert cube.sigma_for(order, MONTHLY_RHO) == 20
    known = cube.errors({table: np.zeros([8] * len(table), np.int64) for table in order}, 20, 1)
    assert math.isclose(1.96 * known.of_blocks(("c0", "c1"), np.ones((1, 2)))[0], 36, abs_tol=3)


@given(st.integers(1, 40), st.integers(50, 500_000))
def test_sigma_is_the_least_that_the_budget_allows(columns: int, rho: int) -> None:
    order = cube.tables([f"c{at}" for at in range(columns)])
    try:
        sigma = cube.sigma_for(order, rho)
    except Refused:
        assert cube.price(order, cube.MOST_SIGMA) > rho
        return
    assert cube.price(order, sigma) <= rho
    assert sigma == cube.LEAST_SIGMA or cube.price(order, sigma - 1) > rho


def test_a_month_of_weekly_plans_costs_a_monthly_one() -> None:
    assert 5 * WEEKLY_RHO == MONTHLY_RHO


def test_too_many_cells_are_refused_before_anything_is_charged() -> None:
    cube.check_sizes({f"c{at}": 20 for at in range(64)})
    with pytest.raises(Refused):
        cube.check_sizes({f"c{at}": 256 for at in range(20)})
    with pytest.raises(Refused):
        cube.check_sizes({f"c{at}": 2 for at in range(65)})


def test_what_is_stored_comes_back() -> None:
    made, _, _ = world.small()
    content = made.to_bytes()
    back = Cube.from_bytes(content)
    assert back.to_bytes() == content
    assert dict(back.columns) == world.LABELS
    assert back.made == world.MADE
    assert all((back.counts[table] == counts).all() for table, counts in made.counts.items())


def test_a_receipt_can_name_the_cube_that_names_it() -> None:
    made, _, _ = world.small()
    other = dataclasses.replace(made, receipt="ef" * 32)
    assert made.digest == other.digest
    counts = {**made.counts, (): made.counts[()] + 1}
    assert dataclasses.replace(made, counts=counts).digest != made.digest


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(BadData, match="does not know"):
        Cube.from_bytes(world.small()[0].to_bytes().replace(b"cube/1", b"cube/2"))


STORED = world.small()[0].to_bytes()


@given(st.integers(0, len(STORED) - 1), st.integers(0, 255), st.booleans())
def test_changed_bytes_are_refused_or_are_another_cube(place: int, value: int, cut: bool) -> None:
    changed = STORED[:place] if cut else STORED[:place] + bytes([value]) + STORED[place + 1 :]
    with contextlib.suppress(BadData):
        assert Cube.from_bytes(changed).to_bytes() == changed


def test_the_same_cube_cannot_be_written_otherwise() -> None:
    start = len(cube.FORMAT) + 4
    header = STORED[start : start + int.from_bytes(STORED[start - 4 : start], "little")]
    body = STORED[start + len(header) :]
    others = (header + b" ", header.replace(b'"made"', b'"more":1,"made"'), header.replace(b"+00:00", b"Z"))
    for content in (STORED + b"\0", STORED[:-8], *(_packed(each, body) for each in others)):
        with pytest.raises(BadData):
            Cube.from_bytes(content)


def _packed(header: bytes, body: bytes) -> bytes:
    return cube.FORMAT + len(header).to_bytes(4, "little") + header + body


@pytest.mark.parametrize(
    "header",
    [
        b"", b"{}", b"[]", b"null", b"1", b'{"columns":1}', b'{"columns":[["a",["x"]]]}', b"\xff", b"[" * 5000,
        b'{"columns":[["a","xy"]],"room":"r"}',
    ],
)  # fmt: skip
def test_other_headers_are_refused(header: bytes) -> None:
    with pytest.raises(BadData):
        Cube.from_bytes(_packed(header, bytes(64)))


@pytest.mark.parametrize(
    "changes",
    [
        {"made": dt.datetime(2026, 11, 22)}, {"sigma": 0}, {"k": 0}, {"columns": {}}, {"draws": {(): 1}},
        {"counts": {(): np.array(3)}}, {"made": world.MADE.replace(microsecond=1)},
        {"columns": {**world.LABELS, "crm.tier": ("a", "a", "b", "c", "d")}},
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadData):
        dataclasses.replace(world.small()[0], **changes)  # type: ignore[arg-type]
