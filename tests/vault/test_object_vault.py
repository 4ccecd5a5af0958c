"""A vault in an object store, over HTTP: writers that meet, writers that die, objects that change or vanish."""

import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vault_world import SCHEMA, people, person, persons, read, small, table, write

from cleanroom.errors import BadData, CleanroomError, Interrupted, Refused, UsageError
from cleanroom.home import Home
from cleanroom.stores import store
from cleanroom.vault import Finish, lease, object_versions, placing
from cleanroom.vault.manifest import Manifest
from cleanroom.vault.partitions import Partitioning, partitions_for
from cleanroom.vault.shelves import Overtaken
from tests.s3_server import BUCKET, client, key

HERE = Path(__file__).parent
in_bucket = pytest.mark.parametrize("where", ["bucket"], indirect=True)
in_folder = pytest.mark.parametrize("where", ["folder"], indirect=True)
in_both = pytest.mark.parametrize("where", ["folder", "bucket"], indirect=True)


def parted(vault, number=4, buffer_bytes=3000):
    """The same vault with so many partitions, and a buffer that fills often."""
    vault._setting = replace(vault._setting, partitions=number, buffer_bytes=buffer_bytes)
    return vault


def objects(uri, ending=""):
    """The names of the objects that end so."""
    return [name for name in store(uri).names() if name.endswith(ending)]


def by_person(rows):
    return sorted(rows, key=lambda row: (row["digest"], row["row"]))


# --- what comes back ---


@in_both
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_many_files_agree_with_a_plain_table(another, data):
    vault = parted(another(), data.draw(st.sampled_from([1, 2, 4])), data.draw(st.sampled_from([2500, 1 << 20])))
    numbers = data.draw(st.lists(st.integers(0, 30), max_size=65))
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers))), np.bool_)
    gone = data.draw(st.sets(st.sampled_from(numbers), max_size=3)) if numbers else set()
    standing = [at for at in range(len(numbers)) if keep[at]]
    spend = np.array([at * 11 for at in standing], np.int64)
    manifest = write(vault, "crm", numbers, 13, finish=lambda _: Finish(keep, {"t.spend": spend}))
    if gone:
        vault.forget(persons(gone))
    want = table(numbers).to_pylist()
    want = [want[at] | {"t.spend": at * 11} for at in standing if numbers[at] not in gone]
    assert manifest.rows == len(standing)
    assert by_person(row for batch in vault.read("crm") for row in batch.to_pylist()) == by_person(want)
    rows = np.arange(0, len(want), 2)
    every = [row for batch in vault.read("crm", ["o.备注", "row"]) for row in batch.to_pylist()]
    some = [row for batch in vault.read("crm", ["o.备注", "row"], rows) for row in batch.to_pylist()]
    assert some == every[::2]
    assert people(vault, "crm") == [int.from_bytes(row["digest"][:4], "big") for row in read(vault, "crm").to_pylist()]


@in_bucket
def test_versions_forgetting_and_a_list_of_datasets(vault, reopened, uri):
    parted(vault)
    for last in (30, 40, 50):
        write(vault, "crm", range(last), finish=lambda _: Finish())
    write(vault, "会员", range(20), finish=lambda _: Finish(np.arange(20) < 15))
    assert (vault.versions("crm"), reopened().datasets()) == ([2, 3], ["crm", "会员"])
    assert sorted(people(reopened(), "crm", 2)) == list(range(40))
    assert dict(vault.forget(persons([3, 45])).datasets) == {"crm": 2, "会员": 1}
    assert (reopened().versions("crm"), reopened().epoch) == ([4], 1)
    assert sorted(people(reopened(), "crm")) == [n for n in range(50) if n not in (3, 45)]
    assert write(reopened(), "crm", range(50)).tombstoned == 2
    assert {name.split("/")[2][:9] for name in objects(uri, "manifest")} == {"v00000002", "v00000004", "v00000005"}


def test_one_person_one_partition_and_no_key_tells_which():
    numbers = persons(range(4000))
    one, other = (Partitioning(16, letter * 32, 0).of(numbers) for letter in (b"a", b"b"))
    assert (one == Partitioning(16, b"a" * 32, 0).of(numbers[::-1])[::-1]).all()
    assert set(one) == set(range(16))
    assert 150 < (one == other).sum() < 350  # a sixteenth
    counts = np.bincount(one)
    assert counts.min() > 180 and counts.max() < 320
    assert [partitions_for(rows) for rows in (0, 1, 16_000_000, 16_000_001, 1_000_000_000)] == [1, 1, 1, 2, 64]
    for wrong in (0, 3, 8192):
        with pytest.raises(UsageError):
            Partitioning(wrong, b"k" * 32, 0)


@in_folder
def test_nothing_plain_is_in_any_object_or_name(vault, uri):
    parted(vault)
    write(vault, "crm", range(50), finish=lambda _: Finish(np.arange(50) % 2 == 0, {"t.spend": np.arange(25) * 7}))
    vault.forget(persons([4]))
    planted = ["planted-", "备注", "13800000", "手机号", "crm"]
    needles = [text.encode(form) for text in planted for form in ("utf-8", "utf-16-le")] + [person(4), person(6)]
    names = objects(uri)
    for name in names:
        content = store(uri).read(name, 1 << 20)[0]
        assert not [needle for needle in needles if needle in content + name.encode()], name
    parts = [name for name in names if "part-" in name]
    assert len({name.rpartition("/")[2].split("-")[1] for name in parts}) == 4


# --- two writers ---


@in_both
@pytest.mark.parametrize("begun", [True, False])
def test_of_two_writers_one_wins_and_nothing_of_the_other_is_left(vault, reopened, uri, begun):
    if begun:
        write(vault, "crm", range(10))
    meet = threading.Barrier(2)

    def batches(numbers):
        yield from table(numbers).to_batches(7)
        meet.wait(timeout=120)  # both have begun, and neither has ended

    told = {}

    def write_these(mine, numbers):
        try:
            told[len(numbers)] = mine.write("crm", SCHEMA, batches(numbers), meta={})
        except CleanroomError as error:
            told[len(numbers)] = error

    lines = [threading.Thread(target=write_these, args=(reopened(), range(rows))) for rows in (20, 30)]
    for line in lines:
        line.start()
    for line in lines:
        line.join()
    won = [rows for rows, outcome in told.items() if isinstance(outcome, Manifest)]
    lost = [outcome for outcome in told.values() if not isinstance(outcome, Manifest)]
    assert (len(won), [type(error) for error in lost]) == (1, [Overtaken])
    assert "Run it again" in str(lost[0])
    assert len(people(reopened(), "crm")) == won[0]
    assert len(objects(uri, "manifest")) == 1 + begun
    assert objects(uri, "writing") == []
    assert write(reopened(), "crm", range(5)).version == 2 + begun


@in_bucket
def test_forgetting_meets_a_writer(vault, reopened):
    write(vault, "crm", range(20))

    def batches():
        yield from table(range(30)).to_batches(7)
        reopened().forget(persons([4]))

    with pytest.raises(Overtaken):
        vault.write("crm", SCHEMA, batches(), meta={})
    assert 4 not in people(reopened(), "crm")
    assert reopened().rows("crm") == 19


@in_bucket
def test_two_that_forget_at_once_forget_both(vault, reopened):
    write(vault, "crm", range(20))
    lines = [threading.Thread(target=reopened().forget, args=(persons([number]),)) for number in (3, 7)]
    for line in lines:
        line.start()
    for line in lines:
        line.join()
    assert reopened().epoch == 2
    assert sorted(people(reopened(), "crm")) == [n for n in range(20) if n not in (3, 7)]


@in_folder
def test_a_live_writer_is_not_swept_and_an_old_one_is(vault, reopened, uri, monkeypatch):
    seen = []

    def batches():
        yield from table(range(20)).to_batches(7)
        write(reopened(), "crm", range(5))  # sweeps
        seen.append(len(objects(uri, "writing")))
        monkeypatch.setattr(lease, "HELD_FOR", timedelta(seconds=-2))
        write(reopened(), "crm", range(6))
        seen.append(len(objects(uri, "writing")))

    with pytest.raises(Overtaken):
        vault.write("crm", SCHEMA, batches(), meta={})
    assert seen == [1, 0]
    assert people(reopened(), "crm") == list(range(6))


@in_folder
def test_a_writer_taken_for_dead_learns_it_even_alone(vault, uri):
    """Its lease was taken: whoever did that may have removed its objects, so that it must not count."""

    def batches():
        yield from table(range(20)).to_batches(7)
        (mine,) = objects(uri, "writing")
        content, tag = store(uri).read(mine, 100)
        assert store(uri).put_if(mine, content[::-1], tag)

    with pytest.raises(Overtaken):
        vault.write("crm", SCHEMA, batches(), meta={})
    assert vault.datasets() == []


def test_a_lease_is_renewed_as_long_as_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_AFTER", 0.02)
    place = store(str(tmp_path / "s"))
    with lease.Lease.taken(place, "writing") as held:
        first = place.read("writing", 100)
        for _ in range(500):
            if place.read("writing", 100) != first:
                break
            threading.Event().wait(0.01)
        assert place.read("writing", 100) != first
        held.renew()


# --- dying ---


@in_bucket
@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.slow)])
def test_killed_at_the_pointer(vault, home, reopened, uri, when, monkeypatch):
    """Between the objects and the pointer, and between the pointer and its answer."""
    write(vault, "crm", range(10))
    done = subprocess.run([sys.executable, str(HERE / "killed.py"), str(home.path), when], cwd=HERE.parents[1],
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 9, done.stderr
    assert len(objects(uri, "writing")) == 1
    current = list(range(10)) if when == "before" else list(range(20, 50))
    assert people(reopened(), "crm") == current
    monkeypatch.setattr(lease, "HELD_FOR", timedelta(seconds=-2))
    write(reopened(), "crm", range(5))
    counting = {"before": 2, "after": 3}[when]  # the first version is retired, and may still be read
    assert len(objects(uri, "manifest")) == counting
    assert len(objects(uri, "writing")) == (when == "after")  # of a version that counts
    monkeypatch.setattr(object_versions, "RETIRED_FOR", timedelta(seconds=-2))
    write(reopened(), "crm", range(6))
    write(reopened(), "crm", range(7))
    assert len(objects(uri, "manifest")) == 3
    assert objects(uri, "writing") == []


@in_folder
def test_a_lost_answer_is_asked_for(vault, reopened, uri, monkeypatch):
    """The pointer was put, the answer never came, and asking again says that it changed: that was us."""
    write(vault, "crm", range(10))
    kind = type(store(uri))
    real = kind.put_if

    def lost(self, name, content, tag):
        done = real(self, name, content, tag)
        return real(self, name, content, tag) if name.startswith("current/") else done

    monkeypatch.setattr(kind, "put_if", lost)
    assert write(vault, "crm", range(20)).version == 2
    assert people(reopened(), "crm") == list(range(20))


@in_folder
def test_what_may_count_is_not_swept_by_who_does_not_know(vault, reopened, uri, monkeypatch):
    write(vault, "crm", range(10))
    kind = type(store(uri))
    real = kind.put_if

    def silent(self, name, content, tag):
        done = real(self, name, content, tag)
        if name.startswith("current/"):
            raise Interrupted("The object store is not reached, or does not answer as one.")
        return done

    monkeypatch.setattr(kind, "put_if", silent)
    with pytest.raises(Interrupted):
        write(vault, "crm", range(20))
    monkeypatch.undo()
    assert people(reopened(), "crm") == list(range(20))


# --- damage ---


@in_bucket
def test_damaged_and_missing_objects_are_refused(vault, reopened, uri, s3):
    parted(vault)
    write(vault, "crm", range(50), finish=lambda _: Finish(np.arange(50) % 2 == 0))
    bucket = client(s3)
    current = objects(uri, "manifest")[0].rpartition("/")[0]
    files = [name for name in objects(uri) if name.startswith(current) and "-0000.parquet" in name][:2]
    for name in (*files, f"{current}/manifest", f"current/{current.split('/')[1]}"):
        whole = store(uri).read(name, 1 << 20)[0]
        changed = bytes([whole[len(whole) // 2] ^ 1])
        for content in (whole[: len(whole) // 2] + changed + whole[len(whole) // 2 + 1 :], whole[:-3], b""):
            bucket.put_object(Bucket=BUCKET, Key=key(uri, name), Body=content)
            with pytest.raises(BadData) as caught:
                reopened().read("crm")
            assert BUCKET not in str(caught.value) and "127.0.0.1" not in str(caught.value)
        bucket.delete_object(Bucket=BUCKET, Key=key(uri, name))
        with pytest.raises((BadData, UsageError)):  # without a pointer there is no dataset
            reopened().read("crm")
        bucket.put_object(Bucket=BUCKET, Key=key(uri, name), Body=whole)
    assert len(people(reopened(), "crm")) == 25


@in_bucket
def test_objects_that_were_moved_are_hashed_and_read(vault, reopened, uri, s3):
    """A copy has other tags: the content decides."""
    write(vault, "crm", range(50))
    name = objects(uri, "part-0000.parquet")[0]
    bucket, whole = client(s3), store(uri).read(objects(uri, "part-0000.parquet")[0], 1 << 20)[0]
    upload = bucket.create_multipart_upload(Bucket=BUCKET, Key=key(uri, name))
    parts = [
        bucket.upload_part(Bucket=BUCKET, Key=key(uri, name), UploadId=upload["UploadId"], PartNumber=1, Body=whole)
    ]
    bucket.complete_multipart_upload(
        Bucket=BUCKET, Key=key(uri, name), UploadId=upload["UploadId"],
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": parts[0]["ETag"]}]},
    )  # fmt: skip
    assert people(reopened(), "crm") == list(range(50))


@in_bucket
def test_objects_exchanged_under_one_tag_do_not_open(vault, home, uri, s3, monkeypatch):
    """A store that lies about its tags: what is read authenticates itself."""
    write(vault, "crm", range(50))
    one, other = objects(uri, "part-0000.parquet")[0], objects(uri, "part-0001.parquet")[0]
    listed = store(uri).listed()
    client(s3).put_object(Bucket=BUCKET, Key=key(uri, one), Body=store(uri).read(other, 1 << 20)[0])
    monkeypatch.setattr(type(store(uri)), "listed", lambda self, prefix="": [x for x in listed if prefix in x.name])
    with pytest.raises(BadData):
        list(small(Home.open(home.path).vault).read("crm"))


@in_bucket
def test_a_version_that_goes_while_it_is_read_is_said_so(vault, reopened):
    parted(vault, 2, 1000)
    write(vault, "crm", range(60))
    reading = vault.read("crm")
    next(reading)
    reopened().forget(persons([4]))
    with pytest.raises(Interrupted, match="replaced"):
        list(reading)


@in_bucket
def test_a_store_that_fails_while_it_is_read_is_not_called_damage(vault, s3):
    import requests

    write(vault, "crm", range(60))
    reading = vault.read("crm")
    next(reading)  # of the first of two row groups of the first of three files
    requests.post(f"{s3}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        with pytest.raises(Refused, match="does not let"):
            list(reading)
    finally:
        requests.post(f"{s3}/moto-api/reset-auth", data=b"inf", timeout=10)


# --- places that do not do ---


@in_bucket
def test_no_server_no_bucket_no_leave(home, uri, s3):
    import requests

    from cleanroom.object_stores import ObjectStore

    write(home.vault, "crm", range(5))
    for other, kind in (
        (uri.replace(s3, "http://127.0.0.1:9"), Interrupted),
        (uri.replace(BUCKET, "none"), UsageError),
    ):
        (home.path / "vault" / "place").unlink()
        placing.place(home.path / "vault", other)
        vault = Home.open(home.path).vault
        for ask in (lambda v=vault: v.read("crm"), lambda v=vault: write(v, "crm", range(5)), vault.datasets):
            with pytest.raises(kind) as caught:
                ask()
            assert "127.0.0.1" not in str(caught.value)
    requests.post(f"{s3}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        for ask in (
            ObjectStore(uri).names,
            lambda: ObjectStore(uri).put_new("x", b""),
            lambda: ObjectStore(uri).open("x"),
        ):
            with pytest.raises(Refused, match="AWS_ACCESS_KEY_ID") as caught:
                ask()
            assert "made" not in str(caught.value)
    finally:
        requests.post(f"{s3}/moto-api/reset-auth", data=b"inf", timeout=10)


@in_folder
def test_a_place_of_another_home_is_refused(vault, uri, tmp_path):
    write(vault, "crm", range(5))
    other = Home.create(tmp_path / "other", "merchant")
    placing.place(other.path / "vault", uri)
    for ask in (lambda v: v.datasets(), lambda v: v.forget(persons([1])), lambda v: write(v, "crm", range(5))):
        with pytest.raises(Refused, match="another home"):
            ask(Home.open(other.path).vault)


@in_folder
def test_a_store_without_conditions_is_refused_before_anything_is_written(vault, uri, monkeypatch):
    kind = type(store(uri))

    def blindly(self, name, content, *_):
        sink = self.create(name)
        sink.write(content)
        sink.finish()
        return True

    monkeypatch.setattr(kind, "put_new", blindly)
    monkeypatch.setattr(kind, "put_if", blindly)
    with pytest.raises(Refused, match="on condition"):
        write(vault, "crm", range(5))
    assert objects(uri) == []


def test_where_a_vault_stands_is_chosen_once(home, vault, tmp_path):
    folder = home.path / "vault"
    write(vault, "crm", range(5))
    with pytest.raises(UsageError, match="in use"):
        placing.place(folder, str(tmp_path / "s"))
    other = Home.create(tmp_path / "other", "merchant").path / "vault"
    for wrong in ("s3://bucket", "ftp://x/y", ""):
        with pytest.raises(Exception, match=r"address|place"):
            placing.place(other, wrong)
    assert placing.placed(other) is None
    placing.place(other, "s3://bucket/x", rows=1_000_000_000)
    assert placing.placed(other) == placing.Placed("s3://bucket/x", 64)
    with pytest.raises(UsageError, match="in use"):
        placing.place(other, "s3://bucket/y")
    for content in (b"", b"{}", b'{"format":"cleanroom-vault-place/2","partitions":1,"uri":"s3://a/b"}',
                    b'{"format":"cleanroom-vault-place/1","partitions":"1","uri":"s3://a/b"}'):  # fmt: skip
        (other / "place").write_bytes(content)
        with pytest.raises(BadData):
            placing.placed(other)
