"""Settings: this node, how it is, and the tabs of what else is set."""

from typing import Any

import segno
from markupsafe import Markup

from cleanroom import lang
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.visit import Visit, Visited
from cleanroom.lang import t
from cleanroom.node import desk, introducing

SCREEN = Screen()
_TABS = (("/settings", "status"), ("/settings/users", "users"), ("/settings/tokens", "users"),
         ("/settings/password", "status"), ("/settings/grants", "grant"), ("/settings/peers", "peers"),
         ("/settings/look", "status"))  # fmt: skip


@SCREEN.get("/settings", call="status")
def node(visit: Visited) -> Page:
    """Whose node this is, how it is known to others, how it is."""
    own, status = introducing.own_card(visit.path, None), desk.status(visit.path)
    return visit.page(
        "settings/node.html", tabs=tabs(visit, "/settings"), own=own, told=status, qr=qr(own["fingerprint"]),
        words=own["words"][lang.current()], role=role_name(own["role"]), free=f"{status['free_bytes'] / 1e9:,.1f} GB",
        settings=visit.place.settings, may_check=visit.may("keys"),
    )  # fmt: skip


@SCREEN.get("/settings/doctor", call="keys")
def doctor(visit: Visited) -> Page:
    """What `cleanroom doctor` finds, as a part of the page."""
    from cleanroom.doctor.run import examined  # looks at the whole machine: only where it is asked for

    found = examined(visit.path, named=True)
    parts = {"machine": t("Machine"), "software": t("Software"), "home": t("Home folder"), "node": t("Node")}
    return visit.page("settings/doctor.html", found=found, parts=parts,
                      states={"ok": t("good"), "warn": t("could be better"), "bad": t("to be mended")})  # fmt: skip


@SCREEN.get("/settings/look", call="status")
def look(visit: Visited) -> Page:
    """Language and colours, which each browser keeps for itself."""
    return visit.page("settings/look.html", tabs=tabs(visit, "/settings/look"))


def tabs(visit: Visit, here: str) -> list[tuple[str, str, bool]]:
    """The tabs that the user may open."""
    titles = {
        "/settings": t("This node"), "/settings/users": t("Users"), "/settings/tokens": t("Access for programs"),
        "/settings/password": t("My password"), "/settings/grants": t("Grants to providers"),
        "/settings/peers": t("Other parties"), "/settings/look": t("Language and look"),
    }  # fmt: skip
    return [(path, titles[path], path == here) for path, call in _TABS if visit.may(call)]


def qr(fingerprint: str) -> Markup:
    """The fingerprint as a QR code, dark on light in either scheme."""
    code: Any = segno.make(fingerprint.upper(), error="m")
    drawn = code.svg_inline(scale=3, border=3, dark="#000", light="#fff", svgclass=None, lineclass=None)
    return Markup(drawn)  # noqa: S704 - drawn of hex digits


def role_name(role: str) -> str:
    """What a node's party is."""
    return {
        "merchant": t("merchant"), "platform": t("platform"), "enclave": t("operator of an enclave"),
        "provider": t("service provider"), "auditor": t("auditor"),
    }.get(role, role)  # fmt: skip
