"""One JVM for all tests of the cluster: its start costs more than they do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleanroom.cluster import executor_keys, session
from cleanroom.cluster.settings import ClusterSettings
from tests.s3_server import s3  # noqa: F401 - a fixture


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs Spark's Java is `make cluster`'s, and on one worker."""
    for item in items:
        own = Path(__file__).parent in item.path.parents
        if own and ("spark_session" in getattr(item, "fixturenames", ()) or item.get_closest_marker("cluster")):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> ClusterSettings:
    """This machine as a cluster of two cores, with a key file and a place for parts of its own."""
    folder = tmp_path_factory.mktemp("cluster")
    executor_keys.make(folder / "executor.key")
    return ClusterSettings(
        staging=str(folder / "staging"),
        executor_key=str(folder / "executor.key"),
        buckets=4,
        memory_mb=1024,
    )


@pytest.fixture(scope="session")
def spark_session(spark_settings: ClusterSettings, s3: str) -> Iterator[Any]:  # noqa: F811 - the fixture
    """The session that all share; engines take one of their own from it. Its workers have the store's credentials."""
    found = session.started(spark_settings)
    yield found
    found.stop()
