"""The doctor: one reading of a source, and what its owner could do about every loss.

Texts are templates with counts, row numbers and column names in them; a value of the data never is.
"""

from dataclasses import dataclass

from connectors import identity as identities
from connectors.arrays import no_rows
from connectors.funnel import Funnel
from connectors.identity import DEFAULT_PROFILE, Loss, Repair
from connectors.importing import Importer, ImportSpec, MixedForms, Progress, form_of
from connectors.mapping import ColumnRole, Mapping, identity_column, propose
from connectors.source import Source

Advice = tuple[str, dict[str, object]]

LOSSES: dict[str, str] = {
    Loss.MISSING: "{count} rows have no identity (rows {rows}). Nothing can be matched there.",
    Loss.NO_CONSENT: "{count} rows have no consent (rows {rows}). They are left out and must stay out.",
    Loss.MASKED: "{count} identities are masked, as in 138****1234 (rows {rows}). Export them whole, or as SHA-256.",
    Loss.ROUNDED: "{count} numbers were rounded by a spreadsheet, as in 1.38E+10 (rows {rows}); their digits are lost. "
    "Export again from the source system, with the column as text.",
    Loss.SEVERAL: "{count} cells hold several identities (rows {rows}). Give each a row of its own.",
    Loss.OTHER_CHARACTERS: "{count} phone numbers hold letters or signs (rows {rows}). Correct them at the source.",
    Loss.NOT_MAINLAND: "{count} numbers are not of mainland China (rows {rows}). "
    "Profile e164/1 takes them, if both sides agree on it.",
    Loss.LANDLINE: "{count} numbers are landlines or service numbers (rows {rows}). "
    "Profile e164/1 takes landlines, if both sides agree on it.",
    Loss.LEADING_ZERO: "{count} mobile numbers begin with a 0 (rows {rows}). Export them without it.",
    Loss.TOO_FEW_DIGITS: "{count} numbers have too few digits (rows {rows}). Look for a cut column.",
    Loss.TOO_MANY_DIGITS: "{count} numbers have too many digits (rows {rows}). Look for two numbers run together.",
    Loss.NOT_A_MOBILE: "{count} numbers of eleven digits are no mobiles (rows {rows}). Correct them at the source.",
    Loss.NOT_ASSIGNED: "{count} numbers are in no range used in their country (rows {rows}). Check the country.",
    Loss.NO_COUNTRY: "{count} numbers begin with no country's code (rows {rows}). Check the country.",
    Loss.NOT_AN_EMAIL: "{count} values are no e-mail addresses (rows {rows}). Correct them at the source.",
    Loss.NOT_A_DEVICE: "{count} values are no device ids (rows {rows}). Check that the right column was chosen.",
    Loss.ZERO_ID: "{count} device ids are all zeros (rows {rows}): their users do not allow tracking.",
    Loss.HASH_OF_NOTHING: "{count} values are the hash of an empty text or a zero id (rows {rows}).",
    Loss.HASHED_AMONG_RAW: "{count} identities are hashed, while most are not (rows {rows}). Export all in one form.",
    Loss.RAW_AMONG_HASHED: "{count} identities are not hashed, while most are (rows {rows}). Export all in one form.",
    Loss.MD5_AMONG_SHA256: "{count} identities are MD5, while most are SHA-256 (rows {rows}). Hash all with SHA-256.",
    Loss.SHA256_AMONG_MD5: "{count} identities are SHA-256, while most are MD5 (rows {rows}). Hash all with SHA-256.",
}
"""What each loss means and what to do about it."""

REPAIRS: dict[str, str] = {
    Repair.DECIMAL: "{count} numbers had become decimals in a spreadsheet, as in 13800138000.0; nothing is lost.",
    Repair.SCIENTIFIC: "{count} numbers were in scientific notation with all their digits; nothing is lost.",
    Repair.FULL_WIDTH: "{count} numbers were in full-width characters; nothing is lost.",
    Repair.COUNTRY_CODE: "{count} numbers came with the country code; nothing is lost.",
    Repair.SEPARATORS: "{count} identities had spaces or separators in them; nothing is lost.",
}
"""What was repaired without loss."""

UNREAD: dict[str, str] = {
    "ragged": "{count} rows have more or fewer columns than the header (rows {rows}). "
    "Look for separators or quotation marks inside their texts.",
    "total": "{count} rows are totals and no person (rows {rows}).",
    "note": "{count} rows are notes beside the table (rows {rows}).",
}
"""Rows that a source sets aside."""
_UNREAD = "{count} rows could not be read: {reason} (rows {rows})."
_UNPARSED = "{count} values of column {column} could not be read (rows {rows}) and count as unknown."
_MERGED = "{count} rows belong to a person that another row stands for."
_MD5 = "Column {column} holds MD5 hashes. They match only a side that has MD5 too; SHA-256 is what platforms take."
_SHA256 = "Column {column} is hashed already (SHA-256). It matches only if it was written by profile {profile} before."
_NO_SCOPE = "Column {column} holds open ids. They match only within one app: give its app id on both sides."


@dataclass(frozen=True)
class Examination:
    """What the doctor found: mapping: which column is what; funnel: what became of each row; advice: (English template,
    params), the most rows first."""

    mapping: Mapping
    funnel: Funnel
    advice: tuple[Advice, ...]


def examine(
    source: Source,
    on: str,
    profile: str | None = None,
    mapping: Mapping | None = None,
    *,
    country: str = "CN",
    scope: str = "",
    progress: Progress | None = None,
) -> Examination:
    """Read a whole source and account for every row.

    on: the identity column; profile: by default that of the identity's kind; mapping: by default as proposed.
    Amounts, buckets and dates are read too, so that what cannot be read is counted; where a column holds consents,
    rows without are dropped, as an import does. Raises InputError.
    """
    known = mapping or _proposed(source)
    identity = identity_column(known, on)
    spec = ImportSpec(
        known,
        on,
        profile or DEFAULT_PROFILE[identity.name],
        columns=tuple(role.header for role in known.columns if role.kind in ("amount", "bucket", "date")),
        consent=_consent(known),
        country=country,
        scope=scope,
    )
    funnel = _funnel(source, spec, identity, progress)
    return Examination(known, funnel, _advice(funnel, spec, identity))


def _proposed(source: Source) -> Mapping:
    head = next(iter(source.batches()), None)
    return propose(source.schema, head.table if head else no_rows(source.schema))


def _consent(mapping: Mapping) -> str | None:
    found = mapping.of_kind("consent")
    return found[0].header if found else None


def _funnel(source: Source, spec: ImportSpec, identity: ColumnRole, progress: Progress | None) -> Funnel:
    importer = Importer(source, spec, progress)
    try:
        return _read(importer)
    except MixedForms:
        form = form_of(source, identity, identities.profile(spec.profile))
        return _read(Importer(source, spec, progress, form=form))


def _read(importer: Importer) -> Funnel:
    for _ in importer.batches():
        pass
    return importer.funnel()


def _advice(funnel: Funnel, spec: ImportSpec, identity: ColumnRole) -> tuple[Advice, ...]:
    found: list[Advice] = []
    hashed = sum(rows for shape, rows in funnel.formats.items() if shape in ("64 hex", "32 hex"))
    if funnel.digest_form == "md5":
        found.append((_MD5, {"column": identity.header}))
    elif 2 * hashed > funnel.present:
        found.append((_SHA256, {"column": identity.header, "profile": spec.profile}))
    if identities.profile(spec.profile).kind == "openid" and not spec.scope:
        found.append((_NO_SCOPE, {"column": identity.header}))
    found += [advice_on(funnel, reason) for reason in funnel.losses]
    found += [
        (_UNPARSED, {"count": count, "column": name, "rows": _rows(funnel, f"unparsed:{name}")})
        for name, count in funnel.unparsed.items()
        if count
    ]
    found += [(REPAIRS[name], {"count": count}) for name, count in funnel.repairs.items()]
    return (*found, (_MERGED, {"count": funnel.merged})) if funnel.merged else tuple(found)


def advice_on(funnel: Funnel, reason: str) -> Advice:
    """What the rows lost for one reason mean, and what to do about them."""
    template = LOSSES.get(reason) or UNREAD.get(reason) or _UNREAD
    params: dict[str, object] = {"count": funnel.losses[reason], "rows": _rows(funnel, reason)}
    return template, params | ({"reason": reason} if template == _UNREAD else {})


def _rows(funnel: Funnel, reason: str) -> str:
    """ "3, 8, 9 …", by number."""
    shown = funnel.examples.get(reason, ())
    total = funnel.losses.get(reason, 0) or funnel.unparsed.get(reason.removeprefix("unparsed:"), 0)
    return ", ".join(map(str, shown)) + (" …" if total > len(shown) else "")
