"""An epoch of a room whose match goes on from run to run: what a party's home keeps of it, each file sealed.

`oprf`: the side that is asked keeps the key, the count of what was asked, and its table of tags; the side that asks the
table, the answers it has, and which key it was given first. `dh`, `keyed`: see `cleanroom.answer.updates`. A new epoch
removes all that was kept of the last one.
"""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

from cleanroom import private_files
from cleanroom.errors import Refused
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import EPOCH_DAYS
from protocols.errors import BadMessage

CLOCKS_APART = dt.timedelta(days=1)
MOST_BYTES = 1 << 30
"""Of one kept file."""
PEOPLE = {"oprf": ("table", "own", "answers"), "dh": ("state",), "keyed": ("sent", "held")}
"""Files that hold something of a person, by protocol."""


def number_at(contract: Contract, moment: dt.datetime) -> int:
    """Which epoch of the contract a moment is in, from 1 on."""
    return 1 + max(0, (moment - dt.datetime.fromisoformat(contract.created)).days // EPOCH_DAYS)


def checked_number(contract: Contract, told: int) -> int:
    """The epoch that the peer named, if clocks may differ that much. Raises BadMessage."""
    now = dt.datetime.now(dt.UTC)
    if told not in {number_at(contract, moment) for moment in (now - CLOCKS_APART, now, now + CLOCKS_APART)}:
        raise BadMessage("The peer named another key epoch than this one.", "Check the clocks of both sides.")
    return told


@dataclass(frozen=True)
class Kept:
    """The files of one epoch. Every file opens only under its own name, contract and epoch."""

    home: Home
    contract: Contract
    number: int

    @property
    def folder(self) -> Path:
        """Where they are; made by `begin`."""
        return self.home.rooms / self.contract.room / f"{self._prefix}{self.number}"

    @property
    def _prefix(self) -> str:
        return f"{self.contract.match.protocol}-"

    def begin(self) -> "Kept":
        """Make the folder, and remove those of earlier epochs: their keys are gone for good.

        Raises Refused where a later epoch has begun already.
        """
        for path in self.folder.parent.glob(f"{self._prefix}*"):
            if int(path.name.removeprefix(self._prefix)) > self.number:
                raise Refused("A later key epoch of this room has begun already.", "Check this machine's clock.")
            if path != self.folder:
                shutil.rmtree(path)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        return self

    def save(self, name: str, content: bytes) -> None:
        """Durably, in place of what was kept under the name. What is too large to keep is removed instead."""
        if len(content) > MOST_BYTES:
            self.remove(name)
        else:
            write_bytes(self.folder / name, self.home.wrapping.wrap(self._sealed_as(name), content))

    def load(self, name: str) -> bytes | None:
        """What was kept under the name, or None. Raises BadData where it was changed."""
        path = self.folder / name
        if not path.exists():
            return None
        return self.home.wrapping.unwrap(self._sealed_as(name), private_files.read(path, 2 * MOST_BYTES))

    def remove(self, name: str) -> None:
        """What was kept under the name is gone, durably."""
        (self.folder / name).unlink(missing_ok=True)
        private_files.sync_folder(self.folder)

    def _sealed_as(self, name: str) -> str:
        return f"{self.contract.match.protocol}/{self.contract.digest()}/{self.number}/{name}"


def forget_people(home: Home) -> None:
    """Remove whatever was kept of persons in any epoch; keys and counts stay."""
    for protocol, names in PEOPLE.items():
        for folder in home.rooms.glob(f"*/{protocol}-*"):
            for name in names:
                (folder / name).unlink(missing_ok=True)
