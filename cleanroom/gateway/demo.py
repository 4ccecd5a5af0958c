"""`cleanroom demo --serve`: a merchant, a platform and an operator on made-up people, and the merchant's gateway.

Each party's node is a process of its own on this machine; runs between them go over the wire. An earlier demo in the
folder is served again, with a new app.
"""

import secrets
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from cleanroom import planning
from cleanroom.access import users
from cleanroom.demo import nodes
from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.gateway.server import Listening, Server
from cleanroom.gateway.service import Service
from cleanroom.gateway.setting_up import init
from cleanroom.home import Home
from cleanroom.node.local import Progress
from cleanroom.overlap.run import home_paths

MARK = "gateway-demo.txt"
SCALE = 0.3
_LOGINS = ("marketer", "analyst", "approver")
_PASSWORD_BYTES = 12


def serve_demo(folder: Path, progress: Progress | None = None, *, told: Callable[[dict[str, Any]], None],
               scale: float = SCALE, replace: bool = False) -> None:  # fmt: skip
    """Makes the demo in `folder`, unless there is one (replace: anew), and serves its gateway until SIGTERM or SIGINT.

    told: gets, once calls are taken, gateway, app_id, app_private_key, gateway_public_key, console (None: there is none
    yet), logins and the nodes' addresses. On port 80 of the loopback where that is free and allowed, since the SDK
    reaches no other; else on a free one, which `sdk` then says. Raises UsageError where something else is in it.
    """
    folder = folder.absolute()
    if replace and (folder / MARK).is_file():
        shutil.rmtree(folder)
    made = prepare(folder, progress, scale)
    homes = {party: path for party, path in home_paths(folder, operator=True).items() if path.is_dir()}
    with nodes.running(homes) as urls, Service(Home.open(folder)) as service:
        server = _server(service)

        def stop(number: int, frame: FrameType | None) -> None:
            server.stop()

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, stop)
        told({**made, "gateway": server.url, "sdk": server.port == Listening().port, "console": None,
              "nodes": urls})  # fmt: skip
        server.run()


def prepare(folder: Path, progress: Progress | None = None, scale: float = SCALE) -> dict[str, Any]:
    """The demo's homes, room, plan, app and logins; what is told of them, without the address."""
    from cleanroom.demo import market  # the generator's packages: only where a demo is made

    if not (folder / MARK).is_file():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError("{name} exists already.", "Name another folder, or give --replace.", name=folder.name)
        market.build(folder, scale=scale, step=progress)
        planning.make(folder, market.ROOM, "monthly", progress)
        write_bytes(folder / MARK, b"made by cleanroom demo --serve; all persons in it are made up\n")
    app = init(folder, market.ROOM)
    return {
        "app_id": app["app_id"], "app_private_key": app["app_private_key"],
        "gateway_public_key": app["gateway_public_key"], "room": market.ROOM, "home": str(folder),
        "logins": _logins(Home.open(folder)),
    }  # fmt: skip


def _logins(home: Home) -> list[dict[str, str]]:
    """A user a role, with a new password."""
    held = {each["name"] for each in users.listed(home.path)["users"]}
    found = []
    for role in _LOGINS:
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        if role in held:
            users.set_password(home, role, password)
        else:
            users.add(home, role, [role], password)
        found.append({"user": role, "password": password, "role": role})
    return found


def _server(service: Service) -> Server:
    try:
        return Server(service, Listening())
    except UsageError:
        return Server(service, Listening(port=0))
