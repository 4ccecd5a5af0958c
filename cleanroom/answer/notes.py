"""Small things that two parties tell each other over a channel: one canonical JSON value a message."""

import json
from typing import Any

import pyarrow as pa

from cleanroom import canonical
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.rows import Bytes, schema, to_batch, to_rows

_NOTE = pa.schema([pa.field("note", pa.binary(), nullable=False)])
MOST_BYTES = 32 << 20


def tell(channel: Channel, name: str, value: canonical.Json) -> None:
    """Send `value` as the message `name`."""
    channel.send_batch(name, pa.record_batch([pa.array([canonical.encode(value)], pa.binary())], schema=_NOTE))


def hear(channel: Channel, name: str) -> Any:
    """The value of the message `name`. Raises BadMessage for anything that is not one JSON value."""
    batch = channel.receive_batch(name, _NOTE, rows=1, nbytes=MOST_BYTES)
    if batch is None:
        raise BadMessage("A message has fewer rows than were declared.")
    try:
        return json.loads(batch.column(0)[0].as_py())
    except ValueError as error:
        raise BadMessage("A message is not in the form that this version knows.") from error


def send_rows(channel: Channel, name: str, rows: Bytes) -> None:
    """Send uint8[n, w] as the message `name`."""
    channel.send_batch(name, to_batch(schema({"row": rows.shape[1]}), rows))


def receive_rows(channel: Channel, name: str, *, rows: int, width: int) -> Bytes:
    """uint8[rows, width] of the message `name`. Raises BadMessage for another number of rows."""
    batch = channel.receive_batch(name, schema({"row": width}), rows=rows)
    found = to_rows(batch.column(0)) if batch is not None else to_rows(pa.array([], pa.binary(width)))
    if len(found) != rows:
        raise BadMessage("A message has fewer rows than were declared.")
    return found
