"""What waits for a person: shown with what it reveals, decided once, by who may, with a reason; and never forgotten."""

import datetime as dt
import sqlite3
import threading

import pytest

from cleanroom.errors import Refused, UsageError
from cleanroom.lang import t
from cleanroom.node import config
from cleanroom.node.approvals import MOST_WAITING, Approvals
from cleanroom.node.state import FILE, State, now, stamp

HOUR = dt.timedelta(hours=1)
RULES = config.Approval(approvers=("ann", "bo"), substitutes=("sam",), remind_hours=24, substitute_hours=72)
WHAT = (("{party} asks for a match with {dataset}.", {"party": "platform", "dataset": "crm"}),)
REVEALS = (
    ("The size of {dataset}.", {"dataset": "crm"}),
    ("Groups of {least} persons and more.", {"least": 100}),
)


@pytest.fixture
def state(tmp_path):
    with State(tmp_path / FILE) as opened:
        yield opened


@pytest.fixture
def approvals(state):
    return Approvals(state, RULES)


def asked(approvals, payload=None, **more):
    return approvals.ask("run", "room", "platform", WHAT, REVEALS, payload or {"message": "ab" * 16}, **more)


def test_what_waits_says_who_asks_what_and_what_it_reveals(approvals):
    name = asked(approvals)
    (waits,) = approvals.waiting()
    assert (waits.id, waits.kind, waits.room, waits.asked_by, waits.state) == (
        name,
        "run",
        "room",
        "platform",
        "waiting",
    )
    assert [t(template, **params) for template, params in waits.what] == ["platform asks for a match with crm."]
    assert waits.reveals == REVEALS
    assert waits.payload == {"message": "ab" * 16}
    assert approvals.get(name[:6]) == waits
    assert [act.act for act in approvals.history(name)] == ["asked"]


def test_the_same_question_waits_once(approvals):
    name = asked(approvals, {"a": 1, "b": 2})
    assert asked(approvals, {"b": 2, "a": 1}) == name
    assert asked(approvals, {"b": 3, "a": 1}) != name
    assert approvals.ask("run", "room", "agency", WHAT, REVEALS, {"a": 1, "b": 2}) != name
    approvals.decide(name, False, "ann", "Not this month.")
    again = asked(approvals, {"a": 1, "b": 2})
    assert again != name
    assert approvals.get(again).state == "waiting"


def test_a_yes_is_on_record_with_who_and_when(approvals):
    name = asked(approvals)
    decided = approvals.decide(name, True, "ann", "")
    assert (decided.state, decided.decided_by) == ("approved", "ann")
    assert decided.created <= decided.decided <= stamp(now())
    assert approvals.waiting() == []
    assert [(act.act, act.who) for act in approvals.history(name)] == [("asked", "platform"), ("approved", "ann")]


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_a_no_needs_a_reason(approvals, reason):
    name = asked(approvals)
    with pytest.raises(UsageError, match="needs a reason"):
        approvals.decide(name, False, "ann", reason)
    refused = approvals.decide(name, False, "bo", " The contract ends soon. ")
    assert (refused.state, refused.decided_by, refused.reason) == ("refused", "bo", "The contract ends soon.")
    assert approvals.history(name)[-1].reason == "The contract ends soon."
    with pytest.raises(UsageError, match="1000"):
        approvals.decide(asked(approvals), False, "ann", "x" * 1001)


@pytest.mark.parametrize("yes", [True, False])
def test_only_approvers_decide_and_substitutes_after_a_while(approvals, yes):
    name, created = asked(approvals), now()
    for nobody in ("eve", "", "platform", "ANN"):
        with pytest.raises(Refused):
            approvals.decide(name, yes, nobody, "Because.")
    with pytest.raises(Refused, match="substitute may decide this from") as early:
        approvals.decide(name, yes, "sam", "Because.", at=created + 71 * HOUR)
    assert early.value.params["moment"] == approvals.get(name).substitute
    decided = approvals.decide(name, yes, "sam", "Because.", at=created + 73 * HOUR)
    assert decided.decided_by == "sam"


def test_the_owner_of_the_home_always_decides(state):
    approvals = Approvals(state, config.Approval())
    name = asked(approvals)
    with pytest.raises(Refused, match="may not decide"):
        approvals.decide(name, True, "merchant", "")
    assert approvals.decide(name, True, "merchant", "", owner=True).decided_by == "merchant"


def test_who_asks_says_no_to_it_but_not_yes(approvals):
    name = approvals.ask("grant", "room", "ann", WHAT, REVEALS, {})
    with pytest.raises(Refused, match="Who asks"):
        approvals.decide(name, True, "ann", "")
    assert approvals.decide(name, False, "ann", "A mistake.").state == "refused"


@pytest.mark.parametrize("yes", [True, False])
def test_what_was_decided_stays_so(approvals, yes):
    name = asked(approvals)
    first = approvals.decide(name, yes, "ann", "Because.")
    for later in (True, False):
        with pytest.raises(Refused, match="no longer waits"):
            approvals.decide(name, later, "bo", "Because.", owner=True)
    with pytest.raises(Refused, match="no longer waits"):
        approvals.withdraw(name)
    approvals.remind(now() + 10_000 * HOUR)
    assert approvals.get(name) == first


def test_a_decision_answers_the_same_question_and_no_other(approvals):
    before = now() - HOUR
    name = asked(approvals)
    same = ("run", "room", "platform", {"message": "ab" * 16})
    assert approvals.answer(*same, before) is None
    decided = approvals.decide(name, True, "ann", "")
    assert approvals.answer(*same, before) == decided
    assert approvals.answer(*same, now() + HOUR) is None
    for place, other in enumerate(("join", "another", "agency", {"message": "cd" * 16})):
        assert approvals.answer(*same[:place], other, *same[place + 1 :], before) is None
    refused = approvals.decide(asked(approvals), False, "bo", "No more.")
    assert approvals.answer(*same, before) == refused


def test_of_two_who_decide_at_once_one_does(state):
    name, outcomes = asked(Approvals(state, RULES)), []

    def decide(who, yes):
        try:
            outcomes.append(Approvals(state, RULES).decide(name, yes, who, "Because.").decided_by)
        except Refused:
            outcomes.append("")

    threads = [threading.Thread(target=decide, args=each) for each in (("ann", True), ("bo", False)) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decided = Approvals(state, RULES).get(name).decided_by
    assert sorted(outcomes) == [""] * 5 + [decided]
    assert len(Approvals(state, RULES).history(name)) == 2


def test_what_nobody_decides_in_time_has_expired(approvals):
    ends = now() + HOUR
    name = asked(approvals, ends=ends)
    lasting = asked(approvals, {"another": 1})
    with pytest.raises(Refused, match="no longer waits"):
        approvals.decide(name, True, "ann", "", owner=True, at=ends)
    approvals.remind(ends + HOUR)
    assert approvals.get(name).state == "expired"
    assert approvals.history(name)[-1].act == "expired"
    assert [each.id for each in approvals.waiting()] == [lasting]


def test_what_is_over_is_not_shown_as_waiting_even_before_the_node_looks(approvals):
    name = asked(approvals, ends=now() - HOUR)
    assert approvals.waiting() == []
    assert approvals.get(name).state == "expired"
    assert asked(approvals, ends=now() + HOUR) != name


def test_reminders_come_once_in_remind_hours(approvals):
    name, created = asked(approvals), now()
    assert approvals.remind(created + 23 * HOUR) == []
    (due,) = approvals.remind(created + 25 * HOUR)
    assert due.id == name
    assert approvals.remind(created + 26 * HOUR) == []
    assert approvals.remind(created + 48 * HOUR) == []
    assert len(approvals.remind(created + 50 * HOUR)) == 1
    assert [act.act for act in approvals.history(name)] == ["asked", "reminded", "reminded"]
    approvals.decide(name, True, "ann", "")
    assert approvals.remind(created + 500 * HOUR) == []


def test_who_asked_may_withdraw(approvals):
    name = asked(approvals)
    approvals.withdraw(name)
    assert approvals.get(name).state == "withdrawn"
    assert [(act.act, act.who) for act in approvals.history(name)][-1] == ("withdrawn", "platform")
    with pytest.raises(Refused, match="no longer waits"):
        approvals.decide(name, True, "ann", "")


def test_one_asker_cannot_fill_the_list(approvals):
    for number in range(MOST_WAITING):
        asked(approvals, {"number": number})
    with pytest.raises(Refused, match="platform wait"):
        asked(approvals, {"number": MOST_WAITING})
    assert approvals.ask("run", "room", "agency", WHAT, REVEALS, {})
    with pytest.raises(Refused, match="bytes"):
        approvals.ask("run", "room", "agency", WHAT, REVEALS, {"x": "x" * (1 << 20)})


def test_the_record_cannot_be_changed_or_deleted(state, approvals):
    approvals.decide(asked(approvals), False, "ann", "No.")
    for statement in (
        "DELETE FROM approvals", "DELETE FROM approval_acts", "UPDATE approval_acts SET who = 'bo'",
    ):  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError, match="for ever"), state.transaction() as database:
            database.execute(statement)
    assert [each.decided_by for each in approvals.listed()] == ["ann"]


def test_a_decision_is_there_after_a_restart(tmp_path):
    with State(tmp_path / FILE) as state:
        name = asked(Approvals(state, RULES))
        Approvals(state, RULES).decide(name, False, "ann", "No.")
    with State(tmp_path / FILE) as state:
        assert Approvals(state, RULES).get(name).reason == "No."
        assert len(Approvals(state, RULES).history(name)) == 2
