"""Rooms by `oprf` whose asked side has a cluster: executors make the table, its peer gets what one machine sends."""

import shutil
from pathlib import Path
from typing import Any

import pair_room_support as rooms
import pandas as pd
import pytest

from cleanroom import datasets
from cleanroom.answer.epochs import Kept
from cleanroom.cluster import oprf_rooms, oprf_tables
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.enclave.query import Query
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.overlap.asked import Overlap
from cleanroom.overlap.run import home_paths, make_homes, run
from cleanroom.rooms.store import Rooms
from protocols.canary import COUNT
from protocols.errors import PeerAborted, ProtocolError
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

FEW, MANY = range(300), range(50, 450)
"""Persons by number: those of the merchant, who asks, and of the platform."""
QUERY = Query(("crm.level",), ("crm.spend",))


def write(folder: Path, name: str, people: list[int] | range) -> str:
    of = {"phone": [str(13_900_000_000 + 7919 * n) for n in people], "level": [("gold", "tin")[n % 2] for n in people]}
    return world.csv(folder / f"{name}.csv", {**of, "spend": [f"{n}.25" for n in people]})


def asked(folder: Path, **more: Any) -> Overlap:
    return Overlap(
        write(folder, "m", FEW), write(folder, "p", MANY), protocol="oprf", by=("merchant.level",),
        sums=("merchant.spend",), receiver="merchant", k=50, key_bits=2048, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes of both with the signed room `overlap`."""
    folder = tmp_path_factory.mktemp("made")
    world.prepare(folder, asked(folder), "oprf")
    return folder


def copied(made: Path, folder: Path) -> dict[str, Home]:
    for side in ("merchant", "platform"):
        shutil.copytree(made / side, folder / side)
    return {side: Home.open(folder / side) for side in ("merchant", "platform")}


def kept(home: Home) -> Kept:
    return Kept(home, Rooms(home.rooms).load("overlap").contract, 1)


def put(home: Home, people: list[int]) -> None:
    """Another version of the platform's dataset."""
    import_source(home, Wish("users", write(home.path.parent, "later", people)))


def came(ran: world.Ran) -> list[bytes]:
    """The tags that came to the merchant, in order."""
    assert not ran.failures, ran.failures
    return ran.values["merchant"].get("tag", [])


def answer(ran: world.Ran, party: str) -> list[tuple[Any, ...]]:
    return sorted((row["level"], row["people"], row["spend"]) for row in ran.outcomes[party].segments or [])


def joined(few: list[int] | range, many: list[int] | range) -> list[tuple[Any, ...]]:
    both = sorted(set(few) & set(many))
    table = pd.DataFrame({"level": [("gold", "tin")[n % 2] for n in both], "spend": [n + 0.25 for n in both]})
    groups = table.groupby("level").agg(people=("spend", "size"), spend=("spend", "sum")).reset_index()
    return sorted(groups.itertuples(index=False, name=None))


def test_the_peer_gets_what_one_machine_sends(
    made: Path, tmp_path: Path, spark_session: Any, spark_settings: ClusterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under one key the same tags in the same order; then only what is new is evaluated, and of the same version
    nothing at all: no table is made. Parts are gone after each."""
    alone = copied(made, tmp_path / "alone")
    first = came(world.run(alone, QUERY))
    homes = copied(made, tmp_path / "cluster")
    folder = kept(homes["platform"]).begin().folder
    shutil.copy(kept(alone["platform"]).folder / "key", folder / "key")
    place = rooms.on_spark(homes["platform"].path, "platform", master=spark_settings.master)
    counts: list[tuple[int, int]] = []
    monkeypatch.setattr(oprf_tables, "evaluate", _counting(counts, oprf_tables.evaluate))

    ran = world.run(homes, QUERY)
    assert came(ran) == first
    assert len(first) == len(MANY) + COUNT
    assert answer(ran, "merchant") == answer(ran, "platform") == joined(FEW, MANY)
    assert ran.outcomes["merchant"].size == 250
    assert rooms.left_in(place) == []

    assert came(world.run(homes, QUERY)) == []
    assert counts == [(400, 400)]

    later = [*range(57, 450), *range(503, 510)]
    for side in (alone, homes):
        put(side["platform"], later)
    here, there = world.run(alone, QUERY), world.run(homes, QUERY)
    assert came(there) == came(here)
    assert len(came(there)) == 7 + 7
    assert answer(there, "merchant") == joined(FEW, later)
    assert counts == [(400, 400), (400, 7)]
    assert rooms.left_in(place) == []


def _counting(counts: list[tuple[int, int]], real: Any) -> Any:
    def evaluate(*given: Any, **more: Any) -> Any:
        own = real(*given, **more)
        counts.append((own.rows, own.evaluated))
        return own

    return evaluate


def test_a_table_that_fails_leaves_no_part(
    made: Path, tmp_path: Path, spark_session: Any, spark_settings: ClusterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named at the side that makes it; the next run makes it."""
    homes = copied(made, tmp_path)
    place = rooms.on_spark(homes["platform"].path, "platform", master=spark_settings.master)
    with monkeypatch.context() as patch:
        patch.setattr(oprf_rooms.oprf_tables, "table", _failing)
        failures = world.run(homes, QUERY).failures
    assert str(failures["platform"]) == "On purpose."
    assert type(failures["merchant"]) is PeerAborted
    assert rooms.left_in(place) == []
    assert not (kept(homes["platform"]).folder / "table").exists()
    assert len(came(world.run(homes, QUERY))) == len(MANY) + COUNT


def _failing(*_: Any) -> None:
    raise ProtocolError("On purpose.")


@pytest.mark.slow
def test_processes_and_a_spark_of_the_platforms(tmp_path: Path) -> None:
    """As `cleanroom overlap` runs it, twice in one epoch, with somebody forgotten in between."""
    homes = home_paths(tmp_path / "home", operator=False)
    make_homes(homes)
    place = rooms.on_spark(homes["platform"], "platform")
    wish = asked(tmp_path)
    told = run(wish, homes["merchant"])
    assert told["overlap"]["value"] == 250
    assert sorted((row["level"], row["people"], row["spend"]) for row in told["segments"]) == joined(FEW, MANY)
    datasets.forget(homes["platform"], write(tmp_path, "gone", [60]), "phone", None)
    again = run(wish, homes["merchant"])
    assert again["overlap"]["value"] == 249
    assert again["room"] == told["room"]
    assert rooms.left_in(place) == []
