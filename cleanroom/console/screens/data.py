"""Data: this node's datasets, what each is, and who may use it. Own figures are exact; no row and no value is shown."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from cleanroom import uploads
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import KNOWN
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.node.schedule import Schedules
from cleanroom.report import charts
from cleanroom.rooms.store import Rooms
from cleanroom.terminal.reasons import kind, reason
from cleanroom.vault import Vault
from cleanroom.vault.manifest import Manifest

SCREEN = Screen()


@SCREEN.get("/data", call="import")
def listed(visit: Visited) -> Page:
    """All datasets, files that wait to be imported, and the place for another."""
    home = own_home(visit)
    rooms = rooms_of(home)
    found = [{**_line(home.vault.manifest(name)), "rooms": rooms[name]} for name in home.vault.datasets()]
    return visit.page(
        "data/list.html", datasets=found, waiting=waiting(visit), number=uploads.new_number(),
        schedules=_schedules(visit), most=visit.place.settings.console_upload_mb, megabytes=megabytes,
        sheets=[_listed_sheet(found)] if found else [],
    )  # fmt: skip


@SCREEN.get("/data/sets/{name}", call="import")
def shown(visit: Visited, name: str, version: int = 0) -> Page:
    """One dataset: its funnel, columns, versions, rooms. version: 0 for the current one."""
    home = own_home(visit)
    manifest = home.vault.manifest(name, version or None)
    meta: Any = manifest.meta
    versions = [home.vault.manifest(name, each) for each in reversed(home.vault.versions(name))]
    return visit.page(
        "data/set.html", charts=[funnel_chart(meta["funnel"])], sheets=funnel_sheets(meta["funnel"]),
        dataset=_line(manifest), newest=versions[0].version, versions=[_line(each) for each in versions],
        rooms=rooms_of(home)[name], columns=[(c["header"], c["name"], kind(c["kind"])) for c in meta["columns"]],
        losses=losses(meta["funnel"]), repairs=repairs(meta["funnel"]), unread=unread(meta["funnel"]),
        identities=[(t(one["identity"]), one["profile"]) for one in (meta, *meta.get("also", []))],
        consent=next((c["header"] for c in meta["columns"] if c["kind"] == "consent"), None),
        without=meta["funnel"]["losses"].get("no-consent", 0), megabytes=megabytes,
        schedules=[each for each in _schedules(visit) if each["dataset"] == name], forgotten=manifest.tombstoned,
    )  # fmt: skip


def own_home(visit: Visit) -> Home:
    """The home with a vault of this request's own: one serves one thread."""
    home = visit.home
    return replace(home, vault=Vault(home.path / "vault", home.keys, home.wrapping))


def waiting(visit: Visit) -> list[dict[str, Any]]:
    """Tables that wait to be imported: one's own, and all for the owner."""
    return [uploads.plain(each) for each in uploads.listed(visit.home) if each.kind == "table" and may_see(visit, each)]


def may_see(visit: Visit, upload: uploads.Upload) -> bool:
    """Whether it is the user's own, or the user has the home."""
    return upload.who == visit.caller.name or "owner" in visit.caller.roles


def rooms_of(home: Home) -> dict[str, list[str]]:
    """The rooms that each dataset of this party stands in, by its name. A damaged room is left to its own page."""
    rooms, found = Rooms(home.rooms), defaultdict(list)
    for name in rooms.names():
        try:
            contract = rooms.load(name).contract
        except KNOWN:
            continue
        if home.party in contract.owners:
            found[contract.dataset_of(home.party).name].append(name)
    return found


def funnel_chart(funnel: dict[str, Any]) -> Chart:
    """Rows from read to persons."""
    steps = [(t("rows read"), funnel["rows"]), (t("with an identity"), funnel["present"]),
             (t("usable"), funnel["valid"]), (t("persons"), funnel["unique"])]  # fmt: skip
    title = t("From rows to persons")
    return Chart("funnel", title, (t("step"), t("rows")), steps, lambda: charts.funnel(title, steps))


def funnel_sheets(funnel: dict[str, Any]) -> list[Sheet]:
    """The same and the losses, for a spreadsheet."""
    chart = funnel_chart(funnel)
    lost = [(each["reason"], each["count"], each["rows"]) for each in losses(funnel)]
    return [Sheet(chart.title, chart.columns, chart.rows),
            Sheet(t("Rows left out"), (t("reason"), t("rows"), t("row numbers")), lost)]  # fmt: skip


def losses(funnel: dict[str, Any]) -> list[dict[str, Any]]:
    """Why rows were left out: reason, count, a few row numbers; and rows that another row of the same person stands
    for."""
    found = [{"reason": reason(name), "count": count, "rows": _examples(funnel, name, count)}
             for name, count in sorted(funnel["losses"].items(), key=lambda each: -each[1])]  # fmt: skip
    if funnel["merged"]:
        found.append({"reason": t("another row of the same person"), "count": funnel["merged"], "rows": ""})
    return found


def repairs(funnel: dict[str, Any]) -> list[tuple[str, int]]:
    """What was repaired without loss."""
    return [(reason(name), count) for name, count in funnel["repairs"].items()]


def unread(funnel: dict[str, Any]) -> list[dict[str, Any]]:
    """Values that could not be read and count as unknown, by column."""
    return [{"column": name, "count": count, "rows": _examples(funnel, f"unparsed:{name}", count)}
            for name, count in funnel["unparsed"].items() if count]  # fmt: skip


def megabytes(size: int) -> str:
    """Bytes for people."""
    if size < 100_000:
        return f"{max(1, round(size / 1000)):,} kB"
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _line(manifest: Manifest) -> dict[str, Any]:
    meta: Any = manifest.meta
    return {
        "name": manifest.dataset, "version": manifest.version, "rows": manifest.rows, "created": manifest.created,
        "size": sum(file.size for file in manifest.files), "source": meta["source"],
        "identities": ", ".join(t(one["identity"]) for one in (meta, *meta.get("also", []))),
        "consent": any(column["kind"] == "consent" for column in meta["columns"]),
        "columns": len(meta["columns"]),
    }  # fmt: skip


def _listed_sheet(found: list[dict[str, Any]]) -> Sheet:
    columns = (t("dataset"), t("persons"), t("version"), t("added"), t("rooms"))
    return Sheet(t("Datasets"), columns, [
        (each["name"], each["rows"], each["version"], each["created"][:10], ", ".join(each["rooms"])) for each in found
    ])  # fmt: skip


def _schedules(visit: Visit) -> list[dict[str, Any]]:
    """What is imported again and again."""
    return [{"dataset": each.arguments.get("dataset", ""), "spec": each.spec, "room": each.room, "next": each.next,
             "asked_by": each.asked_by}
            for each in Schedules(visit.place.state, visit.place.jobs).listed() if each.kind == "refresh"]  # fmt: skip


def _examples(funnel: dict[str, Any], name: str, count: int) -> str:
    rows = funnel["examples"].get(name, ())
    return ", ".join(map(str, rows)) + (" …" if count > len(rows) and rows else "")
