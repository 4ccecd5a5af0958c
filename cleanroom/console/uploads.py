"""A file that a browser sends, taken as it arrives: piece by piece out of the form and into the sealed file.

Never is the whole of it in memory, and nothing of it on the disk in the clear. How much has arrived is kept in memory
for the page that shows it.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from cleanroom import uploads
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home

FIELD = "file"
"""The name of the field that holds the file."""
PIECE = 256 << 10
"""Bytes that are gathered before they are worked on."""
_MOST_HEAD = 8 << 10
MOST_AT_ONCE = 4
"""Files of one user that arrive at the same time."""
_MOST_COUNTS = 200


@dataclass(frozen=True)
class Count:
    """done, total: bytes of the request; total 0 = unknown."""

    who: str
    done: int
    total: int


@dataclass
class Counts:
    """How far each upload is that arrives now."""

    _held: OrderedDict[str, Count] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, number: str, count: Count) -> None:
        """So far."""
        with self._lock:
            self._held[number] = count
            while len(self._held) > _MOST_COUNTS:
                self._held.popitem(last=False)

    def of(self, number: str, who: str) -> Count | None:
        """That of one's own upload; None where nothing arrives."""
        with self._lock:
            found = self._held.get(number)
        return found if found is not None and found.who == who else None

    def check_room(self, who: str) -> None:
        """Raises Refused where so many of the user's arrive that none more may."""
        with self._lock:
            if sum(each.who == who for each in self._held.values()) >= MOST_AT_ONCE:
                raise Refused("{most} of your files arrive already.", "Wait until one is here.", most=MOST_AT_ONCE)

    def end(self, number: str) -> None:
        """It arrives no more."""
        with self._lock:
            self._held.pop(number, None)


COUNTS = Counts()


async def received(request: Request, home: Home, number: str, who: str) -> str:
    """Takes the request's file and seals it. Returns its number; what does not come whole leaves nothing behind.

    Raises UsageError where it does not come whole, or where there is no file in it; Refused where too many of this
    user's arrive already; what `uploads.Sealing` does.
    """
    uploads.checked(number)
    form = _Form(home, number, who, _boundary(request))
    COUNTS.check_room(who)
    total, done, waiting = int(request.headers.get("content-length", "0") or 0), 0, bytearray()
    COUNTS.set(number, Count(who, done, total))
    try:
        async for piece in request.stream():
            waiting += piece
            done += len(piece)
            COUNTS.set(number, Count(who, done, total))
            if len(waiting) >= PIECE:
                await run_in_threadpool(form.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(form.write, bytes(waiting))
        return await run_in_threadpool(form.finish)
    except ClientDisconnect as error:
        raise UsageError("The upload ended before the whole file was here.", "Upload the file again.") from error
    except MultipartParseError as error:
        raise _no_file() from error
    finally:
        COUNTS.end(number)
        form.close()


class _Form:
    """A multipart form (RFC 7578) of which the one file is sealed and all else passed over."""

    def __init__(self, home: Home, number: str, who: str, boundary: bytes) -> None:
        self._home, self._number, self._who = home, number, who
        self._sealing: uploads.Sealing | None = None
        self._taking, self._bytes = False, 0
        self._name, self._value, self._headers = bytearray(), bytearray(), dict[str, bytes]()
        self._parser = MultipartParser(boundary, {
            "on_part_begin": self._part, "on_header_field": self._header_name, "on_header_value": self._header_value,
            "on_header_end": self._header_end, "on_headers_finished": self._begin, "on_part_data": self._data,
            "on_part_end": self._part_end,
        })  # fmt: skip
        self._whole = False

    def write(self, piece: bytes) -> None:
        """More of the request."""
        self._parser.write(piece)

    def finish(self) -> str:
        """The end of the request. Raises UsageError unless there was a whole file."""
        self._parser.finalize()
        if self._sealing is None or not self._whole or not self._bytes:
            raise _no_file()
        return self._sealing.done()

    def close(self) -> None:
        """What is not whole is removed."""
        if self._sealing is not None:
            self._sealing.__exit__()

    def _part(self) -> None:
        self._headers, self._name, self._value = {}, bytearray(), bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._check_head()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_head()

    def _check_head(self) -> None:
        if len(self._name) + len(self._value) > _MOST_HEAD:
            raise _no_file()

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()
        if len(self._headers) > 20:
            raise _no_file()

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        self._taking = options.get(b"name") == FIELD.encode() and b"filename" in options
        if self._taking:
            if self._sealing is not None:
                raise UsageError("One file at a time.", "Upload the others after this one.")
            name = options[b"filename"].decode("utf-8", "replace")
            self._sealing = uploads.Sealing(self._home, self._number, name, self._who)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._taking and self._sealing is not None:
            self._bytes += end - start
            self._sealing.add(data[start:end])

    def _part_end(self) -> None:
        self._whole = self._whole or self._taking
        self._taking = False


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise _no_file()
    return options[b"boundary"]


def _no_file() -> UsageError:
    return UsageError("No file arrived.", "Choose a file with at least one row, then upload it.")
