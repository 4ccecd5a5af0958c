"""A source's rows on their way in: identity digested, columns typed, and an account of every row.

Rows without a valid identity or without consent never leave here; each is counted by a name. Values stay as they came
beside their typed form.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import pyarrow as pa

from connectors.arrays import Bytes, Flags, Ints, as_flags, flags, is_valid, values_of
from connectors.days import parse_date
from connectors.errors import InputError
from connectors.funnel import Funnel, Tally
from connectors.identity import Profile, profile
from connectors.identity.forms import WIDTHS, Form
from connectors.identity.names import Loss, code
from connectors.mapping import ColumnRole, Mapping, identity_column
from connectors.merging import Amounts, Merged, Persons
from connectors.source import Batch, Source
from connectors.values import parse_amount, parse_bool, parse_category, parse_number, unparsed

Progress = Callable[[int], None]


@dataclass(frozen=True)
class ImportSpec:
    """What to make of a source.

    mapping: which column is what; on: the identity column, by canonical name or header; profile: by name; columns:
    those to type; merge: which row stands for a person that has several, or "sum" for the first with all amounts
    summed; merge_by: the date column by which "last" is told (by row number where None); consent: the column without
    whose yes a row is dropped; country, scope: see `Profile.normalise`.
    """

    mapping: Mapping
    on: str
    profile: str
    columns: tuple[str, ...] = ()
    merge: Literal["first", "last", "sum"] = "first"
    merge_by: str | None = None
    consent: str | None = None
    country: str = "CN"
    scope: str = ""


class MixedForms(InputError):
    """Most of a column comes in another form (raw, SHA-256, MD5) than its first rows, so the reading was in vain."""


@dataclass(frozen=True)
class _Typed:
    """One column to be typed: its name, its original header, its Arrow type, and how it is read."""

    name: str
    header: str
    type: pa.DataType
    parse: Callable[[pa.Array], pa.Array]


class Importer:
    """One reading of a source. Take all of `batches()`, then ask for `funnel()`, `keep()` and `merged()`.

    Raises InputError for a column that does not exist or cannot serve; MixedForms at the end of `batches()`.
    `form` settles how identities come (raw, SHA-256, MD5); where None, most of the first batch's rows tell.
    """

    def __init__(
        self, source: Source, spec: ImportSpec, progress: Progress | None = None, *, form: Form | None = None
    ) -> None:
        self._source, self._spec, self._progress, self._settled = source, spec, progress, form
        self._identity = identity_column(spec.mapping, spec.on)
        self._profile = _profile(spec.profile, self._identity)
        opened = source.batches()
        head = next(opened, None)
        self._opened: Iterator[Batch] | None = chain([head] if head else [], opened)
        self._form = form or _form(head, self._identity, self._profile)
        self._typed = tuple(_typed(spec.mapping.find(column), head) for column in spec.columns)
        self._by = spec.mapping.find(spec.merge_by).header if spec.merge_by else None
        self._consent = spec.mapping.find(spec.consent).header if spec.consent else None
        self._amounts = tuple(one.name for one in self._typed if one.parse is parse_amount)
        self._tally = Tally()
        self._merged: Merged | None = None
        self.schema = pa.schema(
            [
                pa.field("row", pa.int64(), nullable=False),
                pa.field("digest", pa.binary(WIDTHS[self._form]), nullable=False),
                *(pa.field(f"t.{one.name}", one.type) for one in self._typed),
                *(field.with_name(f"o.{field.name}") for field in source.schema),
            ]
        )

    @property
    def form(self) -> Form:
        """How the identities are taken to come: raw, or hashed already."""
        return self._form

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The valid rows, in `schema`. A new call reads anew."""
        self._tally, self._merged = Tally(), None
        persons = Persons(self._spec.merge, self._amounts if self._spec.merge == "sum" else ())
        opened, self._opened = self._opened or self._source.batches(), None
        for batch in opened:
            kept = self._rows(batch, persons)
            if kept.num_rows:
                yield kept
            if self._progress:
                self._progress(self._tally.rows)
        self._tally.reject(self._source.rejected)
        self._merged = persons.merge()
        if self._settled is None:
            self._refuse_mixed()

    def funnel(self) -> Funnel:
        """What became of each row."""
        return self._tally.funnel(self._done().people, "md5" if self._form == "md5" else "sha256")

    def keep(self) -> Flags | None:
        """bool[rows yielded]: which stand for their person by the merge rule; None where all do."""
        return self._done().keep

    def merged(self) -> Amounts | None:
        """The summed amounts of the kept rows, in their order, by column name; None where nothing was summed."""
        return self._done().amounts

    def _done(self) -> Merged:
        if self._merged is None:
            raise RuntimeError("The batches have not been read to their end.")
        return self._merged

    def _rows(self, batch: Batch, persons: Persons) -> pa.RecordBatch:
        spec, table = self._spec, batch.table
        column = table.column(self._identity.header)
        normal = self._profile.normalise(column, country=spec.country, scope=spec.scope, form=self._form)
        lost = _codes(normal.reason)
        if self._consent:
            refused = (lost != code(Loss.MISSING)) & ~as_flags(parse_bool(table.column(self._consent)))
            lost = np.where(refused, code(Loss.NO_CONSENT), lost).astype(np.int8)
        valid = lost < 0
        self._tally.add(values_of(batch.rows), column, lost, _codes(normal.repaired))
        rows, digest = batch.rows, normal.digest
        if not valid.all():
            mask = flags(valid)
            rows, digest, table = rows.filter(mask), digest.filter(mask), table.filter(mask)
        typed = [self._type(one, table, rows) for one in self._typed]
        if table.num_rows:
            persons.add(_bytes(digest), self._days(table), self._sums(typed))
        return pa.RecordBatch.from_arrays([rows, digest, *typed, *table.columns], schema=self.schema)

    def _type(self, one: _Typed, table: pa.RecordBatch, rows: pa.Int64Array) -> pa.Array:
        values = table.column(one.header)
        parsed = one.parse(values)
        self._tally.unparse(one.name, values_of(rows)[unparsed(values, parsed)])
        return parsed

    def _days(self, table: pa.RecordBatch) -> tuple["np.typing.NDArray[np.int32]", Flags] | None:
        if self._by is None or self._spec.merge != "last":
            return None
        days = parse_date(table.column(self._by))
        return values_of(days), is_valid(days)

    def _sums(self, typed: list[pa.Array]) -> dict[str, tuple[Ints, Flags]]:
        return {
            one.name: (values_of(column), is_valid(column))
            for one, column in zip(self._typed, typed, strict=True)
            if one.name in self._amounts
        }

    def _refuse_mixed(self) -> None:
        strangers = self._tally.strangers()
        if strangers > self._tally.present - strangers:
            raise MixedForms(
                "In column {column} the first rows are {form}, but most of the others are not.",
                "Split the file by how the identities are written: raw, SHA-256 or MD5.",
                column=self._identity.header,
                form={"raw": "raw", "sha256": "SHA-256", "md5": "MD5"}[self._form],
            )


def form_of(source: Source, identity: ColumnRole, used: Profile) -> Form:
    """How most of a column's identities come; reads the whole source."""
    totals: dict[Form, int] = {"raw": 0, "sha256": 0, "md5": 0}
    for batch in source.batches():
        for form, rows in used.count_forms(batch.table.column(identity.header)).items():
            totals[form] += rows
    return max(totals, key=lambda form: totals[form])


def _profile(name: str, identity: ColumnRole) -> Profile:
    return profile(name, identity.name)


def _form(head: Batch | None, identity: ColumnRole, used: Profile) -> Form:
    return used.form(head.table.column(identity.header)) if head else "raw"


def _typed(role: ColumnRole, head: Batch | None) -> _Typed:
    if role.kind == "identity":
        raise InputError(
            "Column {column} is an identity: it can be matched, not grouped or summed.",
            "Name a category, a bucket or an amount.",
            column=role.header,
        )
    if role.kind == "amount":
        return _Typed(role.name, role.header, pa.int64(), parse_amount)
    if role.kind == "date" or (role.kind == "bucket" and head and _is_date(head.table.column(role.header))):
        return _Typed(role.name, role.header, pa.date32(), parse_date)
    if role.kind == "bucket":
        return _Typed(role.name, role.header, pa.float64(), parse_number)
    return _Typed(role.name, role.header, pa.string(), parse_category)


def _is_date(column: pa.Array) -> bool:
    """Whether more of a column reads as dates than as numbers."""
    return bool(is_valid(parse_date(column)).sum() > is_valid(parse_number(column)).sum())


def _codes(column: pa.DictionaryArray) -> "np.typing.NDArray[np.int8]":
    places = column.indices
    return np.where(is_valid(places), values_of(places), -1).astype(np.int8)


def _bytes(digest: pa.FixedSizeBinaryArray) -> Bytes:
    width = digest.type.byte_width
    content = np.frombuffer(digest.buffers()[1], np.uint8)[digest.offset * width :]
    return content[: len(digest) * width].reshape(-1, width)
