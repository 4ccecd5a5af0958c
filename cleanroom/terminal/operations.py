"""Backups, restores, upgrades, keys and assessments for people: what was done, what it costs, what to do next."""

from pathlib import Path
from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import show


def key_shown(console: Console, result: dict[str, Any]) -> None:
    """Where it is, and that without it a backup is lost."""
    show.fact(console, t("Key file"), result["file"])
    show.line(console, t("Keep it elsewhere than the backups, twice: without it they cannot be opened."))


def backup_shown(console: Console, result: dict[str, Any]) -> None:
    """What is in it."""
    show.fact(console, t("Backup"), result["file"])
    show.fact(console, t("Party"), t(result["party"]))
    show.fact(console, t("Made"), result["made"])
    show.fact(console, t("In it"), t("{files} files, {bytes} bytes", files=f"{result['files']:,}",
                                     bytes=f"{result['bytes']:,}"))  # fmt: skip


def restored_shown(console: Console, result: dict[str, Any]) -> None:
    """What is back, and what the restore costs, plainly."""
    show.fact(console, t("Home"), result["home"])
    show.fact(console, t("As of"), result["made"])
    if result["renews"]:
        show.line(console, t("What was spent since the backup is not known: all budgets of this home are closed until "
                             "{day} (UTC).", day=result["renews"]))  # fmt: skip
        show.line(console, t("What its ledger does not hold is lost. Each question is a new one and is charged anew."))
        _peers(console, result["told"])
    else:
        show.line(console, t("The lost home's ledger goes on, with its budgets. A question asked again is a new one."))
    if result["forgotten"] is None:
        show.line(console, t("Persons who were forgotten since the backup are back. Forget them again before anything "
                             "runs: cleanroom data forget."), "!")  # fmt: skip
        if result["forgets"]:
            show.line(console, t("The ledger says that persons were forgotten {times} times since.",
                                 times=result["forgets"]), "!")  # fmt: skip
    else:
        show.line(console, t("Forgotten anew by the list you gave: {count} identities.", count=result["forgotten"]))
    show.line(console, t("Grants, tokens, users and peers that were ended since the backup count again: look through "
                         "them before the node starts."), "!")  # fmt: skip
    show.line(console, t("Where a certificate was renewed since the backup: cleanroom keys rotate --tls --at-once "
                         "here, then cleanroom peer renew on both sides."), "!")  # fmt: skip
    show.line(console, t("What former runs kept is dropped; jobs that waited are cancelled: {count}.",
                         count=result["cancelled"]))  # fmt: skip


def told_shown(console: Console, result: dict[str, Any]) -> None:
    """To whom it goes."""
    _peers(console, result["told"])


def upgraded_shown(console: Console, result: dict[str, Any]) -> None:
    """From what to what."""
    if not result["homes"]:
        show.line(console, t("This home has the current format already: {format}", format=result["after"]))
        return
    show.fact(console, t("Home"), result["home"])
    show.line(console, t("Upgraded from {before} to {after}. What was changed is kept in before-upgrade.",
                         before=result["before"], after=result["after"]))  # fmt: skip


def rotated_shown(console: Console, result: dict[str, Any]) -> None:
    """What opens the home now, until when the certificate holds."""
    if "storage" in result:
        show.line(console, _opens_by(result["storage"]))
        show.line(console, t("Backups of before still open with what opened them then, and hold what opened the home."))
    if "tls" in result:
        show.fact(console, t("New certificate until"), result["tls"]["ends"][:10])
        by_hand = t("Peers let this node in again after: cleanroom peer renew")
        show.line(console, by_hand if result["tls"]["at_once"] else t("Peers take it over by themselves."))


def assessed_shown(console: Console, result: dict[str, Any], out: Path | None) -> None:
    """Where it is; without a file, what it says, section by section."""
    from cleanroom.operations.assessment import sections

    show.fact(console, t("Room"), result["room"])
    if out is not None:
        show.fact(console, t("Written to"), str(out))
        show.line(console, t("Print it, have it signed, and keep it three years. Counsel decides."))
        return
    for title, columns, rows in sections(result):
        show.table(console, title, columns, rows)


def _peers(console: Console, told: list[str]) -> None:
    if told:
        peers = ", ".join(told)
        show.line(console, t("A person at each peer must accept the restored ledger; they are told: {peers}",
                             peers=peers))  # fmt: skip
    else:
        show.line(console, t("Peers refuse the restored ledger until a person there accepts it. When the node has its "
                             "peers: cleanroom backup tell"))  # fmt: skip


def _opens_by(kind: str) -> str:
    return {
        "own": t("The home opens by a new key file inside it."),
        "key-file": t("The home opens by the new key file."),
        "passphrase": t("The home opens by the new passphrase."),
    }[kind]
