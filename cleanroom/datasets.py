"""The datasets of one node: examined, added, listed, forgotten. What comes back holds counts and names, no value."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.answer.epochs import forget_people
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source, look, plain
from cleanroom.lang import t
from cleanroom.ledger.opening import open_ledger
from connectors.doctor import examine
from connectors.identity import DEFAULT_PROFILE, every_digest, profile
from connectors.importing import Importer, ImportSpec
from connectors.mapping import identity_column
from connectors.memory import ArrowSource
from connectors.open import open_source
from connectors.source import Source
from protocols.rows import to_rows


def open_home(path: Path, *, party: str = "merchant") -> Home:
    """The home at `path` (~ is the user's folder); made at first use."""
    path = path.expanduser()
    return Home.open(path) if (path / "node.json").exists() else Home.create(path, party)


def doctor(file: str, on: str, named: str | None, mapping: str | None) -> dict[str, Any]:
    """Mapping, funnel and advice for a source."""
    source = open_source(file)
    found = examine(source, on, named, look(source, mapping))
    return {
        "source": source.label,
        "notes": [t(template, **params) for template, params in source.notes],
        "columns": [plain(column) for column in found.mapping.columns],
        "preset": found.mapping.preset,
        "funnel": plain(found.funnel),
        "advice": [t(template, **params) for template, params in found.advice],
    }


def add(home: Path, file: str, name: str, on: str, named: str | None, mapping: str | None, features: str | None,
        as_of: str | None, progress: Callable[[str, str, int, int], None]) -> dict[str, Any]:  # fmt: skip
    """Import a source, or the features folded from a source of events, as a new version of the dataset `name`."""
    node = open_home(home)
    wish = Wish(name, file, on, named, mapping, features, as_of, everything=True)
    result = import_source(node, wish, lambda rows: progress(node.party, "import", rows, 0))
    manifest = node.vault.manifest(name)
    with open_ledger(node) as ledger:
        ledger.append("import", {"dataset": name, "manifest": manifest.digest, "rows": manifest.rows})
    return {"home": str(node.path), **result, "version": manifest.version, "forgotten": manifest.tombstoned}


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
            "columns": [{"name": column["name"], "kind": column["kind"]} for column in meta["columns"]],
        })  # fmt: skip
    return {"home": str(node.path), "party": node.party, "datasets": datasets}


def forget(home: Path, people: str, on: str, named: str | None) -> dict[str, Any]:
    """Forget everyone in a file, or on standard input one identity a line, in all datasets and for ever.

    Raw identities are forgotten as every profile writes them; hashed ones only in the form in which they are given.
    """
    node = Home.open(home.expanduser())
    source = _from_stdin(on) if people == "-" else open_source(people)
    mapping = look(source, None)
    identity = identity_column(mapping, on)
    used = profile(named or DEFAULT_PROFILE[identity.name], identity.name)
    importer = Importer(source, ImportSpec(mapping, identity.header, used.name))
    raw = importer.form == "raw"
    parts: list[NDArray[np.uint8]] = []
    others: list[NDArray[np.uint8]] = []
    for batch in importer.batches():
        parts.append(to_rows(batch.column("digest")))
        if raw:  # so that no later file brings them back under another profile, or hashed
            others += every_digest(batch.column(f"o.{identity.header}"), used.kind)
    funnel = importer.funnel()
    if not parts:
        raise UsageError("Nobody was named that could be forgotten.", "Check the file with cleanroom data doctor.")
    digests = np.unique(np.concatenate(parts), axis=0)
    forget_people(node)
    forgotten = node.vault.forget(digests, *others)
    with open_ledger(node) as ledger:
        for name, rows in forgotten.datasets.items():
            ledger.append("forget", {"dataset": name, "persons": rows, "epoch": str(forgotten.epoch)})
    return {
        "persons": len(digests),
        "datasets": dict(forgotten.datasets),
        "losses": plain(funnel.losses),
        "form": importer.form,
    }


def _from_stdin(on: str) -> Source:
    lines = [line.strip() for line in io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig")]
    return ArrowSource("stdin", pa.table({on: pa.array([line for line in lines if line], pa.string())}))
