"""What a campaign did, from one release: people, payers and spend of each arm, and from these lift, revenue and worth.

The question is by the arm alone. Who pays is asked for as a sum of ones where the contract has such an amount, since a
group of few payers would be withheld; its noise is as that of a count. Two more questions may be asked, each a release
of its own and charged: who was reached, and when touch and payment fell (attribution, which is no lift). Exposed and
unexposed are never set against each other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cleanroom.answer.slots import reach
from cleanroom.campaigns.campaign import Terms
from cleanroom.campaigns.lift import Arm, Interval, Noise, lift
from cleanroom.enclave.query import PEOPLE, split_name
from cleanroom.errors import Refused
from cleanroom.querying import Answered
from cleanroom.rooms.contract import Contract

ARMS = ("treated", "holdout")


@dataclass(frozen=True)
class Question:
    """sql: one SELECT; by, sums: qualified columns as selected, sums by what they mean (payers, spend, square; others
    that the room's slots make us ask for along are left out)."""

    sql: str
    by: tuple[str, ...]
    sums: Mapping[str, str]


def question(contract: Contract, terms: Terms) -> Question:
    """The question for the arms. Raises Refused where the contract lacks the columns."""
    arm = _needed(contract, terms.column("arm"))
    by, sums = [arm], {}
    for meaning, name in (("payers", "payers_after"), ("spend", "spend_after"), ("square", "spend_sq")):
        if (found := _column(contract, terms.column(name))) is not None:
            sums[meaning] = found
    if "payers" not in sums:
        by.append(_needed(contract, terms.column("paid_after")))
    if "square" not in sums:
        sums.pop("spend", None)  # without squares nothing could be said of how sure it is
    return _asked(contract, by, sums)


def reach_question(contract: Contract, terms: Terms) -> Question:
    """Who of the treated was exposed and engaged."""
    arm = _needed(contract, terms.column("arm"))
    by = [_needed(contract, terms.column(name)) for name in ("exposed", "engaged")]
    return _asked(contract, by, {}, f" WHERE {arm} = 'treated'")


def touch_question(contract: Contract, terms: Terms) -> Question:
    """Spend by when a person was last touched and when they first paid, in declared buckets of days."""
    by = [_needed(contract, terms.column(name)) for name in ("touch", "paid_when")]
    return _asked(contract, by, {"spend": _needed(contract, terms.column("spend_after"))})


def _asked(contract: Contract, by: list[str], sums: dict[str, str], where: str = "") -> Question:
    """As SQL; with all columns of the slots that are asked of at all (see answer.allowed)."""
    told = [*sums.values()]
    keyed = contract.match.protocol == "keyed"
    for slots in contract.slots:
        if any(split_name(each)[0] == slots.dataset for each in (*told, *(() if keyed else by))):
            told += [each for name in slots.sums if (each := f"{slots.dataset}.{name}") not in told]
            by += [] if keyed else [each for name in slots.by if (each := f"{slots.dataset}.{name}") not in by]
    shown = [*by, "COUNT(*)", *(f"SUM({each})" for each in told)]
    sql = f"SELECT {', '.join(shown)} FROM matched{where} GROUP BY {', '.join(by)}"  # noqa: S608 - names of a contract
    return Question(sql, tuple(by), sums)


def _column(contract: Contract, name: str) -> str | None:
    """dataset.column; None where no dataset has it."""
    for dataset in contract.datasets:
        if any(column.name == name for column in dataset.columns):
            return f"{dataset.name}.{name}"
    return None


def _needed(contract: Contract, name: str) -> str:
    found = _column(contract, name)
    if found is None:
        raise Refused("The contract has no column {column}, which the campaign is measured by.",
                      "Agree on it: cleanroom room change.", column=name)  # fmt: skip
    return found


# -- from the release to figures


def arms_of(asked: Question, terms: Terms, found: Answered, contract: Contract) -> tuple[Arm, Arm, Noise]:
    """(treated, held out, their noise). Raises Refused where an arm, or its payers, were withheld."""
    arm = next(name for name in asked.by if split_name(name)[1] == terms.column("arm"))
    paid = next((name for name in asked.by if split_name(name)[1] == terms.column("paid_after")), None)
    rows = found.release.to_pylist()
    made, cells = [], []
    for label in ARMS:
        own = [row for row in rows if row[arm] == label]
        cells.append(_cells(own, paid, "payers" in asked.sums, label, found))
        payers = sum(int(row[asked.sums["payers"]]) for row in own) if "payers" in asked.sums else sum(
            row[PEOPLE] for row in own if paid is not None and row[paid] == "yes"
        )  # fmt: skip
        totals = {each: sum(int(row[asked.sums[each]]) for row in own) if each in asked.sums else None
                  for each in ("spend", "square")}  # fmt: skip
        made.append(Arm(sum(row[PEOPLE] for row in own), payers, totals["spend"], totals["square"]))
    return made[0], made[1], _noise(asked, found, contract, max(cells))


def _cells(own: Sequence[Mapping[str, Any]], paid: str | None, summed: bool, label: str, found: Answered) -> int:
    """How many released groups an arm is made of. Raises Refused where it is not whole."""
    least = found.noise["least"] if found.noise else found.k
    if not own:
        raise Refused("The arm {arm} is withheld: it has fewer than {least} people.",
                      "Measure when the crowd is larger, or hold out more.", arm=label, least=least)  # fmt: skip
    if paid is not None and not summed and {row[paid] for row in own} < {"yes", "no"}:
        raise Refused(
            "In the arm {arm} too few people pay, or do not, for both groups to be shown: {least} are needed.",
            "Agree on the amount payers_after, which is summed instead.", arm=label, least=least,
        )  # fmt: skip
    return len(own)


def _noise(asked: Question, found: Answered, contract: Contract, cells: int) -> Noise:
    if not found.noise:
        return Noise()
    each = float(found.noise["sigma"] * math.sqrt(found.noise["draws"]))
    people = each * math.sqrt(cells)

    def of(meaning: str) -> float:
        if meaning not in asked.sums:
            return each if meaning == "payers" else 0.0
        dataset, column = split_name(asked.sums[meaning])
        return people * float(reach(contract.dataset(dataset).column(column)))

    return Noise(people, of("payers"), of("spend"), of("square"))


def figures(treated: Arm, held: Arm, noise: Noise) -> dict[str, Any]:
    """Lift as plain values; every interval as {value, low, high}."""
    found = lift(treated, held, noise)
    pairs = zip(ARMS, found.shares, found.spend_each or (None, None), (treated, held), strict=True)
    return {
        "arms": [
            {"arm": name, "people": arm.people, "payers": arm.payers, "share": plain(share),
             "spend_each": None if each is None else plain(each),
             "within": {"people": round(1.96 * noise.people), "payers": round(1.96 * noise.payers)}}
            for name, share, each, arm in pairs
        ],
        "difference": plain(found.difference), "ratio": plain(found.ratio), "payers": plain(found.payers),
        "revenue": plain(found.revenue), "significant": bool(found.difference.beyond),
    }  # fmt: skip


def plain(interval: Interval | None) -> dict[str, float | None] | None:
    """{value, low, high}; an open side is None."""
    if interval is None:
        return None
    return {name: None if bound is None or math.isinf(bound) else float(bound)
            for name, bound in vars(interval).items()}  # fmt: skip


def interval(value: Mapping[str, Any] | None) -> Interval | None:
    """Of `plain`."""
    return None if value is None else Interval(value["value"], value["low"], value["high"])
