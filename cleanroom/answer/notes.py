"""Small things that two parties tell each other over a channel: one canonical JSON value a message.

What a peer told is taken apart by `take`, by `whole_numbers` and within `reading`: nothing it can say is our mistake.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.rows import Bytes, schema, to_batch

_NOTE = pa.schema([pa.field("note", pa.binary(), nullable=False)])
MOST_BYTES = 32 << 20
_MOST = 10**38  # the digits of a released sum
_T = TypeVar("_T")


def tell(channel: Channel, name: str, value: canonical.Json) -> None:
    """Send `value` as the message `name`."""
    content = canonical.encode(value)
    ends = pa.py_buffer(np.array([0, len(content)], np.int32))
    column = pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(content)])  # `pa.array` loads pandas
    channel.send_batch(name, pa.record_batch([column], schema=_NOTE))


def hear(channel: Channel, name: str) -> Any:
    """The value of the message `name`. Raises BadMessage for anything that is not one canonical JSON value."""
    content = channel.receive_row(name, _NOTE, nbytes=MOST_BYTES).column(0)[0].as_py()
    with reading():
        value = json.loads(content)
        if canonical.encode(value) != content:  # no floats, no key twice, no second way to say the same
            raise ValueError
    return value


@contextmanager
def reading() -> Iterator[None]:
    """Taking apart what a peer sent: what does not fit inside is its doing. Raises BadMessage."""
    try:
        yield
    except BadData as error:
        raise BadMessage(error.template, error.hint, **error.params) from error
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, UsageError, ValueError) as error:
        raise malformed() from error


def malformed() -> BadMessage:
    """The error for a note of another form."""
    return BadMessage("A message is not in the form that this version knows.")


def take(note: Any, name: str, kind: type[_T]) -> _T:
    """The field `name` of a note, of exactly this type. Raises BadMessage."""
    value = note.get(name) if isinstance(note, dict) else None
    if type(value) is not kind:
        raise malformed()
    return value


def whole_numbers(value: Any, count: int | None = None) -> list[int]:
    """A list of integers, `count` of them where that is known. Raises BadMessage."""
    if type(value) is not list or not all(type(number) is int and abs(number) < _MOST for number in value):
        raise malformed()
    if count is not None and len(value) != count:
        raise malformed()
    return value


def send_rows(channel: Channel, name: str, rows: Bytes) -> None:
    """Send uint8[n, w] as the message `name`."""
    channel.send_batch(name, to_batch(schema({"row": rows.shape[1]}), rows))


def receive_rows(channel: Channel, name: str, *, rows: int, width: int) -> Bytes:
    """uint8[rows, width] of the message `name`. Raises BadMessage for another number of rows."""
    (found,) = channel.receive_rows(name, schema({"row": width}), rows=rows)
    return found
