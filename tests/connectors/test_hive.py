"""Folders of Parquet parts, here and over real HTTP in a store that speaks S3: which are opened, and what they say."""

import csv
import gzip
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conformance import MARK, Make, SourceConformance, numbers_of, refusal, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import hive
from connectors.events import Feature, fold
from connectors.folders import size_of
from connectors.open import open_source
from connectors.partitions import Condition
from connectors.private_domain.opening import open_domain, parts_of
from connectors.private_domain.settings import Settings
from connectors.source import Source

Cells = Sequence[Sequence[str | None]]


def texts(header: Sequence[str], rows: Cells) -> pa.Table:
    return pa.Table.from_arrays(
        [pa.array([row[place] for row in rows], pa.string()) for place in range(len(header))], names=list(header)
    )


def part(root: Path, name: str, table: pa.Table) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def days(root: Path) -> Path:
    """Three days of two hours each, with what others leave behind between them."""
    for day in ("2026-01-01", "2026-01-02", "2026-01-10"):
        for hour in ("03", "14"):
            part(root, f"dt={day}/hour={hour}/part-0.parquet", pa.table({"at": [f"{day} {hour}"]}))
            (root / f"dt={day}/hour={hour}/.part-0.parquet.crc").write_bytes(b"crc")
        (root / f"dt={day}/_SUCCESS").write_bytes(b"")
    part(root, "_temporary/0/dt=2026-01-11/hour=00/part-0.parquet", pa.table({"at": [1]}))
    return root


def spied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the parts that are opened from here on."""
    opened: list[str] = []
    real = hive.HiveSource._open

    def spy(self: hive.HiveSource, file: hive.File) -> object:
        opened.append(file.name)
        return real(self, file)

    monkeypatch.setattr(hive.HiveSource, "_open", spy)
    return opened


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[str, object]]:
    """(the endpoint of a store, a client that may put things there)."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    where = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=where, region_name="us-east-1", aws_access_key_id="made",
                          aws_secret_access_key="up")  # fmt: skip
    client.create_bucket(Bucket="lake")
    yield where, client
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "up")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def put(store: tuple[str, object], root: Path, prefix: str) -> str:
    """All files below `root` as objects below `prefix`; the prefix's address."""
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        store[1].put_object(Bucket="lake", Key=f"{prefix}/{path.relative_to(root)}", Body=path.read_bytes())  # type: ignore[attr-defined]
    return f"s3://lake/{prefix}/?endpoint={store[0]}"


class TestFolder(SourceConformance):
    @pytest.fixture(params=["one", "three"])
    def make(self, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            cut = max(1, len(rows) // 3) if request.param == "three" else max(1, len(rows))
            for place in range(0, max(1, len(rows)), cut):
                part(tmp_path, f"part-{place:06}.parquet", texts(header, rows[place : place + cut]))
            (tmp_path / "_SUCCESS").write_bytes(b"")
            return open_source(str(tmp_path))

        return make


@pytest.mark.usefixtures("credentials")
class TestStore(SourceConformance):
    many = 30_000

    @pytest.fixture
    def make(self, tmp_path: Path, store: tuple[str, object]) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            for place in range(0, max(1, len(rows)), 7_000):
                part(tmp_path, f"part-{place:06}.parquet", texts(header, rows[place : place + 7_000]))
            return open_source(put(store, tmp_path, tmp_path.name))

        return make


@pytest.mark.usefixtures("credentials")
class TestObject(SourceConformance):
    many = 30_000

    @pytest.fixture(params=["parquet", "csv", "csv.gz"])
    def make(self, store: tuple[str, object], request: pytest.FixtureRequest) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            sink = io.BytesIO()
            if request.param == "parquet":
                pq.write_table(texts(header, rows), sink)
            else:
                sink.write(as_csv(header, rows).encode())
            content = gzip.compress(sink.getvalue(), 1) if request.param == "csv.gz" else sink.getvalue()
            store[1].put_object(Bucket="lake", Key=f"made.{request.param}", Body=content)  # type: ignore[attr-defined]
            return open_source(f"s3://lake/made.{request.param}?endpoint={store[0]}")

        return make


def as_csv(header: Sequence[str], rows: Cells) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


# -- partitions ------------------------------------------------------------------------------------------------------


def test_partitions_are_text_columns_behind_the_others(tmp_path: Path) -> None:
    source = open_source(str(days(tmp_path / "events")))
    assert source.label == "events"
    assert source.schema == pa.schema([(name, pa.string()) for name in ("at", "dt", "hour")])
    assert rows_of(source)[0] == ("2026-01-01 03", "2026-01-01", "03")
    assert [row[0] for row in rows_of(source)] == [f"{row[1]} {row[2]}" for row in rows_of(source)]
    assert numbers_of(source) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("dt=2026-01-02", ["2026-01-02 03", "2026-01-02 14"]),
        ("dt=20260102..&hour=14", ["2026-01-02 14", "2026-01-10 14"]),
        ("dt=2026-01-01..2026-01-09&hour=3", ["2026-01-01 03", "2026-01-02 03"]),
        ("dt=..2026-01-01", ["2026-01-01 03", "2026-01-01 14"]),
        ("dt=last:1&hour=last:1", ["2026-01-10 14"]),
        ("dt=2026-01-01,2026-01-10&hour=03", ["2026-01-01 03", "2026-01-10 03"]),
    ],
)
def test_only_what_is_asked_for_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, expected: list[str]
) -> None:
    root, opened = days(tmp_path / "events"), spied(monkeypatch)
    assert [row[0] for row in rows_of(open_source(f"{root}/?{asked}"))] == expected
    assert len(set(opened)) == len(expected)


def test_a_partition_may_be_named_as_a_folder(tmp_path: Path) -> None:
    source = open_source(str(days(tmp_path / "events") / "dt=2026-01-02"))
    assert (source.label, source.schema.names) == ("events", ["at", "dt", "hour"])
    assert rows_of(source)[1] == ("2026-01-02 14", "2026-01-02", "14")


@pytest.mark.usefixtures("credentials")
def test_a_store_is_asked_for_no_other_partition(
    tmp_path: Path, store: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, opened = put(store, days(tmp_path / "events"), "events"), spied(monkeypatch)
    assert len(rows_of(open_source(uri))) == 6
    opened.clear()
    source = open_source(f"{uri}&dt=2026-01-02..2026-01-31&hour=14")
    assert [row[0] for row in rows_of(source)] == ["2026-01-02 14", "2026-01-10 14"] and source.label == "events"
    assert set(opened) == {"dt=2026-01-02/hour=14/part-0.parquet", "dt=2026-01-10/hour=14/part-0.parquet"}
    for bad in (f"{uri}&day=1", f"{uri}&dt=2020-01-01", f"{uri}&password=x", uri.replace("events/", "nothing/")):
        refusal(lambda bad=bad: open_source(bad))


def test_values_are_unescaped_and_none_is_null(tmp_path: Path) -> None:
    part(tmp_path, "city=a%2Fb%3D%E6%B5%B7/p.parquet", pa.table({"n": [1]}))
    part(tmp_path, "city=__HIVE_DEFAULT_PARTITION__/p.parquet", pa.table({"n": [2]}))
    assert sorted(rows_of(open_source(str(tmp_path)))) == [(1, "a/b=海"), (2, None)]
    assert rows_of(open_source(f"{tmp_path}?city=a%2Fb%3D%E6%B5%B7")) == [(1, "a/b=海")]
    assert rows_of(open_source(f"{tmp_path}?city=__HIVE_DEFAULT_PARTITION__")) == [(2, None)]
    assert rows_of(open_source(f"{tmp_path}?city=last:5")) == [(1, "a/b=海")]


def test_the_path_has_the_last_word_over_the_part(tmp_path: Path) -> None:
    part(tmp_path, "dt=2026-01-01/p.parquet", pa.table({"dt": ["wrong"], "n": [1]}))
    source = open_source(str(tmp_path))
    assert rows_of(source) == [(1, "2026-01-01")]
    assert [params["name"] for _, params in source.notes] == ["dt"]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.dates(date(2024, 1, 1), date(2027, 1, 1)), min_size=1), st.dates(), st.dates(), st.integers(1, 9))
def test_ranges_and_last_ones_as_python_sees_them(found: set[date], first: date, last: date, count: int) -> None:
    def chosen(wanted: str) -> list[str]:
        return sorted(Condition("dt", wanted).chosen(day.isoformat() for day in found))

    between = sorted(day.isoformat() for day in found if first <= day <= last)
    assert chosen(f"{first.isoformat()}..{last.isoformat()}") == between
    assert (
        chosen(f"{first:%Y%m%d}..{last:%Y%m%d}".replace(" ", "0")) == between or first.year < 1000 or last.year < 1000
    )
    assert chosen(f"last:{count}") == sorted(day.isoformat() for day in found)[-count:]


@pytest.mark.parametrize("asked", ["day=1", "dt=2020-01-01", "dt=", "dt=..", "dt=1..2..3", "dt=last:0", "at=2026"])
def test_what_cannot_be_asked(tmp_path: Path, asked: str) -> None:
    refusal(lambda: open_source(f"{days(tmp_path / 'e')}/?{asked}"))


def test_parts_in_different_partitions_are_refused_by_name(tmp_path: Path) -> None:
    part(tmp_path, "dt=1/p.parquet", pa.table({"n": [1]}))
    part(tmp_path, "a.parquet", pa.table({"n": [1]}))
    assert refusal(lambda: open_source(str(tmp_path))).params["part"] == "a.parquet"
    part(tmp_path / "x", "dt=1/dt=2/p.parquet", pa.table({"n": [1]}))
    refusal(lambda: open_source(str(tmp_path / "x")))


def test_how_large_a_source_here_is(tmp_path: Path) -> None:
    root = days(tmp_path / "events")
    one = (root / "dt=2026-01-02/hour=03/part-0.parquet").stat().st_size
    assert size_of(f"{root}/?dt=2026-01-02") == 2 * one and size_of(str(root)) == 6 * one
    assert size_of(str(root / "dt=2026-01-02/hour=03/part-0.parquet")) == one
    assert size_of("s3://lake/events/") == size_of(str(tmp_path / "absent")) == 0


# -- parts -----------------------------------------------------------------------------------------------------------


def test_parts_that_differ_are_widened_by_rule(tmp_path: Path) -> None:
    part(tmp_path, "dt=1/p.parquet", pa.table({"n": pa.array([1], pa.int32()), "x": pa.array([1.5], pa.float32())}))
    part(tmp_path, "dt=2/p.parquet", pa.table({"x": pa.array([2], pa.int16()), "gone": ["?"], "n": pa.array([None])}))
    part(tmp_path, "dt=3/p.parquet", pa.table({"n": [3], "x": [3.5], "new": ["y"]}))
    source = open_source(str(tmp_path))
    assert source.schema == pa.schema(
        [("n", pa.int64()), ("x", pa.float64()), ("new", pa.string()), ("dt", pa.string())]
    )
    assert rows_of(source) == [(1, 1.5, None, "1"), (None, 2.0, None, "2"), (3, 3.5, "y", "3")]


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        (pa.int64(), pa.int32()),
        (pa.int64(), pa.float64()),
        (pa.int64(), pa.string()),
        (pa.float64(), pa.int64()),
        (pa.uint64(), pa.int64()),
        (pa.decimal128(12, 2), pa.decimal128(12, 3)),
        (pa.timestamp("us"), pa.timestamp("ms")),
        (pa.timestamp("ms"), pa.timestamp("us", "UTC")),
        (pa.string(), pa.date32()),
    ],
    ids=str,
)
def test_a_type_that_does_not_widen_is_refused_by_part_and_column(
    tmp_path: Path, kind: pa.DataType, last: pa.DataType
) -> None:
    part(tmp_path, "dt=1/p.parquet", pa.table({"n": pa.nulls(1, kind)}))
    part(tmp_path, "dt=2/p.parquet", pa.table({"n": pa.nulls(1, last)}))
    error = refusal(lambda: rows_of(open_source(str(tmp_path))))
    assert (error.params["part"], error.params["column"]) == ("dt=1/p.parquet", "n")


@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("spoil", ["cut", "empty", "started", "text", "middle", "gone"])
def test_a_part_that_is_not_whole_is_refused_by_name(tmp_path: Path, where: str, spoil: str) -> None:
    for place in range(3):
        part(tmp_path, f"part-{place}.parquet", texts(("a",), [(f"{MARK}{row}",) for row in range(2000)]))
    path = tmp_path / ("part-0.parquet" if where == "first" else "part-2.parquet")
    source = open_source(str(tmp_path))
    whole = path.read_bytes()
    middle = bytes(whole[: len(whole) // 2]) + b"\0" * 40 + whole[len(whole) // 2 + 40 :]
    contents = {"cut": whole[:-100], "empty": b"", "started": b"PAR1", "text": b"a,b\n1,2\n" * 9, "middle": middle}
    path.unlink()
    if spoil != "gone":
        path.write_bytes(contents[spoil])
    error = refusal(lambda: rows_of(open_source(str(tmp_path))) if spoil != "gone" else rows_of(source))
    assert path.name in error.params.values()
    if spoil in ("cut", "empty", "started"):
        assert "not whole" in error.template


@pytest.mark.usefixtures("credentials")
def test_a_half_written_part_in_a_store_is_refused_by_name(tmp_path: Path, store: tuple[str, object]) -> None:
    for place in range(3):
        part(tmp_path, f"dt=1/part-{place}.parquet", pa.table({"a": [1]}))
    path = tmp_path / "dt=1/part-1.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    error = refusal(lambda: rows_of(open_source(put(store, tmp_path, "half"))))
    assert error.params["part"] == "dt=1/part-1.parquet" and "not whole" in error.template


def test_a_folder_without_parts_or_of_other_files_is_refused(tmp_path: Path) -> None:
    refusal(lambda: open_source(str(tmp_path)))
    (tmp_path / "a.csv").write_text(f"phone\n{MARK}\n")
    refusal(lambda: open_source(str(tmp_path)))


def test_a_folder_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    part(tmp_path, "p.parquet", pa.table({"a": [1]}))
    (tmp_path / "again").symlink_to(tmp_path)
    refusal(lambda: open_source(str(tmp_path)))


# -- many parts ------------------------------------------------------------------------------------------------------


def _linked(root: Path, count: int) -> None:
    """`count` parts in folders of a hundred, all the same file."""
    first = part(root, "dt=000/p00.parquet", pa.table({"user": ["a", "b"], "n": [1, 2]}))
    for place in range(1, count):
        path = root / f"dt={place // 100:03}" / f"p{place % 100:02}.parquet"
        path.parent.mkdir(exist_ok=True)
        os.link(first, path)


def test_ten_thousand_parts_open_at_once_and_are_pruned(tmp_path: Path) -> None:
    _linked(tmp_path / "t", 10_000)
    assert open_source(str(tmp_path / "t")).schema.names == ["user", "n", "dt"]
    source = open_source(f"{tmp_path / 't'}?dt=042..043")
    assert len(list(source.batches())) == 1, "small parts are gathered"
    assert len(rows_of(source)) == 400


@pytest.mark.slow
def test_ten_thousand_parts_are_read(tmp_path: Path) -> None:
    _linked(tmp_path / "t", 10_000)
    assert sum(batch.table.num_rows for batch in open_source(str(tmp_path / "t")).batches()) == 20_000


def test_memory_does_not_grow_with_the_parts(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom connectors.open import open_source\n"
        "for b in open_source(sys.argv[1]).batches(): pass\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    table = texts(("phone", "note"), [(f"138{row:08}", f"note {row}") for row in range(100_000)])
    peaks = []
    for count in (2, 14):
        first = part(tmp_path / str(count), "dt=00/p.parquet", table)
        for place in range(1, count):
            (tmp_path / str(count) / f"dt={place:02}").mkdir()
            os.link(first, tmp_path / str(count) / f"dt={place:02}" / "p.parquet")
        told = subprocess.run([sys.executable, "-c", code, tmp_path / str(count)], capture_output=True, check=True)
        peaks.append(int(told.stdout))
    assert peaks[1] - peaks[0] < 40_000  # kB


def test_files_and_folders_are_read_without_pandas(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom connectors.open import open_source\n"
        "for name in sys.argv[1:]:\n    for b in open_source(name).batches(): pass\n"
        "sys.exit('pandas' in sys.modules)"
    )
    (tmp_path / "a.csv").write_text("a,b\n1,x\n")
    root = days(tmp_path / "events")
    names = [root, root / "dt=2026-01-02/hour=03/part-0.parquet", tmp_path / "a.csv"]
    assert subprocess.run([sys.executable, "-c", code, *names], check=False).returncode == 0


# -- events ----------------------------------------------------------------------------------------------------------


def events(root: Path) -> Path:
    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        rows = {"user": ["13800138000", "13800138001"], "event": ["payment.pay", "mini-program.visit"],
                "time": [f"{day} 04:00:00"] * 2, "amount": [100, None], "seconds": [None, 5]}  # fmt: skip
        part(root, f"dt={day}/part-0.parquet", pa.table(rows))
    return root


def test_events_in_partitions_are_folded(tmp_path: Path) -> None:
    source = open_source(f"{events(tmp_path / 'e')}/?dt=2026-01-02..")
    days_paid = [
        Feature("paid", "count", ("payment.pay",)),
        Feature("spend", "sum", ("payment.pay",), 0, "amount", "amount"),
    ]
    assert [row[1] for row in rows_of(fold(source, days_paid, date(2026, 1, 31)))] == [2, 0]


def test_a_private_domain_may_stand_in_partitions_beside_a_users_table(tmp_path: Path) -> None:
    events(tmp_path / "events")
    pq.write_table(pa.table({"user": ["13800138000"], "gender": ["f"]}), tmp_path / "users.parquet")
    assert parts_of(str(tmp_path)) == [f"{tmp_path / 'events'}/", str(tmp_path / "users.parquet")]
    for asked, payments in (("", "3.00"), ("?dt=2026-01-03", "1.00")):
        domain = open_domain(f"{tmp_path}/{asked}", date(2026, 1, 3), Settings())
        found = {row["user"]: row for batch in domain.batches() for row in batch.table.to_pylist()}
        assert str(found["13800138000"]["orders_30d"]) == payments and found["13800138000"]["gender"] == "f"


@pytest.mark.usefixtures("credentials")
def test_a_private_domain_in_a_store_is_pruned_alike(
    tmp_path: Path, store: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    events(tmp_path / "events")
    pq.write_table(pa.table({"user": ["13800138000"], "gender": ["f"]}), tmp_path / "users.parquet")
    uri, opened = put(store, tmp_path, "platform"), spied(monkeypatch)
    parts = parts_of(f"{uri}&dt=2026-01-03")
    assert [part.partition("?")[0] for part in parts] == [
        f"s3://lake/platform/{n}" for n in ("events/", "users.parquet")
    ]
    domain = open_domain(f"{uri}&dt=2026-01-03", date(2026, 1, 3), Settings())
    assert {row["user"] for batch in domain.batches() for row in batch.table.to_pylist()} == {
        "13800138000",
        "13800138001",
    }
    assert set(opened) == {"dt=2026-01-03/part-0.parquet"}


def test_a_stream_of_bytes_is_not_a_folder(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    (tmp_path / "dt=1?x.parquet").write_bytes(sink.getvalue())
    assert rows_of(open_source(str(tmp_path / "dt=1?x.parquet"))) == [(1,)]
