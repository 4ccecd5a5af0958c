"""A released table is laid out as the question says, and quantiles are read off its histogram, from nothing else."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.answer.release import AMOUNT
from cleanroom.enclave.query import split_name
from cleanroom.gate.ask import Ask
from cleanroom.gate.gate import ask
from cleanroom.layout import arranged, laid_out, quantile, widths
from cleanroom.privacy import accounting, noise
from cleanroom.rooms.terms import Annex
from tests.gate.parts import SCHEMA, VISITS


class Labels:
    """As much of a room as the layout asks: the labels of a column's cells."""

    def annex(self, dataset: str, column: str) -> Annex:
        field = next(f for f in SCHEMA.fields if (f.dataset, f.column) == (dataset, column))
        return Annex(dataset, column, "00" * 16, field.labels, field.edges)


ROOM: Any = Labels()
ROWS = [
    ("gold", "< 31", 100, 1000_00),
    ("gold", "31 – 61", 250, 500_50),
    ("gold", "unknown", 900, 9_00),
    ("silver", "≥ 61", 200, 80_00),
    ("other", "unknown", 120, 1_00),
]


def released(asked: Ask, rows: list[tuple[Any, ...]]) -> pa.Table:
    """A table of labels by column, people, and the sums in minor units."""
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in (*asked.by, 0, *asked.sums)]
    width = len(asked.by)
    table = {name: pa.array(columns[at], pa.string()) for at, name in enumerate(asked.by)}
    table["people"] = pa.array(columns[width], pa.int64())
    table |= {name: pa.array(list(map(Decimal, columns[width + 1 + at])), AMOUNT) for at, name in enumerate(asked.sums)}
    return pa.table(table)


def shown(sql: str, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    asked = ask(sql, SCHEMA)
    return laid_out(asked, released(asked, rows), None, ROOM)


def test_a_quantile_folds_its_bucket() -> None:
    """People and sums are added up; the unknown count as people, and not for the quantile."""
    sql = (
        "SELECT tier, COUNT(*), SUM(spend), AVG(spend), MEDIAN(visits), APPROX_QUANTILE(visits, 0.1) AS low "
        "FROM matched GROUP BY tier"
    )
    assert shown(sql, ROWS) == [
        {"tier": "gold", "people": 1250, "spend": 1509.5, "spend_average": 1.21, "visits_median": "31 – 61",
         "low": "< 31"},
        {"tier": "silver", "people": 200, "spend": 80.0, "spend_average": 0.4, "visits_median": "≥ 61", "low": "≥ 61"},
        {"tier": "other", "people": 120, "spend": 1.0, "spend_average": 0.01, "visits_median": None, "low": None},
    ]  # fmt: skip


def test_how_many_noised_numbers_were_added_up_is_told() -> None:
    """An interval must grow with them."""
    asked = ask("SELECT tier, COUNT(*), SUM(spend), MEDIAN(visits) FROM matched GROUP BY tier", SCHEMA)
    assert [group.cells for group in arranged(asked, released(asked, ROWS), ROOM)] == [3, 1, 1]
    plain = ask("SELECT tier, visits, COUNT(*), SUM(spend) FROM matched GROUP BY tier, visits", SCHEMA)
    assert [group.cells for group in arranged(plain, released(plain, ROWS), ROOM)] == [1] * len(ROWS)


@pytest.mark.parametrize(
    ("order", "tiers"),
    [
        ("MEDIAN(visits)", ["gold", "silver", "other"]),
        ("visits_median DESC", ["silver", "gold", "other"]),
        ("2", ["gold", "silver", "other"]),
    ],
)
def test_order_by_a_quantile(order: str, tiers: list[str]) -> None:
    """By the order of the cells; who has none comes last either way."""
    sql = f"SELECT tier, MEDIAN(visits) FROM matched GROUP BY tier ORDER BY {order}"
    assert [row["tier"] for row in shown(sql, [row[:3] for row in ROWS])] == tiers


def test_everybody_has_one_quantile() -> None:
    """Without a column there is one row, and none where nothing was released."""
    sql = "SELECT MEDIAN(visits), APPROX_QUANTILE(visits, 0.955) FROM matched"
    rows = [(label, count) for label, count in zip(VISITS, (10, 80, 10, 500, 500), strict=True)]
    assert shown(sql, rows) == [{"visits_median": "31 – 61", "visits_p95.5": "≥ 61"}]
    assert shown(sql, []) == []


def test_a_shown_bucket_is_its_own_quantile() -> None:
    """A group within one cell has that cell for its median."""
    sql = "SELECT visits, COUNT(*), MEDIAN(visits) AS m FROM matched GROUP BY visits ORDER BY visits DESC"
    rows = [("< 31", 100), ("≥ 61", 50), ("unknown", 70)]
    assert [(row["visits"], row["m"]) for row in shown(sql, rows)] == [
        ("≥ 61", "≥ 61"), ("< 31", "< 31"), ("unknown", None)]  # fmt: skip


def test_order_limit_and_titles() -> None:
    """Labels as the contract declares them, numbers by size, the unknown last; titles made distinct."""
    sql = "SELECT tier, COUNT(*) tier, COUNT(*) tier FROM matched GROUP BY ALL"
    rows = [("unknown", 500), ("silver", 300), ("gold", 300)]
    assert [row["tier"] for row in shown(sql + " ORDER BY 1 DESC", rows)] == ["silver", "gold", "unknown"]
    assert shown(sql + " ORDER BY 2 DESC, 1 LIMIT 2", rows) == [
        {"tier": "unknown", "tier_2": 500, "tier_3": 500},
        {"tier": "gold", "tier_2": 300, "tier_3": 300},
    ]


def test_a_size_is_a_range() -> None:
    """COUNT(*) of everybody alone."""
    asked = ask("SELECT COUNT(*), COUNT(DISTINCT person) AS n FROM matched", SCHEMA)
    size = {"range": [200, 499], "withheld": False}
    assert laid_out(asked, released(asked, [(300,)]), size, ROOM) == [{"people": "200–499", "n": "200–499"}]


def test_noised_counts_may_be_anything() -> None:
    """Below zero counts as nobody; an average over nobody is none."""
    assert quantile({"a": -5, "b": -1}, ("a", "b"), 500) is None
    assert quantile({"a": -500, "b": 3}, ("a", "b"), 1) == "b"
    row = shown("SELECT AVG(spend) FROM matched", [(-3, 100)])
    assert row == [{"spend_average": None}]


@given(st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any), st.integers(1, 999))
def test_a_quantile_is_the_databases(counts: list[int], per_mille: int) -> None:
    """numpy judges: the inverted distribution function of the cells' numbers, each repeated."""
    cells = np.repeat(np.arange(3), counts)
    at = int(np.ceil(len(cells) * per_mille / 1000 - 1e-9))
    assert quantile(dict(zip(VISITS, counts, strict=False)), VISITS[:3], per_mille) == VISITS[cells[at - 1]]


def test_labels_stand_in_the_tests_as_in_the_schema() -> None:
    """The stand-in for a room holds what the gate was told."""
    assert ROOM.annex(*split_name("users.visits")).labels == VISITS


def test_widths_hold_the_true_numbers_nineteen_times_in_twenty() -> None:
    """Of counts, sums and averages, also where cells with noise of their own were added up for a quantile."""
    sql = (
        "SELECT tier, COUNT(*) AS n, SUM(spend) AS total, AVG(spend) AS mean, MEDIAN(visits) FROM matched GROUP BY tier"
    )
    asked = ask(sql, SCHEMA)
    people, cents, reach, sigma = 4000, 2_000_000, 1_000, 20
    told = {"sigma": sigma, "draws": 1, "people": accounting.half_width(sigma)}
    told["sums"] = {asked.sums[0]: told["people"] * reach / 100}
    held = {"n": 0, "total": 0, "mean": 0}
    exact = {"n": 2 * people, "total": 2 * cents / 100, "mean": cents / 100 / people}
    drawn = noise.draw([sigma, sigma * reach], 2 * 1500).reshape(1500, 2, 2)
    for tries in drawn.tolist():
        cells = [
            ("gold", label, people + n, cents + s) for label, (n, s) in zip(("< 31", "31 – 61"), tries, strict=True)
        ]
        table = released(asked, cells)
        (row,), (width,) = laid_out(asked, table, None, ROOM), widths(asked, arranged(asked, table, ROOM), told)
        for title in held:
            held[title] += abs(row[title] - exact[title]) <= width[title]
    assert all(0.93 < count / 1500 < 0.972 for count in held.values()), held
