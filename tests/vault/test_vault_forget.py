"""Forgetting a person holds for every dataset, every version, every later import, every backup brought back."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
from vault_world import SCHEMA, everywhere, people, person, persons, read, table, write

from cleanroom.errors import BadData, CleanroomError, UsageError
from cleanroom.vault import Finish
from cleanroom.vault.tombstones import Tombstones


@everywhere
def test_a_forgotten_person_stays_away_when_the_old_file_comes_again(vault, reopened):
    write(vault, "crm", range(50))
    write(vault, "shop", range(40, 90))
    write(vault, "other", range(100, 110))
    forgotten = vault.forget(persons([3, 45, 999]))
    assert (dict(forgotten.datasets), forgotten.epoch) == ({"crm": 2, "shop": 1}, 1)
    assert people(vault, "crm") == [n for n in range(50) if n not in (3, 45)]
    manifest = write(reopened(), "crm", range(50))
    assert (manifest.rows, manifest.tombstoned, manifest.epoch) == (48, 2, 1)
    assert people(reopened(), "crm") == [n for n in range(50) if n not in (3, 45)]
    assert write(reopened(), "a new one", [3, 4]).rows == 1


@everywhere
def test_a_rewritten_dataset_is_otherwise_the_same(vault):
    write(vault, "crm", range(50), meta={"source": "crm.csv", "funnel": {"rows": 50}})
    before = read(vault, "crm").drop_columns(["row"])
    schema = vault.schema("crm")
    vault.forget(persons([7]))
    assert vault.schema("crm") == schema
    after = read(vault, "crm").drop_columns(["row"])
    assert after.to_pylist() == [row for row in before.to_pylist() if row["digest"] != person(7)]
    manifest = vault.manifest("crm")
    assert (manifest.meta["funnel"], manifest.rows, manifest.tombstoned) == ({"rows": 50}, 49, 1)
    vault.forget(persons([8, 9]))
    assert (vault.manifest("crm").tombstoned, vault.epoch) == (3, 2)


def test_older_versions_that_hold_the_person_are_gone_and_others_stay(vault, home):
    write(vault, "crm", range(10))
    write(vault, "crm", range(5, 15))  # person 2 is in the older version only
    assert dict(vault.forget(persons([2])).datasets) == {}
    assert vault.versions("crm") == [2]
    write(vault, "crm", range(5, 16))
    vault.forget(persons([500]))
    assert vault.versions("crm") == [2, 3]
    vault.forget(persons([5]))
    assert vault.versions("crm") == [4]
    assert people(vault, "crm") == list(range(6, 16))
    kept = [path.name for path in home.path.rglob("v0*")]
    assert kept == ["v00000004"]


@everywhere
def test_all_rows_of_a_person_go_and_the_count_is_of_standing_rows(vault):
    twice = [1, 2, 1, 3, 1]
    keep = np.array([False, True, False, True, True])
    write(vault, "crm", twice, finish=lambda _: Finish(keep, {"t.spend": np.array([20, 30, 111])}))
    assert dict(vault.forget(persons([1])).datasets) == {"crm": 1}
    again = write(vault, "crm", twice, finish=lambda _: Finish(keep, {"t.spend": np.array([20, 30, 111])}))
    assert (again.rows, again.tombstoned) == (2, 1)
    assert read(vault, "crm", ["t.spend"])["t.spend"].to_pylist() == [20, 30]


@everywhere
def test_both_forms_of_a_digest_in_one_step(vault):
    md5 = pa.record_batch([pa.array([bytes([n]) * 16 for n in range(5)], pa.binary(16))], ["digest"])
    vault.write("md5", md5.schema, [md5], meta={})
    write(vault, "crm", range(5))
    forgotten = vault.forget(persons([1]), np.full((1, 16), 2, np.uint8))
    assert (dict(forgotten.datasets), forgotten.epoch) == ({"crm": 1, "md5": 1}, 1)
    assert vault.digests("md5")[:, 0].tolist() == [0, 1, 3, 4]


def test_a_backup_brought_back_does_not_bring_the_person_back(vault, home, reopened, tmp_path):
    write(vault, "crm", range(20))
    folder = next(path for path in (home.path / "vault").iterdir() if path.is_dir())
    shutil.copytree(folder, tmp_path / "backup")
    vault.forget(persons([4]))
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    assert 4 not in people(reopened(), "crm")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    assert reopened().rows("crm") == 19


@everywhere
def test_an_import_that_began_before_the_forgetting(vault, reopened):
    def batches():
        yield from table(range(10)).to_batches(5)
        small = reopened()
        small.forget(persons([4]))  # another process forgets while this import runs

    vault.write("crm", SCHEMA, batches(), meta={})
    assert people(reopened(), "crm") == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_the_list_cannot_be_lost_exchanged_or_set_back(vault, home, reopened, tmp_path):
    stones = home.path / "vault" / "tombstones"
    write(vault, "crm", range(20))
    vault.forget(persons([1]))
    first = stones.read_bytes()
    vault.forget(persons([2]))
    second = stones.read_bytes()
    for content in (
        first,
        second[:-1],
        second[:-70] + b"x" + second[-69:],
        second.replace(b"tombstones/1", b"tombstones/2"),
        b"",
    ):
        stones.write_bytes(content)
        with pytest.raises(BadData):
            reopened().read("crm")
        with pytest.raises(BadData):
            write(reopened(), "crm", range(20)) and reopened().read("crm")
    stones.unlink()
    with pytest.raises(BadData, match="forgotten"):
        reopened().read("crm")
    stones.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadData):
        reopened().read("crm")


def test_a_lost_key_is_not_replaced_in_silence(vault, home, reopened):
    write(vault, "crm", range(20))
    vault.forget(persons([1]))
    (home.path / "keys" / "tombstones.secret").unlink()
    with pytest.raises(BadData, match="key"):
        reopened().read("crm")


def test_the_list_tells_nobody_who_is_in_it(vault, home):
    import hashlib

    vault.forget(persons([7]))
    content = (home.path / "vault" / "tombstones").read_bytes()
    for guess in (
        person(7),
        person(7)[:16],
        hashlib.sha256(person(7)).digest(),
        hashlib.sha256(person(7)).digest()[:16],
    ):
        assert guess not in content
        assert guess.hex().encode() not in content


def test_two_homes_mark_one_person_differently():
    empty = np.empty((0, 16), np.uint8)
    one, two = (Tombstones(0, empty, key).with_digests(persons([7])).tokens for key in (b"a" * 32, b"b" * 32))
    assert one.tobytes() != two.tobytes()


@everywhere
def test_digests_of_another_width_are_refused(vault):
    for wrong in (np.zeros((1, 20), np.uint8), np.zeros(32, np.uint8), np.zeros((1, 32), np.int64)):
        with pytest.raises(UsageError):
            vault.forget(wrong)
    assert vault.epoch == 0


def test_many_tombstones_against_plain_sets():
    rng = np.random.default_rng(5)
    gone, rows = (rng.integers(0, 4, (count, 32), np.uint8) for count in (3000, 5000))
    rows[::3] = gone[rng.integers(0, len(gone), len(rows[::3]))]
    stones = Tombstones(0, np.empty((0, 16), np.uint8), b"k" * 32).with_digests(gone[:1000]).with_digests(gone)
    known = {bytes(row) for row in gone}
    assert stones.epoch == 2
    assert stones.forgotten(rows).tolist() == [bytes(row) in known for row in rows]


def test_the_keyed_digest_is_chained_aes():
    """An independent judge: CBC with a zero IV ends in the same block."""
    import hashlib

    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    made = Tombstones(0, np.empty((0, 16), np.uint8), b"k" * 32).with_digests(persons([7])).tokens
    key = hashlib.sha256(b"cleanroom/tombstone-key/1" + b"k" * 32 + bytes([32])).digest()
    cbc = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    assert made.tobytes() == cbc.update(person(7))[-16:]


def test_a_damaged_dataset_does_not_stop_the_forgetting_from_being_remembered(vault, home, reopened):
    write(vault, "crm", range(20))
    part = next(home.path.rglob("part-0000.parquet"))
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(CleanroomError):
        vault.forget(persons([1]))
    assert reopened().epoch == 1
    assert write(reopened(), "crm", range(20)).rows == 19
