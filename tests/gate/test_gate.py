"""What the gate lets in, and what it refuses, with the place and a way out."""

import logging

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.errors import Refused
from cleanroom.gate.ask import Ask, Shown
from cleanroom.gate.condition import Condition
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.gate import ask
from tests.gate.parts import SCHEMA


def refused(sql: str) -> QueryRefused:
    """The refusal of `sql`."""
    with pytest.raises(QueryRefused) as caught:
        ask(sql, SCHEMA)
    return caught.value


def test_a_question_is_taken_apart() -> None:
    """Columns, people, sums and averages; the layout apart from what is computed."""
    found = ask(
        "SELECT tier, users.city AS 城市, COUNT(*), SUM(spend) total, AVG(spend) FROM matched "
        "WHERE visits < 31 GROUP BY 1, 2 ORDER BY total DESC, tier LIMIT 10",
        SCHEMA,
    )
    assert found == Ask(
        "matched",
        by=("crm.tier", "users.city"),
        sums=("crm.spend",),
        where=Condition(((("users.visits", (0,)),),)),
        shown=(
            Shown("column", "crm.tier", "tier"),
            Shown("column", "users.city", "城市"),
            Shown("people", "", "people"),
            Shown("sum", "crm.spend", "total"),
            Shown("average", "crm.spend", "spend_average"),
        ),
        order=((3, True), (0, False)),
        limit=10,
    )


def test_a_quantile_asks_for_the_histogram_of_its_bucket() -> None:
    """The bucket is grouped by, and not shown; MEDIAN is one way to write it."""
    found = ask("SELECT tier, MEDIAN(visits), APPROX_QUANTILE(visits, 0.90) FROM matched GROUP BY tier", SCHEMA)
    assert (found.by, found.axes, found.columns) == (("crm.tier", "users.visits"), ("users.visits",), found.by)
    assert found.shown[1:] == (
        Shown("quantile", "users.visits", "visits_median", 500),
        Shown("quantile", "users.visits", "visits_p90", 900),
    )
    histogram = ask("SELECT tier, visits, COUNT(*) FROM matched GROUP BY ALL", SCHEMA)
    assert (histogram.by, histogram.sums, histogram.where) == (found.by, found.sums, found.where)
    assert histogram.axes == ()


@pytest.mark.parametrize(("written", "per_mille"), [("0.5", 500), (".5", 500), ("0.500000", 500), ("0.001", 1),
                                                    ("0.999", 999), ("0.955", 955)])  # fmt: skip
def test_a_fraction_has_one_form(written: str, per_mille: int) -> None:
    """In thousandths; ordered by, however it is written there."""
    sql = f"SELECT tier, APPROX_QUANTILE(visits, {written}) AS x FROM matched GROUP BY tier"
    found = ask(sql + f" ORDER BY approx_quantile(users.visits, {written}00) DESC", SCHEMA)
    assert found.shown[1] == Shown("quantile", "users.visits", "x", per_mille)
    assert found.order == ((1, True),)


SAME = [
    "SELECT tier, COUNT(*) FROM matched GROUP BY tier",
    "select TIER, count(*) from MATCHED group by 1;",
    "SELECT m.tier, COUNT(DISTINCT person) FROM matched AS m GROUP BY m.tier",
    "SELECT crm.tier, COUNT(*) FROM crm JOIN users USING (person) GROUP BY ALL",
    'SELECT "tier", COUNT(*) FROM users INNER JOIN crm USING (person) GROUP BY "tier" -- by tier',
]


@pytest.mark.parametrize("sql", SAME)
def test_the_same_question_however_it_is_written(sql: str) -> None:
    """What is computed does not depend on the writing."""
    first, found = ask(SAME[0], SCHEMA), ask(sql, SCHEMA)
    assert (found.table, found.by, found.sums, found.where) == (first.table, first.by, first.sums, first.where)


REFUSED = [  # (code, what stands at the place, SQL)
    ("select", "*", "SELECT * FROM matched"),
    ("column", "matched", "SELECT matched FROM matched"),
    ("select", "", "SELECT COLUMNS('x') FROM matched"),
    ("column", "rowid", "SELECT rowid, COUNT(*) FROM matched GROUP BY 1"),
    ("column", "phone", "SELECT phone FROM matched GROUP BY phone"),
    ("group", "tier", "SELECT tier, COUNT(*) FROM matched"),
    ("group", "tier", "SELECT tier FROM matched"),
    ("released", "city", "SELECT tier, COUNT(*) FROM matched GROUP BY tier, city"),
    ("statement", "", "SELECT COUNT(*) FROM matched; DROP TABLE matched"),
    ("statement", "", "INSERT INTO matched VALUES (1)"),
    ("statement", "", "ATTACH ':memory:' AS x"),
    ("statement", "", "SUMMARIZE matched"),
    ("statement", "", "PIVOT matched ON tier"),
    ("statement", "", "SELECT COUNT(*) FROM matched UNION SELECT 1"),
    ("statement", "", "FROM matched SELECT COUNT(*) UNION ALL SELECT 2"),
    ("syntax", "", "SELECT 'gold"),
    ("statement", "", ""),
    ("clause", "", "SELECT DISTINCT tier FROM matched GROUP BY ALL"),
    ("clause", "COUNT", "SELECT tier FROM matched GROUP BY tier HAVING COUNT(*) > 1"),
    ("clause", "", "SELECT COUNT(*) FROM matched USING SAMPLE 10"),
    ("clause", "", "SELECT COUNT(*) FROM matched LIMIT 5 OFFSET 3"),
    ("clause", "", "WITH x AS (SELECT 1) SELECT COUNT(*) FROM matched"),
    ("clause", "", "SELECT COUNT(*) FROM matched QUALIFY ROW_NUMBER() OVER () = 1"),
    ("table", "", "SELECT COUNT(*) FROM (SELECT 1)"),
    ("table", "read_csv", "SELECT COUNT(*) FROM read_csv('secret.csv')"),
    ("table", "query", "SELECT COUNT(*) FROM query('SELECT 1')"),
    ("table", "duckdb_settings", "SELECT COUNT(*) FROM duckdb_settings()"),
    ("table", "", "SELECT COUNT(*)"),
    ("table", "other", "SELECT COUNT(*) FROM other"),
    ("clause", "main", "SELECT COUNT(*) FROM main.matched"),
    ("join", "", "SELECT COUNT(*) FROM crm CROSS JOIN users"),
    ("clause", "", "SELECT COUNT(*) FROM crm LEFT JOIN users USING (person)"),
    ("clause", "", "SELECT COUNT(*) FROM crm JOIN users ON true"),
    ("join", "", "SELECT COUNT(*) FROM crm JOIN crm USING (person)"),
    ("join", "", "SELECT COUNT(*) FROM crm, users"),
    ("aggregate", "", "SELECT SUM(CASE WHEN tier = 'gold' THEN spend END) FROM matched"),
    ("aggregate", "", "SELECT SUM(spend + 1) FROM matched"),
    ("aggregate", "", "SELECT SUM(DISTINCT spend) FROM matched"),
    ("select", "", "SELECT SUM(spend) FILTER (WHERE tier = 'gold') FROM matched"),
    ("select", "", "SELECT SUM(spend) OVER () FROM matched"),
    ("select", "", "SELECT MAX(spend) FROM matched"),
    ("count", "COUNT", "SELECT COUNT(DISTINCT tier) FROM matched"),
    ("count", "COUNT", "SELECT COUNT(spend) FROM matched"),
    ("amount", "spend", "SELECT spend FROM matched GROUP BY 1"),
    ("amount", "tier", "SELECT SUM(tier) FROM matched"),
    ("amount", "spend", "SELECT COUNT(*) FROM matched WHERE spend > 100"),
    ("edge", "50", "SELECT COUNT(*) FROM matched WHERE visits < 50"),
    ("edge", "31", "SELECT COUNT(*) FROM matched WHERE visits <= 31"),
    ("edge", "30", "SELECT COUNT(*) FROM matched WHERE visits <= 30"),
    ("edge", "60", "SELECT COUNT(*) FROM matched WHERE visits BETWEEN 31 AND 60"),
    ("value", "'739617'", "SELECT COUNT(*) FROM matched WHERE joined < '739617'"),
    ("value", "'2026-W01-4'", "SELECT COUNT(*) FROM matched WHERE joined < '2026-W01-4'"),
    ("clause", "tier", "SELECT tier, COUNT(*) FROM matched GROUP BY DISTINCT tier"),
    ("clause", "", "SELECT tier, COUNT(*) FROM matched GROUP BY tier ORDER BY tier NULLS FIRST"),
    ("released", "tier", "SELECT city AS tier, COUNT(*) FROM matched GROUP BY tier"),
    ("edge", "30.5", "SELECT COUNT(*) FROM matched WHERE visits < 30.5"),
    ("edge", "'2026-01-02'", "SELECT COUNT(*) FROM matched WHERE joined >= '2026-01-02'"),
    ("value", "'golf'", "SELECT COUNT(*) FROM matched WHERE tier = 'golf'"),
    ("value", "5", "SELECT COUNT(*) FROM matched WHERE tier = 5"),
    ("value", "lower", "SELECT COUNT(*) FROM matched WHERE tier = lower('GOLD')"),
    ("value", "error", "SELECT COUNT(*) FROM matched WHERE tier = error('x')"),
    ("value", "city", "SELECT COUNT(*) FROM matched WHERE tier = city"),
    ("value", "'gold'", "SELECT COUNT(*) FROM matched WHERE tier = CAST('gold' AS ENUM('gold'))"),
    ("order", "'a'", "SELECT COUNT(*) FROM matched WHERE tier > 'a'"),
    ("condition", "tier", "SELECT COUNT(*) FROM matched WHERE tier LIKE 'g%'"),
    ("condition", "", "SELECT COUNT(*) FROM matched WHERE EXISTS (SELECT 1)"),
    ("condition", "", "SELECT COUNT(*) FROM matched WHERE true"),
    ("clause", "", "SELECT COUNT(*) FROM matched WHERE tier IN (SELECT 'gold')"),
    ("nobody", "tier", "SELECT COUNT(*) FROM matched WHERE tier = 'gold' AND tier = 'silver'"),
    ("select", "", "SELECT tier, COUNT(*) FROM matched GROUP BY ROLLUP (tier)"),
    ("select", "", "SELECT tier, COUNT(*) FROM matched GROUP BY CUBE (tier)"),
    ("select", "", "SELECT tier, COUNT(*) FROM matched GROUP BY GROUPING SETS ((tier))"),
    ("released", "city", "SELECT tier, COUNT(*) FROM matched GROUP BY tier ORDER BY city"),
    ("select", "", "SELECT tier, COUNT(*) FROM matched GROUP BY tier ORDER BY MAX(spend)"),
    ("place", "3", "SELECT tier, COUNT(*) FROM matched GROUP BY tier ORDER BY 3"),
    ("quantile", "tier", "SELECT MEDIAN(tier) FROM matched"),
    ("quantile", "spend", "SELECT APPROX_QUANTILE(spend, 0.5) FROM matched"),
    ("quantile", "MEDIAN", "SELECT MEDIAN(DISTINCT visits) FROM matched"),
    ("quantile", "MEDIAN", "SELECT MEDIAN(visits ORDER BY visits) FROM matched"),
    ("quantile", "MEDIAN", "SELECT MEDIAN(-visits) FROM matched"),
    ("quantile", "0.0", "SELECT APPROX_QUANTILE(visits, 0.0) FROM matched"),
    ("quantile", "1", "SELECT APPROX_QUANTILE(visits, 1) FROM matched"),
    ("quantile", "0.0005", "SELECT APPROX_QUANTILE(visits, 0.0005) FROM matched"),
    ("quantile", "5e-1", "SELECT APPROX_QUANTILE(visits, 5e-1) FROM matched"),
    ("quantile", "'0.5'", "SELECT APPROX_QUANTILE(visits, '0.5') FROM matched"),
    ("quantile", "1", "SELECT APPROX_QUANTILE(visits, 1 / 2) FROM matched"),
    ("quantile", "0.1", "SELECT APPROX_QUANTILE(visits, [0.1, 0.2]) FROM matched"),
    ("quantile", "visits", "SELECT APPROX_QUANTILE(visits) FROM matched"),
    ("quantile", "MEDIAN(joined)", "SELECT MEDIAN(visits), MEDIAN(joined) FROM matched"),
    ("clause", "0.01", "SELECT APPROX_QUANTILE(visits, 0.5, 0.01) FROM matched"),
    ("select", "", "SELECT MEDIAN(visits) FILTER (WHERE tier = 'gold') FROM matched"),
    ("select", "", "SELECT MEDIAN(visits) OVER () FROM matched"),
    ("select", "", "SELECT PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY visits) FROM matched"),
    ("select", "", "SELECT QUANTILE(visits, 0.5) FROM matched"),
    ("group", "2", "SELECT visits, MEDIAN(visits) AS m FROM matched GROUP BY 2"),
    ("released", "visits", "SELECT tier, MEDIAN(visits) FROM matched GROUP BY tier ORDER BY visits"),
    (
        "released",
        "visits, 0.4",
        "SELECT tier, MEDIAN(visits) FROM matched GROUP BY tier ORDER BY APPROX_QUANTILE(visits, 0.4)",
    ),
    ("column", "MEDIAN", "SELECT COUNT(*) FROM matched WHERE MEDIAN(visits) > 31"),
    ("alias", "tier", "SELECT tier AS :x, COUNT(*) FROM matched GROUP BY ALL"),
    ("parameter", "tier", "SELECT COUNT(*) FROM matched WHERE tier = :x"),
    ("parameter", "tier", "SELECT COUNT(*) FROM matched WHERE tier = ?"),
    ("parameter", "tier", "SELECT COUNT(*) FROM matched WHERE tier = $1"),
    ("limit", "", "SELECT COUNT(*) FROM matched LIMIT (SELECT 1)"),
    ("column", "city", "SELECT city, COUNT(*) FROM crm GROUP BY city"),
]


@pytest.mark.parametrize(("code", "at", "sql"), REFUSED, ids=[each[2][:60] or "nothing" for each in REFUSED])
def test_what_is_refused(code: str, at: str, sql: str) -> None:
    """With a code, exit code 3, and the place."""
    found = refused(sql)
    assert isinstance(found, Refused)
    assert (found.code, found.exit_code) == (code, 3)
    assert sql[found.column - 1 :].startswith(at)


def test_the_hint_names_the_nearest_edges() -> None:
    """As SQL that is let in."""
    found = refused("SELECT COUNT(*) FROM matched\nWHERE visits > 40")
    assert (found.line, found.column) == (2, 16)
    assert found.params["conditions"] == "users.visits >= 31 · users.visits >= 61"
    ask("SELECT COUNT(*) FROM matched WHERE users.visits >= 31", SCHEMA)


def test_every_function_of_the_database_is_refused_but_five() -> None:
    """COUNT, SUM, AVG, MEDIAN and APPROX_QUANTILE are all there is, whatever DuckDB can do."""
    rows = duckdb.sql("SELECT DISTINCT function_name FROM duckdb_functions() ORDER BY 1").to_arrow_table()
    names = [name for name in rows.column(0).to_pylist() if name.replace("_", "a").isalnum()]
    let_in = set()
    for name in names:
        for argument in ("spend", "visits", "visits, 0.5", "*"):
            try:
                ask(f"SELECT {name}({argument}) FROM matched", SCHEMA)
                let_in.add(name)
            except QueryRefused:
                pass
    assert len(names) > 500
    assert let_in == {"sum", "avg", "count", "median", "approx_quantile"}


CANARY = "13912345678canary"
_TEXT = (
    "SELECT FROM matched crm users tier city visits spend COUNT(*) SUM(spend) AVG ( ) , . ; * = < > <= AND OR NOT IN "
    "BETWEEN NULL IS GROUP BY ORDER LIMIT WHERE HAVING JOIN USING person 'gold' 31 -1 CASE WHEN THEN END :: int || -- "
    "/* */ { } [ ] $1 ? @ :x MEDIAN(visits) APPROX_QUANTILE(visits, UNION WITH AS x DATE '2026-01-01' OVER \\ \x00 ' "
    + f"'{CANARY}'"
)
WORDS = _TEXT.split(" ")


@settings(max_examples=75, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_anything_is_a_question_or_a_refusal(sql: str) -> None:
    """No other error, and nothing of a value in it."""
    try:
        ask(sql, SCHEMA)
    except QueryRefused as found:
        assert CANARY not in str(found)


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The parser would repeat what it cannot read."""
    with caplog.at_level(logging.DEBUG):
        refused(f"DROP '{CANARY}'")
    assert CANARY not in caplog.text


def test_a_deep_query_is_refused() -> None:
    """Neither the parser nor the walk runs out of stack."""
    assert refused("SELECT COUNT(*) FROM matched WHERE " + "(" * 3000 + "tier = 'gold'" + ")" * 3000).code in (
        "syntax",
        "large",
    )
    assert refused("SELECT COUNT(*) FROM matched WHERE " + "NOT " * 3000 + "tier = 'gold'").code in ("syntax", "large")
