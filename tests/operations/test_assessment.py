"""The assessment says who, what, why, how long, who learns what, in both languages, and shows no value of the data."""

import json
from pathlib import Path

import pytest

from cleanroom import lang
from cleanroom.operations.assessment import assessed, sections, write
from tests.operations.world import PLANTED, World, world


@pytest.fixture
def parties(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(lang, "_current", request.param)
    return str(request.param)


def test_it_says_what_the_law_asks_for(parties: World, tmp_path: Path, language: str) -> None:
    parties.ask(parties.merchant, parties.question(), b"noise")
    result = assessed(parties.merchant.path, "spring")
    json.dumps(result)
    assert (result["questions"], [each["by"] for each in result["releases"]]) == (1, [["level"]])
    assert int(result["keep_until"][:4]) == int(result["made"][:4]) + 3
    write(tmp_path / "spring.html", result)
    text = (tmp_path / "spring.html").read_text("utf-8")
    wanted = ["audience overlap", "spend", "consent 7", "2099-01-01", "dh", "100", result["digest"], "________"]
    wanted += {"en": ["Legal ground", "article 35", "persons on every count", "GDPR"],
               "zh": ["个人信息保护法", "第五十五条", "法律依据", "风险"]}[language]  # fmt: skip
    assert [each for each in wanted if each not in text] == []
    assert PLANTED not in text
    assert "<script" not in text
    for party in ("merchant", "platform"):
        assert lang.t(party) in text


def test_a_room_without_noise_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cleanroom.rooms.terms import ReleaseRules
    from tests.operations import world as worlds

    monkeypatch.setattr(worlds, "NOISY", ReleaseRules(("merchant", "platform")))
    result = assessed(world(tmp_path).platform.path, "spring")
    told = " ".join(str(cell) for _, _, rows in sections(result) for row in rows for cell in row)
    assert "exact" in told
    assert result["budgets"] == []


def test_budgets_stand_in_it(parties: World) -> None:
    before = assessed(parties.merchant.path, "spring")["budgets"][0]["spent"]["rho_micro"]
    parties.ask(parties.merchant, parties.question(), b"noise")
    after = assessed(parties.merchant.path, "spring")["budgets"][0]["spent"]["rho_micro"]
    assert after - before == parties.charge.rho_micro
