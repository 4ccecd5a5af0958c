"""At whoever asks for a lookalike: its seed counted, part of it held out, the other side asked, the gain counted.

Each number about the other side is a charged release of a crowd's run: the seed's size and one table of every column of
the platform's; and, for the gain, ten sizes of the part that was held out. Who was held out is drawn here, by chance,
and is known to this home alone.
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from cleanroom.crowds import lookalike_making, running
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.lookalike import LEAST_SEED
from cleanroom.crowds.lookalike_gain import Tenth
from cleanroom.crowds.lookalike_request import FORMAT, Request, list_code, malformed
from cleanroom.crowds.lookalike_store import FAILED, WAITS, Asked, Lookalikes
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.selection import Box, Listed, Selection
from cleanroom.errors import KNOWN, Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, Parties, usual
from cleanroom.querying import opened
from cleanroom.rooms.contract import Contract

if TYPE_CHECKING:
    from cleanroom.node.config import Config
    from cleanroom.node.post import Message
    from cleanroom.node.state import State

HELD_OUT = 0.25
"""Share of the seed that the model never sees."""
_TENTHS = 10


def spread(path: Path, room: str, seed: Selection, seed_code: str, notes: Sequence[CrowdNote], *, count: int,
           include: bool, hold_out: bool = True, progress: Progress | None = None,
           meeting: Meeting = usual) -> Asked:  # fmt: skip
    """A crowd of `count` people like the seed's, at whoever addresses people.

    seed: the seed's rule; notes: one for every channel, of the new crowd and its version; include: the seed's people
    too. Between nodes it comes back as "waits", and `Lookalikes` has the rest once the other node has made it.
    Raises Refused for a seed that is too small, and as `running.run`; UsageError for a request without a channel.
    """
    home, held = opened(path, room)
    contract = held.contract
    if not notes:
        raise UsageError("A lookalike is for at least one channel.")
    _receiver(contract)
    if contract.activation is not None and count < contract.activation.floor:
        raise Refused("The crowd has fewer people than may be addressed: {floor} at least.", "Ask for more people.",
                      floor=contract.activation.floor)  # fmt: skip
    own = contract.dataset_of(home.party).name
    split = _drawn_split(home, room, notes[0].code, own, seed) if hold_out else ""
    fitted = _part(seed, own, split, inside=False) if split else seed
    try:
        found = running.run(path, room, fitted, tables=columns(contract), progress=progress, meeting=meeting)
        if found.people < LEAST_SEED:
            raise Refused("The seed has fewer than {least} people, by its noised size.", "Take a wider seed.",
                          least=LEAST_SEED)  # fmt: skip
    except KNOWN:
        _forget_split(home, split)
        raise
    request = Request(room, contract.digest(), found.question, seed_code, count, include, hold_out, tuple(notes))
    asked = Asked(request.code, request.version, room, seed.plain(), split, found.receipt, count, include)
    Lookalikes(home).keep(asked)
    return _sent(home, contract, request, asked, progress, meeting)


def price(path: Path, room: str) -> dict[str, Any]:
    """What a lookalike costs each dataset: its seed's numbers, and its gain."""
    contract = opened(path, room)[1].contract
    seed, one = running.price(path, room, len(columns(contract))), running.price(path, room)
    return {**seed, "gain_rho_micro": _TENTHS * int(one["rho_micro"])}


def gain(path: Path, room: str, code: str, *, progress: Progress | None = None,
         meeting: Meeting = usual) -> tuple[Tenth, ...]:  # fmt: skip
    """The gain of each tenth of the users on the part of the seed that was held out: ten charged sizes, once.

    () where too few were held out for the noise. Raises UsageError where the lookalike is not made yet, or nothing was
    held out.
    """
    home, held = opened(path, room)
    asked = Lookalikes(home).load(code)
    if asked.room != room or not asked.split or asked.state in (WAITS, FAILED):
        raise UsageError("There is no gain of {code} to count.", "It is counted of a lookalike that was made with a "
                         "part of its seed held out.", code=code)  # fmt: skip
    contract = held.contract
    other = contract.dataset_of(_receiver(contract)).name
    part = _part(asked.selection, contract.dataset_of(home.party).name, asked.split, inside=True)
    if len(asked.counts) == _TENTHS:
        return asked.gain
    with meeting(home, contract, [each.name for each in contract.parties], progress) as parties:
        for tenth in range(len(asked.counts), _TENTHS):
            chosen = _part(part, other, list_code(room, code, str(tenth + 1)), inside=True)
            found = running.run(path, room, chosen, meeting=lambda *_: _Here(parties))
            asked = Lookalikes(home).keep(asked.counted((*asked.counts, found.people), found.sigma))
    return asked.gain


def columns(contract: Contract) -> tuple[str, ...]:
    """What a lookalike is fitted by: the categories and buckets of whoever addresses people, as dataset.column."""
    dataset = contract.dataset_of(_receiver(contract))
    return tuple(sorted(f"{dataset.name}.{each.name}" for each in dataset.columns if each.kind != "amount"))


def told(home: Home, state: "State", settings: "Config", message: "Message") -> None:
    """Handles `lookalike.made`: what came of one that this party asked for. Raises BadData, UsageError."""
    body = message.body
    if body.get("format") != FORMAT or not isinstance(body.get("code"), str):
        raise malformed()
    asked = Lookalikes(home).load(body["code"])
    contract = opened(home.path, asked.room)[1].contract
    if message.sender != _receiver(contract) or body.get("version") != asked.version:
        raise malformed()
    Lookalikes(home).keep(_ended(asked, body))


HANDLERS = {lookalike_making.MADE: told}
"""What a node does with messages, by kind."""


def _sent(home: Home, contract: Contract, request: Request, asked: Asked, progress: Progress | None,
          meeting: Meeting) -> Asked:  # fmt: skip
    """To the other party, at its node or on this machine."""
    receiver = _receiver(contract)
    if _has_node(home, receiver):
        from cleanroom.node.post import Post  # only where there is a node
        from cleanroom.node.state import State

        with State.open(home) as state:
            Post(home, state).send(receiver, lookalike_making.ASKED, request.plain())
        return asked
    with meeting(home, contract, [home.party, receiver], progress) as parties:
        try:
            made = parties.call(lookalike_making.KIND, {receiver: {"request": request.plain()}})[receiver]
        except KNOWN:
            Lookalikes(home).drop(asked.code)
            _forget_split(home, asked.split)
            raise
    return Lookalikes(home).keep(_ended(asked, made))


class _Here:
    """Parties that one has met, for run after run: their processes start once."""

    def __init__(self, parties: Parties) -> None:
        self.call = parties.call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        """Whoever met them lets them go."""


def _ended(asked: Asked, told: Mapping[str, Any]) -> Asked:
    from cleanroom.node.control import known_error  # heavy where nothing is asked

    if "failure" in told:
        try:
            return asked.failed(str(known_error(told["failure"])))
        except ValueError:  # nobody else's words are shown as ours
            return asked.failed("")
    found = told.get("range")
    whole = isinstance(found, list) and len(found) == 2 and all(type(each) is int and each >= 0 for each in found)
    if not whole or type(told.get("short")) is not bool or type(told.get("known")) is not bool:
        raise malformed()
    return asked.made(told["range"][0], told["range"][1], short=told["short"], known=told["known"])


def _has_node(home: Home, receiver: str) -> bool:
    if not (home.path / "node.toml").is_file():
        return False
    from cleanroom.node.peers import Peers

    return receiver in Peers(home).names()


def _receiver(contract: Contract) -> str:
    if contract.activation is None:
        raise Refused("The contract of this room lets no crowd be made.", "Agree on an [activation] in the contract.")
    return contract.activation.receiver


def _part(seed: Selection, dataset: str, code: str, *, inside: bool) -> Selection:
    """Those of a selection who stand in a list, or who do not."""
    literal = Listed(dataset, code, inside)
    return Selection(tuple(_with(box, literal) for box in seed.boxes))


def _with(box: Box, literal: Listed) -> Box:
    return (*box, literal)


def _forget_split(home: Home, split: str) -> None:
    """Who was held out of a lookalike that was not made."""
    code = split.partition("@")[0]
    if code and all(each.split.partition("@")[0] != code for each in Lookalikes(home).all()):
        Lists(home).drop(code)


def _drawn_split(home: Home, room: str, code: str, dataset: str, seed: Selection) -> str:
    """A list of a random quarter of all whom this party could bring into the seed; its code, of today's version."""
    lists, name = Lists(home), list_code(room, code, "held")
    everybody = [home.vault.digests(dataset), *(lists.digests(each) for each in seed.lists(dataset))]
    whole = np.unique(np.concatenate(everybody), axis=0)
    drawn = whole[np.random.default_rng(secrets.randbits(128)).random(len(whole)) < HELD_OUT]
    if any(head.code == name for head in lists.names("holdout")):
        lists.put(name, drawn)
    else:
        lists.create(name, "holdout", f"{code}: held out", drawn)
    return lists.pinned(name)
