"""A merchant's coupons as it offers them: frozen terms, one file a batch, that both sides read alike.

Nothing of a person stands here: a rule in words of the merchant's own columns, places as H3 cells, never a coordinate.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home

FORMAT = "cleanroom-coupons/1"
MOST_QUANTITY = 1_000_000_000
MOST_CELLS = 10_000
MOST_CENTS = 100_000_000
_MOST_TEXT = 500
_MOST_BYTES = 1 << 20
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FOLDER = "coupons"


@dataclass(frozen=True)
class Batch:
    """Coupons of one kind. Raises UsageError for what cannot be meant.

    rule: whom they are for, as a condition or a crowd's code, "" everybody; face_value, threshold: cents, the least
    order they count for; stores: codes, none = all; cells: H3, and city: where they are shown, none = everywhere;
    begins, ends: first and last day (ISO, in China) on which one may be claimed or redeemed; quantity: of coupons.
    """

    code: str
    name: str
    rule: str
    face_value: int
    threshold: int
    stores: tuple[str, ...]
    cells: tuple[str, ...]
    city: str
    begins: str
    ends: str
    quantity: int

    def __post_init__(self) -> None:
        whole = (self.face_value, self.threshold, self.quantity)
        listed = (self.stores, self.cells)
        texts = [self.code, self.name, self.rule, self.city, *self.stores, *self.cells]
        if not all(type(each) is int for each in whole) or not all(type(each) is tuple for each in listed):
            raise _unfit("type")
        if not all(type(text) is str and len(text) <= _MOST_TEXT and text.isprintable() for text in texts):
            raise _unfit("text")
        if not _CODE.fullmatch(self.code) or not self.name:
            raise _unfit("code")
        if not 0 < self.face_value <= MOST_CENTS or not 0 <= self.threshold <= MOST_CENTS:
            raise _unfit("face_value")
        if not 0 < self.quantity <= MOST_QUANTITY:
            raise _unfit("quantity")
        self._check_days()
        self._check_cells()

    def _check_days(self) -> None:
        try:
            begins, ends = dt.date.fromisoformat(self.begins), dt.date.fromisoformat(self.ends)
        except (TypeError, ValueError) as error:
            raise _unfit("begins") from error
        if ends < begins:
            raise _unfit("ends")

    def _check_cells(self) -> None:
        if len(self.cells) > MOST_CELLS or len(set(self.cells)) != len(self.cells) or "" in self.stores:
            raise _unfit("cells")
        if self.cells:
            import h3

            if not all(h3.is_valid_cell(cell) for cell in self.cells):
                raise _unfit("cells")

    def to_json(self) -> bytes:
        """Canonical JSON, its version first among its names."""
        return canonical.encode({"format": FORMAT, **asdict(self)})

    @property
    def digest(self) -> str:
        """SHA-256 in hex: the same terms on both sides."""
        return canonical.digest(FORMAT, asdict(self))


def from_json(content: bytes) -> Batch:
    """Of `Batch.to_json`. Raises BadData for another version or form, UsageError for what cannot be meant."""
    try:
        told: dict[str, Any] = json.loads(content)
        if told.pop("format") != FORMAT:
            raise BadData("The coupons are of an unknown version.", "Update this program.")
        if told.keys() != {each.name for each in fields(Batch)}:
            raise ValueError
        return Batch(**{**told, "stores": tuple(told["stores"]), "cells": tuple(told["cells"])})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("The file of the coupons is damaged.", "Create them again.") from error


class Coupons:
    """The batches of a home."""

    def __init__(self, home: Home) -> None:
        self._home, self._folder = home, home.path / _FOLDER

    def create(self, batch: Batch) -> Batch:
        """Keep it. The same again changes nothing; raises UsageError where its code is taken by other terms."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with private_files.locked(self._folder / ".lock"):
            if batch.code in self.codes():
                if self.get(batch.code) == batch:
                    return batch
                raise UsageError("There are coupons {code} with other terms.", "Terms are frozen: take another code.",
                                 code=batch.code)  # fmt: skip
            write_bytes(self._path(batch.code), batch.to_json())
        return batch

    def codes(self) -> list[str]:
        """Of all, sorted."""
        return sorted(path.stem for path in self._folder.glob("*.json")) if self._folder.is_dir() else []

    def get(self, code: str) -> Batch:
        """Raises UsageError where there is none of that code, BadData where it was changed."""
        if code not in self.codes():
            raise UsageError("There are no coupons {code}.", "See: cleanroom coupon list", code=code[:64])
        return from_json(private_files.read(self._path(code), _MOST_BYTES))

    def every(self) -> Iterator[Batch]:
        """All, by code."""
        return (self.get(code) for code in self.codes())

    def _path(self, code: str) -> Path:
        return self._folder / f"{code}.json"


def _unfit(entry: str) -> UsageError:
    return UsageError("The entry {entry} of the coupons cannot be this.", "See: cleanroom coupon create --help",
                      entry=entry)  # fmt: skip
