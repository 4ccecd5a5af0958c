"""What a command does that needs the node: it leaves a job in the home, and waits for its end."""

import fcntl
import os
import time
from collections.abc import Mapping
from typing import Any, Self

from cleanroom.errors import Interrupted, Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.control import unpack_error
from cleanroom.node.local import Progress
from cleanroom.node.queue import ENDED, Job, Jobs
from cleanroom.node.state import State

WAITING = "A person at {party} has to say yes first."
LOCK = "node.lock"
"""Held by the node while it runs."""
_LOOK_SECONDS = 0.1


class Submitted:
    """The parties of a room, reached by this home's node."""

    def __init__(self, home: Home, room: str, progress: Progress | None) -> None:
        self._home, self._room, self._progress = home, room, progress
        check_running(home)
        self._state = State.open(home)

    def call(self, job: str, arguments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """See parties.Parties; this party's outcome alone comes back."""
        jobs = Jobs(self._state)
        submitted = jobs.submit(job, self._room, {"parties": {**arguments}}, self._home.party)
        return {self._home.party: awaited(jobs, submitted.id, self._home, self._progress)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._state.close()


def awaited(jobs: Jobs, job_id: str, home: Home, progress: Progress | None = None) -> Any:
    """The result of a job. Raises the error that it failed with; Ctrl-C cancels it. One that waits for a person at a
    peer is not waited for: it goes on by itself."""
    try:
        while (job := jobs.get(job_id)).state not in ENDED:
            if job.error is not None and job.error["template"] == WAITING:
                raise Refused(WAITING, "The job {id} goes on by itself then: cleanroom job show {id}",
                              **job.error["params"], id=job.id[:8])  # fmt: skip
            if progress is not None and job.stage:
                progress(home.party, job.stage, job.done, job.total)
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        jobs.cancel(job_id)
        raise
    return result(job)


def result(job: Job) -> Any:
    """Of a job that has ended. Raises what it failed with."""
    if job.state == "cancelled":
        raise Interrupted("The job {id} was cancelled.", id=job.id[:8])
    if job.error is not None and job.state == "failed":
        raise unpack_error(job.error)
    return job.result


def is_running(home: Home) -> bool:
    """Whether the home's node runs."""
    handle = os.open(home.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def check_running(home: Home) -> None:
    """Raises UsageError where the node does not run."""
    if not is_running(home):
        raise UsageError("The node of this home does not run.", "Start it: cleanroom serve")
