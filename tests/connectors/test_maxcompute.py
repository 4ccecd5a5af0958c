"""MaxCompute through the real pyodps, against a server of our own (maxcompute_server.py): never the service itself."""

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from decimal import Decimal

import pyarrow as pa
import pytest
from conformance import MARK, Make, SourceConformance, refusal, rows_of
from maxcompute_server import KEY, Service, Table, framing, serving

from connectors.maxcompute import address
from connectors.maxcompute_target import write_table
from connectors.open import open_source
from connectors.source import Source

Cells = Sequence[Sequence[str | None]]
STRINGS = pa.table({"user": ["a", "b"], "city": ["x", None]})


@pytest.fixture(scope="module")
def server() -> Iterator[Service]:
    with serving() as service:
        yield service


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, server: Service) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "made-up-secret")
    server.tables, server.spoil, server.denied, server.asked, server.uploads = {}, "", False, [], {}


def at(server: Service, table: str, rest: str = "") -> str:
    return f"odps://shop/{table}?endpoint={server.endpoint}/api" + (f"&{rest}" if rest else "")


def parted(server: Service) -> None:
    """A table of two days of two hours each, and one more hour without rows."""
    parts = {
        (day, hour): pa.table({"user": [f"{day} {hour}"]})
        for day, hour in [("20260101", "03"), ("20260101", "14"), ("20260102", "03"), ("20260102", "14")]
    }
    parts["20260103", "00"] = pa.table({"user": pa.array([], pa.string())})
    server.tables["events"] = Table([("user", "string")], parts, ["dt", "hour"])


class TestMaxCompute(SourceConformance):
    names_may_repeat = False  # MaxCompute tells names apart without case, and takes none twice

    @pytest.fixture
    def make(self, server: Service) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(len(header))]
            table = pa.Table.from_arrays(columns, names=list(header))
            server.tables["made"] = Table([(name, "string") for name in header], {(): table})
            return open_source(at(server, "made"))

        return make


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("dt=20260101", ["20260101 03", "20260101 14"]),
        ("dt=20260102..&hour=14", ["20260102 14"]),
        ("partition=dt=20260102,hour=03", ["20260102 03"]),
        ("dt=2026-01-01..2026-01-03&hour=last:1", ["20260101 14", "20260102 14"]),
    ],
)
def test_only_the_partitions_that_are_asked_for_are_read(server: Service, asked: str, expected: list[str]) -> None:
    parted(server)
    source = open_source(at(server, "events", asked))
    assert source.schema.names == ["user", "dt", "hour"] and source.label == "shop.events"
    assert rows_of(source) == [(text, *text.split(" ")) for text in expected]
    assert sum("downloads" in asked for asked in server.asked) >= len(expected)
    assert not any("20260101" in one for one in server.asked) or any("20260101" in one for one in expected)


def test_a_partitioned_table_is_not_read_whole_by_accident(server: Service) -> None:
    parted(server)
    for asked in ("", "day=1", "dt=20250101", "dt=..", "dt=20260103"):
        refusal(lambda asked=asked: rows_of(open_source(at(server, "events", asked))))
    assert not any("data" in one.split("?")[1].split("&") for one in server.asked)


def test_types(server: Service) -> None:
    moment = dt.datetime(2026, 1, 1, 4, 5, 6)
    rows = pa.table(
        {
            "user": ["013"], "spend": pa.array([Decimal("12.50")], pa.decimal128(12, 2)), "n": [7],
            "day": pa.array([dt.date(2026, 1, 2)], pa.date32()), "at": pa.array([moment], pa.timestamp("ms")),
            "there": pa.array([moment], pa.timestamp("ns")), "tags": [["a"]], "raw": [b"x"], "ok": [True],
        }
    )  # fmt: skip
    kinds = ["varchar(20)", "decimal(12,2)", "bigint", "date", "datetime", "timestamp_ntz", "array<string>", "binary",
             "boolean"]  # fmt: skip
    server.tables["made"] = Table(list(zip(rows.column_names, kinds, strict=True)), {(): rows})
    source = open_source(at(server, "made"))
    assert source.schema.field("at").type == pa.timestamp("ms", "UTC")
    assert source.schema.field("there").type == pa.timestamp("ns")
    assert [params["name"] for _, params in source.notes] == ["tags", "raw"]
    (row,) = rows_of(source)
    assert row[:4] == ("013", Decimal("12.50"), 7, dt.date(2026, 1, 2)) and row[-1] is True
    assert row[4] == moment.replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(("kind", "said"), [("decimal", "without precision"), ("json", "gives no such")])
def test_columns_that_the_tunnel_cannot_give_are_refused_by_name(server: Service, kind: str, said: str) -> None:
    server.tables["made"] = Table([("user", "string"), ("odd", kind)], {(): STRINGS})
    error = refusal(lambda: open_source(at(server, "made")))
    assert error.params["column"] == "odd" and said in error.template


def test_refusals_are_named(server: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server.tables["made"] = Table([("user", "string"), ("city", "string")], {(): STRINGS})
    assert "no table" in refusal(lambda: open_source(at(server, "nowhere"))).template
    server.denied = True
    assert "may not read" in refusal(lambda: open_source(at(server, "made"))).template
    server.denied = False
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "another")
    assert "let this user in" in refusal(lambda: open_source(at(server, "made"))).template
    monkeypatch.delenv("ALIBABA_CLOUD_ACCESS_KEY_ID")
    assert "no credentials" in refusal(lambda: open_source(at(server, "made"))).template
    assert "made-up-secret" not in caplog.text


def test_a_temporary_token_serves_and_the_client_logs_nothing(
    server: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At the level of info pyodps writes tokens when it renews them, an hour on."""
    monkeypatch.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "made-up-token")
    logging.getLogger("odps").setLevel(logging.NOTSET)
    caplog.set_level(logging.INFO)
    server.tables["made"] = Table([("user", "string"), ("city", "string")], {(): STRINGS})
    assert len(rows_of(open_source(at(server, "made")))) == 2
    assert not [record for record in caplog.records if record.name.startswith("odps")]


def test_a_partition_that_goes_away_is_named(server: Service) -> None:
    parted(server)
    source = open_source(at(server, "events", "dt=20260101"))
    del server.tables["events"].parts["20260101", "14"]
    assert "no such partition" in refusal(lambda: rows_of(source)).template


@pytest.mark.parametrize("spoil", ["cut", "checksum", "short"])
def test_a_stream_that_is_cut_or_spoilt_is_an_error_and_never_fewer_rows(server: Service, spoil: str) -> None:
    rows = pa.table({"user": [f"{MARK}{row}" for row in range(50_000)], "city": ["x"] * 50_000})
    server.tables["made"] = Table([("user", "string"), ("city", "string")], {(): rows})
    source, server.spoil = open_source(at(server, "made")), spoil
    assert "broke off" in refusal(lambda: rows_of(source)).template


def test_a_stream_that_breaks_once_is_taken_up_again(server: Service) -> None:
    rows = pa.table({"user": [f"{row}" for row in range(300_000)]})
    server.tables["made"] = Table([("user", "string")], {(): rows})
    source, server.spoil = open_source(at(server, "made")), "drop-once"
    assert [row[0] for row in rows_of(source)] == rows["user"].to_pylist()


def test_a_service_that_is_not_there_is_said_soon() -> None:
    assert "not reached" in refusal(lambda: open_source("odps://shop/t?endpoint=http://127.0.0.1:9")).template


@pytest.mark.parametrize(
    "uri",
    [
        "odps://shop", "odps:///t?endpoint=https://e", "odps://shop/a/b/c?endpoint=https://e", "odps://shop/t",
        f"odps://me:{MARK}@shop/t?endpoint=https://e", f"odps://shop/t?endpoint=https://e&access_key={MARK}",
        "odps://shop/t?endpoint=https://e&partition=dt", "odps://shop/t?endpoint=ftp://e",
    ],
)  # fmt: skip
def test_addresses_that_cannot_be(uri: str) -> None:
    refusal(lambda: address(uri))


def test_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODPS_ENDPOINT", "https://service.cn-hangzhou.maxcompute.aliyun.com/api")
    found = address("odps://shop/crm/members?dt=last:1")
    assert (found.project, found.schema, found.table, found.label) == ("shop", "crm", "members", "shop.crm.members")
    assert found.endpoint.startswith("https://service.cn-hangzhou") and found.asked[0].wanted == "last:1"


def test_the_frames_are_those_of_the_protocol() -> None:
    """CRC-32C of "123456789" is 0xE3069283 (RFC 3720, B.4, and every table of CRCs)."""
    assert framing(b"123456789").hex() == "00010000" + b"123456789".hex() + "e3069283"


# -- writing ---------------------------------------------------------------------------------------------------------


def crowd(count: int) -> pa.RecordBatch:
    return pa.record_batch({"City": ["x"] * count, "user": [f"{row:011}" for row in range(count)]})


def test_rows_replace_those_of_one_partition(server: Service) -> None:
    columns = [("user", "string"), ("city", "string"), ("n", "bigint")]
    server.tables["crowd"] = Table(columns, {("old",): pa.table({"user": ["a"], "city": ["x"], "n": [1]})}, ["dt"])
    batch = crowd(70_000)
    for _ in range(2):  # the second replaces the first
        assert write_table(at(server, "crowd", "dt=20260101"), iter([batch, batch]), batch.schema) == 140_000
    assert [upload["overwrite"] for upload in server.uploads.values()] == [True, True]
    rows = rows_of(open_source(at(server, "crowd", "dt=20260101")))
    assert len(rows) == 140_000 and rows[1] == ("00000000001", "x", None, "20260101")
    assert len(rows_of(open_source(at(server, "crowd", "dt=old")))) == 1


def test_nothing_is_written_where_something_fails(server: Service) -> None:
    server.tables["crowd"] = Table([("user", "bigint"), ("city", "string")], {("old",): STRINGS}, ["dt"])
    target, batch = at(server, "crowd", "dt=1"), crowd(10)

    def failing() -> Iterator[pa.RecordBatch]:
        yield batch
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(target, failing(), batch.schema)
    texts = pa.record_batch({"user": [MARK]})
    assert refusal(lambda: write_table(target, [texts], texts.schema)).params["column"] == "user"
    odd = pa.record_batch({"phone": [MARK]})
    assert refusal(lambda: write_table(target, [odd], odd.schema)).params["column"] == "phone"
    for asked in ("", "dt=1..2", "dt=last:1", "dt=1,2", "day=1"):
        refusal(lambda asked=asked: write_table(at(server, "crowd", asked), [batch], batch.schema))
    server.spoil = "cut"
    refusal(lambda: write_table(target, [batch], batch.schema))
    assert list(server.tables["crowd"].parts) == [("old",)]
