"""The datasets of a home in a notebook: examined, added from files or frames, listed, forgotten. Counts and names only.

A frame goes into the vault through memory that has no name on any disk.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import pyarrow as pa

from cleanroom import datasets
from cleanroom.api import html
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.terminal.reasons import kind, reason
from connectors.memory import ArrowSource

if TYPE_CHECKING:
    import pandas as pd

Source = Union[Path, str, pa.Table, "pd.DataFrame"]


@dataclass(frozen=True)
class Funnel:
    """Where each row of a source went: how many, never which. advice: what to do about what was lost.

    Example: `cr.Dataset.doctor("members.csv").advice`.
    """

    plain: Mapping[str, Any]
    columns: Sequence[Mapping[str, Any]] = ()
    advice: Sequence[str] = ()

    @property
    def unique(self) -> int:
        """Persons."""
        return int(self.plain["unique"])

    def __repr__(self) -> str:
        told = self.plain
        return f"<Funnel: {told['rows']:,} rows, {told['valid']:,} usable, {told['unique']:,} persons>"

    def _repr_html_(self) -> str:
        told = self.plain
        rows = [(t("Rows"), told["rows"]), *((f"− {t(reason(name))}", count) for name, count in told["losses"].items()),
                (t("Usable"), told["valid"]), (f"− {t('Repeated')}", told["merged"]),
                (t("Persons"), told["unique"])]  # fmt: skip
        columns = [(each["header"], each["name"], kind(each["kind"])) for each in self.columns]
        heads = (t("column"), t("taken as"), t("kind"))
        return html.box(html.table((t("step"), t("rows")), rows),
                        html.table(heads, columns) if columns else "",
                        html.title(t("What to do")) + html.items(self.advice) if self.advice else "")  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """One dataset of a home, encrypted in its vault.

    Example::

        crm = cr.Dataset.add("~/merchant", "members.csv", "crm")
        crm.funnel
    """

    home: Path
    name: str

    @classmethod
    def open(cls, home: Path | str, name: str) -> "Dataset":
        """Raises UsageError where there is no such home or dataset."""
        path = Path(home).expanduser()
        Home.open(path).vault.manifest(name)
        return cls(path, name)

    @classmethod
    def list(cls, home: Path | str) -> "Sequence[Dataset]":
        """All of a home."""
        path = Path(home).expanduser()
        return [cls(path, each["name"]) for each in datasets.listed(path)["datasets"]]

    @classmethod
    def doctor(cls, source: Source, on: str = "phone", *, mapping: str | None = None) -> Funnel:
        """Look at a source before it is added: what its columns are taken for, what is lost, and what to do."""
        with _named(source) as file:
            found = datasets.doctor(file, on, None, mapping)
        return Funnel(found["funnel"], tuple(found["columns"]), tuple(found["advice"]))

    @classmethod
    def add(cls, home: Path | str, source: Source, name: str, on: str = "phone", *, mapping: str | None = None,
            features: str | None = None, as_of: str | None = None, users: str | None = None) -> "Dataset":  # fmt: skip
        """Import a file, an address, an Arrow table or a pandas frame as the dataset's next version.

        The home is made at first use. Raises InputError for what cannot be read or used; the version before stays then.
        """
        path = Path(home).expanduser()
        with _named(source, f"{name}.arrow") as file:
            datasets.add(path, file, name, on, None, mapping, features, as_of, lambda *_: None, users=users)
        return cls(path, name)

    @staticmethod
    def forget(home: Path | str, people: Source, on: str = "phone") -> dict[str, Any]:
        """Forget everybody in a file or frame, in all datasets of the home and for ever: how many, by dataset."""
        with _named(people) as file:
            return datasets.forget(Path(home), file, on, None)

    @property
    def plain(self) -> dict[str, Any]:
        """Version, persons, identities and columns, as `cleanroom data list --json` has them."""
        return next(each for each in datasets.listed(self.home)["datasets"] if each["name"] == self.name)

    @property
    def rows(self) -> int:
        """Persons."""
        return int(self.plain["rows"])

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(each["name"] for each in self.plain["columns"])

    @property
    def funnel(self) -> Funnel:
        """What became of the rows of the newest version's source."""
        meta: Any = Home.open(self.home).vault.manifest(self.name).meta
        return Funnel(meta["funnel"], tuple(meta["columns"]))

    def __repr__(self) -> str:
        return f"<Dataset {self.name}: {self.rows:,} persons>"

    def _repr_html_(self) -> str:
        told = self.plain
        facts = {t("dataset"): f"{told['name']}, {t('version')} {told['version']}", t("persons"): f"{told['rows']:,}",
                 t("matched by"): t(told["identity"]), t("added"): told["created"][:10]}  # fmt: skip
        columns = [(each["name"], kind(each["kind"])) for each in told["columns"]]
        return html.box(html.facts(facts), html.table((t("column"), t("kind")), columns))


@contextmanager
def _named(source: Source, name: str = "table.arrow") -> Iterator[str]:
    """What `open_source` can open: a path as it is; a frame under a name that leads to memory alone."""
    if isinstance(source, Path | str):
        yield str(Path(source).expanduser() if isinstance(source, Path) else source)
        return
    if not hasattr(os, "memfd_create"):
        raise UsageError("Frames can be added on Linux alone.", "Write them to a Parquet file, and add that.")
    schema, handle = ArrowSource(name, source).schema, os.memfd_create("cleanroom")
    try:
        table = source if isinstance(source, pa.Table) else pa.Table.from_pandas(source, schema, preserve_index=False)
        with pa.OSFile(f"/proc/self/fd/{handle}", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table.replace_schema_metadata(None))
        with tempfile.TemporaryDirectory(prefix="cleanroom-") as folder:
            link = Path(folder) / name
            link.symlink_to(f"/proc/self/fd/{handle}")
            yield str(link)
    finally:
        os.close(handle)
