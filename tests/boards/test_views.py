"""Who learns what by a board: the views of its two parties in worlds that differ in what the role may not learn.

Of the table in docs/who-learns-what.md this holds the row "a board is made"; that an operator sees nothing of one is in
`test_secrecy`.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from cleanroom.answer.board import BoardAsked
from cleanroom.enclave.query import Query
from protocols.header import unpack
from tests import near
from tests.boards import world
from tests.room import world as room_world

TABLES = ((), ("users.gender",), ("users.gender", "users.stage_30d"))
BY, SUMS = ("users.gender", "users.stage_30d"), ("users.net_paid_30d",)
VARIABLE = {"release"}
"""Noised numbers as text: they are what the board is for."""


def people(start: int, seed: int) -> Any:
    """Other persons, of whom other things are so, and as many."""
    table = world.users(seed=seed)
    return table.assign(phone=[str(13_800_000_000 + start + number) for number in range(len(table))])


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """By world: what came to each role by shape and size, and how often each value repeats."""
    found = {}
    for name in ("first", "merchant", "platform"):
        with near.parties(), pytest.MonkeyPatch.context() as patch:
            if name == "merchant":  # it may not learn who the platform's persons are, nor any exact number
                other = people(50_000_000, 5).assign(
                    gender=lambda each: each.gender.sample(frac=1, random_state=1).array
                )
                patch.setattr(world, "users", functools.partial(pd.DataFrame.copy, other))
            if name == "platform":  # it may not learn anything of the asker's data
                table = world.others().assign(phone=[str(13_700_000_000 + n) for n in range(400)], level="plain")
                table.loc[::2, "level"] = "gold"
                patch.setattr(world, "others", functools.partial(pd.DataFrame.copy, table))
            homes = world.homes(tmp_path_factory.mktemp(name), ("merchant", "platform"))
            world.room(homes, "spring", protocol="dh")
            ran = room_world.run(homes, Query(BY, SUMS), name="spring", wished=20,
                                 board=BoardAsked("merchant", "users", TABLES))  # fmt: skip
        assert not ran.failures, ran.failures
        found[name] = {role: view(ran, role) for role in homes}
    yield found


def view(ran: room_world.Ran, role: str) -> dict[str, Any]:
    frames = [(peer, header.name, header.kind, header.length)
              for peer, came in sorted(ran.frames[role].items())
              for header in (unpack(memoryview(frame)) for frame in came) if header.name not in VARIABLE]  # fmt: skip
    repeats = {name: sorted(Counter(each).values()) for name, each in ran.values[role].items()}
    return {"frames": frames, "repeats": repeats, "learned": ran.outcomes[role].learned}


@pytest.mark.parametrize("part", ["frames", "repeats", "learned"])
@pytest.mark.parametrize("role", ["merchant", "platform"])
def test_views_of_two_worlds_agree(views: dict[str, dict[str, Any]], role: str, part: str) -> None:
    assert views["first"][role]["frames"]
    assert views["first"][role][part] == views[role][role][part]
