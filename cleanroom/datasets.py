"""The datasets of one node: examined, added, listed, forgotten. What comes back holds counts and names, no value."""

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from cleanroom.activation.keeping import forget_people as forget_members
from cleanroom.answer.epochs import forget_people
from cleanroom.answer.slot_renewal import renew
from cleanroom.answer.slot_store import forget_slots
from cleanroom.crowds.lists import forget_lists
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source, look, plain, with_profiles
from cleanroom.lang import t
from cleanroom.ledger.opening import open_ledger
from cleanroom.vault import placing
from cleanroom.vault.identities import Bytes, as_bytes, identity_columns
from connectors.doctor import examine
from connectors.identity import every_digest
from connectors.identity.forms import Form
from connectors.importing import Importer, Used, spec_of
from connectors.mapping import Mapping
from connectors.memory import ArrowSource
from connectors.open import open_source
from connectors.source import Source


def open_home(path: Path, *, party: str = "merchant") -> Home:
    """The home at `path` (~ is the user's folder); made at first use."""
    path = path.expanduser()
    return Home.open(path) if (path / "node.json").exists() else Home.create(path, party)


def doctor(file: str, on: str, named: str | None, mapping: str | None) -> dict[str, Any]:
    """Mapping, funnel and advice for a source; where `on` names several identities, what is to do about each too."""
    source = open_source(file)
    found = examine(source, on, named, look(source, mapping))
    advice = [t(template, **params) for template, params in found.advice]
    for identity, own in found.by_kind.items():
        advice += [t("{identity}: {advice}", identity=t(identity), advice=t(text, **params)) for text, params in own]
    return {
        "source": source.label,
        "notes": [t(template, **params) for template, params in source.notes],
        "columns": [plain(column) for column in found.mapping.columns],
        "preset": found.mapping.preset,
        "funnel": plain(found.funnel),
        "advice": advice,
    }


def add(home: Path, file: str, name: str, on: str, named: str | None, mapping: str | Mapping | None,
        features: str | None, as_of: str | None, progress: Callable[[str, str, int, int], None], *,
        users: str | None = None, label: str = "") -> dict[str, Any]:  # fmt: skip
    """Import a source, or the features folded from a source of events, as a new version of the dataset `name`.

    users: the users' table beside events that are folded to the standard columns; label: what the source is called.
    """
    node = open_home(home)
    wish = Wish(name, file, on, named, mapping, features, as_of, everything=True, users=users,
                label=label)  # fmt: skip
    result = import_source(node, wish, lambda rows: progress(node.party, "import", rows, 0))
    manifest = node.vault.manifest(name)
    with open_ledger(node) as ledger:
        ledger.append("import", {"dataset": name, "manifest": manifest.digest, "rows": manifest.rows})
    renew(node, name, lambda stage, done, rows: progress(node.party, stage, done, rows))
    return {"home": str(node.path), **result, "version": manifest.version, "forgotten": manifest.tombstoned}


def place(home: Path, address: str, rows: int) -> dict[str, Any]:
    """Let the datasets of a home without any stand at an address. Raises UsageError where that is too late."""
    found = placing.place(home.expanduser() / "vault", address, rows)
    return {"home": str(home), "place": found.uri, "partitions": found.partitions}


def listed(home: Path) -> dict[str, Any]:
    """The datasets of a home."""
    node = Home.open(home.expanduser())
    datasets = []
    for name in node.vault.datasets():
        manifest = node.vault.manifest(name)
        meta: Any = manifest.meta
        datasets.append({
            "name": name, "version": manifest.version, "rows": manifest.rows, "created": manifest.created,
            "identity": meta["identity"], "profile": meta["profile"], "source": meta["source"],
            "also": [{"identity": one["identity"], "profile": one["profile"]} for one in meta.get("also", [])],
            "columns": [{"name": column["name"], "kind": column["kind"]} for column in meta["columns"]],
        })  # fmt: skip
    return {"home": str(node.path), "party": node.party, "datasets": datasets}


def forget(home: Path, people: str, on: str, named: str | None) -> dict[str, Any]:
    """Forget everyone in a file, or on standard input one identity a line, in all datasets and for ever.

    A person whom a dataset knows by several identities is forgotten by any of them, and then by all but placeholders
    ("shared": how many of those were left alone).
    Raw identities are forgotten as every profile writes them; hashed ones only in the form in which they are given.
    """
    node = Home.open(home.expanduser())
    return forget_named(node, _from_stdin(on) if people == "-" else open_source(people), on, named)


def forget_named(node: Home, source: Source, on: str, named: str | None) -> dict[str, Any]:
    """The same for everyone in a source. Raises UsageError where it names nobody."""
    mapping = look(source, None)
    used = with_profiles(mapping, on, named)
    importer = Importer(source, spec_of(mapping, used))
    digests = [some for batch in importer.batches() for some in _every_digest(batch, used, importer.forms)]
    funnel = importer.funnel()
    if not funnel.unique:
        raise UsageError("Nobody was named that could be forgotten.", "Check the file with cleanroom data doctor.")
    forget_people(node)
    forget_slots(node)
    forgotten = node.vault.forget(*digests)
    forget_members(node)
    forget_lists(node)
    forget_people(node)  # what a run kept that went on meanwhile
    forget_slots(node)
    with open_ledger(node) as ledger:
        for name, rows in forgotten.datasets.items():
            ledger.append("forget", {"dataset": name, "persons": rows, "epoch": str(forgotten.epoch)})
    return {
        "persons": funnel.unique,
        "datasets": dict(forgotten.datasets),
        "shared": forgotten.shared,
        "epoch": forgotten.epoch,
        "losses": plain(funnel.losses),
        "form": next((form for form in importer.forms if form != "raw"), "raw"),
    }


def _every_digest(batch: pa.RecordBatch, used: Used, forms: Sequence[Form]) -> list[Bytes]:
    """All identities of a batch; raw ones in every form, so that no later file brings them back in another."""
    found = []
    for name, (role, known), form in zip(identity_columns(batch.schema.names), used, forms, strict=True):
        found.append(as_bytes(batch.column(name).drop_null()))
        if form == "raw":
            found += every_digest(batch.column(f"o.{role.header}"), known.kind)
    return found


def _from_stdin(on: str) -> Source:
    if set(on) & set(",，"):
        raise UsageError("Standard input holds one kind of identity.", "Name one, as in --on phone.")
    lines = [line.strip() for line in io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig")]
    return ArrowSource("stdin", pa.table({on: pa.array([line for line in lines if line], pa.string())}))
