"""Two clusters match by buckets: equal to the plain intersection, whatever tasks are lost; what is not in order is
refused by its name, and the peer learns what it learns of a match on one machine."""

import pickle
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pair_support
import pyarrow as pa
import pytest
from pair_support import KEYS, PARTIES, TERMS, Threads, lost, match, pairing, people

from cleanroom.cluster import delegation, pair_rooms, pair_split, pair_work, pairs
from cleanroom.cluster.delegation import KeySigner
from cleanroom.cluster.pair_transport import dial
from cleanroom.errors import BadData, Interrupted, UsageError
from protocols.errors import PeerAborted, ProtocolError

ROLES = ("receiver", "sender")
MINE, THEIRS = people(0, 6300), people(4200, 5900)
COMMON = np.arange(4200, 6300)


@pytest.fixture(scope="module", autouse=True)
def _warm():
    from protocols.psi import vole

    vole.warm()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(pairs, "_BEAT_SECONDS", 0.05)


def given(tmp_path: Path, **other) -> dict[str, pairs.Pairing]:
    return {role: pairing(role, tmp_path / role, **other) for role in ROLES}


def both(tmp_path, clusters=None, **other):
    return match(given(tmp_path, **other), {"receiver": MINE, "sender": THEIRS}, clusters)


class Killed(BaseException):
    """A process that is gone."""


# -- the same as on one machine


def test_the_plain_intersection_with_labels_and_progress(tmp_path):
    """Labels are those of the matched rows, both sides learn the other's size, and the steps lead to the end."""
    labels = np.ascontiguousarray(THEIRS[:, 8:20])
    found = match(given(tmp_path, label_width=12), {"receiver": MINE, "sender": THEIRS}, labels=labels)
    assert not found.errors
    result = found.results["receiver"].result()
    assert np.array_equal(result.matched, COMMON)
    assert np.array_equal(result.labels, MINE[COMMON][:, 8:20])
    assert (result.peer_rows, found.results["sender"].peer_rows) == (len(THEIRS), len(MINE))
    for steps in found.steps.values():
        assert {"split", "match"} == {name for name, _, _ in steps}
        assert all(0 <= done <= total == TERMS.buckets for _, done, total in steps)


def test_dh_by_the_same_buckets(tmp_path):
    """The other protocol whose receiver learns rows: with items of 16 bytes, and few of them."""
    mine, theirs = people(0, 90)[:, :16], people(50, 60)[:, :16]
    found = match(given(tmp_path, protocol="dh", digest_bytes=16), {"receiver": mine, "sender": theirs})
    assert not found.errors
    assert found.results["receiver"].result().matched.tolist() == list(range(50, 90))


def test_nothing_in_common_and_nobody_at_all(tmp_path):
    """A sender without rows is one like any other."""
    found = match(given(tmp_path), {"receiver": MINE, "sender": people(0, 0)})
    assert not found.errors
    assert found.results["receiver"].size == 0


@pytest.mark.parametrize("role", ROLES)
def test_repeated_identities_are_refused(tmp_path, role):
    """As on one machine, by the side that has them."""
    items = {"receiver": MINE, "sender": THEIRS}
    items[role] = np.concatenate([items[role], items[role][:3]])
    found = match(given(tmp_path), items)
    assert "3 identities are repeated" in str(found.errors[role])
    assert not found.results


# -- tasks that are lost


def dying(monkeypatch, role: str, name: str, when: str, times: int):
    """Tasks of `role` die in `name` of the first buckets, before or after it."""
    real, left, lock = getattr(pair_work.PairTask, name), [times], threading.Lock()

    def method(self, *args):
        with lock:
            dies = self.role == role and left[0] > 0
            left[0] -= dies
        if dies and when == "before":
            raise Killed
        found = real(self, *args)
        if dies:
            raise Killed
        return found

    monkeypatch.setattr(pair_work.PairTask, name, method)


class Mortal(Threads):
    """As Spark on one core: a killed task ends the round."""

    def run(self, task, count, step):
        try:
            return super().run(task, count, step)
        except Killed:
            raise Interrupted("The cluster could not do this work.") from None


@pytest.mark.parametrize(
    ("role", "name", "when"),
    [("receiver", "_load", "before"), ("receiver", "_keep", "after"), ("sender", "_send", "after")],
)
def test_lost_tasks_are_done_again_with_new_sessions(tmp_path, monkeypatch, role, name, when):
    """Whether before the protocol, or when one side has kept its part; no session is ever seen twice."""
    sessions, real = [], pair_work.PairTask._receive
    monkeypatch.setattr(
        pair_work.PairTask,
        "_receive",
        lambda self, channel, *rest: (sessions.append(channel.session), real(self, channel, *rest))[1],
    )
    dying(monkeypatch, role, name, when, 2)
    found = both(tmp_path, {each: Mortal() for each in ROLES})
    assert not found.errors
    assert np.array_equal(found.results["receiver"].result().matched, COMMON)
    assert len(sessions) >= TERMS.buckets + (name != "_load")
    assert len(set(sessions)) == len(sessions)


def test_a_cluster_that_is_lost_for_good_and_comes_back(tmp_path):
    """Both drivers say so; the same job, run again, does only what was not done."""
    held = given(tmp_path)
    items = {"receiver": MINE, "sender": THEIRS}
    clusters = {"receiver": Threads(1), "sender": Threads(1, killed=lost(set(range(3, 40))))}
    first = match(held, items, clusters)
    assert isinstance(first.errors["sender"], Interrupted)
    assert isinstance(first.errors["receiver"], PeerAborted | Interrupted)
    done = TERMS.buckets - len(held["receiver"].stage_of("done").missing())
    assert 0 < done < TERMS.buckets
    again = {role: Threads(1) for role in ROLES}
    second = match(held, items, again)
    assert not second.errors
    assert np.array_equal(second.results["receiver"].result().matched, COMMON)
    assert len(again["sender"].begun) == TERMS.buckets - 2
    assert again["receiver"].splits == 0


def test_buckets_in_whatever_order_and_number_of_tasks(tmp_path):
    """One side's cluster is five times the other's."""
    found = both(tmp_path, {"receiver": Threads(5), "sender": Threads(1)})
    assert not found.errors
    assert found.results["receiver"].size == len(COMMON)


def test_a_cluster_that_never_comes(tmp_path, monkeypatch):
    """It is waited for within the patience, then named."""
    monkeypatch.setattr(Threads, "run", _idle_sender(Threads.run))
    found = both(tmp_path, patience=1.0)
    assert "No task of the sender's cluster came within 1 seconds." in str(found.errors["receiver"])
    assert isinstance(found.errors["sender"], PeerAborted)


def _idle_sender(real):
    def run(self, task, count, step):
        while task.role == "sender":
            step("pairs", 0, count)
            time.sleep(0.05)
        return real(self, task, count, step)

    return run


def test_a_bucket_that_fails_each_time_ends_the_job(tmp_path, monkeypatch):
    """Named on the side whose task finds no other, after eight attempts."""
    monkeypatch.setattr(pair_work, "_MEET_SECONDS", 0.2)
    monkeypatch.setattr(pair_work, "_reached", _unreached)
    found = both(tmp_path)
    assert not found.results
    assert "is not reached" in str(found.errors["sender"])
    assert isinstance(found.errors["receiver"], Interrupted | PeerAborted)


def _unreached(address, *_):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = replace(address, port=gone.getsockname()[1])
    return dial(nobody, 1.0)


def test_a_failed_check_is_named_and_nothing_is_kept(tmp_path, monkeypatch):
    """Canaries of another secret: both sides stop, and neither has a result."""
    held = given(tmp_path)
    real = pair_work.PairTask._canaries
    monkeypatch.setattr(
        pair_work.PairTask, "_canaries", lambda self, bucket: real(self, bucket + (self.role == "sender"))
    )
    found = match(held, {"receiver": MINE, "sender": THEIRS})
    assert "canaries did not match" in str(found.errors["receiver"])
    assert not found.results
    assert len(held["receiver"].stage_of("done").missing()) == TERMS.buckets


# -- what both must share


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"terms": replace(TERMS, buckets=2)}, "do not agree on buckets: "),
        ({"protocol": "dh"}, "do not agree on protocol: "),
        ({"label_width": 8}, "do not agree on label: "),
        ({"terms": replace(TERMS, job="job-2")}, "do not agree on job: "),
        ({"terms": replace(TERMS, contract=bytes(32))}, "of another contract"),
        ({"signer": KeySigner(bytes(32))}, "not signed by the key that the contract names"),
        ({"seconds": -1}, "not in force"),
    ],
)
def test_what_differs_is_refused_by_name(tmp_path, other, text):
    """Before any item is touched."""
    held = given(tmp_path)
    held["sender"] = replace(held["sender"], **other)
    found = match(held, {"receiver": MINE, "sender": THEIRS})
    assert text in str(found.errors["receiver"])
    assert not found.results


def test_a_peer_that_declares_too_much_is_refused(tmp_path):
    """The contract's bound holds here too."""
    held = given(tmp_path)
    held["receiver"] = replace(held["receiver"], most=len(THEIRS) - 1)
    found = match(held, {"receiver": MINE, "sender": THEIRS})
    assert "declared number of rows" in str(found.errors["receiver"])


def test_so_many_buckets_that_the_receiver_could_look_for_more(tmp_path):
    """Each bucket has 2,000 rows at least, so 3 of them are too many for 5,999."""
    found = match(given(tmp_path), {"receiver": MINE[:5999], "sender": THEIRS})
    for role in ROLES:
        assert "3 buckets are too many for 5999 rows" in str(found.errors[role])


def test_rows_that_no_task_could_hold(tmp_path):
    """More buckets are asked for, by number."""
    held = given(tmp_path)["sender"]
    source = pair_split.Source(1, 40_000_000, None)
    with pytest.raises(UsageError, match="need 10 buckets at least"):
        pair_split.Split(source, held.stage_of("items"), None, 16, 0).check_size()


# -- in a room


class Room:
    """What of a party's side of a room's run the match looks at."""

    def __init__(self, role: str, protocol: str = "vole") -> None:
        self.peer = "sender" if role == "receiver" else "receiver"
        self.home = SimpleNamespace(keys=SimpleNamespace(sign=KEYS[role].sign, public=self._keys(role)))
        self.context, self.room_key, self.steps = TERMS.contract, b"r" * 32, []
        self.contract = SimpleNamespace(
            match=SimpleNamespace(protocol=protocol),
            party=lambda name: SimpleNamespace(signing=PARTIES[name].hex()),
            dataset_of=lambda name: SimpleNamespace(rows=100_000),
        )

    def _keys(self, role: str) -> SimpleNamespace:
        return SimpleNamespace(signing=PARTIES[role])

    def step(self, *at: object) -> None:
        self.steps.append(at)


def in_a_room(tmp_path, monkeypatch, buckets: dict[str, int], labels=None, protocol="vole"):
    """Both sides' results or errors."""
    monkeypatch.setattr(pair_rooms, "SparkCluster", lambda spark: Threads())
    monkeypatch.setattr(pair_rooms.session, "started", lambda settings: SimpleNamespace(newSession=lambda: None))
    found: dict[str, object] = {}

    def run(role: str, end: socket.socket) -> None:
        held = replace(pair_support.settings(tmp_path / role), buckets=buckets[role])
        side = Room(role, protocol)
        try:
            with pair_support.channel(role, end) as line:
                if role == "receiver":
                    width = 0 if labels is None else labels.shape[1]
                    found[role] = pair_rooms.receive(side, line, "", MINE, width, held, "127.0.0.1")
                else:
                    found[role] = pair_rooms.send(side, line, "", THEIRS, labels, held)
        except ProtocolError as error:
            found[role] = error

    ends = zip(ROLES, socket.socketpair(), strict=True)
    threads = [threading.Thread(target=run, args=pair) for pair in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_a_room_by_two_clusters_gives_what_one_machine_gives(tmp_path, monkeypatch):
    """Few rows take fewer buckets than the nodes are set to; nothing is left of the run."""
    monkeypatch.setattr(pair_rooms, "LEAST_BUCKET_ROWS", 3000)
    labels = np.ascontiguousarray(THEIRS[:, 4:9])
    found = in_a_room(tmp_path, monkeypatch, {"receiver": 32, "sender": 32}, labels)
    result = found["receiver"]
    assert np.array_equal(result.matched, COMMON)
    assert np.array_equal(result.labels, MINE[COMMON][:, 4:9])
    assert (result.peer_rows, found["sender"].peer_rows) == (len(THEIRS), len(MINE))
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_room_whose_nodes_are_set_to_other_buckets(tmp_path, monkeypatch):
    """Refused by name on both sides."""
    found = in_a_room(tmp_path, monkeypatch, {"receiver": 32, "sender": 16})
    for role in ROLES:
        assert "do not agree on buckets" in str(found[role])


# -- what stays hidden


def captured(tmp_path, monkeypatch) -> pair_work.PairTask:
    """The task as Spark sees it."""
    tasks = []
    real = Threads.run

    def run(self, task, count, step):
        tasks.append(task)
        return real(self, task, count, step)

    monkeypatch.setattr(Threads, "run", run)
    assert not both(tmp_path).errors
    return next(task for task in tasks if task.role == "receiver")


def test_executors_get_no_key_in_the_clear(tmp_path, monkeypatch):
    """Neither the party's, nor the delegated one, nor the job's secret stands in what Spark carries or logs."""
    task = captured(tmp_path, monkeypatch)
    opened = b"".join(task._secrets)  # as on an executor, which may not hand it on either
    assert opened == task.sealed.open()
    seen = pickle.dumps(task) + repr(task).encode()
    secrets = [opened[:32], opened[32:], KEYS["receiver"].secret, b"s" * 32]
    for secret in secrets:
        assert secret not in seen
        assert secret.hex().encode() not in seen
    assert opened[:32] != KEYS["receiver"].secret
    assert delegation.job_secret(b"s" * 32, TERMS) == opened[32:]


def test_the_peer_sees_sizes_that_follow_from_the_totals(tmp_path, monkeypatch):
    """Bytes on every link are the same whichever items are in whichever buckets."""
    worlds = []
    for world, first in enumerate((0, 700_000)):
        counted: dict[tuple[str, int], tuple[int, int]] = {}
        real = pair_work.PairTask._load

        def load(self, bucket, counted=counted, real=real):
            items, rows, labels = real(self, bucket)
            counted[self.role, bucket] = (len(items), len(rows))
            return items, rows, labels

        with monkeypatch.context() as patch:
            patch.setattr(pair_work.PairTask, "_load", load)
            items = {"receiver": people(first, 6300), "sender": people(first + 100 * world, 5900)}
            assert not match(given(tmp_path / str(world)), items).errors
        worlds.append(counted)
    declared = [{key: pair[0] for key, pair in world.items()} for world in worlds]
    held = [{key: pair[1] for key, pair in world.items()} for world in worlds]
    assert declared[0] == declared[1]
    assert held[0] != held[1]


def test_buckets_are_of_a_secret_hash():
    """With another secret the items fall otherwise, and evenly."""
    one, other = (pair_split.hashes(MINE[:, :16], secret * 32)[:, -1] >> 6 for secret in (b"a", b"b"))
    assert 0.2 < (one == other).mean() < 0.3
    assert np.bincount(one).min() > len(MINE) // 4 - 200


def test_items_of_other_widths_and_nulls():
    """Row numbers and names only, never a value."""
    for column in (pa.array([b"x" * 32, None]), pa.array([b"x" * 32, b"y" * 16]), pa.array([b"x" * 8])):
        with pytest.raises(BadData, match="digests of one width"):
            pair_split.item_rows(column, 16)
    assert pair_split.item_rows(pa.array([b"x" * 32, b"y" * 32])[1:], 16).tobytes() == b"y" * 16
