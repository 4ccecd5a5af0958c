"""What `cleanroom gateway` shows people."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import show


def made_shown(console: Console, result: dict[str, Any]) -> None:
    """An app and its keys."""
    show.fact(console, "app_id", result["app_id"])
    show.fact(console, t("Room"), result["room"])
    show.fact(console, t("Purpose"), result["purpose"])
    if result["app_private_key"]:
        show.fact(console, "app_private_key", result["app_private_key"])
        show.line(console, t("This private key is shown once and not kept: put it into the settings of your code."))
    show.fact(console, "alipay_public_key", result["gateway_public_key"])
    show.line(console, t("Serve it: {command}", command="cleanroom gateway serve"))


def apps_shown(console: Console, result: dict[str, Any]) -> None:
    """All apps."""
    if not result["apps"]:
        show.line(console, t("There is no app yet: {command}", command="cleanroom gateway init --room ROOM"))
        return
    for each in result["apps"]:
        facts = [each["room"], each["purpose"], each["pid"], t("made {day}", day=each["created"][:10])]
        if each["revoked"]:
            facts.append(t("revoked {day}", day=each["revoked"][:10]))
        show.fact(console, each["app_id"], " · ".join(fact for fact in facts if fact))


def revoked_shown(console: Console, result: dict[str, Any]) -> None:
    """One that was revoked."""
    show.line(console, t("The app {app} is refused from now on.", app=result["app_id"]), mark="✓")
