"""The model against what its authors published, against mathematics, and against people made up by its own rules."""

import gzip
import math
from datetime import date
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cleanroom.demo
from cleanroom.insight import bgnbd
from cleanroom.insight.bgnbd import History, Model

VECTORS = Path(__file__).parents[1] / "vectors"
CUT = date(1997, 9, 30)
PUBLISHED = Model(0.243, 4.414, 0.793, 2.426, -9582.4)


def _fold(rows: list[tuple[float, float, float]]) -> History:
    distinct, people = np.unique(np.array(rows), axis=0, return_counts=True)
    return History(distinct[:, 0], distinct[:, 1], distinct[:, 2], people.astype(float))


def _sample() -> tuple[History, int]:
    """(the published sample's 39 weeks of calibration, its repeat purchase days in the 39 weeks after)."""
    lines = (VECTORS / "cdnow_sample_ids.txt").read_text().splitlines()
    wanted = {int(text) for line in lines if not line.startswith("#") for text in line.split()}
    packed = resources.files(cleanroom.demo).joinpath("CDNOW_master.txt.gz").read_bytes()
    days: dict[int, set[date]] = {}
    for line in gzip.decompress(packed).decode().splitlines()[1:]:
        if line.strip() and (customer := int(line.split()[0])) in wanted:
            text = line.split()[1]
            days.setdefault(customer, set()).add(date(int(text[:4]), int(text[4:6]), int(text[6:])))
    assert len(days) == 2357
    rows, later = [], 0
    for bought in days.values():
        known = sorted(day for day in bought if day <= CUT)
        later += len(bought) - len(known)
        rows.append((len(known) - 1.0, (known[-1] - known[0]).days / 7, (CUT - known[0]).days / 7))
    return _fold(rows), later


def test_the_fit_gives_the_published_estimates() -> None:
    history, later = _sample()
    found = bgnbd.fit(history)
    assert found is not None
    assert (found.r, found.alpha) == pytest.approx((0.243, 4.414), abs=0.002)
    assert (found.a, found.b) == pytest.approx((0.793, 2.426), abs=0.004)
    assert found.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    forecast = found.expected(39, history.repeats, history.recency, history.age) @ history.people
    assert later == 1882
    assert forecast == pytest.approx(1653, abs=1)


def test_the_expectation_of_the_published_customer() -> None:
    one = PUBLISHED.expected(39, *(np.array([value]) for value in (2.0, 30.43, 38.86)))
    assert one[0] == pytest.approx(1.226, abs=0.001)


def test_two_f_one_has_its_closed_forms() -> None:
    z = np.linspace(0, 0.99, 50)[1:]
    one = np.ones_like(z)
    assert bgnbd.hypergeometric(1, 1, 2 * one, z) == pytest.approx(-np.log(1 - z) / z, rel=1e-9)
    assert bgnbd.hypergeometric(0.7, 1.9, 1.9 * one, z) == pytest.approx((1 - z) ** -0.7, rel=1e-9)


def test_the_search_finds_the_bottom_of_rosenbrocks_valley() -> None:
    found = bgnbd.minimise(lambda p: float((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2), np.zeros(2), (1.0, 0.1))
    assert found == pytest.approx([1, 1], abs=1e-3)


def test_the_search_says_when_there_is_no_bottom() -> None:
    assert bgnbd.minimise(lambda p: float(p.sum()), np.zeros(2), (1.0,)) is None


def test_the_fit_recovers_the_rules_by_which_people_were_made() -> None:
    stream = np.random.default_rng(7)
    truth = Model(0.6, 6.0, 0.9, 3.0, 0)
    rows = []
    for _ in range(6000):
        rate, leave, age = stream.gamma(truth.r, 1 / truth.alpha), stream.beta(truth.a, truth.b), stream.uniform(20, 60)
        time, count, last = 0.0, 0, 0.0
        while stream.random() >= leave if count else True:
            time += stream.exponential(1 / rate)
            if time > age:
                break
            count, last = count + 1, time
        rows.append((float(count), round(last * 7) / 7, round(age * 7) / 7))
    found = bgnbd.fit(_fold(rows))
    assert found is not None
    assert (found.r, found.alpha) == pytest.approx((truth.r, truth.alpha), rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(truth.a / (truth.a + truth.b), rel=0.15)


@given(st.integers(0, 40), st.floats(0, 1), st.floats(0.5, 100), st.floats(1, 60))
def test_expectations_are_sane(repeats: int, share: float, age: float, weeks: float) -> None:
    history = (np.array([float(repeats)]), np.array([age * share if repeats else 0.0]), np.array([age]))
    alive, buying = PUBLISHED.alive(*history)[0], PUBLISHED.buying(weeks, *history)[0]
    soon, late = (PUBLISHED.expected(time, *history)[0] for time in (weeks, weeks + 1))
    assert 0 <= alive <= 1
    assert 0 <= buying <= alive
    assert buying <= soon + 1e-12, "nobody buys without making a purchase"
    assert soon <= late + 1e-12


def test_whole_weeks_keep_the_people() -> None:
    history, _ = _sample()
    weekly = history.by_week()
    assert weekly.people.sum() == 2357
    assert len(weekly.people) < len(history.people)
    assert math.isfinite(bgnbd.log_likelihood(weekly, 0.243, 4.414, 0.793, 2.426))
