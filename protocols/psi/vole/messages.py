"""The messages of the vole match and their forms: what comes is checked here, its sizes before anything is done."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage, check_agreed
from protocols.kernels.vole import DEGREE, LANES
from protocols.psi.vole import base_ot
from protocols.psi.vole.code import Words
from protocols.psi.vole.parameters import CODE_LENGTH, LEAST_ROWS, MOST_ROWS, Layout
from protocols.psi.vole.trees import CHECK_BYTES, SEED_BYTES, Sums
from protocols.rows import Bytes, check_count, one_row, schema, to_batch, to_rows

VERSION = 1
TRANSFERS = CODE_LENGTH * DEGREE
PLANE_BYTES = 8 * LANES
MOST_ATTEMPTS = 8
_SIZES = pa.schema(
    [pa.field(name, pa.int64(), nullable=False) for name in ("version", "rows", "width", "label", "canaries")]
)
_ATTEMPT = pa.schema([pa.field("attempt", pa.int64(), nullable=False)])
_POINTS = schema({"point": base_ot.POINT_BYTES})
_SUMS = schema({"left": SEED_BYTES, "right": SEED_BYTES})
_TOTALS = schema({"total": CHECK_BYTES})
_DIGEST = schema({"digest": 32})
_PLANES = schema({"plane": PLANE_BYTES})
_HASHED = schema({"plane": 16})


def exchange_sizes(channel: Channel, rows: int, width: int, label: int, *, most: int, sending: bool) -> int:
    """The peer's rows, before anything is done with them. most: what this side allows, canaries not counted.

    Raises ProtocolError for what the two sides do not share, BadMessage for a number of rows that is not allowed.
    """
    mine = [VERSION, rows, width, label, canary.COUNT]
    batch = one_row(_SIZES, mine)
    theirs = _exchange(channel, "vole.sizes", batch, skipping="rows")
    least = canary.COUNT + (LEAST_ROWS if sending else 0)
    if not least <= theirs["rows"] <= min(most, MOST_ROWS) + canary.COUNT:
        raise BadMessage("The peer's declared number of rows is not allowed.")
    return theirs["rows"]


def exchange_layout(channel: Channel, layout: Layout) -> None:
    """Raises ProtocolError that names the first number in which the two sides' layouts differ."""
    values = asdict(layout)
    form = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in values])
    batch = one_row(form, list(values.values()))
    _exchange(channel, "vole.layout", batch)


def _exchange(channel: Channel, name: str, mine: pa.RecordBatch, skipping: str = "") -> dict[str, int]:
    channel.send_batch(name, mine)
    (theirs,) = channel.receive_row(name, mine.schema).to_pylist()
    check_agreed({column: ours for column, ours in mine.to_pylist()[0].items() if column != skipping}, theirs)
    return dict(theirs)


# -- oblivious transfers and trees


def send_points(channel: Channel, points: Bytes) -> None:
    """The chooser's first points."""
    channel.send_batch("vole.points", to_batch(_POINTS, points))


def receive_points(channel: Channel) -> Bytes:
    """uint8[210, 32]."""
    return channel.receive_rows("vole.points", _POINTS, rows=TRANSFERS)[0]


def send_trees(channel: Channel, reply: bytes, sums: Sums) -> None:
    """The offerer's reply and what its trees need."""
    channel.send_batch("vole.reply", to_batch(_POINTS, np.frombuffer(reply, np.uint8)[None]))
    padded = sums.padded.reshape(TRANSFERS, 2, SEED_BYTES)
    channel.send_batch("vole.trees", to_batch(_SUMS, padded[:, 0], padded[:, 1]))
    channel.send_batch("vole.totals", to_batch(_TOTALS, sums.totals))
    channel.send_batch("vole.leaves", to_batch(_DIGEST, np.frombuffer(sums.digest, np.uint8)[None]))


def receive_trees(channel: Channel) -> tuple[bytes, Sums]:
    """(reply, sums)."""
    reply = channel.receive_rows("vole.reply", _POINTS, rows=1)[0]
    left, right = channel.receive_rows("vole.trees", _SUMS, rows=TRANSFERS)
    totals = channel.receive_rows("vole.totals", _TOTALS, rows=CODE_LENGTH)[0]
    digest = channel.receive_rows("vole.leaves", _DIGEST, rows=1)[0]
    padded = np.stack([left, right], axis=1).reshape(CODE_LENGTH, DEGREE, 2, SEED_BYTES)
    return reply.tobytes(), Sums(padded, totals, digest.tobytes())


# -- buckets


def send_attempt(channel: Channel, bucket: int, attempt: int) -> None:
    """Which seed of the bucket's rows could be solved."""
    channel.send_batch("vole.attempt", one_row(_ATTEMPT, [attempt]), bucket)


def receive_attempt(channel: Channel, bucket: int) -> int:
    """0 to 7, and but for one session in 2^40 0."""
    attempt: int = channel.receive_row("vole.attempt", _ATTEMPT, bucket).column(0)[0].as_py()
    if not 0 <= attempt < MOST_ATTEMPTS:
        raise BadMessage("The content of a message is malformed.")
    return attempt


def send_correction(channel: Channel, bucket: int, planes: Words) -> None:
    """A bin's correction uint64[blocks, 35, 48]; nothing of it is kept."""
    channel.send_batch("vole.correction", to_batch(_PLANES, planes.view(np.uint8).reshape(-1, PLANE_BYTES)), bucket)


def receive_correction(channel: Channel, bucket: int, planes: Words) -> None:
    """Into uint64[blocks, 35, 48]. Raises BadMessage unless it is filled."""
    into, done = planes.view(np.uint8).reshape(-1, PLANE_BYTES), 0
    for batch in channel.receive("vole.correction", _PLANES, bucket, rows=len(into)):
        into[done : done + batch.num_rows] = to_rows(batch.column(0))
        done += batch.num_rows
    check_count(done, len(into))


def send_check(channel: Channel, bucket: int, message: Bytes, digest: bytes) -> None:
    """A group's hashed message planes and the digest of the rest."""
    channel.send_batch("vole.check", to_batch(_HASHED, message), bucket)
    channel.send_batch("vole.check-digest", to_batch(_DIGEST, np.frombuffer(digest, np.uint8)[None]), bucket)


def receive_check(channel: Channel, bucket: int, planes: int) -> tuple[Bytes, bytes]:
    """(hashed message planes uint8[planes, 16], digest)."""
    message = channel.receive_rows("vole.check", _HASHED, bucket, rows=planes)[0]
    return message, channel.receive_rows("vole.check-digest", _DIGEST, bucket, rows=1)[0].tobytes()


# -- masks


def mask_schema(mask_bytes: int) -> pa.Schema:
    """A mask in two columns."""
    return schema({"high": 8, "low": mask_bytes - 8})


def label_schema(width: int) -> pa.Schema:
    """A sealed label."""
    return schema({"label": width})


def send_masks(channel: Channel, bucket: int, hi: Words, lo: Words, mask_bytes: int) -> None:
    """Masks (hi, lo) as they stand."""
    low = lo.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)[:, : mask_bytes - 8]
    high = hi.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)
    channel.send_batch("vole.masks", to_batch(mask_schema(mask_bytes), high, low), bucket)


def receive_masks(channel: Channel, bucket: int, rows: int, mask_bytes: int) -> tuple[Words, Words]:
    """(hi, lo) of so many masks. Raises BadMessage unless they ascend, each but once."""
    hi, lo = np.empty(rows, "<u8"), np.zeros((rows, 8), np.uint8)
    done = 0
    for batch in channel.receive("vole.masks", mask_schema(mask_bytes), bucket, rows=rows):
        part = slice(done, done + batch.num_rows)
        hi[part] = to_rows(batch.column(0)).reshape(-1).view("<u8")
        lo[part, : mask_bytes - 8] = to_rows(batch.column(1))
        done += batch.num_rows
    check_count(done, rows)
    low = lo.view("<u8").reshape(-1)
    if not ((hi[1:] > hi[:-1]) | ((hi[1:] == hi[:-1]) & (low[1:] > low[:-1]))).all():
        raise BadMessage("The peer's items are not distinct.")
    return hi.astype(np.uint64, copy=False), low.astype(np.uint64, copy=False)
