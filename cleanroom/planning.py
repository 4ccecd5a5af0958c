"""Plans of a room that stays on this machine: made once a period for a small part of the budget, read for nothing."""

import datetime as dt
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from cleanroom import layout
from cleanroom.answer import planning as run
from cleanroom.enclave.query import PEOPLE
from cleanroom.errors import Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.gate import gate
from cleanroom.gate.ask import Ask
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, usual
from cleanroom.plan import comparing, cube, reading
from cleanroom.plan.charts import portrait_drawn
from cleanroom.plan.cube import Cube
from cleanroom.plan.overview import overview
from cleanroom.plan.store import Plans
from cleanroom.privacy import accounting
from cleanroom.querying import left, opened, understand

Period = Literal["weekly", "monthly"]
RHO = {"weekly": cube.WEEKLY_RHO, "monthly": cube.MONTHLY_RHO}
"""What a plan costs each dataset, in millionths of ρ."""


def make(path: Path, name: str, period: Period = "weekly", progress: Progress | None = None, *,
         dry_run: bool = False, again: bool = False, meeting: Meeting = usual) -> dict[str, Any]:  # fmt: skip
    """Make the room's plan of this period, unless there is one; again: also then. Of the same data it is the same.

    Raises Refused where the room makes none, or the budget does not suffice.
    """
    home, room = opened(path, name)
    contract = room.contract
    if contract.release.noise == "off":
        raise Refused("This room is without noise, and a plan is noised.", "Ask it directly.")
    columns = run.columns_of(contract)
    released = cube.tables(columns)
    sigma = cube.sigma_for(released, RHO[period] // contract.moved**2)
    price = accounting.rho_micro(sigma, len(released), contract.moved)
    own = contract.dataset_of(home.party)
    told = {"room": name, "columns": list(columns), "tables": len(released), "sigma": sigma, "rho_micro": price,
            "left_rho_micro": left(home, contract, own)}  # fmt: skip
    held = Plans(home).latest(name)
    changed = held is not None and held.contract != contract.digest()
    due = again or changed or Plans(home).due(name, period, dt.datetime.now(dt.UTC))
    if dry_run or not due:
        return {**told, "due": due, "made": False, "plan": None}
    names = [each.name for each in contract.parties]
    job = {"room": name, "query": {"by": list(columns), "sums": [], "sigma": sigma, "plan": True}}
    before = Plans(home).list(name)
    with meeting(home, contract, names, progress) as parties:
        parties.call("run", dict.fromkeys(names, job))
    made = Plans(home).list(name) != before  # over unchanged data the plan that there is stands, and costs nothing
    return {**told, "due": due, "made": made, "plan": overview(_latest(path, name))}


def show(path: Path, name: str) -> dict[str, Any]:
    """The newest plan of the room, every column by its values."""
    return overview(_latest(path, name))


def read(path: Path, name: str, sql: str) -> dict[str, Any]:
    """How many people, by SQL, from the newest plan: free, however often. Raises Refused for what it has not."""
    home, room = opened(path, name)
    asked, _ = understand(home, room, sql)
    _check(asked)
    found = reading.answer(_latest(path, name), asked.by, _boxes(asked))
    known = [group for group in found.groups if group.people is not None]
    columns = {each: pa.array([group.labels[at] for group in known], pa.string()) for at, each in enumerate(found.by)}
    widths = {group.labels: group.within for group in known}
    table = pa.table({**columns, PEOPLE: pa.array([group.people for group in known], pa.int64())})
    groups = layout.arranged(asked, table, room)
    counts = [title for title, each in layout.titles(asked.shown).items() if each.what == PEOPLE]
    within = [dict.fromkeys(counts, widths[tuple(group.labels[each] for each in found.by)]) for group in groups]
    return {
        "room": name,
        "made": found.made.isoformat(),
        "said": found.said(),
        "estimated": found.estimated,
        "withheld": found.withheld,
        "least": found.least,
        "rows": layout.rows(asked, groups, room),
        "within": within,
        "receipt": found.receipt,
    }


def portrait(path: Path, name: str, column: str, where: str = "", chart: Path | None = None) -> dict[str, Any]:
    """How the people that the SQL condition `where` means differ from all in the match, by a column: TGI.

    From the newest plan, for nothing. chart: where a picture goes, as SVG. Raises as `read`.
    """
    asked = _meant(path, name, column, where)
    found = comparing.portrait(_latest(path, name), asked.by[0], _boxes(asked))
    if chart is not None:
        write_bytes(chart, portrait_drawn(f"{asked.by[0]}: {where or '*'}", found).svg.encode())
    said = reading.source(found.made, found.within, estimated=found.estimated)
    values = [{**asdict(each), "significant": each.significant} for each in found.indices]
    return {"room": name, "column": found.column, "where": where, "coverage": found.coverage, "values": values,
            "said": said, "estimated": found.estimated, "receipt": found.receipt}  # fmt: skip


def trend(path: Path, name: str, column: str, where: str = "") -> dict[str, Any]:
    """The newest plan beside the one before, by a column. Raises UsageError where there is none before."""
    asked = _meant(path, name, column, where)
    home, _ = opened(path, name)
    plans = Plans(home)
    made = plans.list(name)
    if len(made) < 2:
        raise UsageError("The room {room} has no two plans yet.", "Another is made in the next period.", room=name)
    found = comparing.trend(plans.load(name, made[-2]), plans.load(name, made[-1]), asked.by, _boxes(asked))
    values = [{**asdict(each), "significant": each.significant} for each in found]
    return {"room": name, "column": asked.by[0], "where": where, "values": values,
            "between": [each.isoformat() for each in made[-2:]]}  # fmt: skip


def _meant(path: Path, name: str, column: str, where: str) -> Ask:
    """The column and condition, read by the gate as one question."""
    home, room = opened(path, name)
    sql = f"SELECT {column}, COUNT(*) FROM matched {f'WHERE {where}' if where else ''} GROUP BY 1"  # noqa: S608
    asked, _ = understand(home, room, sql)
    _check(asked)
    if len(asked.by) != 1:
        raise UsageError("A portrait is by one column.")
    return asked


def _boxes(asked: Ask) -> reading.Where:
    return () if asked.where.everybody else asked.where.boxes


def _check(asked: Ask) -> None:
    if asked.table != gate.MATCHED:
        raise UsageError("Your own data needs no plan.", "Ask by cleanroom query.")
    if asked.over:
        raise Refused("A plan is of all datasets of its room.", "Ask FROM matched; or by cleanroom query.")
    if asked.sums or any(each.what == "quantile" for each in asked.shown):
        raise Refused("A plan counts people and nothing else.", "Ask for sums and quantiles by cleanroom query.")


def _latest(path: Path, name: str) -> Cube:
    home, room = opened(path, name)
    found = Plans(home).latest(name)
    if found is None or found.contract != room.contract.digest():
        raise UsageError("The room {room} has no plan yet.", "Make one: cleanroom plan make {room}", room=name)
    return found
