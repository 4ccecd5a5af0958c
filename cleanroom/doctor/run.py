"""All checks at once, and what they found."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

from cleanroom import __version__
from cleanroom.doctor import drawing, home, isolation, machine, node, packages, system
from cleanroom.doctor.finding import Finding, worst
from cleanroom.errors import our_mistake
from cleanroom.lang import explain, t

Check = Callable[[], Iterator[Finding]]
PARTS = ("machine", "software", "home", "node")
"""Of a result's checks, in this order."""


def examined(path: Path, *, named: bool) -> dict[str, Any]:
    """What all checks found: {"version", "home", "state", "seconds", "checks": [{"part", …`Finding`}]}.

    path: the home; where there is none, only the machine is examined, unless `named`: then that is what is wrong.
    """
    began, path = time.perf_counter(), path.expanduser()
    parts: list[tuple[str, Check]] = [
        ("machine", machine.checks), ("machine", system.checks), ("machine", isolation.checks),
        ("software", packages.checks), ("software", drawing.checks),
    ]  # fmt: skip
    there = named or (path / "node.json").exists()
    if there:
        held, opened = home.opened(path)
        parts += [("home", lambda: iter([opened]))]
        parts += [("home", lambda: home.checks(path))] if path.is_dir() else []
        parts += [("node", lambda: node.checks(held))] if held is not None else []
    with ThreadPoolExecutor(len(parts)) as pool:
        asked = [(part, pool.submit(copy_context().run, _found, part, check)) for part, check in parts]
        findings = [(part, each) for part, found in asked for each in found.result()]
    return {
        "version": __version__, "home": str(path) if there else "", "state": worst([each for _, each in findings]),
        "seconds": round(time.perf_counter() - began, 2),
        "checks": [{"part": part, **each.plain()} for part, each in findings],
    }  # fmt: skip


def _found(part: str, check: Check) -> list[Finding]:
    """What a check finds; one that itself fails is told as that, and the others go on."""
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001 - a broken machine breaks checks in ways nobody foresees
        what, hint = explain(our_mistake(error))
        return [Finding(f"check.{part}", t("A check of this program"), "warn", what, hint)]
