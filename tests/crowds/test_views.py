"""Who learns what by a crowd: each role's whole view of its run in two worlds that differ only in what the role may not
learn. Shapes, sizes and multiplicities of all that comes over its wires agree, and what its outcome says it learned.

Of the table in docs/who-learns-what.md these tests hold the rows "a crowd is estimated", "… with tables" and "a crowd
is activated"; of design.md's table the lines `keyed`, `vole` and `dh`.
"""

import functools
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cleanroom.answer.crowd import CrowdAsked, from_job
from cleanroom.answer.side import Side
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.selection import Listed, Selection, Within
from cleanroom.enclave.query import Query
from cleanroom.home import Home
from protocols.header import unpack
from tests.crowds import world
from tests.crowds.world import ENDS, World
from tests.near import engines
from tests.room import world as room_world

PROTOCOLS = {"keyed": ("merchant", "platform", "operator"), "vole": ("merchant", "platform"),
             "dh": ("merchant", "platform")}  # fmt: skip
KINDS = ("size", "members", "tables", "list", "mixed")
VARIABLE = {"release"}
"""Noised numbers as text: they are what the run is for."""
MEMBERS, USERS, SHARED = 1_600, 2_000, 1_500
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "first": {},
    "operator": {"LEVELS": ("jade", "tinned", "plain"), "STAGES": ("idle", "plays", "buy"),
                 "CITIES": ("Shenyang", "Changsha")},
    "merchant": {"STAGES": ("pay", "visit", "none")},  # other users pay: other members, as many or not
    "platform": {"LEVELS": ("gold", "basic", "silver")},  # the same are gold, which it learns; the others are another
}  # fmt: skip
"""What differs from the first world, named after the role that must not see it; phones that do not match do always."""


def phones(name: str, first: int, count: int) -> list[str]:
    """A world's numbers: for the operator all are others, for an owner those of the other side that do not match."""
    far = {"operator": 20_000_000, "merchant": 5_000_000 * (first > 0), "first": 0, "platform": 0}[name]
    shared = SHARED if name == "platform" and count == MEMBERS else count
    return [f"139{number + far + 7_000_000 * (number - first >= shared):08d}" for number in range(first, first + count)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str, str], room_world.Ran]]:
    @functools.cache
    def built(protocol: str, name: str) -> World:
        with pytest.MonkeyPatch.context() as patch:
            for word, labels in WORDS[name].items():
                patch.setattr(world, word, labels)
            for number, count in {"MEMBERS": MEMBERS, "USERS": USERS, "SHARED": SHARED}.items():
                patch.setattr(world, number, count)
            patch.setattr(world, "phones", functools.partial(phones, name))
            made = world.build(tmp_path_factory.mktemp(f"{protocol}-{name}"), protocol)
        rows = made.homes["merchant"].vault.digests("crm")
        Lists(made.homes["merchant"]).create("LIST", "upload", "some", rows[:700])
        return made

    @functools.cache
    def of(protocol: str, kind: str, name: str) -> room_world.Ran:
        made, folder = built(protocol, name), tmp_path_factory.mktemp(f"{protocol}-{name}-{kind}")
        homes = {party: Home.open(shutil.copytree(home.path, folder / party)) for party, home in made.homes.items()}
        return run(replace(made, homes=homes), kind, name)  # of homes that have seen no other run

    yield of


def run(made: World, kind: str, name: str) -> room_world.Ran:
    """Of people with the first level and the last stage, by whatever words these go in the world."""
    words = {"LEVELS": world.LEVELS, "STAGES": world.STAGES} | WORDS[name]
    level, stage = words["LEVELS"][0], "pay" if name != "operator" else words["STAGES"][2]

    def within(column: str, label: str) -> Within:
        return Within(column, (made.room.annex(*column.split(".")).labels.index(label),))

    gold, paying = within("crm.level", level), within("users.stage", stage)
    rule = {"list": Selection(((Listed("crm", "LIST"),),)), "mixed": Selection(((gold,), (paying,)))}
    rule_of_kind = rule.get(kind, Selection(((gold,) if name == "merchant" or kind == "members" else (gold, paying),)))
    note = CrowdNote("C1", "20261121", "crowd", "coupon", made.room.contract.purposes[0], ENDS)
    asked = CrowdAsked.of(rule_of_kind, note if kind in ("members", "list", "mixed") else None)

    by = ("users.city",) if kind == "tables" else ()

    def side(home: Home, *given: Any, **named: Any) -> Side:
        told = from_job(asked.for_operator()) if home.party == "operator" else asked
        query = Query(by, (), told.where(made.room.contract) if told else ())  # as a node makes it of the job
        return Side(home, given[0], query, *given[2:], **{**named, "crowd": told})

    with engines(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(room_world, "Side", side)
        result = room_world.run(made.homes, Query(by), plan=True)
    assert not result.failures, result.failures
    return result


def view(result: room_world.Ran, role: str) -> dict[str, Any]:
    """All that came, by shape and size; how often each value repeats; what the role's outcome says that it learned."""
    return {
        "frames": [(peer, header.name, header.kind, header.length)
                   for peer, came in sorted(result.frames[role].items())
                   for header in (unpack(memoryview(frame)) for frame in came) if header.name not in VARIABLE],
        "repeats": {re.sub("[0-9a-f]{32}", "-", name): sorted(Counter(each).values())
                    for name, each in result.values[role].items()},
        "learned": [each.template for each in result.outcomes[role].learned],
    }  # fmt: skip


OF_PROTOCOL = {"keyed": KINDS, "vole": ("tables", "list"), "dh": ("size", "members")}
"""Between two parties a run about a crowd is one, whatever is asked of it: each kind stands with one match protocol."""
CASES = [
    (protocol, kind, role) for protocol, roles in PROTOCOLS.items() for kind in OF_PROTOCOL[protocol] for role in roles
]


@pytest.mark.parametrize(("protocol", "kind", "role"), CASES)
def test_views_of_two_worlds_agree(ran: Any, protocol: str, kind: str, role: str) -> None:
    """Other labels and phones, another rule of the same shape, another list of the same size, other members."""
    first, second = (view(ran(protocol, kind, name), role) for name in ("first", role))
    assert first["frames"]
    for part in first:
        assert first[part] == second[part], part


@pytest.mark.parametrize("kind", KINDS)
def test_an_operators_files_hold_no_word_of_a_crowd(ran: Any, kind: str) -> None:
    """Its home and all that came: no rule, label, list, name, channel or purpose; and files of the same sizes."""
    sizes = []
    for name in ("first", "operator"):
        result = ran("keyed", kind, name)
        files = room_world.everything_in(result.homes["operator"].path)
        wires = [frame for came in result.frames["operator"].values() for frame in came]
        content = b"".join((*files.values(), *wires))
        labels = [*world.LEVELS, *world.CITIES, *(each for words in WORDS.values() for some in words.values()
                                                  for each in some)]  # fmt: skip
        secret = [each for each in labels if len(each) > 4]
        assert not [each for each in secret if each.encode() in content]
        sizes.append({re.sub("[0-9a-f]{16,}", "-", each): len(found) for each, found in files.items()})
    assert sizes[0] == sizes[1]


def test_the_two_worlds_are_not_one(ran: Any) -> None:
    """Else the tests above could not fail: an operator's tokens of the two have nothing in common."""
    first, second = (ran("keyed", "members", name) for name in ("first", "operator"))
    tokens = [{each for found in result.values["operator"].values() for each in found} for result in (first, second)]
    assert tokens[0]
    assert not tokens[0] & tokens[1]
    assert len(tokens[0]) == len(tokens[1])


@pytest.mark.parametrize("protocol", ["keyed", "dh"])
def test_whoever_does_not_address_people_gets_no_member(ran: Any, protocol: str) -> None:
    """The merchant's frames are of the same sizes whether members are given or only counted, but for the release."""
    given, counted = (view(ran(protocol, kind, "first"), "merchant") for kind in ("members", "size"))
    assert not any("member" in frame[1] for frame in given["frames"])
    assert not list(Path(ran(protocol, "members", "first").homes["merchant"].path).rglob("*memberships*"))
    assert counted["repeats"].keys() == given["repeats"].keys()
