"""Three-key matching: the published construction byte for byte, any sets, any order of keys, and what is no element."""

import base64
import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import BadMessage
from protocols.psi import three_key
from protocols.rows import Bytes

VECTORS = json.loads((Path(__file__).parents[1] / "interop" / "vectors" / "three_key_pair.json").read_text())
RISTRETTO = json.loads((Path(__file__).parents[1] / "vectors" / "rfc9496_ristretto255.json").read_text())
SHARED, PUBLISHER, ADVERTISER = (bytes.fromhex(VECTORS[name]) for name in ("shared", "publisher", "advertiser"))
SMALL_ORDER = (
    "00" * 32,
    "01" + "00" * 31,
    "ec" + "ff" * 30 + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
"""Encodings of points of the Edwards curve whose order divides 8: none is an element of the group."""
PEOPLE = st.lists(st.binary(min_size=32, max_size=32), max_size=12, unique=True)


def rows(contents: list[bytes]) -> Bytes:
    return np.frombuffer(b"".join(contents), np.uint8).reshape(-1, 32)


def ten() -> Bytes:
    """A list of ten elements."""
    people = np.random.default_rng(2).integers(0, 256, (10, 32), np.uint8)
    return three_key.listed(three_key.identifiers(SHARED, PUBLISHER, people))


def lists_of(left: Bytes, right: Bytes, shared: bytes = SHARED) -> tuple[Bytes, Bytes]:
    """The PAIR ids of a publisher's and of an advertiser's people, as the two make them from each other's lists."""
    theirs = three_key.listed(three_key.identifiers(shared, PUBLISHER, left))
    ours = three_key.listed(three_key.identifiers(shared, ADVERTISER, right))
    return (three_key.listed(three_key.multiplied(ADVERTISER, theirs)),
            three_key.listed(three_key.multiplied(PUBLISHER, ours)))  # fmt: skip


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["digest"][:8])
def test_each_step_gives_the_bytes_that_the_published_construction_gives(case):
    """The vectors are made by another implementation of the group, in pure Python."""
    digest = rows([bytes.fromhex(case["digest"])])
    publisher = three_key.identifiers(SHARED, PUBLISHER, digest)
    advertiser = three_key.identifiers(SHARED, ADVERTISER, digest)
    told = {"publisher": publisher, "advertiser": advertiser, "pair": three_key.multiplied(ADVERTISER, publisher)}
    assert {name: base64.b64encode(row.tobytes()).decode() for name, row in told.items()} == {
        name: case[name] for name in told
    }


@settings(deadline=None, max_examples=60)
@given(PEOPLE, PEOPLE, PEOPLE)
def test_what_is_shared_is_the_plain_intersection_and_the_advertiser_gets_its_publisher_identifiers(both, one, other):
    left = list(dict.fromkeys([*both, *one]))
    right = list(dict.fromkeys([*other, *both]))
    found = three_key.shared_of(*lists_of(rows(left), rows(right)))
    shared = rows([person for person in left if person in right])
    assert np.array_equal(three_key.listed(three_key.without(ADVERTISER, found)),
                          three_key.listed(three_key.identifiers(SHARED, PUBLISHER, shared)))  # fmt: skip


@settings(deadline=None, max_examples=20)
@given(PEOPLE, st.integers(0, 2**32))
def test_the_order_in_which_keys_are_put_on_and_taken_off_does_not_matter(people, seed):
    keys = [three_key.new_key(np.random.default_rng([seed, each]).bytes) for each in range(3)]
    base = three_key.identifiers(SHARED, PUBLISHER, rows(people))
    found = set()
    for order in permutations(keys):
        elements = base
        for key in order:
            elements = three_key.multiplied(key, elements)
        found.add(elements.tobytes())
        for key in keys:
            elements = three_key.without(key, elements)
        assert np.array_equal(elements, base)
    assert len(found) == 1


@pytest.mark.parametrize("rotated", ["shared", "publisher"])
def test_after_a_rotation_nothing_of_an_old_list_is_found_in_a_new_one(rotated):
    people = np.random.default_rng(1).integers(0, 256, (200, 32), np.uint8)
    old = three_key.identifiers(SHARED, PUBLISHER, people)
    shared = three_key.new_shared() if rotated == "shared" else SHARED
    key = three_key.new_key() if rotated == "publisher" else PUBLISHER
    new = three_key.identifiers(shared, key, people)
    assert len(three_key.shared_of(three_key.listed(old), three_key.listed(new))) == 0
    assert not set(map(bytes, old[:, :8])) & set(map(bytes, new[:, :8]))


def test_lists_under_different_shared_keys_share_nobody():
    people = np.random.default_rng(1).integers(0, 256, (50, 32), np.uint8)
    theirs, _ = lists_of(people, people)
    _, ours = lists_of(people, people, three_key.new_shared())
    assert len(three_key.shared_of(theirs, ours)) == 0


def test_the_order_of_a_list_says_nothing_of_the_order_it_was_made_in():
    people = np.random.default_rng(1).integers(0, 256, (300, 32), np.uint8)
    one, other = lists_of(people, people[::-1])
    assert np.array_equal(one, other)


@pytest.mark.parametrize("bad", [*SMALL_ORDER, *(each["encoding"] for each in RISTRETTO["bad_encodings"])])
def test_what_is_no_element_is_refused_and_its_place_is_found(bad):
    elements = ten()
    elements[6] = np.frombuffer(bytes.fromhex(bad), np.uint8)
    with pytest.raises(BadMessage, match="not valid"):
        three_key.multiplied(ADVERTISER, elements)
    assert three_key.invalid(elements) == 6


def test_an_element_that_is_repeated_or_out_of_order_is_named_by_its_place():
    elements = ten()
    assert three_key.misplaced(elements) == three_key.invalid(elements) == -1
    twice = np.concatenate([elements[:4], elements[3:]])
    with pytest.raises(BadMessage, match="Element 5 of a list is repeated"):
        three_key.check_listed(twice)
    with pytest.raises(BadMessage, match="Element 5 of a list is repeated"):
        three_key.listed(twice[::-1])
    with pytest.raises(BadMessage, match="out of order"):
        three_key.check_listed(elements[::-1])


def test_a_key_is_told_by_an_id_that_fits_no_other():
    assert three_key.key_id(PUBLISHER) == three_key.key_id(PUBLISHER) != three_key.key_id(ADVERTISER)
    assert three_key.key_id(PUBLISHER) not in PUBLISHER.hex()


def test_digests_of_another_width_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="32"):
        three_key.identifiers(SHARED, PUBLISHER, np.zeros((1, 16), np.uint8))
