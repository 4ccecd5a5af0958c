"""Whole rooms of two parties that match by both their clusters: a plain join's answer, and what is not in order named.

The slow ones have each party in a process of its own with a Spark of its own, started as `cleanroom overlap` does it;
the others are the same rooms with both parties in threads, on the one Spark of this folder's tests.
"""

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pair_room_support as rooms
import pandas as pd
import pytest

from cleanroom.cluster import pair_work, pairs
from cleanroom.cluster.pair_transport import Address
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.enclave.query import Query
from cleanroom.errors import Interrupted, UsageError
from cleanroom.home import Home
from cleanroom.node import local
from cleanroom.node.local import LocalParties
from cleanroom.overlap.run import home_paths, make_homes, run
from protocols.errors import PeerAborted, ProtocolError
from tests.room import world

SIDES = ("merchant", "platform")
NOBODYS = "192.0.2.7"
"""An address of nobody's (RFC 5737)."""


@pytest.mark.slow
def test_processes_of_two_sparks_give_what_a_plain_join_gives(tmp_path: Path) -> None:
    """The receiver's 45,000 rows take two buckets; counts, sums and members are those of the join."""
    merchant, platform = rooms.write(tmp_path, 3_000, 45_000, 2_000)
    homes = home_paths(tmp_path / "home", operator=False)
    make_homes(homes)
    places = [rooms.on_spark(path, side) for side, path in homes.items()]
    steps: set[tuple[str, str, int]] = set()
    told = run(rooms.wanted(tmp_path), homes["merchant"], lambda *at: steps.add((at[0], at[1], at[3])))
    assert {(side, "split", 2) for side in SIDES} | {(side, "match", 2) for side in SIDES} <= steps
    assert rooms.told(told["segments"]) == rooms.joined(merchant, platform)
    assert told["overlap"]["value"] == 2_000
    members = pd.read_csv(tmp_path / "members.csv", dtype=str)
    assert sorted(members.phone) == sorted(set(merchant.phone) & set(platform.phone))
    assert told["receipt"]["isolation"].startswith("cluster")
    assert rooms.left_in(*places) == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes of both with the signed room `overlap`, and the tables they were made of."""
    folder = tmp_path_factory.mktemp("made")
    rooms.write(folder, 500, 600, 400)
    world.prepare(folder, rooms.wanted(folder), "vole")
    return folder


def copied(made: Path, folder: Path) -> dict[str, Home]:
    for side in SIDES:
        shutil.copytree(made / side, folder / side)
    return {side: Home.open(folder / side) for side in SIDES}


def plain(made: Path) -> list[dict[str, Any]]:
    return rooms.joined(*(pd.read_csv(made / name, dtype={"phone": str}) for name in ("m.csv", "p.csv")))


QUERY = {"by": ["crm.level", "users.city"], "sums": ["crm.spend"]}


def ran(homes: Mapping[str, Home], members: Path) -> world.Ran:
    return world.run(dict(homes), Query(tuple(QUERY["by"]), tuple(QUERY["sums"])), {"platform": members})


def test_a_room_by_both_clusters_and_one_that_is_not_reached(
    made: Path, tmp_path: Path, spark_session: Any, spark_settings: ClusterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the sender's driver does not reach the receiver both say so and nothing stays; then the same question is
    answered, by tasks of both."""
    homes, members = copied(made, tmp_path), tmp_path / "members.csv"
    places = [rooms.on_spark(home.path, side, master=spark_settings.master) for side, home in homes.items()]
    begun = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(pairs.Meeting, "address", Address("127.0.0.1", 1, "00" * 32))
        failures = ran(homes, members).failures
    assert time.monotonic() - begun < 60
    assert "The cluster at 127.0.0.1:1 is not reached." in str(failures["merchant"])
    assert (type(failures["merchant"]), type(failures["platform"])) == (Interrupted, PeerAborted)
    assert rooms.left_in(*places) == []
    assert not members.exists()

    steps: list[str] = []
    monkeypatch.setattr(pairs.SparkCluster, "run", _noting(steps, pairs.SparkCluster.run))
    found = ran(homes, members)
    assert not found.failures
    assert sorted(steps) == ["receiver", "sender"]
    for side in SIDES:
        assert rooms.told(found.outcomes[side].segments or []) == plain(made)
    assert len(pd.read_csv(members)) == found.outcomes["platform"].size == 400
    assert rooms.left_in(*places) == []


def _noting(steps: list[str], real: Any) -> Any:
    def run(self: Any, task: pair_work.PairTask, *rest: Any) -> Any:
        steps.append(task.role)
        return real(self, task, *rest)

    return run


@pytest.mark.parametrize("one", SIDES)
def test_a_node_that_is_set_to_pairs_alone(made: Path, tmp_path: Path, one: str) -> None:
    """Both parties' processes say so, before any cluster starts."""
    homes = copied(made, tmp_path)
    place = rooms.on_spark(homes[one].path, one)
    _, errors = rooms.run_apart(homes, QUERY)
    for side in SIDES:
        assert type(errors[side]) is ProtocolError
        assert "One of the two sides has set clusters, the other has not." in str(errors[side])
    assert rooms.left_in(place) == []


@pytest.mark.parametrize("address", [NOBODYS, "0.0.0.0", "no-such-host.invalid"])
def test_an_address_that_is_not_of_the_receivers_machine(made: Path, tmp_path: Path, address: str) -> None:
    """The receiver says which, the sender that its peer failed; no cluster starts for it."""
    homes = copied(made, tmp_path)
    places = [rooms.on_spark(home.path, side, pairs=address) for side, home in homes.items()]
    begun = time.monotonic()
    _, errors = rooms.run_apart(homes, QUERY)
    assert f"This machine cannot await executors at {address}." in str(errors["platform"])
    assert (type(errors["platform"]), type(errors["merchant"])) == (UsageError, PeerAborted)
    assert time.monotonic() - begun < 30
    assert rooms.left_in(*places) == []


class Elsewhere(LocalParties):
    """The sender's process in a network of its own, where only itself is reached."""

    def _start(self, name: str, home: Path, wires: Any) -> None:
        if name == "platform":
            super()._start(name, home, wires)
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(local.subprocess, "Popen", _inside(local.subprocess.Popen))
            super()._start(name, home, wires)


def _inside(real: Any) -> Any:
    def popen(command: list[str], **given: Any) -> Any:
        alone = 'ip link set lo up && exec "$@"'
        return real(["unshare", "-rn", "sh", "-c", alone, "sh", *command], **given)

    return popen


def _has_networks() -> bool:
    try:
        return not subprocess.run(["unshare", "-rn", "ip", "link"], capture_output=True, check=False).returncode
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not _has_networks(), reason="this machine makes no networks")
def test_two_machines_that_do_not_reach_each_other(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender names the address, the receiver that its peer failed; nothing stays, and no process."""
    homes = copied(made, tmp_path)
    places = [rooms.on_spark(home.path, side) for side, home in homes.items()]
    monkeypatch.setattr(rooms, "Siblings", Elsewhere)
    _, errors = rooms.run_apart(homes, QUERY)
    assert "is not reached. Executors of both parties must reach each other" in str(errors["merchant"])
    assert (type(errors["merchant"]), type(errors["platform"])) == (Interrupted, PeerAborted)
    assert rooms.left_in(*places) == []
