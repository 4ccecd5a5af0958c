"""M2, M4, M5: what sizes of crowds and boards asked day after day tell of one person, and signed calls taken apart.

The other attacks on what marketers use stand with what they are on: tests/crowds, tests/activation, tests/gateway.
"""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from cleanroom.answer.crowd import CrowdAsked
from cleanroom.boards import RHO
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.selection import Listed, Selection, Within
from cleanroom.errors import Refused
from cleanroom.gateway import envelope, signing
from cleanroom.gateway.apps import App
from cleanroom.gateway.codes import Fault
from cleanroom.ledger.ledger import Charge
from cleanroom.ledger.opening import open_ledger
from cleanroom.privacy import accounting, noise
from cleanroom.privacy.history import DatasetVersion, Question
from tests.near import new_home

SIGMA, DAYS, TRIALS = 20, 31, 300
ONE = Selection(((Listed("crm", "one"), Within("users.stage", (1,))),))
"""A list of one person, and a value of the other side's that is to be found out."""
CROWD = Question((), (), "ab" * 32, (DatasetVersion("merchant", "crm", "01" * 32, 6_000, "03" * 32),
                 DatasetVersion("platform", "users", "02" * 32, 8_000)), "merchant:0 platform:0", (), SIGMA,
                 plan=True)  # fmt: skip
BOARD = Question(("users.stage",), (), "ab" * 32, (DatasetVersion("platform", "users", "02" * 32, 8_000),),
                 "platform:0", (), SIGMA, over=("users",), tables=((), ("users.stage",)))  # fmt: skip
NOTE = CrowdNote("C1", "20261121", "spring", "coupon", "advertising", "2026-12-20")


def charged(path: Path, questions: list[Question], price: int, most: int) -> int:
    """How many are charged before the month's budget is spent; the same ones again are free."""
    with open_ledger(new_home(path, "platform")) as ledger:
        done = 0
        for question in questions:
            try:
                done += ledger.debit(question, Charge("users", price, most)).fresh
            except Refused:
                break
        assert not any(ledger.debit(each, Charge("users", price, most)).fresh for each in questions[:done])
        return done


def guessed_right(shift: np.ndarray) -> float:
    """How often the sign of the mean difference says whether one person was there; each trial has one mean."""
    bank = noise.draw([SIGMA], 2 * DAYS * TRIALS)[:, 0].reshape(TRIALS, DAYS, 2)
    there = np.arange(TRIALS) % 2
    means = (there[:, None] * shift + bank[:, :, 0] - bank[:, :, 1]).mean(axis=1)
    return float(((means > shift.mean() / 2) == there).mean())


def test_one_person_probed_day_after_day_is_charged_each_time_under_whatever_name(tmp_path: Path) -> None:
    """Other codes, days, names, channels, purposes, ends; other order and padding of the rule; the data of each day."""
    changes = [{"code": "C2"}, {"version": "20261120"}, {"name": "autumn"}, {"channel": "message"},
               {"purpose": "overlap"}, {"ends": "2026-12-21"}]  # fmt: skip
    asked = [CrowdAsked.of(ONE, None), CrowdAsked.of(ONE, NOTE)]
    asked += [CrowdAsked.of(ONE, replace(NOTE, **change)) for change in changes]
    asked += [CrowdAsked.of(Selection((ONE.boxes[0][::-1],)), None), CrowdAsked.of(Selection(ONE.boxes * 2), None)]
    questions = [replace(CROWD, crowd=each.digest) for each in asked]
    for day in range(DAYS):
        versions = (CROWD.datasets[0], replace(CROWD.datasets[1], manifest=f"{day + 16:02x}" * 32))
        questions.append(replace(CROWD, datasets=versions, crowd=asked[0].digest))
    assert len({each.digest() for each in questions}) == len(questions)
    price = accounting.rho_micro(SIGMA, 1)
    assert charged(tmp_path / "all", questions, price, len(questions) * price) == len(questions)
    assert charged(tmp_path / "some", questions, price, 12 * price) == 12


def test_a_month_of_sizes_with_and_without_a_person_tells_little_more_than_chance() -> None:
    assert guessed_right(np.ones(DAYS)) < 0.5 + 0.06 + 3 * 0.5 / TRIALS**0.5  # the best guess: 0.539
    assert guessed_right(np.full(DAYS, 1_000.0)) == 1.0  # the judge sees what there is to be seen


def test_boards_of_day_after_day_are_charged_and_a_month_of_them_hides_who_came(tmp_path: Path) -> None:
    """Each day's version differs by few persons: their boards are compared. A person is in one cell of each table."""
    versions = [replace(BOARD.datasets[0], manifest=f"{day + 16:02x}" * 32) for day in range(DAYS)]
    questions = [replace(BOARD, datasets=(version,)) for version in versions]
    assert charged(tmp_path / "all", questions, RHO["daily"], DAYS * RHO["daily"]) == DAYS
    assert charged(tmp_path / "some", questions, RHO["daily"], 10 * RHO["daily"]) == 10
    month = DAYS * RHO["daily"] + 5 * RHO["full"]
    assert month <= accounting.budget_micro(10, accounting.delta(8_000))  # what is documented is what is enough
    assert guessed_right(np.ones(DAYS)) < 0.65


@pytest.mark.parametrize("change", [
    {"biz_content": '{"crowd_code":"C1"}&charset=utf-8', "charset": None},
    {"format": "json&method=alipay.merchant.qipan.crowd.query", "method": None},
    {"biz_content": '{"crowd_code":"C2"}'}, {"method": "alipay.merchant.qipan.crowd.modify"}, {"version": "1.0 "},
    {"timestamp": "2026-11-22 00:00:01"}, {"note": "x"}, {"app_id": "2021000000000002"},
])  # fmt: skip
def test_a_signed_call_cut_into_other_parameters_is_refused(change: dict[str, str | None]) -> None:
    """Names and values are joined as they are: what a forger cuts elsewhere must not verify and mean something else."""
    key, now = signing.new_key(), dt.datetime(2026, 11, 22, tzinfo=envelope.CHINA)
    app = App("2021000000000001", "spring", signing.public_text(key.public_key()), "", "advertising", "")
    given = {"app_id": app.app_id, "biz_content": '{"crowd_code":"C1"}', "charset": "utf-8", "format": "json",
             "method": "alipay.merchant.qipan.crowd.query", "sign_type": "RSA2", "timestamp": "2026-11-22 00:00:00",
             "version": "1.0"}  # fmt: skip
    sign = signing.sign(key, signing.signed_content(given))

    def content(told: dict[str, str]) -> object:
        """Part of it in the query string and part in the body."""
        names = sorted({**told, "sign": sign})
        parts = ({name: {**told, "sign": sign}[name] for name in names[at::2]} for at in (0, 1))
        query, body = (urlencode(part).encode() for part in parts)
        call = envelope.opened(query, body, lambda _: envelope.Known(app, key.public_key()), now)
        return envelope.read_json(call.content)

    assert content(given) == {"crowd_code": "C1"}
    with pytest.raises(Fault):
        content({name: text for name, text in {**given, **change}.items() if text is not None})
