"""A folder and a bucket behind one seam: the same answers to the same questions."""

import os
import pickle
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleanroom import object_stores
from cleanroom.errors import BadData, Interrupted, Refused, UsageError
from cleanroom.stores import store
from connectors.errors import InputError
from tests.s3_server import address, s3  # noqa: F401 - a fixture

SCHEMA = pa.schema([("a", pa.int64())])


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    uri = str(tmp_path / "s") if request.param == "folder" else address(request.getfixturevalue("s3"))
    return pickle.loads(pickle.dumps(store(uri)))


def put(place, name, rows, groups=1):
    """A Parquet file, not finished yet."""
    sink = place.create(name)
    writer = pq.ParquetWriter(pa.PythonFile(sink, "w"), SCHEMA, compression="none", use_dictionary=False)
    for _ in range(groups):
        writer.write_table(pa.table({"a": pa.array(range(rows), pa.int64())}))
    return sink, writer


def test_a_file_is_there_when_it_is_finished_and_not_before(place):
    sink, writer = put(place, "a/b=1/part.parquet", 1_000_000, 3)  # larger than what is held
    assert place.names() == []
    writer.close()
    assert place.names() == []
    sink.finish()
    assert place.names() == place.names("a") == ["a/b=1/part.parquet"]
    (found,) = place.listed()
    with place.open("a/b=1/part.parquet") as file:
        assert found.size == file.size() > 24_000_000
        read = pq.ParquetFile(file)
        assert read.read_row_group(1).column("a")[999_999].as_py() == 999_999


def test_what_is_abandoned_never_appears(place):
    for rows in (1, 3_000_000):
        sink, writer = put(place, "a/x.parquet", rows)
        sink.abandon()
        writer.close()  # as it is when a writer is let go of
        del sink, writer
        assert place.names() == []


def test_writing_again_replaces(place):
    for rows in (1, 2):
        sink, writer = put(place, "x.parquet", rows)
        writer.close()
        sink.finish()
    assert pq.ParquetFile(place.open("x.parquet")).metadata.num_rows == 2
    assert len(place.names()) == 1


def test_puts_on_condition(place):
    assert place.read("x", 10) is place.tag("x") is None
    assert [place.put_new("x", content) for content in (b"1", b"1", b"2")] == [True, True, False]
    content, tag = place.read("x", 10)
    assert (content, tag) == (b"1", place.tag("x"))
    assert [place.put_if("x", content, tag) for content in (b"2", b"3", b"2")] == [True, False, True]
    assert place.put_if("nothing", b"1", tag) is False
    assert place.read("x", 1)[0] == b"2"
    with pytest.raises(BadData, match="longer"):
        place.read("x", 0)


def test_of_many_at_once_one_wins(place):
    place.put_new("x", b"first")
    tag, won, line = place.tag("x"), [], threading.Barrier(8)

    def run(number):
        line.wait()
        if place.put_if("x", b"by %d" % number, tag):
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert place.read("x", 100)[0] == b"by %d" % won[0]


def test_removing(place):
    for name in ("a/x", "a/y", "b/x"):
        place.put_new(name, b"1")
    place.remove("a/x", "nothing", "b/x")
    place.remove()
    assert place.names() == ["a/y"]
    assert place.names("b") == []
    with pytest.raises(BadData):
        place.open("a/x")


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "/x", "a//b", "a/../b", ".hidden", "a/.b", "a b", "会员", "a/", "x\n"]
)
def test_names_that_are_none(place, name):
    for ask in (place.open, place.create, place.tag, place.remove, lambda n: place.read(n, 1),
                lambda n: place.put_new(n, b""), lambda n: place.put_if(n, b"", "")):  # fmt: skip
        with pytest.raises(UsageError):
            ask(name)


@pytest.mark.parametrize("uri", ["", "ftp://host/x", "http://host/x"])
def test_places_that_are_none(uri):
    with pytest.raises(UsageError, match="no place"):
        store(uri)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://key:secret@bucket/x", "s3://bucket/x?secret_key=y"])
def test_addresses_that_are_none(uri):
    with pytest.raises(InputError):
        store(uri)


def test_links_are_not_followed_and_files_are_for_their_owner(tmp_path):
    place = store(str(tmp_path / "s"))
    place.put_new("a/x", b"1")
    sink, writer = put(place, "a/y", 1)
    writer.close()
    sink.finish()
    for path in (tmp_path / "s").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
    (tmp_path / "s" / "link").symlink_to(tmp_path / "s" / "a" / "x")
    for ask in (lambda: place.open("link"), lambda: place.read("link", 10)):
        with pytest.raises(BadData):
            ask()


def test_a_bucket_that_is_not_there_and_a_server_that_is_not(s3):  # noqa: F811
    for uri, kind in (
        (f"s3://none/x?endpoint={s3}", UsageError),
        ("s3://none/x?endpoint=http://127.0.0.1:9", Interrupted),
    ):
        place = store(uri)
        for ask in (place.names, lambda p=place: p.read("x", 1), lambda p=place: p.put_new("x", b"")):
            with pytest.raises(kind) as caught:
                ask()
            assert "127.0.0.1" not in str(caught.value)
            assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_client_does_not_come_over_a_fork(s3):  # noqa: F811
    """Its threads would not be there: the child makes its own."""
    place = store(address(s3))
    place.put_new("x", b"1")
    from cleanroom.object_stores import _client

    mine, theirs = (_client(place.uri, process) for process in (os.getpid(), os.getpid() + 1))
    assert mine is not theirs
    assert mine is _client(place.uri, os.getpid())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "Error performing GET http://127.0.0.1:40312/vaults/403c in 403.2ms - HTTP error",
            Interrupted,
        ),
        ("Server returned non-2xx status code: 403 Forbidden: ", Refused),
        ("When reading information for key 'x': AWS Error UNKNOWN (HTTP status 403) during HeadObject", Refused),
        ("AWS Error ACCESS_DENIED during HeadObject operation: No response body.", Refused),
    ],
)
def test_who_is_not_let_in_is_told_by_the_status_and_not_by_a_number_somewhere(text, kind):
    with pytest.raises(kind) as caught:
        object_stores._guarded("x", lambda: raising(OSError(text)))
    assert "127.0.0.1" not in str(caught.value)


def raising(error):
    raise error
