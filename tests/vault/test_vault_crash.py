"""A process killed at any step: the old version or the new one, nothing between, and no way back for the forgotten."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from vault_world import everywhere_in_time, write

from cleanroom.vault import placing

HERE = Path(__file__).parent


def crashes(home, tmp_path, action):
    (tmp_path / "run").mkdir()
    shutil.copytree(home.path, tmp_path / "run" / "template")
    stride = "1" if placing.placed(home.path / "vault") is None else "2"  # more steps there, and of one kind
    command = [sys.executable, str(HERE / "crash.py"), str(tmp_path / "run" / "template"), action, stride]
    done = subprocess.run(command, check=True, capture_output=True, cwd=HERE.parents[1])
    results = json.loads(done.stdout)
    assert [result["status"] for result in results] == [9] * (len(results) - 1) + [0]
    return results


def test_everything_is_synced_before_the_pointer_moves(vault, home, monkeypatch):
    steps = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append(Path(f"/proc/self/fd/{fd}").readlink().name), sync(fd)))
    monkeypatch.setattr(Path, "replace", lambda old, new: (steps.append(f"-> {new.name}"), replace(old, new))[1])
    write(vault, "crm", range(50))
    before = [name.split(".parquet")[0] for name in steps[: steps.index("-> current")]]
    assert {"part-0000", "part-0001", "part-0002"} <= set(before)
    assert any(name.startswith(".manifest.") for name in before)
    assert any(name.startswith(".new-") for name in before)
    assert before[-1].startswith(".current.")
    assert len(steps[-1]) == 32  # the dataset's folder, last


@pytest.fixture
def two_versions(vault):
    write(vault, "crm", range(10))
    write(vault, "crm", range(20))


@everywhere_in_time
@pytest.mark.usefixtures("two_versions")
def test_a_write_killed_at_any_step(home, tmp_path):
    old, new = list(range(20)), list(range(20, 60, 2))
    results = crashes(home, tmp_path, "write")
    assert len(results) > 20
    seen_new = [result["after"]["current"] == new for result in results]
    assert all(result["after"]["current"] in (old, new) for result in results)
    assert seen_new == sorted(seen_new)
    assert 0 < sum(seen_new) < len(results)
    for result in results:
        versions = result["after"]["versions"]
        assert all(people in (list(range(10)), old, new) for people in versions.values())
        assert result["again"]["current"] == new
        assert len(result["again"]["versions"]) == 2
        assert result["rests"] == []
        assert len(result["folders"]) == 2


@everywhere_in_time
@pytest.mark.usefixtures("two_versions")
def test_a_forgetting_killed_at_any_step(home, tmp_path):
    results = crashes(home, tmp_path, "forget")
    assert len(results) > 20
    epochs = [result["after"]["epoch"] for result in results]
    assert epochs == sorted(epochs)
    assert set(epochs) == {0, 1}
    for result in results:
        everyone = [person for people in result["after"]["versions"].values() for person in people]
        assert (3 in everyone) == (result["after"]["epoch"] == 0)
        assert set(range(20)) - set(result["after"]["current"]) <= {3}
        assert 3 not in result["again"]["current"]
        assert [name[:9] for name in result["folders"]] == [f"v{int(max(result['again']['versions'])):08d}"]
