"""Updates of keyed: what changed is sent, and the operator ends where a run of all rows would have brought it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Outcome, digests, session
from test_keyed import COLUMNS, KEY, columns_of, fails, own_canaries

from protocols.errors import BadMessage, ProtocolError
from protocols.psi import keyed, keyed_updates, lining_up, tokens
from protocols.rows import to_batch


def run(side: str, numbers) -> tuple[bytes, keyed_updates.State]:
    """A whole run of one owner: the session's name, and what the operator keeps."""

    def send(channel):
        items = digests(numbers)
        keyed.owner(channel, KEY, items, COLUMNS, columns_of(numbers), canaries=own_canaries(side))
        return channel.session

    def take(channel):
        state = keyed_updates.keep(channel, keyed.operator(channel, COLUMNS), COLUMNS)
        keyed.named_canaries(channel)
        return state

    return session(send, take, roles=(side, "operator")).both()


def update(side: str, held, removed, added, *, most=100, named=None) -> Outcome:
    """What is removed and added, to what is held."""
    before, state = held

    def send(channel):
        return keyed_updates.owner(
            channel, KEY, named or before, digests(removed), digests(added), COLUMNS, columns_of(added),
            canaries=own_canaries(side),
        )  # fmt: skip

    def take(channel):
        found = keyed_updates.operator(channel, state, most=most)
        return found, keyed.named_canaries(channel)

    return session(send, take, roles=(side, "operator"))


def equal(one: keyed_updates.State, other: keyed_updates.State) -> bool:
    pairs = [*zip(one.tokens, other.tokens, strict=True)]
    pairs += [(one.columns[name], other.columns[name]) for name in COLUMNS]
    return all(np.array_equal(a, b) for a, b in pairs)


people = st.sets(st.integers(0, 30))


@settings(max_examples=12, deadline=None)
@given(people, people, people, people)
def test_updates_lead_where_fresh_runs_do(left, right, new_left, new_right):
    ends, members = {}, []
    for side, old, new in (("merchant", left, new_left), ("platform", right, new_right)):
        name, (found, named) = update(side, run(side, sorted(old)), sorted(old - new), sorted(new - old)).both()
        assert name == found.after.session != found.before.session
        assert equal(found.after, run(side, sorted(new))[1])
        ends[side] = found, named
    (one, left_named), (other, right_named) = ends.values()
    lining_up.canaries_among([left_named, right_named], [one.after.tokens, other.after.tokens])
    gained, lost = keyed_updates.changes(one, other)
    rows = sorted(new_left)
    outcome = session(
        lambda c: keyed_updates.send_changes(c, gained, lost),
        lambda c: keyed_updates.receive_changes(c, KEY, digests(rows), len(left)),
        roles=("operator", "merchant"),
    )
    came, went = ({rows[row] for row in found} for found in outcome.both()[1])
    members = ((left & right) & new_left) - went | came
    assert members == new_left & new_right
    assert came == (new_left & new_right) - (left & right)


def test_a_row_that_changed_goes_and_comes():
    held = run("merchant", [1, 2, 3])
    _, (found, _) = update("merchant", held, [2], [2]).both()
    assert equal(found.after, held[1])
    assert len(found.removed[0]) == len(found.added[0]) == 1


def test_bytes_are_those_of_the_change():
    everyone = list(range(20_000))
    held = run("merchant", everyone)
    small = update("merchant", held, everyone[:200], range(20_000, 20_200), most=20_000)
    small.both()
    whole = 20_000 * (16 + sum(COLUMNS.values()))
    assert sum(map(len, small.frames["sender"])) < 0.02 * whole + 6_000  # 1 % goes, 1 % comes; hellos and canaries


def test_what_is_kept_is_stored_and_read_again():
    name, state = run("merchant", [5, 6, 7])
    table = state.to_table()
    again = keyed_updates.State.from_table(table)
    assert equal(again, state)
    assert again.session == name
    with pytest.raises(ProtocolError, match="unknown version"):
        keyed_updates.State.from_table(table.replace_schema_metadata({b"version": b"cleanroom/keyed-state/2"}))
    with pytest.raises(ProtocolError, match="unknown version"):
        keyed_updates.State.from_table(table.replace_schema_metadata(None))
    with pytest.raises(ProtocolError, match="damaged"):
        keyed_updates.State.from_table(table.take(list(range(len(table)))[::-1]))


# -- what goes wrong


def test_an_update_to_another_state_is_refused():
    fails(
        update("merchant", run("merchant", [1]), [], [2], named=bytes(32)), "receiver", ProtocolError, "another state"
    )


def test_more_rows_than_the_contract_allows_are_refused():
    fails(update("merchant", run("merchant", [1]), [], [2, 3], most=2), "receiver", BadMessage, "not allowed")


@pytest.mark.parametrize(("removed", "added"), [([9], []), ([], [1])])
def test_tokens_that_do_not_fit_are_refused(removed, added):
    fails(update("merchant", run("merchant", [1, 2]), removed, added), "receiver", BadMessage, "does not fit")


def test_repeated_identities_are_refused():
    fails(update("merchant", run("merchant", [1]), [], [2, 2]), "sender", ProtocolError, "1 identities are repeated")


def test_gains_that_are_not_of_the_receivers_rows_are_refused():
    gained = tokens.words(keyed.identity_tokens(KEY, digests([9])))
    outcome = session(
        lambda c: (keyed_updates.send_changes(c, gained, (gained[0][:0], gained[1][:0])), c.confirm()),
        lambda c: keyed_updates.receive_changes(c, KEY, digests([1]), 1),
        roles=("operator", "merchant"),
    )
    fails(outcome, "receiver", BadMessage, "were not sent")


def test_counts_below_nothing_are_refused():
    name, state = run("merchant", [1])

    def send(channel):
        counts = np.array([[-1, 0]], "<i8").view(np.uint8)
        channel.send_batch("keyed.update", to_batch(keyed_updates._UPDATE, np.frombuffer(name, np.uint8)[None], counts))
        channel.receive_batch("keyed.lined-up", keyed._SIZE, rows=0)

    fails(session(send, lambda c: keyed_updates.operator(c, state)), "receiver", BadMessage, "not allowed")


def test_equal_first_halves_are_told_apart():
    high, low = np.array([1, 1, 1, 5], np.uint64), np.array([2, 4, 6, 0], np.uint64)
    wanted = np.array([1, 1, 5], np.uint64), np.array([4, 5, 0], np.uint64)
    assert tokens.index(*wanted, high, low).tolist() == [1, -1, 3]
    assert tokens.places(np.array([1, 1, 5], np.uint64), np.array([0, 5, 9], np.uint64), high, low).tolist() == [
        0,
        2,
        4,
    ]
    found = list(tokens.joined([(high, low)], [(wanted[0][:1], wanted[1][:1]), (wanted[0][1:], wanted[1][1:])]))
    assert np.concatenate([part.left for part in found]).tolist() == [1, 3]
    assert np.concatenate([part.right for part in found]).tolist() == [0, 2]
