"""A checkup as blocks of a report, in the current language: what was found, how it is defined, how far to trust it."""

from collections.abc import Iterator

from cleanroom.insight.checkup import Checkup
from cleanroom.insight.loyalty import RECENCY_EDGES, Cohort
from cleanroom.insight.repurchase import Backtest, Forecast
from cleanroom.insight.rfm import NAMES
from cleanroom.lang import t
from cleanroom.report import charts
from cleanroom.report.page import Block, Drawing, Figure, Figures, Heading, Note, Paragraph, Table, Value

_ROLES = {"spend": "amount", "ordered": "day of the purchase", "last_order": "day of the last purchase"}


def title(checkup: Checkup) -> tuple[str, str]:
    """(title, line below it) of the report."""
    return t("Customer checkup"), t("{source}, as of {day}", source=checkup.source, day=checkup.as_of.isoformat())


def render(checkup: Checkup) -> list[Block]:
    """All sections; those that the file cannot fill are left out and named at the end."""
    parts = (_glance, _months, _classes, _recency, _cohorts, _concentration, _forecast, _reading)
    return [block for part in parts for block in part(checkup)]


def _glance(checkup: Checkup) -> Iterator[Block]:
    yield Heading(t("At a glance"))
    figures = [Figure(t("Payers"), checkup.payers, t("of {customers:,} customers", customers=checkup.customers))]
    if checkup.money is not None:
        each = checkup.money / 100 / checkup.payers
        figures.append(Figure(t("Net money"), _money(checkup.money), t("{each:,.2f} a payer", each=each)))
    if checkup.repeat is not None:
        how = t("bought on two days or more") if checkup.grain == "orders" else t("bought twice or more")
        figures.append(Figure(t("Repeat rate"), f"{checkup.repeat.rate:.1%}", how))
    if checkup.lapsed is not None:
        share = checkup.lapsed.lapsed / checkup.lapsed.payers
        figures.append(Figure(t("Lapsed"), f"{share:.1%}", t("away for longer than is usual")))
    if checkup.concentration is not None:
        figures.append(
            Figure(t("Top 10 %"), f"{checkup.concentration[10]:.1%}", t("of all money comes from the top tenth"))
        )
    if checkup.forecast is not None:
        figures.append(
            Figure(
                t("Repurchases to expect"),
                round(checkup.forecast.purchases),
                t("in the next {days} days", days=checkup.forecast.days),
            )
        )
    yield Figures(figures)
    yield Note(
        t(
            "Exact figures from your own file; no second party took part and nothing left this machine. Small cells "
            "can be single persons: keep this report to yourself."
        )
    )


def _months(checkup: Checkup) -> Iterator[Block]:
    if len(checkup.months) < 2:
        return
    yield Heading(t("Months"))
    points = [
        charts.Point(month.month, value, name)
        for name, values in (
            (t("buyers"), [month.buyers for month in checkup.months]),
            (t("of them for the first time"), [month.first_time for month in checkup.months]),
        )
        for month, value in zip(checkup.months, values, strict=True)
    ]
    yield Drawing(charts.line(t("Buyers by month"), points), t("The last month may be incomplete."))


def _classes(checkup: Checkup) -> Iterator[Block]:
    if not checkup.classes:
        return
    yield Heading(t("Customer classes (RFM)"))
    yield Drawing(
        charts.bars(t("Payers by class"), [charts.Bar(t(NAMES[item.key]), item.people) for item in checkup.classes])
    )
    columns = [t("class"), "R F M", t("payers"), t("share"), t("mean days away")]
    columns.append(t("mean purchase days") if checkup.grain == "orders" else t("mean purchases"))
    rows: list[list[str | int]] = [
        [
            t(NAMES[item.key]),
            " ".join("↑" if letter == "H" else "↓" for letter in item.key),
            item.people,
            f"{item.people / checkup.payers:.1%}",
            f"{item.recency_days:.0f}" if item.people else "–",
            f"{item.frequency:.1f}" if item.people else "–",
        ]
        for item in checkup.classes
    ]
    if checkup.money:
        columns.append(t("share of money"))
        for row, item in zip(rows, checkup.classes, strict=True):
            row.append(f"{(item.money or 0) / checkup.money:.1%}")
    yield Table(columns, rows)
    yield Paragraph(
        t(
            "R is the last purchase day, F the number of purchase days, M the net money. Each gets a score of 1 to 5 "
            "by rank (equal values score alike); ↑ means above the mean score of all payers."
        )
    )


def _recency(checkup: Checkup) -> Iterator[Block]:
    yield Heading(t("Who is still here"))
    edges = (0, *RECENCY_EDGES)
    labels = [
        t("{low} to {high} days", low=low + 1 if low else 0, high=high)
        for low, high in zip(edges, RECENCY_EDGES, strict=False)
    ] + [t("more than {days} days", days=RECENCY_EDGES[-1])]
    items = [charts.Bar(label, people) for label, people in zip(labels, checkup.recency, strict=True)]
    yield Drawing(charts.bars(t("Payers by days since the last purchase"), items))
    if checkup.lapsed is None:
        return
    yield Paragraph(
        t(
            "The usual (median) gap between two purchases is {usual} days, and nine in ten repurchases came within "
            "{limit} days. {lapsed:,} payers have been away for longer: {own:,} of them by their own rhythm (three "
            "purchase days or more: twice the own mean gap, at least the usual gap), the others by that limit.",
            usual=checkup.lapsed.usual_gap,
            limit=checkup.lapsed.limit,
            lapsed=checkup.lapsed.lapsed,
            own=checkup.lapsed.by_own_gap,
        )
    )


def _cohorts(checkup: Checkup) -> Iterator[Block]:
    shown = [cohort for cohort in checkup.cohorts if cohort.people and cohort.again]
    if not shown:
        return
    yield Heading(t("Who comes back"))
    cells = [cell for cohort in shown for cell in _row_of(cohort)]
    yield Drawing(
        charts.heat(
            t("Share of each first-purchase month that bought again"),
            cells,
            columns=t("months after the first purchase"),
            form=".0%",
        ),
        t("In brackets: how many customers bought for the first time in that month."),
    )


def _row_of(cohort: Cohort) -> list[charts.Cell]:
    name = f"{cohort.month:%Y-%m} ({cohort.people:,})"
    return [charts.Cell(name, str(later), people / cohort.people) for later, people in enumerate(cohort.again, 1)]


def _concentration(checkup: Checkup) -> Iterator[Block]:
    if checkup.concentration is None:
        return
    yield Heading(t("Where the money comes from"))
    items = [charts.Bar(t("top {top} %", top=top), share) for top, share in checkup.concentration.items()]
    yield Drawing(charts.bars(t("Share of all money, by payers from the top"), items, form=".0%"))


def _forecast(checkup: Checkup) -> Iterator[Block]:
    if checkup.forecast is None:
        return
    forecast = checkup.forecast
    yield Heading(t("Repurchases to expect"))
    columns = [t("class"), t("payers"), t("purchases to expect"), t("buyers to expect")]
    rows: list[list[Value]] = [
        [t(NAMES[item.key]), item.people, round(item.purchases), round(item.buyers)] for item in forecast.classes
    ]
    yield Table(columns, rows, t("In the next {days} days, by class", days=forecast.days))
    yield Paragraph(
        t(
            "BG/NBD model (Fader, Hardie and Lee, 2005), fitted to all days of purchase; parameters r = {r:.3f}, "
            "α = {alpha:.3f}, a = {a:.3f}, b = {b:.3f} (weeks). It knows only when people bought: no season, price "
            "or campaign.",
            r=forecast.model.r,
            alpha=forecast.model.alpha,
            a=forecast.model.a,
            b=forecast.model.b,
        )
    )
    yield from _backtest(forecast)


def _backtest(forecast: Forecast) -> Iterator[Block]:
    test = forecast.backtest
    yield Heading(t("How good such a forecast was"), 3)
    yield Paragraph(
        t(
            "Fitted to the days up to {cut} only, the model forecast the {days} days after, which it had not seen, for "
            "the {people:,} customers known by then.",
            cut=test.cut.isoformat(),
            days=test.days,
            people=test.people,
        )
    )
    yield Figures(
        [
            Figure(t("Purchases made"), test.actual),
            Figure(t("Forecast"), round(test.predicted), t("{error:+.1%} off", error=test.bias)),
            Figure(
                t("Naive forecast"),
                test.naive,
                t("as often as before: {error:+.1%} off", error=_off(test.naive, test.actual)),
            ),
            Figure(
                t("Buyers: forecast / real"),
                f"{round(test.predicted_buyers):,} / {test.actual_buyers:,}",
                t("{error:+.1%} off", error=_off(test.predicted_buyers, test.actual_buyers)),
            ),
            Figure(
                t("Mean error a customer"),
                f"{test.error:.2f}",
                t("naive: {error:.2f} purchases", error=test.naive_error),
            ),
        ]
    )
    yield _verdict(test)
    yield Drawing(
        _weeks(test),
        t(
            "Band: 90 % by the first half's own deviations. {inside:.0%} of the tested weeks fell inside it.",
            inside=test.weeks_inside,
        ),
    )
    items = [
        charts.Bar(str(place), value, series)
        for place, decile in enumerate(test.deciles, 1)
        for series, value in ((t("forecast"), decile.predicted), (t("made"), decile.actual))
    ]
    yield Drawing(
        charts.bars(
            t("Forecast and made, by tenths of the customers (1: highest forecast)"), items, unit=t("purchases")
        )
    )


def _verdict(test: Backtest) -> Note:
    if not test.beats_naive:
        return Note(
            t("On this file the model was not better than the naive forecast: do not plan with its figures."), "warning"
        )
    if abs(test.bias) > 0.1 or test.weeks_inside < 0.85:
        return Note(
            t(
                "Better than the naive forecast, but {error:.0%} off in total: use it to rank classes, and plan totals "
                "with that much room.",
                error=abs(test.bias),
            ),
            "warning",
        )
    return Note(t("Better than the naive forecast, in total and by customer."))


def _weeks(test: Backtest) -> charts.Picture:
    made = [charts.Point(week.start, week.actual, t("made")) for week in test.weeks]
    expected = [charts.Point(week.start, week.expected, t("forecast"), week.low, week.high) for week in test.weeks]
    return charts.line(
        t("Repeat purchases by week"), made + expected, unit=t("purchases"), split=(test.cut, t("forecast from here"))
    )


def _reading(checkup: Checkup) -> Iterator[Block]:
    yield Heading(t("How the file was read"))
    layout = checkup.layout
    used = (layout.customer, layout.day, layout.amount, layout.orders, layout.first)
    rows = [
        [header, _ROLES.get(name, name), t(kind), t("used") if header in used else ""]
        for header, name, kind in checkup.columns
    ]
    yield Table([t("column"), t("meaning"), t("kind"), ""], [[row[0], t(row[1]), *row[2:]] for row in rows])
    lost: list[list[Value]] = [[t(reason), rows] for reason, rows in checkup.losses.items() if rows]
    yield Figures(
        [
            Figure(t("Rows read"), checkup.rows),
            Figure(t("Rows used"), checkup.used),
            Figure(t("Rows not used"), checkup.rows - checkup.used),
        ]
    )
    if lost:
        yield Table([t("reason"), t("rows")], lost, t("Rows not used, by reason"))
    for text in checkup.missing:
        yield Note(t(text))


def _off(predicted: float, actual: int) -> float:
    return predicted / actual - 1 if actual else 0.0


def _money(minor: int) -> str:
    return f"{minor / 100:,.0f}"
