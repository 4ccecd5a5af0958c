"""Databases through ADBC: SQLite and PostgreSQL for what they are, Flight SQL against a server of our own."""

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import flightsql_server
import pyarrow as pa
import pytest
from conformance import MARK, Make, Server, SourceConformance, refusal, rows_of

from connectors import adbc
from connectors.errors import InputError
from connectors.open import open_source
from connectors.postgres import PostgresSource
from connectors.source import Source

Cells = Sequence[Sequence[str | None]]
NAMES = ("a", "b", "c", "d")


def titled(header: Sequence[str]) -> str:
    """A SELECT list that gives the columns a, b, … these titles, which may repeat."""
    return ", ".join(f'{name} AS "{title}"' for name, title in zip(NAMES, header, strict=False))


def filled(path: Path, sql: str, rows: Sequence[Sequence[object]] = ()) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(sql)
        if rows:
            connection.executemany(f"INSERT INTO made VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return path


@pytest.fixture(scope="module")
def flight() -> Iterator[flightsql_server.Server]:
    with flightsql_server.serving() as server:
        yield server


class TestSqlite(SourceConformance):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            columns = ", ".join(f"{name} TEXT" for name in NAMES[: len(header)])
            path = filled(tmp_path / "a.db", f"DROP TABLE IF EXISTS made; CREATE TABLE made ({columns})", rows)
            return open_source(f"adbc+sqlite://{path}?query=SELECT {titled(header)} FROM made")

        return make


class TestFlightSql(SourceConformance):
    @pytest.fixture
    def make(self, flight: flightsql_server.Server) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(len(header))]
            flight.tables["made"] = pa.Table.from_arrays(columns, names=list(NAMES[: len(header)]))
            return open_source(f"{at(flight)}&query=SELECT {titled(header)} FROM made")

        return make


class TestAdbcPostgres(SourceConformance):
    many = 100

    @pytest.fixture
    def make(self, postgres: Server) -> Make:
        def make(header: Sequence[str], rows: Cells) -> Source:
            columns = ", ".join(f"{name} text" for name in NAMES[: len(header)])
            values = [", ".join("NULL" if cell is None else "$q$" + cell + "$q$" for cell in row) for row in rows]
            inserted = "".join(f"INSERT INTO adbc VALUES ({row});" for row in values)
            postgres.run(f"DROP TABLE IF EXISTS adbc; CREATE TABLE adbc ({columns}); {inserted}")
            return open_source("adbc+" + postgres.uri(f"query=SELECT {titled(header)} FROM adbc"))

        return make


def at(server: flightsql_server.Server) -> str:
    return f"adbc+flightsql://127.0.0.1:{server.port}?tls=no"


# -- SQLite ----------------------------------------------------------------------------------------------------------


def test_sqlite_types_and_names(tmp_path: Path) -> None:
    sql = 'CREATE TABLE made ("手机号" TEXT, spend REAL, n INTEGER, raw BLOB)'
    path = filled(tmp_path / "crm 100%.db", sql, [("013", 12.5, 7, b"x"), (None, None, None, None)])
    source = open_source(f"adbc+sqlite://{tmp_path}/crm%20100%25.db?table=made")
    assert source.label == "crm 100%.db:made" and path.exists()
    assert source.schema == pa.schema([("手机号", pa.string()), ("spend", pa.float64()), ("n", pa.int64())])
    assert [params["name"] for _, params in source.notes] == ["raw"]
    assert rows_of(source) == [("013", 12.5, 7), (None, None, None)]


def test_sqlite_is_only_read(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.db", "CREATE TABLE made (a TEXT)", [("x",)])
    before = path.read_bytes()
    for query in (
        "DELETE FROM made", "SELECT 1; DELETE FROM made", "WITH gone AS (SELECT 1) DELETE FROM made", "", "SELEC",
        "PRAGMA user_version = 7", "ATTACH 'b.db' AS b", "SELECT '", "VACUUM INTO 'c.db'", "CREATE TABLE b (a)",
    ):  # fmt: skip
        refusal(lambda query=query: rows_of(open_source(f"adbc+sqlite://{path}?query={query}")))
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["a.db"]
    assert rows_of(open_source(f"adbc+sqlite://{path}?query=SELECT a FROM made -- all;")) == [("x",)]


def test_sqlite_refusals_show_no_values(tmp_path: Path) -> None:
    rows = [("1",)] * 70_000 + [(MARK,)]
    path = filled(tmp_path / "a.db", "CREATE TABLE made (a)", rows)
    (tmp_path / "bad.db").write_text(MARK * 100)
    assert len(rows_of(open_source(f"adbc+sqlite://{path}?table=made"))) == 70_001
    mixed = f"adbc+sqlite://{path}?query=SELECT CASE WHEN a = '1' THEN 1 ELSE a END AS a FROM made"
    assert "several kinds" in refusal(lambda: rows_of(open_source(mixed))).template
    for rest in (f"{path}?table=nowhere", f"{path}?query=SELECT nowhere FROM made", f"{tmp_path}/absent.db?table=made",
                 f"{tmp_path}/bad.db?table=made", f"{path}?table=made&query=SELECT 1", f"{path}"):  # fmt: skip
        refusal(lambda rest=rest: rows_of(open_source(f"adbc+sqlite://{rest}")))
    assert not (tmp_path / "absent.db").exists()


def test_a_name_with_a_quote_is_a_name(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.db", 'CREATE TABLE made (a TEXT); CREATE TABLE "o""dd" (b TEXT)', [("x",)])
    refusal(lambda: rows_of(open_source(f'adbc+sqlite://{path}?table=o"dd')))  # empty, but there
    refusal(lambda: rows_of(open_source(f'adbc+sqlite://{path}?table=made" UNION SELECT a FROM "made')))


# -- Flight SQL ------------------------------------------------------------------------------------------------------


def test_flight_sql_types_and_refusals(flight: flightsql_server.Server) -> None:
    flight.tables["kinds"] = pa.table({"n": [1], "d": pa.array([1], pa.decimal128(9, 2)), "tags": [["a"]]})
    source = open_source(f"{at(flight)}&table=kinds")
    assert (
        source.schema == pa.schema([("n", pa.int64()), ("d", pa.decimal128(9, 2))])
        and source.label == "127.0.0.1:kinds"
    )
    assert "no such table" in refusal(lambda: open_source(f"{at(flight)}&table=nowhere")).template
    refusal(lambda: open_source(f"{at(flight)}&query=SELECT nowhere FROM kinds"))
    refusal(lambda: open_source(f"{at(flight).replace('?tls=no', '?tls=yes')}&table=kinds"))  # no TLS there
    flight.queries.clear()
    refusal(lambda: open_source(f"{at(flight)}&query=DELETE FROM kinds"))
    assert flight.queries == []


def test_flight_sql_takes_its_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with flightsql_server.serving(token=True) as server:
        server.tables["made"] = pa.table({"a": ["x"]})
        assert "let this user in" in refusal(lambda: open_source(f"{at(server)}&table=made")).template
        refusal(lambda: open_source(f"{at(server)}&table=made&token={flightsql_server.TOKEN}"))
        monkeypatch.setenv("ADBC_TOKEN", flightsql_server.TOKEN)
        assert rows_of(open_source(f"{at(server)}&table=made")) == [("x",)]


def test_a_server_that_is_not_there() -> None:
    assert "cannot be reached" in refusal(lambda: open_source("adbc+flightsql://127.0.0.1:9?table=t")).template


# -- any -------------------------------------------------------------------------------------------------------------


def test_a_driver_that_is_missing_is_named_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, driver in adbc.DRIVERS.items():
        monkeypatch.setitem(sys.modules, f"{driver.package.replace('-', '_')}.dbapi", None)
        error = refusal(lambda name=name: open_source(f"adbc+{name}://host/x?table=t"))
        assert error.params["package"] == driver.package and "pip install" in error.hint
    assert "postgresql" in str(refusal(lambda: open_source("adbc+mongo://host/x?table=t")))


def test_postgresql_goes_its_own_way(postgres: Server) -> None:
    assert isinstance(open_source("adbc+" + postgres.uri("query=SELECT 1 AS a")), PostgresSource)


@pytest.mark.parametrize("name", adbc.DRIVERS)
def test_no_address_holds_a_secret(name: str) -> None:
    for rest in (f"me:{MARK}@host/x?table=t", f"host/x?table=t&password={MARK}", f"host/x?table=t&Access_Token={MARK}"):
        assert "must not hold" in refusal(lambda rest=rest: open_source(f"adbc+{name}://{rest}")).template


def test_what_a_warehouses_driver_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADBC_PASSWORD", "sesame")
    parts, select, label = adbc._address(
        "adbc+snowflake://me@acme/crm/public?warehouse=xs&table=members", adbc.DRIVERS["snowflake"]
    )
    given = adbc.DRIVERS["snowflake"].arguments(parts)["db_kwargs"]
    assert (select, label) == ('SELECT * FROM "members"', "public:members")
    assert given["adbc.snowflake.sql.account"] == "acme" and given["adbc.snowflake.sql.db"] == "crm"
    assert (given["username"], given["password"]) == ("me", "sesame")
    parts, select, _ = adbc._address("adbc+bigquery://shop/crm?table=a.b`c", adbc.DRIVERS["bigquery"])
    assert select == "SELECT * FROM `a`.`b``c`"
    assert adbc.DRIVERS["bigquery"].arguments(parts)["db_kwargs"]["adbc.bigquery.sql.dataset_id"] == "crm"


@pytest.mark.parametrize("dialect", ["sqlite", "snowflake", "bigquery", ""])
@pytest.mark.parametrize("change", ["INSERT INTO t VALUES (1)", "delete from t", "Drop table t", "UPDATE t SET a = 1"])
def test_a_change_is_refused_wherever_it_stands(change: str, dialect: str) -> None:
    for query in (
        change, f"SELECT 1; {change}", f"SELECT 1;{change};", f"WITH a AS ({change}) SELECT 1", f"(SELECT 1) {change}",
        f"SELECT 1 --\n; {change}", f"(SELECT 1); {change}", f"SELECT ';' AS a; {change}", f"/* SELECT */ {change}",
    ):  # fmt: skip
        with pytest.raises(InputError, match="not one SELECT"):
            adbc._one_select(query, dialect)
    for query in (
        "SELECT ';', 'delete' FROM t -- drop; it",
        "WITH a AS (SELECT 1) SELECT REPLACE(b, 'a', 'b') FROM a;",
    ):
        assert adbc._one_select(query, dialect) == query.rstrip(";")
