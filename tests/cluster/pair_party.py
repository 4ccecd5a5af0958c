"""One party with a Spark of its own, as a program: pair_party.py ROLE FOLDER HANDLE FIRST ROWS BUCKETS [WIDTH].

HANDLE is the socket to the peer's driver. Every step is a line on stdout, and so is the result.
"""

import json
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import pair_support

from cleanroom.cluster import pair_split, pairs, session
from cleanroom.errors import KNOWN


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(role: str, folder: Path, handle: int, first: int, rows: int, buckets: int, width: int) -> None:
    peer = socket.socket(fileno=handle)
    terms = replace(pair_support.TERMS, buckets=buckets)
    held = pair_support.pairing(role, folder, terms=terms, label_width=width, patience=60.0)
    items = pair_support.people(first, rows)
    labels = np.ascontiguousarray(items[:, -width:]) if width and role == "sender" else None
    with session.running(held.settings) as spark:
        say(started=os.getpid())
        source = pair_split.staged(held.parts, items, labels)
        try:
            begun = time.monotonic()
            with pair_support.channel(role, peer) as line:
                work = pairs.receive if role == "receiver" else pairs.send
                found = work(line, pairs.SparkCluster(spark), held, source, lambda *at: say(step=at))
            seconds = round(time.monotonic() - begun, 1)
        except KNOWN as error:
            say(error=str(error))
            return
        if role == "sender":
            say(result={"peer_rows": found.peer_rows}, seconds=seconds)
            return
        result = found.result()
        right = np.array_equal(result.labels, items[result.matched][:, -width:]) if width else True
        matched = result.matched.tolist()
        say(result={"matched": matched, "peer_rows": result.peer_rows, "labels": right}, seconds=seconds)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:7]), int((sys.argv[7:] or ["0"])[0]))
