"""Jobs: what the node works on and has done, how far each is, and what became of it."""

from typing import Annotated

from fastapi import Form
from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.node import desk
from cleanroom.node.queue import STATES, Job

SCREEN = Screen()
MOST = 100
Text = Annotated[str, Form(max_length=1024)]


@SCREEN.get("/jobs", call="jobs")
def listed(visit: Visited, state: str = "", room: str = "") -> Page:
    """The newest first: one's own, and all for those who may approve."""
    if state and state not in STATES:
        raise UsageError("There is no state {state}.", "There are: {states}.", state=state, states=", ".join(STATES))
    found = [job for job in visit.place.jobs.listed(room or None, state or None, MOST) if _may_see(visit, job)]
    shown = [desk.told(job, visit.place.jobs) for job in found]
    return visit.page("jobs/list.html", jobs=shown, state=state, states=STATES, kind=kind_name, state_name=state_name)


@SCREEN.get("/jobs/{number}", call="jobs")
def shown(visit: Visited, number: str, then: str = "") -> Page | Response:
    """One of them; where it is done and something waits behind it, on to that."""
    job = _job(visit, number)
    if job.state == "done" and then:
        return visit.go(then)
    return visit.page("jobs/job.html", job=desk.told(job, visit.place.jobs), then=then, kind=kind_name,
                      state_name=state_name)  # fmt: skip


@SCREEN.get("/jobs/{number}/progress", call="jobs")
def progressed(visit: Visited, number: str, then: str = "") -> Page | Response:
    """The part of its page that asks again until it has ended."""
    job = _job(visit, number)
    if job.state not in ("queued", "running"):
        return visit.go(then if job.state == "done" and then else f"/jobs/{job.id}")
    return visit.page("jobs/progress.html", job=desk.told(job, visit.place.jobs), then=then)


@SCREEN.post("/jobs/{number}/cancel", call="jobs")
def cancelled(visit: Visited, number: str) -> Response:
    """End it; the peers of its run are told."""
    job = _job(visit, number)
    visit.place.jobs.cancel(job.id)
    return visit.go(f"/jobs/{job.id}", t("The job is being cancelled."))


@SCREEN.post("/jobs/{number}/retry", call="jobs")
def retried(visit: Visited, number: str, then: Text = "") -> Response:
    """Have a failed one done again. The node asks once more whether whoever asked for it may."""
    job = visit.place.jobs.retry(_job(visit, number).id)
    return visit.follow(job.id, then)


def kind_name(kind: str) -> str:
    """What kind of work it is, in the current language."""
    return {
        "query": t("query"), "match": t("match"), "plan": t("plan"), "refresh": t("import"), "export": t("export"),
        "replay": t("audit replay"), "board": t("board"), "crowd": t("crowd"), "activate": t("activation"),
        "insight": t("insight"), "lookalike": t("lookalike"), "run": t("match"), "act": t("for a client"),
        "examine": t("file check"), "forget": t("forgetting"), "campaign": t("campaign"), "spread": t("lookalike"),
        "gain": t("lookalike"),
    }.get(kind, kind)  # fmt: skip


def state_name(state: str) -> str:
    """Likewise how it stands."""
    return {"queued": t("waiting"), "running": t("running"), "done": t("done"), "failed": t("failed"),
            "cancelled": t("cancelled")}.get(state, state)  # fmt: skip


def _job(visit: Visit, number: str) -> Job:
    """Raises UsageError also for a job that the user may not see."""
    job = visit.place.jobs.get(number)
    if not _may_see(visit, job):
        raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=number[:32])
    return job


def _may_see(visit: Visit, job: Job) -> bool:
    own = job.asked_by == visit.caller.name and not job.peer
    return own or bool({"owner", "approver"} & set(visit.caller.roles))
