"""What all pipelines share: words of the command line, a channel over the socket they name, CSV in and out.

Keys and canaries are those of `cleanroom.bench.party`: made up, of a measurement, not of a room.
"""

import atexit
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from cleanroom.bench.party import WIDTH, canaries, channel
from connectors.arrays import numbers
from protocols.psi.tokens import Items
from protocols.rows import Bytes

LOADING_ROWS = 100_000
PART_ROWS = 1 << 20

__all__ = ["Words", "canaries", "channel", "digests", "items", "read", "run", "tell", "words", "write"]


@dataclass(frozen=True)
class Words:
    """role, file of identities, file of members, other settings; sockets by the peer's place."""

    role: str
    file: str
    out: str
    more: tuple[str, ...]
    sockets: Mapping[int, int]


def words() -> Words:
    """ROLE FILE OUT [MORE …] PLACE=SOCKET …"""
    given = [word for word in sys.argv[1:] if "=" not in word]
    pairs = (word.split("=") for word in sys.argv[1:] if "=" in word)
    sockets = {int(place): int(number) for place, number in pairs}
    return Words(given[0], given[1], given[2], tuple(given[3:]), sockets)


def read(path: str) -> pa.Table:
    """The file's columns, all as text."""
    options = pa.csv.ConvertOptions(column_types={"phone": pa.string()})
    return pa.csv.read_csv(path, convert_options=options)


def items(table: pa.Table) -> Items:
    """The same as `digests`, a part at a time."""
    few = len(table) <= LOADING_ROWS
    return Items(
        len(table), lambda: (digests(table.slice(at, PART_ROWS), few=few) for at in range(0, len(table), PART_ROWS))
    )


def digests(table: pa.Table, *, few: bool | None = None) -> Bytes:
    """uint8[n, 16] of the phones; of few of them without the kernel, which takes as long to load as 200,000 by hand."""
    if len(table) > LOADING_ROWS if few is None else not few:
        from protocols.kernels.digests import sha256

        return sha256(table["phone"], WIDTH)
    content = b"".join(hashlib.sha256(phone.encode()).digest()[:WIDTH] for phone in table["phone"].to_pylist())
    return np.frombuffer(content, np.uint8).reshape(-1, WIDTH)


def write(table: pa.Table, rows: Any, path: str) -> None:
    """These rows as CSV."""
    pa.csv.write_csv(table.take(numbers(rows)), path)


def run(main: Callable[[], None]) -> None:
    """The whole process. It ends without taking the interpreter apart, on which LLVM spends 0.4 s."""
    main()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


def tell(**figures: Any) -> None:
    """One JSON object, for the one who measures."""
    sys.stdout.write(json.dumps(figures) + "\n")
