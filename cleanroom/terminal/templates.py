"""`template` for people: what a template asks, who signed it; and how a query names one."""

from typing import Any

from rich.console import Console

from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.rooms.contract import short
from cleanroom.rooms.templates import values_of
from cleanroom.terminal import show


def asked_by(sql: str, template: str | None, values: list[str] | None) -> dict[str, Any]:
    """What `querying.answer` needs to know of a template, if one is asked. Raises UsageError."""
    if bool(sql) == bool(template) or (values and not template):
        raise UsageError("Ask by SQL, or by --template with --set for its values.")
    return {"template": template, "values": values_of(values or ())} if template else {}


def template_shown(console: Console, result: dict[str, Any]) -> None:
    """One template: what is signed by whom, and what to do next."""
    show.fact(console, t("Template"), f"{result['template']} {short(result['digest'])}")
    show.fact(console, t("Asks"), result["sql"])
    for each in result["parameters"]:
        told = {"column": each["column"], "default": each["default"]}
        show.fact(console, f":{each['name']}", t("a value of {column}; {default} where nothing is said", **told))
    show.fact(console, t("Reads"), ", ".join((result["table"], *result["columns"])))
    if "path" in result:
        show.fact(console, t("Written to"), result["path"])
    _next(console, result)


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A template a line."""
    if not result["templates"]:
        show.line(console, t("No templates yet. Add one: {command}", command="cleanroom template add --help"))
    else:
        rows = [
            (each["template"], each["sql"], ", ".join(p["name"] for p in each["parameters"]),
             ", ".join(map(t, each["signed"])), ", ".join(map(t, each["missing"])))
            for each in result["templates"]
        ]  # fmt: skip
        titles = (t("template"), "SQL", t("parameters"), t("signed"), t("not yet"))
        show.table(console, t("Templates of {room}", room=result["room"]), titles, rows)
    if result["queries"] == "templates":
        show.line(console, t("The match is asked by templates only that all owners signed."))


def _next(console: Console, result: dict[str, Any]) -> None:
    if result["missing"]:
        missing = ", ".join(map(t, result["missing"]))
        show.line(console, t("These have not signed yet: {parties}", parties=missing))
        command = f"cleanroom template sign {result['room']} {result['template']}"
        show.line(console, t("Each owner runs: {command}", command=command))
    else:
        command = f"cleanroom query {result['room']} --template {result['template']}"
        show.line(console, t("All have signed. Ask it: {command}", command=command))
