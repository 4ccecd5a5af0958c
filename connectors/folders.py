"""A folder on the disk or in an object store: what lies in it, by name, and how a file of it is opened for reading.

Names that begin with `.` or `_`, checksums (`.crc`) and files that are still being copied are passed over, as Hive and
Spark do. Nothing is written; what a store says never reaches an error's text.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from connectors import objects
from connectors.errors import InputError
from connectors.partitions import Condition, conditions, partition_of, refuse_none, refuse_unknown

MOST_FILES = 100_000
_DEEPEST = 16
_UNFINISHED = (".crc", "._COPYING_", "_$folder$", ".tmp")


@dataclass(frozen=True)
class File:
    """A visible file: its path in the file system, its name below the folder, its size in bytes."""

    path: str
    name: str
    size: int


@dataclass(frozen=True)
class Folder:
    """path: without the slash at its end; asked: of its partitions; query: the store's own, of its address."""

    path: str
    scheme: str
    query: str
    asked: tuple[Condition, ...]
    store: Any

    @property
    def label(self) -> str:
        """The last name of the table's folder, without partitions."""
        return self.root.rstrip("/").rpartition("/")[2] or self.path

    @property
    def root(self) -> str:
        """The path without the partitions at its end: `events` of `events/dt=2026-01-01`."""
        path = self.path
        while partition_of(path.rpartition("/")[2]):
            path = path.rpartition("/")[0]
        return path

    def address(self, path: str, *, asked: bool = False) -> str:
        """The address of a file or (with what is asked of its partitions) a folder in the same store."""
        said = urlencode([(one.column, one.wanted) for one in self.asked], safe=":,/") if asked else ""
        query = "&".join(part for part in (self.query, said) if part)
        return f"{self.scheme}{path}" + (f"?{query}" if query else "")

    def listed(self, path: str, *, recursive: bool = False) -> tuple[list[File], list[str]]:
        """(files, folders) at `path`, visible ones, by name. Raises InputError."""
        from pyarrow import fs

        selector = fs.FileSelector(path, recursive=recursive)
        with self.guarded(path):
            found = self.store.get_file_info(selector)
        found = sorted((one for one in found if not _hidden(one.path[len(path) :])), key=lambda one: one.path)
        files = [File(one.path, one.path[len(self.root) + 1 :], one.size) for one in found if one.is_file]
        return files, [one.path for one in found if one.type == fs.FileType.Directory]

    @contextmanager
    def guarded(self, path: str) -> Iterator[None]:
        """What the disk, the store or Arrow says of a file becomes an InputError that names the file."""
        try:
            yield
        except objects.FAILURES as error:
            name = path[len(self.root) + 1 :] or self.label
            raise (objects.explained(name, error) if self.scheme else _explained(name, error)) from None


def folder(uri: str) -> Folder | None:
    """The folder that `uri` names: `path/`, `s3://bucket/prefix/`, each with `?column=…` for partitions; else None."""
    if uri.startswith(("s3://", "oss://")):
        bare, _, query = uri.partition("?")
        if not bare.endswith("/"):
            return None
        said = parse_qsl(query, keep_blank_values=True)
        own = urlencode([one for one in said if one[0] in objects.KNOWN], safe=":/")
        where = objects.address(f"{bare}?{own}")
        asked = conditions(dict(one for one in said if one[0] not in objects.KNOWN))
        path = where.path.rstrip("/")
        return Folder(path, f"{urlsplit(uri).scheme}://", own, asked, objects.store(where))
    bare, _, query = uri.rpartition("?")
    if _is_folder(uri):
        bare, query = uri, ""
    elif "://" in uri or not bare or not _is_folder(bare):
        return None
    from pyarrow import fs

    asked = conditions(dict(parse_qsl(query, keep_blank_values=True)))
    return Folder(str(Path(bare).expanduser()), "", "", asked, fs.LocalFileSystem())


def files_of(where: Folder) -> list[File]:
    """All visible files, by name, of the partitions that are asked for; the others are not even listed.

    Raises InputError where there is none, or more than MOST_FILES, or what is asked is of no partition column.
    """
    files: list[File] = []
    level, columns, asked = [where.path], [], {one.column: one for one in where.asked}
    for column, value in _above(where):
        columns.append(column)
        if (wanted := asked.pop(column, None)) and not wanted.chosen([value]):
            raise refuse_none(where.label)
    for _ in range(_DEEPEST):
        if not level or (where.scheme and not asked):
            break
        level, here = _below(where, level, files)
        found = {column for column, _ in here.values()}
        columns += sorted(found - set(columns))
        for column in found & asked.keys():
            kept = asked.pop(column).chosen(value for name, value in here.values() if name == column)
            level = [path for path in level if path not in here or here[path][0] != column or here[path][1] in kept]
            if not level:
                raise refuse_none(where.label)
    refuse_unknown(tuple(asked.values()), columns, where.label)
    if level and not where.scheme:
        raise InputError("The folders in {source} lie too deep.", "Look for a folder that leads back to itself.",
                         source=where.label)  # fmt: skip
    for path in level:  # in a store one long listing is a thousand times fewer requests than one a folder
        files += where.listed(path, recursive=True)[0]
        _refuse_many(where, files)
    if not files:
        raise _no_parts(where)
    return sorted(files, key=lambda file: file.name)


def size_of(uri: str) -> int:
    """The bytes of a file here, or of the files of a folder here that are asked for; 0 of what lies elsewhere."""
    if "://" in uri:
        return 0
    if found := folder(uri):
        return sum(file.size for file in files_of(found))
    try:
        return Path(uri).expanduser().stat().st_size
    except (OSError, ValueError):
        return 0  # whoever opens it says what is wrong


def tables(where: Folder) -> Sequence[str]:
    """The addresses of what lies in a folder: a file each, and a folder each that is cut into partitions."""
    found: list[str] = []
    level, files = [where.path], 0
    for _ in range(_DEEPEST):
        following: list[str] = []
        for path in level:
            here, below = where.listed(path)
            parted = any(partition_of(one.rpartition("/")[2]) for one in below)
            found += [where.address(path + "/", asked=True)] if parted else [where.address(one.path) for one in here]
            following += [] if parted else below
            files += len(here)
        level = following
        if len(found) > objects.MOST_OBJECTS:
            break
    if not found or len(found) > objects.MOST_OBJECTS:
        raise _no_parts(where, objects.MOST_OBJECTS)
    return sorted(found)


def _below(where: Folder, level: Sequence[str], files: list[File]) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """(the folders one level down, which partition each of them is); the files between go to `files`."""
    following: list[str] = []
    for path in level:
        here, below = where.listed(path)
        files += here
        following += below
        _refuse_many(where, files)
    named = {path: partition_of(path.rpartition("/")[2]) for path in following}
    return following, {path: found for path, found in named.items() if found}


def _above(where: Folder) -> Iterator[tuple[str, str]]:
    """The partitions in the folder's own path."""
    for name in where.path[len(where.root) :].split("/"):
        if found := partition_of(name):
            yield found


def _is_folder(path: str) -> bool:
    try:
        return Path(path).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, ~ of nobody
        return False


def _hidden(below: str) -> bool:
    names = below.strip("/").split("/")
    return names[-1].endswith(_UNFINISHED) or any(
        name.startswith(".") or (name.startswith("_") and "=" not in name) for name in names
    )


def _refuse_many(where: Folder, files: Sequence[File]) -> None:
    if len(files) > MOST_FILES:
        raise _no_parts(where)


def _no_parts(where: Folder, most: int = MOST_FILES) -> InputError:
    return InputError(
        "The folder {source} holds no parts, or more than {most}.", "Put tables of events in it.",
        source=where.label, most=most,
    )  # fmt: skip


def _explained(name: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError("There is no file {file}.", "Check the name and the folder.", file=name)
    if isinstance(error, PermissionError):
        return InputError("{file} cannot be read: {reason}.", "Check that it is there and that you may read it.",
                          file=name, reason="Permission denied")  # fmt: skip
    return InputError("{file} is damaged, or not what its name says.", "Write it again from its source.", file=name)
