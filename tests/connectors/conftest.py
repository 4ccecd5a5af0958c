"""A real PostgreSQL server for the tests: in a temporary folder, on a socket there, ended at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conformance import Server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server with one superuser, `owner`, who needs no password, and `guest`, who needs one and may read nothing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.fail("PostgreSQL's server is not installed: apt-get install postgresql", pytrace=False)
    programs = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    as_user = _run_as(folder)
    data = folder / "data"
    try:
        create = [programs / "initdb", "-D", data, "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        subprocess.run(create, check=True, capture_output=True, **as_user)
        (data / "pg_hba.conf").write_text("local all owner trust\nlocal all guest scram-sha-256\n")
        with _started(programs / "postgres", data, folder, as_user):
            server = Server(programs, folder, "owner")
            server.run("CREATE ROLE guest LOGIN PASSWORD 'sesame'")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(program: Path, data: Path, folder: Path, as_user: dict[str, object]) -> Iterator[None]:
    """The server, ended when its standard input is: also where the tests are killed."""
    server = [program, "-D", data, "--listen_addresses=", f"--unix_socket_directories={folder}", "--fsync=off"]
    guard = ["sh", "-c", '"$@" & read _; kill -QUIT $!; wait', "sh", *server]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=log, stderr=log, **as_user)
    try:
        ready = [program.parent / "pg_isready", "-q", "-h", folder]
        for _ in range(600):
            if subprocess.run(ready, check=False).returncode == 0:
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"PostgreSQL does not start: {(folder / 'log').read_text()}", pytrace=False)
        yield
    finally:
        process.stdin.close()
        process.wait(timeout=30)


def _run_as(folder: Path) -> dict[str, object]:
    """PostgreSQL refuses to run as root: the folder and the programs are then the user `postgres`'s."""
    if os.getuid() != 0:
        return {}
    person = pwd.getpwnam("postgres")
    os.chown(folder, person.pw_uid, person.pw_gid)
    folder.chmod(0o755)
    return {"user": person.pw_uid, "group": person.pw_gid, "cwd": folder}
