"""A crowd of people like another's: its version is made, and its members kept, by whoever addresses people.

Here stands what was asked and a range of its size. It is for the channels that it was asked for, from the start; it
cannot stand in another crowd's rule, since nobody here knows who is in it.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cleanroom.crowds import channels as known_channels
from cleanroom.crowds import lists as own_lists
from cleanroom.crowds.crowd import Crowd, Size, Version, fingerprint
from cleanroom.crowds.lookalike_asking import spread as ask
from cleanroom.crowds.lookalike_store import DONE, FAILED, Asked, Lookalikes
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.reading import check_usable, frozen, report_day
from cleanroom.crowds.rule import Other, Pool, Rule
from cleanroom.crowds.store import Crowds
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.node.parties import Meeting, usual
from cleanroom.querying import opened
from cleanroom.rooms.contract import Contract

LASTS = dt.timedelta(days=90)


def spread(path: Path, room: str, name: str, seed_code: str, count: int, include_seed: bool,
           channels: Sequence[str] = (), *, purpose: str = "", external: str = "",
           meeting: Meeting = usual) -> Crowd:  # fmt: skip
    """A crowd of `count` people like those of `seed_code`; charged. channels: the contract's where none is named;
    purpose: likewise the first. Between nodes it is "new" until the other side has made it.

    Raises Refused for a seed that is too small and what the contract does not allow; then no crowd is made.
    """
    home, held = opened(path, room)
    crowds, contract, today = Crowds(home), held.contract, own_lists.today()
    seed = crowds.get(seed_code)
    check_usable(seed_code, seed.status(today), seed.ends)
    used, aim = _used(contract, channels), purpose or contract.purposes[0]
    rule = Rule((Pool((Other(seed_code),)),))
    content = fingerprint(room, name, list(used), aim, rule.plain(), count, include_seed)
    if external and (there := crowds.by_external(external, room)) is not None:
        if there.content != content:
            raise Refused("The external code {code} means another crowd already.", "Choose another code.",
                          code=external)  # fmt: skip
        return there
    code, ends = crowds.new_code(), min((today + LASTS).isoformat(), contract.expires[:10])
    day = report_day().strftime(own_lists.DAY)
    notes = [CrowdNote(code, day, name, channel, aim, ends) for channel in used]
    asked = ask(path, room, frozen(home, held, seed.rule), seed_code, notes, count=count, include=include_seed,
                meeting=meeting)  # fmt: skip
    crowd = Crowd(code, room, name, "spread", rule, today.isoformat(), ends, home.party, external, used,
                  content=content)  # fmt: skip
    crowd = replace(crowd, versions=_versions(asked))
    with crowds.lock():
        crowds.add(crowd)
    return crowd


def settled(home: Home, crowd: Crowd) -> Crowd:
    """The crowd with the version that the other side has made meanwhile."""
    if crowd.kind != "spread" or crowd.versions:
        return crowd
    versions = _versions(Lookalikes(home).load(crowd.code))
    return Crowds(home).change(crowd.code, lambda held: replace(held, versions=versions)) if versions else crowd


def made(home: Home, crowd: Crowd) -> Version:
    """Its version. Raises Refused where the other side has made none."""
    found = settled(home, crowd)
    if found.versions:
        return found.versions[-1]
    if Lookalikes(home).load(crowd.code).state == FAILED:
        raise Refused("The lookalike {code} could not be made.", "cleanroom crowd show says why.", code=crowd.code)
    raise Refused("The lookalike {code} is not made yet.", "Ask again in a minute.", code=crowd.code)


def failure(home: Home, crowd: Crowd) -> str:
    """Why the other side could not make it; "" where it could, or still may."""
    return Lookalikes(home).load(crowd.code).reason if crowd.kind == "spread" else ""


def _used(contract: Contract, channels: Sequence[str]) -> tuple[str, ...]:
    if contract.activation is None:
        raise Refused("The contract of this room lets no crowd be made.", "Agree on an [activation] in the contract.")
    used = known_channels.check(channels) or contract.activation.channels
    for channel in used:
        if channel not in contract.activation.channels:
            raise Refused("The contract has no channel {channel}.", "It has: {channels}.", channel=channel,
                          channels=", ".join(contract.activation.channels))  # fmt: skip
    return used


def _versions(asked: Asked) -> tuple[Version, ...]:
    if asked.state != DONE:
        return ()
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    size = Size(asked.low, asked.high, asked.low == 0, "run", now[:10], charged=True, receipt=asked.receipt)
    return (Version(asked.version, now, asked.seed, size),)
