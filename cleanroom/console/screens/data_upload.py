"""A file on its way to a dataset: it arrives, is looked at, its columns are said, it is imported.

The console's process never parses it: that is a worker's job, and what the worker found is read here from a note.
"""

from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cleanroom import uploaded, uploads
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.data import (
    funnel_chart,
    funnel_sheets,
    losses,
    may_see,
    megabytes,
    own_home,
    repairs,
    unread,
)
from cleanroom.console.uploads import COUNTS, received
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.errors import UsageError
from cleanroom.lang import catalogue_text, t
from cleanroom.terminal.reasons import kind as kind_name
from cleanroom.vault.folders import checked_name

SCREEN = Screen()
TRIES = 20
"""So often the page asks for what has arrived, half a second apart, before it says that nothing does."""
KINDS = ("identity:phone", "identity:email", "identity:openid", "identity:device", "category", "bucket", "amount",
         "date", "consent", "handle", "ignore")  # fmt: skip
PROFILES = ("cn-mobile/1", "e164/1", "google-customer-match/1", "meta/1", "uid2/1", "qipan/1")


@SCREEN.post("/data/uploads/{number}", call="import")
async def arrived(visit: Visited, number: str) -> Response:
    """Take the file; a worker then looks at it."""
    await received(visit.request, visit.home, number, visit.caller.name)
    return await run_in_threadpool(_check, visit, number)


@SCREEN.get("/data/uploads/{number}", call="import")
def arriving(visit: Visited, number: str, tries: int = 0) -> Page:
    """The part of the page that says how much is here."""
    count = COUNTS.of(uploads.checked(number), visit.caller.name)
    return visit.page("data/received.html", number=number, count=count, tries=0 if count else tries + 1,
                      over=tries >= TRIES, megabytes=megabytes,
                      most=visit.place.settings.console_upload_mb)  # fmt: skip


@SCREEN.get("/data/files/{number}", call="import")
def looked(visit: Visited, number: str) -> Page:
    """What the file holds, and what its columns are taken for."""
    upload, found = _own(visit, number), uploads.note(visit.home, number, "found")
    context = {"upload": uploads.plain(upload), "megabytes": megabytes, "found": found, "number": number}
    if found is None:
        return visit.page("data/unseen.html", **context)
    choice, funnel = uploaded.choice_of(visit.home, number), found["funnel"]
    return visit.page(
        "data/file.html", charts=[funnel_chart(funnel)] if funnel else [],
        sheets=funnel_sheets(funnel) if funnel else [], **context, choice=choice,
        columns=_columns(choice, found), kinds=[(each, kind_text(each)) for each in KINDS],
        profiles=[("", t("as usual for each kind")), *((each, each) for each in PROFILES)],
        identities=[("", t("in the order of the columns")), *_identities(choice)],
        error=_error(found["error"]), notes=[_text(*each) for each in found["notes"]],
        advice=_advice(found), losses=losses(funnel) if funnel else [], repairs=repairs(funnel) if funnel else [],
        unread=unread(funnel) if funnel else [], datasets=own_home(visit).vault.datasets(), pairs=_pairs,
        name=_suggested(upload.name),
    )  # fmt: skip


@SCREEN.post("/data/files/{number}/check", call="import")
def again(visit: Visited, number: str, fields: Fields) -> Response:
    """Keep what the columns are said to be, and count anew."""
    _own(visit, number)
    _keep(visit, number, fields)
    return _check(visit, number)


@SCREEN.post("/data/files/{number}/import", call="import")
def imported(visit: Visited, number: str, fields: Fields) -> Response:
    """Keep what the columns are said to be, and import."""
    _own(visit, number)
    _keep(visit, number, fields)
    name = checked_name(str(fields.get("old", "")) or str(fields.get("new", "")).strip())
    given = {"upload": number, "dataset": name}
    return visit.submit("refresh", "", given, then=f"/data/sets/{quote(name)}")


@SCREEN.post("/data/files/{number}/remove", call="import")
def removed(visit: Visited, number: str) -> Response:
    """Throw the file away."""
    _own(visit, number)
    uploads.remove(visit.home, number)
    return visit.go("/data", t("The file is removed. Nothing of it is kept."))


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    return [("", t("– a new dataset –")), *((name, name) for name in names)]


def kind_text(kind: str) -> str:
    """A kind with what it means, for the choice."""
    base, _, identity = kind.partition(":")
    if identity:
        return t("identity: {kind}", kind=t(identity))
    means = {
        "category": t("a few fixed words, as a city or a level"), "bucket": t("a number, cut into ranges"),
        "amount": t("money, to be summed"), "date": t("a day"), "consent": t("yes or no: rows without a yes stay out"),
        "handle": t("your own number, never used"), "ignore": t("kept out of everything"),
    }  # fmt: skip
    return f"{kind_name(base)} – {means[base]}"


def _check(visit: Visit, number: str) -> Response:
    return visit.submit("examine", "", {"upload": number}, then=f"/data/files/{number}")


def _own(visit: Visit, number: str) -> uploads.Upload:
    """Raises UsageError for what is not there, and for what is another's alike."""
    upload = uploads.find(visit.home, number)
    if upload.kind != "table" or not may_see(visit, upload):
        raise UsageError("There is no such upload.", "It may be over a day old. Upload the file again.")
    return upload


def _keep(visit: Visit, number: str, fields: Any) -> None:
    choice = uploaded.choice_of(visit.home, number)
    if choice is None:
        raise UsageError("This file cannot be read, so it has no columns.", "Upload it again once it is mended.")
    kinds = [str(fields.get(f"kind-{place}", "")) or _chosen(name, kind)
             for place, (_, name, kind) in enumerate(choice.columns)]  # fmt: skip
    profile = str(fields.get("profile", ""))
    if profile and profile not in PROFILES:
        raise UsageError("A field of this page is missing, or holds what it cannot.")
    first = _header_at(choice, str(fields.get("first", "")))
    uploaded.choose(visit.home, number, uploaded.chosen(list(choice.columns), kinds, first, profile))


def _header_at(choice: uploaded.Choice, place: str) -> str:
    return choice.columns[int(place)][0] if place in map(str, range(len(choice.columns))) else ""


def _columns(choice: uploaded.Choice | None, found: dict[str, Any]) -> list[dict[str, Any]]:
    whys = {"header": t("by its name"), "preset": t("by the export it comes from"), "content": t("by what it holds"),
            "override": t("as you said")}  # fmt: skip
    said = found["choice"] and {tuple(each) for each in found["choice"]["columns"]}
    return [] if choice is None else [
        {"place": place, "header": header, "name": name, "kind": _chosen(name, kind), "used": header in choice.on,
         "why": whys.get(found["whys"].get(header, ""), "") if (header, name, kind) in said else t("as you said")}
        for place, (header, name, kind) in enumerate(choice.columns)
    ]  # fmt: skip


def _identities(choice: uploaded.Choice | None) -> list[tuple[str, str]]:
    return [] if choice is None else [(str(place), header) for place, (header, _, kind) in enumerate(choice.columns)
                                      if kind == "identity"]  # fmt: skip


def _chosen(name: str, kind: str) -> str:
    return f"identity:{name}" if kind == "identity" else kind


def _advice(found: dict[str, Any]) -> list[str]:
    texts = [_text(*each) for each in found["advice"]]
    for identity, own in found["by_kind"].items():
        texts += [t("{identity}: {advice}", identity=t(identity), advice=_text(*each)) for each in own]
    return texts


def _error(error: list[Any] | None) -> tuple[str, str] | None:
    return None if error is None else (_text(error[0], error[2]), _text(error[1], error[2]))


def _text(template: str, params: dict[str, Any]) -> str:
    shown = {key: f"{value:,}" if isinstance(value, int) else value for key, value in params.items()}
    return catalogue_text(template).format(**shown)


def _suggested(file: str) -> str:
    """A name for a dataset, of the file's."""
    name = file.removesuffix(".gz").rpartition(".")[0] or file
    return "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in name).strip("-_.")[:40] or "crm"
