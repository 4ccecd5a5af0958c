"""Every page that a role reaches by links, in a real browser: nothing serious for axe, nothing cut.

`make screenshots` does the same in all languages, widths and schemes."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.console.browser.crawling import crawl
from tests.console.browser.looking import Looked, browsing
from tests.console.conftest import Client

pytestmark = pytest.mark.xdist_group("console")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.mark.parametrize(
    ("role", "party", "language", "width", "scheme"),
    [
        ("owner", "merchant", "zh", "desktop", "light"),
        ("operator", "platform", "en", "phone", "dark"),
    ],
)
def test_every_page_is_whole(
    client: Callable[..., Client], browser: Browser, role: str, party: str, language: str, width: str, scheme: str
) -> None:
    looked = Looked()
    pages = crawl(browser, client(role, party)._origin, role, looked, language=language, width=width, scheme=scheme)
    assert len(pages) > 4
    assert not looked.wrong, "\n".join(looked.wrong)
