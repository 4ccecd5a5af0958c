"""The match page: what a match costs, what came of it with its interval, why it is not more, when it comes again."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cleanroom import querying
from cleanroom.console.screens import match_sizes
from cleanroom.home import Home
from cleanroom.node import desk
from cleanroom.node.work import HOW_MANY
from cleanroom.rooms.store import Rooms
from tests import near
from tests.console.conftest import Client, users_of

pytestmark = pytest.mark.xdist_group("console")
ROOM = "market"
Of = Callable[[str], Client]


@pytest.fixture(scope="module")
def home(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The market's home with a match in its ledger."""
    path = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("match") / "home", symlinks=True))
    with near.parties():
        querying.answer(path, ROOM, HOW_MANY)
    return path


@pytest.fixture(scope="module")
def of(home: Path) -> Iterator[Of]:
    """A signed-in user of that home's console."""
    with users_of(home) as found:
        yield found


def test_the_size_stands_with_its_interval_and_the_sides_exact(of: Of, home: Path) -> None:
    contract = Rooms(home / "rooms").load(ROOM).contract
    (found,) = match_sizes.matches(Home.open(home), contract)
    page = of("analyst").get("/match/market")
    assert found.value is not None
    assert found.low == found.value - 39
    assert f"{found.value:,}" in page.text
    assert f"95 of 100 · {found.low:,} – {found.high:,}" in page.text
    assert f"{found.rows['crm']:,}" in page.text
    assert f"{found.rows['users']:,}" in page.text
    share = found.share("crm")
    assert share is not None
    assert share[0] < found.value / found.rows["crm"] < share[1]


def test_the_picture_and_the_table_can_be_taken_along(of: Of) -> None:
    assert b"<svg" in of("analyst").get("/match/market?chart=overlap&as=svg").content
    assert of("analyst").get("/match/market?as=xlsx").content[:2] == b"PK"
    assert "both" in of("analyst").get("/match/market?chart=overlap&as=csv").content.decode("utf-8-sig")


def test_the_price_is_told_before(of: Of) -> None:
    text = of("analyst").get("/match/market").text
    assert re.search(r"It costs ε 0\.\d+ of this month's budget, and is within ± 39 people", text)


def test_the_doctor_accounts_for_every_row_and_says_what_to_do(of: Of, home: Path) -> None:
    text = of("analyst").get("/match/market").text
    funnel = Home.open(home).vault.manifest("crm").meta["funnel"]
    assert f"rows read: {funnel['rows']:,}" in text  # type: ignore[index, call-overload]
    for said in ("masked, as in 138****1234", "Export them whole, or as SHA-256", "One identity only"):
        assert said in text, said
    assert re.search(r"1[3-9]\d{9}", text) is None


def test_a_match_becomes_a_job_that_leads_back_here(of: Of, home: Path) -> None:
    answer = of("analyst").post("/match/market")
    assert answer.where.startswith("/jobs/")
    assert answer.where.endswith("?then=/match/market")
    with desk.opened(home) as held:
        job = held.jobs.get(answer.where.split("/")[2].partition("?")[0])
        held.jobs.cancel(job.id)
    assert (job.kind, job.asked_by) == ("match", "analyst")


def test_it_comes_by_itself_and_ends(of: Of, home: Path) -> None:
    analyst = of("analyst")
    analyst.post("/match/market/schedule", {"every": "monthly", "day": "3", "at": "04:15"})
    assert "on day 3 of every month at 04:15" in analyst.get("/match/market").text
    analyst.post("/match/market/schedule", {"every": "weekly", "weekday": "tue", "at": "05:00", "file": "crm.csv"})
    assert "import and match: every Tuesday at 05:00" in analyst.get("/match/market").text
    assert "import and match" not in of("owner").get("/match/market", language="zh").text
    for each in desk.schedules(home)["schedules"]:
        assert analyst.post("/match/market/unschedule", {"number": each["id"]}).status == 303
    assert desk.schedules(home)["schedules"] == []


@pytest.mark.parametrize("wrong", [{"every": "never"}, {"every": "daily", "at": "25:00"},
                                   {"every": "daily", "file": "../node.toml"}])  # fmt: skip
def test_what_is_no_time_or_no_file_is_refused(of: Of, home: Path, wrong: dict[str, str]) -> None:
    assert of("analyst").post("/match/market/schedule", wrong).status == 400
    assert desk.schedules(home)["schedules"] == []


def test_a_marketer_asks_no_question_of_their_own(of: Of) -> None:
    assert of("marketer").get("/match/market").status == 403
    assert of("marketer").post("/match/market").status == 403
    assert of("analyst").get("/match").where == "/match/market"
