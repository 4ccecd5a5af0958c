"""How a node's state, jobs, schedules and approvals look to people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from cleanroom.lang import t
from cleanroom.terminal.query import query_shown


def status_shown(console: Console, found: dict[str, Any]) -> None:
    """One line a fact; then the peers."""
    running = t("runs") if found["running"] else t("does not run: cleanroom serve")
    console.print(f"{found['party']} ({t(found['role'])}) {running}", markup=False)
    console.print(f"{t('listens')} {found['listen'] or '-'}  {t('address')} {found['url'] or '-'}", markup=False)
    console.print(t("certificate ends in {days} days", days=found["certificate_days"]))
    jobs = ", ".join(f"{t(state)} {count}" for state, count in sorted(found["jobs"].items())) or "-"
    console.print(f"{t('jobs')} {jobs}", markup=False)
    if found["approvals"]:
        console.print(t("{count} things wait for your yes: cleanroom inbox", count=found["approvals"]))
    for peer in found["peers"]:
        waiting = t("{count} messages wait", count=peer["messages_waiting"]) if peer["messages_waiting"] else ""
        why = found.get("reached", {}).get(peer["name"])
        state = "" if why is None else why or t("answers")
        console.print(" ".join(filter(None, (peer["name"], peer["url"] or "-", state, waiting))), markup=False)


def jobs_shown(console: Console, found: dict[str, Any]) -> None:
    """A line a job."""
    if not found["jobs"]:
        console.print(t("No jobs."))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("number", "kind", "room", "asked by", "state", "since"):
        table.add_column(t(title))
    for job in found["jobs"]:
        table.add_row(job["id"][:8], t(job["kind"]), job["room"], job["asked_by"], _state(job),
                      (job["ended"] or job["started"] or job["created"])[:19])  # fmt: skip
    console.print(table)


def job_shown(console: Console, job: dict[str, Any]) -> None:
    """One job."""
    console.print(f"{job['id'][:8]} {t(job['kind'])} {job['room']} {_state(job)}", markup=False)
    if job["error"]:
        console.print(job["error"], markup=False)
    result = job.get("result")
    if isinstance(result, dict) and "understood" in result:
        query_shown(console, result)


def acted_shown(console: Console, found: dict[str, Any]) -> None:
    """What came of a call: an answer as `query` shows it, jobs in a list, anything else as names and values."""
    result = found["result"]
    if "jobs" in result and isinstance(result["jobs"], list):
        jobs_shown(console, result)
    elif "approvals" in result and isinstance(result["approvals"], list):
        inbox_shown(console, result)
    elif "understood" in result:
        query_shown(console, result)
    else:
        for name, value in result.items():
            console.print(f"{name}: {value}", markup=False)


def _state(job: dict[str, Any]) -> str:
    if job["state"] != "running":
        return t(job["state"])
    far = f" {job['done']:,}" + (f"/{job['total']:,}" if job["total"] else "") if job["done"] else ""
    left = "" if job["left"] is None else t(", about {seconds} s left", seconds=round(job["left"]))
    return f"{t(job['stage'] or 'running')}{far}{left}"


def schedules_shown(console: Console, found: dict[str, Any]) -> None:
    """A line a schedule."""
    if not found["schedules"]:
        console.print(t("No schedules."))
    for each in found["schedules"]:
        schedule_shown(console, each)


def schedule_shown(console: Console, each: dict[str, Any]) -> None:
    """One schedule."""
    console.print(f"{each['id'][:8]} {each['spec']} {t(each['kind'])} {each['room']}  {t('next')} {each['next'][:16]}",
                  markup=False)  # fmt: skip


def inbox_shown(console: Console, found: dict[str, Any]) -> None:
    """Each thing that waits, with who asked, what for, and what a yes would reveal."""
    if not found["approvals"]:
        console.print(t("Nothing waits for your yes."))
    for each in found["approvals"]:
        approval_shown(console, each)


def approval_shown(console: Console, each: dict[str, Any]) -> None:
    """One of them."""
    console.print(f"{each['id'][:8]} {t(each['state'])} {each['room']} {t('by')} {each['asked_by']} "
                  f"{each['created'][:16]}", markup=False)  # fmt: skip
    for text in each["what"]:
        console.print(f"  {text}", markup=False)
    for text in each["reveals"]:
        console.print(f"  {t('reveals')}: {text}", markup=False)
    if each["reason"]:
        console.print(f"  {t('reason')}: {each['reason']}", markup=False)
