"""The suite itself: what it stands on."""

import os

import pytest


@pytest.mark.xdist_group("suite")
def test_tests_of_a_group_go_to_one_worker(request: pytest.FixtureRequest) -> None:
    """Else each worker makes the shared fixtures anew: so it was with a pytest that pytest-xdist did not know."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@suite")
