"""The impact assessment of a room, to print (PIPL 55 and 56, GDPR 35): who, what, why, how long, who learns what.

It holds what the contract and this party's ledger say, and what the product does about each risk. What only people know
(necessity, the balance of interests, the decision) stands as lines to fill in: counsel decides, not this program.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cleanroom import budgets
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.ledger.store import read
from cleanroom.report import page
from cleanroom.rooms import desk
from cleanroom.rooms.store import Rooms
from cleanroom.terminal.reasons import kind

Section = tuple[str, Sequence[str], Sequence[Sequence[page.Value]]]
"""Title, columns, rows."""
KEEP_YEARS = 3
"""PIPL 56: how long an assessment is kept."""
_BLANK = "________________"


def assessed(path: Path, name: str) -> dict[str, Any]:
    """What the assessment of the room says, as plain values. Raises UsageError where there is no such room."""
    home = Home.open(path.expanduser())
    room = Rooms(home.rooms).load(name)
    contract = room.contract
    told = desk.told(home, room)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    entries = read(home.ledger_path).entries if home.ledger_path.exists() else ()
    asked = {str(e.body["question"]): e for e in entries
             if e.kind == "debit" and e.body["contract"] == contract.digest()}  # fmt: skip
    releases = [
        {"time": e.time, "by": list(_texts(asked[str(e.body["question"])].body["by"])),
         "groups": e.body["rows"], "recipients": list(_texts(e.body["recipients"]))}
        for e in entries if e.kind == "release" and str(e.body["question"]) in asked
    ]  # fmt: skip
    noisy = told["in_force"] and contract.release.noise != "off" and home.party in contract.owners
    return {
        **{key: told[key] for key in ("room", "digest", "party", "parties", "match", "release", "purposes",
                                      "created", "expires", "learns", "notes", "in_force")},
        "datasets": [dataclasses.asdict(dataset) for dataset in contract.datasets],  # without labels: these are values
        "made": now.isoformat(),
        "keep_until": now.replace(year=now.year + KEEP_YEARS, day=min(now.day, 28)).date().isoformat(),
        "budgets": budgets.told(path, name)["budgets"] if noisy else [],
        "questions": len(asked),
        "releases": releases,
        "forgotten": sum(entry.kind == "forget" for entry in entries),
    }  # fmt: skip


def write(path: Path, result: dict[str, Any]) -> None:
    """As one HTML file in the current language. Raises UsageError, BadData."""
    blocks: list[page.Block] = [
        page.Note(t("The program fills in what the contract and this party's ledger say. Lines are for people: "
                    "necessity, balance and decision are theirs, and counsel's."))
    ]  # fmt: skip
    for title, columns, rows in sections(result):
        blocks += [page.Heading(title), page.Table(columns, rows)]
    page.write(
        path,
        t("Impact assessment of the room {room}", room=result["room"]),
        blocks,
        subtitle=t("By {party}, {day}. Personal Information Protection Law, articles 55 and 56; GDPR, article 35.",
                   party=t(result["party"]), day=result["made"][:10]),
        footer=t("Contract {digest}. To be kept until {day} at least.", digest=result["digest"],
                 day=result["keep_until"]),
    )  # fmt: skip


def sections(result: dict[str, Any]) -> list[Section]:
    """All tables, in the current language."""
    return [
        _purposes(result),
        (t("Who takes part"), (t("party"), t("role"), t("fingerprint")),
         [(t(each["name"]), t(each["role"]), each["fingerprint"]) for each in result["parties"]]),
        _columns(result),
        (t("Legal ground and consent"), (t("dataset"), t("owner"), t("ground or consent by the contract")),
         [(each["name"], t(each["owner"]), each["consent"] or _BLANK) for each in result["datasets"]]),
        (t("Who learns what by a run"), (t("party"), t("learns")),
         [(t(party), t(each["template"], **each["params"]))
          for party, found in result["learns"].items() for each in found]),
        _rules(result),
        _done(result),
        (t("Risks and what is done about them"), (t("risk"), t("measure"), t("what is left, by people")),
         [(risk, measure, _BLANK) for risk, measure in _risks(result)]),
        (t("Judgement and decision"), (t("question"), t("answer")),
         [(question, _BLANK) for question in _judgement()]),
    ]  # fmt: skip


def _purposes(result: dict[str, Any]) -> Section:
    rows = [(t("Purposes"), ", ".join(result["purposes"])),
            (t("From"), result["created"][:10]),
            (t("Until"), result["expires"][:10]),
            (t("Method"), t("match by {protocol}, computed at {party}", protocol=result["match"]["protocol"],
                            party=t(result["match"]["host"])))]  # fmt: skip
    return t("What for, how, how long"), (t("what"), t("by the contract")), rows


def _columns(result: dict[str, Any]) -> Section:
    rows: list[Sequence[page.Value]] = []
    for dataset in result["datasets"]:
        also = [each["kind"] for each in dataset["also"]]
        identities = ", ".join(t(name) for name in (dataset["identity"], *also))
        rows.append((dataset["name"], t(dataset["owner"]), identities, t("identity: never leaves as it is"),
                     t("at most {rows} rows", rows=f"{dataset['rows']:,}")))  # fmt: skip
        for column in dataset["columns"]:
            what = t("sensitive") if column["sensitive"] else ""
            rows.append((dataset["name"], t(dataset["owner"]), column["name"], kind(column["kind"]), what))
    return t("What data"), (t("dataset"), t("owner"), t("column"), t("kind"), t("remark")), rows


def _rules(result: dict[str, Any]) -> Section:
    release = result["release"]
    noise = t("off: numbers are exact") if release["noise"] == "off" else t(
        "{sigma} persons on every count; questions of ε {epsilon} a month about each dataset",
        sigma=release["sigma"], epsilon=release["epsilon"])  # fmt: skip
    rows: list[Sequence[page.Value]] = [
        (t("Recipients"), ", ".join(t(name) for name in release["recipients"])),
        (t("Least number of persons behind a number"), str(release["k"])),
        (t("Noise"), noise),
        (t("Questions"), t("only signed templates") if release["queries"] == "templates" else t("free, within rules")),
    ]
    for each in result["budgets"]:
        spent, whole = each["spent"]["rho_micro"], each["budget"]["rho_micro"]
        said = t("{share} of ε {whole} spent", share=f"{spent / whole:.0%}", whole=each["budget"]["epsilon"])
        rows.append((t("Budget of {dataset} this month", dataset=each["dataset"]), said))
    return t("What may leave"), (t("rule"), t("by the contract")), rows


def _done(result: dict[str, Any]) -> Section:
    rows: list[Sequence[page.Value]] = [
        (each["time"][:10], ", ".join(each["by"]) or t("everybody"), t("{groups} groups", groups=each["groups"]),
         ", ".join(t(name) for name in each["recipients"])) for each in result["releases"]
    ]  # fmt: skip
    rows.append((t("In all"), t("{questions} questions charged", questions=result["questions"]),
                 t("{releases} releases", releases=len(result["releases"])),
                 t("persons forgotten {times} times", times=result["forgotten"])))  # fmt: skip
    columns = (t("day"), t("grouped by"), t("released"), t("recipients"))
    return t("What was released so far, by this party's ledger"), columns, rows


def _risks(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    match, release = result["match"], result["release"]
    yield (t("An answer shows something about a single person."),
           t("No number is about fewer than {k} persons, and every one has noise of {sigma} persons.", k=release["k"],
             sigma=release["sigma"]) if release["noise"] != "off" else
           t("No number is about fewer than {k} persons; questions that could be subtracted are refused. Numbers are "
             "exact: noise would protect better.", k=release["k"]))  # fmt: skip
    yield (t("Another party learns who is a customer here."),
           t("Identities are matched by {protocol} and leave only blinded or as tokens. What is learned nevertheless "
             "stands under: who learns what.", protocol=match["protocol"]))  # fmt: skip
    if match["output"] == "members" and match["protocol"] != "keyed":
        yield (t("{party} learns which of its own persons the other side has, too.", party=t(match["receiver"])),
               t("Allowed by the contract; the consent of these persons must name it."))  # fmt: skip
    if match["protocol"] == "keyed":
        yield (t("{party} and an owner of data work together against the others.", party=t(match["host"])),
               t("Together they could open all tokens: so the contract names an operator that colludes with nobody; "
                 "that is a promise, not mathematics."))  # fmt: skip
    if any(column["sensitive"] for dataset in result["datasets"] for column in dataset["columns"]):
        yield (t("Sensitive personal information is used (PIPL 28, GDPR 9)."),
               t("Such a column never defines a members list; separate consent is to be on record."))  # fmt: skip
    yield (t("Data are used for another purpose, or longer."),
           t("Only signed questions within the contract run, until {day}. Each release has a receipt and an entry in "
             "every party's ledger.", day=result["expires"][:10]))  # fmt: skip
    yield (t("A person withdraws consent or wants to be deleted."),
           t("One command forgets a person in all versions, in later imports, and in restored backups by the newest "
             "list."))  # fmt: skip
    yield (t("The home, a backup or a machine is stolen."),
           t("Every column has a key of its own, wrapped by the home's key, which is to be kept apart; backups are "
             "encrypted."))  # fmt: skip


def _judgement() -> tuple[str, ...]:
    return (
        t("Are purpose and method lawful, legitimate and necessary (PIPL 56 (1), GDPR 35 (7) b)?"),
        t("What does it mean for the persons' rights and interests (PIPL 56 (2), GDPR 35 (7) c)?"),
        t("Are the measures lawful, effective and in proportion (PIPL 56 (3), GDPR 35 (7) d)?"),
        t("Do data leave the country?"),
        t("Opinion of the data protection officer"),
        t("Decision, name, day, signature"),
    )


def _texts(value: Any) -> Iterator[str]:
    return (str(each) for each in value)
