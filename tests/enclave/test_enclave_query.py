"""Questions: their shape is checked before anything else happens, and the SQL made of them is known word for word."""

import json
from typing import Any

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from cleanroom.enclave import sql
from cleanroom.enclave.query import Query
from cleanroom.errors import UsageError

HOSTILE = (
    'm."; DROP TABLE matched; --',
    "m.' OR 1=1 --",
    'm."."x"',
    "m.会员等级",
    "m.count(*)",
    "m.a/**/b",
    "m.$1",
    "m.?",
    "m.COLUMNS(*)",
    "m.*",
    "m.rowid",
    "m.\\",
    "m.😀{name}",
)


@pytest.mark.parametrize(
    ("query", "groups", "memberships"),
    [
        (
            Query(),
            'SELECT COUNT(*) AS "people" FROM "matched"',
            'SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched"',
        ),
        (
            Query(by=("m.level",)),
            'SELECT "m.level", COUNT(*) AS "people" FROM "matched" GROUP BY "m.level" ORDER BY "m.level"',
            'WITH "groups" AS (SELECT "m.level", ROW_NUMBER() OVER (ORDER BY "m.level") - 1 AS "#group" FROM "matched" '
            'GROUP BY "m.level") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" '
            'ON "matched"."m.level" IS NOT DISTINCT FROM "groups"."m.level"',
        ),
        (
            Query(by=("m.level", 'p."城市"'), sums=("p.#slots",)),
            'SELECT "m.level", "p.""城市""", COUNT(*) AS "people" FROM "matched" GROUP BY "m.level", "p.""城市""" '
            'ORDER BY "m.level", "p.""城市"""',
            'WITH "groups" AS (SELECT "m.level", "p.""城市""", ROW_NUMBER() OVER (ORDER BY "m.level", "p.""城市""") '
            '- 1 AS "#group" FROM "matched" GROUP BY "m.level", "p.""城市""") SELECT "matched"."#p" AS "position", '
            '"groups"."#group" FROM "matched" JOIN "groups" ON "matched"."m.level" IS NOT DISTINCT FROM '
            '"groups"."m.level" AND "matched"."p.""城市""" IS NOT DISTINCT FROM "groups"."p.""城市"""',
        ),
        (
            Query(by=("m.level",), sums=("m.spend",)),
            'SELECT "m.level", COUNT(*) AS "people", COALESCE(SUM("m.spend"), 0) AS "m.spend", COUNT("m.spend") AS '
            '"m.spend#count" FROM "matched" GROUP BY "m.level" ORDER BY "m.level"',
            'WITH "groups" AS (SELECT "m.level", ROW_NUMBER() OVER (ORDER BY "m.level") - 1 AS "#group" FROM "matched" '
            'GROUP BY "m.level") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" '
            'ON "matched"."m.level" IS NOT DISTINCT FROM "groups"."m.level"',
        ),
        (
            Query(where=((("m.level", (0, 2)),),)),
            'SELECT COUNT(*) AS "people" FROM "matched" WHERE "matched"."m.level" IN (0, 2)',
            'SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched" WHERE "matched"."m.level" IN (0, 2)',
        ),
        (
            Query(
                by=("m.level",),
                where=((("m.level", (1, -2)), ('p."城市"', (0, 255))), (("m.level", (3,)),)),
            ),
            'SELECT "m.level", COUNT(*) AS "people" FROM "matched" WHERE ("matched"."m.level" IN (1, -2) AND '
            '"matched"."p.""城市""" IN (0, 255)) OR "matched"."m.level" IN (3) '
            'GROUP BY "m.level" ORDER BY "m.level"',
            'WITH "groups" AS (SELECT "m.level", ROW_NUMBER() OVER (ORDER BY "m.level") - 1 AS "#group" FROM "matched" '
            'WHERE ("matched"."m.level" IN (1, -2) AND "matched"."p.""城市""" IN (0, 255)) '
            'OR "matched"."m.level" IN (3) GROUP BY "m.level") SELECT "matched"."#p" AS "position", "groups"."#group" '
            'FROM "matched" JOIN "groups" ON "matched"."m.level" IS NOT DISTINCT FROM "groups"."m.level" WHERE '
            '("matched"."m.level" IN (1, -2) AND "matched"."p.""城市""" IN (0, 255)) '
            'OR "matched"."m.level" IN (3)',
        ),
        (
            Query(where=((("m.level", ()),),)),
            'SELECT COUNT(*) AS "people" FROM "matched" WHERE FALSE',
            'SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched" WHERE FALSE',
        ),
    ],
    ids=["all", "one", "two-and-slots", "plain-sum", "where", "where-boxes", "where-nobody"],
)
def test_golden_sql(query: Query, groups: str, memberships: str) -> None:
    assert sql.groups(query) == groups
    assert sql.memberships(query, "p") == memberships


def test_golden_sql_of_the_match() -> None:
    assert sql.keep() == 'CREATE TABLE "matched" AS SELECT * FROM "rows"'
    assert sql.pairs() == (
        'SELECT "left"."position" AS "left", "right"."position" AS "right" FROM "left" JOIN "right" '
        'ON "left"."high" = "right"."high" AND "left"."low" = "right"."low"'
    )


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="#"), min_size=1, max_size=40))
def test_any_name_stays_one_identifier(column: str) -> None:
    """A parser of SQL finds one statement of the known shape, in which the name stands whole and nothing else does."""
    query = Query(by=(f"m.{column}",), sums=("m.#slots",))
    for text in (sql.groups(query), sql.memberships(query, "m")):
        (statement,) = sqlglot.parse(text, dialect="duckdb")
        names = {node.this for node in statement.find_all(exp.Identifier)}
        assert f"m.{column}" in names
        known = {"matched", "people", "groups", "#group", "#m", "position"}
        assert names - known == {f"m.{column}"}
        assert not list(statement.find_all(exp.Command, exp.Drop, exp.Star)) or "COUNT(*)" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_parse_back_to_one_select(name: str) -> None:
    (statement,) = sqlglot.parse(sql.groups(Query(by=(name,))), dialect="duckdb")
    assert isinstance(statement, exp.Select)
    assert [column.name for column in statement.args["group"].expressions] == [name]


@pytest.mark.parametrize(
    "name",
    ["level", "", ".level", "m.", "#m.level", "m.#slots.x", "m.#other", "m.a#b", "m.a\nb", "m.a\0b", "m." + "x" * 254],
)
def test_what_is_not_a_column_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Query(by=(name,))
    with pytest.raises(UsageError):
        Query(sums=(name,))


def test_a_column_stands_once_and_ciphertexts_make_no_groups() -> None:
    for make in (
        lambda: Query(by=("m.a", "m.a")),
        lambda: Query(by=("m.a",), sums=("m.a",)),
        lambda: Query(by=("m.#slots",)),
    ):
        with pytest.raises(UsageError):
            make()


@pytest.mark.parametrize(
    "box",
    [
        (("m.#slots", ("00",)),),
        (("level", (1,)),),
        (("m.a", (1,)), ("m.a", (2,))),
        (("m.a", (True,)),),
        (("m.a", (1.0,)),),
        (("m.a", (None,)),),
        (("m.a", (1, "00")),),
        (("m.a", (1 << 63,)),),
        (("m.a", ("",)),),
        (("m.a", ("0",)),),
        (("m.a", ("FF",)),),
        (("m.a", ("00\n",)),),
        (("m.a", ("00') OR TRUE --",)),),
    ],
)
def test_what_is_not_a_condition_is_refused(box: Any) -> None:
    with pytest.raises(UsageError):
        Query(where=((), box))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_names_in_conditions(name: str) -> None:
    (statement,) = sqlglot.parse(sql.groups(Query(where=(((name, (7,)), ("m.b", (1,))),))), dialect="duckdb")
    assert isinstance(statement, exp.Select)
    assert {column.name for column in statement.args["where"].find_all(exp.Column)} == {name, "m.b"}


def test_a_query_survives_the_wire_and_other_versions_do_not() -> None:
    where = ((("m.level", (0, -(1 << 63))), ("p.城市", ("00ff",))), (("m.spend", ()),), ())
    query = Query(by=("m.level", "p.城市"), sums=("p.#slots", "m.spend"), where=where)
    assert Query.from_fields(json.loads(json.dumps(query.to_fields()))) == query
    assert query.conditions == ("m.level", "m.spend", "p.城市")
    assert (query.slots, query.plain_sums) == (("p",), ("m.spend",))
    good = query.to_fields()
    for bad in (
        good | {"format": "cleanroom-query/1"},
        good | {"having": []},
        {"format": good["format"]},
        good | {"by": "m.level"},
        good | {"sums": [1]},
        good | {"where": {}},
        good | {"where": [{}]},
        good | {"where": [["m.level"]]},
        good | {"where": [[["m.level", [1], 2]]]},
        good | {"where": [[["m.level", 1]]]},
        good | {"where": [[[1, [1]]]]},
        good | {"where": [[["m.level", [[]]]]]},
    ):
        with pytest.raises(UsageError):
            Query.from_fields(bad)
