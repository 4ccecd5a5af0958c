"""Several identities a person: whoever matches counts once, by the first kind; the sender sees no hit."""

import functools
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Outcome, canaries, session, shapes

from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.psi import dh, vole, waterfall
from protocols.psi.results import ReceiverResult
from protocols.psi.waterfall import Identities

Person = tuple[int | None, ...]
KINDS = ("phone", "email", "device")
DH = {"sender": functools.partial(dh.sender, ordered=True), "receiver": functools.partial(dh.receiver, ordered=True)}
VOLE = {"sender": vole.sender, "receiver": vole.receiver}


def identities(people: list[Person], kinds=KINDS) -> list[Identities]:
    """Of persons who are given by a number, or none, for each kind."""
    found = []
    for at, kind in enumerate(kinds):
        texts = [f"{kind} {person[at]}".encode() for person in people]
        rows = b"".join(hashlib.sha256(text).digest() for text in texts)
        present = np.array([person[at] is not None for person in people], np.bool_)
        found.append(Identities(kind, np.frombuffer(rows, np.uint8).reshape(-1, 32), present))
    return found


def numbered(count: int) -> np.ndarray:
    return np.arange(count, dtype="<u4").reshape(-1, 1).view(np.uint8)


def run(theirs: list[Person], mine: list[Person], *, match=DH, label: bool = True, kinds=(KINDS, KINDS)) -> Outcome:
    def sent(channel, kind, items, labels):
        return match["sender"](channel, items, labels, canaries=canaries("sender"))

    def received(channel, kind, items, width):
        return match["receiver"](channel, items, label_width=width, canaries=canaries("receiver"))

    own, width = (numbered(len(theirs)), 4) if label else (None, 0)
    return session(
        lambda c: waterfall.sender(c, identities(theirs, kinds[0]), own, match=sent),
        lambda c: waterfall.receiver(c, identities(mine, kinds[1]), label_width=width, match=received),
    )


def expected(theirs: list[Person], mine: list[Person]) -> dict[int, tuple[int, int]]:
    """Row of the receiver's → (row of the sender's, kind), one by one."""
    found: dict[int, tuple[int, int]] = {}
    for kind in range(len(KINDS)):
        first: dict[int | None, int] = {}
        for row, person in enumerate(theirs):
            first.setdefault(person[kind], row)
        seen: set[int] = set()
        for row, person in enumerate(mine):
            number = person[kind]
            if number is None or number in seen:
                continue
            seen.add(number)
            other = first.get(number)
            if other is not None and row not in found and other not in {hit for hit, _ in found.values()}:
                found[row] = (other, kind)
    return found


one = st.none() | st.integers(0, 4)
people = st.lists(st.tuples(one, one, one), max_size=6)


@settings(max_examples=12, deadline=None)
@given(people, people)
def test_a_person_matches_once_by_the_first_kind_that_hits(theirs: list[Person], mine: list[Person]) -> None:
    sent, found = run(theirs, mine).both()
    wanted = expected(theirs, mine)
    assert found.result.matched.tolist() == sorted(wanted)
    assert found.result.labels.view("<u4")[:, 0].tolist() == [wanted[row][0] for row in sorted(wanted)]
    assert found.kinds.tolist() == [wanted[row][1] for row in sorted(wanted)]
    assert found.result.size == len(wanted)
    assert (sent.peer_rows, found.result.peer_rows) == (len(mine), len(theirs))


def test_a_person_of_the_senders_with_two_rows_of_the_receivers_counts_once() -> None:
    theirs: list[Person] = [(1, 2, None)]
    mine: list[Person] = [(None, 2, None), (1, None, None)]  # one by phone, the other by e-mail
    found = run(theirs, mine, label=False).both()[1]
    assert found.result.matched.tolist() == [1]
    assert found.result.labels.shape == (1, 0)


def test_what_both_sides_lack_does_not_match() -> None:
    nobody: list[Person] = [(None, None, None)] * 3
    assert run(nobody, nobody).both()[1].result.size == 0


def test_it_runs_over_vole_too() -> None:
    vole.warm()  # compiling may take longer than a role waits
    theirs: list[Person] = [(n, n % 3, None) for n in range(9)]
    mine: list[Person] = [(n + 7, n, None) for n in range(5)]
    found = run(theirs, mine, match=VOLE).both()[1]
    wanted = expected(theirs, mine)
    assert found.result.matched.tolist() == sorted(wanted)
    assert found.kinds.tolist() == [wanted[row][1] for row in sorted(wanted)]


def test_the_sender_sees_neither_hits_nor_who_lacks_what() -> None:
    theirs: list[Person] = [(n, n, n) for n in range(8)]
    worlds = [[(n, None, None) for n in range(6)], [(None, None, n + 100) for n in range(6)], [(None, None, None)] * 6]
    views = [shapes(run(theirs, mine).frames["receiver"]) for mine in worlds]
    assert views[0] == views[1] == views[2]


@pytest.mark.parametrize("other", [("email", "phone", "device"), ("phone", "email"), ("phone", "email", "openid")])
def test_other_kinds_or_another_order_are_refused(other: tuple[str, ...]) -> None:
    outcome = run([(1, 1, 1)], [(1, 1, 1)], kinds=(KINDS, other))
    assert {type(error) for error in outcome.errors.values()} <= {ProtocolError, PeerAborted}
    assert any("same identities in the same order" in str(error) for error in outcome.errors.values())
    assert not outcome.results


def test_repeated_references_are_refused() -> None:
    labels = np.zeros((2, waterfall.REFERENCE_BYTES), np.uint8)
    with pytest.raises(BadMessage, match="not distinct"):
        waterfall._once([ReceiverResult(np.arange(2), 2, labels, 2)], 2)


def test_a_peer_whose_rows_differ_by_kind_is_refused() -> None:
    sizes = iter((4, 5, 4))
    outcome = session(
        lambda c: waterfall.sender(c, identities([(1, 1, 1)]), None,
                                   match=lambda *_: dh.SenderResult(next(sizes))),
        lambda c: waterfall._agree(c, identities([(1, 1, 1)])),
    )  # fmt: skip
    assert type(outcome.errors["sender"]) is BadMessage


@pytest.mark.parametrize("kinds", [(), ("a", "a"), ("x" * 33,), tuple(map(str, range(17)))])
def test_kinds_that_cannot_be_named_are_refused(kinds: tuple[str, ...]) -> None:
    several = [Identities(kind, np.zeros((1, 32), np.uint8), np.ones(1, np.bool_)) for kind in kinds]
    outcome = session(lambda c: waterfall.sender(c, several, None, match=lambda *_: dh.SenderResult(0)), lambda _: None)
    assert type(outcome.errors["sender"]) is ValueError
