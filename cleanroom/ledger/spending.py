"""What a dataset's budget was charged, by calendar months in UTC. Reads entries; no disk, no decision."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cleanroom.ledger.chain import Entry


@dataclass(frozen=True)
class Spent:
    """What a lineage was charged within a month (as 2026-01), in millionths of ρ."""

    lineage: str
    month: str
    rho_micro: int


@dataclass(frozen=True)
class Charged:
    """A debit with a lineage: what its budget was charged before it in the month, or later by the clock."""

    entry: Entry
    rho_micro: int
    before: int
    most_micro: int


def month_of(time: str) -> str:
    """The month of a time as entries have it."""
    return time[:7]


def renewal(time: str) -> str:
    """The day on which budgets are whole again, as 2026-02-01."""
    first = dt.date.fromisoformat(f"{month_of(time)}-01")
    return (first + dt.timedelta(days=32)).replace(day=1).isoformat()


def charges(entries: Iterable[Entry]) -> Iterator[Charged]:
    """Debits with a lineage in order, each with what counted against its month.

    Entries of a later month count too: they stand before it where the clock was set back, which frees no budget.
    """
    spent: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        if entry.kind != "debit" or not entry.body.get("lineage"):
            continue
        lineage, month = str(entry.body["lineage"]), month_of(entry.time)
        rho, most = (int(str(entry.body[name])) for name in ("rho_micro", "most_micro"))
        before = sum(micro for (name, when), micro in spent.items() if name == lineage and when >= month)
        spent[lineage, month] += rho
        yield Charged(entry, rho, before, most)


def by_month(entries: Iterable[Entry]) -> tuple[Spent, ...]:
    """What every lineage was charged in every month, in order of both; nothing of those that were charged nothing."""
    spent: Counter[tuple[str, str]] = Counter()
    for each in charges(entries):
        if each.rho_micro:
            spent[str(each.entry.body["lineage"]), month_of(each.entry.time)] += each.rho_micro
    return tuple(Spent(lineage, month, micro) for (lineage, month), micro in sorted(spent.items()))


def closed(entries: Iterable[Entry]) -> str:
    """The month until whose end a restore closed all budgets of this ledger, as 2026-01; '' where none did."""
    return max((str(entry.body["until"]) for entry in entries if entry.kind == "restored"), default="")


def as_rho(micro: int) -> str:
    """Millionths of ρ as ρ, for people."""
    return f"{micro / 10**6:.6f}".rstrip("0").rstrip(".")
