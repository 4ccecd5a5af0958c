"""Owners and a neutral operator: it lines rows up by tokens and learns no identity, label or value."""

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from support import CONTRACT, Outcome, contents, digests, session, shapes

from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.psi import keyed, lining_up, tokens
from protocols.rows import Bytes, index_in, to_batch, to_rows

KEY = hashlib.sha256(b"room key").digest()
COLUMNS = {"level": 8, "slots": 24}


def own_canaries(side: str) -> canary.Canaries:
    return canary.draw(keyed.canary_secret(KEY), side, 32)


def columns_of(numbers) -> keyed.Columns:
    """A level token and a row that stands for ciphertexts, for each person."""
    levels = keyed.value_tokens(KEY, "level", np.array([n % 3 for n in numbers], np.int64))
    slots = np.zeros((len(numbers), 24), np.uint8)
    slots[:, :8] = np.array(numbers, "<i8").reshape(-1, 1).view(np.uint8)
    return lambda rows: {"level": levels[rows], "slots": slots[rows]}


def stream(side: str, numbers, operator=None) -> Outcome:
    """One owner's dataset to the operator, which returns its whole table and the canaries named."""

    def send(channel: Channel) -> keyed.Sent:
        items = digests(numbers)
        return keyed.owner(channel, KEY, items, COLUMNS, columns_of(numbers), canaries=own_canaries(side))

    def take(channel: Channel):
        received = keyed.operator(channel, COLUMNS)
        table = pa.Table.from_batches(received.batches).combine_chunks()
        assert table.num_rows == received.rows
        return table, keyed.named_canaries(channel)

    return session(send, operator or take, roles=(side, "operator"))


def tokens_of(table: pa.Table) -> np.ndarray:
    return to_rows(table.column("token").chunk(0))


def check_canaries(left: Bytes, right: Bytes, left_tokens: Bytes, right_tokens: Bytes) -> Bytes:
    return lining_up.canaries_among([left, right], [tokens.words(left_tokens), tokens.words(right_tokens)])


def line_up(left, right) -> tuple[set[int], dict[str, pa.Table]]:
    """What an operator does: the positions in `left` that matched, canaries taken out."""
    (left_table, left_named), (right_table, right_named) = left, right
    dummies = check_canaries(left_named, right_named, tokens_of(left_table), tokens_of(right_table))
    hits = index_in(tokens_of(left_table), tokens_of(right_table)) >= 0
    hits &= index_in(tokens_of(left_table), dummies) < 0
    return np.flatnonzero(hits)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), unique=True), st.lists(st.integers(0, 40), unique=True))
def test_the_lined_up_rows_are_the_set_intersection(left, right):
    left_sent, at_left = stream("merchant", left).both()
    _, at_right = stream("platform", right).both()
    positions = line_up(at_left, at_right)
    outcome = session(
        lambda c: keyed.send_matched(c, positions),
        lambda c: keyed.receive_matched(c, left_sent),
        roles=("operator", "merchant"),
    )
    expected = [row for row, number in enumerate(left) if number in right]
    assert outcome.both()[1].tolist() == expected
    slots = to_rows(at_left[0].column("slots").chunk(0))[positions, :8].copy().view("<i8")[:, 0]
    assert sorted(slots) == sorted(set(left) & set(right))  # each row kept its own columns


def received(table: pa.Table, chunk: int) -> keyed.Received:
    """What an owner sent, as if it came in small frames."""
    batches = table.to_batches(max_chunksize=chunk)
    return keyed.Received(table.num_rows, ((batch, tokens.words(to_rows(batch.column(0)))) for batch in batches))


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(1, 9), st.integers(1, 9))
def test_streams_of_any_frames_merge_to_the_same_rows(left, right, chunk, other):
    sent, (left_table, left_named) = stream("merchant", sorted(left)).both()
    _, (right_table, right_named) = stream("platform", sorted(right)).both()
    found = keyed.line_up(received(left_table, chunk), received(right_table, other))
    positions = keyed.without_canaries(found, left_named, right_named)
    assert positions.tolist() == line_up((left_table, left_named), (right_table, right_named)).tolist()
    assert {sorted(left)[row] for row in sent.order[positions]} == left & right


def passed(table: pa.Table, chunk: int) -> lining_up.Passing:
    return lining_up.Passing(received(table, chunk))


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(1, 9), st.integers(1, 9))
def test_rows_that_both_sent_come_with_both_sides_columns(left, right, chunk, other):
    sent, (left_table, left_named) = stream("merchant", sorted(left)).both()
    _, (right_table, right_named) = stream("platform", sorted(right)).both()
    sides = passed(left_table, chunk), passed(right_table.rename_columns(["token", "level2", "slots2"]), other)
    found = list(lining_up.lined_up(*sides))
    dummies = lining_up.canaries_passed([left_named, right_named], sides)
    whole = pa.Table.from_batches([each.rows for each in found])
    assert whole.schema.names == ["token", "level", "slots", "level2", "slots2"]
    positions = np.concatenate([each.left for each in found])
    places = np.concatenate([each.right for each in found])
    assert left_table.take(pa.array(positions)).to_pylist() == whole.select(range(3)).to_pylist()
    assert (
        right_table.take(pa.array(places)).to_pylist()
        == whole.select([0, 3, 4]).rename_columns(right_table.column_names).to_pylist()
    )
    common = np.isin(whole.column("token").to_pylist(), [row.tobytes() for row in dummies])
    lining_up.check_common(int(common.sum()))
    assert {sorted(left)[row] for row in sent.order[positions[~common]]} == left & right


def test_canaries_that_disagree_end_a_match_of_rows_that_passed():
    _, (left_table, left) = stream("merchant", [1, 2, 3]).both()
    _, (right_table, right) = stream("platform", [2, 3, 4]).both()
    own, common = (right_table.filter(index_in(tokens_of(right_table), right[some]) < 0) for some in ([5], [1]))

    def sides(one: pa.Table, other: pa.Table) -> list[lining_up.Passing]:
        made = [passed(one, 4), passed(other, 4)]
        list(lining_up.lined_up(*made))
        return made

    assert len(lining_up.canaries_passed([left, right], sides(left_table, right_table))) == 8
    for tables, one in (
        ((left_table, right_table), left[::-1]),  # named otherwise
        ((left_table, own), left),  # an own one is missing
        ((left_table, common), left),  # a common one is missing
        ((left_table, left_table), left),  # one-sided ones on both sides
    ):
        with pytest.raises(ProtocolError, match="canaries"):
            lining_up.canaries_passed([one, right], sides(*tables))
    for rows in (3, 5):
        with pytest.raises(ProtocolError, match="canaries"):
            lining_up.check_common(rows)


@pytest.mark.parametrize("parts", [1, 3])
def test_items_that_come_in_parts_and_go_in_ranges_are_sent_as_those_that_come_at_once(monkeypatch, parts):
    """What the operator sees and what the owner knows of it do not depend on how much an owner holds."""
    numbers = list(range(300))
    items, passes = digests(numbers).copy(), []

    def again():
        passes.append(0)
        return np.array_split(items, parts)

    def send(channel: Channel) -> keyed.Sent:
        held = tokens.Items(len(items), again)
        return keyed.owner(channel, KEY, held, COLUMNS, columns_of(numbers), canaries=own_canaries("merchant"))

    def take(channel: Channel):
        table = pa.Table.from_batches(keyed.operator(channel, COLUMNS).batches)
        return table.to_pydict(), keyed.named_canaries(channel).tobytes()

    whole, seen = session(send, take).both()
    assert len(passes) == 1
    monkeypatch.setattr(keyed, "_MOST_AT_ONCE", 120)
    sent, seen_in_ranges = session(send, take).both()
    assert seen_in_ranges == seen
    assert (sent.order == whole.order).all()
    assert len(passes) == 1 + 6
    items[7] = items[250]
    fails(session(send, take), "sender", ProtocolError, "1 identities are repeated")


def test_parts_of_another_number_of_rows_than_declared_are_refused():
    for count in (2, 4):
        with pytest.raises(ValueError):
            list(
                tokens.encrypted_in_ranges(bytes(32), tokens.Items(count, lambda: [digests([1, 2, 3])]), digests([]), 1)
            )


def test_canaries_that_disagree_end_a_streamed_match():
    _, (left_table, left) = stream("merchant", [1, 2, 3]).both()
    _, (right_table, right) = stream("platform", [2, 3, 4]).both()

    def found(one: pa.Table, other: pa.Table) -> keyed.LinedUp:
        return keyed.line_up(received(one, 4), received(other, 4))

    lined_up = found(left_table, right_table)
    without_one = right_table.filter(
        np.arange(len(right_table)) != tokens_of(right_table).tolist().index(list(right[0]))
    )
    for matches, one, other in (
        (lined_up, left[::-1], right),  # named otherwise
        (found(left_table, without_one), left, right),  # a common one is not there
        (found(left_table, left_table), left, right),  # one-sided ones match
    ):
        with pytest.raises(ProtocolError, match="canaries"):
            keyed.without_canaries(matches, one, other)


def test_rows_come_in_the_order_of_their_tokens():
    sent, (table, _) = stream("merchant", list(range(100))).both()
    tokens = [row.tobytes() for row in tokens_of(table)]
    assert tokens == sorted(tokens)
    assert sorted(sent.order.tolist()) == list(range(100 + canary.COUNT))


def test_nothing_on_the_wire_is_a_candidate_or_its_hash():
    """Attack P4, and labels: no digest, no hash of one, no code of a value."""
    outcome = stream("merchant", [1, 2, 3])
    outcome.both()
    wire = contents(outcome.frames["sender"])
    for digest in digests(range(40)):
        raw = digest.tobytes()
        forms = [raw, raw[:16], raw.hex().encode()]
        forms += [hashlib.new(name, raw).digest() for name in ("md5", "sha1", "sha256", "sha512")]
        forms.append(tokens.encrypted(bytes(32), digest[None]).tobytes())
        assert not any(form[:8] in wire for form in forms)
    assert KEY not in wire


def test_views_of_equal_leakage_have_equal_shapes_and_multiplicities():
    one = stream("merchant", list(range(30)))
    two = stream("merchant", list(range(329, 299, -1)))
    for side in ("sender", "receiver"):
        assert shapes(one.frames[side]) == shapes(two.frames[side])
    levels = [Counter(outcome.both()[1][0].column("level").to_pylist()) for outcome in (one, two)]
    assert sorted(levels[0].values()) == sorted(levels[1].values())


def test_tokens_are_a_permutation_under_a_key_of_their_own():
    items = digests(range(50))
    tokens = keyed.identity_tokens(KEY, items)
    assert len({row.tobytes() for row in tokens}) == 50
    assert (tokens == keyed.identity_tokens(KEY, items[:, :16])).all()  # MD5-wide digests use all of themselves
    assert (tokens != keyed.identity_tokens(bytes(32), items)).any(axis=1).all()
    own = keyed.subkey(KEY, "cleanroom/keyed-identity/1")
    encryptor = Cipher(algorithms.AES256(own), modes.ECB()).encryptor()
    assert tokens[7].tobytes() == encryptor.update(items[7, :16].tobytes())


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=60, unique=True), st.integers(0, 15))
def test_order_is_that_of_big_endian_numbers(values, place):
    """Tokens that differ in one byte alone, be it one by which they are not sorted first."""
    some = np.zeros((len(values), 16), np.uint8)
    some[:, place] = values
    assert tokens.take(some, tokens.ascending(some)).tolist() == sorted(some.tolist())


def test_many_tokens_are_ordered_as_by_a_comparison_of_both_halves():
    some = np.random.default_rng(5).integers(0, 256, (70_000, 16), np.uint8)
    some[:30_000, :3] = 7  # many agree in the bits that are sorted first
    high, low = tokens.words(some)
    assert (tokens.ascending(some) == np.lexsort((low, high))).all()
    assert (tokens.to_bytes(high, low) == some).all()


def test_identities_come_back_from_their_tokens():
    items = digests(range(9))
    assert (keyed.identities(KEY, keyed.identity_tokens(KEY, items)) == items[:, :16]).all()


def test_value_tokens_depend_on_code_and_column_only():
    codes = np.array([0, 1, 1, -1], np.int64)
    tokens = keyed.value_tokens(KEY, "level", codes)
    assert tokens.shape == (4, 8)
    assert (tokens[1] == tokens[2]).all()
    assert len({row.tobytes() for row in tokens}) == 3
    assert (tokens != keyed.value_tokens(KEY, "city", codes)).any(axis=1).all()
    assert keyed.value_tokens(KEY, "level", codes[:0]).shape == (0, 8)


def test_both_owners_derive_one_room_key_a_contract():
    mine, theirs = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    one = keyed.room_key(mine.private_bytes_raw(), theirs.public_key().public_bytes_raw(), CONTRACT)
    two = keyed.room_key(theirs.private_bytes_raw(), mine.public_key().public_bytes_raw(), CONTRACT)
    other = keyed.room_key(mine.private_bytes_raw(), theirs.public_key().public_bytes_raw(), bytes(32))
    assert one == two != other
    assert len(one) == 32


LOW_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
"""The points of low order of RFC 7748's curve and their aliases (also Wycheproof's x25519_test.json)."""


@pytest.mark.parametrize("public", [*LOW_ORDER, "00" * 31])
def test_exchange_keys_of_low_order_are_refused(public):
    with pytest.raises(BadMessage, match="not valid"):
        keyed.room_key(bytes(range(32)), bytes.fromhex(public), CONTRACT)


def test_what_is_sealed_opens_under_its_key_and_label_only():
    sealed = keyed.seal(KEY, "labels", b"content")
    assert keyed.open_sealed(KEY, "labels", sealed) == b"content"
    assert keyed.seal(KEY, "labels", b"content")[1:] != sealed[1:]  # a fresh key each time
    for key, label, content in (
        (bytes(32), "labels", sealed),
        (KEY, "other", sealed),
        (KEY, "labels", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (KEY, "labels", b"\2" + sealed[1:]),
        (KEY, "labels", sealed[:20]),
        (KEY, "labels", b""),
    ):
        with pytest.raises(BadMessage):
            keyed.open_sealed(key, label, content)


def test_messages_from_fixed_keys_are_what_they_were():
    """Known answers: what the operator reads off the wire is the same whatever machine and release sent it."""
    _, (table, named) = stream("merchant", list(range(300))).both()
    columns = [to_rows(table.column(name).chunk(0)).tobytes() for name in ("token", *COLUMNS)]
    found = [hashlib.sha256(column).hexdigest()[:32] for column in (*columns, named.tobytes())]
    assert found == KNOWN


KNOWN = [
    "85c58e4feece0740d470768efee4c5f5",
    "0b45b8ffbd3328468e4c0c442d23ad28",
    "c040b6593097b7b6d707e898238e17b3",
    "327cee080b7490ea703229b71c1a320f",
]


# -- what goes wrong


def fails(outcome: Outcome, side: str, kind: type[ProtocolError], text: str) -> None:
    other = "sender" if side == "receiver" else "receiver"
    assert type(outcome.errors[side]) is kind
    assert text in str(outcome.errors[side])
    assert isinstance(outcome.errors[other], PeerAborted)


def test_repeated_identities_are_refused():
    fails(stream("merchant", [1, 2, 1, 2, 3]), "sender", ProtocolError, "2 identities are repeated")


def test_equal_first_halves_of_two_tokens_are_no_reason_to_fail():
    some = np.zeros((4, 16), np.uint8)
    some[:, 15] = [3, 1, 2, 0]
    assert tokens.ascending(some).tolist() == [3, 1, 2, 0]


def test_more_rows_than_the_contract_allows_are_refused():
    outcome = stream("merchant", [1, 2, 3], lambda c: keyed.operator(c, COLUMNS, most=2))
    fails(outcome, "receiver", BadMessage, "not allowed")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda rows: rows[::-1], "order of their tokens"),
        (lambda rows: rows[[0, *range(len(rows))][: len(rows)]], "order of their tokens"),
        (lambda rows: rows[1:], "fewer rows"),
    ],
)
def test_rows_that_the_operator_refuses(change, text):
    def send(channel):
        tokens = np.sort(np.arange(20).astype(">u8")).repeat(2).view(np.uint8).reshape(-1, 16)
        channel.send_batch("keyed.size", pa.record_batch([pa.array([20])], schema=keyed._SIZE))
        channel.send_batch("keyed.rows", to_batch(keyed._TOKENS, change(tokens)))
        channel.receive_batch("keyed.lined-up", keyed._SIZE, rows=0)

    outcome = session(send, lambda c: list(keyed.operator(c, {}).batches))
    fails(outcome, "receiver", BadMessage, text)


def test_order_is_checked_across_batches():
    def send(channel):
        rows = np.arange(20).astype(">u8").repeat(2).view(np.uint8).reshape(-1, 16)
        channel.send_batch("keyed.size", pa.record_batch([pa.array([20])], schema=keyed._SIZE))
        for part in (rows[10:], rows[:10]):
            channel.send("keyed.rows", to_batch(keyed._TOKENS, part))
        channel.receive_batch("keyed.lined-up", keyed._SIZE, rows=0)

    fails(session(send, lambda c: list(keyed.operator(c, {}).batches)), "receiver", BadMessage, "order of their tokens")


@pytest.mark.parametrize("positions", [[0, 0], [-1], [9 + canary.COUNT], "canary"])
def test_positions_that_were_not_sent_are_refused(positions):
    sent, _ = stream("merchant", list(range(9))).both()
    if positions == "canary":
        positions = [int(np.flatnonzero(sent.order >= 9)[0])]
    outcome = session(
        lambda c: (keyed.send_matched(c, np.array(positions, np.int64)), c.confirm()),
        lambda c: keyed.receive_matched(c, sent),
        roles=("operator", "merchant"),
    )
    fails(outcome, "receiver", BadMessage, "were not sent")


def test_no_match_is_an_empty_list():
    sent, _ = stream("merchant", [1, 2]).both()
    outcome = session(lambda c: keyed.send_matched(c, np.empty(0, np.int64)), lambda c: keyed.receive_matched(c, sent))
    assert outcome.both()[1].tolist() == []


def test_canaries_that_disagree_end_the_match():
    _, (left_table, left) = stream("merchant", [1, 2, 3]).both()
    _, (right_table, right) = stream("platform", [2, 3, 4]).both()
    a, b = tokens_of(left_table), tokens_of(right_table)
    assert check_canaries(left, right, a, b).shape == (canary.COMMON + 2 * canary.OWN, 16)
    everyone = np.concatenate([a, b])
    for bad in (
        (left[::-1], right, a, b),  # named otherwise
        (left, right, a, b[index_in(b, right) < 0]),  # not there
        (left, right, a, everyone),  # one-sided ones on both sides
        (left, right, everyone, b),
        (left, right, b, b),  # own ones missing
    ):
        with pytest.raises(ProtocolError, match="canaries"):
            check_canaries(*bad)


def test_a_canary_takes_the_values_it_is_given():
    def send(channel):
        return keyed.owner(
            channel,
            KEY,
            digests([1]),
            {"slots": 2},
            lambda rows: {"slots": np.full((len(rows), 2), 5, np.uint8)},
            canaries=own_canaries("merchant"),
            fill={"slots": b"\7\7"},
        )

    def take(channel):
        table = pa.Table.from_batches(keyed.operator(channel, {"slots": 2}).batches)
        keyed.named_canaries(channel)
        return Counter(table.column("slots").to_pylist())

    assert session(send, take).both()[1] == {b"\5\5": 1, b"\7\7": canary.COUNT}
