"""The scenes, small: from import to a measured lift whose truth is known, and a report of what three parties saw."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from cleanroom import lang
from cleanroom.campaigns import columns
from cleanroom.demo import market, people, scenes
from cleanroom.demo.market import CRM, USERS
from cleanroom.demo.people import Ints
from cleanroom.demo.scene_report import SCENES, write_report
from cleanroom.demo.scene_stage import Stage
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.rooms import cards
from tests import near

AS_OF, SCALE = "2026-11-07", 0.32
"""The smallest at which chance does not take a crowd below its floor."""
PARTIES = ("merchant", "platform", "operator")


@dataclass(frozen=True)
class Played:
    """A scene's answer, what its report was written from, and its stage."""

    answer: dict[str, Any]
    facts: dict[str, Any]
    stage: Stage

    def page(self, folder: Path, language: str) -> str:
        lang.choose(language)
        write_report(folder / "page.html", self.facts)
        return (folder / "page.html").read_text("utf-8")


def _played(folder: Path, scene: str) -> Played:
    lang.choose("en")
    kept: dict[str, Any] = {}
    telling = scenes.SCENES[scene]

    def tell(stage: Stage) -> dict[str, Any]:
        kept["stage"] = stage
        return telling(stage)

    def quick_homes(homes: dict[str, Path]) -> None:
        for party, path in homes.items():
            near.new_home(path, party, 2048)

    def write(path: Path, facts: dict[str, Any]) -> None:
        kept["facts"] = facts
        write_report(path, facts)

    with pytest.MonkeyPatch.context() as patch, near.parties():
        patch.setattr(scenes, "SCENES", {**scenes.SCENES, scene: tell})
        patch.setattr(scenes, "write_report", write)
        patch.setattr(market, "make_homes", quick_homes)
        patch.setattr(cards, "DEFAULT_KEY_BITS", 2048)
        answer = scenes.play(folder / "home", scene, AS_OF, SCALE)
    return Played(answer, kept["facts"], kept["stage"])


@pytest.fixture(scope="module")
def goods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    yield _played(tmp_path_factory.mktemp("goods"), "goods")
    lang.choose("en")


def check_lift(played: Played) -> None:
    """The planted lift is in the interval, or so near that chance and noise explain it."""
    gap, planted = played.answer["difference"], played.answer["planted"]
    width = gap["high"] - gap["low"]
    assert gap["low"] - 2 * width <= planted <= gap["high"] + 2 * width
    assert gap["low"] > 0, "it was planted large enough to be seen"
    assert abs(gap["value"] - played.answer["came"]) < width, "noise alone stands between these two"
    least = played.facts["trial"]["difference"]
    assert least < played.facts["reactions"]["lift"], "told beforehand that this can be shown"


def check_page(played: Played, folder: Path, language: str) -> None:
    """Every step has one line a party, and nobody can be found in the page."""
    page = played.page(folder, language)
    assert SCENES[played.facts["scene"]][language == "en"] in page
    tables = re.findall(rf"<caption>{re.escape(t('Who learned what'))}</caption>.*?</table>", page, re.DOTALL)
    assert len(tables) == len(played.facts) - 1 - ("coupon" in played.facts), "the scene's name, coupons"
    for table in tables:
        said = re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2], re.DOTALL)
        lines = [re.sub(r"<[^>]+>", "\n", each).split("\n") for each in said]
        told = [[part for part in line if part] for line in lines]
        assert [line[0] for line in told] == [t(party) for party in PARTIES]
        assert all(len(line) == 2 for line in told)
        exact = f"{played.facts['activation']['members']:,}"
        assert exact not in told[0][1], "the merchant saw no exact size of a crowd"
        assert exact not in told[2][1]
    assert ("合成" in page) == (language == "zh")
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", page)
    numbers = set(re.findall(r"(?<![\da-f.])1[3-9]\d{9}(?![\da-f])", page))
    assert not numbers
    shown = set(re.findall(r"\b[0-9a-f]{16,}\b", page))
    assert shown, "receipts and the commitment"
    assert not {each[:16] for each in shown} & _digests(played.stage)


def _digests(stage: Stage) -> set[str]:
    """The beginnings of every identity digest of both sides, and of SHA-256 of every plain phone."""
    found = set()
    for path, dataset in ((stage.merchant, CRM), (stage.platform, USERS)):
        home = Home.open(path)
        found |= {row.tobytes()[:8].hex() for row in columns.digests(home, home.vault.manifest(dataset))}
    everybody: Ints = stage.market.people
    return found | {hashlib.sha256(each.encode()).hexdigest()[:16] for each in people.phones(everybody).to_pylist()}


def test_the_planted_lift_is_found(goods: Played) -> None:
    check_lift(goods)


def test_what_the_campaign_was_worth_is_said_with_its_interval(goods: Played) -> None:
    truth, revenue = goods.facts["reactions"], goods.answer["revenue"]
    width = revenue["high"] - revenue["low"]
    assert revenue["low"] - 2 * width <= truth["revenue"] <= revenue["high"] + 2 * width
    assert goods.answer["worth"]["roi"]["low"] < goods.answer["worth"]["roi"]["high"]
    assert goods.facts["coupon"]["redeemed"] <= goods.facts["coupon"]["claimed"] == truth["steps"]["coupon.claim"]


def test_nobody_who_was_held_out_was_sent_anything(goods: Played) -> None:
    home = Home.open(goods.stage.platform)
    (file,) = (goods.stage.platform / "outbox").glob("*.parquet")
    sent = pq.read_table(file).column(0)
    assert len(sent) == goods.answer["sent"]
    table = home.vault.read(USERS, ["o.user", "t.arm_1"])
    arms = {
        arm
        for batch in table
        for arm in batch.filter(pc.is_in(batch.column("o.user"), sent.combine_chunks())).column("t.arm_1").to_pylist()
    }
    assert arms == {"treated"}
    assert file.with_suffix(".csv").read_bytes().count(b"\n") == len(sent) + 1
    assert not [path for path in goods.stage.merchant.iterdir() if path.name in ("outbox", "activation")]


def test_a_crowd_below_the_floor_is_said_to_be_and_no_more(goods: Played) -> None:
    small = goods.facts["playbook"]["size"]
    assert (small["low"], small["high"], small["withheld"]) == (0, 999, True)


def test_the_campaign_leaves_tags_and_a_later_board(goods: Played) -> None:
    told = goods.facts["after"]
    assert {each["tag"] for each in told["tags"]} == {"reached", "engaged", "paying", "treated", "held-out"}
    assert told["report_date"] == "20261121"
    assert told["verified"]["verified"]
    assert told["verified"]["commitment"] == goods.answer["commitment"]
    assert all(row["people"] >= told["portrait"]["least"] for row in told["portrait"]["rows"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_tells_each_party_apart_and_names_nobody(goods: Played, tmp_path: Path, language: str) -> None:
    assert Path(goods.answer["report"]).read_text("utf-8").startswith("<!doctype html>")
    check_page(goods, tmp_path, language)


@pytest.mark.parametrize(
    ("scene", "scale", "day", "told"),
    [
        ("shop", 1.0, None, "no scene"),
        ("goods", 0.1, None, "under 0.3"),
        ("goods", 1.0, "2999-01-01", "has to be over"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_is_made(
    tmp_path: Path, scene: str, scale: float, day: str | None, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        scenes.play(tmp_path / "home", scene, day, scale)
    assert not (tmp_path / "home").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    for replace in (False, True):
        with pytest.raises(UsageError, match="exists already"):
            scenes.play(tmp_path, "goods", None, 0.5, replace=replace)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["leads", "search"])
def test_the_other_scenes_find_what_was_planted(tmp_path: Path, scene: str) -> None:
    played = _played(tmp_path, scene)
    check_lift(played)
    for language in ("en", "zh"):
        check_page(played, tmp_path, language)
    if scene == "leads":
        gain = played.facts["lookalike"]["gain"]
        assert not gain or gain[4]["together"] > 1, "people like the seed come first"
    else:
        other = played.facts["activation"]["other"]
        assert (other["sent"], other["left_out"]["too-often"]) == (0, played.answer["sent"]), "the cap holds"
        assert played.facts["visits"]["treated"][1] > played.facts["visits"]["holdout"][1]
