"""Where a cluster is and what it may use: the one setting of all that runs on it."""

from dataclasses import dataclass

from cleanroom.errors import UsageError

MOST_BUCKETS = 1 << 14


@dataclass(frozen=True)
class ClusterSettings:
    """Given by whoever runs a node; nothing here is secret."""

    master: str = "local[2]"
    """Spark's address, as in spark://host:7077, yarn, k8s://https://…; local[N] is this machine."""
    staging: str = ""
    """Where encrypted parts stand while a run lasts: a folder that all executors share, or s3://bucket/prefix."""
    executor_key: str = ""
    """The path, on the driver and on every executor, of the key file by which keys reach executors."""
    buckets: int = 32
    """Into how many parts a dataset is cut: about a million rows each is well."""
    memory_mb: int = 2048
    """Of an executor's JVM, and as much for its Python workers together."""
    pairs: str = ""
    """Where this machine awaits both parties' executors, if rooms of two parties match by both clusters."""
    handover: str = ""
    """Where owners' executors leave rows for those of a neutral room's operator: a place that all of them reach."""
    options: tuple[str, ...] = ()
    """More of Spark's own settings, as key=value."""

    def __post_init__(self) -> None:
        if not 1 <= self.buckets <= MOST_BUCKETS:
            raise UsageError("A cluster's buckets are from 1 to {most}.", most=MOST_BUCKETS)
        if not self.staging:
            raise UsageError(
                "A cluster needs a place for its parts.", "Name a folder or s3://bucket/prefix that executors share."
            )
        if not self.executor_key:
            raise UsageError("A cluster needs the key file of its executors.", "Make one: cleanroom cluster key PATH")
        if any("=" not in option for option in self.options):
            raise UsageError("Spark's settings are given as key=value.")
