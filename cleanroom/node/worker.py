"""A worker: the process that does one job, its wires to the peers' nodes, and the conversation with it."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cleanroom.errors import CleanroomError, Interrupted
from cleanroom.node.control import pack_error, unpack_error
from cleanroom.node.link import Link, Patience
from cleanroom.node.local import start
from protocols.errors import PeerAborted

Meet = Callable[["Worker", dict[str, Any]], None]
_STOP_SECONDS = 10.0
_REASON_SECONDS = 2.0


class Worker:
    """One job under way. links: by peer, for those that it meets."""

    def __init__(self, home: Path, party: str, peers: Iterable[str]) -> None:
        self._party = party
        self._home = home
        self.links: dict[str, Link] = {}
        self.ended: Exception | None = None
        self.begun = time.monotonic()
        pairs = {peer: socket.socketpair() for peer in peers}
        self._wires = {peer: ours for peer, (ours, _) in pairs.items()}
        self._process, self._line = start(home, {peer: theirs for peer, (_, theirs) in pairs.items()})
        for _, theirs in pairs.values():
            theirs.close()

    def link(self, peer: str, window: int, patience: Patience) -> Link:
        """The link that carries the wire to a peer."""
        made = self.links[peer] = Link(self._party, peer, self._wires.pop(peer), window, patience)
        return made

    def do(self, job: str, arguments: dict[str, Any], step: Callable[[str, int, int], None], meet: Meet) -> Any:
        """Have the job done. meet: brings peers to the run, raising what they say. Raises what it ends in."""
        try:
            self._line.send({"job": job, "arguments": arguments})
            while (reply := self._line.receive()) is not None:
                if "progress" in reply:
                    step(*reply["progress"])
                elif "meet" in reply:
                    self._met(meet, reply["meet"])
                elif "error" in reply:
                    raise self._why(unpack_error(reply["error"]))
                else:
                    return reply["result"]
        except Interrupted as error:
            raise self._why(error) from error
        raise self._why(Interrupted("The process of {party} ended before its work was done.", "Run the command again.",
                                    party=self._party))  # fmt: skip

    def _met(self, meet: Meet, arguments: dict[str, Any]) -> None:
        try:
            meet(self, arguments)
        except CleanroomError as error:
            self._line.send({"error": pack_error(error)})
        except Exception as error:  # noqa: BLE001 - packed by name, or as our mistake
            self._line.send({"error": pack_error(error)})
        else:
            self._line.send({"met": True})

    def _why(self, seen: Exception) -> Exception:
        """What ended the job: why it was stopped, or a link's failure, before what these caused in the process."""
        if self.ended is None and isinstance(seen, PeerAborted):
            for link in self.links.values():
                link.wait(_REASON_SECONDS)  # what a peer says of it comes by another way
        failures = [link.failure for link in self.links.values() if link.failure is not None]
        return self.ended or next(iter(failures), seen)

    def tell(self, why: Exception) -> None:
        """Tell the peers of the run what it ended in."""
        for link in self.links.values():
            link.fail(why)

    def stop(self, why: Exception) -> None:
        """End it before its time; the peers of its run are told why."""
        self.ended = self.ended or why
        self.tell(why)
        self._process.terminate()
        threading.Timer(_STOP_SECONDS, self._process.kill).start()

    def close(self) -> None:
        """After `do`: have the process end, which ends its wires."""
        with contextlib.suppress(CleanroomError):
            self._line.send({"job": "stop", "arguments": {}})
        for wire in self._wires.values():
            wire.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except Exception:  # noqa: BLE001 - it hangs: no wire of it may be left
            self._process.kill()
            self._process.wait()
        self._line.close()
