"""A campaign's result as one page: what was planned and committed to, lift with its intervals, what it was worth.

It shows released figures and this party's own; a side of an interval that is open is said to be.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cleanroom.crowds.channels import CHANNELS
from cleanroom.files import write_bytes
from cleanroom.lang import current, t
from cleanroom.report import charts, page
from cleanroom.report.charts import Picture
from cleanroom.report.page import Block, Drawing, Figure, Figures, Heading, Note, Paragraph, Table, Value

ARM_NAMES = {"treated": "Treated", "holdout": "Held out"}


def write(path: Path, campaign: Mapping[str, Any]) -> None:
    """The page at `path`, in the current language. Raises UsageError, BadData."""
    parts = (_glance(campaign), _lift(campaign), _worth(campaign), _touched(campaign), _checking(campaign))
    page.write(path, t("Campaign {name}", name=campaign["name"]), [block for part in parts for block in part],
               subtitle=t("Room {room}, from {day}, {days} days", room=campaign["room"], days=campaign["days"],
                          day=campaign["starts"] or "–"))  # fmt: skip


def chart(path: Path, campaign: Mapping[str, Any]) -> None:
    """The payers of both arms as a picture, SVG. Raises UsageError, BadData."""
    write_bytes(path, drawn(campaign).svg.encode())


def drawn(campaign: Mapping[str, Any]) -> Picture:
    """Payers of each arm, per cent of its people."""
    arms = campaign["measured"]["arms"]
    bars = [charts.Bar(f"{t(ARM_NAMES[each['arm']])} ({percent(each['share'])})", 100 * each["share"]["value"])
            for each in arms]  # fmt: skip
    return charts.bars(t("Who paid, of everybody in the arm"), bars, unit="%", form=",.2f",
                       noise_off=campaign["measured"]["noise"] is None)  # fmt: skip


def channel_name(name: str) -> str:
    """A channel's title in the current language; of `none`, that no touch came before."""
    if name not in CHANNELS:
        return t("no touch before")
    zh, en = CHANNELS[name]
    return zh if current() == "zh" else en


def percent(value: Mapping[str, Any] | None, signed: bool = False) -> str:
    """A share with its interval."""
    return _between(value, lambda each: f"{each:{'+' if signed else ''}.2%}")


def number(value: Mapping[str, Any] | None, form: str = ",.0f") -> str:
    """A number with its interval."""
    return _between(value, lambda each: format(each, form))


def _between(value: Mapping[str, Any] | None, form: Any) -> str:
    if value is None:
        return t("cannot be told")
    low, high = (t("open") if value[side] is None else form(value[side]) for side in ("low", "high"))
    return t("{value} ({low} to {high})", value=form(value["value"]), low=low, high=high)


def _glance(campaign: Mapping[str, Any]) -> Iterator[Block]:
    found = campaign["measured"]
    yield Heading(t("At a glance"))
    if found is None:
        yield Paragraph(t("It was not measured yet."))
        return
    gap = found["difference"]
    said = t("More people paid for its sake.") if gap["low"] is not None and gap["low"] > 0 else (
        t("Fewer people paid for its sake.") if gap["high"] is not None and gap["high"] < 0
        else t("No effect can be told from chance and noise: the interval holds 0.")
    )  # fmt: skip
    yield Note(said, "info" if found["significant"] else "warning")
    yield Figures([
        Figure(t("Lift"), percent(gap, signed=True), t("of everybody assigned, reached or not")),
        Figure(t("Payers for its sake"), number(found["payers"]), t("95 of 100")),
        Figure(t("Revenue for its sake"), number(found["revenue"]), t("net, 95 of 100")),
    ])  # fmt: skip
    if not found["complete"]:
        yield Note(t("The window is not over: later orders are missing in both arms."), "warning")


def _lift(campaign: Mapping[str, Any]) -> Iterator[Block]:
    found = campaign["measured"]
    if found is None:
        return
    yield Heading(t("Lift"))
    yield Paragraph(t(
        "Arms were drawn at random before anything was sent, and everybody is counted in their arm as assigned. The "
        "intervals cover chance and the noise of the release. Exposed and unexposed are not compared: who is exposed "
        "is not random."
    ))  # fmt: skip
    yield Drawing(drawn(campaign))
    rows: list[list[Value]] = [
        [t(ARM_NAMES[each["arm"]]), each["people"], each["payers"], percent(each["share"]),
         number(each["spend_each"], ",.2f")] for each in found["arms"]
    ]  # fmt: skip
    yield Table([t("arm"), t("people"), t("payers"), t("share"), t("spend a person")], rows)
    yield Table([t("figure"), t("value")], [
        [t("difference of shares"), percent(found["difference"], signed=True)],
        [t("by the held out"), percent(found["ratio"], signed=True)],
    ])  # fmt: skip


def _worth(campaign: Mapping[str, Any]) -> Iterator[Block]:
    worth, costs = campaign["worth"], campaign["costs"]
    if worth is None or not costs["total"]:
        return
    yield Heading(t("What it was worth"))
    yield Table([t("figure"), t("value")], [
        [t("cost"), f"{costs['total'] / 100:,.2f}"],
        [t("cost per payer for its sake"), number(worth["cost_per_payer"], ",.2f")],
        ["ROI", percent(worth["roi"], signed=True)],
        [t("ROAS (attributed, no lift)"), t("cannot be told") if worth["roas"] is None else f"{worth['roas']:.2f}"],
    ])  # fmt: skip


def _touched(campaign: Mapping[str, Any]) -> Iterator[Block]:
    found = campaign["measured"] or {}
    own = campaign["own"]
    if "reach" in found:
        yield Heading(t("Reach"))
        yield Table([t("figure"), t("people")], [
            [t("treated, as far as shown"), found["reach"]["people"]], [t("exposed"), found["reach"]["exposed"]],
            [t("engaged"), found["reach"]["engaged"]],
        ], t("each group within ± {width}", width=found["reach"]["within"]))  # fmt: skip
    if own.get("claimed"):
        yield Heading(t("Coupons, from this party's own events"))
        yield Table([t("figure"), t("value")], coupon_rows(own))
    if "attribution" in found:
        yield Heading(t("Attribution"))
        yield Note(t("Spend after a touch, by declared days. This is no lift: some would have paid anyway."), "warning")
        told = found["attribution"]
        names = sorted({*told["last_touch"], *told["position"]})
        yield Table([t("channel"), t("last touch"), t("by position")], [
            [channel_name(name), float(told["last_touch"].get(name, 0.0)), float(told["position"].get(name, 0.0))]
            for name in names
        ])  # fmt: skip


def coupon_rows(own: Mapping[str, Any]) -> list[list[Value]]:
    """Claims, redemptions, and the time between."""
    median = own["median_minutes"]
    waited = t("more than half are open") if median is None else t("{count} minutes", count=f"{median:,.0f}")
    return [[t("claimed"), own["claimed"]], [t("redeemed"), own["redeemed"]],
            [t("redemption rate"), f"{own['redeemed'] / own['claimed']:.1%}"], [t("median time"), waited]]  # fmt: skip


def _checking(campaign: Mapping[str, Any]) -> Iterator[Block]:
    yield Heading(t("How to check it"))
    yield Table([t("committed to, before anything was sent"), t("when")], [
        [each["commitment"], each["made"]] for each in campaign["commitments"]
    ])  # fmt: skip
    receipts = (campaign["measured"] or {}).get("receipts", [])
    if receipts:
        yield Table([t("receipt (SHA-256)")], [[each] for each in receipts])
    yield Paragraph(t("cleanroom campaign verify checks the arms against the commitment, at whoever addressed people."))
