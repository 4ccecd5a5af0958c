"""The account of an import: every row that was read stands in exactly one place.

It holds counts and row numbers, never a value.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrays import Flags, Ints, flags
from connectors.identity import Loss, shapes
from connectors.identity.names import LOSSES, REPAIRS, Codes
from connectors.identity.texts import as_texts
from connectors.source import Rejected

EXAMPLES = 5
"""Row numbers kept a reason."""
_SHAPES = 40
_STRANGERS = (Loss.HASHED_AMONG_RAW, Loss.RAW_AMONG_HASHED, Loss.MD5_AMONG_SHA256, Loss.SHA256_AMONG_MD5)


@dataclass(frozen=True)
class Funnel:
    """What became of each row of a source.

    rows: all; present: with something in the identity column; valid: usable (and consented); unique: persons; losses:
    rows by reason (`Loss`, or why the source could not read the row); repairs: valid rows by `Repair`; examples: up to
    5 row numbers by reason, and by "unparsed:<column>"; formats: present rows by shape; digest_form: how the digests
    were made; merged: valid rows that another row stands for; unparsed: by typed column, the valid rows whose value
    could not be read and is null; unread: rows the source could not read at all.

    Holds: rows = unread + losses["missing"] + present; rows − valid = sum of losses; valid = unique + merged.
    """

    rows: int
    present: int
    valid: int
    unique: int
    losses: dict[str, int]
    repairs: dict[str, int]
    examples: dict[str, tuple[int, ...]]
    formats: dict[str, int]
    digest_form: Literal["sha256", "md5"]
    merged: int
    unparsed: dict[str, int]
    unread: int

    def __post_init__(self) -> None:
        if (
            self.rows != self.unread + self.losses.get(Loss.MISSING, 0) + self.present
            or self.rows - self.valid != sum(self.losses.values())
            or self.valid != self.unique + self.merged
        ):
            raise RuntimeError("The funnel does not account for every row.")


@dataclass(frozen=True)
class KindFunnel:
    """One of several identities, over all rows that were read, whatever the others say.

    kind: phone, …; present: rows with something in its column; valid: usable (and consented); the rest as in `Funnel`.
    Holds: rows read − valid = sum of losses.
    """

    kind: str
    present: int
    valid: int
    losses: dict[str, int]
    repairs: dict[str, int]
    examples: dict[str, tuple[int, ...]]
    digest_form: Literal["sha256", "md5"]


@dataclass(frozen=True)
class WaterfallFunnel(Funnel):
    """A funnel over several identities: each row stands in it by its first valid identity, or where it has none is lost
    as the first is that it has something of. kinds: one a kind, in order; digest_form: the first kind's."""

    kinds: tuple[KindFunnel, ...]


@dataclass
class Tally:
    """A funnel while it fills."""

    rows: int = 0
    valid: int = 0
    unread: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    unparsed: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)

    @property
    def present(self) -> int:
        return self.rows - self.unread - self.losses[Loss.MISSING]

    def add(self, rows: Ints, lost: Codes, repaired: Codes) -> None:
        """A batch's row numbers, and the codes of its losses and repairs."""
        self.rows += len(rows)
        valid = lost < 0
        self.valid += int(valid.sum())
        for place, count in _occurring(lost):
            self.losses[LOSSES[place]] += count
            self._example(LOSSES[place], rows[lost == place])
        for place, count in _occurring(repaired[valid]):
            self.repairs[REPAIRS[place]] += count

    def shape(self, column: pa.Array, present: Flags) -> None:
        """Of a batch: an identity column as it came, and in which rows it tells who they are about."""
        told = column if present.all() else column.filter(flags(present))
        for shape, count in shapes(as_texts(told)).items():
            known = shape in self.formats or len(self.formats) < _SHAPES
            self.formats[shape if known else "other"] += count

    def unparse(self, name: str, rows: Ints) -> None:
        """Rows whose value in a typed column could not be read."""
        self.unparsed[name] += len(rows)
        self._example(f"unparsed:{name}", rows)

    def reject(self, rejected: Sequence[Rejected]) -> None:
        """Rows that the source could not read."""
        self.rows += len(rejected)
        self.unread += len(rejected)
        for one in rejected:
            self.losses[one.reason] += 1
            self._example(one.reason, np.array([one.row]))

    def mixed(self) -> bool:
        """Whether most rows are lost because the column comes in another form."""
        strangers = sum(self.losses[name] for name in _STRANGERS)
        return strangers > self.present - strangers

    def funnel(self, people: int, digest_form: Literal["sha256", "md5"]) -> Funnel:
        """The account, once all rows are in."""
        return Funnel(
            rows=self.rows,
            present=self.present,
            valid=self.valid,
            unique=people,
            losses=self._losses(),
            repairs=self._repairs(),
            examples=self._examples(),
            formats=dict(self.formats.most_common()),
            digest_form=digest_form,
            merged=self.valid - people,
            unparsed=dict(self.unparsed),
            unread=self.unread,
        )

    def kind(self, kind: str, digest_form: Literal["sha256", "md5"]) -> KindFunnel:
        """The account of one kind of several, once all rows are in."""
        return KindFunnel(
            kind, self.present, self.valid, self._losses(), self._repairs(), self._examples(), digest_form
        )

    def _losses(self) -> dict[str, int]:
        return {str(name): count for name, count in self.losses.most_common() if count}

    def _repairs(self) -> dict[str, int]:
        return {str(name): count for name, count in self.repairs.most_common()}

    def _examples(self) -> dict[str, tuple[int, ...]]:
        return {str(name): tuple(rows) for name, rows in self.examples.items()}

    def _example(self, name: str, rows: Ints) -> None:
        if not len(rows):
            return
        known = self.examples.setdefault(str(name), [])
        known.extend(rows[: EXAMPLES - len(known)].tolist())


def _occurring(codes: NDArray[np.int8]) -> list[tuple[int, int]]:
    counts = np.bincount(codes[codes >= 0])
    return [(int(place), int(counts[place])) for place in np.flatnonzero(counts)]
