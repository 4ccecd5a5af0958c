"""From a source into the vault: identities normalised, columns typed, duplicates merged, every row accounted for."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.vault.manifest import Manifest
from cleanroom.vault.parts import Finish
from cleanroom.warming import is_warm
from connectors.arrays import Flags, no_rows
from connectors.doctor import advice_on
from connectors.errors import InputError
from connectors.events import FoldedSource, fold
from connectors.features import load_features
from connectors.folders import size_of
from connectors.funnel import Funnel
from connectors.headers import Kind
from connectors.identity import DEFAULT_PROFILE, Profile, profile
from connectors.identity.digests import set_sha256
from connectors.identity.forms import Form
from connectors.importing import Importer, MixedForms, Used, spec_of
from connectors.mapping import ColumnRole, Mapping, identity_columns, load_mapping, propose
from connectors.open import open_source
from connectors.private_domain.folding import PrivateDomain
from connectors.private_domain.opening import open_domain
from connectors.private_domain.settings import BUILT_IN, Settings, is_settings, load_settings
from connectors.source import Source
from connectors.waterfall import digest_form, forms_of

SAMPLE_ROWS = 5_000
"""Rows whose content may tell what a column is, where its header does not."""
MANY_BYTES = 100 << 20
"""Of a file that is worth loading the kernels for."""


@dataclass(frozen=True)
class Wish:
    """What is to be imported, and how.

    on: the identity, or several between commas, of which the first valid one tells who a row is about; profile: of
    every identity that is named, so it must know all their kinds (None: each kind's own); mapping: a TOML's path, or
    all columns' roles; label: what the source is called in the vault, otherwise its own.
    """

    dataset: str
    source: str
    on: str = "phone"
    profile: str | None = None
    mapping: str | Mapping | None = None
    features: str | None = None
    as_of: str | None = None
    by: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    everything: bool = False
    users: str | None = None
    label: str = ""


def open_wish(wish: Wish, scratch: Path | None = None) -> Source:
    """The source, or what its events fold to where features are declared: one row a user.

    scratch: a folder in which a large fold may set rows aside, sealed.
    """
    if wish.features == BUILT_IN or (wish.features and is_settings(Path(wish.features))):
        settings = Settings() if wish.features == BUILT_IN else load_settings(Path(wish.features))
        return open_domain(wish.source, as_day(wish.as_of), settings, on=wish.on, users=wish.users, scratch=scratch)
    if wish.users:
        raise UsageError("A users' table goes with the features {name}.", "Add --features {name}.", name=BUILT_IN)
    source = open_source(wish.source)
    return fold(source, load_features(Path(wish.features)), as_day(wish.as_of)) if wish.features else source


def look(source: Source, mapping: str | Mapping | None) -> Mapping:
    """What each column of the source is taken for; a TOML mapping at the path `mapping` has the last word."""
    if isinstance(mapping, Mapping):
        return mapping
    first = next(iter(source.batches()), None)
    sample = first.table.slice(0, SAMPLE_ROWS) if first is not None else no_rows(source.schema)
    overrides = load_mapping(Path(mapping)) if mapping else None
    if isinstance(source, PrivateDomain):
        overrides = _declared(source, overrides)
    return propose(source.schema, sample, overrides)


def _declared(source: PrivateDomain, overrides: Mapping | None) -> Mapping:
    """The standard columns as they are; whoever wrote a mapping has the last word."""
    said = {role.header: role for role in overrides.columns} if overrides else {}
    known = {header: ColumnRole(header, *kind, "override") for header, kind in source.kinds.items()}
    return Mapping(tuple({**known, **said}.values()))


def import_source(home: Home, wish: Wish, progress: Any = None) -> dict[str, Any]:
    """Put a source into the vault as a new version of the dataset; what came of it, without one value of the data."""
    source = open_wish(wish, home.path)
    _hash_by_kernels(wish.source)
    mapping = look(source, wish.mapping)
    used = with_profiles(mapping, wish.on, wish.profile)
    mapping = with_kinds(mapping, wish)
    spec = spec_of(mapping, used, columns=typed_columns(mapping, wish), consent=_consent(mapping))
    sums = tuple(mapping.find(name) for name in wish.sums)
    common = {
        "source": wish.label or source.label,
        **_named(*used[0]),
        "columns": [{"header": c.header, "name": c.name, "kind": c.kind} for c in mapping.columns],
        **_of_events(source, wish),
    }
    try:
        importer = Importer(source, spec, progress, scratch=home.path)
        manifest = _write(home, wish.dataset, importer, used, sums, common)
    except MixedForms:  # the first rows misled: look at all of them, then read again
        importer = Importer(source, spec, progress, form=forms_of(source, used), scratch=home.path)
        manifest = _write(home, wish.dataset, importer, used, sums, common)
    return {"dataset": wish.dataset, "rows": manifest.rows, **manifest.meta}


def _of_events(source: Source, wish: Wish) -> dict[str, Any]:
    """Of folded events: the report date, and what was left out, by reason."""
    if not isinstance(source, FoldedSource | PrivateDomain):
        return {}
    return {"as_of": as_day(wish.as_of).isoformat(), "events_left_out": dict(source.losses)}


def with_profiles(mapping: Mapping, on: str, named: str | None) -> Used:
    """The columns to match by, in order, and the profile of each: the one named, or else its kind's own.

    Raises InputError for what is no identity or comes twice, UsageError for a profile that lacks one of the kinds.
    """
    roles = identity_columns(mapping, on)
    for role in roles:
        chosen = profile(named or DEFAULT_PROFILE.get(role.name, ""))
        if role.name not in chosen.kinds:
            raise UsageError(
                "The profile {profile} is for {kind}, not for {other}.", "Choose another --profile.",
                profile=chosen.name, kind=", ".join(chosen.kinds), other=role.name,
            )  # fmt: skip
    return tuple((role, profile(named or DEFAULT_PROFILE[role.name], role.name)) for role in roles)


def _named(identity: ColumnRole, used: Profile) -> dict[str, Any]:
    """An identity as the manifest has it."""
    return {"identity": identity.name, "profile": used.name, "profile_digest": used.digest()}


def _hash_by_kernels(source: str) -> None:
    """For a file of many rows, where the kernels are compiled: they hash an identity in 50 ns, DuckDB in 500."""
    if size_of(source) > MANY_BYTES and is_warm("hashing"):
        from protocols.kernels import digests as kernels

        set_sha256(kernels.sha256)


def _write(home: Home, dataset: str, importer: Importer, used: Used, sums: Sequence[ColumnRole],
           common: dict[str, Any]) -> Manifest:  # fmt: skip
    def meta() -> dict[str, Any]:
        funnel = importer.funnel()
        _refuse_useless(funnel, sums, common["source"])  # before the version is there: the vault keeps what it had
        return {**common, **_also(used, importer.forms), "funnel": plain(funnel)}

    def finish(stored: Flags | None) -> Finish:
        importer.leave_out(stored)
        amounts = importer.merged() or {}
        return Finish(importer.keep(), {f"t.{name}": values for name, values in amounts.items()})

    return home.vault.write(dataset, importer.schema, importer.batches(), meta=meta, finish=finish)


def _also(used: Used, forms: Sequence[Form]) -> dict[str, Any]:
    """The further identities as the manifest has them; nothing where there are none."""
    further = [
        {**_named(*each), "digest_form": digest_form(form)} for each, form in zip(used[1:], forms[1:], strict=True)
    ]
    return {"also": further} if further else {}


def _refuse_useless(funnel: Funnel, sums: Sequence[ColumnRole], source: str) -> None:
    """Raises InputError where no row is left, or a column that is to be summed holds no amounts."""
    if not funnel.rows:
        raise InputError("{source} has column names but no rows.", "Export it again with at least one row.",
                         source=source)  # fmt: skip
    if not funnel.valid:
        hint, params = advice_on(funnel, next(iter(funnel.losses)))
        raise InputError("None of the {total} rows of {source} can be used.", hint,
                         **{**params, "total": funnel.rows, "source": source})  # fmt: skip
    for column in sums:
        if 2 * funnel.unparsed.get(column.name, 0) > funnel.valid:
            rows = ", ".join(map(str, funnel.examples[f"unparsed:{column.name}"]))
            raise InputError(
                "Most values of column {column} are no amounts (rows {rows} …).", "Sum another column.",
                column=column.header, rows=rows,
            )  # fmt: skip


def _consent(mapping: Mapping) -> str | None:
    """The column whose yes every row needs, where the source has one."""
    found = mapping.of_kind("consent")
    return found[0].header if found else None


def with_kinds(mapping: Mapping, wish: Wish) -> Mapping:
    """The mapping with the kinds that the question needs: what is summed is an amount, what groups is not."""
    sums = {mapping.find(name).header for name in wish.sums}
    groups = {mapping.find(name).header for name in wish.by}
    columns = []
    for column in mapping.columns:
        needed: Kind = column.kind
        if column.header in sums:
            needed = "amount"
        elif column.header in groups:
            needed = {"amount": "bucket", "handle": "category", "ignore": "category"}.get(needed, needed)  # type: ignore[assignment]
        columns.append(dataclasses.replace(column, kind=needed))
    return dataclasses.replace(mapping, columns=tuple(columns))


def typed_columns(mapping: Mapping, wish: Wish) -> tuple[str, ...]:
    """Names of the columns to be typed: those the question needs, or all that a contract could use."""
    if wish.everything:
        return tuple(c.name for c in mapping.columns if c.kind in ("category", "bucket", "amount", "date"))
    return tuple(dict.fromkeys(mapping.find(name).name for name in (*wish.by, *wish.sums)))


def as_day(as_of: str | None) -> dt.date:
    """The day meant: by default yesterday (T-1) as days are in China. Raises UsageError."""
    if as_of is None:
        return (dt.datetime.now(dt.UTC) + dt.timedelta(hours=8)).date() - dt.timedelta(days=1)
    try:
        return dt.date.fromisoformat(as_of)
    except ValueError as error:
        raise UsageError("{given} is not a day.", "Write it as 2026-01-31.", given=as_of) from error


def plain(value: Any) -> Any:
    """Dataclasses, tuples and numbers as canonical JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
