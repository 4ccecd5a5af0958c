"""An owner's tokens made on a cluster: those of one machine, whatever fails, whoever stands twice; no key is seen."""

import base64
import hashlib
import json
import secrets
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_rows import InProcess, Made, digest_of, drawn, parts, quiet, settings, shown

from cleanroom.cluster import buckets, executor_keys, tokenising
from cleanroom.cluster.brief import Brief, SlotTerms, Source
from cleanroom.cluster.buckets import Layout
from cleanroom.cluster.errors import MissingKey
from cleanroom.cluster.executor_keys import SealedKey
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.vault_rows import VaultRows
from cleanroom.errors import BadData, Interrupted, Refused
from cleanroom.home import Home
from cleanroom.rooms.terms import Annex
from cleanroom.vault import Finish
from protocols.oprf.keys import Key
from protocols.paillier import cipher
from protocols.paillier.cells import Amount, CellLayout
from protocols.paillier.keys import PrivateKey
from protocols.psi import keyed
from tests.protocols.support import session

ROOM_KEY, CANARIES = bytes(range(32)), bytes(range(50, 82))
TIER = Annex("shop", "tier", "salt", ("gold", "silver", "other", "unknown"))
BRIEF = Brief(ROOM_KEY, CANARIES, "merchant", "shop", 32, (TIER,))
ROWS = drawn(1200, 3, 500)
KEYS = Path(__file__).parents[1] / "protocols" / "paillier" / "published_keys.json"


def made(spark, folder: Path, source: Source = ROWS, brief: Brief = BRIEF, **other):
    given = {"parts": parts(folder), "shown": shown(folder), "step": quiet, "buckets": 4} | other
    setting, layout = settings(folder, given["buckets"]), tokenising.layout_of(brief, 1200, given["buckets"])
    return tokenising.tokenise(spark, setting, given["parts"], given["shown"], source, brief, layout, given["step"])


def received(send, columns) -> tuple[pa.Table, np.ndarray]:
    """What an operator gets of an owner: all its rows, and which it names as dummies."""

    def take(channel):
        table = pa.Table.from_batches(keyed.operator(channel, columns).batches)
        return table.combine_chunks(), keyed.named_canaries(channel)

    return session(send, take, roles=("merchant", "operator")).both()[1]


def alone(source: Made = ROWS) -> tuple[pa.Table, np.ndarray]:
    """The same of an owner on one machine, which merged its rows before."""
    rows = source.merged()
    items = np.frombuffer(b"".join(digest_of(person) for _, person, _, _ in rows), np.uint8).reshape(-1, 32)
    cells = [TIER.labels.index(tier) if tier in TIER.labels else 3 if tier is None else 2 for _, _, tier, _ in rows]
    tokens = keyed.value_tokens(ROOM_KEY, "shop.tier", np.array(cells))
    fill = {"shop.tier": keyed.value_tokens(ROOM_KEY, "shop.tier", np.array([3])).tobytes()}
    columns = {"shop.tier": 8}
    return received(
        lambda channel: keyed.owner(
            channel, ROOM_KEY, items, columns, lambda some: {"shop.tier": tokens[some]}, canaries=BRIEF.drawn, fill=fill
        ),
        columns,
    )


def table(of: tokenising.Tokenised) -> pa.Table:
    return pa.Table.from_batches(of.batches()).combine_chunks()


def test_an_operator_gets_what_one_machine_sends(spark_session, tmp_path):
    """Duplicates, people without an identity, canaries and all; and the owner finds its rows again. On Spark."""
    told = []
    found = made(spark_session, tmp_path, step=lambda *step: told.append(step))
    assert found.widths == {"shop.tier": 8}
    sent, named = received(lambda channel: tokenising.send(channel, found, BRIEF), found.widths)
    expected, named_alone = alone()
    assert sent.equals(expected)
    assert (named == named_alone).all()
    assert len(found.pieces) == 4
    numbers = found.rows_at(np.arange(found.rows))
    tokens = [token.as_py() for token in sent.column("token")]
    by_token = {
        keyed.identity_tokens(ROOM_KEY, np.frombuffer(digest_of(person), np.uint8).reshape(1, 32)).tobytes(): number
        for number, person, _, _ in ROWS.merged()
    }
    assert [by_token.get(token, -1) for token in tokens] == numbers.tolist()
    assert Counter(numbers.tolist())[-1] == 6
    some = np.array([0, 3, found.rows - 1])
    assert (found.rows_at(some) == numbers[some]).all()
    assert told[-1] == ("tokens", 8, 8)  # three pieces, the canaries, four buckets
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_amounts_go_as_slots_of_the_row_that_stands(tmp_path):
    entry = json.loads(KEYS.read_text("utf-8"))["p2048"]
    factors = (tuple(int(factor, 16) for factor in entry[which]) for which in ("p_factors", "q_factors"))
    key = PrivateKey(int(entry["p"], 16), int(entry["q"], 16), *factors)
    layout = CellLayout(2048, 4, (Amount("spent", 0, 150),), 1200)
    brief = Brief(ROOM_KEY, CANARIES, "merchant", "shop", 32, (), SlotTerms(key, layout, (TIER,)))
    source = drawn(60, 2, 30)
    found = made(InProcess(), tmp_path, source, brief, buckets=2)
    assert found.widths == {"shop.#slots": layout.plaintexts * key.public.width}
    rows = table(found)
    width = found.widths["shop.#slots"]
    content = b"".join(rows.column("shop.#slots").to_pylist())
    totals = layout.decode(cipher.decrypt(key, np.frombuffer(content, np.uint8).reshape(-1, width)), key.public)
    numbers = found.rows_at(np.arange(found.rows))
    expected = {number: (tier, spent) for number, _, tier, spent in source.merged()}
    for number, counts, amounts in zip(numbers.tolist(), totals.counts, totals.amounts[:, :, 0], strict=True):
        if number < 0:
            assert not counts.any()
            continue
        tier, spent = expected[number]
        cell = TIER.labels.index(tier) if tier in TIER.labels else 3 if tier is None else 2
        assert counts.tolist() == [int(at == cell) for at in range(4)]
        assert amounts[cell] == min(max(spent or 0, 0), 150)


def test_a_vault_is_read_by_columns_that_are_granted(tmp_path):
    """Rows that do not stand are left out, and a row's number says where in the vault it is."""
    people = [person for person in range(90) if person % 4]
    tiers = [("gold", "silver", "tin", None)[person % 3] for person in people]
    Home.create(tmp_path / "home", "merchant")
    vault = Home.open(tmp_path / "home").vault
    vault._setting = replace(vault._setting, group_rows=10, part_rows=20)
    digests = pa.array([digest_of(person) for person in people], pa.binary(32))
    batch = pa.record_batch({"digest": digests, "t.tier": pa.array(tiers), "t.other": pa.array(people)})
    keep = np.array([person % 5 > 0 for person in people])
    vault.write("shop", batch.schema, [batch], meta={}, finish=lambda _: Finish(keep))
    rows = VaultRows.granted(settings(tmp_path), vault, "shop", ["digest", "t.tier"])
    found = made(InProcess(), tmp_path, rows)
    stand = [(person, tier, None) for person, tier, kept in zip(people, tiers, keep, strict=True) if kept]
    assert rows.pieces > 2
    assert table(found).equals(alone(Made((tuple(stand),)))[0])
    numbers = found.rows_at(np.arange(found.rows))
    positions = rows.positions(numbers[numbers >= 0])
    assert sorted(positions.tolist()) == list(range(len(stand)))
    tokens = np.frombuffer(b"".join(table(found).column("token").to_pylist()), np.uint8).reshape(-1, 16)
    assert (keyed.identity_tokens(ROOM_KEY, vault.digests("shop")[positions]) == tokens[numbers >= 0]).all()
    with pytest.raises(Refused, match="withheld"):
        list(rows.read(0, ["t.other"]))


def test_what_stands_in_a_third_of_the_rows_weighs_nothing():
    """No task gets much more than another, before Spark ever moves a row."""
    random = np.random.default_rng(1)
    layout = Layout(16, 0, 16)
    keys = random.integers(0, 256, (200_000, 16), np.uint8)
    keys[random.random(200_000) < 0.33] = keys[0]

    def rows(piece: int):
        for start in range(piece * 100_000, (piece + 1) * 100_000, 10_000):
            numbers = np.arange(start, start + 10_000)
            yield layout.packed(keys[numbers], numbers)

    sent = buckets._Send(layout, tuple(range(16)), tuple(range(16)), rows)
    weights, kept = Counter(), []
    for batch in sent(iter([pa.record_batch([pa.array([0, 1])], names=["id"])])):
        for bucket, run in zip(batch.column(1).to_pylist(), batch.column(2), strict=True):
            weights[bucket] += len(run.as_py())
            kept.append(np.frombuffer(run.as_py(), np.uint8).reshape(-1, layout.width))
    mean = sum(weights.values()) / 16
    assert max(weights.values()) < 1.05 * mean
    assert sum(weights.values()) < 0.7 * keys.shape[0] * layout.width  # the others' copies were never sent
    whole = buckets.merged(np.concatenate(kept), layout)
    assert len(whole) == len(np.unique(keys, axis=0))
    first = {key.tobytes(): number for number, key in reversed(list(enumerate(keys)))}
    assert [first[key.tobytes()] for key in layout.keys(whole)] == layout.numbers(whole).tolist()
    assert [key.tobytes() for key in layout.keys(whole)] == sorted(first)


def test_a_driver_that_died_goes_on_where_it_was(tmp_path):
    found = made(InProcess(), tmp_path)
    kept = {piece.number: piece.part for piece in found.pieces}
    store = tmp_path / "run"
    next(store.rglob("all.stage")).unlink()
    for number in (1, 3):
        next(store.rglob(f"{number:05d}.piece")).unlink()  # as if the driver had died before these two
    again = made(InProcess(), tmp_path)
    assert [piece.number for piece in again.pieces if piece.part != kept[piece.number]] == [1, 3]
    assert table(again).equals(alone()[0])
    assert len(list(store.rglob("*.parquet"))) == 4


def test_two_runs_at_once_after_one_that_was_stopped_do_no_harm(spark_session, tmp_path):
    def stop(name: str, done: int, total: int) -> None:
        raise Interrupted("Stopped.")

    with pytest.raises(Interrupted, match="Stopped"):
        made(spark_session, tmp_path, step=stop)
    found, start = [], threading.Barrier(2)

    def work() -> None:
        start.wait()
        found.append(made(spark_session, tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0].pieces == found[1].pieces
    assert table(found[0]).equals(alone()[0])


def test_a_damaged_part_is_named_and_never_counted(tmp_path):
    found = made(InProcess(), tmp_path)
    path = tmp_path / "shown" / "00002.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadData, match="missing or damaged"):
        table(found)
    path.unlink()
    with pytest.raises(BadData):
        table(found)


def test_without_its_key_file_an_executor_says_so(spark_session, tmp_path):
    key = parts(tmp_path).key
    elsewhere = Parts(str(tmp_path / "run"), SealedKey(key.name, key.wrapped, str(tmp_path / "nowhere")))
    with pytest.raises(MissingKey, match="no executor key"):
        made(spark_session, tmp_path, parts=elsewhere)


def test_other_digests_than_agreed_are_refused_by_name(tmp_path):
    brief = Brief(ROOM_KEY, CANARIES, "merchant", "shop", 16)
    with pytest.raises(BadData, match="not of the width"):
        made(InProcess(), tmp_path, brief=brief)


def test_an_empty_dataset_sends_its_canaries(tmp_path):
    found = made(InProcess(), tmp_path, Made(((),)))
    assert found.rows == 6
    assert table(found).equals(alone(Made(((),)))[0])


def seen_as(secret: bytes) -> list[bytes]:
    """A secret as it could stand in a text or a file: as it is, in hex, in base64 wherever it begins."""
    forms = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for before in range(3):
        inner = base64.b64encode(bytes(before) + secret)[4 if before else 0 : -4]
        forms += [inner, inner.replace(b"+", b"-").replace(b"/", b"_")]
    return forms


@pytest.mark.cluster
def test_spark_sees_no_key_no_token_and_no_identity(tmp_path):
    """Nothing of them in logs, event files, plans or closures, nor in what is spilled; also where a task fails."""
    executor_keys.make(tmp_path / "key")
    room, parts_key, seed, canaries = (secrets.token_bytes(32) for _ in range(4))
    people = [hashlib.sha256(b"+8613800138000").digest(), hashlib.sha256(b"zhang.wei@example.com").digest()]
    told = {"key_file": str(tmp_path / "key"), "room": room.hex(), "parts": parts_key.hex(), "seed": seed.hex(),
            "canaries": canaries.hex(), "people": [person.hex() for person in people]}  # fmt: skip
    (tmp_path / "secrets.json").write_text(json.dumps(told))
    program = Path(__file__).with_name("watched_run.py")
    done = subprocess.run([sys.executable, "-W", "ignore", program, tmp_path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (tmp_path / "secrets.json").unlink()
    drawn_keys = [bytes.fromhex(key) for key in json.loads((tmp_path / "keys.json").read_text())]
    (tmp_path / "keys.json").unlink()
    assert len(drawn_keys) > 3  # of a vault's footer and columns, and of two places
    assert (tmp_path / "named").exists()
    assert (tmp_path / "log").stat().st_size > 10_000  # Spark did write, and so did its events
    assert "MapInArrow" in (tmp_path / "plan").read_text()
    assert any(
        b"SparkListenerTaskEnd" in path.read_bytes() for path in (tmp_path / "events").rglob("*") if path.is_file()
    )
    executor_key = bytes.fromhex((tmp_path / "key").read_text().split("\n")[1].strip())
    tokens = keyed.identity_tokens(room, np.frombuffer(b"".join(people), np.uint8).reshape(-1, 32))
    oprf = Key(b"r" * 32, 1, seed)
    hidden = [
        room,
        parts_key,
        seed,
        canaries,
        executor_key,
        oprf.secret,
        *drawn_keys,
        *people,
        *(token.tobytes() for token in tokens),
    ]
    forms = [form for secret in hidden for form in seen_as(secret)] + [b"planted-tier"]
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "key"}
    assert len(written) > 10
    written |= {Path("stdout"): done.stdout, Path("stderr"): done.stderr}
    assert [path for path, content in written.items() for form in forms if form in content] == []
