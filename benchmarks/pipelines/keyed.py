"""`keyed` between two owners and an operator. usage: keyed.py receiver|sender|operator FILE OUT PLACE=SOCKET …

Places: 0 receiver, 1 sender, 2 operator, which has no file (-).
"""

import time

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from benchmarks.pipelines import party
from protocols.channel import Channel
from protocols.psi import keyed

_ROOM_KEY = bytes(range(32))
"""What both owners have derived, and the operator has not."""


def main() -> None:
    """Match, and write the receiver's matched rows."""
    given = party.words()
    if given.role == "operator":
        operator(party.channel("operator", "receiver", given.sockets[0]),
                 party.channel("operator", "sender", given.sockets[1]))  # fmt: skip
    else:
        owner(given)


def owner(given: party.Words) -> None:
    """One data owner; the receiver is told its members."""
    laps = [time.perf_counter()]
    table = party.read(given.file)
    laps.append(time.perf_counter())
    with party.channel(given.role, "operator", given.sockets[2]) as channel:
        sent = keyed.owner(
            channel, _ROOM_KEY, party.items(table), {}, lambda rows: {}, canaries=party.canaries(given.role)
        )
        laps.append(time.perf_counter())
        if given.role == "receiver":
            rows = keyed.receive_matched(channel, sent)
            del sent
            places = pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])
            csv.write_csv(table.take(places), given.out)
            laps.append(time.perf_counter())
    party.tell(sent=channel.sent, seconds=np.diff(laps).round(2).tolist())


def operator(receiver: Channel, sender: Channel) -> None:
    """Lines tokens up and tells the receiver which of its rows matched."""
    with receiver, sender:
        start = time.perf_counter()
        found = keyed.line_up(keyed.operator(receiver, {}), keyed.operator(sender, {}))
        joined = time.perf_counter() - start
        positions = keyed.without_canaries(found, keyed.named_canaries(receiver), keyed.named_canaries(sender))
        keyed.send_matched(receiver, positions)
        receiver._transport.close()
    party.tell(matched=len(positions), sent=receiver.sent + sender.sent, seconds=round(joined, 2))


if __name__ == "__main__":
    party.run(main)
