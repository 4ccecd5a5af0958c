"""Every page that a role reaches by links, in a real browser: nothing serious for axe, nothing cut.

It takes minutes, and is of `make stories`; `make screenshots` does it in all languages, widths and schemes."""

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


STARTS = ("/", "/crowds/new", "/query/market", "/data", "/insight/market/overview")
"""Screens on which scripts do most: a rule is built, a question priced, a file taken in, charts are drawn."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "party", "form"),
    [("owner", "merchant", ("zh", "desktop", "light")), ("operator", "platform", ("en", "phone", "dark"))],
    ids=["merchant", "platform"],
)
def test_every_page_is_whole(
    client: Callable[..., Client], browser: Browser, role: str, party: str, form: tuple[str, str, str]
) -> None:
    """form: language, width, scheme."""
    user, looked, (language, width, scheme) = client(role, party), Looked(), form
    pages = crawl(browser, user._origin, user.name, looked, language=language, width=width, scheme=scheme,
                  start=STARTS if user.name == "owner" else ("/",))  # fmt: skip
    assert len(pages) > 4
    assert not looked.wrong, "\n".join(looked.wrong)
