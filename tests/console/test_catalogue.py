"""The platform operator's screen: channels, tags, quotas, usage; and nothing of the data."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cleanroom.access import catalogue
from cleanroom.home import Home
from tests.console.conftest import Client, served
from tests.near import new_home

pytestmark = pytest.mark.xdist_group("console")


def test_the_operator_sees_who_used_how_much_and_no_question(client: Callable[..., Client]) -> None:
    page = client("operator", "platform").get("/catalogue/usage")
    assert "merchant" in page.text
    assert "金卡" not in page.text
    assert "crm.level" not in page.text
    table = client("operator", "platform").get("/catalogue/usage?as=xlsx")
    assert table.content.startswith(b"PK")


def test_channels_tags_and_quotas_are_kept_and_removed(
    tmp_path: Path, signed_in: Callable[[str, Path, str], Client]
) -> None:
    from cleanroom.access import users

    home = new_home(tmp_path / "home", "platform")
    (home.path / "node.toml").write_text('role = "platform"\n')
    (home.path / "node.toml").chmod(0o600)
    users.add(home, "operator", ["operator"], "correct horse battery operator")
    with served(home.path) as url:
        operator = signed_in(url, home.path, "operator")
        assert "No channels yet" in operator.get("/catalogue").text
        kept = operator.post("/catalogue/channels", {"name": "message", "zh": "消息", "en": "Messages",
                                                     "purposes": "marketing\n\nservice"})  # fmt: skip
        assert kept.where == "/catalogue"
        assert "marketing; service" in operator.get("/catalogue").text
        assert (
            operator.post("/catalogue/tags", {"name": "nodot", "zh": "a", "en": "b", "description": "c"}).status == 422
        )
        assert operator.post("/catalogue/tags", {"name": "users.city", "zh": "城市", "en": "City",
                                                 "description": "where"}).status == 303  # fmt: skip
        assert "City" in operator.get("/catalogue/tags").text
        assert operator.post("/catalogue/quotas", {"peer": "shop", "runs": "many", "rows": "1"}).status == 400
        assert operator.post("/catalogue/quotas", {"peer": "shop", "runs": "3", "rows": "1000"}).status == 303
        assert catalogue.load(Home.open(home.path)).quotas[0].runs == 3
        operator.post("/catalogue/channels/drop", {"name": "message"})
        assert catalogue.load(Home.open(home.path)).channels == ()
        assert operator.get("/data").status == 403
        operator.close()
