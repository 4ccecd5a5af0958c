"""Campaigns in the console: power told beforehand, begun by who may, measured for a shown price, told in words."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cleanroom.campaigns import measuring, running
from cleanroom.campaigns.lift import Arm, Noise
from cleanroom.campaigns.store import Campaigns
from cleanroom.console.screens.campaigns_words import by_chance, people_needed
from cleanroom.crowds import desk
from cleanroom.demo.market import ROOM
from cleanroom.home import Home
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State
from cleanroom.querying import opened

from .conftest import Client, users_of

pytestmark = pytest.mark.xdist_group("console")

Clients = Callable[..., Client]
HERE = f"/campaigns/{ROOM}"


@pytest.fixture(scope="module")
def own(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Clients]]:
    """A market to change, its console served once for this module."""
    home = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("campaigns") / "home", symlinks=True))
    with users_of(home) as found:
        yield home, found


def _terms(home: Path, name: str) -> dict[str, str]:
    return {"room": ROOM, "name": name, "crowd": desk.listed(home, "Gold")[0][0].code, "channel": "coupon",
            "purpose": opened(home, ROOM)[1].contract.purposes[0], "holdout": "20", "days": "7",
            "most": "300"}  # fmt: skip


def _measured(home: Path, name: str, treated: Arm, held: Arm) -> None:
    """A result as a run would leave it: the run itself is tested with campaigns."""
    found = {**measuring.figures(treated, held, Noise(20, 20, 2e5, 1e5)), "receipts": ["ab" * 32], "complete": True,
             "noise": {"sigma": 20, "draws": 1, "least": 195}, "made": "2026-11-22T10:00:00+00:00"}  # fmt: skip
    store = Campaigns(Home.open(home), ROOM)
    with store.locked():
        store.change(name, measured=found)


def test_power_is_told_before_anything_is_kept(own: tuple[Path, Clients]) -> None:
    home, client = own
    marketer = client("marketer")
    assert "No campaigns yet" in marketer.get("/campaigns").text
    fields = {"room": ROOM, "people": "20000", "base": "5", "holdout": "10", "wanted": "2"}
    told = marketer.post("/campaigns/power", fields, part=True)
    assert "18,000 treated, 2,000 held out" in told.text and "more payers of all treated" in told.text
    assert re.search(r"To show 2.00% [\d,]+ people", told.text)
    unknown = marketer.post("/campaigns/power", {**fields, **_terms(home, "x"), "people": ""}, part=True)
    assert "not known yet, or it is too small" in unknown.text
    assert not running.listed(home, ROOM)["campaigns"]


def test_a_campaign_is_kept_and_begun_by_who_may(own: tuple[Path, Clients]) -> None:
    home, client = own
    marketer = client("marketer")
    assert marketer.post("/campaigns", _terms(home, "双11")).where == f"{HERE}/%E5%8F%8C11"
    kept = running.show(home, ROOM, "双11")
    assert (kept["held_out"], kept["days"], kept["clamp"], kept["slot"]) == (200, 7, 30_000, 1)
    page = marketer.get(f"{HERE}/双11")
    assert "approver begins it" in page.text and "not begun" in page.text
    assert marketer.post(f"{HERE}/双11/start", {"commitment": "a" * 64}).status == 403
    assert "双11" in client("approver").get("/activations").text
    alone = client("approver").post(f"{HERE}/双11/start", {}, part=True)
    assert alone.status == 409 and "drawn by whoever addresses people" in alone.text
    begun = client("approver").post(f"{HERE}/双11/start", {"commitment": "a" * 64, "day": "2026-11-01"})
    assert begun.where == "/activations"
    assert running.show(home, ROOM, "双11")["starts"] == "2026-11-01"


def test_the_price_comes_first_and_measuring_is_a_job(own: tuple[Path, Clients]) -> None:
    home, client = own
    owner = client("owner")
    owner.post("/campaigns", _terms(home, "spring"))
    assert "not begun" in owner.post(f"{HERE}/spring/price", part=True).text, "nothing to measure yet"
    owner.post(f"{HERE}/spring/start", {"commitment": "b" * 64})
    one = owner.post(f"{HERE}/spring/price", {"within": ""}, part=True).text
    two = owner.post(f"{HERE}/spring/price", {"reach": "yes"}, part=True).text
    costs = [float(re.search(r"Price: ρ ([\d.]+)", each)[1]) for each in (one, two)]  # type: ignore[index]
    assert costs[1] > costs[0] > 0
    with State.open(Home.open(home)) as state:
        before = len(Jobs(state).listed())
        begun = owner.post(f"{HERE}/spring/measure", {"reach": "yes"})
        jobs = Jobs(state).listed()
    assert begun.where.startswith("/jobs/") and len(jobs) == before + 1 and jobs[0].kind == "campaign"
    assert jobs[0].arguments == {"campaign": "spring", "within": "", "reach": "yes", "attribution": ""}
    orders = b"phone,date,amount\n13812345678,2026-11-02,19.90\n"
    answer = owner.raw("POST", f"{HERE}/spring/collect", files={"file": ("orders.csv", orders)})
    assert answer.status_code == 403, "no form of another site"


def test_a_result_is_told_in_words_with_its_intervals(own: tuple[Path, Clients]) -> None:
    home, client = own
    marketer = client("marketer")
    if "autumn" not in {each["name"] for each in running.listed(home, ROOM)["campaigns"]}:
        store = Campaigns(Home.open(home), ROOM)
        running.close(home, ROOM, "spring")
        marketer.post("/campaigns", _terms(home, "autumn"))
        assert store.load("autumn").terms.slot == 2
    assert marketer.get(f"{HERE}/autumn/report").status == 400
    _measured(home, "autumn", Arm(9000, 810, 4_000_000, 90_000_000), Arm(1000, 60, 220_000, 4_000_000))
    page = marketer.get(f"{HERE}/autumn").text
    assert "No effect can be told from chance and noise" in page and "of 100 such campaigns" in page
    assert "a crowd of" in page and "95 of 100" in page and "9,000 ± 39" in page
    marketer.post(f"{HERE}/autumn/cost", {"media": "12000", "margin": "40"})
    assert running.show(home, ROOM, "autumn")["costs"]["margin"] == 400
    assert "ROI" in marketer.get(f"{HERE}/autumn").text
    _measured(home, "autumn", Arm(9000, 1800, 4_000_000, 90_000_000), Arm(1000, 60, 220_000, 4_000_000))
    sure = marketer.get(f"{HERE}/autumn").text
    assert "More people paid for its sake." in sure and "fewer than 1 of 100" in sure
    drawn = marketer.get(f"{HERE}/autumn?chart=lift&as=csv")
    assert "Lift" in drawn.html
    report = marketer.get(f"{HERE}/autumn/report")
    assert report.html.startswith("<!doctype html>") and "autumn" in report.text
    assert not list(home.glob("**/report.html"))
    assert marketer.get("/campaigns").text.count("%") >= 3


def test_a_playbook_is_one_click_and_twice_the_same(own: tuple[Path, Clients]) -> None:
    _, client = own
    page = client("marketer").get("/campaigns/playbooks")
    assert "Win back" in page.text and "fewer than 1,000" in page.text
    full = client("marketer").post("/campaigns/playbooks/win-back", {"room": ROOM}, part=True)
    assert full.status == 400 and "slots" in full.text
    assert client("marketer").post(f"{HERE}/双11/close").status == 403
    assert client("owner").post(f"{HERE}/双11/close").status == 303
    made = client("marketer").post("/campaigns/playbooks/win-back", {"room": ROOM})
    assert made.where == f"{HERE}/win-back"
    assert client("marketer").post("/campaigns/playbooks/win-back", {"room": ROOM}).where == made.where
    assert client("marketer").get(made.where).status == 200
    refused = client("marketer").post("/campaigns/playbooks/nothing", {"room": ROOM}, part=True)
    assert refused.status == 400


def test_what_it_leaves_and_every_page_is_there_in_chinese(own: tuple[Path, Clients]) -> None:
    _, client = own
    assert "users.arm_" in client("marketer").get("/campaigns/assets").text
    for path in ("/campaigns", "/campaigns/new", "/campaigns/playbooks", "/campaigns/assets", f"{HERE}/autumn"):
        page = client("owner").get(path, language="zh")
        assert page.status == 200 and re.search("[\u4e00-\u9fff]", page.html.partition("<main")[2]), path
    assert "拉新转化" in client("owner").get("/campaigns/playbooks", language="zh").text


def test_words_of_chance_follow_the_interval() -> None:
    wide, sharp = {"value": 0.01, "low": -0.02, "high": 0.04}, {"value": 0.05, "low": 0.04, "high": 0.06}
    assert "in 51 of 100" in by_chance(wide) and "fewer than 1" in by_chance(sharp)
    assert by_chance({"value": 0.01, "low": None, "high": 0.04}) == "" and by_chance(None) == ""
    found = {"difference": wide, "significant": False, "noise": None, "arms": [{}, {"share": {"value": 0.05}}]}
    few = people_needed({"measured": found, "held_out": 500}, 100)
    many = people_needed({"measured": found, "held_out": 50}, 100)
    count = [int(re.search(r"crowd of ([\d,]+)", each)[1].replace(",", "")) for each in (few, many)]  # type: ignore[index]
    assert 0 < count[0] < count[1]
    assert people_needed({"measured": {**found, "significant": True}, "held_out": 500}, 100) == ""
