"""What a node's jobs do, each in a worker process of its own, with the other parties at their own nodes.

A job's result is small and holds no row. It may be done twice where a node is killed: every kind is made so that the
second time gives what the first gave, and is charged nothing more.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from cleanroom import datasets, planning, querying, replaying
from cleanroom.errors import UsageError
from cleanroom.gate import gate
from cleanroom.home import Home
from cleanroom.node.local import Progress
from cleanroom.rooms.contract import Contract

HOW_MANY = f"SELECT COUNT(*) FROM {gate.MATCHED}"  # noqa: S608 - a name of ours
"""The question that a match answers."""
Step = Callable[[str, int, int], None]
Meet = Callable[[dict[str, Any]], None]


class Afar:
    """The parties of a run at their own nodes: this one plays its part here, once the others have begun theirs."""

    def __init__(self, party: str, meet: Meet, own: Callable[..., dict[str, Any]]) -> None:
        self._party, self._meet, self._own = party, meet, own

    def call(self, job: str, arguments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """See parties.Parties; of the others nothing comes back but what the run itself tells."""
        if job != "run":
            raise UsageError("There is no call {call}.", call=job)
        self._meet({"parties": {name: dict(each) for name, each in arguments.items() if name != self._party}})
        return {self._party: self._own(**arguments[self._party])}

    def meeting(self, home: Home, contract: Contract, names: Iterable[str], progress: Progress | None) -> Self:
        """As `parties.Meeting`."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        """Nothing to end: the process ends."""


def run(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """One run as whoever submitted it put it. arguments: parties, each with its job."""
    outcome: dict[str, Any] = parties.call("run", arguments["parties"])[home.party]
    return {**outcome, "segments": None}  # they stand in the ledger, and may be many


def query(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """SQL or a template. arguments: sql, template, values, within, receipt (a path)."""
    receipt = arguments.get("receipt")
    return querying.answer(
        home.path, room, arguments.get("sql", ""), within=arguments.get("within"), template=arguments.get("template"),
        values=arguments.get("values"), receipt=Path(receipt) if receipt else None, meeting=parties.meeting,
    )  # fmt: skip


def match(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """How many people match."""
    return query(home, room, {"sql": HOW_MANY}, parties, step)


def plan(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """The room's planning cube, unless there is one of this period. arguments: period."""
    found = planning.make(home.path, room, arguments.get("period", "weekly"), meeting=parties.meeting)
    return {**found, "plan": None}


def replay(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A receipt's answer counted once more. arguments: file."""
    return replaying.replayed(home.path, Path(needed(arguments, "file")), meeting=parties.meeting)


def export(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """This party's members, by the contract, into a file at this node. arguments: file."""
    _, held = querying.opened(home.path, room)
    job = {"room": room, "query": {"by": [], "sums": [], "where": []}}
    jobs = querying.jobs(held.contract, [each.name for each in held.contract.parties], job)
    jobs[home.party] = {**jobs[home.party], "members": needed(arguments, "file")}
    outcome = parties.call("run", jobs)[home.party]
    return {"room": room, "members": outcome["members"], "receipt": outcome["receipt"]["digest"]}


def refresh(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A dataset imported anew from its source, then (where a room is named) matched, by what changed where the room
    allows updates. arguments: dataset, source; where they are not as usual on, profile, mapping, features, as_of; or
    dataset and upload, the number of a file that a user has brought and looked at."""
    if "upload" in arguments:
        from cleanroom import uploaded

        return uploaded.imported(home, needed(arguments, "upload"), needed(arguments, "dataset"), step)
    given = {name: arguments.get(name) for name in ("profile", "mapping", "features", "as_of")}
    added = datasets.add(
        home.path, needed(arguments, "source"), needed(arguments, "dataset"), str(arguments.get("on", "phone")),
        given["profile"], given["mapping"], given["features"], given["as_of"],
        lambda _, stage, done, total: step(stage, done, total),
    )  # fmt: skip
    matched = match(home, room, {}, parties, step) if room else None
    return {"dataset": added["dataset"], "version": added["version"], "rows": added["rows"], "match": matched}


def examine(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """What an upload holds, row by row accounted for; kept sealed beside it. arguments: upload."""
    from cleanroom import uploaded

    return uploaded.examined(home, needed(arguments, "upload"), step)


def forget(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """The persons of a list that a user has brought, forgotten in all datasets. arguments: upload."""
    from cleanroom import uploaded

    return uploaded.forgotten(home, needed(arguments, "upload"))


def board(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A board of another owner's dataset. arguments: dataset; board, "full" or "daily"."""
    from cleanroom import boards  # numba: only where one is made

    kind: boards.Board = "daily" if arguments.get("board") == "daily" else "full"
    return boards.make(home.path, room, dataset=str(arguments.get("dataset", "")), board=kind, meeting=parties.meeting)


def crowd(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A crowd's version of the day, and its activation where asked: see `crowds.daily`; with `do`, what a user or a
    provider asked for: see `crowds.wishes`."""
    from cleanroom.crowds import daily, wishes

    kind = wishes.work if "do" in arguments else daily.work
    return kind(home, room, arguments, parties, step)


def activate(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A crowd given to a channel, as a user or a provider asked for it: see `crowds.wishes`."""
    from cleanroom.crowds import wishes

    return wishes.activated(home, room, arguments, parties, step)


def insight(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A page of metrics or a portrait, read for nothing: see `insight.wishes`."""
    from cleanroom.insight import wishes

    return wishes.work(home, room, arguments, parties, step)


def lookalike(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A lookalike that a peer asked for: see `crowds.lookalike_making`."""
    from cleanroom.crowds import lookalike_making  # scikit-learn

    return lookalike_making.work(home, room, arguments, parties, step)


def spread(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A lookalike asked for. arguments: seed, name, count, include, channels, external; the same external code again is
    the same lookalike."""
    from cleanroom.crowds import desk  # the gate, plans

    made = desk.spread(
        home.path, room, needed(arguments, "name"), needed(arguments, "seed"), int(arguments.get("count", 0)),
        arguments.get("include") is True, tuple(map(str, arguments.get("channels", ()))),
        external=needed(arguments, "external"), meeting=parties.meeting,
    )  # fmt: skip
    return {"crowd": made.code}


def gain(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """How like its seed a lookalike is; what was counted is not counted again. arguments: crowd."""
    from cleanroom.crowds import lookalike_asking

    found = lookalike_asking.gain(home.path, room, needed(arguments, "crowd"), meeting=parties.meeting)
    return {"crowd": needed(arguments, "crowd"), "tenths": len(found)}


def campaign(home: Home, room: str, arguments: dict[str, Any], parties: Afar, step: Step) -> dict[str, Any]:
    """A campaign measured; the same data again cost nothing. arguments: campaign, within, reach, attribution (yes)."""
    from cleanroom.campaigns import running  # numpy's statistics, the gate

    found = running.measure(
        home.path, room, needed(arguments, "campaign"), within=arguments.get("within") or None,
        reach=arguments.get("reach") == "yes", touches=arguments.get("attribution") == "yes", meeting=parties.meeting,
    )  # fmt: skip
    return {"campaign": found["name"], "receipts": found["measured"]["receipts"]}


def needed(arguments: Mapping[str, Any], name: str) -> str:
    """An argument that a job cannot do without. Raises UsageError."""
    if not isinstance(arguments.get(name), str):
        raise UsageError("This job needs {name}.", "--set {name}=…", name=name)
    return str(arguments[name])


Kind = Callable[[Home, str, dict[str, Any], Afar, Step], dict[str, Any]]
KINDS: dict[str, Kind] = {
    "run": run, "query": query, "match": match, "plan": plan, "replay": replay, "export": export, "refresh": refresh,
    "board": board, "crowd": crowd, "activate": activate, "insight": insight, "lookalike": lookalike,
    "spread": spread, "gain": gain, "campaign": campaign,
    "examine": examine, "forget": forget,
}  # fmt: skip
