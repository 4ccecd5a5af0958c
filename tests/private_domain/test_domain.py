"""The made-up platform: the same for the same seed, of the stated shape; campaigns have the effect that was put in."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cleanroom.demo import domain
from cleanroom.demo.domain import KINDS, Part, Platform, parts, write
from cleanroom.demo.effects import EFFECTS, respond
from connectors.event_types import EVENTS
from connectors.private_domain.opening import open_domain
from connectors.private_domain.settings import Settings

AS_OF = dt.date(2026, 11, 21)


@pytest.fixture(scope="module")
def part() -> Part:
    (only,) = parts(Platform(20_000, AS_OF))
    return only


def test_the_same_seed_gives_the_same_people(part: Part) -> None:
    (again,), (other,) = parts(Platform(20_000, AS_OF)), parts(Platform(20_000, AS_OF, seed=2))
    assert again.events.equals(part.events) and again.users.equals(part.users)
    assert not other.events.equals(part.events)


def test_events_are_of_the_model_and_of_the_stated_shape(part: Part) -> None:
    counts = {
        row["values"]: row["counts"]
        for row in pc.value_counts(part.events.column("event").cast(pa.string())).to_pylist()
    }
    assert counts.keys() <= EVENTS.keys()
    assert 9.0 < part.events.num_rows / 20_000 < 11.5
    visits = counts["mini-program.visit"] / dict(KINDS)["mini-program.visit"]
    assert abs(counts["life-account.read"] / dict(KINDS)["life-account.read"] / visits - 1) < 0.05
    assert abs(counts["coupon.redeem"] / counts["coupon.claim"] - 0.35) < 0.02
    assert part.users.num_rows == pc.count_distinct(part.users.column("user")).as_py() == 20_000
    day = pc.max(part.events.column("time")).as_py() + dt.timedelta(hours=8)
    assert day.date() <= AS_OF


def test_what_is_written_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "PART_USERS", 1_500)
    events = write(Platform(3_000, AS_OF), tmp_path)
    found = open_domain(str(tmp_path), AS_OF, Settings())
    table = pa.Table.from_batches([batch.table for batch in found.batches()])
    assert table.num_rows == 3_000 and found.losses == {} and events > 20_000
    imported = pc.sum(pc.equal(table.column("imported"), "yes")).as_py() / 3_000
    assert 0.1 < imported < 0.4  # without any event: the imported, and those whose activity is next to nothing
    assert {"device", "cell"} & set(table.schema.names) == {"device"}


@pytest.mark.parametrize("scene", sorted(EFFECTS))
def test_a_campaign_has_the_effect_that_was_put_in(scene: str) -> None:
    effect, persons = EFFECTS[scene], np.arange(60_000)
    treated = np.random.default_rng(1).random(60_000) < 0.5
    found = respond(effect, "618", persons, treated, dt.date(2026, 11, 1), seed=4)
    rates = [found.converted[arm].mean() for arm in (treated, ~treated)]
    error = np.sqrt(sum(rate * (1 - rate) / 30_000 for rate in rates))
    assert abs(rates[0] - rates[1] - effect.lift) < 4 * error
    assert found.orders.num_rows == found.converted.sum()
    assert abs(found.cents[found.converted].mean() / effect.mean_cents - 1) < 0.2
    names = found.events.column("event").to_pylist()
    assert set(names) == set(effect.events) <= EVENTS.keys()
    assert abs(names.count(effect.events[0]) / treated.sum() - effect.reach) < 0.02
    assert pc.count_distinct(found.events.column("user")).as_py() <= treated.sum()
