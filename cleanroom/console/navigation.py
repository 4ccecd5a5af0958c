"""The links at the side of every page: those that the user's roles can follow."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cleanroom.lang import t

if TYPE_CHECKING:
    from cleanroom.console.visit import Visit


@dataclass(frozen=True)
class Link:
    """here: whether the page shown is one of its; waiting: a number beside it, 0 for none."""

    path: str
    title: str
    here: bool
    waiting: int = 0


def links(visit: "Visit") -> list[tuple[str, list[Link]]]:
    """The groups of links, each with its title."""
    role = visit.place.settings.role
    groups = (
        ("", (("/", t("Home page"), "status"),)),
        (t("Data and rooms"), (
            ("/data", t("Data"), "import"), ("/rooms", t("Rooms"), "status"), ("/match", t("Match"), "query"))),
        (t("Audiences"), (
            ("/insight", t("Insight"), "insight"), ("/crowds", t("Crowds"), "crowd"),
            ("/campaigns", t("Campaigns"), "crowd"), ("/query", t("Query"), "query"))),
        (t("Trust"), (
            ("/inbox", t("Waiting for a yes"), "approve"), ("/activations", t("Activations"), "activate"),
            ("/seen", t("What the other side saw"), "audit"),
            ("/audit", t("Audit"), "audit"))),
        (t("This node"), (
            *((("/catalogue", t("Platform"), "channels"),) if role == "platform" else ()),
            *((("/clients", t("Clients"), "status"),) if role == "provider" else ()),
            ("/jobs", t("Jobs"), "jobs"), ("/gateway", t("Gateway"), "usage"), ("/settings", t("Settings"), "status"))),
    )  # fmt: skip
    now = visit.request.url.path
    found = []
    for title, entries in groups:
        shown = [
            Link(path, text, now == path or (path != "/" and now.startswith(path + "/")),
                 visit.waiting if path == "/inbox" else 0)
            for path, text, call in entries if visit.may(call)
        ]  # fmt: skip
        if shown:
            found.append((title, shown))
    return found
