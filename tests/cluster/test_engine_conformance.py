"""Spark's engine passes the suite that DuckDB's passes (tests/enclave/conformance): equal answers, equal errors.

By default every shape of question is asked once, every refusal is tried, and every metric is computed; `slow` are all
worlds in full, what hypothesis draws, and metrics by a question a table.
"""

import functools
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings

from cleanroom.cluster.settings import ClusterSettings
from tests.enclave.conformance import drawn, engines, metrics, refusals, worlds
from tests.enclave.conformance.engines import Opened
from tests.enclave.conformance.judge import World
from tests.enclave.conformance.refusals import Given

CONDENSED, WORLDS, GIVENS = worlds.condensed(), worlds.worlds(), refusals.givens()
SHORT = [given for given in GIVENS if not given.wide]
WIDE = [given for given in GIVENS if given.wide]


@pytest.fixture(scope="module")
def opened(spark_session: Any, spark_settings: ClusterSettings) -> Opened:
    """The engine on the session that all tests of the cluster share."""
    return functools.partial(engines.spark, settings=spark_settings)


def compare(opened: Opened, world: World) -> None:
    """Raises AssertionError where an answer is not the judge's."""
    for case in engines.cases(opened, world):
        assert case.found == case.expected, case.shape


@pytest.mark.parametrize("world", CONDENSED, ids=[world.name for world in CONDENSED])
def test_every_shape_of_question_has_the_judges_answer(opened: Opened, world: World) -> None:
    compare(opened, world)


@pytest.mark.parametrize("given", SHORT, ids=[given.name for given in SHORT])
def test_what_is_refused_is_refused_by_name(opened: Opened, given: Given) -> None:
    for refusal, found in refusals.told(opened, given):
        assert found == refusal.expected, refusal.name


def test_every_metric_has_the_figures_of_pandas(opened: Opened) -> None:
    counted, judged = metrics.counted(opened, 8), metrics.judged()
    assert all((counted.counts[table] == judged.counts[table]).all() for table in judged.counts)
    assert dict(metrics.figures(counted)) == dict(metrics.figures(judged))


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@hypothesis.given(drawn.drawn())
def test_any_population_and_question_has_the_judges_answer(opened: Opened, world: World) -> None:
    compare(opened, world)


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=[world.name for world in WORLDS])
def test_every_question_of_every_world(opened: Opened, world: World) -> None:
    compare(opened, world)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@hypothesis.given(drawn.drawn())
def test_many_populations_and_questions(opened: Opened, world: World) -> None:
    compare(opened, world)


@pytest.mark.slow
@pytest.mark.parametrize("given", WIDE, ids=[given.name for given in WIDE])
def test_every_refusal(opened: Opened, given: Given) -> None:
    for refusal, found in refusals.told(opened, given):
        assert found == refusal.expected, refusal.name


@pytest.mark.slow
def test_every_metric_of_a_question_a_table(opened: Opened) -> None:
    counted, judged = metrics.counted(opened), metrics.judged()
    assert all((counted.counts[table] == judged.counts[table]).all() for table in judged.counts)
    assert dict(metrics.figures(counted)) == dict(metrics.figures(judged))
