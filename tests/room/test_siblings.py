"""Parties out of one process: each has a process of its own, and none outlives whoever started them."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cleanroom.errors import Interrupted
from cleanroom.overlap import siblings
from cleanroom.overlap.run import home_paths, make_homes
from cleanroom.overlap.siblings import Siblings
from tests.near import process_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


@pytest.fixture
def homes(tmp_path: Path) -> dict[str, Path]:
    found = home_paths(tmp_path / "home", operator=False)
    make_homes(found)
    return found


def test_each_party_is_a_process_of_its_own_with_its_own_sockets_only(homes: dict[str, Path]) -> None:
    with Siblings(homes) as parties:
        parties.call("keys", {name: {} for name in homes})
        numbers = {name: process_of(os.getpid(), name) for name in homes}
        found = {name: _sockets(number) for name, number in numbers.items() if number}
    assert len(set(numbers.values())) == len(homes) == len(found)
    assert all(len(own) == 2 for own in found.values())  # the line, and the wire to the other
    assert not set.intersection(*found.values())
    assert not any(_alive(number) for number in numbers.values() if number)


def test_whoever_ends_them_ends_them_all(homes: dict[str, Path]) -> None:
    with pytest.raises(Interrupted), Siblings(homes) as parties:
        parties.call("keys", {name: {} for name in homes})
        numbers = [process_of(os.getpid(), name) for name in homes]
        parties._processes["all"].send_signal(signal.SIGTERM)
        parties._processes["all"].wait(20)
        assert not any(_alive(number) for number in numbers if number)
        parties.call("keys", {name: {} for name in homes})


def test_none_outlives_a_process_that_was_killed(homes: dict[str, Path]) -> None:
    parties = Siblings(homes)
    parties.call("keys", {name: {} for name in homes})
    numbers = [number for name in homes if (number := process_of(os.getpid(), name))]
    parties._processes["all"].kill()
    assert set(parties.close()) == set(homes)
    deadline = time.monotonic() + 20
    while any(map(_alive, numbers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_alive, numbers))


def test_where_processes_do_not_fork_each_party_loads_its_own(
    homes: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere:
        platform = "darwin"
        executable = sys.executable

    monkeypatch.setattr(siblings, "sys", Elsewhere)
    with Siblings(homes) as parties:
        assert set(parties.call("keys", {name: {} for name in homes})) == set(homes)
        assert set(parties._processes) == set(homes)


def _sockets(number: int) -> set[str]:
    found = set()
    for handle in Path(f"/proc/{number}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(handle.readlink()))
    return {each for each in found if each.startswith("socket:")}


def _alive(number: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
