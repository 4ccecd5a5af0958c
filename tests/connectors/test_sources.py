"""Every source against one suite, and what only text files, files in columns, and databases can meet."""

import codecs
import contextlib
import csv
import gzip
import io
import os
import random
import struct
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from conformance import HEADER, MARK, ROWS, Make, Server, SourceConformance, numbers_of, refusal, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import InputError
from connectors.files import records
from connectors.files.records import blocks, boundary
from connectors.memory import ArrowSource
from connectors.open import open_source
from connectors.source import Rejected, Source
from connectors.targets import write_csv

Cells = Sequence[Sequence[str | None]]


def as_csv(header: Sequence[str], rows: Cells, delimiter: str = ",", end: str = "\n", quoting: int = 0) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([header, *rows])
    return text.getvalue()


def as_table(header: Sequence[str], rows: Cells) -> pa.Table:
    columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(len(header))]
    return pa.Table.from_arrays(columns, names=list(header))


def opened(path: Path, content: bytes | str, **options: str) -> Source:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_source(str(path), **options)


class TestCsv(SourceConformance):
    first = 2

    @pytest.fixture(params=["utf-8", "utf-8-sig", "gb18030", "utf-16"])
    def make(self, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
        return lambda header, rows: opened(tmp_path / "a.csv", as_csv(header, rows).encode(request.param))


class TestDelimiters(SourceConformance):
    first = 2

    @pytest.fixture(params=[(";", "\r\n", 0), ("\t", "\n", 0), ("|", "\n", 1), (",", "\r\n", 1)])
    def make(self, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
        delimiter, end, quoting = request.param
        return lambda header, rows: opened(tmp_path / "a.txt", as_csv(header, rows, delimiter, end, quoting))


class TestGzippedTsv(SourceConformance):
    first = 2

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda header, rows: opened(
            tmp_path / "a.tsv.gz", gzip.compress(as_csv(header, rows, "\t").encode(), compresslevel=1)
        )


class TestParquet(SourceConformance):
    @pytest.fixture(params=["snappy", "zstd"])
    def make(self, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            pq.write_table(as_table(header, rows), tmp_path / "a.parquet", compression=request.param)
            return open_source(str(tmp_path / "a.parquet"))

        return make


class TestFeather(SourceConformance):
    @pytest.fixture(params=["lz4", "uncompressed"])
    def make(self, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            with (
                pa.OSFile(str(tmp_path / "a.feather"), "wb") as file,
                pa.ipc.new_file(
                    file,
                    as_table(header, []).schema,
                    options=pa.ipc.IpcWriteOptions(compression=None if "un" in request.param else request.param),
                ) as writer,
            ):
                writer.write_table(as_table(header, rows))
            return open_source(str(tmp_path / "a.feather"))

        return make


class TestArrow(SourceConformance):
    empty_is_error = False

    @pytest.fixture(params=["table", "reader", "function", "large", "dictionary", "view"])
    def make(self, request: pytest.FixtureRequest) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            table = as_table(header, rows)
            types = {"large": pa.large_string(), "dictionary": pa.dictionary(pa.int32(), pa.string())}
            if request.param in types:
                columns = [column.cast(types[request.param]) for column in table.columns]
                table = pa.Table.from_arrays(columns, names=list(header))
            forms = {"reader": table.to_reader, "function": lambda: table.to_reader}
            return ArrowSource("members", forms.get(request.param, lambda: table)())

        return make


class TestPandas(SourceConformance):
    empty_is_error = False

    @pytest.fixture
    def make(self) -> Make:
        return lambda header, rows: ArrowSource("frame", as_table(header, rows).to_pandas())


class TestPostgres(SourceConformance):
    @pytest.fixture
    def make(self, postgres: Server) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            names = ["a", "b", "c", "d"][: len(header)]
            columns = ", ".join(f"{name} text" for name in names)
            copied = "\n".join("\t".join(_copied(value) for value in row) for row in rows)
            postgres.run(
                f"DROP TABLE IF EXISTS made; CREATE TABLE made ({columns});\nCOPY made FROM stdin;\n{copied}"
                + ("\n\\.\n" if rows else "\\.\n")
            )
            given = ", ".join(f'{name} AS "{title}"' for name, title in zip(names, header, strict=True))
            return open_source(postgres.uri(f"query=SELECT {given} FROM made"))

        return make


def _copied(value: str | None) -> str:
    return "\\N" if value is None else value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


# -- text ------------------------------------------------------------------------------------------------------------


def test_ragged_rows_are_reported_by_number_and_blank_ones_passed_over(tmp_path: Path) -> None:
    source = opened(tmp_path / "a.csv", 'a,b\n1,2\n\n3\n"x\ny",4\n5,6,7\n,\n8,9\n')
    assert rows_of(source) == [("1", "2"), ("x\ny", "4"), ("8", "9")]
    assert numbers_of(source) == [2, 5, 8]
    assert list(source.rejected) == [Rejected(4, "ragged"), Rejected(6, "ragged")]
    assert source.rejected[1:] == [Rejected(6, "ragged")]


def test_ragged_rows_far_down_keep_their_numbers(tmp_path: Path) -> None:
    lines = ["n,x"] + [f"{number},{'y' * 40}" for number in range(2, 200_001)]
    for bad in (7, 70_000, 70_001, 199_999):
        lines[bad - 1] = "only one"
    source = opened(tmp_path / "a.csv", "\n".join(lines))
    numbers = numbers_of(source)
    assert [row.row for row in source.rejected] == [7, 70_000, 70_001, 199_999]
    assert numbers == [int(str(row[0])) for row in rows_of(source)] and len(numbers) == 199_995


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_byte_of_another_encoding_is_named_by_its_row(tmp_path: Path, encoding: str, packed: bool) -> None:
    good = ("手机,备注\n" + "1,金\n" * 100_000 + '2,"a\nb"\n\n').encode(encoding)
    content = good + f"3,{MARK}".encode(encoding) + b"\xff\xff\n4,x\n"
    path = tmp_path / "a.csv"
    source = opened(path, gzip.compress(content, 1) if packed else content)
    error = refusal(lambda: rows_of(source))
    assert error.params["row"] == 100_004


def test_an_undecodable_byte_in_a_ragged_row(tmp_path: Path) -> None:
    source = opened(tmp_path / "a.csv", "手机,b\n".encode() + b"1,2\n" * 90_000 + b"3,\xff,5\n6,7\n")
    assert refusal(lambda: rows_of(source)).params["row"] == 90_002


def test_encoding_is_found_where_the_head_is_plain_ascii(tmp_path: Path) -> None:
    source = opened(tmp_path / "a.csv", b"phone,city\n" + b"1,x\n" * 100_000 + "2,上海\n".encode("gb18030"))
    assert rows_of(source)[-1] == ("2", "上海")


def test_a_named_encoding_and_delimiter(tmp_path: Path) -> None:
    source = opened(tmp_path / "a.csv", "name;city\nJosé;München\n".encode("latin-1"), encoding="latin-1")
    assert rows_of(source) == [("José", "München")]
    assert rows_of(opened(tmp_path / "b.csv", "a b,c\n1,2 3,4\n", delimiter=",")) == []
    assert opened(tmp_path / "b.csv", "a:b\n1:2\n", delimiter=":").schema.names == ["a", "b"]


def test_headers_below_titles_quoted_and_across_lines(tmp_path: Path) -> None:
    text = '会员导出,,\n导出时间,2024-01-01\n\n"手机\n号","会员,等级",城市\n1,2,3\n'
    source = opened(tmp_path / "a.csv", text)
    assert source.schema.names == ["手机 号", "会员,等级", "城市"]
    assert numbers_of(source) == [5]


def test_empty_and_repeated_headers_get_names(tmp_path: Path) -> None:
    source = opened(tmp_path / "a.csv", "a,,a,a_2,\n1,2,3,4,5\n")
    assert source.schema.names == ["a", "column_2", "a_3", "a_2", "column_5"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'a','b'\n'1,2','x'\n'3','it''s'\n", [("1,2", "x"), ("3", "it's")]),
        ('a\tb\n27" screen\tx\n"open\ty\nz\t"\n', [('27" screen', "x"), ('"open', "y"), ("z", '"')]),
        ("phone\n1\n\n2\n", [("1",), ("2",)]),
        ("a,b\r1,2\r3,4\r", [("1", "2"), ("3", "4")]),
        ("a,b,\n1,2,\n", [("1", "2", None)]),
    ],
)
def test_layouts_found_out(tmp_path: Path, text: str, expected: list[tuple[str, ...]]) -> None:
    assert rows_of(opened(tmp_path / "a.csv", text)) == expected


def test_the_guard_before_formula_signs_is_taken_off_again(tmp_path: Path) -> None:
    cells = ["+8613800138000", "=1+1", "-1+1", "@x", "\t=1", " =1", "-12.5", "it's", "'quoted", "13800138000"]
    with (tmp_path / "a.csv").open("wb") as handle:
        write_csv(handle, [pa.record_batch({"a": cells, "b": ["x"] * len(cells)})])
    assert [row[0] for row in rows_of(open_source(str(tmp_path / "a.csv")))] == cells
    shopify = resources.files("connectors").joinpath("presets/shopify.csv")
    assert rows_of(open_source(str(shopify)))[0][13] == "+8613800000001"


def _outside(text: str) -> int:
    """Where the last line outside quotes ends, sign by sign: what `boundary` must find."""
    inside, start, end, place = False, True, 0, 0
    while place < len(text):
        sign = text[place]
        if inside and text[place : place + 2] == '""':
            place += 1
        elif sign == '"' and (inside or start):
            inside = not inside
        elif sign == "\n" and not inside:
            end = place + 1
        start = not inside and sign in ",\n"
        place += 1
    return end


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from('a,"\n'), max_size=24))
def test_records_end_where_quotes_as_the_parser_counts_them_say(text: str) -> None:
    assert boundary(text.encode(), ",", '"') == _outside(text)


def test_a_record_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_LONGEST", 1 << 20)
    text = "a,b\n" + '"1","2"\n' * 400_000 + '3,"' + "long\n" * 2_000_000
    row = refusal(lambda: rows_of(opened(tmp_path / "a.csv", text))).params["row"]
    assert isinstance(row, int) and 300_000 < row <= 400_002


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.lists(st.text(st.sampled_from("a1,\"\n\r金 '"), max_size=4), min_size=2, max_size=2), max_size=8),
    size=st.integers(1, 9),
)
def test_cutting_into_blocks_never_cuts_a_record(rows: list[list[str]], size: int) -> None:
    text = as_csv(("a", "b"), rows, end="\r\n").encode()
    stream = io.BytesIO(text)

    class Trickle:
        def read(self, _: int, /) -> bytes:
            return stream.read(size)

    cut = list(blocks(Trickle(), ",", '"'))
    assert b"".join(block.content for block in cut) == text and not any(block.open for block in cut)
    parsed = [row for block in cut for row in csv.reader(io.StringIO(block.content.decode(), newline=""))]
    assert parsed == list(csv.reader(io.StringIO(text.decode(), newline="")))


def test_a_quote_never_closed_is_named_by_its_row(tmp_path: Path) -> None:
    text = "a,b\n" + '"1","2"\n' * 30_000 + f'"{MARK},2\n' + "3,4\n" * 1000
    assert refusal(lambda: rows_of(opened(tmp_path / "a.csv", text))).params["row"] <= 30_002


@pytest.mark.parametrize(
    "content",
    [
        b"",
        codecs.BOM_UTF8,
        b"\n\n \n",
        "手机,b\n".encode(),
        b"a,b\r\n\r\n\r\n",
        bytes(range(256)) * 20,
        f"name,{MARK}\nJos".encode("latin-1", "ignore") + b"\xe9,\xfc\n",
        f"{MARK[2:]},x\n13900000000,y\n".encode(),
        gzip.compress(f"a,b\n{MARK},2\n".encode() * 9000)[:-200],
        b"\x1f\x8bnothing like it",
        gzip.compress(b"\0" * 10_000_000),
    ],
    ids=[
        "empty",
        "mark",
        "blank",
        "header",
        "header-crlf",
        "binary",
        "latin",
        "no-header",
        "cut-gzip",
        "gzip",
        "zeros",
    ],
)
def test_bad_text_files(tmp_path: Path, content: bytes) -> None:
    refusal(lambda: rows_of(opened(tmp_path / "a.csv", content)))


def test_what_is_not_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent.csv", ".", "pipe", "x" * 300, "a\0b"):
        refusal(lambda name=name: open_source(str(tmp_path / name)))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in str(refusal(lambda: open_source(str(tmp_path / "a.csv"))))


@pytest.mark.parametrize("options", [{"encoding": "klingon"}, {"delimiter": "ab"}, {"delimiter": '"'}])
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, str]) -> None:
    refusal(lambda: opened(tmp_path / "a.csv", "a,b\n1,2\n", **options))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Peaks of two processes, the second with a file four times as long: a few batches more, not four times."""
    code = (
        "import sys\nfrom connectors.open import open_source\n"
        "for b in open_source(sys.argv[1]).batches(): pass\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    line = "13800138000,金卡,上海市,1234.50,2024-01-02,note\n"
    peaks = []
    for times in (1, 4):
        path = tmp_path / f"{times}.csv"
        path.write_text("phone,level,city,spend,day,note\n" + line * (300_000 * times), "utf-8")
        told = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
        peaks.append(int(told.stdout))
    assert peaks[1] - peaks[0] < 40_000  # kB


def test_a_reading_left_half_way_does_not_hang_or_crash_the_process(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 1_000_000)
    code = "import sys\nfrom connectors.open import open_source\nit = open_source(sys.argv[1]).batches()\nnext(it)"
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "a.csv"], timeout=60, check=False).returncode == 0


# -- columns ---------------------------------------------------------------------------------------------------------


def test_types_stay_and_what_cannot_be_used_is_left_out_with_a_note(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2], "list": [[1], [2]], "bytes": [b"a", b"b"], "day": pa.array([1, 2], pa.date32())})
    pq.write_table(table, tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    assert source.schema == pa.schema([("n", pa.int64()), ("day", pa.date32())])
    assert [params["name"] for _, params in source.notes] == ["list", "bytes"]


def test_extension_types_are_refused(tmp_path: Path) -> None:
    table = pa.table({"id": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16)))})
    pq.write_table(table, tmp_path / "a.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "a.feather")
    assert refusal(lambda: open_source(str(tmp_path / "a.parquet"))).params["column"] == "id"
    assert refusal(lambda: open_source(str(tmp_path / "a.feather"))).params["column"] == "id"
    unknown = pa.schema([pa.field("x", pa.string(), metadata={"ARROW:extension:name": "evil"})])
    assert refusal(lambda: ArrowSource("t", unknown.empty_table())).params["column"] == "x"


def test_columns_that_are_too_many_or_none(tmp_path: Path) -> None:
    refusal(lambda: ArrowSource("t", pa.table({f"c{place}": [1] for place in range(2001)})))
    refusal(lambda: ArrowSource("t", pa.table({"list": [[1]]})))
    refusal(lambda: opened(tmp_path / "a.csv", ",".join("abc" for _ in range(2001)) + "\n1\n"))


def test_a_frame_of_mixed_values_is_refused_by_column() -> None:
    import pandas as pd

    assert refusal(lambda: ArrowSource("t", pd.DataFrame({"m": [MARK, 5, b"x"]}))).params["column"] == "m"


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_damaged_files_give_rows_or_an_input_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    table = as_table(HEADER, [*ROWS, (MARK, MARK, MARK, MARK)] * 50)
    if kind == "parquet":
        pq.write_table(table, path, write_page_checksum=True)
    else:
        pyarrow.feather.write_feather(table, path, compression="uncompressed")
    good, chance = path.read_bytes(), random.Random(5)
    for _ in range(40):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            bad[chance.randrange(8, len(bad))] = chance.randrange(256)
        content = bytes(bad[: chance.choice([len(bad), len(bad), chance.randrange(8, len(bad))])])
        with contextlib.suppress(InputError):
            rows_of(opened(path, content))
            continue
        refusal(lambda content=content: rows_of(opened(path, content)))


def test_texts_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    content = [None, pa.py_buffer(struct.pack("<3i", 0, 2, 4)), pa.py_buffer(b"ok\xff\xff")]
    lie = pa.record_batch([pa.Array.from_buffers(pa.string(), 2, content)], names=["a"])
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, lie.schema) as out:
        out.write_batch(lie)
    refusal(lambda: rows_of(open_source(str(tmp_path / "a.arrow"))))


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


def test_postgres_types_and_names(postgres: Server) -> None:
    postgres.run(
        """CREATE SCHEMA crm; CREATE TABLE crm."会员" ("手机号" text, spend numeric(12, 2), id uuid,
        tags text[], day date, at timestamptz, n int, ok bool, cash money, raw jsonb);
        INSERT INTO crm."会员" VALUES ('013', 12.50, '00000000-0000-0000-0000-000000000001', '{a,b}', '2024-01-02',
        '2024-01-02 03:04:05+08', 7, true, 1234.5, '{"a": 1}')"""
    )
    source = open_source(postgres.uri("table=crm.会员"))
    assert source.label == "postgres:crm.会员"
    (row,) = rows_of(source)
    assert row[:4] == ("013", "12.50", "00000000-0000-0000-0000-000000000001", "{a,b}")
    assert str(row[4]) == "2024-01-02" and row[6:] == (7, True, "$1,234.50", '{"a": 1}')
    assert source.schema.field("at").type == pa.timestamp("us", "UTC")


def test_postgres_is_only_read(postgres: Server) -> None:
    postgres.run("CREATE TABLE kept (a text); INSERT INTO kept VALUES ('x'), (NULL)")
    postgres.run("CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM kept; SELECT 1'")
    for query in (
        "DELETE FROM kept RETURNING a",
        "SELECT wipe()",
        "SELECT 1) AS source; DELETE FROM kept; SELECT (1",
        "WITH gone AS (DELETE FROM kept RETURNING a) SELECT * FROM gone",
    ):
        refusal(lambda query=query: rows_of(open_source(postgres.uri(f"query={query}"))))
    assert rows_of(open_source(postgres.uri("query=SELECT a FROM kept ORDER BY a -- all"))) == [("x",), (None,)]


def test_postgres_refusals_show_neither_values_nor_passwords(
    postgres: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    postgres.run(f"CREATE TABLE bad (a text); INSERT INTO bad VALUES ('2024-01-01'), ('{MARK}')")
    for uri in (
        postgres.uri("query=SELECT a::date FROM bad"),
        postgres.uri(f"query=SELECT '{MARK}'::int"),
        postgres.uri("query=SELEC"),
        postgres.uri("query=SELECT nowhere FROM bad"),
        postgres.uri("table=nowhere"),
        postgres.uri("table=bad&query=SELECT 1"),
        postgres.uri(""),
        postgres.uri("table=bad", database="nowhere"),
        postgres.uri("table=bad", user="guest"),
        f"postgresql://me:{MARK}@host/db?table=t",
        f"postgresql://me@host/db?table=t&password={MARK}",
        "postgresql://me@127.0.0.1:1/db?table=t",
        "postgresql://me@[bad/db?table=t",
    ):
        refusal(lambda uri=uri: rows_of(open_source(uri)))
    monkeypatch.setenv("PGPASSWORD", "sesame")
    error = refusal(lambda: rows_of(open_source(postgres.uri("table=bad", user="guest"))))
    assert "may not read" in error.template
