"""A release as its asker has it: the table, how exact it is, what it cost, the receipt, the picture.

It holds what was released to this party and nothing else; laying it out again, drawing and saving it are free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from cleanroom.api import html
from cleanroom.api.figures import Answers, Chart
from cleanroom.enclave.query import PEOPLE
from cleanroom.files import write_bytes
from cleanroom.lang import t
from cleanroom.layout import titles
from cleanroom.ledger import computed as words
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.querying import Answered, Price

_MOST_DRAWN = 60
"""Groups that a picture can hold; a table has all."""

__all__ = ["Answers", "Priced", "Receipt", "Release"]


@dataclass(frozen=True)
class Receipt:
    """Signed proof of one release, which its parties and an auditor can check.

    Example: `answer.receipt.save("receipt.json")`, then `cleanroom audit verify receipt.json`.
    """

    signed: SignedReceipt

    @property
    def digest(self) -> str:
        """SHA-256 in hex: what was signed, and what ledgers hold."""
        return self.signed.receipt.digest()

    @property
    def signers(self) -> tuple[str, ...]:
        """The parties that signed it."""
        return tuple(sorted(self.signed.signatures))

    def plain(self) -> dict[str, Any]:
        """As canonical JSON: the question, datasets, rules, recipients; none of the answer."""
        return self.signed.receipt.plain()

    def save(self, path: Path | str) -> Path:
        """Write its file."""
        path = Path(path).expanduser()
        write_bytes(path, self.signed.encode())
        return path

    def __repr__(self) -> str:
        return f"<Receipt {self.digest[:16]}…, signed by {', '.join(self.signers)}>"

    def _repr_html_(self) -> str:
        receipt = self.signed.receipt
        noise = "" if not receipt.rules.sigma else f", σ = {receipt.rules.sigma}"
        computed, params = words.computed(receipt.isolation)
        told = {
            t("Receipt"): self.digest,
            t("Room"): receipt.room,
            t("time (UTC)"): receipt.time,
            t("Asked by columns"): ", ".join((*receipt.by, *receipt.sums)) or t("everybody"),
            t("Datasets"): ", ".join(f"{each.name} ({each.rows:,})" for each in receipt.datasets),
            t("Rules"): f"k = {receipt.rules.k}{noise}",
            t("Computed"): t(computed, **params),
            t("Charged"): t("ρ {cost} to each dataset", cost=f"{receipt.rho_micro / 1e6:g}"),
            t("Signed by"): ", ".join(t(name) for name in self.signers),
        }
        return html.box(html.facts(told))


@dataclass(frozen=True)
class Priced:
    """What a question would cost; nothing was asked. price: None where it costs nothing; understood: the people meant,
    the columns and the condition, as the gate reads them.

    Example: `room.price("SELECT COUNT(*) FROM matched", within="5%").epsilon`.
    """

    price: Price | None
    understood: Mapping[str, Any]

    @property
    def epsilon(self) -> float:
        """Of this question alone; 0 where it costs nothing."""
        return 0.0 if self.price is None else float(self.price.plain()["epsilon"])

    @property
    def within(self) -> int | None:
        """Half the 95 % interval of a count, in persons."""
        return None if self.price is None else self.price.people

    @property
    def questions_left(self) -> int | None:
        """How many more such questions this month's budget pays for."""
        return None if self.price is None else int(self.price.plain()["questions_left"])

    def said(self) -> str:
        """In words, in the current language."""
        if self.price is None:
            return t("It costs nothing.")
        told = self.price.plain()
        text = t("ε {epsilon} for counts within ± {width} persons; about {count} questions like this one are left this "
                 "month", epsilon=f"{told['epsilon']:g}", width=told["people"],
                 count=f"{told['questions_left']:,}")  # fmt: skip
        for name, width in told["sums"].items():
            text += t("; sums of {column} within ± {width}", column=name, width=f"{width:,.2f}")
        return text

    def __repr__(self) -> str:
        return f"<Priced: {self.said()}>"

    def _repr_html_(self) -> str:
        read = self.understood
        table, by = " + ".join(read.get("over", ())) or read["table"], ", ".join(read["by"]) or t("everybody")
        boxes = (t(" and ").join(f"{name}: {' | '.join(map(t, labels))}" for name, labels in box.items())
                 for box in read["where"])  # fmt: skip
        told = {t("Understood as"): t("people of {table}, by {columns}", table=table, columns=by),
                t("Of whom"): t(", or ").join(boxes), t("Summed"): ", ".join(read["sums"]),
                t("Price"): self.said()}  # fmt: skip
        shown = {name: text for name, text in told.items() if text}
        return html.box(html.facts(shown), html.note(t("Nothing was computed, and nothing charged.")))


class Release(Answers):
    """The answer to a question, as it was asked for. Amounts and averages are in major units.

    Example: `release.df(intervals=True)`; `release.receipt.save("receipt.json")`; `release.chart()`.
    """

    def __init__(self, answered: Answered) -> None:
        self.answered = answered

    @property
    def rows(self) -> list[dict[str, Any]]:
        """As the query selects, orders and limits them, by title."""
        return self.answered.rows

    @property
    def widths(self) -> list[dict[str, Any]]:
        """Of every noised number in `table`, row by row, half its 95 % interval."""
        return self.answered.widths

    @property
    def within(self) -> int | None:
        """Numbers of persons are within ± so many in 95 of 100 answers; None where they are exact."""
        return self.answered.noise["people"] if self.answered.noise else None

    @property
    def withheld(self) -> bool:
        """Whether groups may have been withheld."""
        return self.answered.withheld

    @property
    def receipt(self) -> Receipt | None:
        """Signed by all parties; None of one's own data, which no other party has a part in."""
        return None if self.answered.receipt is None else Receipt(self.answered.receipt)

    @property
    def price(self) -> Price | None:
        """What was charged; None where it was answered before, or costs nothing."""
        return self.answered.price

    def said(self) -> str:
        """How exact it is, in the current language."""
        if self.answered.exact:
            return t("Your own data: exact, without charge or receipt.")
        if self.answered.noise is None:
            return t("Noise off: numbers are exact. Groups under {k} persons are withheld.", k=self.answered.k)
        text = t("Noise on: numbers of persons are within ± {width} in 95 of 100 cases. Groups are shown from {least} "
                 "on; others may be withheld.", width=self.within, least=self.answered.noise["least"])  # fmt: skip
        if self.price is None:
            return t("Asked before: the same answer, and nothing charged.") + " " + text
        return text + " " + t("Charged: ε {epsilon}.", epsilon=f"{self.price.plain()['epsilon']:g}")

    def chart(self, title: str = "") -> Chart:
        """People by group: bars, or a heat table by two columns. It says where noise is off."""
        from cleanroom.report import charts  # Altair

        release, rows = self.answered.release, self.answered.release.slice(0, _MOST_DRAWN).to_pylist()
        by = [name for name in release.column_names
              if "." in name and pa.types.is_string(release.schema.field(name).type)]  # fmt: skip
        exact = self.answered.noise is None and not self.answered.exact
        title = title or t("People of {table}", table=self.answered.asked.table)
        unit = t("people") if self.within is None else f"{t('people')}, ± {self.within}"
        if len(by) == 2:
            cells = [charts.Cell(t(row[by[0]]), t(row[by[1]]), row[PEOPLE]) for row in rows]
            return Chart(charts.heat(f"{title} ({unit})", cells, rows=by[0], columns=by[1], noise_off=exact))
        bars = [charts.Bar(" · ".join(t(row[name]) for name in by) or t("everybody"), row[PEOPLE]) for row in rows]
        return Chart(charts.bars(title, bars, unit=unit, noise_off=exact))

    def _names(self) -> list[str]:
        return list(titles(self.answered.asked.shown))

    def _repr_html_(self) -> str:
        receipt = "" if self.receipt is None else t("Receipt") + f" {self.receipt.digest[:16]}…"
        return html.box(super()._repr_html_(), html.note(receipt))
