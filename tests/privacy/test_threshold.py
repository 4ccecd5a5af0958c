"""What leaves: groups of at least k with their sums, sizes as ranges, and which questions may follow which."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.lang import choose
from cleanroom.privacy.history import Asked, DatasetVersion, Question, check_history
from cleanroom.privacy.ranges import Range, size_range
from cleanroom.privacy.threshold import Rules, release_groups

GROUPS = pa.table({"level": ["silver", None, "gold", "none"], "people": [300, 7, 150, 120], "spend": [30, 7, 15, 12]})


def test_small_groups_stay_with_their_sums_and_one_more_group():
    released = release_groups(GROUPS, ["level"], Rules())
    assert released.table.to_pydict() == {"level": ["gold", "silver"], "people": [150, 300], "spend": [15, 30]}
    assert released.withheld


def test_nothing_is_withheld_where_all_groups_are_large():
    released = release_groups(GROUPS.filter(pa.array([True, False, True, True])), ["level"], Rules())
    assert released.table.column("level").to_pylist() == ["gold", "none", "silver"]
    assert not released.withheld


def test_fewer_than_k_people_leave_an_empty_table():
    released = release_groups(GROUPS.slice(1, 1), ["level"], Rules())
    assert released.table.num_rows == 0
    assert released.table.schema == GROUPS.schema
    assert released.withheld
    assert release_groups(GROUPS.slice(0, 0), ["level"], Rules()).withheld


def test_without_columns_the_total_is_one_group():
    assert release_groups(pa.table({"people": [100]}), [], Rules()).table.num_rows == 1
    assert release_groups(pa.table({"people": [99]}), [], Rules()).table.num_rows == 0


def test_dictionaries_chunks_and_plain_columns_give_the_same():
    encoded = GROUPS.set_column(0, "level", GROUPS.column("level").dictionary_encode())
    chunked = pa.concat_tables([encoded.slice(0, 1), encoded.slice(1)])
    plain = release_groups(GROUPS, ["level"], Rules()).table
    assert release_groups(chunked, ["level"], Rules()).table.to_pydict() == plain.to_pydict()


def test_groups_that_stand_twice_or_have_no_count_are_refused():
    for groups in (
        pa.concat_tables([GROUPS, GROUPS]),
        pa.table({"level": ["a"], "people": pa.array([None], pa.int64())}),
    ):
        with pytest.raises(BadData):
            release_groups(groups, ["level"], Rules())


def test_rules_below_the_floor_or_with_unknown_noise_are_refused():
    assert Rules(50).k == 50
    for bad in ({"k": 49}, {"k": 0}, {"noise": "laplace"}):
        with pytest.raises(Refused):
            Rules(**bad)


def test_the_strictest_party_wins():
    assert Rules.strictest([Rules(100), Rules(250), Rules(50)]) == Rules(250)
    with pytest.raises(UsageError):
        Rules.strictest([])


@pytest.mark.parametrize(
    ("people", "k", "expected"),
    [
        (0, 100, Range(0, 99, withheld=True)),
        (99, 100, Range(0, 99, withheld=True)),
        (100, 100, Range(100, 199)),
        (499, 100, Range(200, 499)),
        (500, 100, Range(500, 999)),
        (1_000_000, 100, Range(1_000_000, 1_999_999)),
        (60, 50, Range(50, 99)),
        (120, 150, Range(0, 199, withheld=True)),
        (180, 150, Range(0, 199, withheld=True)),
    ],
)
def test_sizes_are_shown_by_fixed_edges(people, k, expected):
    assert size_range(people, k) == expected


@given(st.integers(0, 10**12), st.integers(50, 10_000))
def test_a_range_holds_its_size_and_is_withheld_whenever_the_size_is_below_k(people, k):
    found = size_range(people, k)
    assert found.low <= people <= found.high
    assert found.withheld or people >= k
    assert found.withheld or found.low >= k


def test_ranges_read_in_both_languages():
    try:
        assert size_range(1200, 100).text() == "1,000–1,999"
        assert size_range(3, 100).text() == "fewer than 100"
        choose("zh")
        assert size_range(3, 100).text() == "少于 100"
    finally:
        choose("en")


def question(by=(), sums=(), manifest="aa", contract="c1", epoch=""):
    return Question(tuple(by), tuple(sums), contract, (DatasetVersion("merchant", "crm", manifest, 10),), epoch)


def test_the_same_question_in_other_words_is_the_same():
    assert question(["a", "b"]).digest() == question(["b", "a"]).digest()
    others = [question(["a"]), question(["a", "b"], ["x"]), question(["a", "b"], manifest="bb")]
    others += [question(["a", "b"], contract="c2"), question(["a", "b"], epoch="1")]
    assert len({q.digest() for q in [*others, question(["a", "b"])]}) == 6


def test_only_one_grouping_by_several_columns_is_answered_over_a_population():
    history = [question(["a"]).asked(), question(["a", "b"]).asked()]
    for allowed in (["c"], ["b", "a"], []):
        check_history(question(allowed).asked(), history)
    check_history(question(["a", "c"], manifest="bb").asked(), history)
    with pytest.raises(Refused, match="already grouped by a, b"):
        check_history(question(["a", "c"]).asked(), history)
    with pytest.raises(Refused):  # a new contract does not make new people
        check_history(question(["a", "b", "c"], contract="c2").asked(), history)


def test_history_of_another_population_does_not_matter():
    check_history(Asked("p1", ("a", "b")), [Asked("p2", ("a", "c"))])
