"""Questions that a user asked before: their texts from the node's jobs, as long as it keeps them."""

from typing import Any

from cleanroom.console.visit import Visit
from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.node.queue import Job

MOST = 20


def asked_before(visit: Visit, room: str) -> list[dict[str, Any]]:
    """One's own in a room, the newest first; the same text once."""
    found: dict[str, dict[str, Any]] = {}
    for job in visit.place.jobs.listed(room, None, 200):
        if job.kind == "query" and job.asked_by == visit.caller.name and not job.peer:
            text = str(job.arguments.get("template") or job.arguments.get("sql") or "")
            found.setdefault(text, {"id": job.id, "text": text, "created": job.created, "state": job.state,
                                    "charged": charged(job), "template": "template" in job.arguments})  # fmt: skip
    return list(found.values())[:MOST]


def charged(job: Job) -> str:
    """Whether it was paid for, in words; "" as long as it has not ended well."""
    if job.state != "done" or not isinstance(job.result, dict):
        return ""
    price = job.result.get("price")
    if job.result.get("exact"):
        return t("free: your own data") if not job.result.get("receipt") else t("free: no noise in this room")
    return t("free: asked before") if price is None else t("ε {epsilon}", epsilon=f"{price['epsilon']:g}")


def own_job(visit: Visit, room: str, number: str) -> Job:
    """A question's job that the user may see. Raises UsageError for any other."""
    job = visit.place.jobs.get(number)
    own = job.asked_by == visit.caller.name and not job.peer
    sees = own or bool({"owner", "approver"} & set(visit.caller.roles))
    if not sees or job.kind not in ("query", "match") or job.room != room:
        raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=number[:32])
    return job
