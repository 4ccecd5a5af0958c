"""How a key reaches an executor: wrapped by the driver, opened on the executor by a key file that stands there.

The file (mode 0600) is put on every machine of the cluster by whoever runs it, as a secret of Kubernetes or by the
hand that installs; it never travels with Spark. A `SealedKey` may stand in closures, plans and logs.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from cleanroom import private_files
from cleanroom.cluster.errors import MissingKey
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.errors import BadData, CleanroomError
from cleanroom.keystore import Keystore, Wrapping

_FORMAT = b"cleanroom-key/1\n"
_LABEL = "cluster/"


@dataclass(frozen=True)
class SealedKey:
    """A key that opens where the key file stands."""

    name: str
    wrapped: bytes = field(repr=False)
    key_file: str
    """Its path on the executor."""

    def open(self) -> bytes:
        """The key. Raises MissingKey where this machine's key file is missing or another one."""
        try:
            return _wrapping(self.key_file).unwrap(_LABEL + self.name, self.wrapped)
        except BadData:
            raise MissingKey(
                "The executor key on {host} is not the one that this work was sealed for.",
                "Put the same key file on the driver and on every executor.",
                host=socket.gethostname(),
            ) from None


def seal(settings: ClusterSettings, name: str, secret: bytes) -> SealedKey:
    """A secret for executors alone; opens under the same `name`. Raises MissingKey as `SealedKey.open`."""
    return SealedKey(name, _wrapping(settings.executor_key).wrap(_LABEL + name, secret), settings.executor_key)


def make(path: Path) -> None:
    """A new key file of mode 0600. Raises UsageError where it exists or cannot be made."""
    Keystore.make_key_file(path)


def _wrapping(path: str) -> Wrapping:
    try:
        content = private_files.read_secret(Path(path))
    except CleanroomError:
        raise MissingKey(
            "There is no executor key on {host}, or others may read it.",
            "Put the key file there with mode 0600: {path}",
            host=socket.gethostname(),
            path=path,
        ) from None
    try:
        key = bytes.fromhex(content.removeprefix(_FORMAT).decode("ascii")) if content.startswith(_FORMAT) else b""
    except ValueError:
        key = b""
    if len(key) != 32:
        raise MissingKey(
            "The executor key on {host} is damaged.", "Put the file there anew: {path}",
            host=socket.gethostname(), path=path,
        )  # fmt: skip
    return Wrapping(key)
