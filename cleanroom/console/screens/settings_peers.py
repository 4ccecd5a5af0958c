"""The other parties' nodes: pinned by fingerprints that people compare, never by what a message says."""

from typing import Annotated

from fastapi import Form, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cleanroom import lang
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.settings import qr, tabs
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import BadData, UsageError
from cleanroom.lang import t
from cleanroom.node import desk, introducing
from cleanroom.node.config import dialled
from cleanroom.node.peers import Peers, card, read_card

SCREEN = Screen()
Text = Annotated[str, Form(max_length=1 << 15)]
MOST_CARD = 1 << 15


@SCREEN.get("/settings/peers", call="peers")
def listed(visit: Visited) -> Page:
    """All, and the form for another."""
    found = [{**each, "known": each["fingerprint"][:19]} for each in introducing.listed(visit.path)["peers"]]
    return visit.page("settings/peers.html", tabs=tabs(visit, "/settings/peers"), peers=found)


@SCREEN.get("/settings/peers/reached", call="peers")
def reached(visit: Visited) -> Page:
    """Whether each node answers now, as a part of the page."""
    found = desk.reached(visit.path)
    names = Peers(visit.home).names()
    return visit.page("settings/reached.html", reached=[(name, found.get(name)) for name in names])


@SCREEN.get("/settings/peers/card", call="peers")
def own_card(visit: Visited) -> Response:
    """This node's introduction, as a file for its peers; whose it is, the fingerprint says."""
    content = card(visit.home, visit.place.settings.url)
    return Response(content, media_type="application/json",
                    headers={"content-disposition": 'attachment; filename="introduction.card"'})  # fmt: skip


@SCREEN.get("/settings/peers/of/{name}", call="peers")
def shown(visit: Visited, name: str) -> Page:
    """One, with its fingerprint in all forms."""
    found = introducing.shown(visit.path, name)
    return visit.page("settings/peer.html", tabs=tabs(visit, "/settings/peers"), peer=found,
                      qr=qr(found["fingerprint"]), words=found["words"][lang.current()])  # fmt: skip


@SCREEN.post("/settings/peers", call="peers")
async def added(visit: Visited, name: Text = "", address: Text = "", introduction: Text = "", fingerprint: Text = "",
                file: UploadFile | None = None) -> Response:  # fmt: skip
    """Pin one whose fingerprint people have compared."""
    content = await file.read(MOST_CARD + 1) if file is not None and file.filename else introduction.strip().encode()
    return await run_in_threadpool(_pinned, visit, name.strip(), address.strip(), content, fingerprint)


@SCREEN.post("/settings/peers/of/{name}/remove", call="peers")
def removed(visit: Visited, name: str) -> Response:
    """It is not let in any more."""
    introducing.removed(visit.path, name)
    return visit.go("/settings/peers", t("{name} is no peer any more, and is not let in.", name=name))


def _pinned(visit: Visit, name: str, address: str, introduction: bytes, fingerprint: str) -> Response:
    """Raises UsageError unless there is just one of address and introduction; what pinning does."""
    if bool(address) == bool(introduction):
        raise UsageError("A peer is known by its address or by its introduction file.", "Give one of the two.")
    if not fingerprint.strip():
        raise UsageError("The fingerprint is missing.", "Have the other side's people read it to you.")
    if address:
        dialled(address)  # an address and nothing else: no file of this machine is read for it
        introducing.added(visit.path, name, address, fingerprint)
    else:
        try:
            found = read_card(introduction)
        except BadData as error:  # of somebody's file, not of ours
            raise UsageError(error.template, error.hint, **error.params) from error
        Peers(visit.home).add(name, found.url, found.certificate.pem, fingerprint)
    return visit.go("/settings/peers", t("{name} is pinned by its fingerprint.", name=name))
