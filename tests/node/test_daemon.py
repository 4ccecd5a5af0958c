"""What a node decides about its jobs, without one running."""

import datetime as dt
import io
from pathlib import Path

import pytest

from cleanroom.errors import Interrupted, Refused, UsageError, Waiting
from cleanroom.node.daemon import Node
from cleanroom.node.log import Log
from cleanroom.node.queue import Job
from tests.node.nearby import homes

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def node(tmp_path: Path):
    found = homes(tmp_path, "merchant", "platform")["merchant"]
    return Node(found, Log(io.StringIO()))


def tried(node: Node, error: Exception, times: int) -> Job:
    job = node._jobs.submit("match", "spring", {}, "merchant")
    for _ in range(times):
        taken = node._jobs.take(NOW + dt.timedelta(days=1), 0)
        assert taken is not None
        node._jobs.fail(job.id, error, NOW)
    return node._jobs.get(job.id)


def test_what_waits_for_a_person_is_asked_for_again_for_as_long_as_it_waits(node):
    job = tried(node, Waiting("A person at {party} has to say yes first.", party="platform"), 40)
    assert not node._ends_the_node(job)
    assert node._again_at(job, Waiting("A person at {party} has to say yes first.", party="platform")) is not None


def test_what_a_fault_ends_is_tried_a_number_of_times_and_what_a_rule_ends_never(node):
    gone = Interrupted("The node of {party} cannot be reached.", party="platform")
    job = tried(node, gone, node.config.times.retries)
    assert node._again_at(job, gone) is None
    assert node._again_at(tried(node, gone, 1), gone) is not None
    assert node._again_at(tried(node, gone, 1), Refused("{party} ended the run.", party="platform")) is None


def test_a_job_that_may_be_what_ends_the_node_is_not_begun_for_ever(node):
    gone = Interrupted("The node ended before the job was done.")
    assert node._ends_the_node(tried(node, gone, node.config.times.retries + 1))


def test_one_node_at_a_time_has_a_home(node):
    with pytest.raises(UsageError, match="runs in this home already"):
        Node(node.home, Log(io.StringIO()))
