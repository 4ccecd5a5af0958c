"""`audit` for people: what happened, the steps that held, what was spent, what to compare."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.ledger.spending import as_rho
from cleanroom.seen import said
from cleanroom.terminal import show
from cleanroom.terminal.rooms import steps_shown

_PARTIES = ("party", "peer", "host", "receiver")
"""Parameters of entries that are parties, whose usual names are translated."""


def entries_shown(console: Console, result: dict[str, Any]) -> None:
    """The ledger, an entry a line, with who asked."""
    rows = [(each["seq"], each["time"], _entry(each)) for each in result["entries"]]
    title = t("Ledger of {party}", party=t(result["party"]))
    show.table(console, title, (t("entry"), t("time (UTC)"), t("what happened")), rows)


def _entry(entry: dict[str, Any]) -> str:
    params = {name: t(str(value)) if name in _PARTIES else value for name, value in entry["params"].items()}
    what = t(entry["template"], **params)
    if len(entry["asked_by"]) == 2:
        party, who = entry["asked_by"]
        return what + " " + t("({party}, asked by {who})", party=t(party), who=who)
    return what + " " + t("(asked by {who})", who=t(entry["asked_by"][0])) if entry["asked_by"] else what


def checked_shown(console: Console, result: dict[str, Any]) -> None:
    """The steps that held, and the budgets added up anew."""
    steps_shown(console, result)
    spent = result["ledger"]["spent"] if result["ledger"] else []
    rows = [(each["lineage"], each["month"], as_rho(each["rho_micro"])) for each in spent]
    if rows:
        show.table(console, t("Spent, by the debits"), (t("dataset"), t("month"), "ρ"), rows)
    if "fingerprints" in result:
        _compare(console, result)


def exported_shown(console: Console, result: dict[str, Any]) -> None:
    """Where the file is, and what its reader compares."""
    show.fact(console, t("Written to"), result["path"])
    show.line(console, t("It holds {count} entries and {contracts} contracts: digests, signatures, terms; no answer.",
                         count=result["entries"], contracts=len(result["contracts"])))  # fmt: skip
    _compare(console, result)
    show.line(console, t("The auditor runs: {command}", command="cleanroom audit verify --export FILE"))


def _compare(console: Console, result: dict[str, Any]) -> None:
    if result["head"]:
        show.fact(console, t("Newest entry, {count}", count=result["entries"]), result["head"])
    for party, fingerprint in result["fingerprints"].items():
        show.fact(console, t("Fingerprint of {party}", party=t(party)), fingerprint)
    for room, digest in result["contracts"].items():
        show.fact(console, t("Contract of the room {room}", room=room), digest)
    for digest in result["missing_contracts"]:
        show.line(console, t("A contract that entries name is not here: {digest}", digest=digest))
    show.line(console, t("Compare fingerprints and contracts with the parties by another way: nothing else says whose "
                         "keys they are."))  # fmt: skip


def seen_shown(console: Console, result: dict[str, Any]) -> None:
    """Day by day who learned what, and what each did not."""
    show.fact(console, t("Days"), f"{result['from']} – {result['to']}")
    for each in result["days"]:
        days = each["from"] if each["from"] == each["to"] else f"{each['from']} – {each['to']}"
        if not each["facts"]:
            show.line(console, t("{day}: nothing was learned.", day=days))
            continue
        rows = [(t(fact["learner"]), said(fact["template"], fact["params"]), fact["room"]) for fact in each["facts"]]
        show.table(console, days, (t("party"), t("what it learned"), t("Room")), rows)
    for each in result["parties"]:
        console.print()
        console.print(t("What {party} did not learn", party=t(each["name"])), style="bold", markup=False)
        for sentence in each["not"]:
            show.line(console, said(sentence["template"], sentence["params"]))
