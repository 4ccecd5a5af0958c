"""What people do with a gateway: make an app, list and revoke apps, run it. An app's private key comes back once."""

import signal
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from cleanroom.errors import UsageError
from cleanroom.gateway import signing
from cleanroom.gateway.apps import App, Apps
from cleanroom.gateway.server import USUAL, Listening, Server
from cleanroom.gateway.service import Service
from cleanroom.home import Home
from cleanroom.node.log import Log
from cleanroom.querying import opened


def init(path: Path, room: str, *, pid: str = "", purpose: str = "", public_key: Path | None = None) -> dict[str, Any]:
    """A new app for the room. public_key: a file with the app's own, of which only it has the private key.

    Raises UsageError where this home brings no data to the room.
    """
    home, held = opened(path, room)
    if home.party not in held.contract.owners:
        raise UsageError("Only an owner of data of the room {room} has a gateway to it.", room=room)
    try:
        brought = "" if public_key is None else public_key.expanduser().read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("The file {name} cannot be read.", name=public_key.name if public_key else "") from error
    app, private = Apps(home).add(held.contract, pid=pid, purpose=purpose, public_key=brought)
    return {
        "app_id": app.app_id, "room": room, "pid": app.pid, "purpose": app.purpose, "app_private_key": private,
        "gateway_public_key": signing.public_text(Apps(home).key().public_key()), "gateway": f"http://{USUAL}",
    }  # fmt: skip


def listed(path: Path) -> dict[str, Any]:
    """The apps of a home, without their keys."""
    home = Home.open(path.expanduser())
    return {"home": str(home.path), "apps": [_told(app) for app in Apps(home).every()]}


def revoked(path: Path, app_id: str) -> dict[str, Any]:
    """An app that is refused from now on."""
    return _told(Apps(Home.open(path.expanduser())).revoke(app_id))


def serve(path: Path, listening: Listening) -> None:
    """Until SIGTERM or SIGINT. Raises UsageError where there is no app, or the place is taken."""
    home = Home.open(path.expanduser())
    if not any(not app.revoked for app in Apps(home).every()):
        raise UsageError("This home has no app that could call its gateway.", "Make one: cleanroom gateway init")
    log = Log()
    with Service(home, log) as service:
        server = Server(service, listening)
        log("gateway.serving", url=server.url)

        def stop(number: int, frame: FrameType | None) -> None:
            server.stop()

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, stop)
        server.run()


def _told(app: App) -> dict[str, Any]:
    told = asdict(app)
    del told["public_key"]
    return told
