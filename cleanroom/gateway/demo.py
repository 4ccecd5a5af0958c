"""`cleanroom demo --serve`: a merchant, a platform and an operator on made-up people, and a provider of the merchant's.

Each party's node is a process of its own on this machine, with its console; runs between them go over the wire. The
merchant has a gateway too. An earlier demo in the folder is served again, with a new app and new passwords.
"""

import secrets
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from cleanroom import planning
from cleanroom.access import delegating, users
from cleanroom.demo import nodes
from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.gateway.server import Listening, Server
from cleanroom.gateway.service import Service
from cleanroom.gateway.setting_up import init
from cleanroom.home import Home
from cleanroom.node.local import Progress
from cleanroom.overlap.run import home_paths
from cleanroom.rooms import grants
from cleanroom.rooms.grants import Scope

MARK = "gateway-demo.txt"
SCALE = 0.3
PROVIDER = "provider"
LOGINS = {
    "merchant": ("owner", "analyst", "marketer", "approver", "auditor"),
    "platform": ("owner", "operator", "approver", "auditor"),
    "operator": ("owner",),
    PROVIDER: ("owner", "analyst", "marketer"),
}
"""Who may sign in at each party's console: a user a role, called like it."""
GRANTED = ("query", "plan", "insight", "crowd", "budget", "jobs", "status")
CHANNELS = ("coupon", "message", "search-direct")
GRANT_DAYS = 90
"""What the provider may do in the merchant's name, where, and for how long."""
_PASSWORD_BYTES = 12


def serve_demo(folder: Path, progress: Progress | None = None, *, told: Callable[[dict[str, Any]], None],
               scale: float = SCALE, replace: bool = False) -> None:  # fmt: skip
    """Makes the demo in `folder`, unless there is one (replace: anew), and serves its gateway until SIGTERM or SIGINT.

    told: gets, once calls are taken, gateway, app_id, app_private_key, gateway_public_key, console (the merchant's),
    consoles and nodes by party, and logins: {party, user, password, role}. The gateway is on port 80 of the loopback
    where that is free and allowed, since the SDK reaches no other; else on a free one, which `sdk` then says. Raises
    UsageError where something else is in it.
    """
    folder = folder.absolute()
    if replace and (folder / MARK).is_file():
        shutil.rmtree(folder)
    made = prepare(folder, progress, scale)
    with nodes.running(_homes(folder)) as at, Service(Home.open(folder)) as service:
        _delegate(folder)
        server = _server(service)

        def stop(number: int, frame: FrameType | None) -> None:
            server.stop()

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, stop)
        told({**made, "gateway": server.url, "sdk": server.port == Listening().port,
              "console": at.consoles["merchant"], "consoles": at.consoles, "nodes": at.nodes})  # fmt: skip
        server.run()


def prepare(folder: Path, progress: Progress | None = None, scale: float = SCALE) -> dict[str, Any]:
    """The demo's homes, room, plan, app and logins; what is told of them, without the address."""
    from cleanroom import boards
    from cleanroom.demo import market  # the generator's packages: only where a demo is made

    if not (folder / MARK).is_file():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError("{name} exists already.", "Name another folder, or give --replace.", name=folder.name)
        market.build(folder, scale=scale, step=progress)
        planning.make(folder, market.ROOM, "monthly", progress)
        boards.make(folder, market.ROOM)
        Home.create(_provider(folder), PROVIDER)
        write_bytes(folder / MARK, b"made by cleanroom demo --serve; all persons in it are made up\n")
    app = init(folder, market.ROOM)
    homes = _homes(folder)
    with ThreadPoolExecutor() as pool:  # passwords are slow to hash, on purpose
        logins = [*pool.map(_logins, map(Home.open, homes.values()), homes)]
    return {
        "app_id": app["app_id"], "app_private_key": app["app_private_key"],
        "gateway_public_key": app["gateway_public_key"], "room": market.ROOM, "home": str(folder),
        "logins": [login for found in logins for login in found],
    }  # fmt: skip


def _homes(folder: Path) -> dict[str, Path]:
    """The parties' homes that there are."""
    paths = {**home_paths(folder, operator=True), PROVIDER: _provider(folder)}
    return {party: path for party, path in paths.items() if path.is_dir()}


def _provider(folder: Path) -> Path:
    return folder / "peers" / PROVIDER


def _delegate(folder: Path) -> None:
    """The merchant's grant to the provider, unless one is in force; the provider's node is told by message."""
    from cleanroom.demo import market

    held = {each["name"] for each in grants.listed(folder)["grants"] if each["state"] == "in force"}
    if PROVIDER not in held and PROVIDER in _homes(folder):
        delegating.given(folder, PROVIDER, "", Scope(GRANTED, (market.ROOM,), CHANNELS), GRANT_DAYS)


def _logins(home: Home, party: str) -> list[dict[str, str]]:
    """A user a role, with a new password."""
    held = {each["name"] for each in users.listed(home.path)["users"]}
    found = []
    for role in LOGINS[party]:
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        if role in held:
            users.set_password(home, role, password)
        else:
            users.add(home, role, [role], password)
        found.append({"party": party, "user": role, "password": password, "role": role})
    return found


def _server(service: Service) -> Server:
    try:
        return Server(service, Listening())
    except UsageError:
        return Server(service, Listening(port=0))
