"""How a node's state, jobs, schedules and approvals look to people."""

import datetime as dt
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cleanroom.lang import t
from cleanroom.terminal import wishes
from cleanroom.terminal.budget import budget_shown
from cleanroom.terminal.plan import made_shown
from cleanroom.terminal.query import query_shown
from cleanroom.terminal.show import harmless


def status_shown(console: Console, found: dict[str, Any]) -> None:
    """One line a fact; then the peers."""
    running = t("is running") if found["running"] else t("does not run: cleanroom serve")
    _say(console, f"{found['party']} ({t(found['role'])}) {running}")
    if "listen" in found:
        _say(console, _where(found))
        _say(console, t("certificate ends in {days} days", days=found["certificate_days"]))
    if found.get("console"):
        _say(console, f"{t('console')} {found['console']}")
    jobs = ", ".join(f"{t(state)} {count}" for state, count in sorted(found["jobs"].items())) or "-"
    _say(console, f"{t('jobs')} {jobs}")
    if found["approvals"]:
        _say(console, t("{count} things wait for your yes: cleanroom inbox", count=found["approvals"]))
    for peer in found.get("peers", ()):
        waiting = t("{count} messages wait", count=peer["messages_waiting"]) if peer["messages_waiting"] else ""
        why = found.get("reached", {}).get(peer["name"])
        state = "" if why is None else why or t("answers")
        place = peer["url"] or t("cannot be dialled")
        _say(console, "  ".join(filter(None, (peer["name"], place, state, waiting))))


def _where(found: dict[str, Any]) -> str:
    """Where peers reach it."""
    if not found["listen"]:
        return t("It cannot be dialled: it dials its peers itself, and needs no open port.")
    return f"{t('listens')} {found['listen']}  {t('address')} {found['url'] or '-'}"


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
    """One job, and what came of it."""
    _say(console, f"{job['id'][:8]} {t(job['kind'])} {job['room']} {_state(job)}")
    if job["error"]:
        _say(console, job["error"])
    if isinstance(job.get("result"), dict) and job["kind"] != "run":
        acted_shown(console, job)


def acted_shown(console: Console, found: dict[str, Any]) -> None:
    """What came of a call: as its own command shows it, where it has one, anything else as names and values."""
    result, call = found["result"], found.get("call") or found.get("kind")
    if call in wishes.CALLS:
        wishes.wish_shown(console, call, result)
    elif isinstance(result.get("jobs"), list):
        jobs_shown(console, result)
    elif isinstance(result.get("approvals"), list):
        inbox_shown(console, result)
    elif "understood" in result:
        query_shown(console, result)
    elif "budgets" in result:
        budget_shown(console, result)
    elif "rho_micro" in result and "tables" in result:
        made_shown(console, result)
    elif "running" in result and "approvals" in result:
        status_shown(console, result)
    else:
        for name, value in result.items():
            _named(console, name, value)


def _named(console: Console, name: str, value: Any) -> None:
    """One thing that came of it: an answer in it as answers look, others as they are."""
    if isinstance(value, dict):
        acted_shown(console, {"result": value})
    elif value is not None:
        _say(console, f"{t(name)}: {value}")


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
    """One schedule; the next time as this machine's clock has it."""
    moment = dt.datetime.fromisoformat(each["next"]).astimezone()
    comes = f"{t('next')} {moment:%Y-%m-%d %H:%M %Z}"
    _say(console, f"{each['id'][:8]} {each['spec']} {t(each['kind'])} {each['room']}  {comes}")


def inbox_shown(console: Console, found: dict[str, Any]) -> None:
    """Each thing that waits, with who asked, what for, and what a yes would reveal."""
    if not found["approvals"]:
        _say(console, t("Nothing waits for your yes."))
    for each in found["approvals"]:
        approval_shown(console, each)


def approval_shown(console: Console, each: dict[str, Any]) -> None:
    """One of them: what is asked, what a yes would reveal, and how to answer."""
    about = " ".join(filter(None, (each["room"], t("by"), each["asked_by"])))
    _say(console, f"{each['id'][:8]} {t(each['state'])} {about} {each['created'][:16]} UTC")
    for text in each["what"]:
        _say(console, f"  {text}")
    if each["reveals"]:
        _say(console, f"  {t('A yes reveals:')}")
    for text in each["reveals"]:
        _say(console, f"    - {text}")
    if each["reason"]:
        _say(console, f"  {t('reason')}: {each['reason']}")
    if each["state"] == "waiting":
        for command in _next(each):
            _say(console, f"  {t('Next: {command}', command=command)}")


def _next(each: dict[str, Any]) -> tuple[str, ...]:
    """How to answer it."""
    room, number = each["room"], each["id"][:8]
    if each["kind"] == "room.card":
        return (f"cleanroom room accept {room}", f"cleanroom room refuse {room} --reason …")
    if each["kind"] == "room.sign":
        return (f"cleanroom room review {room}",)
    return (f"cleanroom approve {number}", f"cleanroom refuse {number} --reason …")


def _say(console: Console, text: str) -> None:
    """A line as it stands: others' words in it are neither markup nor control signs."""
    console.print(harmless(text), markup=False, soft_wrap=True)
