"""Rows that go from cluster to cluster by a place that both reach: the same answers, no trust in what lies there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from made_rows import InProcess, drawn, quiet, settings
from test_room import on_spark
from test_tokenising import BRIEF, ROOM_KEY, parts, received

from cleanroom.cluster import executor_keys, handover, tokenising
from cleanroom.cluster.handover import HandedOver, Place
from cleanroom.cluster.lining_up import LineUp
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.staging import places_of
from cleanroom.cluster.tokenising import Tokenised, shown_part
from cleanroom.enclave import tables
from cleanroom.errors import BadData, CleanroomError
from cleanroom.overlap.asked import Overlap
from protocols.errors import BadMessage, ProtocolError
from protocols.psi import keyed
from tests.protocols.support import session
from tests.room import test_answers, three, world
from tests.room.three import OWNERS, TRIPLE, asked, joined, segments
from tests.s3_server import address

ROWS = drawn(900, 2, 400)
WIDTHS = {"shop.tier": 8}


def in_two_places(folder: Path) -> tuple[ClusterSettings, ClusterSettings]:
    """Owner and operator, each with keys and parts of its own, and one place that both reach."""
    (folder / "owner").mkdir()
    (folder / "operator").mkdir()
    common = str(folder / "common")
    return replace(settings(folder / "owner"), handover=common), replace(settings(folder / "operator"), handover=common)


def handed(folder: Path, change: Callable[[Place, Tokenised], None] | None = None, most: int = 2000,
           widths: dict[str, int] | None = None) -> tuple[HandedOver, Place, Tokenised]:  # fmt: skip
    """What an owner leaves, as its operator takes it. change: what the owner does to it before it tells."""
    owner, operator = in_two_places(folder)
    layout = tokenising.layout_of(BRIEF, 900, 4)

    def give(channel: Any) -> tuple[Place, Tokenised]:
        of = replace(layout, of=handover.agree(channel, layout.of))
        place = Place.new(owner)
        made = tokenising.tokenise(InProcess(), owner, parts(folder), place.parts, ROWS, BRIEF, of, quiet)
        if change is not None:
            change(place, made)
        handover.give(channel, place, made)
        return place, made

    def take(channel: Any) -> HandedOver:
        buckets = max(8, handover.wished(channel))
        handover.decide(channel, buckets)
        return handover.taken(channel, operator, 0, "shop", WIDTHS if widths is None else widths, most, buckets)

    (place, made), found = session(give, take, roles=("merchant", "operator")).both()
    return found, place, made


def whole(found: HandedOver) -> pa.Table:
    """All rows, as `keyed` sends them."""
    read = (found.read(0, bucket, ["token", *WIDTHS]) for bucket in range(found.buckets))
    return pa.Table.from_batches([batch for each in read for batch in each], keyed.layout(WIDTHS)).combine_chunks()


def test_an_operator_reads_what_one_machine_sends(tmp_path: Path) -> None:
    found, _, made = handed(tmp_path)
    layout = tokenising.layout_of(BRIEF, 900, 4)
    beside = tokenising.tokenise(
        InProcess(), settings(tmp_path), parts(tmp_path, "other"), parts(tmp_path, "sent"), ROWS, BRIEF, layout, quiet
    )
    sent, named = received(lambda channel: tokenising.send(channel, beside, BRIEF), WIDTHS)
    assert found.buckets == 8, "the operator says how many"
    assert whole(found).equals(sent)
    assert found.rows == made.rows == len(sent)
    rows = places_of(found, named)
    assert [sent.column("token")[row].as_py() for row in rows.tolist()] == [token.tobytes() for token in named]
    absent = keyed.identity_tokens(ROOM_KEY, np.zeros((1, 32), np.uint8))
    assert places_of(found, absent).tolist() == [-1]


def test_what_lies_there_tells_no_row_number_and_opens_by_the_told_key_alone(tmp_path: Path) -> None:
    found, place, _ = handed(tmp_path)
    files = list((tmp_path / "common").rglob("*.parquet"))
    assert len(files) == 8
    assert found.parts.schema(shown_part(3)).names == ["token", "shop.tier"]
    token = whole(found).column("token")[0].as_py()
    assert not any(token in file.read_bytes() or b"shop" in file.read_bytes() for file in files)
    other = replace(found, parts=Place.new(in_other(tmp_path)).parts)
    other = replace(other, parts=replace(other.parts, uri=found.parts.uri))
    with pytest.raises(BadData, match="missing or damaged"):
        list(other.read(0, 0, ["token"]))
    assert place.key.hex() not in repr(place)


def in_other(folder: Path) -> ClusterSettings:
    return replace(settings(folder / "operator"), handover=str(folder / "common"))


def rewritten(bucket: int, change: Callable[[pa.Table], pa.Table]) -> Callable[[Place, Tokenised], None]:
    """An owner that writes another part in a part's place, under the key that it tells."""

    def change_it(place: Place, made: Tokenised) -> None:
        rows = pa.Table.from_batches(place.parts.read(shown_part(bucket)))
        changed = change(rows).combine_chunks()
        with place.parts.write(shown_part(bucket), changed.schema) as writer:
            for batch in changed.to_batches():
                writer.add(batch)
            writer.close()

    return change_it


def with_nulls(rows: pa.Table) -> pa.Table:
    values = rows.column("shop.tier").to_pylist()
    return rows.set_column(1, "shop.tier", pa.array([None, *values[1:]], pa.binary(8)))


DISHONEST: dict[str, Callable[[pa.Table], pa.Table]] = {
    "in no order": lambda rows: rows.take(list(range(len(rows)))[::-1]),
    "a token twice": lambda rows: rows.take([0, 0, *range(2, len(rows))]),
    "a token of another bucket": lambda rows: rows.set_column(
        0, "token", tables.as_binary(np.sort(np.random.default_rng(1).integers(0, 256, (len(rows), 16), np.uint8), 0))
    ),
    "fewer rows": lambda rows: rows.slice(1),
    "another column": lambda rows: rows.rename_columns(["token", "shop.city"]),
    "a column more": lambda rows: rows.append_column("shop.city", rows.column(1)),
    "a wider value": lambda rows: rows.set_column(1, "shop.tier", pa.array([bytes(9)] * len(rows), pa.binary(9))),
    "no value": with_nulls,
}


@pytest.mark.parametrize("what", DISHONEST)
def test_what_an_owner_may_not_leave_is_refused_and_never_counted(tmp_path: Path, what: str) -> None:
    found, _, _ = handed(tmp_path, rewritten(2, DISHONEST[what]))
    other = replace(found, dataset="crm", number=1)
    own = executor_keys.seal(settings(tmp_path), "own", bytes(32))
    line_up = LineUp(replace(parts(tmp_path, "matched"), key=own), (found, other), 0, {}, {})
    with pytest.raises((BadMessage, BadData), match=r"not as it should send them|missing or damaged"):
        line_up._bucket(2)
    with pytest.raises((BadMessage, BadData)):
        for bucket in range(8):
            found.tokens(0, bucket)
            list(found.read(0, bucket, ["shop.tier"]))


def test_parts_that_were_exchanged_do_not_open(tmp_path: Path) -> None:
    def exchange(place: Place, made: Tokenised) -> None:
        one, other = ((Path(place.parts.uri) / f"{shown_part(bucket)}.parquet") for bucket in (1, 2))
        first = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(first)

    found, _, _ = handed(tmp_path, exchange)
    with pytest.raises(BadData, match="missing or damaged"):
        found.tokens(0, 1)


@pytest.mark.parametrize("change", [
    {"name": "../../etc"}, {"name": "A" * 32}, {"name": 7}, {"key": "00"}, {"key": "zz" * 32}, {"rows": [1] * 3},
    {"rows": [5000] * 4}, {"rows": [-1, 9, 9, 9]}, {"rows": [0] * 4}, {"rows": [True] * 4}, {"rows": "many"},
])  # fmt: skip
def test_what_an_owner_tells_is_checked(tmp_path: Path, change: dict[str, Any]) -> None:
    told = {"name": "ab" * 16, "key": "cd" * 32, "rows": [5] * 4} | change

    def tell(channel: Any) -> None:
        handover.tell(channel, "handover.given", told)

    with pytest.raises(ProtocolError, match="not in the form"):
        session(tell, lambda channel: handover.taken(channel, settings(tmp_path), 0, "shop", WIDTHS, 100, 4),
                roles=("merchant", "operator")).both()  # fmt: skip


@pytest.mark.parametrize(("said", "needs"), [(2, 4), (1 << 20, 4)])
def test_an_owner_cuts_into_no_fewer_buckets_than_it_must_and_not_into_any_number(said: int, needs: int) -> None:
    def decide(channel: Any) -> None:
        handover.wished(channel)
        handover.decide(channel, said)

    with pytest.raises(ProtocolError, match="not in the form"):
        session(lambda channel: handover.agree(channel, needs), decide, roles=("merchant", "operator")).both()


def three_clusters(folder: Path, base: ClusterSettings, place: str) -> dict[str, Any]:
    """Three owners and an operator, all on Spark."""
    three.build(folder / "made")
    homes = three.copied(folder / "made", folder)
    for name, home in homes.items():
        on_spark(home.path, replace(base, handover=place), "enclave" if name == three.OPERATOR else "merchant")
    return homes


BY, SUMS = ("crm.level", "users.zone"), ("crm.spend", "orders.fee")


def test_three_owners_hand_over_in_a_store(
    tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any, s3: str
) -> None:
    """Counts, sums under Paillier; and nothing is left at any of the places."""
    place = address(s3)
    homes = three_clusters(tmp_path, spark_settings, place)
    ran = asked(homes, "exact", TRIPLE, BY, SUMS)
    for owner in OWNERS:
        assert segments(ran, owner, BY, SUMS) == joined(TRIPLE, BY, SUMS)
    assert not list(Path(spark_settings.staging).rglob("*.parquet")), "parts of a run outlived it"
    assert not names_at(place)
    names = {name for party in ran.frames.values() for frames in party.values() for name in named_messages(frames)}
    assert "keyed.rows" not in names, "rows went over a connection after all"


def names_at(place: str) -> list[str]:
    from cleanroom.stores import store

    return store(place).names()


def named_messages(frames: list[bytes]) -> set[str]:
    return {name for name in ("keyed.rows", "handover.given") if any(name.encode() in frame for frame in frames)}


def test_a_receiver_is_told_its_members(tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any) -> None:
    merchant, platform = test_answers.sides()
    merchant.to_csv(tmp_path / "m.csv", index=False)
    platform.to_csv(tmp_path / "p.csv", index=False)
    wish = Overlap(str(tmp_path / "m.csv"), str(tmp_path / "p.csv"), by=("merchant.level",), receiver="merchant",
                   k=50, key_bits=2048)  # fmt: skip
    homes, _, query = world.prepare(tmp_path, wish, "keyed")
    for name, home in homes.items():
        on_spark(home.path, replace(spark_settings, handover=str(tmp_path / "place")),
                 "enclave" if name == "operator" else "merchant")  # fmt: skip
    out = tmp_path / "members.csv"
    ran = world.run(homes, query, {"merchant": out})
    assert not ran.failures, ran.failures
    expected = merchant.merge(platform, on="phone")
    assert sorted(pd.read_csv(out, dtype=str).phone) == sorted(expected.phone)
    assert {row["level"]: row["people"] for row in ran.outcomes["merchant"].segments or ()} == (
        expected.level.value_counts().to_dict()
    )
    assert not list((tmp_path / "place").rglob("*.parquet"))


def test_parties_that_are_not_set_alike_are_told_so(
    tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any
) -> None:
    homes = three_clusters(tmp_path, spark_settings, str(tmp_path / "place"))
    on_spark(homes["brand"].path, spark_settings, "merchant")
    ran = asked(homes, "exact", TRIPLE, BY, SUMS)
    assert not ran.outcomes
    told = {name: str(error) for name, error in ran.failures.items()}
    assert "handover" in told["brand"] and "handover" in told[three.OPERATOR]
    assert all(isinstance(error, CleanroomError | ProtocolError) for error in ran.failures.values())
    assert not list((tmp_path / "place").rglob("*.parquet"))
