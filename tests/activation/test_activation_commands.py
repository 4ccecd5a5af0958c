"""The commands `activation` and `coupon`: what they print, in both languages, for people and programs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleanroom import lang
from cleanroom.activation import memberships
from cleanroom.commands import activation
from tests.activation import world
from tests.activation.server import running
from tests.activation.world import ROOM, USERS, note, rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = world.new(tmp_path_factory.mktemp("platform"))
    memberships.keep(home, ROOM, note(), USERS, rows(range(2_500)), "ab" * 32, noised=2_480, columns=("crm.tier",))
    return home.path


def run(app: object, *words: str) -> str:
    found = CliRunner().invoke(app, list(words), catch_exceptions=False)  # type: ignore[arg-type]
    assert found.exit_code == 0, found.output
    return found.stdout


def test_a_crowd_from_the_list_to_its_end(made: Path) -> None:
    home = ["--home", str(made)]
    (version,) = json.loads(run(activation.app, "list", ROOM, *home, "--json"))["versions"]
    assert version["members"] == 2_500
    assert "message" in run(activation.app, "list", ROOM, *home)
    assert "crm.tier" in run(activation.app, "show", ROOM, "C1", *home)
    assert "Nothing was sent yet" in run(activation.app, "status", ROOM, *home)
    with running() as channel:
        (made / "activation.toml").write_text(f'[push.message]\nurl = "{channel.url}"\n')
        assert "2,500" in run(activation.app, "send", ROOM, "C1", *home)
    assert json.loads(run(activation.app, "status", ROOM, *home, "--json"))["sends"][0]["sent"] == 2_500
    assert "done" in run(activation.app, "status", ROOM, *home)
    assert "Removed: 0 versions" in run(activation.app, "sweep", *home)


def test_coupons_are_made_listed_and_shown(made: Path) -> None:
    home = ["--home", str(made)]
    terms = ["--name", "Spring", "--value", "2000", "--threshold", "10000", "--quantity", "50", "--store", "S01",
             "--cell", "8928308280fffff", "--city", "Hangzhou",
             "--begins", "2026-03-01", "--ends", "2026-03-31"]  # fmt: skip
    told = json.loads(run(activation.coupons, "create", "SPRING20", *terms, *home, "--json"))
    assert told["face_value"] == 2_000
    assert "SPRING20" in run(activation.coupons, "list", *home)
    assert told["digest"] in run(activation.coupons, "show", "SPRING20", *home)


def test_every_text_has_its_chinese() -> None:
    import re

    known = json.loads(Path(lang.__file__).with_name("zh").joinpath("activation.json").read_text("utf-8"))
    for english, chinese in known.items():
        assert sorted(re.findall(r"{(\w+)}", english)) == sorted(re.findall(r"{(\w+)}", chinese)), english
