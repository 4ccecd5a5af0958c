"""Boards kept in the home, sealed by its root key as plans are; a file a board, none ever changed.

rooms/ROOM/boards/DATASET/20261121-20261122T100701Z-MANIFEST-RECEIPT, where DATASET is a digest of the name.

    "cleanroom-board/1\\n" | u32 LE: bytes of the header | header: canonical JSON | int64 LE: all tables, then the sums
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.insight.tables import Names, Tables

FORMAT = b"cleanroom-board/1\n"
_FOLDER = "boards"
_STAMP = "%Y%m%dT%H%M%SZ"
_FILE = re.compile(r"(\d{8})-(\d{8}T\d{6}Z)-([0-9a-f]{16})-([0-9a-f]{16})")
_MOST_BYTES = 1 << 25
_HEADER = ("dataset", "made", "receipt", "room", "sigma", "k", "least")


@dataclass(frozen=True)
class Kept:
    """A board that is here. made: UTC; manifest, receipt: how their digests begin, in hex; restated: another version of
    the dataset had a board of this day, or of a later one, before."""

    report_date: dt.date
    made: dt.datetime
    manifest: str
    receipt: str
    name: str
    restated: bool = False


class Boards:
    """The boards of a home's rooms."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def keep(self, room: str, tables: Tables, manifest: str) -> Kept:
        """Durably, once however often. manifest: digest of the dataset's version in hex. Raises UsageError for a board
        of another room, or where the room is not here."""
        if tables.room != room or not (self._home.rooms / _plain(room)).is_dir():
            raise UsageError("There is no room {name} here.", "cleanroom room list names them.", name=Path(room).name)
        held = self.list(room, tables.dataset)
        if same := [each for each in held if tables.receipt.startswith(each.receipt)]:
            return same[-1]
        made = dt.datetime.fromisoformat(tables.made).astimezone(dt.UTC)
        name = f"{tables.report_date:%Y%m%d}-{made.strftime(_STAMP)}-{manifest[:16]}-{tables.receipt[:16]}"
        folder = self._folder(room, tables.dataset)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(folder / name, self._home.wrapping.wrap(_sealed_as(room, folder.name, name), _written(tables)))
        return next(each for each in self.list(room, tables.dataset) if each.name == name)

    def list(self, room: str, dataset: str) -> tuple[Kept, ...]:
        """The boards of a dataset, oldest made first."""
        folder = self._folder(room, dataset)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        kept = [each for name in names if (each := _kept(name)) is not None]
        found = sorted(kept, key=lambda each: (each.made, (folder / each.name).stat().st_mtime_ns))  # of one second
        return tuple(_marked(each, found[:at]) for at, each in enumerate(found))

    def days(self, room: str, dataset: str) -> tuple[dt.date, ...]:
        """The report dates that there are boards of, in order."""
        return tuple(sorted({each.report_date for each in self.list(room, dataset)}))

    def load(self, room: str, dataset: str, report_date: dt.date, having: Collection[Names] = ()) -> Tables:
        """The newest board of that day, of those with the most tables; having: the newest that has all of these.

        Raises UsageError where there is none, BadData where it was changed.
        """
        of_day = [each for each in self.list(room, dataset) if each.report_date == report_date]
        boards = [self._open(room, dataset, each) for each in of_day]
        fitting = [each for each in boards if set(having) <= each.counts.keys()]
        if not fitting:
            raise UsageError("There is no board of {dataset} for {day} in the room {room}.",
                             "Make one: cleanroom insight refresh {room}", room=room, dataset=dataset,
                             day=report_date.isoformat())  # fmt: skip
        most = 0 if having else max(len(each.counts) for each in fitting)
        return [each for each in fitting if len(each.counts) >= most][-1]

    def restated(self, room: str, dataset: str, report_date: dt.date) -> bool:
        """Whether the newest board of that day is a later one of numbers that were released before."""
        of_day = [each for each in self.list(room, dataset) if each.report_date == report_date]
        return bool(of_day) and of_day[-1].restated

    def latest(self, room: str, dataset: str) -> Tables | None:
        """The board of the newest report date, or None."""
        days = self.days(room, dataset)
        return self.load(room, dataset, days[-1]) if days else None

    def of_receipt(self, room: str, dataset: str, receipt: str) -> tuple[Kept, Tables]:
        """The board that this receipt (its digest in hex) is for. Raises UsageError where it is not here."""
        for each in self.list(room, dataset):
            if receipt.startswith(each.receipt):
                return each, self._open(room, dataset, each)
        raise UsageError("There is no such board in the room {room}.", room=room)

    def _open(self, room: str, dataset: str, kept: Kept) -> Tables:
        folder = self._folder(room, dataset)
        sealed = private_files.read(folder / kept.name, _MOST_BYTES)
        tables = _read(self._home.wrapping.unwrap(_sealed_as(room, folder.name, kept.name), sealed))
        if (tables.room, tables.dataset, tables.report_date) != (room, dataset, kept.report_date):
            raise _damaged()
        return tables

    def _folder(self, room: str, dataset: str) -> Path:
        return self._home.rooms / _plain(room) / _FOLDER / hashlib.sha256(dataset.encode()).hexdigest()[:32]


def _plain(room: str) -> str:
    if Path(room).name != room or room in ("", ".", ".."):
        raise UsageError("There is no room {name} here.", "cleanroom room list names them.", name=Path(room).name)
    return room


def _sealed_as(room: str, folder: str, name: str) -> str:
    return f"board/{room}/{folder}/{name}"


def _kept(name: str) -> Kept | None:
    """What a file's name says; None for a file that is no board, as one left over from a crash."""
    match = _FILE.fullmatch(name)
    if match is None:
        return None
    try:
        day = dt.datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=dt.UTC).date()
        made = dt.datetime.strptime(match[2], _STAMP).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    return Kept(day, made, match[3], match[4], name)


def _marked(board: Kept, before: list[Kept]) -> Kept:
    later = any(each.report_date >= board.report_date and each.manifest != board.manifest for each in before)
    return Kept(board.report_date, board.made, board.manifest, board.receipt, board.name, restated=later)


def _written(tables: Tables) -> bytes:
    plain: dict[str, Any] = {name: getattr(tables, name) for name in _HEADER}
    names = sorted(tables.counts)
    header = canonical.encode({
        **plain, "report_date": tables.report_date.isoformat(),
        "columns": [[name, list(tables.columns[name])] for name in sorted(tables.columns)],
        "tables": [list(table) for table in names],
        "sums": [[name, tables.sum_reach[name]] for name in sorted(tables.sums)],
    })  # fmt: skip
    sums = np.array([tables.sums[name] for name in sorted(tables.sums)], "<i8")
    bodies = [np.ascontiguousarray(tables.counts[name], "<i8").tobytes() for name in names]
    return b"".join((FORMAT, len(header).to_bytes(4, "little"), header, *bodies, sums.tobytes()))


def _read(content: bytes) -> Tables:
    """Of `_written`. Raises BadData for an unknown version or anything malformed."""
    if not content.startswith(FORMAT):
        raise BadData("This board has a format that this version does not know.", "Update this program.")
    start = len(FORMAT) + 4
    end = start + int.from_bytes(content[len(FORMAT) : start], "little")
    try:
        tables = _built(json.loads(content[start:end]), np.frombuffer(content[end:], "<i8").astype(np.int64))
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise _damaged() from error
    if _written(tables) != content:
        raise _damaged()
    return tables


def _built(header: Any, numbers: Any) -> Tables:
    columns = {name: tuple(labels) for name, labels in header["columns"]}
    counts, at = {}, 0
    for table in map(tuple, header["tables"]):
        shape = tuple(len(columns[name]) for name in table)
        counts[table] = numbers[at : at + prod(shape)].reshape(shape)
        at += prod(shape)
    names = [name for name, _ in header["sums"]]
    return Tables(
        **{name: header[name] for name in _HEADER}, report_date=dt.date.fromisoformat(header["report_date"]),
        columns=columns, counts=counts, sum_reach=dict(header["sums"]),
        sums=dict(zip(names, map(int, numbers[at:]), strict=True)),
    )  # fmt: skip


def _damaged() -> BadData:
    return BadData("A board is damaged, or was not made by this program.", "Restore it from a backup.")
