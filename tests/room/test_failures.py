"""What happens when something breaks in the middle: a named error, the right exit code, nothing half-written."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cleanroom.errors import Interrupted, Refused
from cleanroom.node.local import LocalParties
from cleanroom.overlap import Overlap, run
from connectors.errors import InputError
from protocols.errors import PeerAborted
from tests.near import process_of
from tests.room import world


def files(folder: Path, rows: int = 300) -> tuple[str, str]:
    phones = [str(13_900_000_000 + 37 * n) for n in range(rows + 100)]
    merchant = world.csv(folder / "m.csv", {"phone": phones[:rows], "level": ["gold", "silver"] * (rows // 2)})
    return merchant, world.csv(folder / "p.csv", {"mobile": phones[100:], "city": ["Shanghai"] * rows})


def left_over(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"m.csv", "p.csv"}


def test_a_killed_party_ends_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    merchant, platform = files(tmp_path, 1800)  # without kernels, dh takes half a second
    asked = Overlap(merchant, platform, protocol="dh", members=tmp_path / "out.csv")
    victims: list[int] = []

    def kill(party: str, stage: str, done: int, total: int) -> None:
        if stage == "match" and party == "platform" and not victims:
            platform = process_of(os.getpid(), "platform")
            assert platform
            victims.append(platform)
            os.kill(platform, signal.SIGKILL)

    with pytest.raises((Interrupted, PeerAborted)) as caught:
        run(asked, progress=kill)
    assert caught.value.exit_code == 5
    assert left_over(tmp_path) == set()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    merchant, platform = files(tmp_path, 2000)
    command = [str(Path(sys.executable).with_name("cleanroom")), "overlap", merchant, platform, "--members", "out.csv"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=small_files, env=environment
    )
    assert done.returncode == 4, done.stderr
    assert "139" not in done.stderr
    assert left_over(tmp_path) == set()


@pytest.mark.usefixtures("near_parties")
def test_a_party_that_cannot_read_ends_the_run_with_its_own_error(tmp_path: Path) -> None:
    merchant, _ = files(tmp_path)
    with pytest.raises(InputError) as caught:
        run(Overlap(merchant, str(tmp_path / "absent.csv"), members=tmp_path / "out.csv"))
    assert caught.value.exit_code == 4
    assert left_over(tmp_path) == set()


@pytest.mark.usefixtures("near_parties")
def test_md5_against_sha256_is_refused_before_matching(tmp_path: Path) -> None:
    import hashlib

    phones = [str(13_900_000_000 + n) for n in range(200)]
    merchant = world.csv(tmp_path / "m.csv", {"phone": [hashlib.md5(p.encode()).hexdigest() for p in phones]})
    platform = world.csv(tmp_path / "p.csv", {"phone": [hashlib.sha256(p.encode()).hexdigest() for p in phones]})
    with pytest.raises(Refused, match="never match"):
        run(Overlap(merchant, platform))


@pytest.mark.usefixtures("near_parties")
def test_hashed_and_plain_phones_match_when_both_are_sha256(tmp_path: Path) -> None:
    import hashlib

    phones = [str(13_900_000_000 + n) for n in range(300)]
    merchant = world.csv(tmp_path / "m.csv", {"phone": phones[:200]})
    platform = world.csv(tmp_path / "p.csv", {"phone": [hashlib.sha256(p.encode()).hexdigest() for p in phones[50:]]})
    assert run(Overlap(merchant, platform))["overlap"]["value"] == 150


@pytest.mark.usefixtures("near_parties")
@pytest.mark.parametrize(
    "asked",
    [
        {"k": 10},
        {"protocol": "join-sum", "members": Path("out.csv")},
        {"protocol": "join-sum", "by": ("platform.city",)},
        {"protocol": "dh", "by": ("merchant.level",), "sums": ("platform.spend",)},
    ],
)
def test_what_the_rules_forbid_is_refused(tmp_path: Path, asked: dict[str, object]) -> None:
    merchant, _ = files(tmp_path)
    phones = [str(13_900_000_000 + 37 * n) for n in range(300)]
    platform = world.csv(tmp_path / "p.csv", {"phone": phones, "city": ["a"] * 300, "spend": ["1.50"] * 300})
    with pytest.raises(Refused):
        run(Overlap(merchant, platform, **asked))  # type: ignore[arg-type]


def test_a_contract_changed_after_signing_is_refused_by_every_party(tmp_path: Path) -> None:
    import json

    merchant, platform = files(tmp_path)
    homes, _, query = world.prepare(tmp_path, Overlap(merchant, platform, k=50), "dh")
    path = homes["platform"].rooms / "overlap" / "room.json"
    room = json.loads(path.read_text("utf-8"))
    room["signed"]["contract"]["release"]["k"] = 60
    path.write_text(json.dumps(room), "utf-8")
    result = world.run(homes, query)
    assert set(result.failures) == {"merchant", "platform"}
    assert result.failures["platform"].args[0] == "A signature does not verify."


def test_processes_that_are_done_are_gone(tmp_path: Path) -> None:
    merchant, platform = files(tmp_path)
    before = children()
    run(Overlap(merchant, platform, k=50))
    assert children() == before
    assert LocalParties({}).close() == {}


def children() -> set[str]:
    """Process numbers of our children, of whichever thread."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            found.update((task / "children").read_text().split())
    return found
