"""`plan` for people: everybody in the match, and each column by its values, with bars and the ± of the noise."""

import datetime as dt
from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.plan.reading import source
from cleanroom.privacy import accounting
from cleanroom.terminal import show
from cleanroom.terminal.overlap import MINOR_CELLS
from cleanroom.terminal.query import cells_of

_BAR = 24


def plan_shown(console: Console, result: dict[str, Any]) -> None:
    """The figures of `cleanroom.plan.overview.overview`, by which rules they are shown, and from what."""
    show.fact(console, t("Room"), result["room"])
    made, total = dt.datetime.fromisoformat(result["made"]), result["total"]
    counted = t("withheld") if total["people"] is None else t("{count} persons", count=f"{total['people']:,}")
    show.fact(console, t("In the match"), f"{counted} ({source(made, total['within'], estimated=False)})")
    console.print()
    for column in result["columns"]:
        highest = max((group["people"] for group in column["groups"] if group["people"] is not None), default=1)
        rows = [_row(group, highest) for group in column["groups"]]
        show.table(console, column["column"], (t("value"), "", t("persons"), "±"), rows)
    least = max((column["least"] for column in result["columns"]), default=result["k"])
    show.line(console, t("Groups are shown from {least} persons on; {k} and room for the noise.",
                         least=f"{least:,}", k=result["k"]))  # fmt: skip
    show.line(console, t("± holds the true number 95 times in 100. Reading a plan costs no budget, however often."))
    show.fact(console, t("Receipt"), result["receipt"])


def _row(group: dict[str, Any], highest: int) -> tuple[str, str, str, str]:
    label = t(group["label"]) if group["label"] in MINOR_CELLS else group["label"]
    if group["people"] is None:
        return label, "", t("withheld"), ""
    bar = "█" * max(1, round(_BAR * group["people"] / max(1, highest)))
    return label, bar, f"{group['people']:>{len(f'{highest:,}')},}", f"{group['within']:,}"


def made_shown(console: Console, result: dict[str, Any]) -> None:
    """What was made, or what it would cost."""
    if result["plan"] is not None:
        plan_shown(console, result["plan"])
        if not result["made"]:
            show.line(console, t("The data are as they were: it is the same plan, and nothing was charged."))
    elif not result["due"]:
        show.line(console, t("There is a plan of this period. {command} shows it.",
                             command=f"cleanroom plan show {result['room']}"))  # fmt: skip
    show.fact(console, t("Columns"), ", ".join(result["columns"]))
    told = {"tables": result["tables"], "width": accounting.half_width(result["sigma"]),
            "cost": f"{result['rho_micro'] / 1e6:g}", "left": f"{result['left_rho_micro'] / 1e6:g}"}  # fmt: skip
    show.fact(console, t("Price"), t("ρ {cost} for {tables} tables, each count within about ± {width} persons; "
                                     "ρ {left} were left this month", **told))  # fmt: skip


def read_shown(console: Console, result: dict[str, Any]) -> None:
    """The groups, and from what."""
    if result["rows"]:
        show.table(console, t("Answer"), list(result["rows"][0]), cells_of(result["rows"], result["within"]))
    else:
        show.line(console, t("No group may be shown."))
    show.line(console, result["said"])
    show.line(console, t("Groups are shown from {least} persons on.", least=f"{result['least']:,}"))


def portrait_shown(console: Console, result: dict[str, Any]) -> None:
    """Each value: people, shares, TGI with its interval; ! where the difference is more than noise."""
    rows = [_portrayed(each) for each in result["values"]]
    titles = (t("value"), t("persons"), t("share"), t("share of all"), "TGI", t("95 of 100"), "")
    show.table(console, f"{result['column']} · {result['where'] or t('everybody')}", titles, rows)
    show.line(console, result["said"])
    show.line(console, t("100 is as in the whole match; ! is a difference that noise does not explain."))


def _portrayed(each: dict[str, Any]) -> tuple[Any, ...]:
    label = t(each["label"]) if each["label"] in MINOR_CELLS else each["label"]
    if each["tgi"] is None:
        return label, t("withheld"), "", "", "", "", ""
    between = "" if each["low"] is None else f"{each['low']:.0f} – {each['high']:.0f}"
    people = f"{each['people']:,}" + (f" ± {each['within']:,}" if each["within"] is not None else "")
    share, base = f"{each['share']:.1%}", f"{each['base_share']:.1%}"
    return label, people, share, base, f"{each['tgi']:.0f}", between, "!" if each["significant"] else ""


def trend_shown(console: Console, result: dict[str, Any]) -> None:
    """Each value then and now; ! where the change is more than noise."""
    rows = [
        (" · ".join(each["labels"]), _count(each["before"]), _count(each["after"]), _change(each),
         "!" if each["significant"] else "")
        for each in result["values"]
    ]  # fmt: skip
    days = [dt.datetime.fromisoformat(moment).date().isoformat() for moment in result["between"]]
    show.table(console, f"{result['column']} · {result['where'] or t('everybody')}",
               (t("value"), *days, t("change"), ""), rows)  # fmt: skip


def _count(people: int | None) -> str:
    return t("withheld") if people is None else f"{people:,}"


def _change(each: dict[str, Any]) -> str:
    if each["change"] is None:
        return ""
    return f"{each['change']:+,}" + (f" ± {each['within']:,}" if each["within"] is not None else "")
