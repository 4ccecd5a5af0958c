"""The store that is a prefix in an object store: S3, or what speaks like it and puts on condition (RFC 9110, 13.1).

Read through pyarrow's file system; written, listed and put on condition through obstore, which can do what that one
cannot. Nothing that a store answers is repeated: of its errors the kind remains.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import pyarrow as pa

from cleanroom.errors import BadData, CleanroomError, Interrupted, Refused, UsageError
from cleanroom.stores import Listed, Sink, checked
from connectors.objects import Address, address

BUFFER_BYTES = 8 << 20
"""What is held of a file on its way; one that fits goes in one request."""
_TRIES = 4
_CONNECT_SECONDS, _REQUEST_SECONDS, _RETRY_SECONDS = 10, 60, 60
_LARGEST = 1 << 30
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ObjectStore:
    """A prefix of a bucket, as `cleanroom.stores.Store` says."""

    uri: str

    def open(self, name: str) -> pa.NativeFile:
        """As `Store.open`."""
        path = f"{_where(self.uri).path.strip('/')}/{checked(name)}"
        return _guarded(name, lambda: _file_system(self.uri, os.getpid()).open_input_file(path))

    def create(self, name: str) -> Sink:
        """As `Store.create`."""
        client, name = self._client, checked(name)
        return _ObjectSink(name, _guarded(name, lambda: client.open_writer(name)))

    def read(self, name: str, limit: int) -> tuple[bytes, str] | None:
        """As `Store.read`."""
        client, name = self._client, checked(name)
        return _guarded(name, lambda: client.get(name, limit))

    def tag(self, name: str) -> str | None:
        """As `Store.tag`."""
        client, name = self._client, checked(name)
        return _guarded(name, lambda: client.tag(name))

    def put_new(self, name: str, content: bytes) -> bool:
        """As `Store.put_new`."""
        return self._put(checked(name), content, "create")

    def put_if(self, name: str, content: bytes, tag: str) -> bool:
        """As `Store.put_if`."""
        return self._put(checked(name), content, {"e_tag": tag})

    def listed(self, prefix: str = "") -> list[Listed]:
        """As `Store.listed`."""
        client, folder = self._client, checked(prefix) if prefix else None
        return sorted(_guarded(prefix, lambda: client.listed(folder)), key=lambda one: one.name)

    def names(self, prefix: str = "") -> list[str]:
        """As `Store.names`."""
        return [one.name for one in self.listed(prefix)]

    def remove(self, *names: str) -> None:
        """As `Store.remove`."""
        client, given = self._client, [checked(name) for name in names]
        if given:
            _guarded(given[0], lambda: client.delete(given))

    def failure(self, name: str, error: Exception) -> CleanroomError | None:
        """As `Store.failure`."""
        return (
            _named(name, error) if isinstance(error, CleanroomError | OSError) and "AWS Error" in str(error) else None
        )

    def _put(self, name: str, content: bytes, mode: Any) -> bool:
        """Puts on a condition. Who lost, or got no answer, looks whether it was done after all."""
        for _ in range(_TRIES):
            outcome = self._client.put(name, content, mode)
            if outcome is True:
                return True
            found = self.read(name, _LARGEST)
            if found is not None and found[0] == content:
                return True
            if isinstance(outcome, Exception):
                raise _named(name, outcome) from None
            if found is not None or mode != "create":
                return False
            # a store answers "conflict" too where a put meets a removal: nothing is there then, and one tries again
        raise _not_reached()

    @property
    def _client(self) -> "_Client":
        return _client(self.uri, os.getpid())


class _ObjectSink:
    """Parts of an upload; the store shows the object when it is completed, and not before."""

    closed = False  # Arrow asks, and writes what then goes nowhere

    def __init__(self, name: str, writer: Any) -> None:
        self._name, self._writer, self._at = name, writer, 0

    def write(self, content: bytes) -> int:
        """Called by Arrow."""
        writer = self._writer
        if writer is not None:
            _guarded(self._name, lambda: writer.write(content))
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        """Called by Arrow."""
        return self._at

    def flush(self) -> None:
        """Called by Arrow."""

    def close(self) -> None:
        """Called by Arrow; only `finish` completes."""

    def finish(self) -> None:
        """Completes the upload."""
        writer, self._writer = self._writer, None
        _guarded(self._name, writer.close)

    def abandon(self) -> None:
        """Never completes it: the bucket's rule for unfinished uploads removes what was sent."""
        self._writer = None


class _Client:
    """obstore's functions over one prefix."""

    def __init__(self, where: Address) -> None:
        try:
            import obstore
            from obstore import exceptions
            from obstore.store import S3Store
        except ImportError:
            raise UsageError("Object stores need the package {package}.", "Run: pip install open-cleanroom[objects]",
                             package="obstore") from None  # fmt: skip
        bucket, _, prefix = where.path.strip("/").partition("/")
        host = f"{bucket}.{where.endpoint}" if where.virtual else where.endpoint
        endpoint: Any = {"endpoint": f"{'http' if where.plain else 'https'}://{host}"} if where.endpoint else {}
        self._lost = (exceptions.AlreadyExistsError, exceptions.PreconditionError)
        self._unsure = (exceptions.BaseError, OSError)
        self._obstore = obstore
        self._store = S3Store(
            bucket,
            prefix=prefix,
            region=where.region,
            virtual_hosted_style_request=where.virtual,
            client_options={
                "allow_http": where.plain,
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
            **endpoint,
        )

    def open_writer(self, name: str) -> Any:
        """A writer that buffers."""
        return self._obstore.open_writer(self._store, name, buffer_size=BUFFER_BYTES)

    def get(self, name: str, limit: int) -> tuple[bytes, str] | None:
        """(content, tag), None where there is none."""
        try:
            found = self._obstore.get(self._store, name)
        except FileNotFoundError as error:
            if _NO_BUCKET in str(error):
                raise
            return None
        if found.meta["size"] > limit:
            raise BadData("{name} is longer than it can be.", "Restore it from a backup.", name=name)
        return bytes(found.bytes()), found.meta["e_tag"] or ""

    def tag(self, name: str) -> str | None:
        """The object's tag, None where there is none."""
        try:
            return self._obstore.head(self._store, name)["e_tag"] or ""
        except FileNotFoundError as error:
            if _NO_BUCKET in str(error):
                raise
            return None

    def put(self, name: str, content: bytes, mode: Any) -> bool | Exception:
        """Whether it was put; an error where nobody knows."""
        try:
            self._obstore.put(self._store, name, content, mode=mode, use_multipart=False)
        except self._lost:
            return False
        except self._unsure as error:
            return error
        return True

    def listed(self, folder: str | None) -> list[Listed]:
        """All below a folder."""
        return [Listed(one["path"], one["size"], one["e_tag"] or "", one["last_modified"])
                for chunk in self._obstore.list(self._store, folder, chunk_size=1000) for one in chunk]  # fmt: skip

    def delete(self, names: list[str]) -> None:
        """Removes what is there of these."""
        self._obstore.delete(self._store, names)


_NO_BUCKET = "NoSuchBucket"
_NO_LEAVE = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|InvalidAccessKeyId|AccessDenied|403 Forbidden|(?:status|code)\W+403\b"
)
"""The number as a status alone: texts hold ports, times and names, too."""


def _guarded(name: str, action: Callable[[], _Result]) -> _Result:
    """What `action` gives; what a store says becomes one of our errors, without its text."""
    try:
        return action()
    except _told() as error:
        raise _named(name, error) from None


@lru_cache(maxsize=1)
def _told() -> tuple[type[Exception], ...]:
    """What pyarrow and obstore raise."""
    from obstore.exceptions import BaseError

    return OSError, pa.ArrowException, BaseError


def _named(name: str, error: Exception) -> CleanroomError:
    text = str(error)
    if _NO_BUCKET in text or "NO_SUCH_BUCKET" in text:
        return UsageError("There is no such bucket in the object store.", "Make it, or check the address.")
    if isinstance(error, FileNotFoundError):
        return BadData("{name} is missing.", "Restore it from a backup.", name=name)
    if isinstance(error, PermissionError) or _NO_LEAVE.search(text):
        return Refused("The object store does not let this user in.",
                       "Put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.")  # fmt: skip
    return _not_reached()


def _not_reached() -> Interrupted:
    return Interrupted("The object store is not reached, or does not answer as one.", "Check its address; try again.")


@lru_cache(maxsize=64)
def _where(uri: str) -> Address:
    return address(uri)


@lru_cache(maxsize=16)
def _file_system(uri: str, _process: int) -> Any:
    """A client of this process: one that came over a fork waits for threads that are not there."""
    from pyarrow import fs

    where = _where(uri)
    return fs.S3FileSystem(
        region=where.region,
        endpoint_override=where.endpoint or None,
        scheme="http" if where.plain else "https",
        force_virtual_addressing=where.virtual,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
        check_directory_existence_before_creation=False,
    )


@lru_cache(maxsize=16)
def _client(uri: str, _process: int) -> _Client:
    """As `_file_system`."""
    return _Client(_where(uri))
