"""The run of `overlap`: start the parties, import, agree on a contract, match, answer, report."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cleanroom import warming
from cleanroom.files import replacing
from cleanroom.lang import t
from cleanroom.node.local import LocalParties, Progress
from cleanroom.overlap.asked import (
    MOST_CELLS,
    OPERATOR,
    SIDES,
    Overlap,
    Reference,
    check,
    check_comparable,
    columns_of,
    distinct,
    match_wish,
    refuse_slow,
    resolve,
    sides_of,
    slotted_sides,
)
from cleanroom.overlap.drafting import draft_contract
from cleanroom.overlap.siblings import Siblings
from cleanroom.rooms import costs
from cleanroom.rooms.choose import choose
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, from_plain, gathered, to_plain

TOLD_SECONDS = 5
"""An estimate of fewer seconds is not worth a sentence."""
_ACCOUNT = ("rows", "present", "valid", "unique", "losses")
_NAMES = {"left": "merchant", "right": "platform"}
"""What is told of a side's funnel."""


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.perf_counter()
        yield
        self.stages[name] = round(self.stages.get(name, 0.0) + time.perf_counter() - start, 3)

    def total(self) -> float:
        """Seconds since the beginning."""
        return round(time.perf_counter() - self._start, 3)


def run(asked: Overlap, home: Path | None = None, progress: Progress | None = None,
        say: Callable[[str], None] | None = None) -> dict[str, Any]:  # fmt: skip
    """The whole run; what it returns is the object that `--json` prints.

    home: where the parties' homes stay; by default they live in a temporary folder and are removed at the end.
    say: is told in a sentence, before it starts, of what takes long.
    Raises the named errors of every stage; then no output file exists.
    """
    check(asked)
    clock = Clock()
    folder = home or Path(tempfile.mkdtemp(prefix="cleanroom-"))
    try:
        with clock.stage("start"):
            homes = home_paths(folder, operator=asked.neutral)
            parties = Siblings(homes, progress)  # they load their libraries while the homes are made
            make_homes(homes)
        with parties, ExitStack() as outputs:
            members = outputs.enter_context(replacing(asked.members)) if asked.members else None
            receipt = outputs.enter_context(replacing(asked.receipt)) if asked.receipt else None
            ahead = Ahead(progress or (lambda *_: None), say or (lambda _: None))
            result = _run(replace(asked, members=members), parties, clock, homes, ahead, stays=home is not None)
            if receipt:
                receipt.write_text(result["receipt"]["file"], "utf-8")
            result["peak_memory"] |= parties.close()
    finally:
        if home is None:
            shutil.rmtree(folder, ignore_errors=True)
    if asked.members is not None:
        result["members"]["path"] = str(asked.members)
    return {**result, "seconds": clock.total(), "stages": clock.stages}


def home_paths(folder: Path, *, operator: bool) -> dict[str, Path]:
    """The merchant's home at `folder`, its peers' homes inside."""
    homes = {"merchant": folder, "platform": folder / "peers" / "platform"}
    return {**homes, OPERATOR: folder / "peers" / OPERATOR} if operator else homes


def make_homes(homes: dict[str, Path]) -> None:
    """Make the homes that do not exist yet."""
    from cleanroom.home import Home  # heavy, and by now the parties are starting

    for party, path in homes.items():
        if not (path / "node.json").exists():
            Home.create(path, party)


def _run(asked: Overlap, parties: LocalParties, clock: Clock, homes: dict[str, Path], ahead: "Ahead", *,
         stays: bool) -> dict[str, Any]:  # fmt: skip
    names = (*asked.by, *asked.sums)
    with clock.stage("look"):
        wanted = {side: [there[side] for name in names if side in (there := sides_of(asked, name))] for side in SIDES}
        looks = parties.call("look", {side: {"names": wanted[side], **asked.wish(side)} for side in SIDES if names})
    by, sums = distinct(*([resolve(asked, name, looks) for name in names] for names in (asked.by, asked.sums)))
    with clock.stage("import"):
        imports = parties.call("import", {
            side: {"profile": asked.profile, **asked.wish(side), **columns_of(side, by, sums)} for side in SIDES
        })  # fmt: skip
    check_comparable(imports)
    rows = {side: imports[side]["rows"] for side in SIDES}
    choice = choose(match_wish(asked, rows, by, sums), link=costs.link(asked.link))
    protocol = choice.protocol if asked.protocol == "auto" else asked.protocol
    if protocol != "keyed":
        homes = {side: homes[side] for side in SIDES}
    slotted = slotted_sides(protocol, asked, by, sums)
    estimate = refuse_slow(asked, rows, slotted)
    with clock.stage("compile"):
        ahead.prepare(protocol, max(rows.values()), estimate)
    with clock.stage("contract"):
        room = _agree(asked, parties, protocol, homes, imports, by, sums, slotted, stays=stays)
        asked = replace(asked, room=room.contract.room)
    query = {"by": [reference.qualified for reference in by], "sums": [reference.qualified for reference in sums]}
    jobs: dict[str, dict[str, Any]] = {party: {"room": asked.room, "query": query} for party in homes}
    if asked.members is not None:
        jobs[asked.receiver]["members"] = str(asked.members.absolute())
    with clock.stage("run"):
        answers = parties.call("run", jobs)
    told = {"explained": choice.explained(), "estimate": estimate}
    return {**report(asked, protocol, choice, room, imports, answers, clock), **told}


@dataclass(frozen=True)
class Ahead:
    """What is told and done before a match starts, so that nobody waits without knowing what for."""

    progress: Progress
    say: Callable[[str], None]

    def prepare(self, protocol: str, rows: int, estimate: dict[str, int] | None) -> None:
        """Tell what the slots will take, and compile the kernels that the match needs, where they are not yet."""
        if estimate is not None and estimate["seconds"] >= TOLD_SECONDS:
            self.say(
                t("Encrypting columns of {rows} persons: about {seconds} s, {megabytes} MB between the parties.",
                  **{name: f"{value:,}" for name, value in estimate.items()})
            )  # fmt: skip
        needed = warming.needed(protocol, rows, slots=estimate is not None)
        if not all(map(warming.is_warm, needed)):
            self.say(t("Compiling kernels, once for this version: about a minute."))
            warming.ensure(needed, self.progress)


def _agree(asked: Overlap, parties: LocalParties, protocol: Any, homes: dict[str, Path], imports: dict[str, Any],
           by: list[Reference], sums: list[Reference], slotted: list[str], *, stays: bool) -> Room:  # fmt: skip
    """Draft the contract, let every party sign, let every party keep it. Where runs go on from each other a room that
    says the same and is in force serves again: within its epoch nothing is asked, evaluated or sent twice."""
    limits = {"most": MOST_CELLS[protocol], "least": asked.k}
    wishes = {side: {"dataset": asked.datasets[side], **columns_of(side, by, sums), **limits} for side in SIDES}
    proposals = parties.call("propose", wishes)
    bits = dict.fromkeys(slotted, asked.key_bits)
    keys = parties.call("keys", {party: {"key_bits": bits.get(party, 0)} for party in homes})
    contract, annexes = draft_contract(asked, protocol, keys, imports, proposals, by, sums, slotted, stays=stays)
    if protocol == "oprf" or contract.match.updates:
        rows = {asked.datasets[side]: imports[side]["rows"] for side in SIDES}
        drafted = to_plain(Room(SignedContract(contract), annexes))
        if (kept := parties.call("again", {"merchant": {"room": drafted, "rows": rows}})["merchant"]) is not None:
            return from_plain(kept)
    name = parties.call("name", {"merchant": {"wanted": asked.room}})["merchant"]
    unsigned = Room(SignedContract(replace(contract, room=name)), annexes)
    requests = {party: {"room": to_plain(unsigned, for_operator=party == OPERATOR)} for party in homes}
    signed = [from_plain(answer) for answer in parties.call("sign", requests).values()]
    room = gathered(unsigned, signed)
    parties.call("keep", {party: {"room": to_plain(room, for_operator=party == OPERATOR)} for party in homes})
    return room


def report(asked: Overlap, protocol: str, choice: Any, room: Room, imports: dict[str, Any], answers: dict[str, Any],
           clock: Clock) -> dict[str, Any]:  # fmt: skip
    """The object that `--json` prints."""
    receiver = answers[asked.receiver]
    for party, answer in answers.items():
        for stage, seconds in answer["stages"].items():
            clock.stages[f"{party}: {stage}"] = seconds
    sides = {name: {key: imports[side]["funnel"][key] for key in _ACCOUNT} for name, side in _NAMES.items()}
    return {
        "room": asked.room,
        "protocol": protocol,
        "why": {"template": choice.why, **choice.params} if asked.protocol == "auto" else None,
        **sides,
        "on": [each.kind for each in room.contract.datasets[0].identities],
        "unparsed": {name: imports[side]["funnel"]["unparsed"] for name, side in _NAMES.items()},
        "overlap": {"value": receiver["size"], **receiver["range"]},
        "segments": receiver["segments"],
        "k": asked.k,
        "noise": receiver["noise"] or "off",
        "members": receiver["members"],
        "wire_bytes": sum(answer["sent"] for answer in answers.values()),
        "learned": {
            party: [{"text": t(each["template"], **each["params"]), **each} for each in answer["learned"]]
            for party, answer in answers.items()
        },
        "contract": room.contract.digest(),
        "receipt": receiver["receipt"],
        "peak_memory": {"enclave": answers[room.contract.match.host]["enclave_memory"]},
    }
