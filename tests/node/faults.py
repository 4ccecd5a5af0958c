"""Every fault of the table, on real nodes: `python -m tests.node.faults [NAME…]`, `make faults` (minutes).

Each is done to a run of three or of two nodes; then what happened at each side is read from jobs, ledgers and logs, and
the question asked until it is answered. It ends with 1 where a result was wrong, a question was charged twice, a ledger
does not verify, a node died by itself, or a side ended without a named error.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cleanroom.node.queue import Job
from tests.node import world as worlds
from tests.node.world import PARTIES, SHARED, World

MIDST = 40_000
"""Bytes of the wire after which a match is under way."""


@dataclass(frozen=True)
class Row:
    """One fault. here: at whoever asked; there: at its peer; ok: whether all was as it should be."""

    fault: str
    where: str
    here: str
    there: str
    ok: bool


class Faults:
    """A running world, and the faults done to it. Every question is one of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.line = world.proxies["merchant", "platform"]
        self._sigma = 100

    def ask(self, room: str) -> str:
        """The platform asks."""
        self._sigma += 1
        return self.world.ask_run("platform", room, self._sigma)

    def midst(self, count: int = MIDST) -> str:
        """A run of two, when so many bytes of it have passed."""
        start, number = self.line.passed, self.ask("dh")
        self.world.until(lambda: self.line.passed > start + count, what="the midst of the match")
        return number

    def row(self, fault: str, where: str, number: str, there: str = "") -> Row:
        """What came of it in the end."""
        world = self.world
        job = world.ended("platform", number, 180)
        world.quiet()
        theirs = there or _told(world.jobs("merchant", room=job.room)[0])
        again = job.attempts
        here = ("resumed, done" if not again else f"done at attempt {again + 1}") if job.state == "done" else _told(job)
        wrong = []
        if job.state == "done":
            told = job.result["size"]  # of an answer given before it is not told again
            wrong = [] if told == SHARED or (told is None and not job.result["charged"]) else ["size"]
            question = job.result["receipt"]["question"]
            charges = [world.charges(name).count(question) for name in ("merchant", "platform")]
            here += f", size {job.result['size']}, charged {charges[1]} ×"
            theirs += f", charged {charges[0]} ×"
            wrong += ["charges"] if charges != [1, 1] else []
        else:
            wrong.append("not done")
        world.audit()
        return Row(fault, where, here, theirs, not wrong)

    def restart(self, name: str, **how: object) -> None:
        """Gracefully; with another environment, say."""
        if (code := self.world.stop(name)) != 0:
            raise AssertionError(f"{name} ended with {code}")
        self.world.start(name, **how)  # type: ignore[arg-type]


def _told(job: Job) -> str:
    if job.error is None or job.state == "done":
        return job.state
    return f"{job.state}: {job.error['template'].format(**job.error['params'])}"


def cut(faults: Faults) -> Iterator[Row]:
    """Resets at several places of a match."""
    for share in (10, 50, 90):
        faults.line.cut_after(1000 * share)
        yield faults.row("link cut (RST)", f"after {share} kB of about 100", faults.ask("dh"))
    for _ in range(3):
        faults.line.cut_after(25_000)
        number = faults.ask("dh")
    faults.world.until(lambda: faults.line.cuts >= 1)
    yield faults.row("three questions at once, cuts between", "link", number)


def slow(faults: Faults) -> Iterator[Row]:
    """A bad line."""
    faults.line.delay, faults.line.rate = 0.2, 50_000.0
    yield faults.row("link slow", "400 ms round trip, 400 kbit/s", faults.ask("dh"))
    faults.line.delay, faults.line.rate = 0.0, 0.0


def altered(faults: Faults) -> Iterator[Row]:
    """TLS ends the connection."""
    faults.line.flip_after(MIDST)
    yield faults.row("one bit altered on the way", "in a match", faults.ask("dh"))


def hole(faults: Faults) -> Iterator[Row]:
    """Nothing is carried, nothing closed."""
    lines = [faults.line, faults.world.proxies["platform", "merchant"]]
    for seconds, name in ((2.0, "shorter than resume"), (14.0, "longer than resume")):
        number = faults.midst()
        theirs = faults.world.jobs("merchant", room="dh")[0].id
        for line in lines:
            line.hole()
        time.sleep(seconds)
        there = _told(faults.world.job("merchant", theirs))
        error = faults.world.job("platform", number).error
        for line in lines:
            line.heal()
        said = faults.world.nodes["platform"].lines()
        named = error is None or any("was lost for" in line.get("text", "") for line in said)
        row = faults.row(f"black hole {name}", f"{seconds:.0f} s in a match", number, there)
        yield Row(row.fault, row.where, row.here, row.there, row.ok and named)


def killed(faults: Faults) -> Iterator[Row]:
    """kill -9 of a node in a match; its workers end by themselves."""
    line = faults.world.proxies["platform", "operator"]
    for name in PARTIES:
        start, number = line.passed, faults.ask("keyed")
        faults.world.until(lambda start=start: line.passed > start + MIDST // 2)  # type: ignore[misc]
        workers = faults.world.workers(name)
        faults.world.kill(name)
        faults.world.until(lambda workers=workers: not worlds.alive(workers), 30)  # type: ignore[misc]
        faults.world.start(name)
        yield faults.row("kill -9 of the node", f"{name}, in a keyed match", number)


POINTS = (
    ("cleanroom.ledger.ledger", "Ledger.debit", False),
    ("cleanroom.ledger.ledger", "Ledger.record_release", False),
    ("cleanroom.node.queue", "Jobs.finish", True),
)


def power(faults: Faults) -> Iterator[Row]:
    """A node dies with its workers, right before or after something durable."""
    for name in ("merchant", "platform"):
        for module, what, alone in POINTS:
            for when in ("before", "after"):
                flag = faults.folder / "flag"
                faults.restart(name, environment=worlds.dying(module, what, when, flag, alone=alone))
                flag.touch()
                number = faults.ask("dh")
                faults.world.until(lambda name=name: faults.world.nodes[name].process.poll() is not None)  # type: ignore[misc]
                faults.world.start(name)
                yield faults.row("power gone", f"{name}, {when} {what.rpartition('.')[2]}", number)


def full(faults: Faults) -> Iterator[Row]:
    """A file system without room, under the merchant's home."""
    home, world = faults.world.home("merchant"), faults.world
    aside = home.with_name("merchant.aside")
    world.stop("merchant")
    home.rename(aside)
    home.mkdir(0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(home)], check=False)
    try:
        if mounted.returncode:
            return
        subprocess.run(["cp", "-a", f"{aside}/.", str(home)], check=True)
        world.start("merchant")
        filler = home / "filler"
        number = faults.midst(1000)
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        world.until(lambda: (job := world.job("platform", number)).error or job.state == "done", 120)
        first = world.job("platform", number).error
        told = [line for line in world.nodes["merchant"].lines() if "error" in line and line["event"] != "post"]
        seen = f"{told[-1]['event']}: {told[-1]['error']}: {told[-1]['text']}" if told else "nothing told"
        running = world.nodes["merchant"].process.poll() is None
        with filler.open("r+b"):
            filler.unlink()
        row = faults.row("disk full", "merchant, in a match; room again later", number, seen)
        here = f"{first['template'].format(**first['params'])}; {row.here}" if first else row.here
        yield Row(row.fault, row.where, here, row.there + (", node runs on" if running else ", node died"),
                  row.ok and running)  # fmt: skip
    finally:
        if world.nodes["merchant"].process.poll() is None:
            world.stop("merchant")
        if not mounted.returncode:
            subprocess.run(["cp", "-a", f"{home}/.", str(aside)], check=True)
            subprocess.run(["umount", str(home)], check=True)
        home.rmdir()
        aside.rename(home)
        world.start("merchant")


def clock(faults: Faults) -> Iterator[Row]:
    """The merchant's clock is a day ahead."""
    late = (
        "import datetime as _usual\ndef utc():\n    return _usual.datetime.now(_usual.UTC) + _usual.timedelta(days=1)\n"
    )
    yield from _refused(faults, "clock off by a day", worlds.broken({"cleanroom.node.session": late}), "The clocks of")


def version(faults: Faults) -> Iterator[Row]:
    """The merchant's node is of another release."""
    other = {"cleanroom.node.session": 'VERSION = "cleanroom-node/2"\n'}
    yield from _refused(faults, "version mismatch", worlds.broken(other), "The nodes speak different versions")


def _refused(faults: Faults, fault: str, environment: dict[str, str], text: str) -> Iterator[Row]:
    """Asked from both sides, in the same words; the merchant's jobs are given up, and nothing moves."""
    world = faults.world
    faults.restart("merchant", environment=environment)
    moved, charged = faults.line.passed, [world.charges(name) for name in ("merchant", "platform")]
    jobs = {"platform": faults.ask("dh"), "merchant": world.ask_run("merchant", "dh", 90)}
    told = {}
    for name, number in jobs.items():
        world.until(lambda name=name, number=number: world.job(name, number).error is not None, 60)  # type: ignore[misc]
        told[name] = _told(world.job(name, number))
    ok = all(text in each for each in told.values())
    ok = ok and [world.charges(name) for name in ("merchant", "platform")] == charged
    ok = ok and faults.line.passed - moved < MIDST
    faults.restart("merchant")
    yield Row(fault, "merchant", told["platform"], told["merchant"], ok)


def stopped(faults: Faults) -> Iterator[Row]:
    """A peer that reads no more: SIGSTOP of its node."""
    for seconds in (2.0, 15.0):
        number = faults.midst()
        pid = faults.world.nodes["merchant"].process.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        memory = _memory(faults.world.nodes["platform"].process.pid)
        os.kill(pid, signal.SIGCONT)
        row = faults.row("peer reads no more (SIGSTOP)", f"merchant, {seconds:.0f} s in a match", number)
        yield Row(row.fault, row.where, f"{row.here}, {memory >> 20} MB", row.there, row.ok and memory < 512 << 20)


def terminated(faults: Faults) -> Iterator[Row]:
    """SIGTERM in a match: the run ends first."""
    number = faults.midst(5000)
    faults.restart("merchant")
    yield faults.row("SIGTERM", "merchant, in a match", number)


TABLE: dict[str, Callable[[Faults], Iterator[Row]]] = {
    "cut": cut, "slow": slow, "altered": altered, "hole": hole, "killed": killed, "power": power, "full": full,
    "clock": clock, "version": version, "stopped": stopped, "terminated": terminated,
}  # fmt: skip


def main() -> int:
    """The table, on stdout; 0 where all was as it should be."""
    names = [each for each in sys.argv[1:] if each in TABLE] or [*TABLE]
    bad = 0
    _say("fault", "where, when", "at the asker (platform)", "at its peer (merchant)", "as it should be")
    _say(*["---"] * 5)
    for name in names:
        with _fresh() as faults:
            try:
                for row in TABLE[name](faults):
                    bad += not row.ok
                    _say(row.fault, row.where, row.here, row.there, "yes" if row.ok else "NO")
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                bad += 1
                _say(name, "", str(error).partition("\n")[0], "", "NO")
                sys.stderr.write(f"{error}\n")
    return int(bool(bad))


def _say(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


@contextmanager
def _fresh() -> Iterator[Faults]:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        world = worlds.world(worlds.template(), Path(folder))
        try:
            world.start(*PARTIES)
            yield Faults(world, Path(folder))
        finally:
            world.close()


def _memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
