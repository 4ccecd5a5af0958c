"""For all tests: coverage measures the workers themselves, not the programs they start.

Programs are then tested as users run them (an enclave gives up writing files too), and in a third less time. Properties
are tried 40 times unless they say otherwise.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("suite", max_examples=40)
settings.load_profile("suite")

RUNS = ("overlap", "told", "neutral", "alone", "prepared", "seen", "postgres", "made", "ran")
"""Fixtures that take seconds: the tests that share one go to one worker, so that it is made once."""

if "PYTEST_XDIST_WORKER" in os.environ:
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        del os.environ[name]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests by the run that they look at; of `ran` there is one a protocol."""
    for item in items:
        for name in set(RUNS) & set(getattr(item, "fixturenames", ())):
            callspec = getattr(item, "callspec", None)
            protocol = callspec.params.get("protocol", "keyed") if callspec and name == "ran" else ""
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}-{name}-{protocol}"))
