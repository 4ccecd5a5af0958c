"""A day that does not end while the tests run."""

from collections.abc import Iterator

import pytest

from cleanroom.activation import memberships
from tests.activation.world import DAY


@pytest.fixture(autouse=True)
def same_day(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(memberships, "today_in_china", DAY.date)
    yield
