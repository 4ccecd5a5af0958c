"""`activation` and `coupon` for people: versions, what a use discloses, sends and their counts, coupons; no person."""

from typing import Any

from rich.console import Console

from cleanroom.campaigns.report import channel_name
from cleanroom.lang import t
from cleanroom.terminal import show


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """The versions, each with its uses."""
    rows = [
        (each["crowd"], each["version"], use["name"], channel_name(use["channel"]), use["purpose"], use["ends"],
         each["members"])
        for each in result["versions"]
        for use in each["uses"]
    ]  # fmt: skip
    if not rows:
        show.line(console, t("No members of crowds are kept here."))
        return
    titles = (t("code"), t("version"), t("crowd"), t("channel"), t("purpose"), t("ends"), t("Members"))
    show.table(console, t("Crowds of {room}", room=result["room"]), titles, rows)


def version_shown(console: Console, result: dict[str, Any]) -> None:
    """A version, and what its uses disclose."""
    show.fact(console, t("Crowd"), f"{result['crowd']} · {result['version']}")
    show.fact(console, t("Members"), f"{result['members']:,}")
    if result["over_cap"]:
        show.fact(console, _reasons()["over-cap"], f"{result['over_cap']:,}")
    for each in result["approvals"]:
        console.print()
        for text in each["what"]:
            show.fact(console, channel_name(each["channel"]), text)
        for text in each["reveals"]:
            show.line(console, text)


def sent_shown(console: Console, result: dict[str, Any]) -> None:
    """What a send came to."""
    show.fact(console, t("Crowd"), f"{result['crowd']} · {result['version']} · {channel_name(result['channel'])}")
    if "file" in result:
        show.fact(console, t("File"), result["file"])
    show.fact(console, t("Sent to"), t("{count} persons", count=f"{result['sent']:,}"))
    show.fact(console, t("Batches"), f"{result['through']:,} / {result['batches']:,} · {_state(result['state'])}")
    rows = [(_reasons()[reason], count) for reason, count in result["left_out"].items()]
    if rows:
        show.table(console, t("Left out"), (t("reason"), t("persons")), rows)
    show.line(console, t("These counts stay here: the other side is told the range of the crowd's noised size."))


def status_shown(console: Console, result: dict[str, Any]) -> None:
    """All sends of a room."""
    if not result["sends"]:
        show.line(console, t("Nothing was sent yet."))
        return
    rows = [
        (each["crowd"], each["version"], channel_name(each["channel"]), each["made"][:10], each["sent"],
         sum(each["left_out"].values()), f"{each['through']} / {each['batches']}", _state(each["state"]))
        for each in result["sends"]
    ]  # fmt: skip
    titles = (t("crowd"), t("version"), t("channel"), t("day"), t("sent"), t("left out"), t("batches"), "")
    show.table(console, t("Sends of {room}", room=result["room"]), titles, rows)


def swept_shown(console: Console, result: dict[str, Any]) -> None:
    """What was removed."""
    show.line(console, t("Removed: {versions} versions, the people of {sends} sends, contacts of {contacts} days.",
                         versions=result["versions"], sends=result["sends"], contacts=result["contacts"]))  # fmt: skip


def coupons_shown(console: Console, result: dict[str, Any]) -> None:
    """All batches."""
    if not result["coupons"]:
        show.line(console, t("There are no coupons yet."))
        return
    rows = [
        (each["code"], each["name"], each["face_value"] / 100, each["threshold"] / 100, each["begins"], each["ends"],
         each["quantity"])
        for each in result["coupons"]
    ]  # fmt: skip
    titles = (t("code"), t("batch"), t("face value"), t("threshold"), t("begins"), t("ends"), t("quantity"))
    show.table(console, t("Coupons"), titles, rows)


def coupon_shown(console: Console, result: dict[str, Any]) -> None:
    """A batch, and its figures where there are some."""
    coupons_shown(console, {"coupons": [result]})
    if result["rule"]:
        show.fact(console, t("For whom"), result["rule"])
    for title, names in ((t("Stores"), result["stores"]), (t("H3 cells"), result["cells"])):
        if names:
            show.fact(console, title, ", ".join(names))
    if result["city"]:
        show.fact(console, t("City"), result["city"])
    show.fact(console, t("Digest"), result["digest"])
    if "figures" in result:
        _figures_shown(console, result["figures"])


def _figures_shown(console: Console, found: dict[str, Any]) -> None:
    rate = "–" if found["rate"] is None else f"{found['rate']:.1%}"
    median = (
        "–" if found["median_seconds"] is None else t("{minutes} min", minutes=f"{found['median_seconds'] / 60:,.0f}")
    )
    titles = (t("report date"), t("claimed"), t("redeemed"), t("redemption rate"), t("median time"), t("left"))
    row = (found["report_date"], found["claimed"], found["redeemed"], rate, median, found["left"])
    show.table(console, t("What came of it"), titles, [row])
    if found["immature"]:
        show.line(console, t("Immature: it is not over yet, and the rate can only rise."), "!")
    if found["unclaimed"]:
        show.line(console, t("{count} redemptions have no claim.", count=f"{found['unclaimed']:,}"))


def _state(name: str) -> str:
    return t("done") if name == "done" else t("not through yet")


def _reasons() -> dict[str, str]:
    """Of `activation.choosing`, and the contract's cap."""
    return {
        "gone": t("no longer in the data"),
        "no-consent": t("consent withdrawn"),
        "opted-out": t("opted out"),
        "out-of-reach": t("out of the channel's reach"),
        "no-handle": t("without a reference"),
        "never-addressed": t("in the global holdout"),
        "too-often": t("addressed often enough"),
        "holdout": t("in the campaign's holdout"),
        "over-cap": t("over the contract's cap of versions"),
    }
