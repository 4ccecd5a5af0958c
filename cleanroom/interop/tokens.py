"""Match tokens as a file: an owner's people as pseudonyms for one tool that the contract names, and nothing else.

Tokens of two owners for the same tool under the same contract are equal where the people are, so that the tool, or any
database, joins them; tokens for another tool, of another contract, or of the room's own runs are unrelated. Whoever
gets the files of both sides learns what the operator of `keyed` learns: sizes and the overlap of pseudonyms. An owner
has the key: the file of the other owner must never come to it, and this program gives none the key.

They leave only where the room matches by `keyed` and all parties signed a purpose that names the tool:
`match tokens for TOOL`. Every export stands in the ledger.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom.answer.side import Side
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.interop import bodies, headers
from cleanroom.interop.bodies import Layout
from cleanroom.keys import SecretAccess
from cleanroom.ledger.opening import open_ledger
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.identities import as_agreed
from cleanroom.rooms.store import Room, Rooms
from protocols.psi import keyed
from protocols.psi import tokens as bulk
from protocols.psi.three_key import key_id
from protocols.psi.tokens import Pair
from protocols.rows import Bytes

FORMAT = "cleanroom-match-tokens/1"
ALGORITHM = "aes-256-of-sha-256-first-128-bits/1"
PURPOSE = "match tokens for {tool}"
"""What a contract's purposes must hold, word for word."""
LAYOUT = Layout("token", bulk.BYTES, "hex", titled=True)
MORE: Mapping[str, type] = {
    "tool": str, "room": str, "contract": str, "dataset": str, "identity": str, "profile": str, "key_id": str
}  # fmt: skip
_KEY_LABEL = "cleanroom/match-tokens/1"
_TOOL = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_SAME = ("tool", "contract", "identity", "profile", "key_id")


@dataclass(frozen=True)
class TokenFile:
    """A verified file of tokens, to be read as often as asked."""

    path: Path
    header: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """How many people it is of."""
        rows: int = self.header["rows"]
        return rows

    def batches(self) -> Iterator[Bytes]:
        """Tokens uint8[n, 16], ascending over all batches. Raises BadData where they are not."""
        last, at = np.empty((0, bulk.BYTES), np.uint8), 0
        for batch in bodies.read(self.path, LAYOUT, self.rows):
            if not bulk.is_ascending(*bulk.words(np.concatenate([last, batch]))):
                raise BadData("Tokens are repeated or out of order after row {row} of {name}.", "Export them again.",
                              row=at, name=self.path.name)  # fmt: skip
            last, at = batch[-1:], at + len(batch)
            yield batch


def export(home: Home, room: str, tool: str, path: Path, access: SecretAccess) -> dict[str, Any]:
    """Write the tokens of this party's people in a room for a tool, .csv or .parquet; the signed header.

    The one place where tokens leave but by a channel. access: why; every use stands in the code as SecretAccess("…").
    Raises Refused unless the contract lets them out, UsageError for a file that is there.
    """
    del access  # it is there to be found by whoever reads the code, and to be missed by whoever forgets it
    headers.check_new(path)
    held = Rooms(home.rooms).load(room)
    contract = held.in_force(dt.datetime.now(dt.UTC))
    check_allowed(contract, home.party, tool)
    side = Side(home, held, Query(), {}, None, lambda *_: None)
    as_agreed(side.dataset, side.manifest.meta)
    key = _key(side.room_key, tool)
    found = bulk.encrypted(key, side.digests())
    bodies.write(path, LAYOUT, bulk.take(found, bulk.ascending(found)))
    header = headers.write(home, path, FORMAT, ALGORITHM, len(found), _more(held, contract, side, tool, key))
    with open_ledger(home) as ledger:
        ledger.append("match", {
            "contract": contract.digest(), "protocol": FORMAT, "transcript": header["sha256"], "host": home.party,
            "receiver": tool, "output": "export",
        })  # fmt: skip
    return header


def check_allowed(contract: Contract, party: str, tool: str) -> None:
    """Raises Refused unless this party may give the tool tokens."""
    if not _TOOL.fullmatch(tool):
        raise UsageError("A tool is named by up to 64 letters, digits, dots, - and _.")
    if party not in contract.owners:
        raise Refused("Only an owner of data has tokens.")
    if contract.match.protocol != "keyed":
        raise Refused("Match tokens leave only where the room matches by keyed, not by {protocol}.",
                      protocol=contract.match.protocol)  # fmt: skip
    if len(contract.dataset_of(party).identities) > 1:
        raise Refused("Match tokens are of one identity, and the room matches by several.")
    wanted = PURPOSE.format(tool=tool)
    if wanted not in contract.purposes:
        raise Refused("The contract does not let match tokens out for {tool}.",
                      'All parties sign a contract with the purpose "{purpose}" first.', tool=tool,
                      purpose=wanted)  # fmt: skip


def opened(path: Path) -> TokenFile:
    """A file of tokens, whoever made it. Raises BadData unless header, signature and bytes fit each other."""
    header = headers.read(path, FORMAT, ALGORITHM, MORE)
    return TokenFile(path, header)


def shared(left: TokenFile, right: TokenFile) -> int:
    """How many tokens stand in both; both are read in flat memory. Raises Refused for files that can never match."""
    for name in _SAME:
        if left.header[name] != right.header[name]:
            raise Refused("The two files can never match: their {entry} is not the same.",
                          "Both owners export for the same tool, under the same contract.", entry=name)  # fmt: skip
    if left.header["dataset"] == right.header["dataset"]:
        raise Refused("The two files are of the same dataset.", "Take the file of each owner.")
    return sum(len(each.left) for each in bulk.joined(_pairs(left), _pairs(right)))


def _pairs(file: TokenFile) -> Iterator[Pair]:
    return (bulk.words(batch) for batch in file.batches())


def _key(room_key: bytes, tool: str) -> bytes:
    return keyed.subkey(room_key, _KEY_LABEL, hashlib.sha256(tool.encode()).digest())


def _more(held: Room, contract: Contract, side: Side, tool: str, key: bytes) -> dict[str, str]:
    dataset = side.dataset
    return {
        "tool": tool, "room": held.contract.room, "contract": contract.digest(), "dataset": dataset.name,
        "identity": dataset.identity, "profile": dataset.profile, "key_id": key_id(key),
    }  # fmt: skip
