"""The demo, small: three rooms on made-up people, an ordinary home, a report that shows what was released, no more."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cleanroom import lang
from cleanroom.demo import story
from cleanroom.demo.data import DemoFiles
from cleanroom.demo.report import write_report
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.ledger.audit import heads_seen, verify_home_ledger
from cleanroom.overlap import Overlap
from cleanroom.rooms.store import Rooms
from tests import near

AS_OF = "2026-11-21"
SCALE = 0.05
"""675 in both: two city tiers and two numbers of visits are released, and no crossing of level and tier."""


@dataclass(frozen=True)
class Told:
    """A demo's answer, and what its report was written from."""

    home: Path
    answer: dict[str, Any]
    files: DemoFiles
    results: dict[str, Any]
    checkup: dict[str, Any]

    def report(self, path: Path, language: str, **changed: Any) -> str:
        lang.choose(language)
        write_report(path, self.files, {**self.results, **changed}, self.checkup)
        return path.read_text("utf-8")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    lang.choose("en")
    kept: list[Any] = []
    asked = story.rooms

    def quick(files: DemoFiles, results: Path) -> list[Overlap]:
        return [replace(each, key_bits=2048) for each in asked(files, results)]

    def keep(path: Path, *given: Any) -> None:
        kept.extend(given)
        write_report(path, *given)

    home = tmp_path_factory.mktemp("story") / "home"
    with pytest.MonkeyPatch.context() as patch, near.parties():
        patch.setattr(story, "rooms", quick)
        patch.setattr(story, "write_report", keep)
        answer = story.tell(home, AS_OF, scale=SCALE)
    yield Told(home, answer, *kept)
    lang.choose("en")


def _text(html: str) -> str:
    """What a reader sees, pictures included."""
    return re.sub(r"<[^>]+>", "\n", re.sub(r"<style>.*?</style>", "", html, flags=re.S))


def test_the_overlap_is_the_true_one_and_small_groups_are_not_there(told: Told) -> None:
    truth = told.files.truth
    assert told.answer["rooms"] == ["audience", "spend", "activity"]
    assert told.answer["home"] == str(told.home)
    assert told.answer["as_of"] == AS_OF
    for room in ("audience", "spend"):
        assert told.results[room]["overlap"]["value"] == truth.overlap
    spend = {row["city_tier"]: row["people"] for row in told.results["spend"]["segments"]}
    assert spend
    assert spend.items() <= truth.by_city_tier.items()
    for result in told.results.values():
        assert all(row["people"] >= 100 for row in result["segments"])


def test_the_sums_from_ciphertexts_are_the_true_ones(told: Told) -> None:
    from connectors.doctor import examine
    from connectors.importing import Importer, ImportSpec
    from connectors.open import open_source

    def people(path: Path, columns: tuple[str, ...] = ()) -> dict[bytes, dict[str, Any]]:
        source = open_source(str(path))
        spec = ImportSpec(examine(source, "phone").mapping, "phone", "cn-mobile/1", columns)
        rows = [row for batch in Importer(source, spec).batches() for row in batch.to_pylist()]
        return {row["digest"]: row for row in reversed(rows)}  # the first of each person stands for it

    members, users = people(told.files.workbook, ("spend",)), people(told.files.users)
    wanted: dict[str, int] = {}
    for person in members.keys() & users.keys():
        tier = users[person]["o.city_tier"]
        wanted[tier] = wanted.get(tier, 0) + members[person]["t.spend"]
    for row in told.results["spend"]["segments"]:
        assert round(row["spend"] * 100) == wanted[row["city_tier"]]


def test_the_home_is_an_ordinary_home_whose_ledger_verifies(told: Told) -> None:
    home = Home.open(told.home)
    assert home.party == "merchant"
    rooms = Rooms(home.rooms)
    assert set(rooms.names()) == set(told.answer["rooms"])
    for name in told.answer["rooms"]:
        assert rooms.load(name).in_force(dt.datetime.now(dt.UTC)).release.k == 100
    peers = [Home.open(home.peers / name) for name in ("platform", "operator")]
    key = home.keys.public.signing
    witnesses = [head for peer in peers for head in heads_seen(peer.ledger_path, key)]
    assert witnesses
    report = verify_home_ledger(home.ledger_path, key, witnesses=witnesses)
    assert report.entries > len(told.answer["rooms"])


def test_the_report_is_one_file_with_pictures_that_asks_nobody(told: Told) -> None:
    html = Path(told.answer["report"]).read_text("utf-8")
    assert html.count("<svg") == 4
    assert not re.search(r"<(script|img|iframe|link|object)\b", html)
    sources = re.findall(r"(?:href|src|url)[=(][\"']?([^\"')\s>]{1,40})", html)
    assert all(source.startswith(("#", "data:font/woff;base64,")) for source in sources)
    assert not {name for name in re.findall(r"https?://[^\"'\s<]+", html) if "www.w3.org" not in name}


def test_the_report_says_what_happened_and_names_no_withheld_group(told: Told, tmp_path: Path) -> None:
    text = _text(told.report(tmp_path / "report.html", "en"))
    for result in told.results.values():
        assert result["receipt"]["digest"] in text
        for row in result["segments"]:
            assert f"{row['people']:,}" in text
    row = told.results["spend"]["segments"][0]
    assert f"{row['spend']:,.2f}" in text
    assert f"{row['spend_average']:,.2f}" in text
    assert text.count("\noff\n") == 3, "every room says that its noise is off"
    for name in ("三线及以下", "银卡", "钻石"):
        assert name not in text


def test_fields_of_a_table_between_released_ones_are_shown_as_withheld(told: Told, tmp_path: Path) -> None:
    groups = [("普卡", "一线", 400), ("普卡", "二线", 150), ("金卡", "一线", 120)]
    segments = [{"level": level, "city_tier": tier, "people": people} for level, tier, people in groups]
    text = _text(told.report(tmp_path / "r.html", "en", audience={**told.results["audience"], "segments": segments}))
    assert text.count("\nwithheld\n") == 1
    assert "member level" in text
    assert "city tier" in text


def test_the_chinese_report_has_no_english_sentence(told: Told, tmp_path: Path) -> None:
    html = told.report(tmp_path / "report.html", "zh")
    assert '<html lang="zh-CN">' in html
    text = _text(html)
    english = [key for key in lang.catalogue() if " " in key and "{" not in key and key in text]
    assert english == []
    assert not re.findall(r"(?:\b[a-z]{2,} ){3,}", re.sub(r"cleanroom [^\n]*", "", text))


def test_an_earlier_demo_is_replaced_only_when_asked_and_nothing_else_ever(told: Told, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for replacing in (False, True):
        with pytest.raises(UsageError, match="exists"):
            story.tell(tmp_path, AS_OF, replace=replacing)
    with pytest.raises(UsageError, match="not a folder"):
        story.tell(tmp_path / "thesis.txt", AS_OF, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(UsageError, match="exists"):
        story.tell(told.home, AS_OF)
    assert Home.open(told.home).party == "merchant"
    with pytest.raises(UsageError, match="scale"):
        story.tell(_demo(tmp_path / "old"), AS_OF, replace=True, scale=0)
    assert not (tmp_path / "old" / "leftover").exists()


def _demo(folder: Path) -> Path:
    folder.mkdir()
    (folder / story.MARK).touch()
    (folder / "leftover").touch()
    return folder
