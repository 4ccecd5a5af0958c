"""A real browser at the console, and what is looked at on every page: axe, cut text, width, language, errors."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.console.conftest import PASSWORD

SHOTS = Path(__file__).parents[3] / "screenshots"
"""Pictures of the last run; git ignores them."""
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
_HARMLESS = "responded with a status of 4"
"""What a browser says of a refusal that we meant."""
_AS_WRITTEN = ("marketing to members", "cleanroom ")
"""What the demo's people wrote, and commands."""
SERIOUS = ("serious", "critical")
_CUT = """() => [...document.querySelectorAll('#page *')].filter(e => {
  const style = getComputedStyle(e), text = [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim());
  if (!text || style.clipPath != 'none' || !e.checkVisibility() || e.closest('svg')) return false;
  const hides = s => s == 'hidden' || s == 'clip';
  const wide = e.scrollWidth > e.clientWidth + 1, tall = e.scrollHeight > e.clientHeight + 1;
  return (hides(style.overflowX) && wide) || (hides(style.overflowY) && tall);
}).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.trim().slice(0, 60))"""
_ENGLISH = """() => { const found = [];
  const walk = document.createTreeWalker(document.querySelector('#page'), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const n = walk.currentNode, e = n.parentElement;
    if (!e.checkVisibility() || e.closest('code, pre, .code, [lang=en], textarea, option[lang], .verbatim')) continue;
    const words = n.textContent.match(/[A-Za-z]{2,}( [A-Za-z]{2,}){2,}/); if (words) found.push(words[0]); }
  return found; }"""
"""Three English words in a row on a Chinese page, outside of what is code or said to be as somebody wrote it."""


@dataclass
class Looked:
    """What was found wrong, and how long each page took at the server, in milliseconds; axe: everything it named."""

    wrong: list[str] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    axe: list[tuple[str, str, str, str]] = field(default_factory=list)


def chromium() -> str:
    """Debian's own."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise RuntimeError("No Chromium is installed: apt-get install chromium")


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser without a window, and without anything of its own that dials out."""
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()


@contextmanager
def at(browser: Browser, url: str, user: str, *, language: str = "en", width: str = "desktop", look: str = "light",
       looked: Looked | None = None, password: str = "") -> Iterator[Page]:  # fmt: skip
    """A signed-in user's page. Errors of the browser's console are wrong, and so is any request to elsewhere."""
    size = WIDTHS[width]
    context = browser.new_context(
        locale="zh-CN" if language == "zh" else "en-GB", viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if look == "dark" else "light", accept_downloads=True, reduced_motion="reduce",
    )  # fmt: skip
    page = context.new_page()
    held = looked if looked is not None else Looked()
    page.on("console", lambda told: held.wrong.append(f"{page.url}: {told.text}")
            if told.type == "error" and _HARMLESS not in told.text else None)  # fmt: skip
    page.on("pageerror", lambda error: held.wrong.append(f"{page.url}: {error}"))
    page.on("request", lambda asked: None if asked.url.startswith((url, "data:", "blob:"))
            else held.wrong.append(f"asked {asked.url}"))  # fmt: skip
    page.goto(f"{url}/sign-in")
    page.fill("#name", user)
    page.fill("#password", password or PASSWORD.format(user))
    page.click("button.main")
    page.wait_for_load_state()
    yield page
    context.close()


def look(page: Page, name: str, looked: Looked, *, language: str) -> None:
    """Everything that is looked at on the page now shown; name: of its picture."""
    page.wait_for_function("() => !document.querySelector('.chart.waiting')", timeout=90_000)
    where = page.url.split("/", 3)[3].partition("?")[0]
    if page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        looked.wrong.append(f"{name} /{where}: wider than the window")
    looked.wrong += [f"{name} /{where}: cut: {text}" for text in page.evaluate(_CUT)]
    if language == "zh":
        english = [text for text in page.evaluate(_ENGLISH) if not text.startswith(_AS_WRITTEN)]
        looked.wrong += [f"{name} /{where}: English: {text}" for text in english]
    found: Any = Axe().run(page).response
    for each in found["violations"]:
        node = each["nodes"][0]["html"][:160]
        looked.axe.append((name, f"/{where}", each["id"], each["impact"] or ""))
        if each["impact"] in SERIOUS:
            looked.wrong.append(f"{name} /{where}: axe {each['id']} ({each['impact']}): {node}")
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def milliseconds(headers: dict[str, str]) -> float:
    """The server's time of a page."""
    found = re.search(r"dur=([\d.]+)", headers.get("server-timing", ""))
    return float(found[1]) if found else 0.0
