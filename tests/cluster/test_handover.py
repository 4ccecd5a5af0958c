"""Rows that go from cluster to cluster by a place that both reach: the same answers, no trust in what lies there."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from made_rows import InProcess, drawn, quiet, settings
from test_room import on_spark
from test_tokenising import BRIEF, ROOM_KEY, parts, received

from cleanroom.answer import planning
from cleanroom.answer.board import BoardAsked
from cleanroom.cluster import checking, executor_keys, handover, tokenising
from cleanroom.cluster.handover import HandedOver, Place
from cleanroom.cluster.lining_up import LineUp
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.staging import places_of
from cleanroom.cluster.tokenising import Tokenised, shown_part
from cleanroom.enclave import tables
from cleanroom.enclave.query import Query
from cleanroom.errors import CleanroomError, Refused, UsageError
from cleanroom.overlap.asked import Overlap
from cleanroom.plan.store import Plans
from cleanroom.rooms.store import Rooms
from protocols.errors import BadMessage, ProtocolError
from protocols.psi import keyed
from tests.boards import world as boards_world
from tests.protocols.support import session
from tests.room import test_answers, three, world
from tests.room.three import OWNERS, TRIPLE, asked, joined, segments
from tests.s3_server import address

ROWS = drawn(900, 2, 400)
WIDTHS = {"shop.tier": 8}
UNFIT = "missing, damaged, or not as it should send it"


def in_two_places(folder: Path) -> tuple[ClusterSettings, ClusterSettings]:
    """Owner and operator, each with keys and parts of its own, and one place that both reach."""
    (folder / "owner").mkdir()
    (folder / "operator").mkdir()
    common = str(folder / "common")
    return replace(settings(folder / "owner"), handover=common), replace(settings(folder / "operator"), handover=common)


def handed(folder: Path, change: Callable[[Place, Tokenised], None] | None = None,
           most: int = 2000) -> tuple[HandedOver, Place, Tokenised]:  # fmt: skip
    """What an owner leaves, as its operator takes it. change: what the owner does to it before it tells."""
    owner, operator = in_two_places(folder)
    layout = tokenising.layout_of(BRIEF, 900, 4)

    def give(channel: Any) -> tuple[Place, Tokenised]:
        of = replace(layout, of=handover.agree(channel, 1))
        place = Place.new(owner)
        made = tokenising.tokenise(InProcess(), owner, parts(folder), place.parts, ROWS, BRIEF, of, quiet)
        if change is not None:
            change(place, made)
        handover.give(channel, place, made)
        return place, made

    def take(channel: Any) -> HandedOver:
        handover.wished(channel, most, WIDTHS)
        handover.decide(channel, 8)
        return handover.taken(channel, operator, 0, "shop", WIDTHS, most, 8)

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
    with pytest.raises(BadMessage, match=UNFIT):
        list(other.read(0, 0, ["token"]))
    assert place.key.hex() not in repr([place, found])


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
    with pytest.raises(BadMessage, match=UNFIT):
        line_up._bucket(2)
    with pytest.raises(BadMessage, match=UNFIT):
        for bucket in range(8):
            found.tokens(0, bucket)
            list(found.read(0, bucket, ["shop.tier"]))


def put(place: Place, bucket: int, rows: pa.Table, meta: bytes | None, compression: str) -> None:
    """Write a part as no honest party does. meta: what stands where the names of columns should."""
    name, names = shown_part(bucket), [f"c{at}" for at in range(rows.num_columns)]
    leave = place.parts._authorisation(name, len(names))
    schema = rows.rename_columns(names).schema.with_metadata(None if meta is None else {b"cleanroom-part/1": meta})
    path, sealed = Path(place.parts.uri) / f"{name}.parquet", leave.to_write(names)
    with pq.ParquetWriter(path, schema, compression=compression, encryption_properties=sealed) as writer:
        writer.write_table(rows.rename_columns(names).cast(schema))


NAMES = b'["token", "shop.tier"]'
HOSTILE: dict[str, tuple[bytes | None, str]] = {
    "unpacked it is larger": (NAMES, "zstd"),
    "the names of its columns fill megabytes": (NAMES + b" " * (8 << 20), "none"),
    "no names": (None, "none"),
    "a number for names": (b"7", "none"),
    "numbers for names": (b"[1, 2]", "none"),
    "names without end": (b"[" * 100_000, "none"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_part_that_nobody_of_ours_wrote_is_refused_by_name(tmp_path: Path, what: str) -> None:
    """It opens under the key that was told, has the rows that were told, and is neither unpacked nor our mistake."""

    def change(place: Place, made: Tokenised) -> None:
        put(place, 2, pa.Table.from_batches(place.parts.read(shown_part(2))), *HOSTILE[what])

    found, _, _ = handed(tmp_path, change)
    for read in (lambda: found.tokens(0, 2), lambda: places_of(found, np.full((1, 16), 80, np.uint8))):
        with pytest.raises(BadMessage, match=UNFIT):
            read()


def varint(number: int) -> bytes:
    """As Thrift writes a number from 0 on."""
    rest, found = number << 1, b""
    while rest > 127:
        rest, found = rest >> 7, found + bytes([rest & 127 | 128])
    return found + bytes([rest])


def with_more_rows_than_it_says(place: Place, made: Tokenised) -> None:
    """An owner holds the keys: it opens a part's footer, has it say fewer rows than its row group does, seals it."""
    path, rows = Path(place.parts.uri) / f"{shown_part(2)}.parquet", made.pieces[2].rows
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    body, told = content[:start], content[start:-8]
    found = json.loads(re.findall(rb"\{[^{}]*wrappedDEK[^{}]*\}", told)[-1])
    seal = AESGCM(place.parts._wrapping.unwrap(found["masterKeyID"], bytes.fromhex(found["wrappedDEK"])))
    for at in range(len(told) - 4):  # what names the key, then length, nonce and footer
        if int.from_bytes(told[at : at + 4], "little") == len(told) - at - 4:
            head, nonce, footer = told[:at], told[at + 4 : at + 16], told[at + 16 :]
    for at in range(len(head) - 8):  # eight of its bytes name the file, to which the footer is bound
        with suppress(InvalidTag):
            opened, bound = seal.decrypt(nonce, footer, head[at : at + 8] + b"\0"), head[at : at + 8] + b"\0"
    assert opened.count(b"\x16" + varint(rows)) == 2, "of the file, and of its row group"
    changed = opened.replace(b"\x16" + varint(rows), b"\x16" + varint(rows - 1), 1)
    sealed = nonce + seal.encrypt(nonce, changed, bound)
    tail = head + len(sealed).to_bytes(4, "little") + sealed
    path.write_bytes(body + tail + len(tail).to_bytes(4, "little") + b"PARE")
    object.__setattr__(made.pieces[2], "rows", rows - 1)  # as the owner tells it


def test_a_part_has_no_more_rows_than_its_owner_told(tmp_path: Path) -> None:
    """Nor may its own groups of rows have: more would be counted than a contract allows."""
    found, _, _ = handed(tmp_path, with_more_rows_than_it_says)
    with pytest.raises(BadMessage, match=UNFIT):
        found.tokens(0, 2)


def test_rows_that_change_while_they_are_read_are_still_checked(tmp_path: Path) -> None:
    """Tokens and values are read one after the other, and each time it is looked whether they fit."""
    found, place, made = handed(tmp_path)
    tokens, _ = found.tokens(0, 2)
    rewritten(2, lambda rows: rows.rename_columns(["shop.tier", "token"]).select([1, 0]))(place, made)
    with pytest.raises(BadMessage, match=UNFIT):
        list(found.read(0, 2, ["shop.tier"]))
    with pytest.raises(BadMessage, match=UNFIT):
        found.tokens(0, 2)
    assert len(tokens)


def test_whoever_runs_the_store_cannot_put_rows_of_its_own_there(tmp_path: Path) -> None:
    """Nor an open file, which Parquet knows too."""

    def change(place: Place, made: Tokenised) -> None:
        rows = pa.Table.from_batches(place.parts.read(shown_part(2))).rename_columns(["c0", "c1"])
        opened = rows.replace_schema_metadata({b"cleanroom-part/1": NAMES})
        pq.write_table(opened, Path(place.parts.uri) / f"{shown_part(2)}.parquet", compression="none")

    found, _, _ = handed(tmp_path, change)
    with pytest.raises(BadMessage, match=UNFIT):
        found.tokens(0, 2)


def test_parts_that_were_exchanged_do_not_open(tmp_path: Path) -> None:
    def exchange(place: Place, made: Tokenised) -> None:
        one, other = ((Path(place.parts.uri) / f"{shown_part(bucket)}.parquet") for bucket in (1, 2))
        first = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(first)

    found, _, _ = handed(tmp_path, exchange)
    with pytest.raises(BadMessage, match=UNFIT):
        found.tokens(0, 1)


def test_an_operator_that_looks_elsewhere_says_so(tmp_path: Path) -> None:
    """A typing mistake in one node's place is not told as damage."""

    def elsewhere(place: Place, made: Tokenised) -> None:
        (tmp_path / "common").rename(tmp_path / "commom")

    with pytest.raises(Refused, match="Nothing of shop stands") as raised:
        handed(tmp_path, elsewhere)
    assert "one and the same place" in raised.value.hint


@pytest.mark.parametrize("change", [
    {"name": "../../etc"}, {"name": "A" * 32}, {"name": 7}, {"key": "00"}, {"key": "zz" * 32}, {"rows": [1] * 3},
    {"rows": [5000] * 4}, {"rows": [-1, 9, 9, 9]}, {"rows": [0] * 4}, {"rows": [True] * 4}, {"rows": "many"},
    {"rows": [900, 3, 3, 3]},
])  # fmt: skip
def test_what_an_owner_tells_is_checked(tmp_path: Path, change: dict[str, Any]) -> None:
    told = {"name": "ab" * 16, "key": "cd" * 32, "rows": [5] * 4} | change

    def tell(channel: Any) -> None:
        handover.tell(channel, "handover.given", told)

    with pytest.raises(ProtocolError, match="not in the form"):
        session(tell, lambda channel: handover.taken(channel, settings(tmp_path), 0, "shop", WIDTHS, 1000, 4),
                roles=("merchant", "operator")).both()  # fmt: skip


@pytest.mark.parametrize(("said", "needs"), [(2, 4), (1 << 20, 4)])
def test_an_owner_cuts_into_no_fewer_buckets_than_it_must_and_not_into_any_number(said: int, needs: int) -> None:
    def decide(channel: Any) -> None:
        handover.wished(channel, 1 << 40, WIDTHS)
        handover.decide(channel, said)

    with pytest.raises(ProtocolError, match="not in the form"):
        session(lambda channel: handover.agree(channel, needs), decide, roles=("merchant", "operator")).both()


@pytest.mark.parametrize(("rows", "wish"), [(1000, 2), (1 << 30, 300), (1 << 60, 1 << 15), (1000, 0)])
def test_nobody_makes_the_others_cut_into_more_buckets_than_its_rows_need(rows: int, wish: int) -> None:
    """Each is a task for every owner and for the operator, whoever wished for it."""

    def heard(buckets: int, most: int) -> int:
        told = {"format": handover.FORMAT, "buckets": buckets}
        return session(
            lambda channel: handover.tell(channel, "handover.wish", told),
            lambda channel: handover.wished(channel, most, WIDTHS),
            roles=("merchant", "operator"),
        ).both()[1]

    with pytest.raises(ProtocolError, match="not in the form"):
        heard(wish, rows)
    needed = tokenising.layout_of(BRIEF, 1 << 30, 1).of
    assert heard(needed, 1 << 30) == needed > 1


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


def test_a_place_that_is_named_otherwise_at_one_node(
    tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any
) -> None:
    """The operator says what to look at, and what the owners left is gone."""
    homes = three_clusters(tmp_path, spark_settings, str(tmp_path / "place"))
    on_spark(homes[three.OPERATOR].path, replace(spark_settings, handover=str(tmp_path / "plaice")), "enclave")
    ran = asked(homes, "exact", TRIPLE, BY)
    assert not ran.outcomes
    assert "Nothing of crm stands" in str(ran.failures[three.OPERATOR])
    assert all(isinstance(error, CleanroomError | ProtocolError) for error in ran.failures.values())
    assert not list((tmp_path / "place").rglob("*.parquet"))
    assert not list(Path(spark_settings.staging).rglob("*.parquet"))


def test_a_plan_is_counted_from_what_was_handed_over(
    tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any
) -> None:
    homes = three_clusters(tmp_path, spark_settings, str(tmp_path / "place"))
    room = Rooms(homes["brand"].rooms).load("noised")
    ran = asked(homes, "noised", TRIPLE, planning.columns_of(room.contract), plan=True)
    assert not ran.failures, ran.failures
    made = [Plans(homes[owner]).latest("noised") for owner in OWNERS]
    assert made[0] is not None and all(cube is not None and cube.digest == made[0].digest for cube in made)
    table, labels = made[0].counts[("crm.level",)], made[0].columns["crm.level"]
    noised = dict(zip(labels, table.tolist(), strict=True))
    assert all(abs(noised[level] - people) < 6 * made[0].sigma for level, people in joined(TRIPLE, ("level",), ()))
    assert not list((tmp_path / "place").rglob("*.parquet"))


def test_a_board_asks_for_no_way_of_a_cluster(tmp_path: Path) -> None:
    """It matches nothing: whoever has no cluster still asks for one."""
    homes = boards_world.homes(tmp_path, ("merchant", "platform", "operator"))
    boards_world.room(homes, "spring")
    on_spark(homes["platform"].path, replace(settings(tmp_path), handover=str(tmp_path / "place")), "platform")
    part = {name: homes[name] for name in ("merchant", "platform")}
    by = ("users.gender",)
    ran = world.run(part, Query(by), name="spring", wished=40, board=BoardAsked("merchant", "users", ((), by)))
    assert not ran.failures, ran.failures


def test_the_check_of_a_cluster_tries_the_place(
    tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any
) -> None:
    """By writing at an owner's; at an operator's, which needs no leave to write, by looking."""
    place = tmp_path / "place"
    for role in ("merchant", "enclave"):
        (tmp_path / role).mkdir()
        on_spark(tmp_path / role, replace(spark_settings, handover=str(place)), role)
    assert checking.checked(tmp_path / "enclave")["handover"] == str(place)
    assert not place.exists()
    checking.checked(tmp_path / "merchant")
    assert place.exists() and not list(place.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("role", "place", "said"),
    [("merchant", "s3://none/here?endpoint={}", "no such bucket"),
     ("enclave", "s3://vaults/here?endpoint=http://127.0.0.1:9", "not reached")],
)  # fmt: skip
def test_the_check_has_executors_try_the_place(
    tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any, s3: str, monkeypatch: pytest.MonkeyPatch,
    role: str, place: str, said: str,
) -> None:  # fmt: skip
    """Theirs is the error where they are not let in: this node finds nothing wrong here."""
    on_spark(tmp_path, replace(spark_settings, handover=place.format(s3)), role)
    monkeypatch.setattr(Parts, "stands", lambda *_: False)
    with pytest.raises(CleanroomError, match=said):
        checking.checked(tmp_path)


def test_the_check_finds_a_folder_that_executors_have_of_their_own(
    tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_spark(tmp_path, replace(spark_settings, handover=str(tmp_path / "place")), "merchant")
    monkeypatch.setattr(checking, "_by_executor", lambda *_: None)  # it went well, elsewhere
    with pytest.raises(UsageError, match="share"):
        checking.checked(tmp_path)


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
