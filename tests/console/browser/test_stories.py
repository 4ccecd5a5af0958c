"""What people come for, done in a real browser at the consoles of real nodes: from the demo that a new user starts.

Each story is one person's. Pictures of its steps are kept (`looking.SHOTS`), and each page is looked at as all others.
They take minutes and are `slow`: what they do is done in the suite without a window, a folder above, and the pages on
which scripts do most are looked at in `test_every_page.py`.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from cleanroom import auditing
from cleanroom.demo import nodes
from cleanroom.gateway import demo
from tests.console.browser.looking import Looked, at, browsing, look

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stories")]
LONG = 60_000
"""Milliseconds that a job may take on a busy machine."""


@dataclass
class Stage:
    """The demo at work. consoles: addresses by party; logins: password by party and user."""

    browser: Browser
    consoles: dict[str, str]
    logins: dict[tuple[str, str], str]
    looked: Looked

    @contextmanager
    def as_(self, user: str, party: str = "merchant", **how: Any) -> Iterator[Page]:
        """Signed in there."""
        with at(self.browser, self.consoles[party], user, password=self.logins[party, user], looked=self.looked,
                **how) as page:  # fmt: skip
            page.set_default_timeout(LONG)
            yield page

    def look(self, page: Page, name: str, language: str = "en") -> None:
        """At what is now shown."""
        look(page, f"story-{name}", self.looked, language=language)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage") / "demo"
    made = demo.prepare(folder, scale=0.3)
    with nodes.running(demo._homes(folder)) as running, browsing() as browser:
        demo._delegate(folder)
        logins = {(each["party"], each["user"]): each["password"] for each in made["logins"]}
        yield Stage(browser, running.consoles, logins, Looked())


@pytest.fixture(autouse=True)
def _nothing_wrong(stage: Stage) -> Iterator[None]:
    stage.looked.wrong.clear()
    yield
    assert not stage.looked.wrong, "\n".join(stage.looked.wrong)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A merchant's export as they come: GB 18030, masked and doubled numbers, an empty line, a total at the end."""
    rows = [["手机号", "会员等级", "累计消费"]]
    rows += [[f"139{n:08d}", "金卡" if n % 3 else "银卡", f"¥{n}.50"] for n in range(1500)]
    rows += [["139****0001", "金卡", "¥1.00"]] * 20 + [
        ["13900000001", "金卡", "¥9.00"],
        ["", "", ""],
        ["合计", "", "9"],
    ]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path = tmp_path_factory.mktemp("export") / "会员.csv"
    path.write_bytes(text.getvalue().encode("gb18030"))
    return path


def test_a_merchant_brings_data_and_reads_what_was_agreed(stage: Stage, export: Path) -> None:
    with stage.as_("owner", language="zh") as page:
        at_home = stage.consoles["merchant"]
        page.goto(f"{at_home}/data")
        page.set_input_files("input[type=file]", export)
        page.locator("form.drop button.main").click()
        expect(page.locator("h1")).to_have_text("会员.csv", timeout=LONG)
        expect(page.locator("main")).to_contain_text("1,500")
        stage.look(page, "merchant-1-mapping", "zh")
        page.fill("input[name=new]", "members2026")
        page.get_by_role("button", name="导入", exact=True).click()
        expect(page.locator("h1")).to_have_text("members2026", timeout=LONG)
        expect(page.locator("main")).to_contain_text("1,500")
        stage.look(page, "merchant-2-dataset", "zh")
        for path in ("/rooms/market", "/match/market", "/seen", "/"):
            page.goto(at_home + path)
            stage.look(page, f"merchant-3-{path.split('/')[1] or 'home'}", "zh")


def test_a_marketer_builds_a_crowd_and_an_approver_gives_it(stage: Stage) -> None:
    with stage.as_("marketer") as page:
        page.goto(stage.consoles["merchant"] + "/insight/market/overview")
        stage.look(page, "marketer-1-overview")
        page.goto(stage.consoles["merchant"] + "/crowds/new")
        page.get_by_role("button", name="Build a rule").click()
        expect(page.locator("#builder")).to_be_visible()
        groups = page.locator("#p0\\.n0\\.c0-column")
        groups.select_option(groups.locator("option[value='users.reach']").get_attribute("value"))
        page.get_by_role("group").get_by_label("yes", exact=True).first.check()
        expect(page.locator("#builder")).to_contain_text("±")
        page.locator("input[name=name]").fill("Reachable now")
        page.get_by_role("button", name="中文").click()
        expect(page.locator("html")).to_contain_text("人群")
        assert page.locator("input[name=name]").input_value() == "Reachable now"
        stage.look(page, "marketer-2-builder", "zh")
        page.get_by_role("button", name="English").click()
        page.get_by_role("button", name="Save the crowd").click()
        expect(page.locator("h1")).to_contain_text("Reachable now")
        page.get_by_role("button", name="Freeze the version of the day").click()
        expect(page.locator("main")).to_contain_text("The version of the day is frozen", timeout=LONG)
        page.get_by_role("link", name="Overview", exact=True).click()
        stage.look(page, "marketer-3-crowd")
        page.get_by_role("button", name="Ask an approver").click()
        stage.look(page, "marketer-4-asked")
        code = page.url.rpartition("/")[2].partition("?")[0]
    with stage.as_("approver", language="zh") as page:
        page.goto(stage.consoles["merchant"] + f"/activations/{code}")
        stage.look(page, "approver-1-tells", "zh")
        page.locator("input[name=sure]").check()
        page.get_by_role("button", name="交付当天版本").click()
        page.wait_for_url(f"**/activations/{code}*", timeout=LONG)
        expect(page.locator("main table")).to_contain_text("1,", timeout=LONG)
        stage.look(page, "approver-2-given", "zh")


def test_an_analyst_is_told_what_is_wrong_then_asks(stage: Stage) -> None:
    with stage.as_("analyst") as page:
        page.goto(stage.consoles["merchant"] + "/query/market")
        page.locator("#editor textarea").fill("SELECT crm.level, MAX(crm.spend) FROM matched GROUP BY crm.level")
        page.get_by_role("button", name="What does it mean and cost?").click()
        expect(page.locator("#told mark")).to_contain_text("crm.spend")
        stage.look(page, "analyst-1-refused")
        page.locator("#editor textarea").fill("SELECT crm.level, COUNT(*) FROM matched GROUP BY crm.level")
        page.get_by_role("button", name="What does it mean and cost?").click()
        expect(page.locator("#told")).to_contain_text("Nothing was computed, and nothing charged.")
        stage.look(page, "analyst-2-price")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("h1")).to_contain_text("Answer", timeout=LONG)
        expect(page.locator("main")).to_contain_text("±")
        stage.look(page, "analyst-3-answer")
        with page.expect_download() as taken:
            page.locator(".take a", has_text="CSV").first.click()
        rows = list(csv.reader(io.StringIO(Path(taken.value.path()).read_text("utf-8-sig"))))
        assert len(rows) > 2


def test_a_provider_works_for_its_merchant(stage: Stage) -> None:
    with stage.as_("marketer", "provider") as page:
        page.goto(stage.consoles["provider"] + "/clients")
        stage.look(page, "provider-1-clients")
        page.get_by_role("link", name="Work there").first.click()
        expect(page.locator("h1")).to_contain_text("merchant")
        page.get_by_role("link", name="Insight").last.click()
        stage.look(page, "provider-2-merchant")
        page.locator("main form").get_by_role("button", name="Show").first.click()
        expect(page.locator("main")).to_contain_text("95 of 100", timeout=LONG)
        stage.look(page, "provider-3-insight")


def test_a_platforms_operator_keeps_channels_and_sees_no_data(stage: Stage) -> None:
    with stage.as_("operator", "platform", language="zh", width="phone") as page:
        page.goto(stage.consoles["platform"] + "/catalogue")
        page.fill("input[name=name]", "newsletter")
        page.fill("input[name=zh]", "会员通讯")
        page.fill("input[name=en]", "Newsletter")
        page.fill("textarea[name=purposes]", "会员营销")
        page.get_by_role("button", name="保存").click()
        expect(page.locator("main")).to_contain_text("newsletter 已在目录中")
        stage.look(page, "operator-1-channels", "zh")
        page.goto(stage.consoles["platform"] + "/catalogue/usage")
        stage.look(page, "operator-2-usage", "zh")
        assert page.goto(stage.consoles["platform"] + "/query").status == 403  # type: ignore[union-attr]


def test_an_auditor_checks_the_ledger_and_takes_it_along(stage: Stage, tmp_path: Path) -> None:
    with stage.as_("auditor", language="zh", look="dark") as page:
        page.goto(stage.consoles["merchant"] + "/audit")
        stage.look(page, "auditor-1-ledger", "zh")
        page.goto(stage.consoles["merchant"] + "/audit/verify")
        page.get_by_role("button", name="立即核验").click()
        expect(page.locator("#steps li, #steps tr").first).to_be_visible()
        stage.look(page, "auditor-2-verified", "zh")
        with page.expect_download() as taken:
            page.locator("a[href='/audit/export']").click()
        file = tmp_path / "export"
        taken.value.save_as(file)
        assert auditing.verified_export(tmp_path / "nowhere", file, None, None)["entries"]
        page.goto(stage.consoles["merchant"] + "/audit/receipts")
        page.locator("main table a").first.click()
        stage.look(page, "auditor-3-receipt", "zh")
