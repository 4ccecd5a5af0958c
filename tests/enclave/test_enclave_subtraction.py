"""Which exact answers could be subtracted from each other: as sets of persons say, and as analysts would try it."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.enclave.duck import DuckEngine
from cleanroom.enclave.errors import LimitReached
from cleanroom.enclave.handle import start
from cleanroom.enclave.query import Query, Where
from cleanroom.errors import Refused, UsageError
from cleanroom.privacy.suppression import withhold

K = 3
TOKENS = [b"\0\0", b"\0\xff", b"ab"]
TIER, CITY = "m.tier", "p.city"
People = frozenset[int]


def engine(rows: Sequence[tuple[int | None, bytes | None]]) -> DuckEngine:
    made = DuckEngine(256 << 20, 2, 60)
    table = pa.table(
        {
            TIER: pa.array([tier for tier, _ in rows], pa.int64()),
            CITY: pa.array([city for _, city in rows], pa.binary(2)),
        }
    )
    made.load_matched(table.schema, table.to_batches(7))
    return made


def populations(rows: Sequence[tuple[Any, Any]], query: Query, k: int) -> set[People]:
    """The groups that `query` shows, as sets of persons."""
    groups: dict[tuple[Any, ...], set[int]] = {}
    for person, (tier, city) in enumerate(rows):
        values = {TIER: tier, CITY: city.hex() if city is not None else None}
        if not query.where or any(all(values[name] in cells for name, cells in box) for box in query.where):
            groups.setdefault(tuple(values[name] for name in query.by), set()).add(person)
    keys = list(groups)
    axes = [[{value: at for at, value in enumerate({key[d] for key in keys})}[key[d]] for key in keys]
            for d in range(len(query.by))]  # fmt: skip
    counts = np.array([len(groups[key]) for key in keys], np.int64)
    shown = withhold([np.array(axis, np.int64) for axis in axes], counts, k)
    return {frozenset(groups[key]) for key, each in zip(keys, shown, strict=True) if each}


def told(outer: People, others: Sequence[set[People]], k: int) -> bool:
    """Whether 1 to k-1 persons are left of `outer` beside the smaller populations of one question, or of all."""
    within = [[each for each in other if each < outer] for other in others]
    left = [outer.difference(*inside) for inside in (*within, [each for inside in within for each in inside])]
    return any(0 < len(each) < k for each in left)


def judged(rows: Sequence[tuple[Any, Any]], query: Query, earlier: Sequence[Query], k: int) -> bool:
    new = populations(rows, query, k)
    old = {each: populations(rows, each, k) for each in earlier}
    every = [new, *old.values()]
    for at, groups in enumerate(every):
        if any(g & e and not g <= e and not e <= g for other in every[:at] for g in groups for e in other):
            return True
    if any(told(group, list(old.values()), k) for group in new):
        return True
    for each, groups in old.items():
        others = [new, *(other for at, other in old.items() if at != each)]
        if any(told(group, others, k) for group in groups if any(inner < group for inner in new)):
            return True
    return False


def tiers(*cells: int) -> Where:
    return (((TIER, cells),),)


def cities(*cells: int) -> Where:
    return (((CITY, tuple(TOKENS[cell].hex() for cell in cells)),),)


CELLS: dict[str, st.SearchStrategy[Any]] = {
    TIER: st.integers(0, 2),
    CITY: st.sampled_from([token.hex() for token in TOKENS]),
}
BOXES = st.lists(st.sampled_from(sorted(CELLS)), unique=True).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(n), st.lists(CELLS[n], max_size=3).map(tuple)) for n in names))
)
QUERIES = st.builds(
    Query,
    by=st.sampled_from([(), (TIER,), (CITY,), (TIER, CITY)]),
    where=st.lists(BOXES, max_size=2).map(tuple),
)
ROWS = st.lists(st.tuples(st.none() | st.integers(0, 2), st.none() | st.sampled_from(TOKENS)), max_size=60)


@settings(max_examples=20, deadline=None)
@given(ROWS, QUERIES, st.lists(QUERIES, max_size=3))
def test_the_bit_is_that_of_sets(rows: list[Any], query: Query, earlier: list[Query]) -> None:
    assert engine(rows).subtractable(query, earlier, K) == judged(rows, query, earlier, K)


def crossing(counts: Iterable[Iterable[int]]) -> list[tuple[int, bytes]]:
    """Persons by tier (rows) and city (columns)."""
    return [(tier, TOKENS[city]) for tier, row in enumerate(counts) for city, n in enumerate(row) for _ in range(n)]


@pytest.mark.parametrize(
    ("counts", "query", "earlier", "expected"),
    [
        # everybody, then all but two persons
        ([[50, 2, 0]], Query(where=cities(0)), [Query()], True),
        ([[50, 2, 0]], Query(), [Query(where=cities(0))], True),
        ([[50, 3, 0]], Query(where=cities(0)), [Query()], False),
        ([[50, 0, 0]], Query(where=cities(0)), [Query()], False),  # the same persons, asked otherwise
        # tier by tier, until the last could be subtracted
        ([[9], [9], [2]], Query(where=tiers(1)), [Query(), Query(where=tiers(0))], True),
        ([[9], [9], [2]], Query(where=tiers(1)), [Query()], False),
        ([[9], [9], [2]], Query(), [Query(where=tiers(0)), Query(where=tiers(1))], True),
        ([[9], [9], [3]], Query(where=tiers(1)), [Query(), Query(where=tiers(0))], False),
        # padding: both tiers, each with the one person in question
        ([[9, 1], [9, 0]], Query(where=tiers(0)), [Query(where=cities(0))], True),
        # one grouping inside a city; groups of it that are too small stay behind with another one
        ([[9, 9], [9, 9], [2, 9]], Query((TIER,), where=cities(0)), [Query((CITY,))], False),
        # by level, by city, then one level in one city: a fourth cell follows by inclusion and exclusion
        (
            [[9, 9], [9, 1]],
            Query(where=(((TIER, (0,)), (CITY, (TOKENS[0].hex(),))),)),
            [Query((TIER,)), Query((CITY,))],
            True,
        ),
        ([[9, 1], [9, 9]], Query((TIER,), where=cities(0, 1)), [Query((CITY,), where=cities(0, 1))], True),
        ([[9, 9], [9, 9]], Query((TIER,)), [Query((CITY,), where=tiers(0, 1))], True),
        # below k nothing is shown, so there is nothing to subtract
        ([[2, 2], [0, 9]], Query(where=tiers(0)), [Query(where=cities(0))], False),
    ],
)
def test_what_an_analyst_would_try(counts: Any, query: Query, earlier: list[Query], expected: bool) -> None:
    assert engine(crossing(counts)).subtractable(query, earlier, K) is expected


def test_a_planted_person_is_found_by_subtraction_and_refused() -> None:
    """Random tables; everybody but one group, by any predicate: whenever the difference is small, the bit is set."""
    for _ in range(5):
        rows = crossing([[secrets.randbelow(6) for _ in range(3)] for _ in range(3)])
        made = engine(rows)
        whole = len(rows)
        for query in (Query(where=where) for where in (tiers(0), tiers(0, 1), cities(1), cities(0, 2))):
            part = made.run(query, {}).table.column("people")[0].as_py()
            if whole >= K and part >= K and 0 < whole - part < K:
                assert made.subtractable(query, [Query()], K)


def test_nothing_leaves_a_process_but_the_bit() -> None:
    rows = crossing([[50, 2, 0]])
    table = pa.table(
        {TIER: pa.array([tier for tier, _ in rows]), CITY: pa.array([city for _, city in rows], pa.binary(2))}
    )
    with start() as enclave:
        enclave.load_matched(table.schema, table.to_batches())
        assert enclave._ask(
            request="subtractable", query=Query(where=cities(0)).to_fields(), earlier=[Query().to_fields()], k=K
        ) == {"subtractable": True}
        assert not enclave.subtractable(Query((CITY,)), [], K)
        with pytest.raises(UsageError):
            enclave.subtractable(Query(), [Query(("m.other",))], K)


def test_many_earlier_questions_fit_and_end_at_the_limit_of_time() -> None:
    rows = crossing([[9, 9, 9], [9, 9, 9], [9, 9, 9]])
    made = engine(rows)
    earlier = [Query(where=(((TIER, (at, -at)),),)) for at in range(60)]
    assert not made.subtractable(Query((TIER,)), earlier, K)
    made._seconds = 0.0
    with pytest.raises(LimitReached):
        made.subtractable(Query((TIER,)), earlier, K)


def test_a_grouping_beyond_what_is_answered_is_refused_by_name() -> None:
    with start() as enclave:
        wide = {f"m.c{at}": pa.array(np.arange(6000) // 3) for at in range(3)}
        enclave.load_matched(pa.table(wide).schema, pa.table(wide).to_batches())
        with pytest.raises(Refused, match="possible cells"):
            enclave.subtractable(Query(tuple(wide)), [], K)
