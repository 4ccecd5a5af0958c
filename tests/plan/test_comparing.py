"""TGI and trends: right, with intervals that hold, and no difference that noise alone explains."""

import datetime as dt
import math

import numpy as np
import pytest

from cleanroom.errors import UsageError
from cleanroom.plan.comparing import portrait, trend
from cleanroom.plan.reading import Where, answer
from tests.plan import world

TIER, VISITS, CITY = "crm.tier", "crm.visits", "users.city"
GOLD: Where = (((TIER, (0,)),),)


def test_tgi_is_the_quotient_of_shares_among_known_values() -> None:
    _, true, codes = world.small()
    found = portrait(world.made(true, world.LABELS), CITY, GOLD)
    gold, known = codes[TIER] == 0, codes[CITY] != 4
    assert found.coverage == pytest.approx(np.mean(codes[CITY][gold] < 3))
    for cell, each in enumerate(found.indices[:4]):
        own = np.mean(codes[CITY][gold & known] == cell)
        base = np.mean(codes[CITY][known] == cell)
        assert each.label == world.LABELS[CITY][cell]
        if each.people is not None:
            assert each.tgi == pytest.approx(100 * own / base)
            assert each.share == pytest.approx(own)
            assert each.base_share == pytest.approx(base)
    assert found.indices[4].tgi is None, "unknown is no value"


def test_a_segment_that_is_its_base_has_100_and_is_not_significant() -> None:
    cube = world.small()[0]
    for where in ((), GOLD):
        shown = [each for each in portrait(cube, CITY, where, where).indices if each.tgi is not None]
        assert shown
        assert all(each.tgi == each.low == each.high == pytest.approx(100) for each in shown)
        assert not any(each.significant for each in shown)


def test_the_interval_of_tgi_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(9)
    _, true, _ = world.small()
    truth = portrait(world.made(true, world.LABELS), CITY, GOLD)
    held = []
    for _ in range(400):
        found = portrait(world.made(world.noised(rng, true, 20), world.LABELS), CITY, GOLD)
        for each, exact in zip(found.indices, truth.indices, strict=True):
            if exact.people is not None and exact.people > 400 and each.low is not None and exact.tgi is not None:
                assert each.high is not None
                held.append(each.low <= exact.tgi <= each.high)
    assert len(held) > 800
    assert abs(np.mean(held) - 0.95) < 3 * math.sqrt(0.05 * 0.95 / 400)


def test_what_is_withheld_has_no_share_either() -> None:
    found = portrait(world.small(count=2500)[0], CITY, GOLD)
    hidden = [each for each in found.indices if each.people is None]
    assert hidden
    assert all(each.share is each.tgi is each.low is None for each in hidden)
    cube = world.small(count=2500)[0]
    base = answer(cube, (CITY,), GOLD).groups
    assert any(group.people is None for group in base)
    beside = portrait(cube, CITY, (), GOLD).indices
    assert all(each.tgi is None for group, each in zip(base, beside, strict=True) if group.people is None)


def test_a_segment_of_two_columns_is_estimated() -> None:
    _, true, codes = world.small(count=200_000)
    cube = world.made(true, world.LABELS)
    found = portrait(cube, CITY, (((TIER, (0, 1)), (VISITS, (1, 2))),))
    meant = np.isin(codes[TIER], (0, 1)) & np.isin(codes[VISITS], (1, 2)) & (codes[CITY] != 4)
    assert found.estimated
    for cell, each in enumerate(found.indices[:4]):
        if each.tgi is not None:
            share = np.mean(codes[CITY][meant] == cell)
            assert each.share == pytest.approx(share, abs=0.05)
            assert each.low is None
            assert each.significant is None


def test_a_trend_tells_growth_from_noise() -> None:
    cube, true, codes = world.small()
    rng = np.random.default_rng(2)
    sizes = {name: len(labels) for name, labels in world.LABELS.items()}
    more = {name: np.concatenate([own, own[:1500]]) for name, own in codes.items()}
    more[TIER][20_000:] = 0
    week = world.MADE + dt.timedelta(days=7)
    later = world.made(world.noised(rng, world.counted(more, sizes), 20), world.LABELS, when=week)
    changes = {each.labels[0]: each for each in trend(cube, later, (TIER,))}
    assert changes["gold"].change == pytest.approx(1500, abs=100)
    assert changes["gold"].significant
    still = [each.significant for name, each in changes.items() if name != "gold" and each.change is not None]
    assert not all(still)
    gold = [answer(each, (TIER,)).groups[0].within or 0 for each in (cube, later)]
    assert changes["gold"].within == math.ceil(math.hypot(*gold))
    again = trend(cube, world.made(world.noised(rng, true, 20), world.LABELS, when=week), (TIER, VISITS))
    assert sum(each.significant is True for each in again) <= 3


def test_plans_of_other_cells_are_compared_by_label_and_never_by_number() -> None:
    cube, true, _ = world.small()
    turned = {**world.LABELS, TIER: tuple(reversed(world.LABELS[TIER]))}
    other = world.made(true, turned)
    with pytest.raises(UsageError):
        trend(cube, other, (), GOLD)
    first = next(each for each in trend(cube, other, (TIER,)) if each.labels == ("gold",))
    assert first.after != first.before
