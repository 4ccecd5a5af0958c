"""Where an answer was computed, in words: what its receipt says of the enclave's isolation, as its host claimed it."""

from collections.abc import Mapping

COMPUTED: Mapping[str, str] = {
    "alone": "on its owner's node alone",
    "cluster": "on a cluster ({engine}) without a sandbox: whoever runs it could look into it",
    "process": "in a process of its own, kept apart by {means}",
}
"""English templates, the keys of their translations."""
_CLUSTER = "cluster"


def computed(isolation: str) -> tuple[str, dict[str, str]]:
    """A template of `COMPUTED`, and what fills it. isolation: in the receipt's words; "" without an enclave."""
    means = isolation.split(", ")
    if not isolation:
        return COMPUTED["alone"], {}
    if _CLUSTER in means:
        return COMPUTED["cluster"], {"engine": ", ".join(each for each in means if each != _CLUSTER) or "Spark"}
    return COMPUTED["process"], {"means": isolation}


def by_cluster(isolation: str) -> bool:
    """Whether it was on a cluster, which a reader of an answer should know without asking."""
    return _CLUSTER in isolation.split(", ")
