"""A run that a peer begins: whether this room has such a question, before anything of it is kept, shown or started.

A peer chooses every word of it. What passes is small, of known types, about columns of the contract, put by an owner
whose own data it is about, to just those who take part. What may be released of it is checked again where it is
answered.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cleanroom.enclave.query import split_name
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.privacy import accounting
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.disclosure import Sentence
from cleanroom.rooms.taking_part import owners_of, parties_of

MOST_BYTES = 1 << 19
"""Of a job as JSON: the conditions of 4,096 boxes fit."""
MOST_COLUMNS = 256
_MOST_TEXT = 512
_JOB: Mapping[str, tuple[type, ...]] = {
    "room": (str,), "query": (dict,), "again": (bool,), "expected": (str,), "template": (str, type(None)),
    "values": (dict,), "board": (dict, type(None)), "crowd": (dict, type(None)),
}  # fmt: skip
_QUERY: Mapping[str, type] = {"by": list, "sums": list, "where": list, "sigma": int, "plan": bool, "over": list}


def check(contract: Contract, party: str, asker: str, parties: Collection[str], job: Mapping[str, Any]) -> None:
    """Raises Refused where `asker` may not put that question to these parties, `party` one of them; BadData for what
    is no question.

    job: room, query, and where they differ from the usual again, expected, template, values; as `PartyJobs.job_run`.
    """
    _check_form(job)
    if job["room"] != contract.room:
        raise _malformed()
    if asker not in contract.owners:
        raise Refused("Only an owner of data asks about the match.")
    if job.get("board") is not None:
        _check_board(contract, party, asker, parties, job)
        return
    if job.get("crowd") is not None:
        _check_crowd(contract, party, asker, job)
    query = job["query"]
    over = query.get("over", [])
    if asker not in owners_of(contract, over):
        raise Refused(
            "{party} brings none of the datasets that the question lines up, and takes no part in it.",
            "FROM matched lines up all; or name a dataset of your own among them.",
            party=asker,
        )
    if sorted(parties) != sorted(parties_of(contract, over)) or party not in parties:
        raise _malformed()
    for name in {*query["by"], *query["sums"], *conditions(query)}:
        try:
            dataset, column = split_name(name)
        except UsageError as error:
            raise _malformed() from error
        contract.dataset(dataset).column(column)


def _check_crowd(contract: Contract, party: str, asker: str, job: Mapping[str, Any]) -> None:
    """Of a crowd: an operator is told no rule, an owner all of it; whom one may address is for the other to say."""
    from cleanroom.answer.crowd import check, from_job

    crowd, query = from_job(job["crowd"]), job["query"]
    if crowd is None or not query.get("plan") or query.get("over") or query.get("where") or query["sums"]:
        raise _malformed()
    if (crowd.selection is None) == (party in contract.owners) or job.get("again") or job.get("template"):
        raise _malformed()
    check(contract, crowd, tuple(query["by"]), asker)


def _check_board(contract: Contract, party: str, asker: str, parties: Collection[str], job: Mapping[str, Any]) -> None:
    """Of a board: its owner alone is asked, by another owner. What of it may leave is checked where it is answered."""
    from cleanroom.answer.board import check, from_job

    if (board := from_job(job["board"])) is None or job["query"].get("over") or job["query"].get("plan"):
        raise _malformed()
    check(contract, board, job["query"]["by"], job["query"]["sums"])
    if asker != board.asker or sorted(parties) != sorted(board.parties(contract)) or party not in parties:
        raise _malformed()


def said(contract: Contract, job: Mapping[str, Any]) -> list[Sentence]:
    """What a yes to a job that was checked would reveal, and what it costs, for whoever is to say it."""
    query = job["query"]
    found = [Sentence("The columns of the question: {columns}.", {"columns": _listed((*query["by"], *query["sums"]))})]
    if named := conditions(query):
        found.append(Sentence("Only people chosen by their values in: {columns}.", {"columns": _listed(named)}))
    if query.get("over"):
        found.append(Sentence("The datasets that it lines up: {datasets}.", {"datasets": _listed(query["over"])}))
    if board := job.get("board"):
        found.append(Sentence("It is a board: numbers with noise about all persons of {dataset}, matched or not, in "
                              "{tables} tables.",
                              {"dataset": board["dataset"], "tables": len(board["tables"])}))  # fmt: skip
    if crowd := job.get("crowd"):
        found += _crowd(contract, crowd)
    elif query.get("plan"):
        found.append(Sentence("It is a plan: all tables by one and by two of these columns."))
    if job.get("template"):
        found.append(Sentence("It is a template that all owners have signed."))
    if job.get("again"):
        found.append(Sentence("It counts an answer again that was released before: nothing is charged."))
    elif contract.release.noise != "off":
        found.append(_price(contract, job))
    found.append(Sentence("Numbers of groups of at least {k} people, as the contract releases them.",
                          {"k": contract.release.k}))  # fmt: skip
    return found


def _crowd(contract: Contract, crowd: Mapping[str, Any]) -> list[Sentence]:
    """What is told of a crowd, and to whom."""
    found = [Sentence("It is the size of a crowd, with noise, and where asked tables of it by one column each.")]
    literals = [each for box in crowd.get("selection", ()) for each in box]  # an operator is told no rule
    rule = sorted({each[1] for each in literals if each[0] == "within"})
    if rule:
        found.append(Sentence("Only people chosen by their values in: {columns}.", {"columns": _listed(rule)}))
    if lists := sorted({each[1] for each in literals if each[0] == "listed"}):
        found.append(Sentence("Only people chosen by lists that were uploaded beside: {datasets}.",
                              {"datasets": _listed(lists)}))  # fmt: skip
    note, term = crowd.get("note"), contract.activation
    if note and term is not None:
        found.append(Sentence(
            "{party} learns which of its own people are in the crowd {name} of {day}, chosen by {columns}: one bit a "
            "person, for {channel} and {purpose}, until {ends}.",
            {"party": term.receiver, "name": note["name"], "day": note["version"], "columns": _listed(rule),
             "channel": note["channel"], "purpose": note["purpose"], "ends": note["ends"]},
        ))  # fmt: skip
    elif literals and term is not None and contract.match.protocol != "keyed":
        found.append(Sentence("{party}, who hosts the match, sees which of its own people are in the crowd.",
                              {"party": term.receiver}))  # fmt: skip
    return found


def conditions(query: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that the conditions of a checked query name, sorted."""
    return tuple(sorted({name for box in query.get("where", ()) for name, _ in box}))


def _price(contract: Contract, job: Mapping[str, Any]) -> Sentence:
    from cleanroom.plan.cube import tables  # only where a person is asked

    query = job["query"]
    sigma = query.get("sigma") or contract.release.sigma
    if board := job.get("board"):
        rho = accounting.rho_micro(sigma, len(board["tables"]) + len(query["sums"]))
    elif job.get("crowd"):
        rho = accounting.rho_micro(sigma, 1 + len(query["by"]), contract.moved)
    else:
        released = len(tables(tuple(query["by"]))) if query.get("plan") else 1 + len(query["sums"])
        rho = accounting.rho_micro(sigma, released, contract.moved)
    return Sentence(
        "With noise of {sigma} persons; it costs {rho} millionths of ρ of this month's budget, unless it was answered "
        "before.",
        {"sigma": sigma, "rho": rho},
    )  # fmt: skip


def _check_form(job: Mapping[str, Any]) -> None:
    """Types and sizes alone."""
    try:
        size = len(json.dumps(job, allow_nan=False).encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise _malformed() from error
    known = size <= MOST_BYTES and {"room", "query"} <= job.keys() <= _JOB.keys()
    if not known or any(type(value) not in _JOB[name] for name, value in job.items()):
        raise _malformed()
    query = job["query"]
    if not {"by", "sums"} <= query.keys() <= _QUERY.keys():
        raise _malformed()
    if any(type(value) is not _QUERY[name] for name, value in query.items()) or query.get("sigma", 0) < 0:
        raise _malformed()
    texts = [job.get("expected", ""), job.get("template") or "", *job.get("values", {}).values()]
    if not all(type(text) is str and len(text) <= _MOST_TEXT for text in texts):
        raise _malformed()
    if not all(_names(query.get(name, [])) for name in ("by", "sums", "over")) or not _boxes(query.get("where", [])):
        raise _malformed()


def _names(value: Sequence[Any]) -> bool:
    """Whether they are few different names."""
    return len(value) <= MOST_COLUMNS and all(type(name) is str for name in value) and len(set(value)) == len(value)


def _boxes(value: Sequence[Any]) -> bool:
    """Whether they are boxes of a condition, by cell numbers."""
    if not all(type(box) is list and len(box) <= MOST_COLUMNS for box in value):
        return False
    parts = [part for box in value for part in box]
    if not all(type(part) is list and len(part) == 2 for part in parts):
        return False
    return all(
        type(name) is str and type(cells) is list and all(type(cell) is int for cell in cells) for name, cells in parts
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "–"


def _malformed() -> BadData:
    return BadData("A run is asked for in a form that this version does not know.")
