"""A crowd on its way to a channel: who is addressed, and that nobody is lost or reached twice, whatever fails."""

import csv
import json
import logging
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from cleanroom.access import catalogue
from cleanroom.activation import choosing, desk, keeping, memberships, people, push, sending
from cleanroom.activation.rules import Server
from cleanroom.activation.tally import Tally
from cleanroom.errors import CleanroomError, Interrupted, Refused, UsageError, Waiting
from cleanroom.home import Home
from cleanroom.node import config
from tests.activation import world
from tests.activation.server import Channel, running
from tests.activation.world import ROOM, USERS, VERSION, note, rows

RECEIPT = "ab" * 32
QUICK = (0.0, 0.0, 0.0)
CROWD = rows(range(2_500))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = world.new(tmp_path_factory.mktemp("platform"))
    memberships.keep(home, ROOM, note(), USERS, CROWD, RECEIPT, noised=2_480, columns=("crm.tier",))
    return home.path


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    shutil.copytree(made, tmp_path / "home")
    return Home.open(tmp_path / "home")


@pytest.fixture
def channel(home: Home) -> Iterator[Channel]:
    with running() as found:
        settings(home, found)
        yield found


def settings(home: Home, channel: Channel | None = None, **rules: Any) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in rules.items()]
    if channel is not None:
        token = home.path / "token"
        token.write_text("secret-token\n")
        token.chmod(0o600)
        lines += [f'[push.{name}]\nurl = "{channel.url}"\ntoken_file = "{token}"' for name in ("message", "fan-group")]
    (home.path / "activation.toml").write_text("\n".join(lines))
    (home.path / "activation.toml").chmod(0o600)


def send(home: Home, code: str = "C1", **given: Any) -> dict[str, Any]:
    return desk.outcome(sending.send(home, ROOM, code, pauses=QUICK, **given))


def handles(*parts: range) -> list[str]:
    return [f"U{n:06d}" for part in parts for n in part]


def test_a_crowd_is_sent_in_batches_each_under_a_key(home: Home, channel: Channel) -> None:
    told = send(home)
    assert (told["sent"], told["batches"], told["state"], told["left_out"]) == (2_500, 3, "done", {})
    assert sorted(channel.handles) == handles(range(2_500))
    assert [len(body["handles"]) for body in channel.bodies] == [1_000, 1_000, 500]
    assert {body["purpose"] for body in channel.bodies} == {"advertising"}
    assert channel.tokens == {"Bearer secret-token"}
    again = send(home)
    assert again == told and sum(channel.asked.values()) == 3
    assert desk.status(home.path, ROOM)["sends"] == [told]


@pytest.mark.parametrize("faults", [[503, 500, "drop"], ["twice", "drop", 429, "twice"], [409, 408]])
def test_faults_lose_nobody_and_reach_nobody_twice(
    home: Home, channel: Channel, faults: list[int | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(push.Push, "send", _without_waiting(push.Push.send, waited))
    channel.next = list(faults)
    assert send(home)["sent"] == 2_500
    assert Counter(channel.handles).most_common(1)[0][1] == 1 and len(channel.handles) == 2_500
    assert len(channel.taken) == 3
    assert (max(waited) >= 7) == (429 in faults)  # it waits as long as the server wants


def _without_waiting(real: Any, waited: list[float]) -> Any:
    def send(self: push.Push, key: str, body: bytes) -> int:
        return int(real(push.Push(self.channel, self.server, (0.5, 1.0, 2.0, 4.0), 1.0, waited.append), key, body))

    return send


def test_a_slow_answer_is_asked_for_again_under_the_same_key() -> None:
    with running() as channel:
        channel.next = ["slow"]
        way = push.Push("message", Server(channel.url), (0.0,), 1.0)
        assert way.send("k-0", b'{"handles": ["U1"]}') == 2
        assert channel.asked == {"k-0": 2} and channel.handles == ["U1"]


def test_a_server_that_stays_away_is_gone_on_with_later(home: Home, channel: Channel) -> None:
    channel.next = [200, 503, 503, 503, 503]
    with pytest.raises(Interrupted, match="503"):
        send(home)
    (standing,) = desk.status(home.path, ROOM)["sends"]
    assert (standing["state"], standing["through"], standing["sent"]) == ("sending", 1, 1_000)
    assert send(home)["sent"] == 2_500
    assert sorted(channel.handles) == handles(range(2_500))


def test_a_server_that_refuses_is_not_asked_again(home: Home, channel: Channel) -> None:
    channel.next = [400]
    with pytest.raises(Refused, match="400"):
        send(home)
    assert sum(channel.asked.values()) == 1


@pytest.mark.parametrize("at", [1, 3])
def test_a_sender_that_is_killed_goes_on_under_the_same_keys(home: Home, channel: Channel, at: int) -> None:
    channel.next = [*[200] * (at - 1), "kill"]
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from cleanroom.activation import sending
        from cleanroom.home import Home
        sys.stdin.readline()
        sending.send(Home.open(Path(sys.argv[1])), "spring", "C1", pauses=(0.0,))
    """)
    child = subprocess.Popen([sys.executable, "-c", script, str(home.path)], stdin=subprocess.PIPE)
    channel.pid = child.pid
    child.communicate(b"\n", timeout=60)
    assert child.returncode == -9
    assert send(home)["sent"] == 2_500
    assert sorted(channel.handles) == handles(range(2_500))
    assert sorted(channel.asked.values()) == [1, 1, 2]  # the batch on the way came twice, under one key


def test_a_crash_between_plan_and_count_leaves_the_cap_right(
    home: Home, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(home, channel, messages=1)
    memberships.keep(home, ROOM, note("C2"), USERS, rows(range(2_000, 3_000)), RECEIPT, noised=1_000)

    class Killed(Exception):
        pass

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "add", dies)
        with pytest.raises(Killed):
            send(home)
    assert send(home, "C2")["left_out"] == {"too-often": 500}
    assert send(home)["sent"] == 2_500
    assert max(Counter(channel.handles).values()) == 1


def test_nobody_gets_more_messages_than_agreed_and_later_they_may(home: Home, channel: Channel) -> None:
    settings(home, channel, messages=2, days=7)
    for code in ("C2", "C3"):
        memberships.keep(home, ROOM, note(code), USERS, rows(range(1_500, 3_000)), RECEIPT, noised=1_500)
    assert send(home)["sent"] == 2_500
    assert send(home, "C2")["sent"] == 1_500
    assert send(home, "C3")["left_out"] == {"too-often": 1_000}
    assert max(Counter(channel.handles).values()) == 2
    later = memberships.today_in_china().replace(year=2099)
    assert keeping.sweep(home, later)["contacts"] == 1


def test_who_withdrew_opted_out_or_is_out_of_reach_is_not_addressed(
    home: Home, channel: Channel, tmp_path: Path
) -> None:
    changed = {
        **{n: {"consent": "no"} for n in range(10)},
        **{n: {"consent": "no", "opt_out": "yes"} for n in range(5, 10)},  # two reasons: the first counts
        **{n: {"opt_out": "yes"} for n in range(10, 20)},
        **{n: {"subscribed": "no"} for n in range(20, 30)},
        **{n: {"handle": " "} for n in range(30, 33)},
        **{n: {"consent": "unknown"} for n in range(40, 50)},
        **{n: {"reach": "no"} for n in range(50, 55)},  # opted out, since there is a usable channel
        **{n: {"reach": "no", "subscribed": "no"} for n in range(55, 58)},
    }
    world.bring(home, tmp_path, changed, without=range(33, 40))
    told = {"gone": 7, "no-consent": 10, "no-handle": 3, "opted-out": 15, "out-of-reach": 13}
    assert send(home)["left_out"] == told
    assert sorted(channel.handles) == handles(range(40, 50), range(58, 2_500))


def test_who_withdraws_between_two_attempts_is_not_addressed(home: Home, channel: Channel, tmp_path: Path) -> None:
    channel.next = [200, 503, 503, 503, 503]
    with pytest.raises(Interrupted):
        send(home)
    late = {n: {"consent": "no"} for n in range(2_000, 2_010)}
    world.bring(home, tmp_path, late)
    home.vault.forget(people.digests(home, USERS, rows(range(2_010, 2_013))))
    keeping.forget_people(home)
    told = send(home)
    assert told["left_out"] == {"gone": 3, "no-consent": 10} and told["sent"] == 2_487
    assert sorted(channel.handles) == handles(range(2_000), range(2_013, 2_500))


def test_a_channel_that_nobody_can_be_reached_by_is_clear(home: Home, channel: Channel) -> None:
    memberships.keep(home, ROOM, note(channel="fan-group"), USERS, CROWD, RECEIPT, noised=2_480)
    with pytest.raises(UsageError, match="several channels"):
        send(home)
    told = send(home, channel="fan-group")
    assert told["sent"] == 0 and told["left_out"] == {"out-of-reach": 2_500} and not channel.asked
    with pytest.raises(Refused, match="needs the column life_follow"):
        choosing.unfit(home, USERS, CROWD, "live")


def test_the_global_holdout_is_never_addressed_by_any_crowd(home: Home, channel: Channel) -> None:
    settings(home, channel, holdout=0.2)
    never = send(home)["left_out"]["never-addressed"]
    assert 400 < never < 600
    memberships.keep(home, ROOM, note("C2"), USERS, rows(range(3_000)), RECEIPT, noised=3_000)
    send(home, "C2")
    held = set(handles(range(2_500))) - set(channel.bodies[0]["handles"]) - set(channel.bodies[1]["handles"])
    held -= {handle for body in channel.bodies[:3] for handle in body["handles"]}
    assert len(held) == never and not held & set(channel.handles)


def test_a_campaigns_holdout_is_not_addressed_and_counted_last(
    home: Home, channel: Channel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cleanroom.campaigns import holdout

    asked: list[tuple[Any, ...]] = []

    def addressed(home: Home, room: str, code: str, dataset: str, rows: Any, version: str) -> Any:
        asked.append((room, code, dataset, len(rows), version))
        world.bring(home, tmp_path, {n: {"consent": "no"} for n in range(20)})  # it brings a next version
        return rows % 10 != 0

    monkeypatch.setattr(holdout, "addressed", addressed)
    told = send(home)
    assert told["left_out"] == {"no-consent": 20, "holdout": 248}
    assert asked == [(ROOM, "C1", USERS, 2_500, VERSION)]
    assert sorted(channel.handles) == [f"U{n:06d}" for n in range(20, 2_500) if n % 10]


def test_what_is_over_or_no_longer_allowed_is_not_sent(
    home: Home, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    memberships.keep(home, ROOM, note("C2", days=0), USERS, CROWD, RECEIPT, noised=2_480)
    tomorrow = memberships.today_in_china().replace(year=2098)
    with monkeypatch.context() as patch:
        patch.setattr(memberships, "today_in_china", lambda: tomorrow)
        with pytest.raises(Refused, match="ended on"):
            send(home, "C2")
    catalogue.put(home, catalogue.Channel("message", "消息", "Message", ("service",)))
    with pytest.raises(Refused, match="not for this purpose"):
        send(home)
    catalogue.put(home, catalogue.Channel("message", "消息", "Message", ("advertising",)))
    assert send(home)["sent"] == 2_500


def test_a_person_says_yes_where_the_platform_wants_one(home: Home, channel: Channel) -> None:
    from cleanroom.node.desk import decided, inbox

    (home.path / "node.toml").write_text(config.written(config.Config(role="platform")))
    settings(home, channel, approval="ask")
    with pytest.raises(Waiting):
        send(home)
    with pytest.raises(Waiting):
        send(home)
    (waiting,) = inbox(home.path, everything=False)["approvals"]
    said = " ".join([*waiting["what"], *waiting["reveals"]])
    for word in ("crm.tier", "one bit", "version 1 of", "2000 to 4999", "advertising", "message"):
        assert word in said
    assert "2500" not in said and "2480" not in said  # a range, no size
    assert not channel.asked
    decided(home.path, waiting["id"], yes=True, reason="")
    assert send(home)["sent"] == 2_500


def test_a_no_is_a_no(home: Home, channel: Channel) -> None:
    from cleanroom.node.desk import decided, inbox

    (home.path / "node.toml").write_text(config.written(config.Config(role="platform")))
    settings(home, channel, approval="ask")
    with pytest.raises(Waiting):
        send(home)
    (waiting,) = inbox(home.path, everything=False)["approvals"]
    decided(home.path, waiting["id"], yes=False, reason="not this month")
    with pytest.raises(Refused, match="not this month"):
        send(home)
    assert not channel.asked


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_holds_the_same_people_and_runs_nothing(home: Home, tmp_path: Path, suffix: str) -> None:
    changed = {0: {"handle": "=1+cmd"}, 1: {"handle": "@sum"}, 2: {"consent": "no"}, 3: {"handle": "+8613"}}
    world.bring(home, tmp_path, changed)
    path = tmp_path / f"people{suffix}"
    told = desk.exported(home.path, ROOM, "C1", path)
    assert told["sent"] == 2_499 and path.stat().st_mode & 0o777 == 0o600
    if suffix == ".csv":
        found = [row[0] for row in csv.reader(path.read_text("utf-8-sig").splitlines())]
        assert found[:4] == ["handle", "'=1+cmd", "'@sum", "'+8613"]
    else:
        assert pq.read_table(path).column("handle").to_pylist()[:3] == ["=1+cmd", "@sum", "+8613"]
    with pytest.raises(UsageError, match="exists already"):
        desk.exported(home.path, ROOM, "C1", path)
    assert desk.exported(home.path, ROOM, "C1", tmp_path / f"again{suffix}")["sent"] == 2_499


def test_what_went_out_one_way_does_not_go_another(home: Home, channel: Channel, tmp_path: Path) -> None:
    desk.exported(home.path, ROOM, "C1", tmp_path / "people.csv")
    with pytest.raises(Refused, match="another way"):
        send(home)
    assert not channel.asked


def test_the_other_side_is_told_a_range_that_it_has_already(home: Home, channel: Channel, tmp_path: Path) -> None:
    before = desk.told(home, ROOM, "C1", VERSION, "message")
    assert before == {"crowd": "C1", "version": VERSION, "channel": "message", "state": "waiting",
                      "range": [2_000, 4_999]}  # fmt: skip
    world.bring(home, tmp_path, {n: {"consent": "no"} for n in range(2_000)})
    send(home)
    assert desk.told(home, ROOM, "C1", VERSION, "message") == {**before, "state": "done"}


def test_counts_stay_when_people_go(home: Home, channel: Channel) -> None:
    told = send(home)
    later = memberships.today_in_china().replace(year=2099)
    assert keeping.sweep(home, later)["sends"] == 1
    assert desk.status(home.path, ROOM)["sends"] == [told]


def test_settings_that_cannot_be_meant_are_refused(home: Home) -> None:
    for text in ("messages = 0", "holdout = 0.9", 'approval = "maybe"', "[push.nowhere]\nurl = 'https://a.example'",
                 "[push.message]\nurl = 'http://a.example'", "unknown = 1", "messages = [", "push = 1"):  # fmt: skip
        (home.path / "activation.toml").write_text(text)
        with pytest.raises(UsageError):
            send(home)
    (home.path / "activation.toml").unlink()
    with pytest.raises(UsageError, match="names no server"):
        send(home)


def test_a_reference_stands_in_no_error_log_message_or_file(
    home: Home, channel: Channel, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    canary, phone = "Canary-7f3a91", "13900000007"
    world.bring(home, tmp_path, {7: {"handle": canary}})
    (tmp_path / "users.csv").unlink()
    channel.next = [503, 503, 503, 503]
    told: list[object] = []
    for attempt in (send, lambda home: desk.exported(home.path, ROOM, "C1", tmp_path / "no" / "people.csv"), send):
        try:
            told.append(attempt(home))
        except CleanroomError as error:
            told += [str(error), repr(error), error.params]
    told += [desk.listed(home.path, ROOM), desk.shown(home.path, ROOM, "C1"), desk.status(home.path, ROOM)]
    assert canary in channel.handles
    said = repr(told) + caplog.text + "".join(capfd.readouterr())
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    key = np.asarray(people.keys(home, USERS, rows(range(7, 8))), "<u8").tobytes()
    for secret in (canary, phone):
        assert secret not in said and secret.encode() not in kept
    assert key not in kept and str(int.from_bytes(key, "little")) not in said
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
