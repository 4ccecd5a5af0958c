"""Every page that a role reaches by links, in a real browser: nothing serious for axe, nothing cut.

The suite looks at the first pages, one of a kind; `slow` is at all of them, which takes minutes, and `make screenshots`
does that in all languages, widths and schemes."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.console.browser.crawling import MOST_PAGES, crawl
from tests.console.browser.looking import Looked, browsing
from tests.console.conftest import Client

pytestmark = pytest.mark.xdist_group("console")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


STARTS = ("/", "/crowds/new", "/query/market", "/data", "/insight/market/overview")
"""Screens on which scripts do most: a rule is built, a question priced, a file taken in, charts are drawn."""


users = pytest.mark.parametrize(
    ("role", "party", "form"),
    [("owner", "merchant", ("zh", "desktop", "light")), ("operator", "platform", ("en", "phone", "dark"))],
    ids=["merchant", "platform"],
)


def look_around(browser: Browser, user: Client, most: int, form: tuple[str, str, str], pictures: bool) -> None:
    """Raises AssertionError for whatever is wrong on the pages. form: language, width, scheme."""
    looked, (language, width, scheme) = Looked(), form
    pages = crawl(browser, user._origin, user.name, looked, language=language, width=width, scheme=scheme,
                  start=STARTS if user.name == "owner" else ("/",), pictures=pictures, most=most)  # fmt: skip
    assert len(pages) > 4
    assert not looked.wrong, "\n".join(looked.wrong)


@users
def test_the_first_pages_are_whole(
    client: Callable[..., Client], browser: Browser, role: str, party: str, form: tuple[str, str, str]
) -> None:
    look_around(browser, client(role, party), 8, form, pictures=False)


@pytest.mark.slow
@users
def test_every_page_is_whole(
    client: Callable[..., Client], browser: Browser, role: str, party: str, form: tuple[str, str, str]
) -> None:
    look_around(browser, client(role, party), MOST_PAGES, form, pictures=True)
