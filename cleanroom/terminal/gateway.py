"""What `cleanroom gateway` shows people."""

import sys
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


def demo_served(result: dict[str, Any], as_json: bool) -> None:
    """The demo, once it answers: one JSON object on a line of its own, or facts."""
    show.result(result, as_json, lambda console: _demo(console, result))
    sys.stdout.flush()


def _demo(console: Console, result: dict[str, Any]) -> None:
    for party, url in result["nodes"].items():
        show.fact(console, t("Node of {party}", party=t(party)), url)
    for name in ("gateway", "app_id", "app_private_key", "gateway_public_key"):
        show.fact(console, name, result[name])
    for party, url in result["consoles"].items():
        show.fact(console, t("Console of {party}", party=t(party)), url)
        for each in result["logins"]:
            if each["party"] == party:
                show.line(console, f"  {t(each['role'])}: {each['user']} / {each['password']}")
    if not result["sdk"]:
        show.line(console, t("The SDK reaches port 80 alone, which is taken or not allowed here."), "!")
    show.line(console, t("All persons are made up. Ctrl-C ends it."))


def pushed_shown(console: Console, result: dict[str, Any]) -> None:
    """A crowd that a platform has now."""
    show.fact(console, t("Crowd"), f"{result['name']}  {result['crowd_code']}")
    show.fact(console, t("Sent to the platform"), t("{count} persons", count=f"{result['users']:,}"))
    show.fact(console, t("Batches"), f"{result['batches']:,}")


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
