"""What a merchant's node answered, as tables and facts; and what a grant says, in sentences."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cleanroom.console.pages import Value
from cleanroom.console.screens.query_answers import cell
from cleanroom.insight.labels import said
from cleanroom.insight.registry import REGISTRY
from cleanroom.lang import t
from cleanroom.rooms.grants import EVERY

MOST_ROWS = 500
_QUIET = ("home", "path", "file", "noise", "template", "params", "hint", "rule")
"""Parts of an answer that say nothing to a reader."""
_LEAST = re.compile(r"\d[\d,]*")
_METRICS = ("metrics", "eight", "beside")
_ABOUT = ("dataset", "day", "made", "window")


@dataclass(frozen=True)
class Part:
    """A table with its title, or facts: rows of a name and what it says."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    note: str = ""
    numbers: Sequence[int] = field(default=())


def call_name(call: str) -> str:
    """A call in the current language."""
    return {
        "status": t("Status"), "budget": t("Budget"), "insight": t("Insight"), "crowd": t("Crowds"),
        "activate": t("Activate a crowd"), "query": t("Query"), "jobs": t("Jobs"), "plan": t("Plan"),
        "import": t("Import"), "members": t("Members"), "audit": t("Audit"), "schedule": t("Schedules"),
        "approve": t("Approve"), "usage": t("Usage"), "channels": t("Channels"), "catalogue": t("Tags"),
        "quotas": t("Quotas"),
    }.get(call, call)  # fmt: skip


def scope(grant: Mapping[str, Any]) -> list[str]:
    """What a grant gives, in sentences."""
    rooms = t("in all rooms") if EVERY in grant["rooms"] else t("in {rooms}", rooms=", ".join(grant["rooms"]))
    found = [t("{calls}, {rooms}", calls=", ".join(map(call_name, grant["calls"])), rooms=rooms)]
    if EVERY not in grant["channels"]:
        found.append(t("crowds to these channels alone: {names}", names=", ".join(grant["channels"])))
    if EVERY not in grant["columns"]:
        found.append(t("of these columns alone: {names}", names=", ".join(grant["columns"])))
    return found


def parts(call: str, result: Any) -> list[Part]:
    """The answer to a call."""
    if not isinstance(result, Mapping):
        return [Part(t("Answer"), (t("Answer"),), [(str(result),)])]
    if call == "query" and result.get("rows") is not None:
        return [_answer(result)]
    if call == "budget":
        return [_budget(result)]
    if call == "crowd" and "crowds" in result:
        return [_crowds(result["crowds"])]
    if call == "insight" and any(name in result for name in _METRICS):
        return [_metrics(result), *_anything(t("About these figures"), {name: result[name] for name in _ABOUT
                                                                       if name in result})]  # fmt: skip
    return _anything(t("Answer"), result)


def _metrics(result: Mapping[str, Any]) -> Part:
    """Every value of every metric with its interval, or why it is withheld."""
    rows = []
    for metric in (each for name in _METRICS for each in result.get(name) or ()):
        share, title = metric.get("unit") == "share", _title(metric)
        for each in metric.get("values", ()):
            rows.append((title, said(str(each.get("label", ""))) or "–", _measured(each.get("value"), share),
                         _between(each, share), _reason(each)))  # fmt: skip
    return Part(t("Insight"), (t("Metric"), t("Label"), t("Value"), t("95 of 100"), t("Note")), rows)


def _title(metric: Mapping[str, Any]) -> str:
    """A metric's name in the current language, where this version knows it; else as the merchant's node says it."""
    known = REGISTRY.get(str(metric.get("metric", "")))
    return str(metric.get("title", "")) if known is None else known.title


def _reason(each: Mapping[str, Any]) -> str:
    """Why there is no value: the merchant's node says it in its own language."""
    found = _LEAST.search(str(each.get("reason", "")))
    return t("withheld: fewer than {least} persons", least=found[0]) if found else str(each.get("reason", ""))


def _measured(value: float | None, share: bool) -> str:
    if value is None:
        return t("withheld")
    if share:
        return f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:,.2f}"


def _between(each: Mapping[str, Any], share: bool) -> str:
    if each.get("low") is None or each.get("high") is None:
        return "–"
    return f"{_measured(each['low'], share)} – {_measured(each['high'], share)}"


def _answer(result: Mapping[str, Any]) -> Part:
    rows, within = result["rows"], result["within"] or [{}] * len(result["rows"])
    columns = list(rows[0]) if rows else [t("Answer")]
    shown = [[cell(value, width.get(name)) for name, value in row.items()]
             for row, width in zip(rows, within, strict=True)]  # fmt: skip
    note = t("Exact: the merchant's own data.") if result["exact"] else t(
        "Released to the merchant, with noise; charged to its budget and receipted in its ledger.")  # fmt: skip
    if not rows:
        return Part(t("Answer"), columns, [(t("No group may be shown."),)], note)
    return Part(t("Answer"), columns, shown, note)


def _budget(result: Mapping[str, Any]) -> Part:
    rows = [(each["dataset"], each["room"], f"ε {each['left']['epsilon']:g}", f"ε {each['budget']['epsilon']:g}",
             each["questions_left"]) for each in result["budgets"]]  # fmt: skip
    columns = (t("dataset"), t("Room"), t("left"), t("a month"), t("plain counts left"))
    return Part(t("Budget"), columns, rows, t("Whole again on {day}.", day=result["renews"]), (4,))


def _crowds(found: Sequence[Mapping[str, Any]]) -> Part:
    rows = [(each["code"], each["name"], said(each["status"]), size_text(each["size"]), ", ".join(each["channels"]),
             each["ends"]) for each in found]  # fmt: skip
    columns = (t("Code"), t("Name"), t("State"), t("Size"), t("Channels"), t("Until"))
    return Part(t("Crowds"), columns, rows, t("Sizes are ranges, always."))


def size_text(size: Mapping[str, Any] | None) -> str:
    """A size as a range."""
    return t("not counted yet") if size is None else str(size["text"])


def _anything(title: str, result: Mapping[str, Any]) -> list[Part]:
    """Facts first, then every list of objects as a table of its own."""
    facts, found = [], []
    for name, value in result.items():
        if name in _QUIET or value is None or value == "" or value == []:
            continue
        if isinstance(value, Mapping) and "range" in value and "text" in value:
            facts.append((_label(name), str(value["text"])))
        elif isinstance(value, Mapping):
            inner = {key: each for key, each in value.items() if key not in _QUIET}
            if all(not isinstance(each, Mapping | list) for each in inner.values()):
                facts += [(f"{_label(name)} · {_label(key)}", _text(each)) for key, each in inner.items()]
            else:
                found += _anything(_label(name), inner)
        elif isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
            found.append(_table(_label(name), value[:MOST_ROWS]))
        else:
            facts.append((_label(name), _text(value)))
    return [*([Part(title, (t("What"), t("Value")), facts)] if facts else []), *found]


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Part:
    names = list(dict.fromkeys(name for row in rows for name in row if name not in _QUIET))
    return Part(title, [_label(name) for name in names], [[_text(row.get(name)) for name in names] for row in rows])


def _text(value: Any) -> str:
    if value is None:
        return t("withheld")
    if isinstance(value, bool):
        return t("yes") if value else t("no")
    if isinstance(value, Mapping):
        return str(value["text"]) if "text" in value else ", ".join(f"{_label(k)} {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "–"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else said(str(value))


def _label(name: str) -> str:
    """A part of an answer by a name for people, where it has one."""
    return {
        "party": t("Party"), "role": t("role"), "version": t("version"), "running": t("running"), "jobs": t("Jobs"),
        "approvals": t("Waiting for a yes"), "code": t("Code"), "room": t("Room"), "name": t("Name"),
        "kind": t("Kind"), "owner": t("owner"), "status": t("State"), "channels": t("Channels"),
        "description": t("Description"), "created": t("Created"), "ends": t("Until"), "size": t("Size"),
        "versions": t("Versions"), "activations": t("Activations"), "day": t("Day"), "made": t("Time"),
        "metrics": t("Metrics"), "metric": t("Metric"), "value": t("Value"), "label": t("Label"), "low": t("from"),
        "high": t("to"), "within": "±", "people": t("people"), "share": t("share"), "tgi": "TGI", "date": t("Day"),
        "dataset": t("dataset"), "window": t("Window (days)"), "state": t("State"), "id": t("Number"),
        "stage": t("Stage"), "total": t("in all"), "page": t("Page"), "source": t("Source"), "title": t("Title"),
        "hidden": t("Hidden"), "external": t("Own code"), "tasks": t("Activations"), "queued": t("waiting"),
        "done": t("done"), "failed": t("failed"), "cancelled": t("cancelled"), "channel": t("Channel"),
        "purpose": t("Purpose"), "error": t("Error"), "sum": t("sum"), "unit": t("Unit"), "column": t("Column"),
    }.get(name, name)  # fmt: skip
