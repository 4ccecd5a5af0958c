"""What the other side saw, as a page: who may see it, both directions, its links, its table."""

from collections.abc import Callable

import pytest

from tests.console.conftest import Client

pytestmark = pytest.mark.xdist_group("console")
Of = Callable[..., Client]


def test_the_page_tells_of_each_party_and_of_us(client: Of) -> None:
    auditor = client("auditor")
    platform, operator, ours = (auditor.get(f"/seen?party={name}") for name in ("platform", "operator", "merchant"))
    assert "Which of its own rows matched." in platform.text and "What platform did not learn" in platform.text
    assert "how often each token occurs" in operator.text and "A board of users" not in operator.text
    assert "A board of users" in ours.text and "did not learn" not in ours.text
    assert "nothing was learned" in platform.text


def test_every_receipt_on_it_can_be_opened(client: Of) -> None:
    auditor = client("auditor")
    html = auditor.get("/seen?party=merchant").html
    links = {part.split('"')[0] for part in html.split('href="/audit/receipts/')[1:]}
    assert len(links) == 3
    for link in links:
        assert auditor.get(f"/audit/receipts/{link}").status == 200


def test_wrong_parties_and_days_are_refused_in_words(client: Of) -> None:
    auditor = client("auditor")
    assert auditor.get("/seen?party=nobody").status == 400
    assert auditor.get("/seen?until=yesterday").status == 400
    assert auditor.get("/seen?days=0").status == 400


def test_it_is_for_those_who_may_audit(client: Of) -> None:
    assert client("marketer").get("/seen").status == 403
    assert client("auditor").get("/seen?as=xlsx").content[:2] == b"PK"


def test_the_platform_sees_the_same_of_the_merchant(client: Of) -> None:
    assert "How many rows platform brought" in client("auditor", "platform").get("/seen?party=merchant").text
