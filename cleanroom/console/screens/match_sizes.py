"""Sizes of matches that this home was told, from its ledger: whoever of the room asked, and by whatever way.

A release never changes, so what was read once is kept. Noised numbers come with their interval; without noise a size is
a range, and a withheld one says so.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from cleanroom.answer import closing
from cleanroom.answer.slots import draws
from cleanroom.enclave.query import PEOPLE
from cleanroom.home import Home
from cleanroom.ledger.store import read
from cleanroom.privacy import accounting
from cleanroom.privacy.history import Question
from cleanroom.rooms.contract import Contract

MOST = 20
"""Matches that a page shows."""


@dataclass(frozen=True)
class Matched:
    """One match. value: noised people, None where there is only a range; low, high: of 95 in 100 cases, or the range,
    None where withheld; rows: by dataset, those of its persons who took part; asked_by: as the ledger says."""

    time: str
    asked_by: tuple[str, ...]
    rows: dict[str, int]
    value: int | None
    low: int | None
    high: int | None
    receipt: str
    epsilon: float

    @property
    def withheld(self) -> bool:
        """Whether nothing may be said of its size but that it is small."""
        return self.low is None

    def share(self, dataset: str) -> tuple[float, float] | None:
        """The match rate of a dataset, as an interval; None where withheld."""
        rows = self.rows.get(dataset, 0)
        if self.low is None or self.high is None or not rows:
            return None
        return min(1.0, self.low / rows), min(1.0, self.high / rows)


def matches(home: Home, contract: Contract) -> list[Matched]:
    """The matches under this contract, the newest first. Raises BadData for a ledger or answer that is damaged."""
    if not home.ledger_path.exists():
        return []
    entries, digest = read(home.ledger_path).entries, contract.digest()
    released = {str(each.body["question"]) for each in entries if each.kind == "release"}
    asked = [(str(each.body["question"]), tuple(map(str, _listed(each.body.get("asked_by")))))
             for each in entries if each.kind == "debit" and each.body["contract"] == digest
             and each.body["query"] in _plain_queries(contract, int(str(each.body["sigma"])))]  # fmt: skip
    newest = [(question, who) for question, who in reversed(asked) if question in released][:MOST]
    return [_matched(home.path, question, who, contract) for question, who in newest]


def _listed(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


@functools.lru_cache(256)
def _plain_queries(contract: Contract, sigma: int) -> tuple[str, ...]:
    """Digests of the question how many match, with that noise: of all datasets."""
    over = tuple(sorted(contract.match.datasets)) if contract.match.others else ()
    return tuple(Question((), (), "", (), sigma=sigma, over=each).query_digest() for each in {(), over})


@functools.lru_cache(512)
def _matched(path: Path, question: str, asked_by: tuple[str, ...], contract: Contract) -> Matched:
    release, signed = closing.recall(Home.open(path), question)
    receipt = signed.receipt
    counts = release.table.column(PEOPLE).to_pylist()
    value: int | None = None
    low: int | None = None
    high: int | None = None
    if receipt.rules.sigma and counts:
        value = int(counts[0])
        width = accounting.half_width(receipt.rules.sigma, draws(contract, ()))
        low, high = max(0, value - width), value + width
    elif not receipt.rules.sigma and not receipt.people.withheld:
        low, high = receipt.people.low, receipt.people.high
    delta = min(accounting.delta(each.rows) for each in contract.datasets)
    return Matched(receipt.time, asked_by, {each.name: each.rows for each in receipt.datasets}, value, low, high,
                   receipt.digest(), round(accounting.epsilon(receipt.rho_micro, delta), 2))  # fmt: skip
