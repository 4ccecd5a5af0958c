"""The first page: how things stand for the role at hand, and what waits. It offers only what the user may do."""

from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens import home_assets, home_state
from cleanroom.console.visit import Visited

SCREEN = Screen()


@SCREEN.get("/", call="status")
def shown(visit: Visited) -> Page:
    """All of it."""
    boards = home_assets.boards(visit)
    ring = next((each.ring for each in boards if each.ring is not None), None)
    return visit.page(
        "home.html", charts=[ring] if ring else [], steps=home_state.steps(visit), waiting=home_state.waiting(visit),
        own_rows=home_assets.own(visit), boards=boards, ring=ring is not None,
        ring_path=next((each.path for each in boards if each.ring is not None), ""), jobs=home_state.jobs(visit),
        budgets=home_state.budgets(visit), rooms=home_state.rooms(visit), usage_rows=home_state.usage(visit),
        ledger=home_state.ledger(visit),
    )  # fmt: skip
