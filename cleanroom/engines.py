"""Which engine computes the answers of a home's rooms: a process of this machine, or a cluster, as its settings say.

Nothing else differs: contracts, gates, noise, budgets and receipts are outside an engine.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from cleanroom.cluster.settings import ClusterSettings
from cleanroom.enclave import handle
from cleanroom.enclave.query import Engine
from cleanroom.node import config

Step = Callable[[str, int, int], None]


def start(home: Path, *, ciphertexts: int = 0, step: Step | None = None) -> Engine:
    """A fresh engine that will sum about so many ciphertexts; use it in a `with` block. step: told of a cluster's
    progress.

    Raises Interrupted where it does not come up, NoCluster and MissingKey where a cluster is not as it must be.
    """
    settings = config.load(home) if (home / config.FILE).exists() else None
    if settings is not None and settings.engine == "spark":
        from cleanroom.enclave import spark

        return spark.start(of_cluster(settings), step=step)
    memory = settings.limits.enclave_mb << 20 if settings is not None else handle.MEMORY
    return handle.start(memory=memory, ciphertexts=ciphertexts)


def cluster(home: Path) -> ClusterSettings | None:
    """The cluster that a home's node is set to, if it is."""
    settings = config.load(home) if (home / config.FILE).exists() else None
    return of_cluster(settings) if settings is not None and settings.engine == "spark" else None


def paired(home: Path) -> ClusterSettings | None:
    """The cluster by which rooms of two parties match, where the node is set to that."""
    found = cluster(home)
    return found if found is not None and found.pairs else None


def handing_over(home: Path) -> ClusterSettings | None:
    """The cluster whose rows go by a place that owners and operator share, where the node is set to that."""
    found = cluster(home)
    return found if found is not None and found.handover else None


def of_cluster(settings: config.Config) -> ClusterSettings:
    """The cluster that a node's settings name. Raises UsageError where something is missing."""
    return ClusterSettings(**dataclasses.asdict(settings.cluster))
