"""Boards: the numbers of all persons of one dataset, matched or not. One's own are exact and free; another owner's are
a release, priced, debited, noised and receipted by that owner, and read for nothing ever after.
"""

from pathlib import Path
from typing import Any, Literal

from cleanroom.answer.alone import report_date
from cleanroom.answer.board import BoardAsked, check
from cleanroom.answer.closing import budget
from cleanroom.answer.slots import reach
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.insight import coded, tables
from cleanroom.insight.board_store import Boards, Kept
from cleanroom.insight.tables import Tables
from cleanroom.matching import cells
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, usual
from cleanroom.plan import cube
from cleanroom.privacy import accounting
from cleanroom.privacy.threshold import DEFAULT_K
from cleanroom.querying import left, opened
from cleanroom.rooms import draft
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Rooms
from cleanroom.rooms.terms import Annex, Column

__all__ = ["RHO", "Board", "Boards", "Kept", "left_of", "make", "own"]

Board = Literal["full", "daily"]
RHO: dict[str, int] = {"full": cube.WEEKLY_RHO, "daily": 5_000}
"""What a board costs its dataset, in millionths of ρ, where no sigma is named."""
_WANTED = {"full": tables.wanted, "daily": tables.daily}
_MOST_VALUES = 250
"""Of a category that no contract declares."""


def make(path: Path, room: str, *, dataset: str = "", board: Board = "full", sigma: int = 0, dry_run: bool = False,
         progress: Progress | None = None, meeting: Meeting = usual) -> dict[str, Any]:  # fmt: skip
    """A board of another owner's dataset: released, or as it was released before where its data are the same.

    dataset: named where the room allows boards of several; one's own is counted exactly, and costs nothing. sigma: of
    the noise in a count, 0 for what fits the price (RHO). dry_run: only what it would cost. Raises Refused where the
    contract allows no such board, or its owner's budget does not suffice.
    """
    home, held = opened(path, room)
    contract = held.contract
    name = dataset or _dataset(contract, home.party)
    if contract.dataset(name).owner == home.party:
        found = own(home, room)
        return {"room": room, "dataset": name, "board": board, "exact": True, "made": True, "charged": False,
                "rho_micro": 0, "price": None, **_shown(found, restated=False)}  # fmt: skip
    asked, sums = _asked(contract, home.party, name, board)
    check(contract, asked, asked.columns, sums)
    released = len(asked.tables) + len(sums)
    sigma = sigma or cube.sigma_for(((),) * released, RHO[board])
    rho = accounting.rho_micro(sigma, released)
    told = {"room": room, "dataset": name, "board": board, "exact": False, "rho_micro": rho, "sigma": sigma,
            "tables": len(asked.tables), "sums": len(sums), "price": _price(contract, name, rho, sigma)}  # fmt: skip
    if dry_run:
        return {**told, "made": False, "charged": False}
    query = {"by": list(asked.columns), "sums": list(sums), "sigma": sigma}
    job = {"room": room, "query": query, "board": asked.plain()}
    names = asked.parties(contract)
    with meeting(home, contract, names, progress) as parties:
        outcome = parties.call("run", dict.fromkeys(names, job))[home.party]
    kept, found = Boards(home).of_receipt(room, name, outcome["receipt"]["digest"])
    return {**told, "made": True, "charged": outcome["charged"], **_shown(found, restated=kept.restated)}


def own(home: Home, room_or_dataset: str) -> Tables:
    """Exact numbers of one's own dataset: of a room's, by the cells that its contract declares; or of any, by its
    values. Nothing is charged, and nothing leaves. Raises UsageError where there is neither."""
    rooms = Rooms(home.rooms)
    if room_or_dataset in rooms.names():
        held = rooms.load(room_or_dataset)
        dataset = held.contract.dataset_of(home.party)
        annexes = {each.column: each for each in held.annexes or () if each.dataset == dataset.name}
        return _counted(home, dataset.name, dataset.columns, annexes, held.contract.release.k, room_or_dataset)
    terms, annexes = _terms(home, room_or_dataset)
    return _counted(home, room_or_dataset, terms, annexes, DEFAULT_K, "")


def left_of(home: Home, room: str) -> int:
    """What others may still be told of one's own dataset this month, in millionths of ρ."""
    contract = Rooms(home.rooms).load(room).contract
    return left(home, contract, contract.dataset_of(home.party))


# -- another owner's


def _dataset(contract: Contract, party: str) -> str:
    """The one that boards may be made of; else one's own. Raises UsageError where there are several."""
    others = [name for name in contract.release.alone if contract.dataset(name).owner != party]
    if len(others) > 1:
        raise UsageError("The room {room} has boards of several datasets: {datasets}.", "Name one of them.",
                         room=contract.room, datasets=", ".join(others))  # fmt: skip
    if others:
        return others[0]
    if party not in contract.owners:
        raise Refused("Only an owner of data asks about the match.")
    if contract.release.alone:
        return contract.dataset_of(party).name
    other = next(each.name for each in contract.datasets if each.owner != party)
    raise Refused(
        "The contract allows no boards of {dataset}.",
        'They need release.alone = ["{dataset}"] in a contract that all have signed.',
        dataset=other,
    )


def _asked(contract: Contract, party: str, name: str, board: Board) -> tuple[BoardAsked, tuple[str, ...]]:
    """What the board asks for, and the amounts that it sums, by dataset.column."""
    kinds = {column.name: column.kind for column in contract.dataset(name).columns}
    wanted, amounts = _WANTED[board](kinds)
    full = {tuple(sorted(f"{name}.{column}" for column in table)) for table in (*wanted, ())}
    return BoardAsked(party, name, tuple(sorted(full))), tuple(sorted(f"{name}.{each}" for each in amounts))


def _price(contract: Contract, name: str, rho: int, sigma: int) -> dict[str, Any]:
    """Whoever asks cannot see what else the owner's dataset was charged: only its budget of a month."""
    dataset = contract.dataset(name)
    epsilon = accounting.epsilon(rho, accounting.delta(dataset.rows))
    return {"rho_micro": rho, "epsilon": round(epsilon, 4), "people": accounting.half_width(sigma),
            "least": accounting.threshold(contract.release.k, sigma),
            "month_rho_micro": budget(contract, dataset)}  # fmt: skip


def _shown(found: Tables, *, restated: bool) -> dict[str, Any]:
    return {"report_date": found.report_date.isoformat(), "restated": restated, "people": int(found.counts[()]),
            "sigma": found.sigma, "least": found.least, "tables": len(found.counts), "sums": len(found.sums),
            "receipt": found.receipt}  # fmt: skip


# -- one's own


def _terms(home: Home, dataset: str) -> tuple[tuple[Column, ...], dict[str, Annex]]:
    """Columns of a dataset that no contract declares, by the values that there are."""
    vault, terms, annexes = home.vault, [], {}
    meta: Any = vault.manifest(dataset).meta
    typed = set(vault.schema(dataset).names)
    for column in meta["columns"]:
        name, kind = column["name"], column["kind"]
        if cells.TYPED + name not in typed:
            continue
        if kind == "amount":
            low, high = cells.propose_bounds(vault, dataset, name)
            terms.append(Column(name, "amount", low=low, high=high))
            continue
        found = cells.propose_cells(vault, dataset, name, most=_MOST_VALUES, least_people=1)
        term, annexes[name] = draft.column(dataset, name, "bucket" if found.edges else "category", found)
        terms.append(term)
    return tuple(terms), annexes


def _counted(home: Home, dataset: str, terms: tuple[Column, ...], annexes: dict[str, Annex], k: int,
             room: str) -> Tables:  # fmt: skip
    manifest = home.vault.manifest(dataset)
    wanted, amounts = tables.wanted({term.name: term.kind for term in terms})
    every = tuple(sorted({tuple(sorted(table)) for table in (*wanted, ())}))
    needed = sorted({name for table in every for name in table})
    labels = {name: annexes[name].labels for name in needed}
    held = {name: coded.codes(home, manifest, annexes[name]) for name in needed}
    from cleanroom.insight import counting  # numba: only where a board is counted

    counts = counting.count(held, {name: len(labels[name]) for name in needed}, every, manifest.rows)
    by_name = {term.name: term for term in terms}
    return Tables(
        dataset=dataset,
        report_date=report_date(manifest.meta, manifest.created),
        columns=labels,
        counts=dict(zip(every, counts, strict=True)),
        sums={name: coded.total(home, manifest, by_name[name]) for name in amounts},
        sum_reach={name: reach(by_name[name]) for name in amounts},
        sigma=0,
        k=k,
        least=0,
        made=manifest.created,
        receipt="",
        room=room,
    )
