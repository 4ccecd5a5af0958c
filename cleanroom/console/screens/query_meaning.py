"""What a question means, costs and will withhold, and where the gate refused one, in words for people."""

import math
import re
from typing import Any

from cleanroom.enclave.query import split_name
from cleanroom.gate.errors import QueryRefused
from cleanroom.home import Home
from cleanroom.insight.labels import said
from cleanroom.lang import explain, t
from cleanroom.ledger.spending import as_rho
from cleanroom.plan.store import Plans
from cleanroom.privacy import accounting
from cleanroom.rooms.store import Room

MOST_NAMED = 12
_WORD = re.compile(r"\w+(?:\.\w+)*|'[^']*'|\"[^\"]*\"|\S", re.UNICODE)


def meaning(home: Home, room: Room, told: dict[str, Any]) -> dict[str, Any]:
    """For the part below the editor. told: of `querying.answer(dry_run=True)`."""
    read, price = told["understood"], told["price"]
    least = None if price is None or not price["sigma"] else _threshold(room, price)
    return {
        "exact": told["exact"], "sentence": sentence(read), "price": price, "k": told["k"], "least": least,
        "noise": told["noise"], "rho": as_rho(price["rho_micro"]) if price else "",
        "share": min(1.0, price["rho_micro"] / price["left_rho_micro"]) if price and price["left_rho_micro"] else None,
        "affordable": price is None or price["questions_left"] > 0,
        "sums": [(name, f"{width:,.2f}") for name, width in price["sums"].items()] if price else [],
        **_expected(home, room, read, least),
    }  # fmt: skip


def sentence(read: dict[str, Any]) -> list[tuple[str, str]]:
    """A question as the gate reads it: of each part its name and what it says."""
    over = " + ".join(read.get("over", ()))
    whom = over or (t("the matched people") if read["table"] == "matched" else read["table"])
    parts = [(t("Whom"), whom)]
    if read["where"]:
        parts.append((t("Only those with"), t(", or ").join(map(_box, read["where"]))))
    parts.append((t("Grouped by"), ", ".join(read["by"]) or t("not at all: everybody together")))
    parts.append((t("Told of each group"), ", ".join([t("number of people"), *(t("sum of {column}", column=name)
                                                     for name in read["sums"])])))  # fmt: skip
    return parts


def refusal(error: QueryRefused, sql: str) -> dict[str, Any]:
    """The text with the place marked, and why."""
    lines = sql.split("\n")
    at = sum(len(line) + 1 for line in lines[: error.line - 1]) + error.column - 1
    found = _WORD.match(sql, min(at, len(sql)))
    end = found.end() if found else min(at + 1, len(sql))
    text, hint = explain(error)
    return {"before": sql[:at], "marked": sql[at:end], "after": sql[end:], "text": text, "hint": hint,
            "line": error.line, "column": error.column}  # fmt: skip


def _box(box: dict[str, list[str]]) -> str:
    """People with one of these labels in each of these columns."""
    return t(" and ").join(f"{name}: {_some(labels)}" for name, labels in box.items()) or t("anything")


def _some(labels: list[str]) -> str:
    text = " | ".join(map(said, labels[:MOST_NAMED]))
    return text if len(labels) <= MOST_NAMED else t("{labels} and {count} more", labels=text,
                                                    count=len(labels) - MOST_NAMED)  # fmt: skip


def _threshold(room: Room, price: dict[str, Any]) -> int:
    """From which noised count on groups are shown."""
    sigma = price["sigma"]
    draws = 1 if price["people"] <= accounting.half_width(sigma) else 2
    return accounting.threshold(room.contract.release.k, sigma, draws)


def _expected(home: Home, room: Room, read: dict[str, Any], least: int | None) -> dict[str, Any]:
    """By the newest plan, how many groups will probably be withheld; empty where it does not know these columns."""
    nothing: dict[str, Any] = {"groups": None, "few": [], "plan_day": ""}
    if least is None or read["table"] != "matched":
        return nothing
    plan = Plans(home).latest(room.contract.room)
    by = tuple(sorted(read["by"]))
    if plan is None or read["where"] or by not in plan.estimates or not by:
        return nothing
    estimates, labels = plan.estimates[by], [room.annex(*split_name(name)).labels for name in by]
    few = [" · ".join(said(own[cell]) for own, cell in zip(labels, place, strict=True))
           for place in zip(*(estimates < least).nonzero(), strict=True)]  # fmt: skip
    return {"groups": math.prod(estimates.shape), "few": few, "plan_day": plan.made.date().isoformat()}
