"""Parquet Modular Encryption: a fresh random key a column and file, the footer encrypted, AES-256-GCM for every module.

The keys stand in the file, each wrapped by the home's root key under the file's and the column's name, so that a file
moved elsewhere does not open. Each opening has a factory and an access token of its own: pyarrow caches keys by token,
and a shared factory would open a withheld column. Nor does pyarrow mind a file that is not encrypted at all, which
whoever can write there could put in a file's place: it asks for no key then, and by that it is known. Columns are named
c0, c1, … in the file: their real names are in the manifest.
"""

import secrets
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.parquet import encryption

from cleanroom.errors import BadData, Refused

FOOTER = "footer"
"""The name of the footer's key, beside those of columns."""


class Unwrapping(Protocol):
    """What wraps the keys of files, each under its name, and gives them back: the root key, or what stands for it."""

    def wrap(self, name: str, secret: bytes) -> bytes:
        """As `Wrapping.wrap`."""

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """As `Wrapping.unwrap`."""


class Authorisation:
    """Leave to open one file: its footer and the columns granted, nothing else. Made for one use, never shared."""

    def __init__(self, wrapping: Unwrapping, file: str, granted: Collection[str]) -> None:
        """`file` names the file over all datasets and versions; `granted` are physical column names."""
        self._file = file
        opened, self._asked = frozenset({FOOTER, *granted}), set[str]()
        self._factory = encryption.CryptoFactory(lambda _config: _Keys(wrapping, file, opened, self._asked))
        self._token = encryption.KmsConnectionConfig(key_access_token=secrets.token_hex(16))

    def to_write(self, columns: Sequence[str]) -> object:
        """Parquet encryption properties with a fresh key for the footer and for each column."""
        configuration = encryption.EncryptionConfiguration(
            footer_key=f"{self._file}#{FOOTER}",
            column_keys={f"{self._file}#{column}": [column] for column in columns},
            encryption_algorithm="AES_GCM_V1",
            plaintext_footer=False,
            double_wrapping=False,
            data_key_length_bits=256,
        )
        return self._factory.file_encryption_properties(self._token, configuration)

    def opened(self, source: Path | pa.NativeFile, *, pre_buffer: bool) -> pq.ParquetFile:
        """The file, of which only the granted columns can be read. Raises BadData for one that is not encrypted, else
        what pyarrow does where it does not open."""
        self._asked.clear()  # a second use would be told by keys that pyarrow remembers, and is refused
        leave = self._factory.file_decryption_properties(self._token)
        found = pq.ParquetFile(source, decryption_properties=leave, pre_buffer=pre_buffer)
        if FOOTER not in self._asked:
            raise damaged(self._file.rpartition("/")[2])
        return found


class _Keys(encryption.KmsClient):
    """Wraps and unwraps a file's column keys by the home's root key."""

    def __init__(self, wrapping: Unwrapping, file: str, opened: frozenset[str], asked: set[str]) -> None:
        super().__init__()
        self._wrapping, self._file, self._opened, self._asked = wrapping, file, opened, asked

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        """The wrapped key as text."""
        return self._wrapping.wrap(master_key_identifier, key_bytes).hex()

    def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
        """The key. Raises Refused for a column not granted, BadData where file and key do not belong together."""
        file, _, column = master_key_identifier.rpartition("#")
        if file != self._file:
            raise damaged(self._file.rpartition("/")[2])
        if column not in self._opened:
            raise withheld(column)
        key = self._wrapping.unwrap(master_key_identifier, bytes.fromhex(wrapped_key))
        self._asked.add(column)
        return key


def withheld(column: str) -> Refused:
    """The error for a column whose key was not granted."""
    return Refused("The key of column {column} is withheld.", column=column)


def damaged(file: str) -> BadData:
    """The error for a file of the vault that is not what was written."""
    return BadData("The vault's file {file} is damaged or was exchanged.", "Import the dataset again.", file=file)
