"""Q5: everyone of a large group shares the value of a sensitive column, so that its count tells the value of each.

The attacker knows that a victim is in a group (her city and age), has every answer that the room gives, and a
linear-program solver. What the rule promises in general stands in tests/privacy/test_diversity.py.
"""

import numpy as np

from cleanroom.privacy.diversity import withhold_diverse
from cleanroom.privacy.suppression import withhold
from tests.privacy.lp_judge import knowledge, most, table_cells

K = 10
TABLES = 20
SENSITIVE = [False, False, True]


def plain(codes, people, k):
    return withhold(codes, people, k)


def diverse(codes, people, k):
    return withhold_diverse(codes, people, k, SENSITIVE)


def one_column(rule):
    """What a question by one column shows under the rule."""
    return (lambda codes, people, k, d: withhold_diverse(codes, people, k, [SENSITIVE[d]])) if rule is diverse else None


def hospital(draw):
    """Persons by city, age and one of three diagnoses; in a third of the groups all have the same."""
    counts = draw.poisson(40, size=(3, 3, 3)).astype(np.int64) + K
    for group in np.ndindex(3, 3):
        if draw.random() < 1 / 3:
            counts[group] = np.where(np.arange(3) == draw.integers(3), counts[group].sum(), 0)
    return counts


def certain(counts, rule):
    """Groups of which the attacker knows the diagnosis of each person; and how many groups truly share one."""
    codes, people = table_cells(counts, counts > 0)
    shown = np.zeros(counts.shape, bool)
    shown[counts > 0] = rule(codes, people, K)
    judge = one_column(rule)
    known = knowledge(counts, counts > 0, shown, K, *([judge] if judge else []))
    found, true = 0, 0
    for group in np.ndindex(3, 3):
        if (counts[group] > 0).sum() == 1:
            true += 1
            others = np.zeros(counts.shape, bool)
            others[group] = counts[group] == 0
            sure_of_all = shown.all() or most(*known, counts.size, others) < 1
            found += bool(sure_of_all)
    return found, true


def test_no_diagnosis_of_a_whole_group_is_learned():
    draw = np.random.default_rng(5)
    tables = [hospital(draw) for _ in range(TABLES)]
    before = np.sum([certain(each, plain) for each in tables], axis=0)
    after = np.sum([certain(each, diverse) for each in tables], axis=0)
    assert before[0] == before[1] > TABLES  # exact k alone: all of them
    assert (after[0], after[1]) == (0, before[1])


def test_a_room_of_one_diagnosis_shows_nothing_of_it():
    counts = np.array([[[700, 0, 0], [300, 0, 0]], [[400, 0, 0], [200, 0, 0]]])
    codes, people = table_cells(counts, counts > 0)
    assert plain(codes, people, K).all()
    assert not diverse(codes, people, K).any()
