"""The doctor: one reading of a source, and what its owner could do about every loss.

Texts are templates with counts, row numbers and column names in them; a value of the data never is.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

from connectors import identity as identities
from connectors.arrays import Ints, no_rows
from connectors.funnel import EXAMPLES, Funnel, KindFunnel, WaterfallFunnel
from connectors.identity import DEFAULT_PROFILE, Loss, Profile, Repair
from connectors.identity.forms import Form
from connectors.importing import Importer, MixedForms, Progress, Used, spec_of
from connectors.mapping import ColumnRole, Mapping, identity_columns, propose
from connectors.merging import MOST_SHARED
from connectors.shared import Shared
from connectors.source import Source
from connectors.waterfall import forms_of

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
_NONE = "{count} rows have none (rows {rows}). Only their other identities can match."
_NOBODY = "{count} rows have no valid identity of any kind. Nothing can be matched there."
_SHARED = (
    "{count} persons have one that more than {most} persons share (rows {rows}). It is a placeholder, most likely: "
    "leave it out at the source. It can match only once."
)
_NO_SCOPE = "Column {column} holds open ids. They match only within one app: give its app id on both sides."


@dataclass(frozen=True)
class Examination:
    """What the doctor found: mapping: which column is what; funnel: what became of each row; advice: (English template,
    params), the most rows first; by_kind: where there are several identities, the advice on each by its kind."""

    mapping: Mapping
    funnel: Funnel
    advice: tuple[Advice, ...]
    by_kind: dict[str, tuple[Advice, ...]] = field(default_factory=dict)


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

    on: the identity column, or several between commas, in order; profile: of every one of them, by default that of the
    identity's kind; mapping: by default as proposed.
    Amounts, buckets and dates are read too, so that what cannot be read is counted; where a column holds consents,
    rows without are dropped, as an import does. Raises InputError.
    """
    known = mapping or _proposed(source)
    used = tuple(
        (role, identities.profile(profile or DEFAULT_PROFILE[role.name], role.name))
        for role in identity_columns(known, on)
    )
    columns = tuple(role.header for role in known.columns if role.kind in ("amount", "bucket", "date"))
    spec = spec_of(known, used, columns=columns, consent=_consent(known), country=country, scope=scope)
    try:
        importer = Importer(source, spec, progress)
        shared = _read(importer)
    except MixedForms:
        importer = Importer(source, spec, progress, form=forms_of(source, used))
        shared = _read(importer)
    with shared:
        return _examination(known, used, importer, shared, scope)


def _examination(known: Mapping, used: Used, importer: Importer, shared: Shared, scope: str) -> Examination:
    funnel, scopes = importer.funnel(), (scope, *("" for _ in used[1:]))
    if not isinstance(funnel, WaterfallFunnel):
        return Examination(known, funnel, _advice(funnel, used[0], scope))
    by_kind = {
        one.kind: (*_on_kind(one, each, form, scope), *_on_shared(shared.rows(one.kind, importer.keep())))
        for one, each, form, scope in zip(funnel.kinds, used, importer.forms, scopes, strict=True)
    }
    return Examination(known, funnel, _on_rows(funnel), by_kind)


def _proposed(source: Source) -> Mapping:
    head = next(iter(source.batches()), None)
    return propose(source.schema, head.table if head else no_rows(source.schema))


def _consent(mapping: Mapping) -> str | None:
    found = mapping.of_kind("consent")
    return found[0].header if found else None


def _read(importer: Importer) -> Shared:
    """The whole source; found on the way: who shares which further identity."""
    kinds = [name.removeprefix("i.") for name in importer.schema.names if name.startswith("i.")][1:]
    with ExitStack() as failed:
        found = failed.enter_context(Shared(kinds))
        for batch in importer.batches():
            found.add(batch)
        failed.pop_all()
    return found


def _advice(funnel: Funnel, used: tuple[ColumnRole, Profile], scope: str) -> tuple[Advice, ...]:
    hashed = sum(rows for shape, rows in funnel.formats.items() if shape in ("64 hex", "32 hex"))
    form: Form = funnel.digest_form if funnel.digest_form == "md5" or 2 * hashed > funnel.present else "raw"
    found = _on_column(*used, form, scope)
    found += [advice_on(funnel, reason) for reason in funnel.losses]
    found += _on_values(funnel)
    found += [(REPAIRS[name], {"count": count}) for name, count in funnel.repairs.items()]
    return (*found, *_on_merged(funnel))


def _on_rows(funnel: Funnel) -> tuple[Advice, ...]:
    """Where there are several identities: what is not one identity's matter."""
    whole = [name for name in funnel.losses if name not in LOSSES or name == Loss.NO_CONSENT]
    found = [advice_on(funnel, reason) for reason in whole]
    nobody = sum(funnel.losses.values()) - sum(funnel.losses[name] for name in whole)
    if nobody:
        found.append((_NOBODY, {"count": nobody}))
    return (*found, *_on_values(funnel), *_on_merged(funnel))


def _on_kind(account: KindFunnel, used: tuple[ColumnRole, Profile], form: Form, scope: str) -> list[Advice]:
    """What one of several identities loses, its rows without consent aside: those are no identity's matter."""
    found = _on_column(*used, form, scope)
    for reason, count in account.losses.items():
        if reason == Loss.MISSING:
            found.append((_NONE, {"count": count, "rows": _rows(account, reason)}))
        elif reason != Loss.NO_CONSENT:
            found.append(advice_on(account, reason))
    return found + [(REPAIRS[name], {"count": count}) for name, count in account.repairs.items()]


def _on_shared(rows: Ints) -> list[Advice]:
    shown = ", ".join(map(str, rows[:EXAMPLES].tolist())) + (" …" if len(rows) > EXAMPLES else "")
    return [(_SHARED, {"count": len(rows), "most": MOST_SHARED, "rows": shown})] if len(rows) else []


def _on_column(identity: ColumnRole, profile: Profile, form: Form, scope: str) -> list[Advice]:
    """What an identity column says as a whole."""
    found: list[Advice] = []
    if form == "md5":
        found.append((_MD5, {"column": identity.header}))
    elif form == "sha256":
        found.append((_SHA256, {"column": identity.header, "profile": profile.name}))
    if profile.kind == "openid" and not scope:
        found.append((_NO_SCOPE, {"column": identity.header}))
    return found


def _on_values(funnel: Funnel) -> list[Advice]:
    return [
        (_UNPARSED, {"count": count, "column": name, "rows": _rows(funnel, f"unparsed:{name}")})
        for name, count in funnel.unparsed.items()
        if count
    ]


def _on_merged(funnel: Funnel) -> list[Advice]:
    return [(_MERGED, {"count": funnel.merged})] if funnel.merged else []


def advice_on(funnel: Funnel | KindFunnel, reason: str) -> Advice:
    """What the rows lost for one reason mean, and what to do about them."""
    template = LOSSES.get(reason) or UNREAD.get(reason) or _UNREAD
    params: dict[str, object] = {"count": funnel.losses[reason], "rows": _rows(funnel, reason)}
    return template, params | ({"reason": reason} if template == _UNREAD else {})


def _rows(funnel: Funnel | KindFunnel, reason: str) -> str:
    """ "3, 8, 9 …", by number."""
    shown = funnel.examples.get(reason, ())
    total = funnel.losses.get(reason, 0)
    if isinstance(funnel, Funnel):
        total = total or funnel.unparsed.get(reason.removeprefix("unparsed:"), 0)
    return ", ".join(map(str, shown)) + (" …" if total > len(shown) else "")
