"""For all tests: coverage measures the workers themselves, not the programs they start.

Programs are then tested as users run them (an enclave gives up writing files too), and in a third less time. Properties
are tried 25 times unless they say otherwise. Properties, attacks and fuzzing are not measured: they repeat what other
tests run once, and measured code takes four times as long.

The tests' files lie in memory where it has room for them (they take some 100 MB): each commit of a ledger, a vault or a
node's state waits for the disk, thousands of times a suite. What a power cut leaves is not tried on any disk; that all
is synced, and in which order, is tested by listening (tests/vault/test_vault_crash.py).
"""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

settings.register_profile("suite", max_examples=25)
settings.load_profile("suite")

RUNS = (
    "s3", "overlap", "told", "neutral", "alone", "prepared", "seen", "postgres", "made", "ran", "noisy", "nodes",
    "agreed", "cdnow", "world", "homes", "home", "three", "neighbours", "staffed", "goods", "views", "site", "bank",
    "files", "store",
)  # fmt: skip
"""Shared fixtures that take seconds: the tests of a folder that share one go to one worker, so that it is made once.
A test that has several goes by the first."""

MEMORY, ROOM = Path("/dev/shm"), 2 << 30
"""Where Linux has files in memory, and how many bytes must be free there."""


def roomy(folder: Path) -> bool:
    """Whether the tests' files can lie there, programs among them."""
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize >= ROOM and not there.f_flag & os.ST_NOEXEC


if "TMPDIR" not in os.environ and roomy(MEMORY):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

if "PYTEST_XDIST_WORKER" in os.environ:
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        del os.environ[name]


def pytest_configure(config: pytest.Config) -> None:
    """Marks of this suite."""
    config.addinivalue_line("markers", "attack(id): mounts that attack of docs/attacks.md")
    config.addinivalue_line("markers", "cluster: needs Spark's Java; `make cluster` and `make coverage`")
    config.addinivalue_line("markers", "nodes: runs over nodes of several processes; `make nodes` and `make coverage`")
    config.addinivalue_line("markers", "slow: takes half a minute; `make test-slow` and `make coverage`")


@cache
def attacks() -> dict[str, tuple[str, ...]]:
    """The tests that docs/attacks.md names, by attack."""
    text = (Path(__file__).parents[1] / "docs" / "attacks.md").read_text("utf-8")
    rows = re.findall(r"^\| ([A-Z]\d+) \| (.+)$", text, re.MULTILINE)
    return {attack: tuple(re.findall(r"`(tests/[^`]+::\w+)`", row)) for attack, row in rows}


@cache
def mounted() -> dict[str, tuple[str, ...]]:
    """The attacks that a test mounts, by test."""
    pairs = [(test, attack) for attack, tests in attacks().items() for test in tests]
    return {test: tuple(attack for each, attack in pairs if each == test) for test, _ in pairs}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests by the run that they look at. Mark those that mount attacks."""
    root, paths = Path(__file__).parents[1], {}
    for item in items:
        path = paths.get(item.path) or paths.setdefault(item.path, item.path.relative_to(root).as_posix())
        for attack in mounted().get(f"{path}::{getattr(item, 'originalname', item.name)}", ()):
            item.add_marker(pytest.mark.attack(attack))
        if item.get_closest_marker("xdist_group") is None and (name := shared_run(item)):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}-{name}"))


def shared_run(item: pytest.Item) -> str:
    """The first of `RUNS` that the test shares with others, or ""."""
    info = getattr(item, "_fixtureinfo", None)
    known = info.name2fixturedefs if info is not None else {}
    return next((name for name in RUNS if name in known and known[name][-1].scope != "function"), "")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Measure no repetitions."""
    here, threads = sys.gettrace(), threading.gettrace()
    if repeats(item):
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
    try:
        return (yield)
    finally:
        if repeats(item):
            sys.settrace(here)
            threading.settrace(threads)  # type: ignore[arg-type]


def repeats(item: pytest.Item) -> bool:
    """Whether the test runs the same code many times over."""
    return item.path.parent.name in ("attacks", "fuzz") or is_hypothesis_test(getattr(item, "obj", None))


@pytest.fixture
def near_parties() -> Iterator[None]:
    """Parties in threads of this process."""
    from tests import near  # heavy, and few tests have parties

    with near.parties():
        yield


@pytest.fixture
def near_engines() -> Iterator[None]:
    """The parties of this process compute in it, without the enclave's."""
    from tests import near

    with near.engines():
        yield
