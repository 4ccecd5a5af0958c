"""A source's rows on their way in: identity digested, columns typed, and an account of every row.

Rows without a valid identity or without consent never leave here; each is counted by a name. Values stay as they came
beside their typed form.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pyarrow as pa

from connectors.arrays import Flags, Ints, as_flags, flags, is_valid, values_of
from connectors.days import parse_date
from connectors.errors import InputError
from connectors.funnel import Funnel, Tally, WaterfallFunnel
from connectors.identity import Profile, profile
from connectors.identity.forms import Form
from connectors.identity.names import Loss, code
from connectors.mapping import ColumnRole, Mapping, check_kinds, identity_column
from connectors.merging import Amounts, Merged, Persons
from connectors.source import Batch, Source
from connectors.values import parse_amount, parse_bool, parse_category, parse_number, unparsed
from connectors.waterfall import IdentityColumn, Read, as_bytes, digest_form, first_form, first_valid, read

Progress = Callable[[int], None]
Used = tuple[tuple[ColumnRole, Profile], ...]
"""The columns to match by, in order, with their profiles."""


@dataclass(frozen=True)
class Also:
    """A further identity: its column, by canonical name or header, and its profile by name."""

    on: str
    profile: str


@dataclass(frozen=True)
class ImportSpec:
    """What to make of a source.

    mapping: which column is what; on: the identity column, by canonical name or header; profile: by name; columns:
    those to type; merge: which row stands for a person that has several, or "sum" for the first with all amounts
    summed; merge_by: the date column by which "last" is told (by row number where None); consent: the column without
    whose yes a row is dropped; country, scope: see `Profile.normalise` (the scope is the first identity's); also: the
    further identities, in order, of which the first valid one tells who a row is about.
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
    also: tuple[Also, ...] = ()


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
    `form` settles how the identity comes, or each of several (raw, SHA-256, MD5); where None, most of the first batch's
    rows tell. `scratch`: a folder in which of many rows what tells persons apart is set aside, sealed.
    """

    def __init__(
        self,
        source: Source,
        spec: ImportSpec,
        progress: Progress | None = None,
        *,
        form: Form | tuple[Form, ...] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._source, self._spec, self._progress, self._settled = source, spec, progress, form is not None
        self._scratch = scratch
        opened = source.batches()
        head = next(opened, None)
        self._opened: Iterator[Batch] | None = chain([head] if head else [], opened)
        self._columns = _identities(spec, head, (form,) if isinstance(form, str) else form)
        self._typed = tuple(_typed(spec.mapping.find(column), head) for column in spec.columns)
        self._by = spec.mapping.find(spec.merge_by).header if spec.merge_by else None
        self._consent = spec.mapping.find(spec.consent).header if spec.consent else None
        self._amounts = tuple(one.name for one in self._typed if one.parse is parse_amount)
        self._tally, *self._tallies = self._new_tallies()
        self._persons: Persons | None = None
        self._merged: Merged | None = None
        self.schema = pa.schema(
            [
                pa.field("row", pa.int64(), nullable=False),
                pa.field("digest", pa.binary(max(one.width for one in self._columns)), nullable=False),
                *(pa.field(f"i.{one.role.name}", pa.binary(one.width)) for one in self._columns if spec.also),
                *(pa.field(f"t.{one.name}", one.type) for one in self._typed),
                *(field.with_name(f"o.{field.name}") for field in source.schema),
            ]
        )

    @property
    def form(self) -> Form:
        """How the identities are taken to come, the first where there are several: raw, or hashed already."""
        return self._columns[0].form

    @property
    def forms(self) -> tuple[Form, ...]:
        """How each identity is taken to come, in order."""
        return tuple(one.form for one in self._columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The valid rows, in `schema`. A new call reads anew."""
        self._tally, *self._tallies = self._new_tallies()
        self._persons = self._merged = None
        persons = self._new_persons()
        opened, self._opened = self._opened or self._source.batches(), None
        for batch in opened:
            kept = self._rows(batch, persons)
            if kept.num_rows:
                yield kept
            if self._progress:
                self._progress(self._tally.rows)
        self._tally.reject(self._source.rejected)
        self._persons = persons
        if not self._settled:
            self._refuse_mixed()

    def leave_out(self, stored: Flags | None) -> None:
        """Before anything is asked: which of the rows yielded were stored, bool[n] (None: all).

        One that was not (a forgotten identity stands in it) neither stands nor counts where its person has another.
        """
        if self._persons is None:
            raise RuntimeError("The batches have not been read to their end.")
        self._merged = self._persons.merge(stored)

    def funnel(self) -> Funnel:
        """What became of each row; a WaterfallFunnel where there are several identities."""
        people, forms = self._done().people, [digest_form(one.form) for one in self._columns]
        funnel = self._tally.funnel(people, forms[0])
        if not self._spec.also:
            return funnel
        kinds = zip(self._columns, self._tallies, forms, strict=True)
        told = tuple(tally.kind(one.role.name, form) for one, tally, form in kinds)
        return WaterfallFunnel(**vars(funnel), kinds=told)

    def keep(self) -> Flags | None:
        """bool[rows yielded]: which stand for their person by the merge rule; None where all do."""
        return self._done().keep

    def merged(self) -> Amounts | None:
        """The summed amounts of the kept rows, in their order, by column name; None where nothing was summed."""
        return self._done().amounts

    def _done(self) -> Merged:
        if self._merged is None:
            self.leave_out(None)
        return cast(Merged, self._merged)

    def _rows(self, batch: Batch, persons: Persons) -> pa.RecordBatch:
        table, reads = batch.table, self._identities(batch.table)
        row, told = first_valid(reads)
        self._count(batch, reads, row, told)
        valid = row.lost < 0
        rows, digests = batch.rows, [row.digest, *(one.digest for one in reads if self._spec.also)]
        if not valid.all():
            mask = flags(valid)
            rows, digests, table = rows.filter(mask), [one.filter(mask) for one in digests], table.filter(mask)
        typed = [self._type(one, table, rows) for one in self._typed]
        if table.num_rows:
            persons.add(as_bytes(digests[0]), self._days(table), self._sums(typed))
        return pa.RecordBatch.from_arrays([rows, *digests, *typed, *table.columns], schema=self.schema)

    def _identities(self, table: pa.RecordBatch) -> list[Read]:
        """Every identity of each row."""
        spec = self._spec
        refused = ~as_flags(parse_bool(table.column(self._consent))) if self._consent else None
        scopes = [spec.scope, *("" for _ in spec.also)]
        return [
            read(one, table, country=spec.country, scope=scope, refused=refused)
            for one, scope in zip(self._columns, scopes, strict=True)
        ]

    def _count(self, batch: Batch, reads: list[Read], row: Read, told: Ints) -> None:
        """The batch's rows into their places: by the identity that tells, and by each kind where there are several."""
        rows, present = values_of(batch.rows), row.lost != code(Loss.MISSING)
        self._tally.add(rows, row.lost, row.repaired)
        for place, column in enumerate(self._columns):
            self._tally.shape(batch.table.column(column.role.header), present & (told == place))
        for tally, one in zip(self._tallies, reads, strict=False):  # none where there is one identity
            tally.add(rows, one.lost, one.repaired)

    def _type(self, one: _Typed, table: pa.RecordBatch, rows: pa.Int64Array) -> pa.Array:
        values = table.column(one.header)
        parsed = one.parse(values)
        self._tally.unparse(one.name, values_of(rows)[unparsed(values, parsed)])
        return parsed

    def _new_persons(self) -> Persons:
        rule = self._spec.merge
        amounts = self._amounts if rule == "sum" else ()
        return Persons(rule, amounts, days=self._by is not None and rule == "last", scratch=self._scratch)

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

    def _new_tallies(self) -> list[Tally]:
        """One for all rows, and where there are several identities one a kind."""
        return [Tally() for _ in range(1 + len(self._columns) * bool(self._spec.also))]

    def _refuse_mixed(self) -> None:
        for one, tally in zip(self._columns, self._tallies or [self._tally], strict=True):
            if tally.mixed():
                raise MixedForms(
                    "In column {column} the first rows are {form}, but most of the others are not.",
                    "Split the file by how the identities are written: raw, SHA-256 or MD5.",
                    column=one.role.header,
                    form={"raw": "raw", "sha256": "SHA-256", "md5": "MD5"}[one.form],
                )


def spec_of(
    mapping: Mapping,
    used: Used,
    *,
    columns: tuple[str, ...] = (),
    consent: str | None = None,
    country: str = "CN",
    scope: str = "",
) -> ImportSpec:
    """How a source is read by these identities, in order."""
    (first, known), *others = used
    also = tuple(Also(role.header, its.name) for role, its in others)
    return ImportSpec(mapping, first.header, known.name, columns, consent=consent, country=country, scope=scope,
                      also=also)  # fmt: skip


def _identities(spec: ImportSpec, head: Batch | None, forms: tuple[Form, ...] | None) -> tuple[IdentityColumn, ...]:
    """The columns to match by; how they come as `forms` says, or else as the first batch does."""
    wanted = (Also(spec.on, spec.profile), *spec.also)
    roles = [identity_column(spec.mapping, each.on) for each in wanted]
    check_kinds(roles)
    profiles = [profile(each.profile, role.name) for each, role in zip(wanted, roles, strict=True)]
    found = forms or [first_form(head, role, used) for role, used in zip(roles, profiles, strict=True)]
    return tuple(IdentityColumn(*each) for each in zip(roles, profiles, found, strict=True))


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
