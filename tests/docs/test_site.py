"""The documentation as a site: it builds strictly, asks nobody else for anything, is as complete in Chinese as in
English where merchants and marketers read, and its pages that are made from the code are what the code says."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAIRS = sorted(path for path in DOCS.rglob("*.zh-CN.md"))
BOTH = (
    "index", "tutorial", "how-to/merchant", "how-to/marketer", "how-to/provider", "how-to/analyst", "how-to/approver",
    "how-to/platform", "how-to/auditor", "privacy-in-plain-words", "c-care", "who-learns-what", "protocols/index",
    "crowds", "activation", "measurement", "lookalike", "private-domain", "metrics", "operations", "reference/cli",
    "reference/settings",
)  # fmt: skip
"""What a merchant or a marketer reads."""
LOADS = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
}
MENTIONED = ("canonical", "alternate", "next", "prev")
"""Relations of a link that no browser follows by itself."""


def python(*words: str) -> "subprocess.CompletedProcess[str]":
    told = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "CLEANROOM_LANG": "en"}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=told, capture_output=True, text=True, encoding="utf-8", timeout=600
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "built"
    done = python("-m", "mkdocs", "build", "--strict", "--site-dir", str(folder))
    assert done.returncode == 0, "\n".join(
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("WARNING", "ERROR", "Aborted"))
    )
    return folder


class Asked(HTMLParser):
    """Whatever a page has its browser load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADS and not (tag == "link" and given.get("rel") in MENTIONED):
            self.addresses.append(given.get(LOADS[tag]) or "")


def outside(address: str) -> bool:
    return bool(re.match(r"(?:[a-z]+:)?//", address))


def test_no_page_asks_anybody_else_for_anything(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 100
    found = {address for page in pages for address in Asked(page.read_text("utf-8")).addresses}
    assert any(address.endswith(".css") for address in found)
    assert [address for address in found if outside(address)] == []
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]
    assert [
        url
        for text in styles
        for url in re.findall(r"""url\(["']?([^"')]+)|@import ["']([^"']+)""", text)
        if outside("".join(url))
    ] == []


def test_what_would_be_an_outside_request_is_seen() -> None:
    text = '<link rel="stylesheet" href="https://fonts.example/a.css"><script src="//cdn.example/b.js"></script><a href="https://x.example">'
    assert list(map(outside, Asked(text).addresses)) == [True, True]


def test_both_languages_are_built_with_a_way_between_them(site: Path) -> None:
    for name in BOTH:
        english, chinese = (site / folder / f"{name}.html" for folder in ("", "zh-CN"))
        assert 'hreflang="zh-CN"' in english.read_text("utf-8")
        text = chinese.read_text("utf-8")
        assert '<html lang="zh"' in text
        heading = re.search(r"<h1[^>]*>(.*?)<", text)
        assert heading is not None
        assert re.search(r"[\u4e00-\u9fff]", heading[1]) or name == "index"


def test_the_menu_is_translated_entry_by_entry() -> None:
    class Loader(yaml.SafeLoader):
        """Names of functions, which the configuration holds, are left alone."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    config = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader)
    chinese = next(plugin["i18n"] for plugin in config["plugins"] if "i18n" in plugin)["languages"][1]

    def titles(nav: list[object]) -> set[str]:
        named = [entry for entry in nav if isinstance(entry, dict)]
        inner = [titles(value) for entry in named for value in entry.values() if isinstance(value, list)]
        return {title for entry in named for title in entry}.union(*inner)

    assert titles(config["nav"]) - {"vole"} == set(chinese["nav_translations"])


@pytest.mark.parametrize("name", BOTH)
def test_there_is_a_chinese_page(name: str) -> None:
    assert (DOCS / f"{name}.zh-CN.md") in PAIRS


def parts(path: Path) -> list[str]:
    """The form of a page: its headings' levels, its tables' rows and its blocks, in order."""
    kept, inside = [], False
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
            kept.append(line)
        elif not inside and re.match(r"#+ |\|", line):
            kept.append(line.split(" ")[0] if line.startswith("#") else "row")
    return kept


@pytest.mark.parametrize("chinese", PAIRS, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_a_page_has_the_same_parts_in_both_languages(chinese: Path) -> None:
    english = chinese.with_name(chinese.name.replace(".zh-CN.md", ".md"))
    assert parts(chinese) == parts(english)


def test_pages_that_are_made_from_the_code_are_what_it_says() -> None:
    done = python("scripts/reference.py", "--check")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
