"""`campaign` for people."""

import shlex
from typing import Any

from rich.console import Console

from cleanroom.campaigns.report import ARM_NAMES, channel_name, coupon_rows, number, percent
from cleanroom.lang import current, t
from cleanroom.terminal import show


def planned(console: Console, result: dict[str, Any]) -> None:
    """What a campaign of this size can show."""
    show.fact(console, t("People of the crowd"), f"{result['people']:,}")
    show.fact(console, t("Arms"), t("{treated} treated, {held} held out", treated=f"{result['treated']:,}",
                                   held=f"{result['held']:,}"))  # fmt: skip
    show.fact(console, t("Pay anyway"), f"{result['base']:.2%}")
    show.fact(console, t("Smallest lift"), smallest_text(result))
    show.fact(console, t("Noise"), t("{share} of the uncertainty", share=f"{result['noise_share']:.0%}"))
    if not result["enough"]:
        show.line(console, t("An arm is shown from {least} noised persons on: the smaller one may be withheld.",
                             least=f"{result['least']:,}"), "!")  # fmt: skip
    if result["wanted"]:
        count = result["people_wanted"]
        show.fact(console, t("To show {lift}", lift=f"{result['wanted']:.2%}"),
                  t("{count} people", count=f"{count:,}") if count else t("no crowd is large enough"))  # fmt: skip
    show.line(console, t("Smallest: shown as above 0 in 80 of 100 campaigns that have it."))


def smallest_text(result: dict[str, Any]) -> str:
    """The least difference, and what it means."""
    if result["difference"] is None:
        return t("none: this crowd is too small")
    return t("{points} more payers of all treated: {count} people, {ratio} more than without",
             points=f"{result['difference']:.2%}", count=f"{result['payers']:,}",
             ratio=f"{result['ratio']:.0%}")  # fmt: skip


def created(console: Console, result: dict[str, Any]) -> None:
    """A campaign that was just made, and what its partner types."""
    shown(console, result)
    show.fact(console, t("At the other side"), _same_terms(result))


def _same_terms(result: dict[str, Any]) -> str:
    """The command that creates the campaign with the same terms."""
    words = ["cleanroom campaign create", result["room"], result["name"], "--crowd", result["crowd"],
             "--channel", result["channel"], "--purpose", shlex.quote(result["purpose"]),
             "--holdout", f"{result['held_out'] / 1000:g}", "--days", f"{result['days']}",
             "--slot", f"{result['slot']}", "--most", f"{result['clamp'] // 100}",
             *(word for each in result["strata"] for word in ("--stratum", each))]  # fmt: skip
    return " ".join(words)


def shown(console: Console, result: dict[str, Any]) -> None:
    """A campaign."""
    show.fact(console, t("Campaign"), f"{result['name']} ({result['room']})")
    show.fact(console, t("Crowd"), f"{result['crowd']} · {channel_name(result['channel'])} · {result['purpose']}")
    state = t("closed") if result["closed"] else result["starts"] or t("not begun")
    show.fact(console, t("Begins"), t("{day}, {days} days", day=state, days=result["days"]))
    show.fact(console, t("Held out"), f"{result['held_out'] / 10:g} %")
    for each in result["commitments"]:
        show.fact(console, t("Committed"), f"{each['commitment']} {each['made']}")
    if result.get("drawn"):
        show.fact(console, t("Drawn"), _arms(result["drawn"]))
    if result["own"].get("claimed"):
        show.table(console, t("Coupons, from this party's own events"), (t("figure"), t("value")),
                   coupon_rows(result["own"]))  # fmt: skip
    if result["measured"] is not None:
        _measured(console, result)
    elif result["costs"]["total"]:
        show.fact(console, t("Cost"), f"{result['costs']['total'] / 100:,.2f}")


def _arms(told: dict[str, Any]) -> str:
    return t("{treated} treated, {held} held out", treated=f"{told['treated']:,}", held=f"{told['held_out']:,}")


def _measured(console: Console, result: dict[str, Any]) -> None:
    found, worth = result["measured"], result["worth"]
    rows = [(t(ARM_NAMES[each["arm"]]), each["people"], each["payers"], percent(each["share"]),
             number(each["spend_each"], ",.2f")) for each in found["arms"]]  # fmt: skip
    show.table(console, t("Everybody as assigned"),
               (t("arm"), t("people"), t("payers"), t("share"), t("spend a person")), rows)  # fmt: skip
    show.fact(console, t("Lift"), percent(found["difference"], signed=True) + (" !" if found["significant"] else ""))
    show.fact(console, t("By the held out"), percent(found["ratio"], signed=True))
    show.fact(console, t("Payers for its sake"), number(found["payers"]))
    show.fact(console, t("Revenue for its sake"), number(found["revenue"]))
    if result["costs"]["total"]:
        show.fact(console, t("Cost"), f"{result['costs']['total'] / 100:,.2f}")
        show.fact(console, t("Cost per payer for its sake"), number(worth["cost_per_payer"], ",.2f"))
        show.fact(console, "ROI", percent(worth["roi"], signed=True))
        if worth["roas"] is not None:
            show.fact(console, t("ROAS (attributed, no lift)"), f"{worth['roas']:.2f}")
    if "reach" in found:
        told = {name: f"{found['reach'][name]:,}" for name in ("exposed", "engaged", "within")}
        show.fact(console, t("Reach"), t("{exposed} exposed, {engaged} engaged, each group within ± {within}", **told))
    if "attribution" in found:
        last, position = found["attribution"]["last_touch"], found["attribution"]["position"]
        credited = [
            (channel_name(name), last.get(name, 0.0), position.get(name, 0.0)) for name in sorted({*last, *position})
        ]
        titles = (t("channel"), t("last touch"), t("by position"))
        show.table(console, t("Attribution: spend after a touch, no lift"), titles, credited)
    if not found["complete"]:
        show.line(console, t("The window is not over: later orders are missing in both arms."), "!")
    show.line(console, t("In brackets: 95 of 100, chance and noise together. ! is more than these explain."))


def listed(console: Console, result: dict[str, Any]) -> None:
    """The campaigns of a room."""
    if not result["campaigns"]:
        show.line(console, t("There is no campaign yet."))
        return
    rows = [(each["name"], each["crowd"], channel_name(each["channel"]), each["slot"], each["starts"] or "–",
             t("closed") if each["closed"] else "", "" if each["measured"] is None
             else percent(each["measured"]["difference"], signed=True)) for each in result["campaigns"]]  # fmt: skip
    show.table(console, result["room"], (t("campaign"), t("crowd"), t("channel"), t("slot"), t("begins"), "",
                                         t("lift")), rows)  # fmt: skip


def collected(console: Console, result: dict[str, Any]) -> None:
    """The columns put beside the dataset, and counts of this party's own."""
    show.fact(console, t("Columns"), ", ".join(result["columns"]))
    for name, value in result["own"].items():
        if name != "losses" and value is not None:
            show.fact(console, t(_OWN.get(name, name)), _own(name, value))
    for why, count in result["own"].get("losses", {}).items():
        show.line(console, t("{count} rows do not count: {why}", count=f"{count:,}", why=t(why)))


_OWN = {"spend": "Spend, major units", "used": "rows in the window", "cut": "cut"}
"""What counts of this party's own are called, where their names are no words."""


def _own(name: str, value: Any) -> str:
    if name == "spend":
        return f"{value / 100:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def verified(console: Console, result: dict[str, Any]) -> None:
    """That all fits."""
    show.line(console, t("The arms are those that were committed to before anything was sent."), "✓")
    show.fact(console, t("Commitment"), result["commitment"])
    show.fact(console, t("Ledger"), t("entry {seq}, {made}", seq=result["entry"], made=result["made"]))
    show.fact(console, t("Arms"), _arms(result))


def priced(console: Console, result: dict[str, Any]) -> None:
    """What measuring costs."""
    for each in result["price"]:
        if each is None:
            show.fact(console, t("Price"), t("nothing: the room is without noise"))
            continue
        told = {"cost": f"{each['rho_micro'] / 1e6:g}", "people": each["people"],
                "left": f"{each['questions_left']:,}"}  # fmt: skip
        show.fact(console, t("Price"), t("ρ {cost}, each count within ± {people}; {left} such questions are left",
                                        **told))  # fmt: skip


def playbooks(console: Console, result: dict[str, Any]) -> None:
    """All there are."""
    zh = current() == "zh"
    name, aim = ("zh", "aim_zh") if zh else ("en", "aim_en")
    rows = [(each["name"], each[name], each[aim], channel_name(each["channel"]), f"{each['held_out'] / 10:g} %",
             each["days"]) for each in result["playbooks"]]  # fmt: skip
    titles = (t("code"), t("playbook"), t("aim"), t("channel"), t("held out"), t("days"))
    show.table(console, t("Playbooks"), titles, rows)


def playbook(console: Console, result: dict[str, Any]) -> None:
    """One in a room, with the smallest lift that it can show."""
    zh = current() == "zh"
    show.fact(console, result["zh" if zh else "en"], result["aim_zh" if zh else "aim_en"])
    show.fact(console, t("Rule"), result["where"])
    if result["lacking"]:
        show.line(
            console, t("The room has no {columns}: left out of the rule.", columns=", ".join(result["lacking"])), "!"
        )
    show.fact(console, t("Size"), t("not known: no plan of the room tells") if result["size"] is None
              else result["size"]["text"])  # fmt: skip
    if result["size"] is None:
        command = f'cleanroom crowd estimate {result["room"]} --where "{result["where"]}" --charge'
        show.line(console, t("Count it, charged: {command}", command=command))
    for each in result["smallest"]:
        show.fact(console, t("Smallest lift at {people}", people=f"{each['people']:,}"), smallest_text(each))


def begun(console: Console, result: dict[str, Any]) -> None:
    """A playbook that was started."""
    created(console, result["campaign"])
    show.fact(console, t("Rule"), result["where"])
    if result["schedule"]:
        show.fact(console, t("Schedule"), result["schedule"][:8])
    show.line(console, t("Nothing was sent. Create and start the campaign at whoever addresses people, too."))


def pushed(console: Console, result: dict[str, Any]) -> None:
    """The crowd of the day, given."""
    show.fact(console, t("Crowd"), f"{result['crowd']} {result['day']}")
    show.fact(console, t("Activation"), f"{result['task']} · {result['status']} · {result['size'] or '–'}")


def slots_shown(console: Console, result: dict[str, Any]) -> None:
    """Columns that a dataset has now."""
    show.line(console, t("Dataset {dataset}, version {version}: {count} columns for campaigns added.",
                         dataset=result["dataset"], version=result["version"],
                         count=len(result["added"])), "✓")  # fmt: skip
    for name in result["added"]:
        show.fact(console, "", name)
