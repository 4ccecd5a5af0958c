"""A new room: whom to ask, what to bring, by which rules; and the answer to somebody else's invitation.

What is sent is this party's card: the columns named here, and such values of them as many rows have. Nothing is in
force before all have signed.
"""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens import rooms_words as words
from cleanroom.console.screens.rooms_change import whole
from cleanroom.console.screens.rooms_offer import offered
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.crowds.channels import CHANNELS
from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.node.peers import Peers
from cleanroom.rooms import invitations
from cleanroom.rooms.cards import LEAST_PEOPLE
from cleanroom.rooms.choose import LEARNS, Wish, choose
from cleanroom.rooms.meetings import Asked
from cleanroom.rooms.terms import PROTOCOLS

SCREEN = Screen()


@SCREEN.get("/rooms/-new", call="draft")
def asked(visit: Visited, dataset: str = "") -> Page:
    """The form."""
    peers = Peers(visit.home).names()
    return visit.page("rooms/new.html", offer=offered(visit, dataset), peers=peers, least=LEAST_PEOPLE,
                      operators=[(name, t(name)) for name in peers], own=(visit.home.party, t(visit.home.party)),
                      protocols=[("auto", t("automatic (recommended)")), *((name, name) for name in PROTOCOLS)],
                      channels=[(name, words.channel(name)) for name in CHANNELS],
                      choice=_chosen(visit, dataset, ""))  # fmt: skip


@SCREEN.get("/rooms/-columns", call="status")
def columns(visit: Visited, dataset: str = "") -> Page:
    """The columns of a dataset, for a form."""
    visit.check("draft" if visit.may("draft") else "room.sign")
    return visit.page("rooms/columns.html", offer=offered(visit, dataset), least=LEAST_PEOPLE)


@SCREEN.get("/rooms/-protocol", call="draft")
def protocol(visit: Visited, dataset: str = "", operator: str = "") -> Page:
    """What `auto` would take, and why, were the other side as large as this one."""
    return visit.page("rooms/protocol.html", choice=_chosen(visit, dataset, operator))


@SCREEN.post("/rooms/-new", call="draft")
def invited(visit: Visited, fields: Fields) -> Response:
    """Send the invitations."""

    def text(name: str, usual: str = "") -> str:
        return str(fields.get(name, usual)).strip()

    partners = _many(fields, "with")
    if not partners:
        raise UsageError("Choose at least one partner.", "A room has two owners of data or more.")
    if text("operator") in partners:
        raise UsageError("A party is named twice.", "Each takes one part.")
    if not text("dataset"):
        raise UsageError("Choose the dataset that you bring.", "Import one on the page Data first.")
    k = whole(text("k", "100"), t("Least number of persons behind a number"))
    days = whole(text("days", "90"), t("Days that it runs"))
    wished = Asked(
        text("purpose"), text("protocol", "auto"), text("receiver"), k, text("noise") == "yes", days,
        text("updates") == "yes", tuple(_many(fields, "channels")), text("lists") == "yes", text("boards") == "yes",
    )  # fmt: skip
    name = text("name")
    invitations.invite(visit.path, name, partners, text("operator") or None, text("dataset"),
                       _many(fields, "columns"), wished, _many(fields, "members"))  # fmt: skip
    said = t("The invitation is sent. The contract is drafted once all have answered.")
    return visit.go(f"/rooms/{name}/review", said)


@SCREEN.post("/rooms/{room}/accept", call="room.sign")
def accepted(visit: Visited, room: str, fields: Fields) -> Response:
    """Answer an invitation with this party's card."""
    dataset = str(fields.get("dataset", "")) or None
    invitations.accept(visit.path, room, dataset, _many(fields, "columns"), visit.caller.name,
                       _many(fields, "members"))  # fmt: skip
    return visit.go(f"/rooms/{room}/review", t("Your answer is sent. The contract comes back here, to be signed."))


def _many(fields: FormData, name: str) -> list[str]:
    """All values of a field, each once."""
    return list(dict.fromkeys(str(value) for value in fields.getlist(name) if str(value)))


def _chosen(visit: Visit, dataset: str, operator: str) -> dict[str, Any]:
    """The choice for two sides of this dataset's size: what, why, and every protocol beside it."""
    offer = offered(visit, dataset)
    rows = max(1, offer.rows)
    found = choose(Wish(rows, rows, bool(operator), slots=bool(offer.columns)))
    options = [(each.protocol, t("yes") if each.why_not is None else words.sentence(each.why_not.template,
                each.why_not.params), t(LEARNS[each.protocol])) for each in found.options]  # fmt: skip
    return {"protocol": found.protocol, "why": words.sentence(found.why, found.params), "options": options}
