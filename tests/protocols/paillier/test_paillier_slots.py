import json

import numpy as np
import phe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import BadMessage, ProtocolError
from protocols.paillier.cells import Amount, CellLayout
from protocols.paillier.keys import PrivateKey
from protocols.paillier.numbers import pack, unpack
from protocols.paillier.slots import Layout, Slot

PROPERTY = settings(max_examples=25, deadline=None)
INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def slots(draw: st.DrawFn) -> tuple[Slot, ...]:
    made = []
    for i in range(draw(st.integers(1, 9))):
        low, high = sorted(draw(st.tuples(INT64 | st.integers(-3, 3), INT64 | st.integers(-3, 3))))
        masked = draw(st.booleans()) and max(-low, high) < 2**40
        made.append(Slot(f"column {i}", low, high, masked, draw(st.integers(0, 10**6))))
    return tuple(made)


def added(plain: list[np.ndarray], width: int, n: int) -> np.ndarray:
    """What homomorphic addition does: sums modulo n, plaintext by plaintext."""
    columns = [unpack(rows.reshape(-1, width)) for rows in plain]
    return pack([sum(parts) % n for parts in zip(*columns, strict=True)], width).reshape(plain[0].shape)


@PROPERTY
@given(slots(), st.integers(1, 10**6), st.data())
def test_sums_of_packed_rows_are_sums(
    small: PrivateKey, made: tuple[Slot, ...], rows: int, data: st.DataObject
) -> None:
    layout, public = Layout(512, made, rows), small.public
    row = st.tuples(*(st.sampled_from([s.low, s.high]) | st.integers(s.low, s.high) for s in made))
    table = data.draw(st.lists(row, min_size=1, max_size=min(rows, 8)))
    plain = layout.encode(np.array(table, np.int64).reshape(len(table), len(made)), public)
    assert plain.shape == (len(table), layout.plaintexts * public.plain_width)
    assert layout.decode(plain, public).tolist() == [list(row) for row in table]
    total = added([plain[i : i + 1] for i in range(len(table))], public.plain_width, public.n)
    assert layout.decode(total, public).tolist() == [[sum(column) for column in zip(*table, strict=True)]]


@PROPERTY
@given(slots(), st.integers(1, 10**6), st.booleans())
def test_c5_all_at_their_bound_fit_and_one_more_is_refused(
    small: PrivateKey, made: tuple[Slot, ...], rows: int, up: bool
) -> None:
    """As many rows as declared, all at one end, the most noise on top, the largest or smallest mask: nothing spills."""
    layout, public = Layout(512, made, rows), small.public
    ends = [slot.high if up else slot.low for slot in made]
    one = unpack(layout.encode(np.array([ends], np.int64), public).reshape(-1, public.plain_width))
    full = pack([rows * x % public.n for x in one], public.plain_width).reshape(1, -1)
    masks = np.array([[max(f.mask - 1, 0) if up else 0 for f in layout.fields]], object)
    noise = np.array([[s.noise if up else -s.noise for s in made]], object)
    sent = added(
        [full, layout.encode_masks(masks, public), layout.encode_noise(noise, public)], public.plain_width, public.n
    )
    opened = layout.decode(sent, public)
    expected = [rows * end + (s.noise if up else -s.noise) for end, s in zip(ends, made, strict=True)]
    assert (opened - masks).tolist() == [expected]
    layout.check_rows(rows)
    with pytest.raises(ProtocolError):
        layout.check_rows(rows + 1)
    for j, slot in enumerate(made):
        beyond = noise.copy()
        beyond[0, j] += 1 if up else -1
        with pytest.raises(ProtocolError, match="would leave its slot") as caught:
            layout.encode_noise(beyond, public)
        assert caught.value.params == {"column": slot.name}
        beyond = masks.copy()
        beyond[0, j] += 1 if up else -1
        with pytest.raises(ProtocolError, match="would leave its slot"):
            layout.encode_masks(beyond, public)
        outside = ends[j] + (1 if up else -1)
        if -(2**63) <= outside < 2**63:
            with pytest.raises(ProtocolError) as caught:
                layout.encode(np.array([ends, [*ends[:j], outside, *ends[j + 1 :]]], np.int64), public)
            assert caught.value.params == {"column": slot.name, "row": 1}


def test_masks_hide_to_forty_bits(small: PrivateKey) -> None:
    layout = Layout(512, (Slot("a", -5, 900, masked=True, noise=3), Slot("b", 0, 1)), 1000)
    field = layout.fields[0]
    assert field.mask >= (field.most - field.least) << 40
    masks = layout.draw_masks(200)
    assert (masks[:, 1] == 0).all()
    drawn = [int(x) for x in masks[:, 0]]
    assert len(set(drawn)) == 200
    assert 0 <= min(drawn) < field.mask // 8
    assert field.mask * 7 // 8 < max(drawn) < field.mask


def test_what_the_layout_does_not_declare_is_refused(small: PrivateKey) -> None:
    public, layout = small.public, Layout(512, (Slot("a", 0, 9), Slot("b", -4, 2, masked=True)), 10)
    first, second = layout.fields
    a, b = 1 << first.offset, 1 << second.offset
    bad = [91 * a, -1 * a, b * -41, b * (second.mask + 20), 1 << (second.offset + second.width), public.n // 2]
    good = [90 * a, 0, -40 * b, (second.mask + 19) * b, 90 * a - 40 * b]
    for number in good:
        layout.decode(pack([number % public.n], public.plain_width), public)
    for number in bad:
        with pytest.raises(BadMessage):
            layout.decode(pack([number % public.n], public.plain_width), public)


def test_layouts_that_cannot_be_are_refused(small: PrivateKey) -> None:
    with pytest.raises(ProtocolError, match="more than 127"):
        Layout(2048, (Slot("spend", 0, 2**63 - 1, masked=True),), 10**9)
    with pytest.raises(ProtocolError, match="not in order"):
        Layout(2048, (Slot("spend", 5, 4),), 10)
    for parts in (((), 10, 40), ((Slot("a", 0, 1),), 0, 40), ((Slot("a", 0, 1),), 10, 39)):
        with pytest.raises(ProtocolError, match="needs a slot"):
            Layout(2048, *parts)
    layout = Layout(2048, (Slot("a", 0, 1),), 10)
    with pytest.raises(ProtocolError, match="2048 bits; the key has 512"):
        layout.encode(np.zeros((1, 1), np.int64), small.public)


def test_misuse_is_refused(small: PrivateKey) -> None:
    layout = Layout(512, (Slot("a", 0, 1),), 10)
    for call in (
        lambda: layout.encode(np.zeros((1, 2), np.int64), small.public),
        lambda: layout.encode_masks(np.zeros((1, 2), object), small.public),
        lambda: layout.decode(np.zeros((1, 2 * small.public.plain_width), np.uint8), small.public),
    ):
        with pytest.raises(ValueError, match=r"column|layout"):
            call()


def test_phe_reads_a_single_slot(small: PrivateKey) -> None:
    layout, judge = Layout(512, (Slot("a", -(2**63), 2**63 - 1),), 3), small.to_phe()
    values = [0, 5, -5, -(2**63), 2**63 - 1]
    for value, number in zip(values, unpack(layout.encode(np.array([values], np.int64).T, small.public)), strict=True):
        encoded = phe.EncryptedNumber(judge.public_key, judge.public_key.raw_encrypt(int(number)), 0)
        assert judge.decrypt(encoded) == value


@st.composite
def cell_layouts(draw: st.DrawFn) -> CellLayout:
    small = st.integers(-(2**40), 2**40)
    amounts = []
    for i in range(draw(st.integers(0, 3))):
        low, high = sorted(draw(st.tuples(small, small)))
        amounts.append(Amount(f"amount {i}", low, high, draw(st.integers(0, 50))))
    cells, rows = draw(st.integers(1, 12)), draw(st.integers(8, 10**6))
    return CellLayout(512, cells, tuple(amounts), rows, count_noise=draw(st.integers(0, 500)))


@PROPERTY
@given(cell_layouts(), st.data())
def test_cells_count_and_add(small: PrivateKey, layout: CellLayout, data: st.DataObject) -> None:
    public = small.public
    row = st.tuples(st.integers(-1, layout.cells - 1), *(st.integers(a.low, a.high) for a in layout.amounts))
    table = data.draw(st.lists(row, min_size=1, max_size=8))
    codes = np.array([each[0] for each in table], np.int64)
    amounts = np.array([each[1:] for each in table], np.int64).reshape(len(table), len(layout.amounts))
    plain = layout.encode(codes, amounts, public)
    dense = np.zeros((len(table), layout.cells, 1 + len(layout.amounts)), np.int64)
    for i, code in enumerate(codes):
        if code >= 0:
            dense[i, code] = [1, *amounts[i]]
    for row_bytes, values in zip(plain, dense.reshape(len(table), -1).tolist(), strict=True):
        expected = [0] * layout.plaintexts
        for field, value in zip(layout.layout.fields, values, strict=True):
            expected[field.plaintext] += value << field.offset
        assert unpack(row_bytes.reshape(-1, public.plain_width)) == [x % public.n for x in expected]
    total = added([plain[i : i + 1] for i in range(len(table))], public.plain_width, public.n)
    masks, noise = layout.draw_masks(1), np.array([[[-a.noise for a in layout.amounts]] * layout.cells], object)
    noise = noise.reshape(1, layout.cells, len(layout.amounts))
    count_noise = np.full((1, layout.cells), layout.count_noise)
    extra = [layout.encode_masks(masks, public), layout.encode_noise(count_noise, noise, public)]
    opened = layout.decode(added([total, *extra], public.plain_width, public.n), public)
    sums = dense.astype(object).sum(axis=0)
    assert opened.counts.dtype == np.int64
    assert (opened.counts[0] - layout.count_noise == sums[:, 0]).all()
    assert (layout.unmask(opened.amounts, masks)[0] - noise[0] == sums[:, 1:]).all()


def test_cells_refuse_what_they_do_not_declare(small: PrivateKey) -> None:
    layout, public = CellLayout(512, 2, (Amount("spend", 0, 10), Amount("visits", -1, 1)), 100), small.public
    amounts = np.array([[0, 0], [99, 0], [11, 0]])
    with pytest.raises(ProtocolError) as caught:
        layout.encode(np.array([0, -1, 1]), amounts, public)
    assert caught.value.params == {"column": "spend", "row": 2}
    assert (layout.clamp(np.array([[-3, -9], [11, 4]])) == [[0, -1], [10, 1]]).all()
    layout.encode(np.array([0, -1, 1]), layout.clamp(amounts), public)
    for codes in ([0, 0, 2], [-2, 0, 0]):
        with pytest.raises(ValueError, match="declared cell"):
            layout.encode(np.array(codes), amounts, public)
    with pytest.raises(ValueError, match="one code a row"):
        layout.encode(np.array([0]), amounts, public)
    with pytest.raises(ProtocolError, match="needs a cell"):
        CellLayout(512, 0, (), 100)
    masks = layout.draw_masks(2)
    with pytest.raises(ValueError, match="as many masks"):
        layout.unmask(masks[:1], masks)
    with pytest.raises(BadMessage, match="outside its declared bounds"):
        layout.unmask(masks + 1001, masks)


def test_a_row_needs_several_plaintexts_where_one_has_no_room(small: PrivateKey) -> None:
    layout = CellLayout(512, 30, (Amount("spend", 0, 10**8),), 10**6)
    assert layout.plaintexts > 1
    ends: dict[int, int] = {}
    for field in layout.layout.fields:
        assert field.offset >= ends.get(field.plaintext, 0), "slots overlap"
        ends[field.plaintext] = field.offset + field.width
    assert sorted(ends) == list(range(layout.plaintexts))
    assert max(ends.values()) <= 510


@given(cell_layouts())
def test_the_contract_s_form_and_back(layout: CellLayout) -> None:
    assert CellLayout.from_canonical(json.loads(json.dumps(layout.to_canonical()))) == layout


def test_other_forms_are_refused() -> None:
    good = CellLayout(2048, 3, (Amount("spend", 0, 10),), 100).to_canonical()
    with pytest.raises(ProtocolError, match="unknown format"):
        CellLayout.from_canonical(good | {"format": 2})
    changes = [{"rows": "100"}, {"rows": 1.0}, {"cells": True}, {"more": 1}, {"amounts": 5}, {"amounts": [5]}]
    changes += [
        {"amounts": [["spend", 0]]},
        {"amounts": [["spend", 0, 10, 0, 0]]},
        {"amounts": [["spend", 0, "10", 0]]},
    ]
    missing = {name: value for name, value in good.items() if name != "rows"}
    for bad in (missing, *(good | change for change in changes)):
        with pytest.raises(ProtocolError, match="malformed"):
            CellLayout.from_canonical(bad)
