"""Parameters of a template are values of one column, whatever they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.errors import BadData, UsageError
from cleanroom.gate.ask import Ask, Given
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.gate import ask
from cleanroom.gate.templates import FORMAT, Parameter, Template, from_canonical
from tests.gate.parts import CITIES, SCHEMA, TIERS, VISITS

COUNT = "SELECT city, COUNT(*) FROM matched WHERE "
DEFAULTS = {"tier": "gold", "visits": "31", "joined": "2026-01-01"}
COLUMNS = {"tier": "crm.tier", "visits": "users.visits", "joined": "users.joined"}


def asked(where: str, **values: str) -> Ask:
    """With a parameter for each value, of the column of that name."""
    given = {name: Given(COLUMNS[name], value) for name, value in values.items()}
    return ask(COUNT + where + " GROUP BY city", SCHEMA, given)


def refused(where: str, **values: str) -> QueryRefused:
    with pytest.raises(QueryRefused) as caught:
        asked(where, **values)
    return caught.value


@pytest.mark.parametrize(
    ("where", "values", "same"),
    [
        ("tier = :tier", {"tier": "it's"}, "tier = 'it''s'"),
        ("tier IN ('gold', $tier)", {"tier": "silver"}, "tier = 'gold' OR tier = 'silver'"),
        ("NOT :tier <> tier", {"tier": "gold"}, "tier = 'gold'"),
        ("visits < :visits", {"visits": "61"}, "visits < 61"),
        ("visits = :visits", {"visits": "< 31"}, "visits < 31"),
        ("joined <= :joined", {"joined": "2026-06-30"}, "joined < DATE '2026-07-01'"),
        ("joined BETWEEN :joined AND '2026-06-30'", {"joined": "2026-01-01"},
         "joined >= '2026-01-01' AND joined < '2026-07-01'"),
    ],
)  # fmt: skip
def test_a_value_means_what_it_would_in_the_text(where: str, values: dict[str, str], same: str) -> None:
    """One question, however it came about."""
    assert asked(where, **values) == asked(same)


@pytest.mark.parametrize(
    ("code", "where", "values"),
    [
        ("edge", "visits < :visits", {"visits": "50"}),
        ("order", "visits < :visits", {"visits": "inf"}),
        ("edge", "joined < :joined", {"joined": "2026-01-02"}),
        ("value", "visits = :visits", {"visits": "nan"}),
        ("value", "tier = :tier", {"tier": "golf"}),
        ("value", "tier = :tier", {"tier": ""}),
        ("value", "tier = -:tier", {"tier": "gold"}),
        ("value", "joined < CAST(:joined AS DATE)", {"joined": "2026-01-01"}),
        ("value", "joined < :joined", {"joined": "739617"}),
        ("parameter", "city = :tier", {"tier": "gold"}),
        ("parameter", "tier = :other", {"tier": "gold"}),
        ("parameter", "tier = 'gold'", {"tier": "gold"}),
        ("column", ":tier = :tier", {"tier": "gold"}),
        ("condition", ":tier", {"tier": "gold"}),
        ("clause", "tier IN :tier", {"tier": "gold"}),
    ],
)
def test_what_a_parameter_may_not_be(code: str, where: str, values: dict[str, str]) -> None:
    """Neither another column's value, nor between two edges, nor anything but a value."""
    assert refused(where, **values).code == code


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT :tier, COUNT(*) FROM matched GROUP BY 1",
        "SELECT SUM(:tier) FROM matched",
        "SELECT MEDIAN(:tier) FROM matched",
        "SELECT APPROX_QUANTILE(visits, :tier) FROM matched",
        "SELECT COUNT(*) FROM :tier",
        "SELECT COUNT(*) AS :tier FROM matched",
        "SELECT tier, COUNT(*) FROM matched GROUP BY :tier",
        "SELECT tier, COUNT(*) FROM matched GROUP BY tier ORDER BY :tier",
        "SELECT tier, COUNT(*) FROM matched GROUP BY tier LIMIT :tier",
    ],
)
def test_a_parameter_stands_in_where_alone(sql: str) -> None:
    """It can never be a name, a fraction or a number of rows."""
    for value in ("gold", "tier", "crm.tier", "0.5", "matched"):
        with pytest.raises(QueryRefused):
            ask(sql, SCHEMA, {"tier": Given("crm.tier", value)})


ALL = "tier = :tier AND visits >= :visits AND joined >= :joined"
HOSTILE = ["' OR 1 = 1 --", "gold'; DROP TABLE matched; --", ":tier", "1) OR (1 = 1", "NULL", "\x00", "gold\n", "GOLD"]


@given(
    st.sampled_from([*HOSTILE, *TIERS]) | st.text(max_size=20),
    st.sampled_from([*HOSTILE, *VISITS, "31", "61"]) | st.text(max_size=20),
    st.sampled_from([*HOSTILE, "2026-01-01", "2026-07-01"]) | st.text(max_size=20),
)
def test_no_value_changes_the_question_but_by_its_cells(tier: str, visits: str, joined: str) -> None:
    """Whatever it holds: the same columns, or a refusal that does not repeat it."""
    try:
        found = asked(ALL, tier=tier, visits=visits, joined=joined)
    except QueryRefused as error:
        assert error.code in ("value", "edge", "order", "nobody")
        return
    assert (found.table, found.by, found.sums) == ("matched", ("users.city",), ())
    box = dict(found.where.boxes[0])
    assert len(found.where.boxes) == 1
    assert set(box) == {*COLUMNS.values()}
    assert box["crm.tier"] == (TIERS.index(tier),)


TEMPLATE = Template(
    "cities", 3, "ab" * 32, "SELECT tier, COUNT(*) FROM matched WHERE city = :city GROUP BY tier",
    (Parameter("city", "users.city", CITIES[0]),),
)  # fmt: skip


def test_a_template_asks_with_its_defaults_or_values() -> None:
    """Values are those of its parameters alone."""
    assert TEMPLATE.ask(SCHEMA, {}).where.boxes == (((("users.city", (0,))),),)
    assert TEMPLATE.ask(SCHEMA, {"city": CITIES[1]}).where.boxes == (((("users.city", (1,))),),)
    with pytest.raises(UsageError, match="It has: city"):
        TEMPLATE.ask(SCHEMA, {"town": CITIES[1]})


def test_its_form_is_its_digest() -> None:
    """The same after a journey; another with any change, of a default too."""
    plain = TEMPLATE.canonical()
    assert from_canonical(plain) == TEMPLATE
    changes = [
        {"name": "towns"}, {"version": 4}, {"contract": "cd" * 32}, {"sql": TEMPLATE.sql + " "},
        {"parameters": [{"name": "city", "column": "users.city", "default": CITIES[1]}]}, {"parameters": []},
    ]  # fmt: skip
    others = {from_canonical({**plain, **change}).digest() for change in changes}
    assert len({*others, TEMPLATE.digest()}) == len(changes) + 1


@pytest.mark.parametrize(
    "change",
    [
        {"format": "cleanroom-template/2"}, {"format": None}, {"version": 0}, {"version": True}, {"version": "1"},
        {"name": "../x"}, {"name": ""}, {"name": "a/b"}, {"name": 1}, {"contract": "ab"}, {"sql": ""}, {"sql": 3},
        {"extra": 1}, {"parameters": None}, {"parameters": ["city"]}, {"parameters": [{"name": "city"}]},
        {"parameters": [{"name": "a b", "column": "users.city", "default": ""}]},
        {"parameters": [{"name": "city", "column": "users", "default": ""}]},
        {"parameters": [{"name": "city", "column": "users.city", "default": 1}]},
        {"parameters": [{"name": "b", "column": "u.c", "default": ""}, {"name": "a", "column": "u.c", "default": ""}]},
        {"parameters": [{"name": "a", "column": "u.c", "default": ""}] * 2},
    ],
)  # fmt: skip
def test_a_template_of_another_form_is_refused(change: dict[str, object]) -> None:
    """By name of what is wrong, and of unknown versions first."""
    assert TEMPLATE.format == FORMAT
    with pytest.raises(BadData):
        from_canonical({**TEMPLATE.canonical(), **change})
