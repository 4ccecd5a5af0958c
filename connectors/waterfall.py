"""Who a row is about, where it may say so in several ways: by its first valid identity, in the order wished.

Every identity is normalised by its own profile and comes in its own form. Where digests of SHA-256 and of MD5 tell
persons of one source apart, those of MD5 end in 16 zero bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrays import Bytes, Flags, flags, is_valid, values_of
from connectors.identity import Profile, digests
from connectors.identity.forms import WIDTHS, Form
from connectors.identity.names import Codes, Loss, code
from connectors.identity.texts import as_texts, is_blank
from connectors.mapping import ColumnRole
from connectors.source import Batch, Source


@dataclass(frozen=True)
class IdentityColumn:
    """A column to match by, the profile by which it is normalised, and how its identities come."""

    role: ColumnRole
    profile: Profile
    form: Form

    @property
    def width(self) -> int:
        """Bytes of a digest."""
        return WIDTHS[self.form]


@dataclass(frozen=True)
class Read:
    """A batch's rows by one identity or by all: digest: fixed_size_binary, null where lost; lost, repaired: codes."""

    digest: pa.FixedSizeBinaryArray
    lost: Codes
    repaired: Codes


def read(column: IdentityColumn, table: pa.RecordBatch, *, country: str, scope: str, refused: Flags | None) -> Read:
    """One identity of each row. refused: which rows lack the consent they need (None: nobody is asked)."""
    values = table.column(column.role.header)
    normal = column.profile.normalise(values, country=country, scope=scope, form=column.form)
    lost = _codes(normal.reason)
    if refused is not None:
        lost = np.where(refused & (lost != code(Loss.MISSING)), code(Loss.NO_CONSENT), lost).astype(np.int8)
    return Read(normal.digest, lost, _codes(normal.repaired))


def first_valid(reads: Sequence[Read]) -> tuple[Read, NDArray[np.int64]]:
    """Each row by the first of its identities that is valid, and the place of that one.

    A row without any is lost as the first identity is that it has something of.
    """
    if len(reads) == 1:
        return reads[0], np.zeros(len(reads[0].lost), np.int64)
    lost = np.stack([one.lost for one in reads])
    valid = lost < 0
    usable: Flags = np.logical_or.reduce(valid, axis=0)
    told = np.where(usable, valid.argmax(axis=0), (lost != code(Loss.MISSING)).argmax(axis=0))
    rows = np.arange(lost.shape[1])
    digest = np.zeros((lost.shape[1], max(one.digest.type.byte_width for one in reads)), np.uint8)
    for place, one in enumerate(reads):
        own = usable & (told == place)
        digest[own, : one.digest.type.byte_width] = as_bytes(one.digest)[own]
    repaired = np.stack([one.repaired for one in reads])[told, rows]
    return Read(digests.fixed(digest, usable), lost[told, rows], repaired), told


def forms_of(source: Source, columns: Sequence[tuple[ColumnRole, Profile]]) -> tuple[Form, ...]:
    """How most of each column's identities come, blank ones aside; reads the whole source."""
    totals: list[dict[Form, int]] = [{"raw": 0, "sha256": 0, "md5": 0} for _ in columns]
    for batch in source.batches():
        for total, (role, used) in zip(totals, columns, strict=True):
            texts = as_texts(batch.table.column(role.header))
            for form, rows in used.count_forms(texts.filter(flags(~is_blank(texts)))).items():
                total[form] += rows
    return tuple(max(total, key=lambda form: total[form]) for total in totals)


def first_form(head: Batch | None, role: ColumnRole, used: Profile) -> Form:
    """How most of the first batch's identities come."""
    return used.form(head.table.column(role.header)) if head else "raw"


def digest_form(form: Form) -> Literal["sha256", "md5"]:
    """What the digests are of identities that come in this form."""
    return "md5" if form == "md5" else "sha256"


def as_bytes(digest: pa.FixedSizeBinaryArray) -> Bytes:
    """uint8[n, width], not copied; what stands at a null is arbitrary."""
    width = digest.type.byte_width
    content = np.frombuffer(digest.buffers()[1], np.uint8)[digest.offset * width :]
    return content[: len(digest) * width].reshape(-1, width)


def _codes(column: pa.DictionaryArray) -> Codes:
    places = column.indices
    return np.where(is_valid(places), values_of(places), -1).astype(np.int8)
