"""Padding: whole quanta, failures too. What an attacker makes of the times stands in tests/attacks."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.errors import UsageError
from cleanroom.privacy import padding
from cleanroom.privacy.padding import Quantum


@given(st.floats(0, 1e5), st.sampled_from([0.001, 0.1, 0.25, 3.0]))
def test_what_is_left_ends_at_a_whole_quantum(passed, seconds):
    rest = Quantum(seconds).rest(passed)
    assert 0 <= rest <= seconds + 1e-9
    whole = (passed + rest) / seconds
    assert whole == pytest.approx(round(whole), abs=1e-4)


@pytest.mark.parametrize(("took", "told"), [(0.0, 0.25), (0.1, 0.25), (0.249, 0.25), (0.26, 0.5), (1.9, 2.0)])
def test_answers_are_told_at_the_next_quantum(took, told):
    clock = [7.0]

    def sleep(seconds):
        clock[0] += seconds

    with padding._padded(Quantum(), lambda: clock[0], sleep):
        clock[0] += took
    assert clock[0] - 7.0 == pytest.approx(told)


def test_a_failure_waits_too():
    start = time.perf_counter()
    with pytest.raises(KeyError), Quantum(0.05).padded():
        raise KeyError
    assert time.perf_counter() - start >= 0.05


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan")])
def test_no_other_quanta(seconds):
    with pytest.raises(UsageError):
        Quantum(seconds)
