"""What a new board or plan would cost, and having it made: the one thing of insight that is charged."""

from typing import Annotated

from fastapi import Form
from starlette.responses import Response

from cleanroom import boards, planning
from cleanroom.answer.closing import budget
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.insight_frame import PLAIN, Around, Wished, with_settings
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import Refused, UsageError
from cleanroom.lang import explain
from cleanroom.privacy import accounting

SCREEN = Screen()
Field = Annotated[str, Form(max_length=200)]


@SCREEN.get("/insight/{room}/refresh", call="plan")
def priced(visit: Visited, room: str, asked: Wished) -> Page:
    """Both prices, before anything is charged."""
    around = Around.of(visit, room, "refresh", asked)
    return visit.page("insight/refresh.html", around=around, board=_board(around), plan=_plan(visit, around))


@SCREEN.post("/insight/{room}/board", call="plan")
def made(visit: Visited, room: str, dataset: Field = "") -> Response:
    """A new board: another owner's is charged as was shown; one's own is counted."""
    around = Around.of(visit, room, "overview", with_settings(PLAIN, dataset=dataset))
    then = f"/insight/{room}/overview{around.asked.query()}"
    if around.exact:
        return visit.begin("insight", room, {"page": "overview", "dataset": dataset}, then=then)
    return visit.submit("board", room, {"dataset": around.dataset, "board": "full"}, then=then)


@SCREEN.post("/insight/{room}/plan", call="plan")
def planned(visit: Visited, room: str, period: Field = "weekly") -> Response:
    """The plan of this period."""
    if period not in planning.RHO:
        raise UsageError("There is no period {period}.", period=period[:20])
    return visit.begin("plan", room, {"period": period}, then=f"/insight/{room}/portrait")


def _board(around: Around) -> dict[str, object]:
    """The price of a board. why: where none can be made."""
    if around.exact:
        return {"why": "", "exact": True}
    try:
        told = boards.make(around.visit.path, around.room, dataset=around.dataset, dry_run=True)
    except (Refused, UsageError) as error:
        return {"why": " ".join(filter(None, explain(error)))}
    price = told["price"]
    dataset = around.contract.dataset(around.dataset)
    return {"why": "", "exact": False, "owner": dataset.owner, "share": told["rho_micro"] / price["month_rho_micro"],
            "epsilon": price["epsilon"], "most": around.contract.release.epsilon, "people": price["people"],
            "least": price["least"], "tables": told["tables"], "sums": told["sums"]}  # fmt: skip


def _plan(visit: Visit, around: Around) -> dict[str, object]:
    """The price of a plan, weekly; due: whether this period has none yet."""
    try:
        told = planning.make(visit.path, around.room, dry_run=True)
    except (Refused, UsageError) as error:
        return {"why": " ".join(filter(None, explain(error)))}
    own = around.contract.dataset_of(visit.home.party)
    most = budget(around.contract, own)
    epsilon = accounting.epsilon(told["rho_micro"], accounting.delta(own.rows))
    return {"why": "", "share": told["rho_micro"] / most, "epsilon": epsilon, "most": around.contract.release.epsilon,
            "people": accounting.half_width(told["sigma"]), "tables": told["tables"], "columns": told["columns"],
            "due": told["due"], "left": told["left_rho_micro"] / most}  # fmt: skip
