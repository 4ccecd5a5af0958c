"""Files one after another in a stream, and at its end a list of all with their digests. No file outlives a mistake.

A record: its length (4 bytes, big-endian), then canonical JSON: {"path": …} begins a file, whose contents follow in
blocks of at most 256 KiB (4 bytes: 1 bit whether zlib packed it, 31 bits length; a block of length 0 ends the file);
{"files": …} ends the archive. Paths are relative, of plain names, with "/" between them.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Protocol

from cleanroom import canonical
from cleanroom.errors import BadData

BLOCK = 1 << 18
_PACKED = 1 << 31
_LONGEST_RECORD = 1 << 28
_LONGEST_PATH = 1000


@dataclass(frozen=True)
class Stored:
    """One file of an archive: SHA-256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int


class _Sink(Protocol):
    def write(self, content: bytes) -> None: ...


class _Source(Protocol):
    def read(self, length: int) -> bytes: ...


class ArchiveWriter:
    """Adds files; `finish` writes the list."""

    def __init__(self, sink: _Sink, about: dict[str, canonical.Json]) -> None:
        """about: what is told of the whole."""
        self._sink, self.files = sink, list[Stored]()
        self._record({"about": about})

    def add(self, path: str, content: Iterable[bytes], *, pack: bool) -> None:
        """A file of these bytes; pack: whether it may get smaller."""
        self._record({"path": path})
        hashed, size = hashlib.sha256(), 0
        for part in content:
            hashed.update(part)
            size += len(part)
            for at in range(0, len(part), BLOCK):
                self._block(bytes(part[at : at + BLOCK]), pack=pack)
        self._sink.write((0).to_bytes(4, "big"))
        self.files.append(Stored(path, hashed.hexdigest(), size))

    def finish(self) -> None:
        """The list of all files."""
        self._record({"files": [asdict(each) for each in self.files]})

    def _block(self, block: bytes, *, pack: bool) -> None:
        packed = zlib.compress(block, 1) if pack else block
        if len(packed) < len(block):
            self._sink.write((_PACKED | len(packed)).to_bytes(4, "big") + packed)
        else:
            self._sink.write(len(block).to_bytes(4, "big") + block)

    def _record(self, value: dict[str, canonical.Json]) -> None:
        content = canonical.encode(value)
        self._sink.write(len(content).to_bytes(4, "big") + content)


class ArchiveReader:
    """Gives each file's path and blocks in order, and holds them against the list at the end."""

    def __init__(self, source: _Source) -> None:
        """Raises BadData for what is no archive."""
        self._source = source
        self._seen: dict[str, Stored] = {}
        about = self._record().get("about")
        if not isinstance(about, dict):
            raise _damaged()
        self.about: dict[str, canonical.Json] = about

    @property
    def files(self) -> tuple[Stored, ...]:
        """What was read so far."""
        return tuple(self._seen.values())

    def each(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """(path, blocks) of every file; the blocks of one are read before the next.

        Raises BadData for a path that leads elsewhere, a file that comes twice, and at the end where the list says
        otherwise.
        """
        while "path" in (record := self._record()):
            path = _checked(record["path"])
            if path in self._seen:
                raise _damaged()
            yield path, self._blocks(path)
            if path not in self._seen:
                raise _damaged()
        if record.get("files") != [asdict(each) for each in self._seen.values()]:
            raise _damaged()

    def _blocks(self, path: str) -> Iterator[bytes]:
        hashed, size = hashlib.sha256(), 0
        while length := int.from_bytes(self._source.read(4), "big"):
            if length & ~_PACKED > BLOCK:
                raise _damaged()
            block = self._source.read(length & ~_PACKED)
            block = _unpacked(block) if length & _PACKED else block
            hashed.update(block)
            size += len(block)
            yield block
        self._seen[path] = Stored(path, hashed.hexdigest(), size)

    def _record(self) -> dict[str, canonical.Json]:
        length = int.from_bytes(self._source.read(4), "big")
        if length > _LONGEST_RECORD:
            raise _damaged()
        try:
            value = json.loads(self._source.read(length))
        except (ValueError, RecursionError) as error:
            raise _damaged() from error
        if not isinstance(value, dict):
            raise _damaged()
        return value


def _unpacked(block: bytes) -> bytes:
    engine = zlib.decompressobj()
    try:
        content = engine.decompress(block, BLOCK)
    except zlib.error as error:
        raise _damaged() from error
    if engine.unconsumed_tail or not engine.eof:
        raise _damaged()
    return content


def _checked(path: object) -> str:
    """The path, if it stays inside. Raises BadData."""
    if not isinstance(path, str) or not 0 < len(path) <= _LONGEST_PATH or "\\" in path or not path.isprintable():
        raise _damaged()
    if str(PurePosixPath(path)) != path or path.startswith("/") or not {".", ".."}.isdisjoint(path.split("/")):
        raise _damaged()
    return path


def _damaged() -> BadData:
    return BadData("The backup is damaged or incomplete.", "Take another one.")
