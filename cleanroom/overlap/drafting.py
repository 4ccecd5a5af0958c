"""The default contract of `overlap`, drafted from what the two sides say of their own columns."""

import datetime as dt
from typing import Any

from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, Reference, columns_of
from cleanroom.rooms import draft
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.disclosure import NOTES
from cleanroom.rooms.terms import Annex, Column, Dataset, Match, Party, ReleaseRules, Slots


def draft_contract(asked: Overlap, protocol: Any, keys: dict[str, Any], imports: dict[str, Any],
                   proposals: dict[str, Any], by: list[Reference], sums: list[Reference],
                   slotted: list[str]) -> tuple[Contract, tuple[Annex, ...]]:  # fmt: skip
    """The default contract of `overlap` and its labels."""
    annexes: list[Annex] = []
    datasets = []
    for side in SIDES:
        columns = []
        for proposed in proposals[side]:
            if proposed["kind"] == "amount":
                columns.append(Column(**proposed))
                continue
            cells = draft.Cells(tuple(proposed["cells"]), tuple(proposed["edges"]))
            term, annex = draft.column(asked.datasets[side], proposed["name"], proposed["kind"], cells, members=True)
            columns.append(term)
            annexes.append(annex)
        datasets.append(
            Dataset(asked.datasets[side], side, imports[side]["identity"], imports[side]["profile"],
                    rows=max(1, imports[side]["rows"]), columns=tuple(columns))
        )  # fmt: skip
    slots = []
    for side in slotted:
        mine = columns_of(side, by, sums)
        crossed = () if protocol == "keyed" else tuple(mine["by"])
        slots.append(Slots(asked.datasets[side], crossed, tuple(mine["sums"]), key_bits=asked.key_bits))
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    output: Any = "size" if protocol == "join-sum" else "members"
    contract = Contract(
        room=asked.room,
        parties=tuple(Party(name, name, **keys[name]) for name in keys),  # type: ignore[arg-type]
        datasets=tuple(datasets),
        match=Match(protocol, asked.datasets["merchant"], asked.datasets["platform"],
                    host=OPERATOR if protocol == "keyed" else asked.receiver, receiver=asked.receiver, output=output),
        release=ReleaseRules(SIDES, asked.k),
        purposes=(asked.purpose,),
        created=now.isoformat(),
        expires=(now + dt.timedelta(days=30)).isoformat(),
        slots=tuple(slots),
        notes=NOTES[protocol],
    )  # fmt: skip
    return contract, tuple(annexes)
