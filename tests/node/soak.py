"""Nodes under questions and faults for an hour: `python -m tests.node.soak [SECONDS]`, `make soak`.

Owners ask without a pause; meanwhile lines are cut, slowed, stopped, altered, and nodes killed. At the end every job
must be done and right, every question charged once to each owner, every ledger verify. A line a minute tells memory,
handles and threads of the nodes; it ends with 1 where anything is not so.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.node import world as worlds
from tests.node.world import PARTIES, SHARED, World

FAULTS = ("none", "cut", "cut", "hole", "flip", "slow", "kill", "stop")
WAITING = 4
"""Jobs that wait or run at a time."""


@dataclass
class Soak:
    """What happened. open: jobs under way, by owner and number, with the room."""

    world: World
    draw: random.Random
    open: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: int = 20
    count: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def ask(self) -> None:
        """Keep some jobs under way; each is a question of its own."""
        while len(self.open) < WAITING:
            self.asked += 1
            party, room = self.draw.choice(("merchant", "platform")), self.draw.choice(("keyed", "dh"))
            self.open[party, self.world.ask_run(party, room, self.asked)] = room

    def look(self) -> None:
        """What has ended."""
        for (party, number), room in list(self.open.items()):
            job = self.world.job(party, number)
            if job.state not in worlds.ENDED:
                continue
            del self.open[party, number]
            self.count[job.state] += 1
            if job.state != "done":
                self.wrong.append(f"{party} {room} {number[:8]}: {job.state} {job.error}")
            elif party == "platform" and job.result["size"] != SHARED:
                self.wrong.append(f"{room} {number[:8]}: size {job.result['size']}")

    def fault(self) -> None:
        """One of them."""
        which = self.draw.choice(FAULTS)
        self.count[which] += 1
        line = self.world.proxies[self.draw.choice(list(self.world.proxies))]
        if which == "cut":
            line.cut_after(self.draw.randrange(1, 100_000))
        elif which == "flip":
            line.flip_after(self.draw.randrange(1, 100_000))
        elif which == "hole":
            line.hole()
            time.sleep(self.draw.uniform(0.5, 6.0))
            line.heal()
        elif which == "slow":
            line.delay, line.rate = 0.05, 200_000.0
            time.sleep(5)
            line.delay, line.rate = 0.0, 0.0
        elif which in ("kill", "stop"):
            name = self.draw.choice(PARTIES)
            if which == "kill":
                self.world.kill(name)
            elif (code := self.world.stop(name)) != 0:
                self.wrong.append(f"{name} ended with {code} when told to stop")
            time.sleep(self.draw.uniform(0.0, 2.0))
            self.world.start(name)

    def alive(self) -> None:
        """A node that ended by itself is started again, and told."""
        for name in PARTIES:
            if (code := self.world.nodes[name].process.poll()) is not None:
                self.wrong.append(f"{name} ended by itself with {code}")
                self.world.start(name)


def main() -> int:
    """Run it; 0 where all was as it should be."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3600.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    _say(f"seed {seed}, {seconds:.0f} s")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        world = worlds.world(worlds.template(), Path(folder), times={**worlds.TIMES, "retries": 50})
        try:
            world.start(*PARTIES)
            soak = Soak(world, random.Random(seed))
            _go_on(soak, seconds)
            return _judged(soak)
        finally:
            world.close()


def _go_on(soak: Soak, seconds: float) -> None:
    begin = told = time.monotonic()
    first = {name: _held(soak.world, name) for name in PARTIES}
    while time.monotonic() - begin < seconds:
        soak.ask()
        soak.fault()
        deadline = time.monotonic() + soak.draw.uniform(1.0, 15.0)
        while time.monotonic() < min(deadline, begin + seconds):
            soak.alive()
            soak.look()
            soak.ask()
            time.sleep(0.5)
        if time.monotonic() - told >= 60:
            told = time.monotonic()
            held = {name: _held(soak.world, name) for name in PARTIES}
            _say(f"{told - begin:5.0f} s {dict(soak.count)} {held} wrong {len(soak.wrong)}")
    _say(f"at first {first}")


def _judged(soak: Soak) -> int:
    """After the last job: ledgers, charges, what is left over."""
    deadline = time.monotonic() + 300
    while soak.open and time.monotonic() < deadline:
        soak.look()
        soak.alive()
        time.sleep(0.5)
    soak.wrong += [f"{party} {number[:8]} never ended" for party, number in soak.open]
    soak.world.quiet()
    charges = {name: soak.world.charges(name) for name in ("merchant", "platform")}
    for name, questions in charges.items():
        if len(set(questions)) != len(questions):
            soak.wrong.append(f"{name}: a question is charged twice")
    if set(charges["merchant"]) != set(charges["platform"]):
        soak.wrong.append("the owners were charged for different questions")
    if len(charges["platform"]) != soak.count["done"]:
        soak.wrong.append(f"{len(charges['platform'])} charges for {soak.count['done']} answers")
    soak.world.audit()
    mistakes = [line for name in PARTIES for line in soak.world.nodes[name].lines() if line["event"] == "mistake"]
    soak.wrong += [f"mistake: {line}" for line in mistakes[:10]]
    _say(f"{dict(soak.count)} charges {len(charges['platform'])}")
    _say("\n".join(soak.wrong) or "all as it should be")
    return int(bool(soak.wrong))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _held(world: World, name: str) -> str:
    """Memory and handles of a node."""
    pid = world.nodes[name].process.pid
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        handles = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return "away"
    return f"{pages >> 8} MB {handles} fd {threads} threads"


if __name__ == "__main__":
    sys.exit(main())
