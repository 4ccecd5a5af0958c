"""Insight in the browser: every figure has its interval or is withheld; settings stand in the address, values never."""

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanroom.console.screens import insight_kept as kept
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.insight.board_store import Boards
from cleanroom.lang import catalogue

from .conftest import served

pytestmark = pytest.mark.xdist_group("console")

Client = Callable[..., Any]
TABS = ("overview", "care", "trend", "portrait", "behaviour", "funnel", "flow", "retention", "map", "compare")
CONDITION = "users.gender = '女'"
SEGMENT = {"segment_text": CONDITION, "of": "match"}


@pytest.mark.parametrize("tab", (*TABS, "refresh", "saved"))
def test_every_page_in_both_languages(client: Client, tab: str) -> None:
    user = client("marketer")
    assert user.get(f"/insight/market/{tab}").html.count("<h1") == 1
    chinese = user.get(f"/insight/market/{tab}", language="zh")
    assert chinese.status == 200
    english = {key for key in catalogue() if len(key) > 12 and " " in key and "{" not in key}
    text = chinese.text
    assert not {key for key in english if key in text}


@pytest.mark.parametrize("role", ["approver", "auditor", "operator"])
def test_who_may_not_see_insight_is_refused(client: Client, role: str) -> None:
    assert client(role).get("/insight/market/overview").status == 403


def test_every_figure_has_an_interval_or_is_withheld_with_the_reason(client: Client) -> None:
    html = client("marketer").get("/insight/market/overview").html
    figures = re.findall(r'<div class="figure">(.*?)</div>', html, re.S)
    assert len(figures) >= 7
    for each in figures:
        assert "95 of 100" in each or ("withheld" in each and "fewer than" in each)
    assert "title=" in html, "its definition"


def test_the_page_says_from_which_release_it_is_and_what_it_cost(client: Client) -> None:
    text = client("marketer").get("/insight/market/overview").text
    assert re.search(r"From a release of \d{4}-\d\d-\d\d with noise", text)
    assert re.search(r"It cost [\d.]+% of a month's budget of users", text)
    assert re.search(r"Receipt [0-9a-f]{16}", text)


def test_charts_and_tables_can_be_taken_along(client: Client) -> None:
    user = client("marketer")
    assert user.get("/insight/market/overview?chart=stages&as=svg").html.startswith("<svg")
    csv = user.get("/insight/market/overview?chart=stages&as=csv").content.decode("utf-8-sig")
    assert "withheld" in csv or "visit" in csv
    book = zipfile.ZipFile(io.BytesIO(user.get("/insight/market/overview?as=xlsx").content))
    assert "xl/worksheets/sheet1.xml" in book.namelist()
    assert "Total users" in book.read("xl/sharedStrings.xml").decode()


@pytest.mark.parametrize("query", ["window=13", "dataset=nothing", "date=never", "beside=2001-01-01"])
def test_settings_that_do_not_exist_are_an_error_with_a_hint(client: Client, query: str) -> None:
    answer = client("marketer").get(f"/insight/market/overview?{query}")
    assert answer.status == 400 and "Traceback" not in answer.html


def test_without_uploads_there_are_fewer_people(client: Client) -> None:
    def total(query: str) -> int:
        html = client("marketer").get(f"/insight/market/overview{query}").html
        return int(re.search(r'Total users</span>\s*<span class="number">([\d,]+)', html)[1].replace(",", ""))  # type: ignore[index]

    assert total("?imports=without") < total("")


def test_a_condition_is_kept_under_an_id_and_never_stands_in_an_address(client: Client) -> None:
    user = client("marketer")
    answer = user.post("/insight/market/portrait", {**SEGMENT, "columns": "crm.level"})
    assert answer.status == 303
    assert "gender" not in answer.where and "%E5%A5%B3" not in answer.where
    page = user.get(answer.where)
    assert CONDITION in page.text
    assert "TGI" in page.text
    assert re.search(r"\d – \d+ (yes|not significant) ", page.text), "noise decides which of the two"
    assert "Coverage" in page.text
    other = client("analyst").get(answer.where)
    assert other.status == 200 and CONDITION in other.text, "pages can be linked"
    again = user.post("/insight/market/portrait", {**SEGMENT, "columns": "crm.level"})
    assert again.where == answer.where


def test_values_make_a_condition_and_quotes_in_them_do_no_harm(client: Client) -> None:
    user = client("marketer")
    answer = user.post("/insight/market/portrait", {"in:users.gender": ["女"], "in:crm.level": ["金卡", "银卡"]})
    assert "crm.level IN ('金卡', '银卡')" in user.get(answer.where).text
    odd = user.post("/insight/market/portrait", {"in:users.gender": ["女' OR '1'='1"]})
    assert odd.status in (303, 400, 409)
    if odd.status == 303:
        assert "'女'' OR ''1''=''1'" in user.get(odd.where).text


@pytest.mark.parametrize("where", ["users.phone = '1'", "1 = 1; SELECT 1", "gender ="])
def test_what_the_gate_refuses_is_refused_here(client: Client, where: str) -> None:
    answer = client("marketer").post("/insight/market/portrait", {"segment_text": where})
    assert answer.status in (400, 409)


def test_the_price_is_shown_before_anything_is_charged(client: Client) -> None:
    text = client("marketer").get("/insight/market/refresh").text
    assert re.search(r"Price [\d.]+% of a month's budget", text)
    assert re.search(r"Make the board for [\d.]+%", text)


def test_one_s_own_numbers_are_counted_once_and_are_exact(own_market: Path, signed_in: Callable[..., Any]) -> None:
    with served(own_market) as url:
        user = signed_in(url, own_market, "marketer")
        assert "have not been counted yet" in user.get("/insight/market/overview?dataset=crm").text
        answer = user.post("/insight/market/board", {"dataset": "crm"})
        assert answer.where.startswith("/jobs/")
        price = user.post("/insight/market/board", {"dataset": "users"})
        assert price.where.startswith("/jobs/")
        board = next(job for job in user.get("/jobs").html.split("<tr>") if price.where.split("?")[0] in job)
        assert "board" in board

        _older_board(own_market)
        page = user.get("/insight/market/overview")
        day = re.findall(r'<option value="(\d{4}-\d\d-\d\d)"', page.html)[1]
        beside = user.get(f"/insight/market/overview?beside={day}").text
        assert re.search(r"[+-][\d.]+ % \([+-][\d.]+ – [+-][\d.]+\)", beside)
        compared = user.get("/insight/market/compare").text
        assert f"Against the period before · {day}" in compared
        assert "There is no board of that day" in compared, "52 weeks before"
        assert "Diagnosis" in user.get("/insight/market/care").text
        trend = user.get("/insight/market/trend?metric=visitors&period=month").text
        assert day in trend
        user.close()


def test_views_are_saved_renamed_and_deleted_by_their_user_alone(
    own_market: Path, signed_in: Callable[..., Any]
) -> None:  # fmt: skip
    with served(own_market) as url:
        user, other = (signed_in(url, own_market, name) for name in ("marketer", "analyst"))
        saved = user.post("/insight/market/saved", {"view_name": " My  week ", "tab": "funnel",
                                                    "query": "window=7&as=xlsx&evil=1"})  # fmt: skip
        assert saved.where == "/insight/market/funnel?window=7"
        assert "My week" in user.get("/insight/market/funnel").text
        assert "My week" not in other.get("/insight/market/saved").text
        number = kept.kept_of(Home.open(own_market), "marketer").views[0].id
        assert other.post(f"/insight/market/saved/{number}/delete").status == 400
        user.post(f"/insight/market/saved/{number}/rename", {"view_name": "<b>Week</b>"})
        listed = user.get("/insight/market/saved")
        assert "&lt;b&gt;Week&lt;/b&gt;" in listed.html and "<b>Week" not in listed.html
        assert user.post("/insight/market/saved", {"view_name": "", "tab": "funnel"}).status == 400
        assert user.post("/insight/market/saved", {"view_name": "x", "tab": "nothing"}).status == 400
        user.post(f"/insight/market/saved/{number}/delete")
        assert "Week" not in user.get("/insight/market/saved").text
        user.close()
        other.close()


def test_what_is_kept_is_sealed_and_a_change_is_noticed(own_market: Path) -> None:
    home = Home.open(own_market)
    number = kept.keep_condition(home, "marketer", "market", CONDITION)
    kept.save(home, "marketer", "Women", "market", "portrait", f"segment={number}")
    file = next((own_market / "console").glob("*.insight"))
    content = file.read_bytes()
    assert b"gender" not in content and "女".encode() not in content and b"Women" not in content
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError):
        kept.condition(home, "elsewhere", number)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BadData):
        kept.kept_of(home, "marketer")


def test_a_view_s_condition_outlives_many_others(own_market: Path) -> None:
    home = Home.open(own_market)
    first = kept.keep_condition(home, "marketer", "market", CONDITION)
    kept.save(home, "marketer", "Women", "market", "portrait", f"segment={first}")
    many = tuple(kept.Condition(f"{n:016x}", "market", f"x = {n}") for n in range(kept.MOST_CONDITIONS + 20))
    held = kept.kept_of(home, "marketer")
    kept._change(home, "marketer", lambda _: replace(held, conditions=(*held.conditions, *many)))
    kept.keep_condition(home, "marketer", "market", "users.gender = '男'")
    assert kept.condition(home, "market", first) == CONDITION
    assert len(kept.kept_of(home, "marketer").conditions) == kept.MOST_CONDITIONS + 1


def _older_board(home: Path) -> None:
    """A board of 30 days before, as if it had been released then."""
    import datetime as dt

    boards = Boards(Home.open(home))
    now = boards.latest("market", "users")
    assert now is not None
    counts = {name: np.maximum(0, each - each // 10) for name, each in now.counts.items()}
    back = dt.timedelta(days=30)
    made = (dt.datetime.fromisoformat(now.made) - back).isoformat()
    older = replace(now, counts=counts, report_date=now.report_date - back, made=made, receipt="0" * 64)
    boards.keep("market", older, "f" * 64)
