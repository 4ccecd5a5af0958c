"""Uploaded lists: digests as the vault has them, a version a day, forgotten persons never back, nothing to be read."""

import datetime as dt
import hashlib
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cleanroom.crowds import lists as own_lists
from cleanroom.crowds.entries import NOBODY, Entries
from cleanroom.crowds.lists import Lists, as_rows, forget_lists
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from connectors.identity import profile
from tests.near import new_home

DAY = dt.date(2026, 11, 20)


def days(count: int) -> dt.date:
    return DAY + dt.timedelta(days=count)


def people(*numbers: int) -> np.ndarray:
    return as_rows(hashlib.sha256(f"138{number:08d}".encode()).digest() for number in numbers)


def who(digests: np.ndarray) -> set[bytes]:
    return {each.tobytes() for each in digests}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(own_lists, "today", lambda: days(40))
    return new_home(tmp_path / "home", "merchant")


def test_a_hash_that_a_platform_wants_is_the_digest_that_the_vault_has() -> None:
    phone = "13800138000"
    handed = as_rows([bytes.fromhex(hashlib.sha256(phone.encode()).hexdigest().upper())])
    plain = profile("cn-mobile/1").normalise(pa.array([f"+86 {phone[:3]}-{phone[3:]}"]))
    hashed = profile("cn-mobile/1").normalise(pa.array([hashlib.sha256(phone.encode()).hexdigest().upper()]))
    assert plain.digest[0].as_py() == hashed.digest[0].as_py() == handed[0].tobytes()


def test_what_comes_after_a_version_was_used_is_in_the_next_days(home: Home) -> None:
    lists = Lists(home)
    lists.create("L1", "upload", "leads", people(1, 2, 3), day=days(0))
    lists.add("L1", people(4), days(0))
    lists.remove("L1", people(1, 99), days(0))
    assert lists.pinned("L1", days(0)) == "L1@20261120"
    frozen = lists.digests("L1@20261120")
    assert who(frozen) == who(people(2, 3, 4))
    lists.add("L1", people(5), days(0))
    lists.remove("L1", people(2), days(0))
    assert lists.pinned("L1", days(0)) == "L1@20261120"
    assert (lists.digests("L1@20261120") == frozen).all()
    assert lists.head("L1").waiting == 2
    assert lists.pinned("L1", days(1)) == "L1@20261121"
    assert who(lists.digests("L1@20261121")) == who(people(3, 4, 5))
    assert (lists.digests("L1", "20261120") == frozen).all()
    assert lists.pinned("L1", days(9)) == "L1@20261121"  # nothing came: no other version
    assert lists.changes("L1", "20261120", "20261121") == (1, 1)
    assert lists.size("L1") == 3
    lists.add("L1", people(6), days(12))  # days of which nobody asked are versions too, once they are over
    lists.add("L1", people(7), days(13))
    lists.freeze("L1", days(20))
    assert lists.head("L1").days == ("20261120", "20261121", "20261202", "20261203")
    with pytest.raises(UsageError):
        lists.digests("L1@20261125")
    with pytest.raises(UsageError):
        lists.digests("L1", "20261101")


def test_only_a_month_of_versions_is_kept(home: Home) -> None:
    lists = Lists(home)
    lists.create("L1", "upload", "leads", people(1), day=days(0))
    for day in range(34):
        lists.put("L1", people(day), days(day))
        lists.freeze("L1", days(day))
    assert len(lists.head("L1").days) == len(list((home.path / "lists/L1/days").iterdir())) == own_lists.MOST_DAYS
    assert not list((home.path / "lists/L1/changes").iterdir())


def test_entries_of_risk_lists_end(home: Home) -> None:
    lists = Lists(home)
    lists.create("B1", "black", "disputes", people(1, 2), tags=("FRAUD", "OTHER"), until=days(3), day=days(0))
    lists.add("B1", people(2), days(2), tags=("DISPUTE",))
    lists.freeze("B1", days(1))
    lists.add("B1", people(3), days(5))
    for day, left in ((0, {1, 2}), (2, {1, 2}), (5, {2, 3})):
        lists.freeze("B1", days(day))
        assert who(lists.digests("B1", days(day))) == who(people(*left)), day
    assert [head.code for head in lists.names("black")] == ["B1"]
    with pytest.raises(UsageError, match="no tag THEFT"):
        lists.add("B1", people(1), tags=("THEFT",))


def test_a_forgotten_person_never_comes_back_by_a_list(home: Home) -> None:
    lists = Lists(home)
    lists.create("L1", "upload", "leads", people(1, 2), day=days(0))
    lists.freeze("L1", days(0))
    lists.add("L1", people(3), days(1))
    home.vault.forget(people(1, 3))
    assert who(lists.digests("L1@20261120")) == who(people(2))  # at once, also in versions that are frozen
    sizes = {path.name: path.stat().st_size for path in (home.path / "lists/L1").rglob("*") if path.is_file()}
    forget_lists(home)
    kept = {path.name: path.stat().st_size for path in (home.path / "lists/L1").rglob("*") if path.is_file()}
    assert sizes.keys() == kept.keys()
    assert sum(sizes.values()) - sum(kept.values()) == 2 * (32 + 5)  # out of the files too
    lists.add("L1", people(1, 3, 4), days(2))
    lists.put("L1", people(1, 2, 4), days(2))
    lists.freeze("L1", days(2))
    assert who(lists.digests("L1")) == who(people(2, 4))
    lists.create("L2", "upload", "the old file again", people(1), day=days(2))
    assert not len(lists.digests("L2"))


def test_no_file_and_no_error_holds_anybody(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    lists, secret = Lists(home), people(1, 2, 3)
    lists.create("L1", "upload", "a name that is nobody's business", secret, day=days(0))
    lists.freeze("L1", days(0))
    lists.add("L1", people(4), days(1))
    for path in (home.path / "lists").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
        content = path.read_bytes() if path.is_file() else b""
        assert not any(each.tobytes()[:8] in content for each in people(1, 2, 3, 4))
        assert b"business" not in content
    file = home.path / "lists/L1/days/20261120"
    lists.freeze("L1", days(1))
    (home.path / "lists/L1/days/20261121").write_bytes(file.read_bytes())  # an old version in the place of a newer one
    with pytest.raises(BadData):
        lists.digests("L1@20261121")
    sealed = bytearray(file.read_bytes())
    sealed[60] ^= 1
    file.write_bytes(bytes(sealed))
    with pytest.raises(BadData) as caught:
        lists.digests("L1", "20261120")
    assert secret[0].tobytes().hex()[:8] not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("code", ["", "../x", "L1/..", "L 1", "é", "L" * 49, "1L", "a\0b", "L1@20261120"])
def test_codes_that_are_none(home: Home, code: str) -> None:
    with pytest.raises(UsageError):
        Lists(home).create(code, "upload", "x", people(1))
    with pytest.raises(UsageError):
        Lists(home).digests(code)
    Lists(home).drop(code)
    assert not [path for path in home.path.rglob("*") if path.name == "head"]


def test_other_mistakes_are_named(home: Home) -> None:
    lists = Lists(home)
    with pytest.raises(UsageError, match="MD5"):
        lists.create("L1", "upload", "x", np.zeros((2, 16), np.uint8))
    with pytest.raises(UsageError, match="MD5"):
        as_rows([b"x" * 16])
    for kind, name in (("white", "x"), ("upload", ""), ("upload", "x" * 65), ("upload", "a\nb")):
        with pytest.raises(UsageError):
            lists.create("L1", kind, name, people(1))
    lists.create("L1", "upload", "x", people(1))
    with pytest.raises(UsageError, match="already"):
        lists.create("L1", "upload", "x", people(1))
    lists.drop("L1")
    with pytest.raises(UsageError, match="no list L1"):
        lists.add("L1", people(1))
    assert lists.names() == []
    for content in (b"", b"cleanroom-list-day/2\n", NOBODY.to_bytes() + b"x", Entries.of(people(1)).to_bytes()[:-1]):
        with pytest.raises(BadData):
            Entries.from_bytes(content)


def test_a_thousand_people_are_added_within_a_second(home: Home) -> None:
    lists = Lists(home)
    lists.create("L1", "upload", "x", np.random.default_rng(1).integers(0, 256, (200_000, 32), np.uint8), day=days(0))
    lists.freeze("L1", days(0))
    start = time.perf_counter()
    lists.add("L1", people(*range(1_000)), days(1))
    assert time.perf_counter() - start < 1
    lists.freeze("L1", days(1))
    assert lists.size("L1") == 201_000
