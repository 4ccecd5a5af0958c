"""How whoever started a party's process talks to it: one JSON object a line over a socket that only the two hold.

Requests name a job; replies are progress, a result or one of our errors. No row of data ever goes this way.
"""

import json
import socket
from contextlib import suppress
from typing import Any

from cleanroom import errors
from cleanroom.errors import KNOWN, CleanroomError, Interrupted, our_mistake
from cleanroom.lang import known
from connectors.errors import InputError
from protocols.errors import BadMessage, PeerAborted, ProtocolError

_ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        errors.UsageError,
        errors.Refused,
        errors.BadData,
        errors.Interrupted,
        errors.Busy,
        errors.Waiting,
        CleanroomError,
        InputError,
        BadMessage,
        PeerAborted,
        ProtocolError,
    )
}


_MOST_PARAM = 200


class Control:
    """One end of the line."""

    def __init__(self, line: socket.socket) -> None:
        self._socket = line
        self._reader = line.makefile("rb")

    def send(self, message: dict[str, Any]) -> None:
        """Send one object. Raises Interrupted where the other process is gone."""
        try:
            self._socket.sendall(json.dumps(message, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise Interrupted("A party's process ended before its work was done.") from error

    def receive(self) -> dict[str, Any] | None:
        """The next object; None where the other end is closed."""
        try:
            line = self._reader.readline()
        except OSError:
            return None
        return dict(json.loads(line)) if line.endswith(b"\n") else None

    def hurry(self, seconds: float) -> None:
        """From now on, an end that says nothing for so long counts as gone."""
        with suppress(OSError):  # hung up already
            self._socket.settimeout(seconds)

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._socket.close()


def pack_error(error: Exception) -> dict[str, Any]:
    """An error as it goes over the line."""
    known = error if isinstance(error, KNOWN) else our_mistake(error)
    kind = next(kind.__name__ for kind in type(known).__mro__ if kind.__name__ in _ERRORS)
    params = {
        name: value if isinstance(value, int | float | str) else str(value) for name, value in known.params.items()
    }
    return {"kind": kind, "template": known.template, "hint": known.hint, "params": params}


def unpack_error(value: dict[str, Any]) -> Exception:
    """The error of `pack_error`."""
    kind = _ERRORS.get(value["kind"], CleanroomError)
    return kind(value["template"], value["hint"], **value["params"])


def known_error(value: Any) -> Exception:
    """The error that a peer sent, where its texts are of this program and fit. Raises ValueError for anything else, so
    that nobody else's words are shown as ours."""
    try:
        texts = [value["template"], value["hint"]]
        params = dict(value["params"])
        small = all(
            type(each) in (int, float, str) and len(str(each)) <= _MOST_PARAM and str(each).isprintable()
            for each in params.values()
        )
        if value["kind"] not in _ERRORS or not small or not all(type(each) is str for each in texts):
            raise ValueError
        if not all(known(each) for each in texts if each):
            raise ValueError
        error = unpack_error(value)
        str(error)  # has all its params
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError from error
    return error
