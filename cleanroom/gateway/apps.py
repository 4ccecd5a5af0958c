"""Apps that may call the gateway, and the gateway's own key, in the folder `gateway` of the home.

    key          the gateway's RSA key, wrapped by the home's root key
    apps.json    app ids with their public keys, each for one room
    seen.sqlite  calls that changed something, for as long as they could be repeated (cleanroom.gateway.replay)
    calls.sqlite the last calls, without their contents (cleanroom.gateway.calls)
An app's private key is shown once, when it is made, and not kept.
"""

import datetime as dt
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.gateway import signing
from cleanroom.home import Home
from cleanroom.rooms.contract import Contract

FORMAT = "cleanroom-gateway/1"
FOLDER = "gateway"
MOST_APPS = 1_000
_STORE, _KEY, _LOCK = "apps.json", "key", "lock"
_SEALED_AS = "gateway/key/1"
_LIMIT = 1 << 22


@dataclass(frozen=True)
class App:
    """An integration of the merchant. room: the one that it works in; pid: the merchant id that it may name, "" for
    any; purpose: of the contract, for what it exports; revoked: when, or ""."""

    app_id: str
    room: str
    public_key: str
    pid: str
    purpose: str
    created: str
    revoked: str = ""


class Apps:
    """The apps of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = home.path / FOLDER

    @property
    def folder(self) -> Path:
        """Where the gateway keeps its own; made where it is missing."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        private_files.check_folder(self._folder)
        return self._folder

    def key(self) -> rsa.RSAPrivateKey:
        """The gateway's, made at the first call."""
        path = self.folder / _KEY
        with private_files.locked(self.folder / _LOCK):
            if not path.exists():
                made = signing.private_der(signing.new_key())
                write_bytes(path, self._home.wrapping.wrap(_SEALED_AS, made))
        found = load_der_private_key(self._home.wrapping.unwrap(_SEALED_AS, private_files.read(path)), None)
        if not isinstance(found, rsa.RSAPrivateKey):
            raise BadData("The gateway's key is damaged.", "Restore it from a backup.")
        return found

    def every(self) -> tuple[App, ...]:
        """In the order in which they were made. Raises BadData."""
        path = self._folder / _STORE
        if not path.exists() and not path.is_symlink():
            return ()
        try:
            value = json.loads(private_files.read(path, _LIMIT))
            if value["format"] != FORMAT:
                raise BadData("The gateway's apps have a format that this version does not know.")
            apps = tuple(App(**each) for each in value["apps"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadData("The file of the gateway's apps is damaged.", "Restore it from a backup.") from error
        if any(type(text) is not str for app in apps for text in asdict(app).values()):
            raise BadData("The file of the gateway's apps is damaged.", "Restore it from a backup.")
        return apps

    def marked(self) -> tuple[int, ...]:
        """What changes when apps do; () where there are none."""
        path = self._folder / _STORE
        return private_files.mark(path) if path.exists() else ()

    def add(self, contract: Contract, *, pid: str = "", purpose: str = "", public_key: str = "") -> tuple[App, str]:
        """A new app for the room, and its private key; "" where the caller brings the public key of one of its own.

        Raises UsageError for a purpose that the contract has not, or a key that is none.
        """
        purpose = purpose or contract.purposes[0]
        if purpose not in contract.purposes:
            raise UsageError(
                "The contract has no such purpose.", "Its purposes: {names}.", names=", ".join(contract.purposes)
            )
        private = ""
        if public_key:
            public_key = signing.public_text(signing.load_public(public_key))
        else:
            made = signing.new_key()
            private, public_key = signing.private_text(made), signing.public_text(made.public_key())
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        app = App(f"2021{secrets.randbelow(10**12):012d}", contract.room, public_key, pid, purpose, now)

        def added(apps: tuple[App, ...]) -> tuple[App, ...]:
            if len(apps) >= MOST_APPS:
                raise UsageError("A gateway has at most {most} apps.", most=MOST_APPS)
            return (*apps, app)

        self._change(added)
        return app, private

    def revoke(self, app_id: str) -> App:
        """From now on its calls are refused. Raises UsageError where there is none."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")

        def revoked(apps: tuple[App, ...]) -> tuple[App, ...]:
            if all(app.app_id != app_id for app in apps):
                raise UsageError("There is no app {app}.", "cleanroom gateway app list names them.", app=app_id)
            return tuple(replace(app, revoked=app.revoked or now) if app.app_id == app_id else app for app in apps)

        return next(app for app in self._change(revoked) if app.app_id == app_id)

    def _change(self, made: Callable[[tuple[App, ...]], tuple[App, ...]]) -> tuple[App, ...]:
        with private_files.locked(self.folder / _LOCK):
            apps = made(self.every())
            plain: list[Any] = [asdict(app) for app in apps]
            write_bytes(self._folder / _STORE, canonical.encode({"format": FORMAT, "apps": plain}))
        return apps
