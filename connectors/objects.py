"""Tables in an object store: s3://bucket/key, or any store that speaks S3 (OSS, COS, OBS, MinIO) by its endpoint.

Credentials come from the environment only (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), the endpoint
from the environment too or the address; an address that holds a secret is refused. Objects are read by ranges, never
written, and nothing of them is put on the disk. What a store says never reaches an error's text.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

from connectors.columns import Note, Plain, at_least_one, numbered
from connectors.errors import InputError
from connectors.source import BATCH_ROWS, Batch, Rejected

SCHEMES = ("s3", "oss")
MOST_OBJECTS = 10_000
_SECRET = {"access_key", "secret_key", "session_token", "password"}
KNOWN = {"endpoint", "region", "access_key", "secret_key", "session_token", "password"}
"""What may stand in an address, and what is refused there; all else is asked of partitions."""
_SECONDS = 10.0
FAILURES = (pa.ArrowException, OSError, ValueError, MemoryError)
"""What Arrow raises where a file or a store is not as it should be."""
_DENIED = ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Address:
    """bucket/key of an object, or of a prefix that ends in "/"; endpoint "": the scheme's usual one."""

    path: str
    endpoint: str
    region: str
    plain: bool
    virtual: bool

    @property
    def label(self) -> str:
        """The object's last name."""
        return self.path.rstrip("/").rpartition("/")[2]


def address(uri: str) -> Address:
    """The parts of `s3://bucket/key?endpoint=http://host:port&region=…`; OSS's endpoint is named, or told by region.

    Raises InputError where something is missing or a secret stands in it.
    """
    parts = urlsplit(uri)
    given = dict(parse_qsl(parts.query))
    if parts.username or parts.password or _SECRET & given.keys():
        raise InputError("An address of an object must not hold a key.",
                         "Put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.")  # fmt: skip
    if parts.scheme not in SCHEMES or not parts.netloc or parts.path in ("", "/") or given.keys() - KNOWN:
        raise InputError("This is not an address of an object.", "As in s3://bucket/folder/file.parquet.")
    region = given.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    endpoint = given.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if parts.scheme == "oss" and not endpoint:
        if not region:
            raise InputError(
                "An OSS address needs its region or endpoint.", "As in oss://bucket/key?region=cn-hangzhou."
            )
        endpoint = f"https://oss-{region.removeprefix('oss-')}.aliyuncs.com"
    found = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    path = f"{parts.netloc}/{parts.path.lstrip('/')}"
    return Address(path, found.netloc, region or "us-east-1", found.scheme == "http", parts.scheme == "oss")


class ObjectSource:
    """A Parquet or CSV object (UTF-8 with a header, gzip or not). Its first row has number 1. Raises InputError."""

    def __init__(self, uri: str) -> None:
        self._where = address(uri)
        self.label = self._where.label
        self.rejected: tuple[Rejected, ...] = ()
        self._head = _guarded(self.label, self._read_head)
        self._plain = _guarded(self.label, self._examine)

    @property
    def schema(self) -> pa.Schema:
        """The plain columns."""
        return self._plain.schema

    @property
    def notes(self) -> list[Note]:
        """Columns renamed or left out."""
        return list(self._plain.notes)

    def batches(self) -> Iterator[Batch]:
        """All rows, numbered from 1."""
        return at_least_one(self.label, numbered(self._plain_batches()))

    def _plain_batches(self) -> Iterator[pa.RecordBatch]:
        stream = _guarded(self.label, self._stream)

        def following() -> pa.RecordBatch | None:
            batch = next(stream, None)
            if batch is not None:
                batch.validate(full=True)
            return None if batch is None else self._plain.batch(batch)

        while (batch := _guarded(self.label, following)) is not None:
            yield batch

    def _read_head(self) -> bytes:
        with store(self._where).open_input_file(self._where.path) as file:
            head: bytes = file.read_at(min(4, file.size()), 0)
            return head

    def _examine(self) -> Plain:
        if self._head == b"PAR1":
            import pyarrow.parquet as pq

            with pq.ParquetFile(store(self._where).open_input_file(self._where.path), **CAPS) as file:
                return Plain(self.label, file.schema_arrow)
        return Plain(self.label, self._text().schema)

    def _stream(self) -> Iterator[pa.RecordBatch]:
        if self._head != b"PAR1":
            return iter(self._text())
        import pyarrow.parquet as pq

        file = pq.ParquetFile(store(self._where).open_input_file(self._where.path), **CAPS)
        return iter(file.iter_batches(BATCH_ROWS, use_threads=False))

    def _text(self) -> Any:
        """Every column as text: leading zeros matter."""
        import pyarrow.csv as csv

        packed = "gzip" if self._head.startswith(b"\x1f\x8b") else None
        opened = store(self._where).open_input_stream(self._where.path, compression=packed)
        lines = csv.ParseOptions(newlines_in_values=True)
        names = csv.open_csv(opened, csv.ReadOptions(use_threads=False), parse_options=lines).schema.names
        opened = store(self._where).open_input_stream(self._where.path, compression=packed)
        texts = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        )
        return csv.open_csv(opened, csv.ReadOptions(use_threads=False), parse_options=lines, convert_options=texts)


CAPS: dict[str, Any] = {
    "page_checksum_verification": True,
    "thrift_string_size_limit": 64 << 20,
    "thrift_container_size_limit": 64 << 20,
    "pre_buffer": False,
}
"""For `pyarrow.parquet.ParquetFile`: nothing in a file is trusted."""


def store(where: Address) -> Any:
    """The store as a file system of Arrow's."""
    from pyarrow import fs

    return fs.S3FileSystem(
        region=where.region,
        endpoint_override=where.endpoint or None,
        scheme="http" if where.plain else "https",
        force_virtual_addressing=where.virtual,
        connect_timeout=_SECONDS,
        request_timeout=3 * _SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
        check_directory_existence_before_creation=False,
    )


def _guarded(label: str, action: Callable[[], _Result]) -> _Result:
    """What `action` gives; what a store or Arrow says becomes an InputError, without their text."""
    try:
        return action()
    except FAILURES as error:
        raise explained(label, error) from None


def explained(label: str, error: Exception) -> InputError:
    """What one of FAILURES means, by the object's name and without the error's text."""
    if isinstance(error, FileNotFoundError):
        return InputError("There is no object {source} in the store.", "Check bucket and key.", source=label)
    said = str(error)
    if isinstance(error, PermissionError) or any(sign in said for sign in _DENIED):
        return InputError(
            "The store does not let this user read {source}.",
            "Put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.", source=label,
        )  # fmt: skip
    return InputError(
        "The object {source} cannot be read: the store is not reached, or it is damaged.",
        "Check endpoint, region and key; look at the object with the store's own tool.", source=label,
    )  # fmt: skip
