"""From what a person names (a path or a URI) to a source, by what the file holds rather than what it is called."""

import stat
from pathlib import Path

from connectors.errors import InputError
from connectors.folders import folder
from connectors.source import Source

_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|"}


def open_source(
    uri: str, *, sheet: str | None = None, encoding: str | None = None, delimiter: str | None = None
) -> Source:
    """The source that `uri` names.

    A path to CSV or TSV (gzip or not), XLSX, XLS, Parquet, Arrow or Feather; a folder of Parquet parts, cut into Hive's
    partitions or not; postgresql://user@host/db with `?table=schema.name` or `?query=SELECT …`; s3://bucket/key or
    oss://bucket/key, or a prefix that ends in /. sheet: of a workbook; encoding, delimiter: of a text table.
    Raises InputError.
    """
    if uri.startswith(("postgresql://", "postgres://")):
        from connectors.postgres import PostgresSource

        return PostgresSource(uri)
    if uri.startswith("odps://"):
        from connectors.maxcompute import MaxComputeSource

        return MaxComputeSource(uri)
    if uri.startswith("adbc+"):
        from connectors.adbc import open_adbc

        return open_adbc(uri)
    if uri.startswith(("s3://", "oss://")) and not uri.partition("?")[0].endswith("/"):
        from connectors.objects import ObjectSource

        return ObjectSource(uri)
    if found := folder(uri):
        from connectors.hive import HiveSource

        return HiveSource(found)
    path = Path(uri).expanduser()
    head = _head(uri, path)
    if head.startswith(b"PAR1"):
        from connectors.files.columnar import ParquetSource

        return ParquetSource(path)
    if head.startswith(b"ARROW1"):
        from connectors.files.columnar import ArrowFileSource

        return ArrowFileSource(path)
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
        from connectors.files.workbook import WorkbookSource

        return WorkbookSource(path, sheet)
    from connectors.files.delimited import DelimitedSource

    packed = head.startswith(b"\x1f\x8b")
    return DelimitedSource(path, packed=packed, encoding=encoding, delimiter=_delimiter(delimiter))


def _head(uri: str, path: Path) -> bytes:
    """The first bytes of a regular file. Raises InputError where there is none, or it may not be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(
                "{file} is not a file.", "Give the file itself; a folder of events needs --features private-domain.",
                file=uri,
            )  # fmt: skip
        with path.open("rb") as file:
            return file.read(16)
    except FileNotFoundError:
        raise InputError("There is no file {file}.", "Check the name and the folder.", file=uri) from None
    except (OSError, ValueError) as error:
        raise InputError(
            "{file} cannot be read: {reason}.", "Check that it is there and that you may read it.",
            file=uri, reason=getattr(error, "strerror", None) or type(error).__name__,
        ) from None  # fmt: skip


def _delimiter(wanted: str | None) -> str | None:
    if wanted is None:
        return None
    sign = _DELIMITERS.get(wanted, wanted)
    if len(sign) != 1 or not sign.isascii() or sign.isalnum() or sign in "\"'\r\n\0":
        raise InputError(
            "{delimiter} cannot part columns.", "Name one sign: comma, tab, semicolon, bar.", delimiter=repr(wanted)
        )
    return sign
