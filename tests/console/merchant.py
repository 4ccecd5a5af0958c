"""A merchant's home without a room, for screens about data and settings; and its jobs done in this process."""

import datetime as dt
import re
from pathlib import Path
from typing import Any

import httpx

from cleanroom.access import users
from cleanroom.console.guard import CSRF, csrf_of
from cleanroom.home import Home
from cleanroom.node import work
from cleanroom.node.queue import Job, Jobs
from cleanroom.node.state import State
from tests.console.conftest import PASSWORD, Client
from tests.near import new_home


def made(path: Path, *roles: str, upload_mb: int = 64) -> Home:
    """The home at `path`, with a user of each role, called like it."""
    home = new_home(path, "merchant")
    for role in roles:
        users.add(home, role, [role], PASSWORD.format(role))
    (path / "node.toml").write_text(
        f'role = "merchant"\nconsole = true\nlisten = ""\nmetrics = ""\nconsole_upload_mb = {upload_mb}\n'
    )
    (path / "node.toml").chmod(0o600)
    return home


def sent(user: Client, file: bytes | None, name: str = "crm.csv", number: str = "", **more: Any) -> httpx.Response:
    """An upload as the form sends it; file: None where `more` says what is sent; number: as the page gave it, unless
    said."""
    number = number or re.findall(r'action="/data/uploads/(\w+)"', user.get("/data").html)[0]
    files = None if file is None else {"file": (name, file)}
    head = {"origin": user._origin, CSRF: csrf_of(user.session), **more.pop("headers", {})}
    return user.raw("POST", f"/data/uploads/{number}", files=files, headers=head, **more)


def done(home: Home, where: str) -> Job:
    """The job that an answer leads to, worked on in this process as a worker would."""
    with State.open(home) as state:
        jobs = Jobs(state)
        job = jobs.get(re.findall(r"/jobs/(\w+)", where)[0])
        while jobs.get(job.id).state == "queued":  # those before it, of other tests, stay as they are
            jobs.take(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1), 0)
        result = work.KINDS[job.kind](home, job.room, job.arguments, None, lambda *_: None)  # type: ignore[arg-type]
        jobs.finish(job.id, result)
        return jobs.get(job.id)


def kept_bytes(home: Home) -> bytes:
    """All that stands in the files of a home, its databases and their logs among them."""
    return b"\n".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
