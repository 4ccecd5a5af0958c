"""`room` and `audit` for people: contracts in plain words, checks step by step, the ledger."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.rooms.contract import short
from cleanroom.terminal import show
from cleanroom.terminal.reasons import kind


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A room a line, also one that is still being agreed on."""
    if not result["rooms"] and not result["meetings"]:
        show.line(console, t("No rooms yet. Draft one: {command}", command="cleanroom room new --help"))
        return
    rows = [
        (each["room"], each["protocol"], _parties(each["parties"]), f"{len(each['signed'])} / {len(each['parties'])}",
         each["expires"][:10], _state(each["state"]))
        for each in result["rooms"]
    ]  # fmt: skip
    rows += [
        (each["room"], "", _parties(each["parties"]), "", "", _state(each["state"])) for each in result["meetings"]
    ]
    titles = (t("room"), t("protocol"), t("parties"), t("signed"), t("until"), t("state"))
    show.table(console, t("Rooms of {party}", party=t(result["party"])), titles, rows)


def new_shown(console: Console, result: dict[str, Any]) -> None:
    """Where the draft is, and what to do with it."""
    show.fact(console, t("Draft"), result["path"])
    text = str(result["protocol"])
    if result["why"]:
        why = dict(result["why"])
        text += " · " + t(why.pop("template"), **why)
    show.fact(console, t("Protocol"), text)
    for party, fingerprint in result["fingerprints"].items():
        show.fact(console, t("Fingerprint of {party}", party=t(party)), fingerprint)
    show.line(console, t("Compare the fingerprints with your partners by another way before you sign."))
    show.line(console, t("Next: {command}", command=f"cleanroom room sign {result['path']}"))


def signed_shown(console: Console, result: dict[str, Any]) -> None:
    """Where the signed contract is, and who is to sign next."""
    show.fact(console, t("Contract"), f"{result['room']} {short(result['digest'])}")
    show.fact(console, t("Written to"), result["path"])
    if result["for_operator"]:
        show.fact(console, t("For the operator, without labels"), result["for_operator"])
    if result["missing"]:
        show.line(console, t("Send it on; these have not signed yet: {parties}", parties=_parties(result["missing"])))
    else:
        show.line(console, t("All have signed. Send it to everyone who has not this version; they sign it to keep it."))


def described_shown(console: Console, result: dict[str, Any]) -> None:
    """The contract in plain words."""
    show.fact(console, t("Room"), f"{result['room']} {short(result['digest'])}")
    show.fact(console, t("Purposes"), ", ".join(result["purposes"]))
    show.fact(console, t("Runs"), f"{result['created'][:10]} – {result['expires'][:10]}")
    show.fact(console, t("In force"), t("yes") if result["in_force"] else f"{t('no')}: {result['why_not']}")
    _who(console, result)
    for dataset in result["datasets"]:
        _dataset(console, dataset)
    _rules(console, result)
    rows = [
        (t(party) if place == 0 else "", t(each["template"], **_named(each["params"])))
        for party, found in result["learns"].items()
        for place, each in enumerate(found)
    ]
    show.table(console, t("Who learns what by a run"), (t("party"), t("learns")), rows)
    for note in result["notes"]:
        show.line(console, show.harmless(t(note)))


def meeting_shown(console: Console, result: dict[str, Any]) -> None:
    """How far the agreement on a room is."""
    show.fact(console, t("Room"), result["room"] + (f" {short(result['digest'])}" if result["digest"] else ""))
    show.fact(console, t("State"), _state(result["state"]))
    _changes(console, result["changes"])


def reviewed_shown(console: Console, result: dict[str, Any]) -> None:
    """What waits, in words, and what can be done about it."""
    show.fact(console, t("State"), _state(result["state"]))
    for template, params in result["what"] if result["contract"] is None else result["what"][:3]:
        show.line(console, show.harmless(t(template, **_named(params))))
    _changes(console, result["changes"])
    if result["contract"] is None:
        show.line(console, t("Your answer would show:"))
        for template, params in result["reveals"]:
            show.line(console, show.harmless(t(template, **_named(params))))
    else:
        why = result["why"]
        described_shown(console, result["contract"])
        show.fact(console, t("Why this protocol"), t(why["template"], **why["params"]))
    steps = {
        "accept": ("cleanroom room accept {room}", "cleanroom room refuse {room} --reason …"),
        "sign": ("cleanroom room sign {room}", "cleanroom room refuse {room} --reason …"),
        "none": (),
    }
    for step in steps[result["step"]]:
        show.line(console, t("Next: {command}", command=step.format(room=result["room"])))


def left_shown(console: Console, result: dict[str, Any]) -> None:
    """That a room is over, and who is told."""
    show.line(console, t("The room {room} is left; nothing runs in it any more.", room=result["room"]))
    show.line(console, t("Told to: {parties}", parties=_parties(result["told"])))


def _changes(console: Console, changes: list[dict[str, Any]]) -> None:
    """Differences a line; what protects less is marked."""
    for each in changes:
        text = show.harmless(t(each["template"], **{name: _word(value) for name, value in each["params"].items()}))
        show.line(
            console, t("{change} (weaker)", change=text) if each["weaker"] else text, "▼" if each["weaker"] else "·"
        )


def _word(value: Any) -> Any:
    """A value of a term; the usual words translated."""
    return t(value) if value in ("yes", "no", "off", "category", "bucket", "amount", "members", "size") else value


def _state(state: dict[str, Any]) -> str:
    params = {name: value for name, value in state.items() if name != "template"}
    return t(state["template"], **_named(params))


def verified_shown(console: Console, result: dict[str, Any]) -> None:
    """The steps that held."""
    show.fact(console, t("Contract"), f"{result['room']} {short(result['digest'])}")
    _steps(console, result["steps"])


def steps_shown(console: Console, result: dict[str, Any]) -> None:
    """The steps that held of a ledger and of a receipt."""
    for title, report in ((t("Ledger"), result["ledger"]), (t("Receipt"), result["receipt"])):
        if report is None:
            continue
        entries = t("{count} entries", count=report["entries"]) if report["entries"] else ""
        show.fact(console, title, f"{t(report['subject'])} {entries}".strip())
        _steps(console, report["steps"])
        if "isolation" in report:
            show.computed(console, report["isolation"])


def _who(console: Console, result: dict[str, Any]) -> None:
    rows = [
        (t(party["name"]), t(party["role"]), t("yes") if party["signed"] else t("no"), party["fingerprint"][:19] + " …")
        for party in result["parties"]
    ]
    show.table(console, t("Parties"), (t("party"), t("role"), t("signed"), t("fingerprint")), rows)


def _dataset(console: Console, dataset: dict[str, Any]) -> None:
    rows = [(column["name"], kind(column["kind"]), _values(column)) for column in dataset["columns"]]
    about = {"name": dataset["name"], "owner": t(dataset["owner"]), "rows": f"{dataset['rows']:,}"}
    matched = {"identity": t(dataset["identity"]), "profile": dataset["profile"]}
    text = t("Dataset {name} of {owner}: at most {rows} persons, matched by {identity} ({profile})", **about, **matched)
    for each in dataset["also"]:
        further = {"identity": t(each["kind"]), "profile": each["profile"]}
        text += t("; where that does not hit, by {identity} ({profile})", **further)
    if rows:
        show.table(console, text, (t("column"), t("kind"), t("values")), rows)
    else:
        show.line(console, text)


def _values(column: dict[str, Any]) -> str:
    if column["kind"] == "amount":
        return f"{column['low'] / 100:,.2f} – {column['high'] / 100:,.2f}"
    if "labels" not in column:
        return t("{count} cells, labels not held here", count=column["cells"])
    return ", ".join((*column["labels"][:-2], *(t(label) for label in column["labels"][-2:])))


def _rules(console: Console, result: dict[str, Any]) -> None:
    match, release = result["match"], result["release"]
    who = {"host": t(match["host"]), "receiver": t(match["receiver"])}
    show.fact(console, t("Match"), f"{match['protocol']}, " + t("hosted by {host}, received by {receiver}", **who))
    for slots in result["slots"]:
        what = {"dataset": slots["dataset"], "columns": ", ".join((*slots["by"], *slots["sums"]))}
        show.line(console, t("Encrypted with Paillier, of {dataset}: {columns}", **what))
    told = {"k": release["k"], "parties": _parties(release["recipients"])}
    if release["noise"] == "off":
        show.fact(console, t("Release"), t("groups of at least {k} persons, noise off, to {parties}", **told))
        return
    told |= {"sigma": release["sigma"], "epsilon": release["epsilon"]}
    text = t("groups of at least {k} persons, with noise of {sigma} persons and ε {epsilon} a month, to {parties}",
             **told)  # fmt: skip
    show.fact(console, t("Release"), text)


def replayed_shown(console: Console, result: dict[str, Any]) -> None:
    """Whether the answer is the one of the receipt."""
    show.fact(console, t("Room"), result["room"])
    show.fact(console, t("Receipt"), result["receipt"])
    if result["same"]:
        show.line(
            console,
            t("Yes: counted again, the groups are those of the receipt. Encrypted sums are not compared."),
            mark="✓",
        )
    else:
        show.line(console, t("No: counted again, the groups are others."))


def _steps(console: Console, steps: list[str]) -> None:
    for step in steps:
        show.line(console, t(step), mark="✓")


def _parties(names: list[str]) -> str:
    return ", ".join(t(name) for name in names)


def _named(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a text, with the usual names of parties translated."""
    names = ("party", "peer", "host", "receiver", "reason")
    listed = {name: _parties(value) for name, value in params.items() if isinstance(value, list)}
    return {name: t(str(value)) if name in names else value for name, value in params.items()} | listed
