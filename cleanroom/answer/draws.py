"""What a party adds its noise to leaves it once: computed, put on the disk, then told, and told again word for word.

So a run that was cut off, or one that is made again, cannot show the same noise over other data or other noise over the
same: nobody can average noise away, nor change an input and subtract. What is kept is what leaves, and beside it the
exact counts that an audit compares; it is sealed in the party's ledger.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom import canonical
from cleanroom.answer.side import Side
from cleanroom.answer.slots import reach
from cleanroom.errors import BadData, Refused
from cleanroom.ledger.opening import open_ledger
from cleanroom.privacy import noise
from cleanroom.privacy.history import Question
from cleanroom.rooms.terms import Column

FORMAT = "cleanroom-told/1"
MOST_DRAWS = 2_000_000
"""Numbers of one answer: at 25 µs a draw, less than a minute."""


@dataclass(frozen=True)
class Draws:
    """people: int64[rows]; amounts: int64[rows, amounts], in minor units."""

    people: NDArray[np.int64]
    amounts: NDArray[np.int64]


def drawn(question: Question, rows: int, amounts: Sequence[Column] = ()) -> Draws:
    """Fresh noise for so many rows of a count and of sums of these amounts; to be used inside `once` alone."""
    table = noise.draw([question.sigma, *(question.sigma * reach(column) for column in amounts)], rows)
    return Draws(table[:, 0], table[:, 1:])


def once(side: Side, question: Question, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What leaves this party in answer to a question with noise, as canonical JSON: computed at the first time.

    Raises BadData where another version has told it.
    """
    with open_ledger(side.home) as ledger:
        kept = ledger.draws(question.digest(), lambda: canonical.encode({"format": FORMAT, "told": compute()}))
    try:
        found: dict[str, Any] = json.loads(kept)
    except ValueError:
        found = {}
    if found.get("format") != FORMAT:
        raise BadData("What was told of this question is kept in a form that this version does not know.",
                      "Ask it with another accuracy (--within).")  # fmt: skip
    told: dict[str, Any] = found["told"]
    return told


def check_count(rows: int, columns: int) -> None:
    """Raises Refused for more noised numbers than are drawn for one answer."""
    if rows * columns > MOST_DRAWS:
        raise Refused(
            "An answer of {count} numbers is more than this version adds noise to.",
            "Group by fewer columns, or by coarser buckets.",
            count=f"{rows * columns:,}",
        )


def replayed(side: Side, question: Question, *, same: bool) -> bool:
    """Put on record that an answer's counts were computed again, and whether they are the same; gives that back."""
    with open_ledger(side.home) as ledger:
        ledger.append("replay", {"question": question.digest(), "same": same, "salt": secrets.token_hex(16)})
    return same
