"""Uploads as whoever can read, cut, swap or fill the disk meets them; and as a hostile browser sends them."""

import gzip
import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanroom import uploaded, uploads
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from tests.near import new_home

pytestmark = pytest.mark.xdist_group("uploads")
PHONES = [f"1390013{number}" for number in range(8000, 8300)]
TABLE = ("手机号,城市,消费金额,授权\n" + "".join(f"{each},杭州,{at}.50,{'是' if at % 3 else '否'}\n"
                                           for at, each in enumerate(PHONES))).encode()  # fmt: skip


def step(*_: object) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return new_home(tmp_path_factory.mktemp("uploads") / "home", "merchant")


def brought(home: Home, content: bytes = TABLE, name: str = "crm.csv", who: str = "ada") -> str:
    with uploads.Sealing(home, uploads.new_number(), name, who) as sealing:
        for start in range(0, len(content), 70_000):
            sealing.add(content[start : start + 70_000])
        return sealing.done()


@pytest.fixture(autouse=True)
def clean(home: Home) -> None:
    for each in uploads.listed(home):
        uploads.remove(home, each.number)


@pytest.mark.parametrize("size", [1, uploads.FRAME - 1, uploads.FRAME, uploads.FRAME + 1, 3 * uploads.FRAME])
def test_what_was_sealed_is_read_again_through_a_path(home: Home, size: int) -> None:
    content = os.urandom(size)
    number = brought(home, content)
    with uploads.opened(home, number) as path:
        assert path.read_bytes() == content
    assert not path.exists()


def test_neither_content_nor_name_stands_on_the_disk(home: Home) -> None:
    number = brought(home, name="王小明的会员.csv")
    uploaded.examined(home, number, step)
    told = uploads.note(home, number, "found")
    assert told["funnel"]["valid"] == 200
    assert told["funnel"]["losses"] == {"no-consent": 100}
    kept = b"".join(path.read_bytes() for path in (home.path / ".uploads").iterdir())
    for secret in (PHONES[5].encode(), "杭州".encode(), "王小明".encode(), "手机号".encode()):
        assert secret not in kept
    assert {path.stat().st_mode & 0o777 for path in (home.path / ".uploads").iterdir()} == {0o600}


def test_a_file_that_is_cut_changed_or_swapped_is_refused(home: Home) -> None:
    first, second = brought(home, os.urandom(3 << 20)), brought(home, os.urandom(3 << 20))
    paths = {number: home.path / ".uploads" / f"{number}.sealed" for number in (first, second)}
    whole = paths[first].read_bytes()
    frame = uploads.FRAME + 5 + 16
    head = len(whole) - 3 * frame  # what stands before three frames of data
    middle = head + frame
    damages = {
        "cut": whole[:-frame], "one byte": whole[:middle] + bytes([whole[middle + 40] ^ 1]) + whole[middle + 1 :],
        "longer": whole + b"\0", "another's": paths[second].read_bytes(),
        "reordered": whole[:head] + whole[middle : middle + frame] + whole[head:middle] + whole[middle + frame :],
        "of another version": whole.replace(b"upload/1", b"upload/9", 1),
    }  # fmt: skip
    for name, content in damages.items():
        paths[first].write_bytes(content)
        with pytest.raises(BadData), uploads.opened(home, first):
            pytest.fail(name)


def test_a_file_of_one_home_does_not_open_in_another(home: Home, tmp_path: Path) -> None:
    number, other = brought(home), new_home(tmp_path / "other", "platform")
    (other.path / ".uploads").mkdir(0o700)
    (other.path / ".uploads" / f"{number}.sealed").write_bytes(
        (home.path / ".uploads" / f"{number}.sealed").read_bytes()
    )
    with pytest.raises(BadData):
        uploads.find(other, number)


def test_what_breaks_off_leaves_nothing(home: Home) -> None:
    with pytest.raises(KeyError), uploads.Sealing(home, uploads.new_number(), "a.csv", "ada") as sealing:
        sealing.add(os.urandom(3 << 20))
        raise KeyError
    assert not list((home.path / ".uploads").glob("*.part"))
    assert not uploads.listed(home)


def test_files_go_after_a_day_and_nobody_fills_the_disk(home: Home) -> None:
    number = brought(home)
    path = home.path / ".uploads" / f"{number}.sealed"
    os.utime(path, (time.time() - 25 * 3600,) * 2)
    uploads.tidy(home)
    with pytest.raises(UsageError):
        uploads.find(home, number)
    for _ in range(uploads.MOST_WAITING):
        brought(home, b"a")
    with pytest.raises(Refused):
        brought(home, b"a")
    brought(home, b"a", who="bob")


@pytest.mark.parametrize("number", ["../../node", "", "A" * 32, "0" * 31, "0" * 32 + "\n", "a\0" * 16])
def test_a_number_is_no_path(home: Home, number: str) -> None:
    for call in (uploads.find, uploads.remove, lambda home, number: uploads.note(home, number, "found")):
        with pytest.raises(UsageError):
            call(home, number)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/passwd", "passwd"), ("C:\\Users\\会员.csv", "会员.csv"), ("a\0b\n.csv", "ab.csv"), ("..", "upload"),
     ("", "upload"), ("字" * 500 + ".csv", "字" * 116 + ".csv")],
)  # fmt: skip
def test_a_name_is_only_shown(name: str, shown: str) -> None:
    assert uploads.harmless(name) == shown


def test_a_link_in_its_place_is_not_followed(home: Home, tmp_path: Path) -> None:
    number = uploads.new_number()
    (tmp_path / "victim").write_text("kept")
    (home.path / ".uploads" / f"{number}.part").symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError):
        uploads.Sealing(home, number, "a.csv", "ada")
    (home.path / ".uploads" / f"{number}.part").rename(home.path / ".uploads" / f"{number}.sealed")
    with pytest.raises(BadData):
        uploads.find(home, number)
    assert (tmp_path / "victim").read_text() == "kept"
    (home.path / ".uploads" / f"{number}.sealed").unlink()


def bomb() -> bytes:
    """A workbook of a few kilobytes that unpacks to a quarter of a gigabyte."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"<row/>" * (40 << 20))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("会员.xlsx", bomb, "too large"),
        ("a.csv.gz", lambda: gzip.compress(b"phone\n" + b"1" * (64 << 20)), "cannot be read"),
        ("a.parquet", b"PAR1" + bytes(200) + b"PAR1", "damaged"),
        ("a.csv", b"\0\1\2" * 99, "no text table|not a text table"),
        ("a.csv", "手机号,城市\n1\n".encode() + b"13900138000,\xff\xfe\n", "encoding"),
        ("notes.csv", b"a,b\nx,y\n", "No column tells who"),
    ],
    ids=["bomb", "gzip", "parquet", "bytes", "encoding", "no-identity"],
)
def test_a_hostile_or_broken_file_is_found_out_and_says_what_to_do(
    home: Home, name: str, content: bytes | Callable[[], bytes], says: str
) -> None:
    """Where the content is a function, it takes a second to make."""
    number = brought(home, content if isinstance(content, bytes) else content(), name)
    assert uploaded.examined(home, number, step)["readable"] is False
    template, hint, params = uploads.note(home, number, "found")["error"]
    assert any(word in template for word in says.split("|")), template
    assert hint
    assert params.get("file", name) == name
    assert "/proc/" not in str(params)


def test_an_import_done_twice_is_one_version(home: Home) -> None:
    number = brought(home)
    uploaded.examined(home, number, step)
    once = uploaded.imported(home, number, "crm", step)
    assert uploaded.imported(home, number, "crm", step) == once
    assert home.vault.manifest("crm").version == once["version"]
    assert home.vault.manifest("crm").meta["source"] == "crm.csv"
    assert not (home.path / ".uploads" / f"{number}.sealed").exists()


def test_what_its_owner_says_goes_before_what_was_guessed(home: Home) -> None:
    content = b"id,mobile,phone,note\n" + b"".join(
        f"{at},{each},{PHONES[0]},x\n".encode() for at, each in enumerate(PHONES)
    )
    number = brought(home, content)
    uploaded.examined(home, number, step)
    columns = [("id", "id", "handle"), ("mobile", "phone", "identity"), ("phone", "phone", "identity"),
               ("note", "note", "category")]  # fmt: skip
    kinds = ["handle", "identity:phone", "ignore", "category"]
    choice = uploaded.chosen(columns, kinds, "", "")
    assert choice.on == ("mobile",)
    uploaded.choose(home, number, choice)
    uploaded.examined(home, number, step)
    assert uploads.note(home, number, "found")["funnel"]["unique"] == len(PHONES)
    assert uploaded.imported(home, number, "said", step)["rows"] == len(PHONES)


def test_no_upload_is_in_a_backup(home: Home, tmp_path: Path) -> None:
    """A file that is to be gone within a day must not live on elsewhere."""
    from cleanroom.operations import backup

    (home.path / ".uploads").mkdir(0o700, exist_ok=True)
    (home.path / ".uploads" / ("0" * 32 + ".sealed")).write_bytes(b"sealed")
    assert backup._left_out(home.path / ".uploads")
