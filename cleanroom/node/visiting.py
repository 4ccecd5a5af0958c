"""What a user of a node does who has no access to its home: a call through its socket, by token."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cleanroom import private_files
from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.node.control import unpack_error
from cleanroom.node.door import knock

TOKEN_VARIABLE = "CLEANROOM_TOKEN"  # noqa: S105 - its name
_LOOK_SECONDS = 0.5


def asked(where: str, token_file: str, call: str, room: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What came of a call; of a job, its end. Raises what the node says, UsageError without a socket or a token."""
    path, token = _socket(where), _token(token_file)

    def once(call: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return knock(path, {"token": token, "call": call, "room": room, "arguments": dict(arguments)})

    found = once(call, arguments)
    while found.get("state") in ("queued", "running"):
        time.sleep(_LOOK_SECONDS)
        found = once("jobs", {"id": found["id"]})
    if found.get("state") in ("failed", "cancelled") and found.get("failure"):
        raise unpack_error(found["failure"])
    return {"call": call, "room": room, "result": found.get("result", found)}


def logged_in(where: str, name: str, password: str, out: Path) -> dict[str, Any]:
    """A token for some hours, into a file that only its owner may read."""
    found = knock(_socket(where), {"name": name, "password": password})
    write_bytes(out.expanduser(), f"{found['token']}\n".encode())
    return {"name": name, "path": str(out)}


def _socket(where: str) -> Path:
    if not where:
        raise UsageError("Name the node's socket.", "--socket PATH, or CLEANROOM_SOCKET; its owner knows it.")
    return Path(where).expanduser()


def _token(file: str) -> str:
    if file:
        return private_files.read(Path(file).expanduser()).decode().strip()
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise UsageError("A token is needed.", "--token-file FILE, or the environment's CLEANROOM_TOKEN.")
    return token
