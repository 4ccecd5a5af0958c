"""Every page that a role can reach by links, looked at; run by the tests, and by `make screenshots` in all forms.

python -m tests.console.browser.crawling REPORT    # all pages, both languages and widths; a report of axe and times
"""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.console.browser.looking import Looked, at, browsing, look, milliseconds

_MOST_PAGES = 120
_LEFT_OUT = re.compile(r"[?&]as=|/static/|^/sign|/download|\.(json|csv|xlsx|svg|png|html)$")


def crawl(browser: Browser, url: str, role: str, looked: Looked, *, language: str, width: str, scheme: str,
          start: tuple[str, ...] = ("/",)) -> list[str]:  # fmt: skip
    """The pages that were found, by following links; of pages that differ by their query alone the first three."""
    seen: dict[str, int] = {}
    pages: list[str] = []
    waiting = list(start)
    with at(browser, url, role, language=language, width=width, look=scheme, looked=looked) as page:
        while waiting and len(pages) < _MOST_PAGES:
            path = waiting.pop(0)
            kind = _kind(path)
            if path in pages or seen.get(kind, 0) >= (3 if "?" not in path else 1):
                continue
            answer = page.goto(url + path)
            if answer is None or answer.status != 200:
                looked.wrong.append(f"{role} {path}: status {answer.status if answer else 0}")
                continue
            seen[kind] = seen.get(kind, 0) + 1
            pages.append(path)
            word = re.sub(r"[^a-z0-9]+", "_", path.lower()).strip("_")[:60] or "home"
            look(page, f"{role}-{word}-{language}-{width}-{scheme}", looked, language=language)
            again = page.request.get(url + path)
            looked.times[path] = max(looked.times.get(path, 0.0), milliseconds(again.headers))
            found = page.eval_on_selector_all(
                "a[href^='/']:not([hx-boost=false])", "all => all.map(e => e.getAttribute('href'))"
            )
            waiting += [each.partition("#")[0] for each in found if not _LEFT_OUT.search(each)]
    return pages


def _kind(path: str) -> str:
    """Pages that look alike: numbers and codes replaced."""
    bare = re.sub(r"/[0-9A-Fa-f]{6,}(?=/|$|\?)|/[CTL][0-9a-f]{16}", "/*", path)
    return re.sub(r"=[^&]*", "=*", bare)


FORMS = [
    ("merchant", "owner", "en", "desktop", "light"), ("merchant", "owner", "zh", "desktop", "dark"),
    ("merchant", "owner", "zh", "phone", "light"), ("merchant", "owner", "en", "phone", "dark"),
    ("merchant", "marketer", "zh", "phone", "dark"), ("merchant", "auditor", "en", "desktop", "light"),
    ("platform", "operator", "zh", "desktop", "light"),
]  # fmt: skip
"""Every screen in both languages, widths and schemes, as the owner sees it; then what others see."""


def main(report: Path) -> None:
    """All of `FORMS`."""
    from tests.console.conftest import make_market, served

    lines: list[tuple[str, str, str, int, int]] = []
    times: dict[str, float] = {}
    axe: list[tuple[str, str, str, str]] = []
    with tempfile.TemporaryDirectory() as folder, browsing() as browser:
        home = make_market(Path(folder) / "home")
        with served(home) as merchant, served(home / "peers" / "platform") as platform:
            for party, role, language, width, scheme in FORMS:
                looked, url = Looked(), merchant if party == "merchant" else platform
                pages = crawl(browser, url, role, looked, language=language, width=width, scheme=scheme)
                lines.append((f"{role}, {party}", language, f"{width}, {scheme}", len(pages), len(looked.wrong)))
                axe += looked.axe
                for path, took in looked.times.items():
                    times[path] = max(took, times.get(path, 0.0))
                sys.stderr.write("".join(f"{each}\n" for each in looked.wrong))
    _write(report, lines, times, axe)


def _write(report: Path, lines: list[tuple[str, str, str, int, int]], times: dict[str, float],
           axe: list[tuple[str, str, str, str]]) -> None:  # fmt: skip
    text = ["# The console in a browser", "",
            "Written by `make screenshots`: Debian's Chromium, axe-core, made-up data.", "",
            "| user | language | width, scheme | pages | found wrong |", "|---|---|---|---|---|"]  # fmt: skip
    text += [f"| {' | '.join(map(str, line))} |" for line in lines]
    rules = sorted({(rule, impact) for _, _, rule, impact in axe})
    text += ["", "## axe", ""]
    text += [f"- {rule} ({impact}): {sum(each[2] == rule for each in axe)} pages" for rule, impact in rules] or [
        "No violation of any impact on any page."]  # fmt: skip
    text += ["", "## Server time of each page, seen before, milliseconds (the slowest of all runs)", "",
             "| page | ms |", "|---|---|"]  # fmt: skip
    known: dict[str, float] = {}
    for path, took in times.items():
        known[_kind(path)] = max(took, known.get(_kind(path), 0.0))
    text += [f"| `{path}` | {took:.0f} |" for path, took in sorted(known.items(), key=lambda each: -each[1])]
    report.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
