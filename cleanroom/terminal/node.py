"""How a node's state, jobs, schedules and approvals look to people."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cleanroom.lang import t
from cleanroom.terminal.query import query_shown
from cleanroom.terminal.show import harmless


def status_shown(console: Console, found: dict[str, Any]) -> None:
    """One line a fact; then the peers."""
    running = t("runs") if found["running"] else t("does not run: cleanroom serve")
    _say(console, f"{found['party']} ({t(found['role'])}) {running}")
    _say(console, f"{t('listens')} {found['listen'] or '-'}  {t('address')} {found['url'] or '-'}")
    _say(console, t("certificate ends in {days} days", days=found["certificate_days"]))
    jobs = ", ".join(f"{t(state)} {count}" for state, count in sorted(found["jobs"].items())) or "-"
    _say(console, f"{t('jobs')} {jobs}")
    if found["approvals"]:
        _say(console, t("{count} things wait for your yes: cleanroom inbox", count=found["approvals"]))
    for peer in found["peers"]:
        waiting = t("{count} messages wait", count=peer["messages_waiting"]) if peer["messages_waiting"] else ""
        why = found.get("reached", {}).get(peer["name"])
        state = "" if why is None else why or t("answers")
        _say(console, " ".join(filter(None, (peer["name"], peer["url"] or "-", state, waiting))))


def jobs_shown(console: Console, found: dict[str, Any]) -> None:
    """A line a job."""
    if not found["jobs"]:
        _say(console, t("No jobs."))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("number", "kind", "room", "asked by", "state", "since"):
        table.add_column(t(title))
    for job in found["jobs"]:
        cells = (job["id"][:8], t(job["kind"]), job["room"], _asker(job), _state(job),
                 (job["ended"] or job["started"] or job["created"])[:19])  # fmt: skip
        table.add_row(*(escape(harmless(cell)) for cell in cells))
    console.print(table)


def job_shown(console: Console, job: dict[str, Any]) -> None:
    """One job."""
    _say(console, f"{job['id'][:8]} {t(job['kind'])} {job['room']} {_state(job)}")
    if job["error"]:
        _say(console, job["error"])
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
            _say(console, f"{name}: {value}")


def _asker(job: dict[str, Any]) -> str:
    """Who asked; of a peer's job whom that peer says."""
    return f"{job['peer']}: {job['asked_by']}" if job["peer"] not in ("", job["asked_by"]) else str(job["asked_by"])


def _state(job: dict[str, Any]) -> str:
    if job["state"] != "running":
        return t(job["state"])
    far = f" {job['done']:,}" + (f"/{job['total']:,}" if job["total"] else "") if job["done"] else ""
    left = "" if job["left"] is None else t(", about {seconds} s left", seconds=round(job["left"]))
    return f"{t(job['stage'] or 'running')}{far}{left}"


def schedules_shown(console: Console, found: dict[str, Any]) -> None:
    """A line a schedule."""
    if not found["schedules"]:
        _say(console, t("No schedules."))
    for each in found["schedules"]:
        schedule_shown(console, each)


def schedule_shown(console: Console, each: dict[str, Any]) -> None:
    """One schedule."""
    comes = f"{t('next')} {each['next'][:16]}"
    _say(console, f"{each['id'][:8]} {each['spec']} {t(each['kind'])} {each['room']}  {comes}")


def inbox_shown(console: Console, found: dict[str, Any]) -> None:
    """Each thing that waits, with who asked, what for, and what a yes would reveal."""
    if not found["approvals"]:
        _say(console, t("Nothing waits for your yes."))
    for each in found["approvals"]:
        approval_shown(console, each)


def approval_shown(console: Console, each: dict[str, Any]) -> None:
    """One of them."""
    _say(console, f"{each['id'][:8]} {t(each['state'])} {each['room']} {t('by')} {each['asked_by']} "
                  f"{each['created'][:16]}")  # fmt: skip
    for text in each["what"]:
        _say(console, f"  {text}")
    for text in each["reveals"]:
        _say(console, f"  {t('reveals')}: {text}")
    if each["reason"]:
        _say(console, f"  {t('reason')}: {each['reason']}")


def _say(console: Console, text: str) -> None:
    """A line as it stands: others' words in it are neither markup nor control signs."""
    console.print(harmless(text), markup=False)
