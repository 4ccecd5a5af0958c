"""A crowd is sent to a channel: who of it is settled and kept, then batches leave, each once, whatever dies meanwhile.

1. Contract, channel, purpose, last day, floor; 2. a person's yes, where the platform wants one; 3. the plan: consents,
opt-outs, reach, caps and arms as they are now; 4. batch by batch, consents and opt-outs looked at again. Counts stay at
the platform: the other side is told a range that it has already. References of users are taken out here and nowhere
else, and stand in no error, log or file but the one that was asked for.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom import private_files
from cleanroom.access import catalogue
from cleanroom.activation import choosing, export, memberships, people, rules
from cleanroom.activation.approving import check_approved
from cleanroom.activation.memberships import Membership, Use
from cleanroom.activation.people import Keys
from cleanroom.activation.push import PAUSES, Push
from cleanroom.activation.sends import BATCH, Done, Plan, Sends, Way, day_of, new_number
from cleanroom.activation.tally import Tally, files
from cleanroom.campaigns import arms
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.keys import SecretAccess
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Rooms

BATCH_FORMAT = "cleanroom-activation-batch/1"
Progress = Callable[[str, str, int, int], None]
_CHUNK = 200
"""Batches whose people are looked up together."""
_FOLDER, _LOCK = "activation", "activation.lock"
_HOLDOUT_SECRET = "global-holdout"  # noqa: S105 - the slot's name


@dataclass(frozen=True)
class Outcome:
    """What a send came to, for the platform: people sent to, and left out by reason; over_cap: by the contract's."""

    plan: Plan
    done: Done
    over_cap: int

    @property
    def complete(self) -> bool:
        """Whether all batches are through."""
        return self.done.batches == self.plan.batches


def send(home: Home, room: str, code: str, *, version: str = "", channel: str = "", progress: Progress | None = None,
         pauses: tuple[float, ...] = PAUSES) -> Outcome:  # fmt: skip
    """Push the crowd to its channel's server; where that was begun, go on. What is through is never sent again.

    version: by default the newest; channel: needed where the version has several. Raises Refused, Waiting (a person's
    yes), UsageError, and Interrupted where the server does not take a batch: then nothing is lost, ask again.
    """
    held, use, contract = _checked(home, room, code, version, channel)
    server = rules.load(home).push.get(use.channel)
    if server is None:
        raise UsageError("{file} names no server for the channel {channel}.", "Add [push.{channel}] with its url.",
                         file=rules.FILE, channel=use.channel)  # fmt: skip
    with _alone(home, room, code, use):
        plan = _planned(home, contract, held, use, "push")
        sends, push = Sends(home, room), Push(use.channel, server, pauses)
        done = sends.done(plan)
        for number, handles, late in _batches(home, plan, done.batches):
            if len(handles):
                push.send(plan.idempotency_key(number), _body(plan, number, handles))
            done = done.through(len(handles), late)
            sends.note(plan, done)
            if progress is not None:
                progress(home.party, "send", done.batches, plan.batches)
        return Outcome(plan, done, held.left_out)


def write(home: Home, room: str, code: str, path: Path, *, version: str = "", channel: str = "") -> Outcome:
    """The same people as a file (.csv, .parquet), for who brings them to the channel. It counts as sent to them.

    Again: the same people, less who must not be addressed any more. Raises as `send`.
    """
    export.check_path(path)
    held, use, contract = _checked(home, room, code, version, channel)
    with _alone(home, room, code, use):
        plan = _planned(home, contract, held, use, "file")
        done = Done()

        def batches() -> Iterator[pa.StringArray]:
            nonlocal done
            for _, handles, late in _batches(home, plan, 0):
                done = done.through(len(handles), late)
                yield handles

        export.write(path, batches())
        Sends(home, room).note(plan, done)
        return Outcome(plan, done, held.left_out)


def outcomes(home: Home, room: str) -> list[Outcome]:
    """What was sent of a room's crowds and how far it has come, oldest first."""
    sends, found = Sends(home, room), []
    for plan in sends.each():
        kept = plan.version in memberships.kept_versions(home, room, plan.code)
        over = memberships.load(home, room, plan.code, plan.version).left_out if kept else 0
        found.append(Outcome(plan, sends.done(plan), over))
    return sorted(found, key=lambda each: each.plan.made)


def _checked(home: Home, room: str, code: str, version: str, channel: str) -> tuple[Membership, Use, Contract]:
    """What is to be sent, if everybody agreed to it. Raises Refused, UsageError."""
    contract = Rooms(home.rooms).load(room).in_force(dt.datetime.now(dt.UTC))
    term = memberships.term_of(contract, home.party)
    held = memberships.load(home, room, code, version or None)
    if not channel and len(held.uses) > 1:
        raise UsageError("The crowd {code} is for several channels.", "Name one of: {channels}.", code=code,
                         channels=", ".join(use.channel for use in held.uses))  # fmt: skip
    use = held.use(channel or held.uses[0].channel)
    if use.channel not in term.channels or use.purpose not in contract.purposes:
        raise Refused("The contract as it is now does not allow {channel} for {purpose}.", channel=use.channel,
                      purpose=use.purpose)  # fmt: skip
    memberships.check_day(use.ends)
    if 0 <= held.noised < term.floor:
        raise memberships.below(term.floor)
    if catalogue.load(home).channels:
        catalogue.check_channel(home, use.channel, (use.purpose,))
    if rules.load(home).approval == "ask":
        check_approved(home, contract, held, use)
    return held, use, contract


def _planned(home: Home, contract: Contract, held: Membership, use: Use, way: Way) -> Plan:
    """The plan there is, or a new one. Raises Refused where the crowd goes to this channel another way."""
    sends = Sends(home, contract.room)
    with private_files.locked(lock(home)):
        plan = sends.find(held.code, held.version, use.channel)
        if plan is not None and plan.way != way:
            raise Refused("The crowd {code} of {version} was brought to {channel} another way already.",
                          "Nobody is to get the same thing twice.", code=held.code, version=held.version,
                          channel=use.channel)  # fmt: skip
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        today, settings = memberships.today_in_china(), rules.load(home)
        _settle(home, today, settings.days)
        if plan is not None:
            return plan
        chosen = choosing.choose(home, held.dataset, held.keys, use.channel, _caps(home, today, settings),
                                 _addressed(home, held))  # fmt: skip
        plan = Plan(
            contract.room, held.code, held.version, use.channel, use.purpose, use.ends, way, held.dataset, new_number(),
            today.strftime("%Y%m%d"), now, len(chosen.keys), chosen.left_out, chosen.keys, chosen.held,
        )  # fmt: skip
        sends.keep(plan)
        contacts(home, plan.day).add(plan.name, plan.keys)
        return plan


def contacts(home: Home, day: str) -> Tally:
    """Who was to be sent something on a day, yyyyMMdd."""
    return Tally(home, contacts_folder(home) / day)


def contacts_folder(home: Home) -> Path:
    """Where it stands whom anything was sent to, a file a day."""
    return home.path / _FOLDER / "contacts"


def lock(home: Home) -> Path:
    """Held by whoever makes a plan, or changes one."""
    return home.path / _LOCK


def _settle(home: Home, today: dt.date, days: int) -> None:
    """Count the plans of these days that a crash kept from being counted."""
    first = _first(today, days)
    for room in Rooms(home.rooms).names():
        sends = Sends(home, room)
        for name in (name for name in sends.names() if day_of(name) >= first):
            tally = contacts(home, day_of(name))
            if name not in tally.names:
                tally.add(name, sends.load(name).keys)


def _caps(home: Home, today: dt.date, settings: rules.Rules) -> choosing.Caps:
    first = _first(today, settings.days)

    def had(keys: Keys) -> NDArray[np.int64]:
        counts = np.zeros(len(keys), np.int64)
        for path in files(contacts_folder(home)):
            if path.name >= first:
                counts += Tally(home, path).of(keys)
        return counts

    secret = home.keys.secret(_HOLDOUT_SECRET, arms.new_seed, SecretAccess("the global holdout"))
    return choosing.Caps(settings.messages, had, settings.holdout, secret)


def _first(today: dt.date, days: int) -> str:
    return (today - dt.timedelta(days=days - 1)).strftime("%Y%m%d")


def _addressed(home: Home, held: Membership) -> choosing.Addressed:
    from cleanroom.campaigns import holdout

    return lambda rows: holdout.addressed(home, held.room, held.code, held.dataset, rows, held.version)


def _batches(home: Home, plan: Plan, first: int) -> Iterator[tuple[int, pa.StringArray, dict[str, int]]]:
    """(number, whom to send to, who must no longer be, by reason) of each batch from `first` on.

    Consents and opt-outs are looked up anew every 200 batches.
    """
    for start in range(first, plan.batches, _CHUNK):
        some = plan.keys[start * BATCH : (start + _CHUNK) * BATCH]
        rows = people.rows_of(home, plan.dataset, some)
        batch = people.places(people.keys(home, plan.dataset, rows), some) // BATCH
        out = choosing.unfit(home, plan.dataset, rows, plan.channel)
        reason = np.select([*out.values()], range(len(out)), len(out))
        handles = people.handles(home, plan.dataset, rows, SecretAccess("a batch on its way to the channel"))
        order = np.argsort(batch, kind="stable")
        asked = np.bincount(np.arange(len(some)) // BATCH)
        ends = np.searchsorted(batch[order], np.arange(len(asked) + 1))
        for number, size in enumerate(asked):
            its = order[ends[number] : ends[number + 1]]
            counts = np.bincount(reason[its], minlength=len(out) + 1)
            late = {"gone": int(size) - len(its)} | {name: int(n) for name, n in zip(out, counts, strict=False)}
            sent = handles.take(pa.array(its[reason[its] == len(out)]))
            yield start + number, sent, {name: n for name, n in late.items() if n}


def _body(plan: Plan, number: int, handles: pa.StringArray) -> bytes:
    """A batch as its server gets it: JSON in UTF-8."""
    told = {"format": BATCH_FORMAT, "crowd": plan.code, "version": plan.version, "channel": plan.channel,
            "purpose": plan.purpose, "ends": plan.ends, "batch": number + 1, "batches": plan.batches,
            "handles": handles.to_pylist()}  # fmt: skip
    return json.dumps(told, ensure_ascii=False).encode()


def _alone(home: Home, room: str, code: str, use: Use) -> AbstractContextManager[None]:
    """One process sends a crowd to a channel at a time."""
    folder = home.rooms / Path(room).name
    return private_files.locked(folder / f"send-{code}-{use.channel}.lock")
