"""The two-party answer, both parties played: a merchant that hosts, a platform that holds the key."""

import numpy as np
import pytest

from protocols.errors import BadMessage, ProtocolError
from protocols.paillier import answer, cipher
from protocols.paillier.cells import Amount, CellLayout, Totals
from protocols.paillier.keys import PrivateKey
from protocols.paillier.numbers import pack, unpack
from protocols.paillier.pools import Pool

AMOUNTS = (Amount("spend", -50_000, 10_000_000), Amount("visits", 0, 99))
GROUPS = 3


class Story:
    """60 matched rows, 3 groups of which the last is empty, 4 cells."""

    def __init__(self, key: PrivateKey) -> None:
        rng = np.random.default_rng(11)
        self.layout = CellLayout(key.public.bits, 4, AMOUNTS, 60)
        self.codes = rng.integers(-1, 4, 60)
        self.amounts = np.stack([rng.integers(a.low, a.high + 1, 60) for a in AMOUNTS], axis=1)
        self.ids = rng.integers(0, GROUPS - 1, 60)
        self.people = np.bincount(self.ids, minlength=GROUPS)
        labels = cipher.encrypt(key, self.layout.encode(self.codes, self.amounts, key.public))
        cipher.check_ciphertexts(key.public, labels)
        self.sums = cipher.sum_groups(key.public, labels, self.ids, GROUPS)

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        counts = np.zeros((GROUPS, 4), np.int64)
        amounts = np.zeros((GROUPS, 4, 2), np.int64)
        kept = self.codes >= 0
        np.add.at(counts, (self.ids[kept], self.codes[kept]), 1)
        np.add.at(amounts, (self.ids[kept], self.codes[kept]), self.amounts[kept])
        return counts, amounts


@pytest.fixture(scope="module", params=["key", "small"])
def key_holder(request: pytest.FixtureRequest) -> PrivateKey:
    found: PrivateKey = request.getfixturevalue(request.param)
    return found


def test_the_answer_is_right(key_holder: PrivateKey) -> None:
    story = Story(key_holder)
    rows, masks = answer.prepare(key_holder.public, story.layout, story.sums, story.people)
    seen = answer.open_sums(key_holder, story.layout, rows)
    counts, amounts = story.expected()
    assert (seen.counts == counts).all()
    released = seen.counts >= 2
    sent = answer.pack_amounts(seen.amounts[released])
    assert sent.shape == (released.sum(), 2 * answer.AMOUNT_WIDTH)
    found = answer.unmask(story.layout, answer.unpack_amounts(sent), masks[released])
    assert (found == amounts[released]).all()


def test_the_key_holder_sees_no_amount_and_no_input(small: PrivateKey) -> None:
    story = Story(small)
    sent = [answer.prepare(small.public, story.layout, story.sums, story.people)[0] for _ in range(2)]
    width = small.public.width
    inputs, first, second = ({int(c) for c in unpack(rows.reshape(-1, width))} for rows in (story.sums, *sent))
    assert not (inputs & first) and not (inputs & second) and not (first & second)
    assert 1 in inputs and 1 not in first, "an empty group's row is random too"
    views = [answer.open_sums(small, story.layout, rows) for rows in sent]
    assert (views[0].counts == views[1].counts).all()
    assert not (views[0].amounts == views[1].amounts).any()
    field = story.layout.layout.fields[1]
    assert min(views[0].amounts[:, :, 0].ravel()) > field.most, "2^-36 that this fails by chance"


def test_counts_alone_are_rerandomised_too(small: PrivateKey) -> None:
    layout = CellLayout(512, 2, (), 10)
    sums = pack([1, 1], small.public.width)
    rows, masks = answer.prepare(small.public, layout, sums, np.array([0, 0]))
    assert masks.shape == (2, 2, 0)
    assert not (rows == sums).all(axis=1).any()
    assert (answer.open_sums(small, layout, rows).counts == 0).all()


def test_c5_a_group_larger_than_declared_is_refused_before_it_is_sent(small: PrivateKey) -> None:
    story = Story(small)
    with pytest.raises(ProtocolError, match="61 rows in one sum are more than the 60"):
        answer.prepare(small.public, story.layout, story.sums, np.array([61, 0, 0]))


def test_the_key_holder_refuses_what_is_no_answer(small: PrivateKey, other: PrivateKey) -> None:
    story = Story(small)
    rows, _ = answer.prepare(small.public, story.layout, story.sums, story.people)
    damaged = rows.copy()
    damaged[1] = 0
    with pytest.raises(BadMessage, match="Row 1 of the batch is not a ciphertext"):
        answer.open_sums(small, story.layout, damaged)
    with pytest.raises(BadMessage, match="width"):
        answer.open_sums(small, story.layout, rows[:, : small.public.width])
    with pytest.raises(BadMessage, match="width"):
        answer.open_sums(small, story.layout, rows.ravel())
    with pytest.raises(ProtocolError, match="laid out for"):
        answer.open_sums(other, story.layout, rows)
    foreign = cipher.encrypt(small, np.full((1, story.layout.plaintexts * small.public.plain_width), 1, np.uint8))
    with pytest.raises(BadMessage, match="decrypted sum"):
        answer.open_sums(small, story.layout, foreign)


def test_noise_leaves_inside_the_sums(small: PrivateKey) -> None:
    layout = CellLayout(512, 1, (Amount("spend", 0, 100, noise=50),), 10, count_noise=3)
    labels = cipher.encrypt(small, layout.encode(np.zeros(2, np.int64), np.array([[40], [60]]), small.public))
    sums = cipher.sum_groups(small.public, labels, np.zeros(2, np.int64), 2)
    counts, amounts = np.array([[3], [-2]]), np.array([[[-50]], [[7]]], object)
    people, source = np.array([2, 0]), Pool(small.public, 2)
    rows, masks = answer.prepare(small.public, layout, sums, people, noise=Totals(counts, amounts), source=source)
    seen = answer.open_sums(small, layout, rows)
    assert seen.counts.tolist() == [[5], [-2]]
    assert answer.unmask(layout, seen.amounts, masks).tolist() == [[[50]], [[7]]]
    for beyond in (Totals(counts + 1, amounts), Totals(counts, amounts - 1)):
        with pytest.raises(ProtocolError, match="would leave its slot"):
            answer.prepare(small.public, layout, sums, people, noise=beyond)


def test_the_host_refuses_an_amount_that_cannot_be(small: PrivateKey) -> None:
    story = Story(small)
    rows, masks = answer.prepare(small.public, story.layout, story.sums, story.people)
    seen = answer.open_sums(small, story.layout, rows)
    with pytest.raises(BadMessage, match="spend is outside"):
        answer.unmask(story.layout, seen.amounts + 60 * 10_000_000 * 3, masks)


def test_amounts_travel_as_bytes() -> None:
    values = np.array([[0, -1], [2**126, -(2**126)]], object)
    assert (answer.unpack_amounts(answer.pack_amounts(values)) == values).all()
    assert answer.unpack_amounts(answer.pack_amounts(np.empty((0, 2), object))).shape == (0, 2)
    with pytest.raises(BadMessage, match="width"):
        answer.unpack_amounts(np.zeros((1, 17), np.uint8))
