"""Q3, Q10, Q12, Q13, Q14: what SQL itself could do, asked of a party's own room where it would be answered.

All of it goes the whole way: `querying.answer` on a home with data, as an analyst would. What is refused has a code and
is refused before any data is read; no refusal, answer or log holds a canary that stands in the data and in the text.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cleanroom import querying
from cleanroom.errors import CleanroomError
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.gate import ask
from cleanroom.overlap.asked import Overlap
from tests.gate.parts import SCHEMA
from tests.room.world import csv, prepare

pytestmark = pytest.mark.usefixtures("near_engines")

CANARY = "canary13912345678"
"""A value of the data: a category that too few people have to be declared."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The merchant's home: 400 people, two levels, one person with the canary."""
    folder = tmp_path_factory.mktemp("language")
    people = [f"138{n:08d}" for n in range(400)]
    levels = [CANARY, *(("gold", "silver")[n % 2] for n in range(399))]
    left = csv(folder / "crm.csv", {"phone": people, "level": levels, "spend": [f"{n}.00" for n in range(400)]})
    right = csv(folder / "users.csv", {"mobile": people, "city_tier": ["T1"] * 400})
    asked = Overlap(left, right, by=("merchant.level",), sums=("merchant.spend",), receiver="merchant", k=50)
    homes, _, _ = prepare(folder, asked, "dh")
    return homes["merchant"].path


@pytest.fixture
def tapped(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing that is written anywhere holds the canary."""
    with caplog.at_level(logging.DEBUG):
        yield
    out = capfd.readouterr()
    assert CANARY not in caplog.text + out.out + out.err


def answered(home: Path, sql: str) -> dict[str, Any]:
    found = querying.answer(home, "overlap", sql)
    assert CANARY not in json.dumps(found, default=str, ensure_ascii=False)
    return found


def refused(home: Path, sql: str) -> str:
    """The code of the refusal, in whose texts and chain no canary stands."""
    with pytest.raises(QueryRefused) as caught:
        querying.answer(home, "overlap", sql)
    error: BaseException | None = caught.value
    assert caught.value.exit_code == 3
    while error is not None:
        assert CANARY not in f"{error} {error.args}"
        error = error.__cause__ or error.__context__
    return caught.value.code


ONE = f"level = '{CANARY}'"

Q3 = [
    f"SELECT SUM(CASE WHEN {ONE} THEN spend END) FROM crm",
    f"SELECT SUM(spend) FILTER (WHERE {ONE}) FROM crm",
    f"SELECT SUM(IF({ONE}, spend, 0)) FROM crm",
    f"SELECT SUM(spend * ({ONE})::INT) FROM crm",
    f"SELECT level, COUNT(*) FROM crm GROUP BY level HAVING BOOL_OR({ONE})",
    f"SELECT level, COUNT(*) FROM crm GROUP BY level ORDER BY MAX(CASE WHEN {ONE} THEN 1 END)",
    f"SELECT level, COUNT(*) FROM crm GROUP BY level QUALIFY MAX({ONE}) OVER ()",
    f"SELECT COUNT(*) FROM crm WHERE {ONE}",
    "SELECT COUNT(*) FROM crm WHERE phone = '13800000000'",
    "SELECT COUNT(*) FROM crm WHERE person = 1",
    "SELECT COUNT(*) FROM crm WHERE token = '\\x00'",
    "SELECT COUNT(*) FROM crm WHERE spend = 399",
    "SELECT COUNT(*) FROM crm WHERE rowid = 0",
    f"SELECT level, SUM(spend) FROM crm GROUP BY level, {ONE}",
    f"SELECT COUNT(DISTINCT CASE WHEN {ONE} THEN person END) FROM crm",
    "SELECT SUM(spend) OVER (ORDER BY spend ROWS 1 PRECEDING) FROM crm",
    "SELECT COUNT(*) FROM crm LIMIT (SELECT COUNT(*) FROM crm WHERE spend = 399)",
    "SELECT COUNT(*) FROM crm WHERE level IN (SELECT level FROM crm WHERE spend = 399)",
    "SELECT COUNT(*) FROM crm TABLESAMPLE 1 ROWS",
    "SELECT COUNT(*) FROM crm WHERE hash(level) % 400 = 7",
]
Q10 = [
    f"SELECT CAST(level AS INT), COUNT(*) FROM crm WHERE level <> '{CANARY}' GROUP BY 1",
    f"SELECT COUNT(*) FROM crm WHERE CAST('{CANARY}' AS INT) = 1",
    f"SELECT COUNT(*) FROM crm WHERE level = error('{CANARY}')",
    "SELECT error(level) FROM crm",
    f"SELECT SUM(CASE WHEN {ONE} THEN error('x') ELSE spend END) FROM crm",
    "SELECT strptime(level, '%Y') FROM crm",
    f"SELECT COUNT(*) FROM crm WHERE level < '{CANARY}'",
    "SELECT SUM(spend * 9223372036854775807) FROM crm",
    "SELECT SUM(1 / (spend - 399)) FROM crm",
    f"SELECT COUNT(*) FROM crm WHERE level = '{CANARY}",
    f"SELECT COUNT(*) FROM crm WHERE level = DATE '{CANARY}'",
    f"SELECT COUNT(*) FROM crm WHERE level = $${CANARY}$$",
    f"SELECT COUNT(*) FROM crm WHERE level = E'{CANARY}\\'",
    f"SELECT COUNT(*) FROM '{CANARY}.csv'",
    f"DROP '{CANARY}'",
    f"SELECT COUNT(*) FROM crm LIMIT '{CANARY}'",
    f"SELECT COUNT(*) FROM crm WHERE level LIKE '{CANARY[0]}%'",
    f"SELECT COUNT(*) FROM crm WHERE regexp_matches(level, '{CANARY}')",
]
Q12 = [
    f"SELECT {call} FROM crm"
    for call in (
        "MIN(level)", "MAX(spend)", "MODE(level)", "ANY_VALUE(level)", "FIRST(level)", "LAST(level)", "LIST(level)",
        "ARRAY_AGG(spend)", "HISTOGRAM(level)", "ARG_MAX(level, spend)", "ARG_MIN(level, spend)",
        "STRING_AGG(level, ',')",
        "MAX_BY(level, spend)", "QUANTILE_CONT(spend, 0.5)", "MEDIAN(spend)", "STDDEV(spend)", "ENTROPY(level)",
        "APPROX_COUNT_DISTINCT(level)", "COUNT(DISTINCT level)", "COUNT(level)", "BIT_XOR(spend)", "PRODUCT(spend)",
        "SUM(DISTINCT spend)", "AVG(DISTINCT spend)", "SUM(spend ORDER BY spend)", "KURTOSIS(spend)", "FSUM(spend)",
        "RESERVOIR_QUANTILE(spend, 0.5)", "BITSTRING_AGG(spend)", "MAP_AGG(level, spend)", "COUNT_IF(spend = 399)",
        "APPROX_TOP_K(level, 5)", "SUM_NO_OVERFLOW(spend)", "FAVG(spend)", "CHECKSUM(level)", "SUM(spend::INT)",
    )
]  # fmt: skip
Q13 = [
    "SELECT COUNT(*) FROM query('SELECT * FROM crm')",
    "SELECT COUNT(*) FROM query_table('crm')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT json_serialize_sql('SELECT 1') FROM crm",
    "SUMMARIZE crm",
    "DESCRIBE crm",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "PIVOT crm ON level USING COUNT(*)",
    "UNPIVOT crm ON level INTO NAME n VALUE v",
    "FROM crm",
    "TABLE crm",
    "VALUES (1)",
    "CALL duckdb_settings()",
    "EXPLAIN ANALYZE SELECT COUNT(*) FROM crm",
    "EXECUTE x",
    "PREPARE x AS SELECT 1",
    "SELECT COUNT(*) FROM crm; SELECT 1",
    "SELECT COUNT(*) FROM crm UNION SELECT 1",
    "WITH crm AS (SELECT 1) SELECT COUNT(*) FROM crm",
    "SELECT COUNT(*) FROM (SUMMARIZE crm)",
    "SELECT COUNT(*) FROM (DESCRIBE crm)",
    "SELECT COUNT(*) FROM (SHOW TABLES)",
    "SELECT COUNT(*) FROM crm, LATERAL (SELECT level)",
    "SELECT COUNT(*) FROM glob('/etc/*')",
    "SELECT COUNT(*) FROM read_text('/etc/passwd')",
    "SELECT COUNT(*) FROM '/etc/passwd'",
    "SELECT COUNT(*) FROM duckdb_tables()",
    "SELECT COUNT(*) FROM information_schema.tables",
    "SELECT getenv('HOME') FROM crm",
    "SELECT current_setting('threads') FROM crm",
    "SELECT COUNT(*) FROM crm WHERE (SELECT COUNT(*) FROM crm) > 5",
    "SELECT COUNT(*) FROM crm WHERE getvariable('x') = level",
]
Q14 = [
    "SELECT * FROM crm",
    "SELECT crm FROM crm",
    "SELECT crm.* FROM crm",
    "SELECT c FROM crm c",
    "SELECT COLUMNS(*) FROM crm",
    "SELECT COLUMNS('le.*') FROM crm",
    "SELECT *COLUMNS(*) FROM crm",
    "SELECT COUNT(COLUMNS(*)) FROM crm",
    "SELECT SUM(COLUMNS('spend')) FROM crm",
    "SELECT * EXCLUDE (level) FROM crm",
    "SELECT * REPLACE (1 AS level) FROM crm",
    "SELECT rowid, COUNT(*) FROM crm GROUP BY 1",
    "SELECT crm.rowid FROM crm GROUP BY ALL",
    "SELECT spend AS s, s + 1 FROM crm",
    "SELECT level AS l, COUNT(*) FROM crm WHERE l = 'gold' GROUP BY 1",
    "SELECT struct_pack(level) FROM crm",
    "SELECT ROW(level, spend) FROM crm",
    "SELECT {'a': level} FROM crm",
    "SELECT COUNT(*), * FROM crm GROUP BY ALL",
    "SELECT DISTINCT level FROM crm",
    "SELECT level FROM crm",
    "SELECT phone, COUNT(*) FROM crm GROUP BY phone",
    "SELECT level, COUNT(*) AS spend, SUM(spend) AS level FROM crm GROUP BY 1 ORDER BY spend + 1",
    "SELECT COUNT(*) FROM crm AS c (a, b)",
]


@pytest.mark.usefixtures("tapped")
@pytest.mark.parametrize("row", ["q3", "q10", "q12", "q13", "q14"])
def test_the_corpus_is_refused(home: Path, row: str) -> None:
    """Each of them, of one's own dataset as of the match, and written in capitals or not."""
    for sql in {"q3": Q3, "q10": Q10, "q12": Q12, "q13": Q13, "q14": Q14}[row]:
        for text in (sql, sql.replace("crm", "matched"), f"/* {CANARY} */ {sql} -- {CANARY}"):
            assert refused(home, text), text


@pytest.mark.usefixtures("tapped")
def test_q10_what_is_answered_never_fails_and_never_names_a_value(home: Path) -> None:
    """The rare value is nobody's: it is counted among the others, under any condition that can be asked."""
    rows = answered(home, "SELECT level, COUNT(*) AS n, SUM(spend) AS s, AVG(spend) AS a FROM crm GROUP BY ALL")["rows"]
    assert sum(row["n"] for row in rows) == 400
    assert {row["level"] for row in rows} == {"gold", "silver", "other"}
    for where in ("level = 'other'", "NOT level IN ('gold', 'silver')", "level IS NOT NULL"):
        answered(home, f"SELECT COUNT(*), AVG(spend) FROM crm WHERE {where}")
    with pytest.raises(CleanroomError):  # nobody has no value, and an empty group is no error of the engine's
        answered(home, "SELECT COUNT(*) FROM users")


def test_q10_a_refusal_costs_nothing(home: Path) -> None:
    """The ledger is as it was."""
    before = (home / "ledger.sqlite").read_bytes()
    for sql in Q10:
        refused(home, sql)
    assert (home / "ledger.sqlite").read_bytes() == before


def test_q13_what_the_database_would_run_the_gate_does_not() -> None:
    """Statements that pass for a SELECT in the database itself."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE crm AS SELECT 'gold' AS level, 1 AS spend, 1 AS person")
    ran = 0
    for sql in (*Q13, *Q14, *Q12):
        try:
            connection.execute(sql)
            ran += 1
        except duckdb.Error:
            pass
        with pytest.raises(QueryRefused):
            ask(sql.replace("level", "tier"), SCHEMA)
    assert ran > 50
