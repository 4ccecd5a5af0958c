"""A party's process: `python -m cleanroom.node.party HOME CONTROL PEER=WIRE…` (the numbers are inherited sockets).

It obeys whoever started it, over the control line, and talks to peers over the wires only through a protocol's channel.
What it reads of the data stays in its memory and its home.
"""

import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cleanroom.errors import Interrupted
from cleanroom.home import Home
from cleanroom.lean import without_pandas
from cleanroom.node.control import Control, pack_error, unpack_error
from cleanroom.node.jobs import PartyJobs
from cleanroom.node.sockets import SocketTransport
from protocols.channel import Transport


def main(arguments: list[str]) -> int:
    """Serve jobs until told to stop or the line closes."""
    without_pandas()
    home, line, *wires = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us, who then ends us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    control = Control(socket.socket(fileno=int(line)))
    handles = dict(wire.rsplit("=", 1) for wire in wires)
    peers = {name: SocketTransport(socket.socket(fileno=int(handle))) for name, handle in handles.items()}
    with suppress(Interrupted):  # whoever started us is gone
        serve(control, Path(home), peers)
    return 0


def serve(control: Control, path: Path, peers: Mapping[str, Transport]) -> None:
    """Answer requests one by one."""
    party: PartyJobs | None = None
    while (request := control.receive()) is not None:
        if request["job"] == "stop":
            for wire in peers.values():  # what was handed over is sent before the process ends
                wire.close()
            control.send({"result": peak_memory()})
            return
        try:
            if party is None:
                home = Home.open(path)
                party = PartyJobs(home, peers, lambda *step: control.send({"progress": step}), _asker(control))
            result: Any = getattr(party, f"job_{request['job']}")(**request["arguments"])
        except Exception as error:  # noqa: BLE001 - the line carries every failure to whoever waits for it
            for wire in peers.values():  # a peer that waits for us must not wait for ever
                wire.close()
            control.send({"error": pack_error(error)})
        else:
            control.send({"result": result})


def _asker(control: Control) -> Callable[[dict[str, Any]], None]:
    """How a job has its node bring the other parties to the same run. Raises what they answer."""

    def meet(arguments: dict[str, Any]) -> None:
        control.send({"meet": arguments})
        reply = control.receive()
        if reply is None:
            raise Interrupted("The node ended before the job was done.")
        if "error" in reply:
            raise unpack_error(reply["error"])

    return meet


def peak_memory() -> int:
    """The most memory this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
