"""At whoever addresses people: a lookalike made of a seed's released numbers and of this party's own columns.

Membership stays in this home. What goes back is a range of its size, and whether the seed's people were known here; the
release says nothing of any one of them, and neither does the model.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cleanroom.activation import memberships, people
from cleanroom.activation.memberships import Membership
from cleanroom.crowds import lookalike, lookalike_request, running
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.lookalike import LEAST_SEED
from cleanroom.crowds.lookalike_request import Request, draw_of, list_code, malformed
from cleanroom.enclave.query import split_name
from cleanroom.errors import KNOWN, Interrupted, Refused, UsageError
from cleanroom.home import Home
from cleanroom.matching import cells
from cleanroom.privacy.ranges import size_range
from cleanroom.rooms.store import Room, Rooms

if TYPE_CHECKING:
    from cleanroom.node.config import Config
    from cleanroom.node.post import Message
    from cleanroom.node.state import State

KIND = "lookalike"
ASKED, MADE = "lookalike.asked", "lookalike.made"
Step = Callable[[str, int, int], None]


def made(home: Home, value: Any, step: Step = lambda *_: None) -> dict[str, Any]:
    """Fit, rank, keep. value: a request, plain. The same request makes the same crowd, and changes nothing.

    Gives code and version; range: [low, high] of how many there are; short: whether fewer than asked for; known:
    whether the seed's people are known here; columns: by how many it was fitted; tenths: whether the gain can be
    counted. Raises Refused for a seed or a crowd that is too small, and for what the contract does not allow.
    """
    request = lookalike_request.from_plain(value)
    room = _room(home, request)
    for note in request.notes:
        term = memberships.check(home, request.room, note, rule=request.digest)
    dataset = room.contract.dataset_of(home.party).name
    found = running.recall(home, room, request.question)
    if not found.tables or any(split_name(name)[0] != dataset for name in found.tables):
        raise Refused("The release is not the seed of a lookalike.")
    if found.people < LEAST_SEED or found.sigma > room.contract.release.sigma:
        raise Refused("The seed has fewer than {least} people, by its noised size.", "Take a wider seed.",
                      least=LEAST_SEED)  # fmt: skip
    members = _members(home, request)
    told = _told(request, members, len(home.vault.digests(dataset)))
    if told < term.floor:
        raise memberships.below(term.floor)
    step("fit", 0, 0)
    codes = {name: _codes(home, room, name) for name in found.tables}
    sizes = {name: len(each) for name, each in found.tables.items()}
    seed = {name: np.array(list(each.values()), np.int64) for name, each in found.tables.items()}
    scores = lookalike.rank(lookalike.fit(codes, sizes, seed, found.people, found.sigma), codes)
    rows = _chosen(scores, request, None if members is None else people.rows_of(home, dataset, members.keys))
    for note in request.notes:
        memberships.keep(home, request.room, note, dataset, rows, found.receipt, noised=told, rule=request.digest)
    if request.tenths:
        _keep_tenths(home, request, dataset, lookalike.deciles(scores, draw_of(request.question)))
    size = size_range(told, room.contract.release.k)
    return {"code": request.code, "version": request.version, "range": [size.low, size.high],
            "short": told < request.count, "known": members is not None, "columns": len(codes),
            "tenths": request.tenths}  # fmt: skip


def _room(home: Home, request: Request) -> Room:
    room = Rooms(home.rooms).load(request.room)
    if room.contract.digest() != request.contract:
        raise Refused("The two sides hold different contracts.", "Sign the same version on both sides.")
    memberships.term_of(room.contract, home.party)
    return room


def _codes(home: Home, room: Room, name: str) -> NDArray[np.uint8]:
    """A column's cells of all users, a byte each: contracts have no more cells than that."""
    dataset, column = split_name(name)
    return cells.codes(home.vault, dataset, room.annex(dataset, column)).astype(np.uint8)


def _members(home: Home, request: Request) -> Membership | None:
    """The seed's people where they were given to this party before, by their noised number; None where they were
    not."""
    try:
        held = memberships.load(home, request.room, request.seed)
    except UsageError:
        return None
    return held if held.noised >= 0 else None


def _told(request: Request, members: Membership | None, users: int) -> int:
    """How many the asker is told there are: of what it knows and of noised numbers alone.

    The exact number left beside the seed's people would say, asked about with one count after the other, how many these
    are, and of two seeds that differ by one person whether that one is there.
    """
    left = users if members is None or request.include else users - members.noised
    return max(0, min(request.count, left))


def _chosen(scores: NDArray[np.float64], request: Request, members: NDArray[np.int64] | None) -> NDArray[np.int64]:
    draw = draw_of(request.question)
    if members is None:
        return lookalike.choose(scores, request.count, draw=draw)
    if request.include:
        return lookalike.choose(scores, request.count, first=members, draw=draw)
    return lookalike.choose(scores, request.count, without=members, draw=draw)


def _keep_tenths(home: Home, request: Request, dataset: str, tenths: NDArray[np.uint8]) -> None:
    """Each tenth of the users as a list of this party, which the asker's runs name and nobody sees."""
    digests, lists = home.vault.digests(dataset), Lists(home)
    there = {head.code for head in lists.names(KIND)}
    for tenth in range(10):
        code, of = list_code(request.room, request.code, str(tenth + 1)), digests[tenths == tenth]
        if code in there:
            lists.put(code, of)
        else:
            lists.create(code, KIND, f"{request.code}: {tenth + 1}/10", of)


# -- at a node of its own


def asked(home: Home, state: "State", settings: "Config", message: "Message") -> None:
    """Handles `lookalike.asked`: it becomes a job of this node. Raises BadData, Refused for what this room has not.

    Nobody needs to say yes: nothing leaves this home, and whom it addresses is for a person to say when that is asked.
    """
    from cleanroom.node.queue import Jobs  # only at a node

    request = lookalike_request.from_plain(message.body)
    room = _room(home, request)
    if message.sender not in room.contract.owners or message.sender == home.party:
        raise malformed()
    jobs = Jobs(state, most_waiting=settings.limits.jobs_waiting)
    jobs.submit(KIND, request.room, {"request": message.body, "asker": message.sender}, message.sender, id=message.id)


def work(home: Home, room: str, arguments: dict[str, Any], parties: object, step: Step) -> dict[str, Any]:
    """A node's job of the kind "lookalike": made, and told to whoever asked. arguments: request, asker."""
    request = lookalike_request.from_plain(arguments["request"])
    try:
        found = made(home, arguments["request"], step)
    except Interrupted:
        raise
    except KNOWN as error:
        _tell(home, arguments["asker"], {"code": request.code, "version": request.version, "failure": error})
        raise
    _tell(home, arguments["asker"], found)
    return found


def _tell(home: Home, asker: str, told: Mapping[str, Any]) -> None:
    from cleanroom.node.control import pack_error  # only at a node
    from cleanroom.node.post import Post
    from cleanroom.node.state import State

    body = {"format": lookalike_request.FORMAT, **told}
    if "failure" in body:
        body["failure"] = pack_error(body["failure"])
    with State.open(home) as state:
        Post(home, state).send(asker, MADE, body)


HANDLERS = {ASKED: asked}
"""What a node does with messages, by kind."""
