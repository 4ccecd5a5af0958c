"""The users' table beside the events: attributes, consent, opt-outs, places, arms of campaigns, one row a user.

A person who stands only here is one that was imported. Columns are found by their headers, in Chinese or English.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.arrays import as_flags, flags, is_valid, numbers
from connectors.events import EventLoss
from connectors.headers import recognise
from connectors.identity.texts import as_texts
from connectors.private_domain.columns import ARM_SLOTS, ATTRIBUTES
from connectors.private_domain.places import Place, near, parse_cells
from connectors.private_domain.reading import Levels, blank_users
from connectors.private_domain.scratch import part_of
from connectors.source import Batch
from connectors.values import parse_bool, parse_category

MOST_VALUES = 30_000
CARRIED = (*ATTRIBUTES, *ARM_SLOTS)
COMPACT = pa.schema(
    [
        ("u", pa.string()),
        ("n", pa.int64()),
        *((name, pa.int16()) for name in CARRIED),
        ("consent", pa.uint8()),
        ("out", pa.uint8()),
        ("near", pa.uint8()),
    ]
)
"""user; row; codes of attributes and arms, 0 unknown; consent 0 unknown, 1 no, 2 yes; opted out; bits of places."""
_OTHER_NAMES = {"level": "member_level", "cell": "cell", "h3": "cell", "opt_out": "opt_out", "system": "device",
                "age": "age_band", "credit_tier": "credit"}  # fmt: skip
_MEANT = {*CARRIED, "consent", "opt_out", "cell"}


@dataclass
class UsersReader:
    """How rows of users' tables become compact; texts of each attribute keep one code over all batches."""

    places: tuple[Place, ...]

    def __post_init__(self) -> None:
        self.levels = {name: Levels(name) for name in CARRIED}
        self.seen: set[str] = set()

    def prepare(self, batch: Batch, user: str, losses: Counter[str]) -> tuple[pa.RecordBatch, NDArray[np.uint8]]:
        """The rows that name a user."""
        users = pc.utf8_trim_whitespace(as_texts(batch.table.column(user)))
        blank = blank_users(users)
        losses[EventLoss.NO_USER] += int(blank.sum())
        table, rows = batch.table, batch.rows
        if blank.any():
            users, table, rows = (one.filter(flags(~blank)) for one in (users, table, rows))
        roles = {meaning(name): table.column(name) for name in reversed(table.schema.names) if name != user}
        self.seen |= roles.keys() & _MEANT
        none = np.zeros(len(users), np.int16)
        columns = [
            numbers(self.levels[name].codes(parse_category(roles[name]), MOST_VALUES) if name in roles else none)
            for name in CARRIED
        ]
        compact = [users, rows, *columns, *(numbers(one) for one in self._bits(roles, len(users)))]
        return pa.RecordBatch.from_arrays(compact, schema=COMPACT), part_of(users)

    def _bits(self, roles: dict[str, pa.Array], count: int) -> list[NDArray[np.uint8]]:
        consent, out, bits = (np.zeros(count, np.uint8) for _ in range(3))
        if "consent" in roles:
            said = parse_bool(roles["consent"])
            consent = np.where(is_valid(said), 1 + as_flags(said), 0).astype(np.uint8)
        if "opt_out" in roles:
            out = as_flags(parse_bool(roles["opt_out"])).astype(np.uint8)
        if "cell" in roles and self.places:
            cells = parse_cells(roles["cell"])
            for slot, place in enumerate(self.places):
                bits |= (near(cells, place).astype(np.uint8) << slot).astype(np.uint8)
        return [consent, out, bits]


def meaning(header: str) -> str:
    """What a column of a users' table is: an attribute, consent, opt_out, cell, arm_1 …; else its canonical name."""
    plain = header.strip().casefold()
    if plain in _MEANT:
        return plain
    known = (recognise(header) or (plain,))[0]
    return _OTHER_NAMES.get(plain) or _OTHER_NAMES.get(known) or known
