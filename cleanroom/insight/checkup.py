"""The merchant's checkup: one file of its own, no second party; exact figures, and a forecast tested on the past.

Reads a file of purchases (a row a purchase) or a member export (a row a person with totals); writes nothing.
"""

import dataclasses
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cleanroom.errors import UsageError
from cleanroom.insight import loyalty, purchases, repurchase, rfm
from cleanroom.insight.purchases import Layout
from connectors.mapping import IDENTITIES, Mapping, identity_column, load_mapping, propose
from connectors.open import open_source
from connectors.source import Source

FORMAT = "cleanroom-checkup/1"
HORIZON_DAYS = 90
_CUSTOMER = (*IDENTITIES, "member_id")


@dataclass(frozen=True)
class Checkup:
    """All findings. Money is in minor units (1/100) of the file's own currency; `missing` says what the file could not
    tell, as English templates; None stands for each figure that is missing."""

    format: str
    source: str
    grain: purchases.Grain
    columns: tuple[tuple[str, str, str], ...]
    layout: Layout
    as_of: date
    rows: int
    used: int
    losses: dict[str, int]
    customers: int
    payers: int
    money: int | None
    recency: tuple[int, ...]
    repeat: loyalty.Repeat | None
    lapsed: loyalty.Lapsed | None
    classes: tuple[rfm.RfmClass, ...]
    concentration: dict[int, float] | None
    cohorts: tuple[loyalty.Cohort, ...]
    months: tuple[loyalty.Month, ...]
    forecast: repurchase.Forecast | None
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The findings as JSON values: days as ISO texts, keys as texts."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        if self.forecast is not None:
            test = self.forecast.backtest
            plain["forecast"]["backtest"] |= {"bias": test.bias, "beats_naive": test.beats_naive}
        if self.repeat is not None:
            plain["repeat"]["rate"] = self.repeat.rate
        return plain


def checkup(
    source: str | Source,
    as_of: date | None = None,
    *,
    mapping: Path | None = None,
    on: str | None = None,
    days: int = HORIZON_DAYS,
    sheet: str | None = None,
) -> Checkup:
    """The checkup of a file (or URI, or an open source) as it stood on `as_of`, by default the file's last day.

    on: the column that tells customers apart (a name or a header); days: how far the forecast looks. Raises InputError,
    BadData, UsageError.
    """
    if days < 1:
        raise UsageError("A forecast of {days} days is none.", "Ask for one day or more.", days=days)
    opened = open_source(source, sheet=sheet) if isinstance(source, str) else source
    roles = _mapping(opened, mapping)
    layout = layout_of(roles, on)
    bought = purchases.read(opened, layout, as_of, date.today())
    try:
        return _examine(bought, opened.label, roles, days)
    finally:
        bought.connection.close()


def layout_of(mapping: Mapping, on: str | None = None) -> Layout:
    """Which columns say customer, day, amount, count. A file with a last-purchase column has a row a member.

    Raises UsageError where a column that is needed is missing, InputError where two fit.
    """
    names = {role.name: role for role in mapping.columns}
    wanted = on or next((name for name in _CUSTOMER if name in names), None)
    day = names.get("last_order") or names.get("ordered")
    if wanted is None or day is None:
        raise UsageError(
            "No column is known to hold the {what}; the columns are {headers}.",
            'Say which in a mapping file, as in "header" = {{ name = "{name}" }}.',
            what="customer" if wanted is None else "day of the purchase",
            name="member_id" if wanted is None else "ordered",
            headers=", ".join(role.header for role in mapping.columns),
        )
    customer = identity_column(mapping, wanted) if wanted in IDENTITIES else mapping.find(wanted)
    amounts = mapping.of_kind("amount")
    amount = names.get("spend") or (amounts[0] if len(amounts) == 1 else None)
    kind = customer.name if customer.kind == "identity" else "handle"
    headers = (customer.header, kind, day.header, amount.header if amount else None)
    if day.name == "ordered":
        return Layout("orders", *headers)
    orders, first = names.get("orders"), names.get("first_order")
    return Layout("members", *headers, orders.header if orders else None, first.header if first else None)


def _mapping(source: Source, path: Path | None) -> Mapping:
    batch = next(iter(source.batches()), None)
    if batch is None:
        raise UsageError("{name} has no rows.", "Give a file with data.", name=source.label)
    return propose(source.schema, batch.table, load_mapping(path) if path else None)


def _examine(bought: purchases.Purchases, label: str, mapping: Mapping, days: int) -> Checkup:
    connection, layout, as_of = bought.connection, bought.layout, bought.as_of
    by_day = layout.grain == "orders"
    counted = by_day or layout.orders is not None
    paid = layout.amount is not None
    missing = [] if paid else ["The file has no amount column: no money, concentration or M score."]
    if not counted:
        missing.append("The file has no number of purchases: no repeat rate, classes or forecast.")
    classes = rfm.classify(connection, as_of.isoformat(), paid) if counted else ()
    away = loyalty.lapsed(connection, as_of, by_day)
    if away is None:
        missing.append("No time between purchases can be told: nobody is called lapsed.")
    forecast: repurchase.Forecast | str
    if by_day:
        forecast = repurchase.forecast(connection, as_of, days, tuple(rfm.NAMES))
    else:
        forecast = "A member export holds no single purchases, so no forecast can be tested: none is given."
    if isinstance(forecast, str):
        missing.append(forecast)
    money = connection.execute("SELECT sum(money)::BIGINT FROM payers").fetchone()
    return Checkup(
        format=FORMAT,
        source=label,
        grain=layout.grain,
        columns=tuple((role.header, role.name, role.kind) for role in mapping.columns),
        layout=layout,
        as_of=as_of,
        rows=bought.rows,
        used=bought.used,
        losses=bought.losses,
        customers=bought.customers,
        payers=bought.payers,
        money=money[0] if money and paid else None,
        recency=loyalty.recency_bands(connection, as_of),
        repeat=loyalty.repeat(connection) if counted else None,
        lapsed=away,
        classes=classes,
        concentration=loyalty.concentration(connection) if paid else None,
        cohorts=loyalty.cohorts(connection, as_of) if by_day else (),
        months=loyalty.months(connection) if by_day else (),
        forecast=None if isinstance(forecast, str) else forecast,
        missing=tuple(missing),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
