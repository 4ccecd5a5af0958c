"""What every activation of a room leaves out: black lists, crowds, people reached too often, and a global holdout.

The holdout is a share of this party's people, drawn once by a key of its own and the same for ever, so that what is
seen of them shows what addressing the others did. It stands as a list like any other, and so needs a contract that lets
lists define members, as black lists do: whoever is left out is told of by being left out.
"""

import secrets
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cleanroom.crowds.lists import Lists
from cleanroom.crowds.pools import Meaning, selection_of
from cleanroom.crowds.rule import Node, Pool, Rule, Uploaded
from cleanroom.crowds.store import Crowds, Guard
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.keys import SecretAccess
from cleanroom.querying import opened
from cleanroom.rooms.store import Room
from cleanroom.vault.row_digests import row_digests

MOST_HOLDOUT = 200
"""In thousandths."""
_SCALE = 1 << 32


def guarded(home: Home, room: Room, rule: Rule) -> Rule:
    """The rule without those whom an activation of the room leaves out; black lists are always among them."""
    guard = Crowds(home).guard(room.contract.room)
    lists = Lists(home)
    nodes: list[Node] = [*guard.nodes, *(Uploaded(head.code) for head in lists.names("black"))]
    if guard.holdout:
        nodes.append(Uploaded(_holdout(home, room, lists, guard.holdout)))
    return rule.without(tuple(dict.fromkeys(nodes)))


def guard(path: Path, name: str) -> Guard:
    """What the room's activations leave out, beside black lists."""
    home, _ = opened(path, name)
    return Crowds(home).guard(name)


def set_guard(path: Path, name: str, nodes: tuple[Node, ...], holdout: int, meaning: Meaning) -> Guard:
    """From the next activation on. holdout: in thousandths. Raises UsageError, QueryRefused."""
    home, _ = opened(path, name)
    if not 0 <= holdout <= MOST_HOLDOUT:
        raise UsageError("A holdout is 0 to {most} of 1,000 people.", most=MOST_HOLDOUT)
    if nodes:
        selection_of(Rule((Pool(nodes),)), meaning)
    made = Guard(nodes, holdout)
    Crowds(home).set_guard(name, made)
    return made


def _holdout(home: Home, room: Room, lists: Lists, per_mille: int) -> str:
    """The code of the list of those held out, brought up to date: of the dataset's people and of all own lists'."""
    code = f"holdout-{per_mille}"
    known = [home.vault.digests(room.contract.dataset_of(home.party).name)]
    known += [lists.digests(head.code) for head in lists.names() if head.kind in ("upload", "grey")]
    people = np.concatenate([each for each in known if each.shape[1] == known[0].shape[1]])
    chosen = people[_drawn(home, people, per_mille)]
    held = {head.code for head in lists.names("holdout")}
    if code not in held:
        lists.create(code, "holdout", code, chosen)
    elif len(np.unique(chosen, axis=0)) != lists.size(code):
        lists.put(code, chosen)
    return code


def _drawn(home: Home, people: NDArray[np.uint8], per_mille: int) -> NDArray[np.bool_]:
    """Which of these people, by a key that never leaves this home: larger shares hold the smaller ones."""
    access = SecretAccess("drawing the global holdout")
    key = home.keys.secret("holdout", lambda: secrets.token_bytes(32), access)
    drawn = row_digests(key, people)[:, :4].copy().view("<u4").reshape(-1)
    return np.asarray(drawn < _SCALE * per_mille // 1000)
