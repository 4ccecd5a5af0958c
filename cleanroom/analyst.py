"""A room from Python, for notebooks: ask in SQL, get an Arrow table with its interval, its chart and its receipt.

from cleanroom.analyst import Room
answer = Room.open("clean", "spring").query("SELECT tier, COUNT(*) FROM matched GROUP BY tier", within="5%")
answer.table, answer.within, answer.chart(), answer.receipt
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa

from cleanroom import planning, querying
from cleanroom.enclave.query import PEOPLE
from cleanroom.lang import t
from cleanroom.layout import titles
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.querying import Answered, Price
from cleanroom.report import charts

_MOST_DRAWN = 60
"""Groups that a picture can hold; a table has all."""


@dataclass(frozen=True)
class Answer:
    """What was asked for, as it was asked for. Amounts and averages are in major units."""

    answered: Answered

    @cached_property
    def table(self) -> pa.Table:
        """The rows as the query selects, orders and limits them."""
        names = list(titles(self.answered.asked.shown))
        columns = {name: [row[name] for row in self.answered.rows] for name in names}
        return pa.table({name: pa.array(values) for name, values in columns.items()})

    @property
    def within(self) -> int | None:
        """Numbers of persons are within ± so many in 95 of 100 answers; None where they are exact."""
        return self.answered.noise["people"] if self.answered.noise else None

    @property
    def widths(self) -> list[dict[str, Any]]:
        """Of every noised number in `table`, row by row, half its 95 % interval."""
        return self.answered.widths

    @property
    def receipt(self) -> SignedReceipt | None:
        """Signed by all parties; None of one's own data, which no other party has a part in."""
        return self.answered.receipt

    @property
    def price(self) -> Price | None:
        """What it cost, if it was not asked before."""
        return self.answered.price

    def said(self) -> str:
        """How exact it is, in the current language."""
        if self.answered.exact:
            return t("Your own data: exact, without charge or receipt.")
        if self.answered.noise is None:
            return t("Noise off: numbers are exact. Groups under {k} persons are withheld.", k=self.answered.k)
        return t("Noise on: numbers of persons are within ± {width} in 95 of 100 cases. Groups are shown from {least} "
                 "on; others may be withheld.", width=self.within, least=self.answered.noise["least"])  # fmt: skip

    def chart(self, title: str = "") -> charts.Picture:
        """People by group: bars, or a heat table by two columns. It says where noise is off."""
        by, release = [name for name in self.answered.release.column_names if "." in name], self.answered.release
        by = [name for name in by if pa.types.is_string(release.schema.field(name).type)]
        rows = release.slice(0, _MOST_DRAWN).to_pylist()
        exact = self.answered.noise is None and not self.answered.exact
        title = title or t("People of {table}", table=self.answered.asked.table)
        unit = t("people") if self.within is None else f"{t('people')}, ± {self.within}"
        if len(by) == 2:
            cells = [charts.Cell(t(row[by[0]]), t(row[by[1]]), row[PEOPLE]) for row in rows]
            return charts.heat(f"{title} ({unit})", cells, rows=by[0], columns=by[1], noise_off=exact)
        bars = [charts.Bar(" · ".join(t(row[name]) for name in by) or t("everybody"), row[PEOPLE]) for row in rows]
        return charts.bars(title, bars, unit=unit, noise_off=exact)

    def _repr_html_(self) -> str:
        """The table, and how exact it is."""
        names = self.table.column_names
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        cells = (self.table.column(name).to_pylist() for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape('' if value is None else str(value))}</td>" for value in row) + "</tr>"
            for row in zip(*cells, strict=True)
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{escape(self.said())}</p>"


@dataclass(frozen=True)
class Room:
    """A room of a home on this machine."""

    home: Path
    name: str

    @classmethod
    def open(cls, home: Path | str, name: str) -> "Room":
        """Raises UsageError or BadData where there is no such home or room."""
        path = Path(home).expanduser()
        querying.opened(path, name)
        return cls(path, name)

    def query(self, sql: str = "", *, within: str | None = None, template: str | None = None,
              values: Mapping[str, str] | None = None) -> Answer:  # fmt: skip
        """Ask. within: how exact counts must be, as '30' persons or '5%'; template: by its name, with its values.

        Raises QueryRefused at its place in the text, Refused for what the room does not release or can no longer pay.
        """
        home, room = querying.opened(self.home, self.name)
        asked, digest = querying.understand(home, room, sql, template, values)
        return Answer(querying.ask(home, room, asked, within=within, template=digest, values=values))

    def dry_run(self, sql: str, *, within: str | None = None) -> dict[str, Any]:
        """How a question is understood, and what it would cost; nothing is computed."""
        return querying.answer(self.home, self.name, sql, dry_run=True, within=within)

    def plan(self, sql: str) -> dict[str, Any]:
        """Counts from the newest plan: free. `cleanroom plan make` makes one."""
        return planning.read(self.home, self.name, sql)
