"""The latter half of a scene's report: lift beside what was planted, worth, attribution, leads, visits, assets."""

from collections.abc import Iterator, Mapping
from typing import Any

from cleanroom.campaigns.report import ARM_NAMES, channel_name, drawn, number, percent
from cleanroom.demo.scene_stage import Facts
from cleanroom.insight.care import EIGHT
from cleanroom.insight.labels import said
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.insight.registry import REGISTRY
from cleanroom.lang import t
from cleanroom.report.page import Block, Drawing, Heading, Note, Paragraph, Table, Value

__all__ = ["after", "coupon", "hundredths", "leads", "lift", "number", "plainly", "points", "valued", "visits"]


def points(value: Mapping[str, Any]) -> str:
    """A difference of shares with its interval."""
    return percent(value, signed=True)


def hundredths(share: float | None) -> str:
    """As percentage points."""
    return "–" if share is None else f"{100 * share:.1f}"


def _hundred(share: float | None) -> float | None:
    return None if share is None else 100 * share


def plainly(value: float | None, metric: str) -> str:
    """A number of that metric."""
    if value is None:
        return "–"
    return f"{value:.1%}" if REGISTRY[metric].unit == "share" else f"{value:,.1f}"


def valued(value: Mapping[str, Any], metric: str) -> str:
    """With its interval, or why there is none."""
    if value["value"] is None:
        return t("cannot be told")
    low, high = (plainly(value[side], metric) for side in ("low", "high"))
    return t("{value} ({low} to {high})", value=plainly(value["value"], metric), low=low, high=high)


def coupon(told: Facts) -> list[list[Value]]:
    """A batch of coupons, the platform's own numbers."""
    rate = "–" if told["rate"] is None else f"{told['rate']:.1%}"
    waited = told["median_seconds"]
    half = t("more than half are open") if waited is None else t("{count} hours", count=f"{waited / 3600:,.1f}")
    return [[t("coupon"), t("{count} yuan off", count=told["face_value"] // 100)], [t("claimed"), told["claimed"]],
            [t("redeemed"), told["redeemed"]], [t("redemption rate"), rate], [t("median time"), half]]  # fmt: skip


def lift(facts: Facts) -> Iterator[Block]:
    """Measured beside planted; arms; worth; attribution where it was asked for."""
    told, truth = facts["measured"], facts["reactions"]
    found = told["measured"]
    gap = found["difference"]
    yield Heading(t("What it changed: measured, beside what was planted"))
    yield Paragraph(
        t(
            "Everybody is counted in the arm that they were assigned to. The interval covers chance and the "
            "noise of the release; what came of it by chance is known only because the people are made up."
        )
    )
    yield Drawing(whiskered(t("Lift in percentage points; the line is what was planted"), [
        Whiskered(t("measured"), 100 * gap["value"], _hundred(gap["low"]), _hundred(gap["high"])),
        Whiskered(t("came of it"), 100 * truth["came"], None, None),
    ], unit=t("percentage points"), mark=100 * truth["planted"], form="+.1f"))  # fmt: skip
    yield Drawing(drawn(told))
    yield Table([t("figure"), t("measured, 95 of 100"), t("what came of it, made up")], [
        [t("lift"), percent(gap, signed=True), f"{truth['came']:+.2%}"],
        [t("planted lift"), "", f"{truth['planted']:+.2%}"],
        [t("payers for its sake"), number(found["payers"]), f"{truth['payers']:,}"],
        [t("revenue for its sake, yuan"), number(found["revenue"]), f"{truth['revenue']:,.0f}"],
    ])  # fmt: skip
    yield from _reach(found)
    yield from _worth(told)
    if "attribution" in found:
        yield from _attribution(found["attribution"])


def _reach(found: Facts) -> Iterator[Block]:
    reach = found["reach"]
    yield Table([t("of the treated who match"), t("people")], [
        [t("all, as far as shown"), reach["people"]], [t("reached"), reach["exposed"]],
        *([[t("engaged"), reach["engaged"]]] if reach["engaged"] else []),
    ], t("each group within ± {width}", width=reach["within"]))  # fmt: skip


def _worth(told: Facts) -> Iterator[Block]:
    worth, costs = told["worth"], told["costs"]
    yield Table([t("figure"), t("value")], [
        [t("cost, yuan"), f"{costs['total'] / 100:,.2f}"],
        [t("cost per payer for its sake"), number(worth["cost_per_payer"], ",.2f")],
        ["ROI", percent(worth["roi"], signed=True)],
        *([[t("ROAS (attributed, no lift)"), f"{worth['roas']:.2f}"]] if worth["roas"] is not None else []),
    ])  # fmt: skip


def _attribution(told: Facts) -> Iterator[Block]:
    yield Heading(t("Attribution, which is no lift"), 3)
    yield Note(t("Spend after a touch, by declared buckets of days. Some would have paid anyway; groups that are too "
                 "small are withheld and missing here."), "warning")  # fmt: skip
    names = sorted({*told["last_touch"], *told["position"]})
    yield Table([t("channel"), t("last touch, yuan"), t("by position, yuan")], [
        [channel_name(name), float(told["last_touch"].get(name, 0.0)), float(told["position"].get(name, 0.0))]
        for name in names
    ])  # fmt: skip


def _tag(name: str) -> str:
    """A tag's name."""
    return {"reached": t("reached"), "engaged": t("engaged"), "paying": t("paid after it"), "treated": t("treated"),
            "held-out": t("held out")}[name]  # fmt: skip


def leads(facts: Facts) -> Iterator[Block]:
    """Leads by arm, released; each of the platform's steps, its own."""
    told, arms = facts["leads"], facts["measured"]["measured"]["arms"]
    yield Heading(t("Leads"))
    people = {each["arm"]: each["people"] for each in arms}
    rows: list[list[Value]] = [
        [t(ARM_NAMES[each["arm"]]), each["people"], f"{each['people'] / people[each['arm']]:.1%}"]
        for each in told["rows"] if each["lead"] == "yes" and each["arm"] in people
    ]  # fmt: skip
    yield Table([t("arm"), t("people with a lead"), t("share")], rows,
                t("released; groups under {least} are withheld; within ± {width}", least=told["least"],
                  width=told["within"]))  # fmt: skip
    steps = facts["reactions"]["steps"]
    yield Table([t("step"), t("people")], [
        [t("lead submitted"), steps["lead.submitted"]], [t("lead valid"), steps["lead.valid"]],
        [t("orders, all arms"), facts["reactions"]["orders"]],
    ], t("The first two are the platform's own numbers, the last the merchant's."))  # fmt: skip


def visits(facts: Facts) -> Iterator[Block]:
    """Visitors by arm, the platform's own."""
    yield Heading(t("Visits"))
    yield Table([t("arm"), t("people"), t("visited in the fourteen days"), t("share")], [
        [t(ARM_NAMES[name]), people, visitors, f"{visitors / people:.1%}"]
        for name, (people, visitors) in facts["visits"].items()
    ], t("the platform's own events and arms: exact, and its alone"))  # fmt: skip


def after(facts: Facts) -> Iterator[Block]:
    """Tags; the next board beside the one before; the next portrait."""
    told = facts["after"]
    yield Heading(t("What stays: assets"))
    yield Paragraph(t("The campaign's columns are tags by themselves, which rules and portraits can name."))
    yield Table([t("tag"), t("rule")], [[_tag(each["tag"]), each["where"]] for each in told["tags"]])
    yield Table([t("value"), t("before"), t("on {day}", day=told["report_date"])], [
        [REGISTRY[metric].title, valued(told["before"][name], metric), valued(told["values"][name], metric)]
        for name, metric in EIGHT.items()
    ], t("C-CARE by the next board"))  # fmt: skip
    drawn_of = told["portrait"]
    yield Table([t("city tier"), t("people reached"), t("share"), "TGI"], [
        [said(each["label"]) if each["label"] == "other" else each["label"], each["people"], f"{each['share']:.1%}",
         f"{each['tgi']:.0f}"] for each in drawn_of["rows"]
    ], t("The next portrait: those it reached, against everybody in the match; within ± {width}",
         width=drawn_of["within"]))  # fmt: skip
