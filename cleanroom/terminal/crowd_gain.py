"""`crowd gain` for people: in which tenths of the users the held-out part of a lookalike's seed stands."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from cleanroom.crowds import desk, lookalike_asking
from cleanroom.crowds.lookalike_store import Lookalikes
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.lang import t
from cleanroom.node.local import Progress
from cleanroom.terminal import show

_TENTHS = 10


def gain_of(path: Path, code: str, chart: Path | None, progress: Progress | None, *,
            dry_run: bool = False) -> dict[str, Any]:  # fmt: skip
    """The gain by tenths; dry_run: only what it costs. Raises as `lookalike_asking.gain`."""
    crowd = desk.get(path, code)
    asked = Lookalikes(Home.open(path.expanduser())).load(code)
    result: dict[str, Any] = {"code": code, "name": crowd.name, "room": crowd.room}
    if dry_run:
        left = _TENTHS - len(asked.counts)
        price = lookalike_asking.price(path, crowd.room)
        cost = price["gain_rho_micro"] * left // _TENTHS
        return {**result, "price": {"rho_micro": cost, "left_rho_micro": price["left_rho_micro"]}}
    found = lookalike_asking.gain(path, crowd.room, code, progress=progress)
    if chart is not None and found:
        items = [Whiskered(str(each.tenth), each.gain, each.low, each.high) for each in found]
        drawn = whiskered(t("Gain by tenth: {name}", name=crowd.name), items, unit="×", mark=1.0, form=".1f")
        write_bytes(chart, drawn.svg.encode())
    return {**result, "gain": [{**asdict(each), "significant": each.significant} for each in found]}


def gain_shown(console: Console, result: dict[str, Any]) -> None:
    """A tenth a row; or a price."""
    show.fact(console, t("Crowd"), f"{result['name']}  {result['code']}")
    if "price" in result:
        price = result["price"]
        told = {"cost": f"{price['rho_micro'] / 1e6:g}", "left": f"{price['left_rho_micro'] / 1e6:g}"}
        show.fact(console, t("Price"), t("ρ {cost}; ρ {left} are left this month", **told))
        return
    if not result["gain"]:
        show.line(console, t("Too few people were held out for the noise: no gain can be told."), "!")
        return
    rows = [
        (each["tenth"], f"{each['gain']:.2f}", f"{max(0.0, each['low']):.2f} – {each['high']:.2f}",
         f"{each['together']:.2f}", "" if each["significant"] else "≈")
        for each in result["gain"]
    ]  # fmt: skip
    titles = (t("tenth"), t("gain"), t("95 of 100"), t("up to here"), "")
    show.table(console, t("Gain by tenth: {name}", name=result["name"]), titles, rows)
    show.line(console, t("The first tenth of the users is the most like the seed. 1 is chance; ≈ is a difference that "
                         "is not significant."))  # fmt: skip
    show.line(console, t("A gain says how like the seed they are, not what a campaign will bring."))
