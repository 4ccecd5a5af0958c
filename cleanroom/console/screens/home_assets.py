"""The users that a party has at a glance: its own datasets exactly, those of others as their boards were released."""

from dataclasses import dataclass
from typing import Any

from cleanroom import datasets
from cleanroom.console.pages import day
from cleanroom.console.pictures import Chart
from cleanroom.console.screens.insight_boards import board_of
from cleanroom.console.screens.insight_charts import care_ring
from cleanroom.console.screens.insight_figures import Figure, measured
from cleanroom.console.screens.insight_frame import PLAIN, Around
from cleanroom.console.visit import Visit
from cleanroom.insight.care import EIGHT
from cleanroom.insight.compare import then
from cleanroom.insight.metric import evaluate
from cleanroom.insight.registry import REGISTRY

GLANCE = ("total_users", "visitors", "interactors", "payers", "new_users")
_MOST_ROOMS = 4


@dataclass(frozen=True, eq=False)
class Board:
    """A room's board: figures beside those a window before, where there is such a board. path: of its page."""

    room: str
    dataset: str
    owner: str
    day: str
    path: str
    figures: list[Figure]
    ring: Chart | None
    before: str


def own(visit: Visit) -> list[list[Any]]:
    """The datasets of this node, by name, people, version and day of import. Not for those who never see data."""
    if not (visit.may("import") or visit.may("insight")):
        return []
    return [[each["name"], each["rows"], each["version"], day(each["created"])]
            for each in datasets.listed(visit.path)["datasets"]]  # fmt: skip


def boards(visit: Visit) -> list[Board]:
    """Of rooms in force with a board of another owner's dataset."""
    if not visit.may("insight"):
        return []
    return [_board(around) for around in _arounds(visit)[:_MOST_ROOMS]]


def _arounds(visit: Visit) -> list[Around]:
    found = [Around.of(visit, each["room"], "overview", PLAIN) for each in visit.rooms if each["in_force"]]
    return [each for each in found if each.state == "ready" and not each.exact]


def _board(around: Around) -> Board:
    read = around.read
    earlier = then(read.day, read.days, 30)
    before = None
    if earlier is not None:
        before = around.with_tables(board_of(read, earlier))
    found = measured(GLANCE, around.view, before)
    eight = {name: evaluate(REGISTRY[each], around.view) for name, each in EIGHT.items()}
    return Board(around.room, around.dataset, around.contract.dataset(around.dataset).owner, read.day.isoformat(),
                 f"/insight/{around.room}", found.figures(found.single), care_ring(eight),
                 earlier.isoformat() if earlier else "")  # fmt: skip
