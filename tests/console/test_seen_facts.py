"""What others saw, by the ledger: all of it, to whom it was told, on its day, and nothing that was not."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from cleanroom import seen
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.lang import speaking
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.store import read
from cleanroom.privacy.ranges import Range
from cleanroom.rooms.store import Rooms

pytestmark = pytest.mark.xdist_group("console")


def _last(market: Path) -> dt.date:
    """The day on which the market was made."""
    return dt.date.fromisoformat(read(market / "ledger.sqlite").entries[-1].time[:10])


def _facts(path: Path, party: str, **named: Any) -> list[dict[str, Any]]:
    return [fact for day in seen.told(path, party=party, **named)["days"] for fact in day["facts"]]


def _texts(path: Path, party: str) -> list[str]:
    return [seen.said(fact["template"], fact["params"]) for fact in _facts(path, party)]


def test_each_party_learned_what_its_part_gives_it(market: Path) -> None:
    merchant, platform, operator = (_texts(market, name) for name in ("merchant", "platform", "operator"))
    assert any("How many rows merchant brought" in text for text in platform)
    assert not any("How many rows merchant brought" in text for text in merchant)
    assert "Which of its own rows matched." in platform
    assert "Which of its own rows matched." not in merchant + operator
    assert any("Sizes, how many pseudonyms" in text for text in operator)
    assert not any("table" in text or "board" in text.lower() or "plan" in text for text in operator)
    assert "The contract: its terms, without the labels of its columns." in operator


def test_a_release_is_told_to_its_recipients_with_its_noise(market: Path) -> None:
    merchant, platform = _texts(market, "merchant"), _texts(market, "platform")
    table = next(text for text in merchant if "by crm.level" in text)
    assert "±" in table and "withheld" in table
    assert table in platform
    assert any(text.startswith("A board of users") for text in merchant)
    assert "Which board of its own dataset was asked for." in platform
    assert not any(text.startswith("A board of users") for text in platform)


def test_every_release_is_in_it_with_its_receipt_and_entry(market: Path) -> None:
    releases = {str(each.body["question"]): each.seq for each in read(market / "ledger.sqlite").entries
                if each.kind == "release"}  # fmt: skip
    told = {receipt: fact["entries"] for fact in _facts(market, "merchant") for receipt in fact["receipts"]}
    assert told.keys() == releases.keys()
    assert all(releases[question] in entries for question, entries in told.items())


def test_a_size_of_a_crowd_is_told_as_a_range_alone(market: Path) -> None:
    fact = next(each for each in _facts(market, "merchant") if "crm.level" in str(each["params"]))
    body = next(each.body for each in read(market / "ledger.sqlite").entries if each.seq == fact["entries"][0])
    kept = seen.receipt_kept(Home.open(market), str(body["question"]), str(body["answer"]))
    sized = dataclasses.replace(kept, crowd="0" * 64, by=(), people=Range(2_000, 4_999))
    sentence = seen._said(Rooms(Home.open(market).rooms).load("market").contract, sized)
    assert seen.said(sentence.template, sentence.params) == "The size of a crowd, as a range: 2,000–4,999."


def test_a_crowd_that_the_plan_sizes_tells_nobody_anything(market: Path) -> None:
    assert not any("crowd" in text for name in ("platform", "operator") for text in _texts(market, name))


def test_days_without_anything_stand_as_one(market: Path) -> None:
    last = _last(market)
    days = seen.told(market, days=30, until=last.isoformat())["days"]
    assert days[-1] == {"from": (last - dt.timedelta(days=29)).isoformat(), "facts": [],
                        "to": (last - dt.timedelta(days=1)).isoformat()}  # fmt: skip
    quiet = seen.told(market, days=3, until="2026-01-05")["days"]
    assert quiet == [{"from": "2026-01-03", "to": "2026-01-05", "facts": []}]
    covered = [dt.date.fromisoformat(day[end]) for day in days for end in ("from", "to")]
    assert (min(covered), max(covered)) == (last - dt.timedelta(days=29), last)


def test_the_same_twice_on_a_day_is_one_fact_with_both_entries(market: Path) -> None:
    rows = [fact for fact in _facts(market, "platform") if "rows" in fact["params"] and "owner" in fact["params"]]
    assert len(rows) == 1
    assert len(rows[0]["entries"]) > 1


def test_what_nobody_told_is_said_by_the_part_in_the_contract(market: Path) -> None:
    of = {each["name"]: [text["template"] for text in each["not"]] for each in seen.told(market)["parties"]}
    assert list(of) == ["platform", "operator"]
    assert any("No label" in text for text in of["operator"])
    assert not any("Which of its people are among the matched" in text for text in of["platform"])
    own = {each["name"]: each["not"] for each in seen.told(market / "peers" / "platform")["parties"]}
    assert any("Which of its people are among the matched" in text["template"] for text in own["merchant"])


def test_an_operators_own_ledger_tells_the_same_of_itself(market: Path) -> None:
    theirs = set(_texts(market / "peers" / "operator", "operator"))
    assert theirs >= {text for text in _texts(market, "operator") if "Sizes, how many" in text}
    assert any("with noise" in text for text in _texts(market / "peers" / "operator", "merchant"))


def test_a_home_without_a_ledger_and_wrong_questions(market: Path, tmp_path: Path) -> None:
    Home.create(tmp_path / "new", "merchant")
    assert seen.told(tmp_path / "new", days=2)["days"][0]["facts"] == []
    for wrong in ({"party": "nobody"}, {"days": 0}, {"days": 1_000}, {"until": "yesterday"}):
        with pytest.raises(UsageError):
            seen.told(market, **wrong)


def test_crowds_that_are_given_count_by_month(market: Path, tmp_path: Path) -> None:
    home = Home.create(tmp_path / "other", "merchant")
    room = Rooms(Home.open(market).rooms).load("market")
    Rooms(home.rooms).save(room)
    body = {"contract": room.contract.digest(), "protocol": "keyed", "transcript": "0" * 64, "host": "operator",
            "receiver": "platform", "output": "crowd"}  # fmt: skip
    with open_ledger(home) as ledger:
        for _ in range(3):
            ledger.append("match", body)
    given = seen.told(home.path)["given"]
    month = read(home.ledger_path).entries[-1].time[:7]
    assert given == [{"room": "market", "learner": "platform", "month": month, "versions": 3,
                      "most": room.contract.activation.most_versions}]  # type: ignore[union-attr]  # fmt: skip
    assert seen.told(home.path, room="another")["given"] == []


def test_in_chinese_nothing_english_is_left(market: Path) -> None:
    with speaking("zh"):
        for party in ("merchant", "platform", "operator"):
            for text in _texts(market, party):
                words = [word for word in text.replace(",", " ").split() if word.isascii() and word.isalpha()]
                assert not set(words) - {"crm", "users", "market"}, text
