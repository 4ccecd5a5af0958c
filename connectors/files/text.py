"""The bytes of a text table as UTF-8: unpacked, its encoding found out from the head, proven while it is read.

Nothing is known here of rows and columns, and no undecodable byte ever reaches an error's text.
"""

import codecs
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from connectors.errors import InputError

HEAD = 1 << 18
_BLOCK = 1 << 20
_MARKS = (  # byte-order marks; the longer of two that begin alike comes first
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class TextFile:
    """A text file and how to read it: packed or not, its encoding, the length of its byte-order mark."""

    path: Path
    packed: bool
    encoding: str
    mark: int

    def open(self) -> BinaryIO:
        """Its bytes as they are, unpacked, from after the byte-order mark. Raises InputError."""
        stream = open_bytes(self.path, self.packed)
        stream.seek(self.mark)
        return stream

    def utf8(self, *, skip: int = 0, stop_at_bad: bool = False) -> "Utf8":
        """Its text from byte `skip` of the UTF-8 form on."""
        return Utf8(self.open(), self.encoding, skip=skip, stop_at_bad=stop_at_bad)


class Utf8(io.RawIOBase):
    """A stream of UTF-8 over a stream in another encoding.

    UTF-8 itself passes as it is; its reader checks it. `stop_at_bad` ends the stream at the first byte that cannot be
    decoded, with one mark in its place, so that the record that byte stands in can be counted; otherwise `read` raises
    UnicodeDecodeError there.
    """

    def __init__(self, source: BinaryIO, encoding: str, *, skip: int = 0, stop_at_bad: bool = False) -> None:
        self._source, self._encoding, self._stop = source, encoding, stop_at_bad
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ended = False
        self._skip, self._held = skip, b""

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty only at the end."""
        size = _BLOCK if size < 0 else size
        while self._skip and (piece := self._next(_BLOCK)):
            self._held = piece[self._skip :]
            self._skip -= len(piece) - len(self._held)
        if self._held:
            piece, self._held = self._held[:size], self._held[size:]
            return piece
        return self._next(size)

    def close(self) -> None:
        """Close the file beneath too."""
        self._source.close()
        super().close()

    def _next(self, size: int) -> bytes:
        if self._encoding == "utf-8" and not self._stop:
            return self._source.read(size)
        text = ""
        while not text and not self._ended:
            chunk = self._source.read(max(size // 3 - 8, 8))  # two bytes can become three, and a few may be held over
            self._ended = not chunk
            try:
                text = self._decoder.decode(chunk, not chunk)
            except UnicodeDecodeError as error:
                if not self._stop:
                    raise
                text, self._ended = bytes(error.object[: error.start]).decode(self._encoding) + "?", True
        return text.encode("utf-8", "replace")


class _Gunzipped(io.RawIOBase):
    """A gzip file whose damage is an InputError."""

    def __init__(self, path: Path) -> None:
        self._file, self._name = gzip.GzipFile(path, "rb"), path.name

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise InputError(
                "{file} is a damaged gzip file.", "Copy it again from where it came.", file=self._name
            ) from None

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_bytes(path: Path, packed: bool) -> BinaryIO:
    """The file's bytes, unpacked where it is gzip."""
    return cast(BinaryIO, _Gunzipped(path)) if packed else path.open("rb", buffering=0)


def examine(path: Path, packed: bool, encoding: str | None) -> TextFile:
    """Find out (or take) the encoding of a text file. Raises InputError where it is empty, binary, or in none known."""
    wanted = _known(encoding) if encoding else ""
    with open_bytes(path, packed) as stream:
        head = stream.read(HEAD)
        while len(head) < HEAD and (more := stream.read(HEAD - len(head))):
            head += more
        if not head.strip(b"\r\n \t\x00\xef\xbb\xbf"):
            raise InputError("{file} is empty.", "Export it again with at least one row.", file=path.name)
        mark, marked = next(((len(mark), name) for mark, name in _MARKS if head.startswith(mark)), (0, ""))
        if not marked and not wanted:
            wanted = _guess(path.name, head, stream)
    return TextFile(path, packed, marked or wanted, mark)


def _guess(name: str, head: bytes, stream: BinaryIO) -> str:
    """The encoding of a file without a mark: 'utf-8' or 'gb18030', whichever its first bytes above 127 fit."""
    if b"\x00" in head:
        raise InputError(
            "{file} is not a text table.", "Give a CSV, TSV, XLSX, XLS, Parquet or Arrow file.", file=name
        )  # fmt: skip
    sample = head
    while sample.isascii() and (more := stream.read(_BLOCK)):  # only bytes above 127 tell encodings apart
        sample = more
    fits = {encoding: _decodable(sample, encoding) for encoding in ("utf-8", "gb18030")}
    best = max(fits, key=lambda encoding: fits[encoding])
    if not sample[: fits[best]].isascii() or fits[best] == len(sample):
        return best  # a later fault is met in reading, where its row is known
    raise InputError(
        "The encoding of {file} is neither UTF-8 nor GB18030.",
        "Save the file as UTF-8.",
        file=name,
    )


def _decodable(sample: bytes, encoding: str) -> int:
    """How many bytes fit. The sample ends, and where it is not the file's head begins, within a character perhaps."""
    most = 0
    for start in range(4):
        try:
            codecs.getincrementaldecoder(encoding)().decode(sample[start:])
        except UnicodeDecodeError as error:
            most = max(most, error.start + start)
        else:
            return len(sample)
    return most


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        b"".decode(name)
    except LookupError:
        raise InputError(
            "There is no encoding called {encoding}.", "Try utf-8, gb18030, utf-16 or big5.", encoding=encoding
        ) from None
    return {"utf-8-sig": "utf-8", "gb2312": "gb18030", "gbk": "gb18030", "ascii": "utf-8"}.get(name, name)
