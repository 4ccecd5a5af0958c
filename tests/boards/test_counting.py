"""The counting kernel, against pandas."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.errors import BadData, Refused
from cleanroom.insight import counting


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, int], list[tuple[str, ...]], int]:
    """Columns of few cells, often all rows in one, and tables of up to four."""
    rows = draw(st.sampled_from([0, 1, 2, 7, 8191, 8192, 8193, 20_001]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = {name: draw(st.sampled_from([1, 2, 5, 256])) for name in "abcde"}
    columns = {}
    for name, size in sizes.items():
        even = rng.integers(0, size, rows)
        columns[name] = np.where(rng.random(rows) < draw(st.sampled_from([0.0, 0.9])), size - 1, even).astype(np.uint8)
    small = [name for name in "abcde" if sizes[name] < 256]
    tables = [tuple(sorted(rng.choice(small, min(len(small), take), replace=False))) for take in (1, 2, 3, 4)]
    tables += [("a",), tuple("ab"), ()]
    return columns, sizes, list(dict.fromkeys(tables)), rows


@given(worlds())
def test_every_cell_of_every_table_is_as_pandas_counts_it(world: Any) -> None:
    columns, sizes, tables, rows = world
    frame = pd.DataFrame(columns)
    found = counting.count(columns, sizes, tables, rows)
    for table, counts in zip(tables, found, strict=True):
        assert counts.shape == tuple(sizes[name] for name in table)
        assert int(counts.sum()) == rows
        if table and rows:
            expected = frame.groupby(list(table)).size()
            assert {place: int(count) for place, count in np.ndenumerate(counts) if count} == {
                (place if isinstance(place, tuple) else (place,)): count for place, count in expected.items()
            }


def test_threads_count_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    columns = {name: rng.integers(0, 9, 50_000).astype(np.uint8) for name in "ab"}
    whole = counting.count(columns, {"a": 9, "b": 9}, [("a", "b")], 50_000)
    monkeypatch.setattr(counting, "_LEAST", 100)
    parts = counting.count(columns, {"a": 9, "b": 9}, [("a", "b")], 50_000)
    assert (whole[0] == parts[0]).all()


def test_what_does_not_fit_is_refused() -> None:
    codes = np.array([0, 3], np.uint8)
    with pytest.raises(BadData):
        counting.count({"a": codes}, {"a": 3}, [("a",)], 2)
    with pytest.raises(BadData):
        counting.count({"a": codes}, {"a": 4}, [("a",)], 3)
    with pytest.raises(Refused):
        counting.count(dict.fromkeys("abcd", codes), dict.fromkeys("abcd", 256), [tuple("abcd")], 2)
