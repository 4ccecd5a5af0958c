"""Committed inputs: what a peer may bring within 30 days, and that it gets no further by order, name or clock."""

import dataclasses
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.errors import CleanroomError, Refused, UsageError
from cleanroom.lang import choose, explain
from cleanroom.privacy.history import DatasetVersion
from cleanroom.privacy.quotas import EPOCH, Limits, Seen, check_inputs

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def seen(version=0, rows=5000, *, days=0.0, owner="merchant", name="crm"):
    return Seen(DatasetVersion(owner, name, f"{version:064x}", rows), NOW - dt.timedelta(days=days))


def test_ten_versions_within_thirty_days_and_no_more():
    history = [seen(n, days=20 - n) for n in range(9)]
    check_inputs(history, seen(9), Limits())
    history.append(seen(9, days=1))
    with pytest.raises(Refused, match="10 versions within 30 days"):
        check_inputs(history, seen(10), Limits())
    check_inputs(history, seen(3), Limits())  # one of the ten may be used again
    check_inputs(history, seen(10, owner="platform"), Limits())
    check_inputs(history, seen(10, name="members"), Limits())
    check_inputs([dataclasses.replace(each, time=each.time - EPOCH) for each in history], seen(10), Limits())


def test_there_is_no_day_on_which_all_is_allowed_again():
    history = [seen(n, days=29.9 if n < 5 else 0.1) for n in range(10)]
    with pytest.raises(Refused):
        check_inputs(history, seen(10), Limits())
    check_inputs(history, Seen(seen(10).version, NOW + dt.timedelta(days=0.2)), Limits())


def test_a_small_set_is_refused_where_numbers_are_noised():
    with pytest.raises(Refused, match="fewer than 100 rows"):
        check_inputs([], seen(rows=99), Limits())
    check_inputs([], seen(rows=100), Limits())
    check_inputs([], seen(rows=1), Limits(rows=1))


def test_growth_is_against_the_last_version():
    history = [seen(0, 50_000, days=3), seen(1, 3000, days=2)]
    check_inputs(history, seen(2, 7000), Limits())
    for changed in (seen(2, 7001), seen(2, 50_000)):
        with pytest.raises(Refused, match="7000 rows after its last version"):
            check_inputs(history[::-1], changed, Limits())
    check_inputs(history, seen(0, 50_000), Limits())  # committed before
    check_inputs([], seen(0, 10**9), Limits())  # the first is bounded by the contract alone


def test_runs_are_counted():
    history = [seen(0, days=1)] * 9_999
    check_inputs(history, seen(0), Limits())
    with pytest.raises(Refused, match="10000 runs"):
        check_inputs([*history, seen(0, days=2)], seen(0), Limits())


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10**7), st.floats(0, 60)), max_size=80))
def test_whatever_is_tried_no_more_is_let_in_than_the_limits_say(tried):
    limits, let_in = Limits(versions=4, runs=9), []
    for version, rows, days in sorted(tried, key=lambda each: -each[2]):
        now = seen(version, rows, days=days)
        try:
            check_inputs(let_in, now, limits)
        except Refused:
            continue
        let_in.append(now)
    for each in let_in:
        window = [other for other in let_in if each.time - EPOCH < other.time <= each.time]
        assert len(window) <= 9
        assert len({other.version.manifest for other in window}) <= 4


def test_the_strictest_party_wins():
    assert Limits.strictest([Limits(), Limits(versions=3, rows=50), Limits(runs=7, rows=400)]) == Limits(3, 7, rows=400)
    with pytest.raises(UsageError):
        Limits.strictest([])


@pytest.mark.parametrize("wrong", [{"versions": 0}, {"rows": 0}, {"more": -1}, {"times": 0}, {"runs": True}])
def test_limits_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(CleanroomError):
        Limits(**wrong)


def test_times_without_a_zone_are_refused():
    with pytest.raises(UsageError):
        Seen(seen().version, dt.datetime(2026, 3, 1))


def test_refusals_read_in_chinese():
    try:
        choose("zh")
        with pytest.raises(Refused) as refused:
            check_inputs([], seen(rows=99), Limits())
        assert "行" in "".join(explain(refused.value))
        assert "fewer" not in "".join(explain(refused.value))
    finally:
        choose("en")
