"""What all pages share: the languages, what was typed when one changes, charts and tables to take along, errors."""

import csv
import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from cleanroom.console import pages
from cleanroom.console.language import refilled
from cleanroom.console.pages import Page, Pages, Sheet
from cleanroom.console.pictures import Chart
from cleanroom.report import charts
from tests.console.conftest import Client

pytestmark = pytest.mark.xdist_group("console")
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


@given(TEXTS, TEXTS, st.booleans(), st.sampled_from(["a", "b", "c"]))
def test_another_language_keeps_what_was_typed(text: str, area: str, ticked: bool, chosen: str) -> None:
    page = (
        '<!doctype html><html><body><form><input name="text" value="old"><textarea name="area">old\n</textarea>'
        '<input type="checkbox" name="box" value="yes" checked><input type="password" name="secret">'
        '<select name="which"><option value="a" selected>A</option><option value="b">B &amp; b</option>'
        '<option value="c">C</option></select></form></body></html>'
    )
    fields = {"text": [text], "area": [area], "which": [chosen], "secret": ["never"], "box": ["yes"][: int(ticked)]}
    found = refilled(page, fields)
    assert f'<input name="text" value="{escape(text)}">' in found
    assert f'<textarea name="area">\n{escape(area)}</textarea>' in found
    assert ("checked" in found) == ticked
    assert re.findall(r'<option value="(.)" selected>', found) == [chosen]
    assert "never" not in found
    assert "B &amp; b" in found


def test_what_is_not_a_form_stays_as_it_was() -> None:
    page = '<!doctype html>\n<p title="a &amp; b">1 &lt; 2 &#233;<br><svg viewBox="0 0 1 1"><path d="M0 0"/></svg></p>'
    assert refilled(page, {}) == page.replace('viewBox="0 0 1 1"', 'viewbox="0 0 1 1"')


def test_the_language_is_the_browsers_until_one_is_chosen(client: Callable[..., Client]) -> None:
    owner = client("owner")
    assert 'lang="zh-CN"' in owner.get("/jobs", language="zh-CN,zh;q=0.9").html
    assert 'lang="en"' in owner.get("/jobs").html
    shown = owner.post("/language", {"to": "zh"}, part=True, **{"hx-current-url": f"{owner._origin}/jobs?state=done"})
    assert 'lang="zh-CN"' in shown.html
    assert "任务" in shown.text
    assert "cleanroom-language=zh" in shown.headers["set-cookie"]
    owner._http.cookies.delete("cleanroom-language")


def test_an_unknown_page_and_an_odd_field_say_so_in_words(client: Callable[..., Client]) -> None:
    owner = client("owner")
    assert "There is no such page" in owner.get("/nowhere").text
    assert owner.get("/nowhere").status == 404
    part = owner.get("/jobs/0000", part=True)
    assert (part.headers["hx-retarget"], part.status) == ("#notice", 400)
    assert "There is no" in part.text


def _request(query: str = "") -> Any:
    return Request({"type": "http", "method": "GET", "path": "/x", "query_string": query.encode(), "headers": []})


@pytest.fixture
def page() -> Page:
    rows = [["=1+1", 5], ["b", None]]
    chart = Chart("people", "People", ["group", "people"], rows,
                  lambda: charts.bars("People", [charts.Bar("=1+1", 5), charts.Bar("b", None)]))  # fmt: skip
    return Page("figure.html", {}, [chart])


def test_a_chart_can_be_taken_along_in_three_forms(page: Page) -> None:
    made = Pages()
    svg = made.answered(page, None, {"chart": "people", "as": "svg"})
    png = made.answered(page, None, {"chart": "people", "as": "png"})
    table = made.answered(page, None, {"chart": "people", "as": "csv"})
    assert bytes(svg.body).startswith(b"<svg")
    assert bytes(png.body).startswith(b"\x89PNG")
    rows = list(csv.reader(io.StringIO(bytes(table.body).decode("utf-8-sig"))))
    assert rows == [["group", "people"], ["'=1+1", "5"], ["b", "withheld"]]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_table_is_a_formula(sign: str) -> None:
    import openpyxl

    sheet = Page("figure.html", {}, sheets=[Sheet("a/b", ["x"], [[f"{sign}1+1"], [None], [7]])])
    content = bytes(Pages().answered(sheet, None, {"as": "xlsx"}).body)
    tab = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    assert [cell.data_type for (cell,) in tab.iter_rows(min_row=2)] == ["s", "s", "n"]
    assert bytes(pages._csv(["x"], [[f"{sign}1+1"]])).decode("utf-8-sig").splitlines()[1].lstrip('"').startswith("'")


def test_a_chart_never_drawn_is_fetched_by_itself_and_then_stands_in_the_page(page: Page) -> None:
    made = Pages()
    assert made.pictures.shown(page.charts[0]).svg is None
    from types import SimpleNamespace

    visit = SimpleNamespace(request=_request("room=a"))
    part = bytes(made.answered(page, visit, {"chart": "people", "as": "figure"}).body).decode()
    assert "<svg" in part
    assert "withheld" in part
    assert made.pictures.shown(page.charts[0]).svg is not None
