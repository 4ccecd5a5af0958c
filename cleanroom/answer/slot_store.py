"""A dataset's encrypted slots as the last run of a room left them, so that the next need not encrypt every row again.

Who sees one ciphertext twice knows that it is of the same row and that the row's values did not change. So what is sent
as it was sent before is only what its reader may link, and knows to be the same (`rule_of`):

    keyed             Tokens link a room's rows for its operator anyway, and what changed between versions is by
                      contract its to know: a row whose identity, cell and amounts are as they were.
    dh, vole, oprf    The host opens slots of its matched rows alone and knows whose they are, but whether a person's
                      values changed is not for it: all rows, where the dataset is still of the version that both
                      sides name in each run, else none.
    join-sum, and dh  The receiver may not know which of its rows matched: never. Nothing is kept.
    of output size
    several           A host that knows a row again knows all identities by which it matched in any run: never. Nothing
    identities        is kept.
    more than two     The tokens of a row are others for each choice of datasets that are lined up, and its slots may
    owners            not tie them together: never. Nothing is kept.

It is never shared between contracts: equal ciphertexts would link what each of them keeps apart (identities of two
kinds, or two hosts). Re-randomising what is kept is no way out, since a fresh residue is what an encryption costs (54
against 43 µs a row of 2048 bits; a product alone, 3). Nor are residues drawn beforehand and kept: whoever restores a
backup would use them twice, and the quotient of two such ciphertexts tells the difference of their plaintexts. What
stands here is only ever used for the plaintext that it was made of.

A file a room, sealed in parts under the home's root key, replaced whole: the head, a keyed print of each row's identity
and plaintext, the ciphertexts. It vanishes with the contract, and when any person is forgotten.
"""

import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cleanroom import canonical, private_files
from cleanroom.errors import BadData
from cleanroom.files import replacing
from cleanroom.home import Home
from cleanroom.rooms.contract import Contract
from cleanroom.vault.row_digests import BLOCK, row_digests
from protocols.rows import Bytes, Indices, index_in

MOST_BYTES = 2 << 30
"""Of all rooms of a home together; the longest unused go first."""
PART_ROWS = 8192
"""Rows encrypted, and sealed, together: the window of the fixed-base powers grows with them."""
_FORMAT = b"cleanroom-slots/1\n"
_PREFIX = "slots-"
_LOCK = "slots.lock"
_SEAL_BYTES = 49
_HEAD_LENGTH = 4
_LONGEST_HEAD = 4096

Rule = Literal["rows", "version", "nothing"]
"""What may be sent as before: rows that did not change, all rows of a dataset that did not, or none."""


@dataclass(frozen=True)
class PlainRows:
    """What is to be encrypted. version: the manifest's digest; identities: uint8[n, 16 or 32]; codes: int64[n], each
    row's cell; amounts: int64[n, amounts].
    """

    dataset: str
    version: str
    identities: Bytes
    codes: Indices
    amounts: NDArray[np.int64]

    def prints(self, key: bytes) -> Bytes:
        """uint8[n, 16]: a keyed digest of each row; each shape has a key of its own."""
        numbers = np.column_stack([self.codes, self.amounts]).astype("<i8").view(np.uint8)
        length = self.identities.shape[1] + numbers.shape[1]
        padding = np.zeros((len(numbers), -length % BLOCK), np.uint8)
        rows = np.concatenate([self.identities, numbers, padding], axis=1)
        sizes = f"{self.identities.shape[1]}/{numbers.shape[1]}".encode()
        block_key = hashlib.sha256(b"cleanroom/slot-print/1/" + sizes + b"/" + key).digest()
        return row_digests(block_key, rows)


@dataclass(frozen=True)
class _Head:
    """What a store holds: `rows` rows of `width` bytes, `part` of them sealed together.

    key: of the prints, in hex; file: drawn for each file, so that parts of two do not make one.
    """

    version: str
    key: str
    file: str
    rows: int
    width: int
    part: int


Encrypt = Callable[[Indices], Bytes]
"""Fresh ciphertexts uint8[k, width] of the rows with these numbers."""


@dataclass(frozen=True)
class SlotStore:
    """The slots of this party's dataset in one room."""

    home: Home
    contract: Contract

    @property
    def folder(self) -> Path:
        """The room's."""
        return self.home.rooms / self.contract.room

    @property
    def path(self) -> Path:
        """The file, which need not exist."""
        return self.folder / f"{_PREFIX}{self.contract.digest()[:16]}"

    def encrypted(self, rows: PlainRows, width: int, encrypt: Encrypt, done: Callable[[int], None]) -> Bytes:
        """uint8[n, width]: each row's ciphertexts, as kept where the rule allows it, else fresh; kept for next time.

        done: told how many rows are ready. Raises BadData where what was kept was changed, or is of an unknown version.
        """
        rule = rule_of(self.contract)
        self._remove_others(everything=rule == "nothing")
        out, left = np.empty((len(rows.codes), width), np.uint8), np.ones(len(rows.codes), np.bool_)
        head, held = _Head(rows.version, secrets.token_hex(32), "", 0, width, PART_ROWS), 0
        prints = np.empty((0, BLOCK), np.uint8)
        if self.path.exists():
            with self._opened() as (found, file):
                if rule == "rows" or found.version == rows.version:
                    head, held = found, found.rows
                    prints = rows.prints(bytes.fromhex(head.key))
                    left[self._fill(file, head, prints, out)] = False
        places = np.flatnonzero(left)
        ready = len(out) - len(places)
        done(ready)
        for start in range(0, len(places), PART_ROWS):
            some = places[start : start + PART_ROWS]
            out[some] = encrypt(some)
            done(ready + start + len(some))
        if rule != "nothing" and (len(places) or held != len(out)):
            self._keep(rows, head, prints if held else rows.prints(bytes.fromhex(head.key)), out)
        return out

    def remove(self) -> None:
        """Whatever is kept of this room's slots, and what a crash left of it."""
        _remove(self.folder)

    def _remove_others(self, everything: bool) -> None:
        """Stores of former contracts of the room; everything: where nothing may be kept."""
        for path in self.folder.glob(f"{_PREFIX}*"):
            if everything or path != self.path:
                path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self) -> Iterator[tuple[_Head, io.BufferedReader]]:
        """The head, and the file behind it."""
        with os.fdopen(private_files.open_regular(self.path), "rb") as file:
            if file.read(len(_FORMAT)) != _FORMAT:
                raise BadData(
                    "The slots kept for the room {room} are of an unknown version.",
                    "Update this program, or remove {file} from the room's folder: slots are then encrypted anew.",
                    room=self.contract.room,
                    file=self.path.name,
                )
            length = int.from_bytes(file.read(_HEAD_LENGTH), "little")
            head = json.loads(self._unsealed(file, "head", min(length, _LONGEST_HEAD)))
            yield _Head(**head), file

    def _fill(self, file: io.BufferedReader, head: _Head, prints: Bytes, out: Bytes) -> Indices:
        """Put what the file holds of the rows with these prints into `out`; which rows these are."""
        kept = self._unsealed(file, f"{head.file}/prints", head.rows * BLOCK + _SEAL_BYTES)
        places = index_in(np.frombuffer(kept, np.uint8).reshape(-1, BLOCK), prints)
        for part, start in enumerate(range(0, head.rows, head.part)):
            some = places[start : start + head.part]
            content = self._unsealed(file, f"{head.file}/{part}", len(some) * head.width + _SEAL_BYTES)
            out[some[some >= 0]] = np.frombuffer(content, np.uint8).reshape(-1, head.width)[some >= 0]
        return places[places >= 0]

    def _unsealed(self, file: io.BufferedReader, name: str, length: int) -> bytes:
        try:
            return self.home.wrapping.unwrap(self._sealed_as(name), file.read(length))
        except BadData as error:
            raise BadData(
                "The slots kept for the room {room} are damaged.",
                "Remove {file} from the room's folder: slots are then encrypted anew.",
                room=self.contract.room,
                file=self.path.name,
            ) from error

    def _keep(self, rows: PlainRows, former: _Head, prints: Bytes, out: Bytes) -> None:
        """Durably, in place of what was kept; nothing where it is too large."""
        head = _Head(rows.version, former.key, secrets.token_hex(16), len(out), former.width, PART_ROWS)
        with private_files.locked(self.folder / _LOCK):
            if not self._fits(len(out) * (former.width + BLOCK)):
                self.remove()
                return
            for path in self.folder.glob(f".{_PREFIX}*"):  # what a crash left
                path.unlink()
            with replacing(self.path) as aside, aside.open("wb") as file:
                file.writelines(self._sealed_parts(head, prints, out))
            if self.home.vault.manifest(rows.dataset).digest != rows.version:  # somebody was forgotten meanwhile
                self.remove()

    def _sealed_parts(self, head: _Head, prints: Bytes, out: Bytes) -> Iterator[bytes]:
        sealed = self._sealed("head", canonical.encode(asdict(head)))
        yield _FORMAT + len(sealed).to_bytes(_HEAD_LENGTH, "little")
        yield sealed
        yield self._sealed(f"{head.file}/prints", prints.tobytes())
        for part, start in enumerate(range(0, len(out), head.part)):
            yield self._sealed(f"{head.file}/{part}", out[start : start + head.part].tobytes())

    def _sealed(self, name: str, content: bytes) -> bytes:
        return self.home.wrapping.wrap(self._sealed_as(name), content)

    def _sealed_as(self, name: str) -> str:
        return f"slots/{self.contract.digest()}/{name}"

    def _fits(self, size: int) -> bool:
        """Whether so much may be kept; other rooms' make room for it, the longest unused first."""
        if size > MOST_BYTES or 2 * size > shutil.disk_usage(self.folder).free:
            return False
        others = [path for path in self.home.rooms.glob(f"*/{_PREFIX}*") if path != self.path]
        kept = sum(path.stat().st_size for path in others)
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns):
            if kept + size > MOST_BYTES:
                kept -= path.stat().st_size
                path.unlink()
        return True


def rule_of(contract: Contract) -> Rule:
    """What a room's slots may show of former runs."""
    if contract.match.others or any(dataset.also for dataset in contract.datasets):
        return "nothing"
    if contract.match.protocol == "keyed":
        return "rows"
    return "version" if contract.match.output == "members" else "nothing"


def forget_slots(home: Home) -> None:
    """Remove what is kept of any room's slots."""
    for lock in home.rooms.glob(f"*/{_LOCK}"):
        with private_files.locked(lock):
            _remove(lock.parent)


def _remove(folder: Path) -> None:
    for pattern in (f"{_PREFIX}*", f".{_PREFIX}*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
