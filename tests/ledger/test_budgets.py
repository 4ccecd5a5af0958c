"""What is left of a budget is told as the ledger keeps it: over all rooms of a dataset, in ρ, in ε, in questions."""

import json

import pytest
from homes import answered, asked, charge, contract, homes
from typer.testing import CliRunner

import cli
from cleanroom import budgets, lang
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.ledger.ledger import Charge
from cleanroom.ledger.opening import open_ledger
from cleanroom.privacy import accounting
from cleanroom.rooms.terms import ReleaseRules
from cleanroom.terminal.budget import bar, questions_text, rounded

QUIET = ReleaseRules(("merchant", "platform"))
STRICT = ReleaseRules(("merchant", "platform"), noise="gaussian", sigma=40, epsilon=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The merchant asked once in one of its two rooms with noise; there is a third without."""
    folder = tmp_path_factory.mktemp("budgets")
    parties = homes(folder)
    spring = contract(parties)
    contract(parties, "strict", STRICT)
    contract(parties, "exact", QUIET)
    answered(parties, asked(spring), charge(spring))
    return folder


def run(*words):
    before = lang.current()
    try:
        done = CliRunner().invoke(cli.app, [*map(str, words)], prog_name="cleanroom", env={"COLUMNS": "200"})
    finally:
        lang.choose(before)
    return done.exit_code, done.output


def test_what_one_room_spent_is_spent_in_all(world):
    told = budgets.told(world / "merchant")
    spring, strict = told["budgets"]
    assert (spring["room"], strict["room"], told["exact"]) == ("spring", "strict", ["exact"])
    for each, epsilon, price in ((spring, 10, 1250), (strict, 1, 313)):
        most = accounting.budget_micro(epsilon)
        assert each["spent"]["rho_micro"] == 2500
        assert (each["left"]["rho_micro"], each["budget"]["rho_micro"]) == (most - 2500, most)
        assert each["price"]["rho_micro"] == price
        assert each["questions_left"] == (most - 2500) // price
        assert each["budget"]["epsilon"] == pytest.approx(epsilon, abs=0.001)
    assert [budget["spent"]["rho_micro"] for budget in budgets.told(world / "platform")["budgets"]] == [0, 0]


def test_as_many_questions_as_are_told_can_be_asked(world, tmp_path):
    parties = homes(tmp_path)
    signed = contract(parties, "strict", STRICT)
    price = Charge("crm", accounting.rho_micro(40, 1), accounting.budget_micro(1))
    told = budgets.told(tmp_path / "merchant", "strict")["budgets"][0]["questions_left"]
    with open_ledger(parties["merchant"]) as ledger:
        ledger.debit(asked(signed, "most"), Charge("crm", (told - 2) * price.rho_micro, price.most_micro))
        for column in ("last but one", "last"):
            ledger.debit(asked(signed, column), price)
        with pytest.raises(Refused):
            ledger.debit(asked(signed, "one more"), price)
    assert budgets.told(tmp_path / "merchant")["budgets"][0]["questions_left"] == 0


def test_a_room_of_others_has_no_budget_here(world):
    assert [each["room"] for each in budgets.told(world / "merchant", "strict")["budgets"]] == ["strict"]
    with pytest.raises(UsageError):
        budgets.told(world / "merchant", "other")


@pytest.mark.parametrize(
    ("count", "about"), [(0, 0), (7, 7), (40, 40), (99, 99), (123, 120), (961, 960), (12_999, 12_000)]
)
def test_a_number_of_questions_is_never_promised_too_high(count, about):
    assert rounded(count) == about


def test_words_and_bars():
    assert questions_text(40) == "about 40 more questions like a plain count"
    assert questions_text(1) == "one more question like a plain count"
    assert questions_text(0) == "no more questions this month"
    assert [bar(left, 100).count("█") for left in (0, 1, 50, 99, 100)] == [0, 1, 10, 19, 20]
    assert bar(0, 0) == "░" * 20


def test_the_commands_in_both_languages(world, tmp_path):
    code, said = run("budget", "--home", world / "merchant")
    assert code == 0
    assert "more questions like a plain count (± 39 persons)" in said
    assert "In the room exact noise is off" in said
    assert "还可提问约" in run("budget", "--home", world / "merchant", "--lang", "zh")[1]
    code, said = run("budget", "strict", "--home", world / "merchant", "--json")
    assert (code, json.loads(said)["budgets"][0]["room"]) == (0, "strict")
    Home.create(tmp_path / "new", "merchant")
    assert "No room in force" in run("budget", "--home", tmp_path / "new")[1]
    out = tmp_path / "ledger.jsonl"
    assert run("audit", "export", out, "--home", world / "merchant")[0] == 0
    code, said = run("audit", "verify", "--export", out, "--home", tmp_path / "none")
    assert code == 0
    assert "Fingerprint of platform" in said
    assert "0.0025" in said
    assert "核对指纹" in run("audit", "verify", "--export", out, "--home", tmp_path / "none", "--lang", "zh")[1]
    assert run("audit", "verify", "--home", world / "merchant")[0] == 0
