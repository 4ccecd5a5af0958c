"""Processes that share a node's state and are killed, and what they leave. Run by test_state.py and test_queue.py.

One process forks all others, which is quicker than starting them; it has no state open while it does.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from cleanroom.node.queue import Jobs
from cleanroom.node.state import State, now

STAGES = {"queued": 1, "running": 2, "done": 3}


def processes(action, path, count):
    """What `main` prints in a process of its own, line by line."""
    command = [sys.executable, __file__, action, str(path), str(count)]
    root = Path(__file__).parents[2]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=root)
    return [json.loads(line) for line in run.stdout.splitlines()]


def work(path, turn, told):
    """Submits, takes and finishes jobs, and tells of each step once the call has returned."""
    jobs = Jobs(State(path))
    for number in range(10_000):
        wanted = jobs.submit("match", "room", {"turn": turn}, "me", id=f"{turn:016x}{number:016x}")
        os.write(told, f"1{wanted.id}".encode())
        while (job := jobs.take(now(), 0)) is not None:
            os.write(told, f"2{job.id}".encode())
            jobs.finish(job.id, {"matched": job.id})
            os.write(told, f"3{job.id}".encode())


def killed(path, turn, seconds):
    """The furthest step of each job that a worker told of before it was killed."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reads)
        work(path, turn, writes)
        os._exit(0)
    os.close(writes)
    first = os.read(reads, 33)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(reads, "rb") as rest:
        text = (first + rest.read()).decode()
    return {text[i + 1 : i + 33]: int(text[i]) for i in range(0, len(text), 33)}


def crash(path, turns):
    """Kills workers; prints for each what it told, and what stands in the state before the next."""
    random.seed(5)
    for turn in range(turns):
        told = killed(path, turn, random.random() * 0.03)
        with State(path) as state:
            with state.reading() as database:
                sound = database.execute("PRAGMA integrity_check").fetchone()[0]
            found = [(job.id, STAGES[job.state], job.result) for job in Jobs(state).listed(most=100_000)]
            recovered = Jobs(state).recover()
        line = json.dumps({"told": told, "sound": sound, "found": found, "recovered": recovered})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def together(count, act):
    """Runs `act(number)` in so many processes at once; prints what each returns as JSON."""
    pids, begin = [], time.monotonic() + 0.05
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            time.sleep(max(0.0, begin - time.monotonic()))
            os.write(1, (json.dumps(act(number)) + "\n").encode())
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


def taken(path):
    """Ids of all jobs that this process gets."""
    jobs, found = Jobs(State(path)), []
    while (job := jobs.take(now(), 0)) is not None:
        found.append(job.id)
    return found


def opened(path, number):
    """One job more in a state that all open at the same moment."""
    with State(path) as state:
        return Jobs(state).submit("match", "room", {"number": number}, "me").id


def main(action, path, count):
    match action:
        case "crash":
            crash(path, count)
        case "take":
            together(count, lambda _: taken(path))
        case "open":
            together(count, lambda number: opened(path, number))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
