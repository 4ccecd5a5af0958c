"""Stories of users: what went wrong for them once, through the command."""

import hashlib
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from cleanroom import datasets
from cleanroom.terminal.overlap import shown
from tests.cli.support import Run, phone

HEADER = "手机号,会员等级,累计消费\n"


def _csv(folder: Path, name: str, rows: list[str], header: str = HEADER) -> Path:
    path = folder / name
    path.write_text(header + "".join(f"{row}\n" for row in rows), "utf-8")
    return path


def _members(*people: str) -> list[str]:
    return [f"{person},金卡,1.50" for person in people]


def test_a_file_without_one_usable_row_is_refused_with_its_greatest_loss(run: Run, tmp_path: Path) -> None:
    good = _csv(tmp_path, "good.csv", _members(phone(1), phone(2)))
    bad = _csv(tmp_path, "bad.csv", [*_members("138****0001", "138****0002"), ",金卡,1.00"])
    assert run("data", "add", good, "--name", "crm", "--home", "h").code == 0
    done = run("data", "add", bad, "--name", "crm", "--home", "h", "--json")
    assert done.code == 4
    assert "None of the 3 rows of bad.csv" in done.json["error"]["what"]
    assert "masked" in done.json["error"]["hint"] and "rows 2, 3" in done.json["error"]["hint"]
    assert "138****0001" not in done.err
    kept = run("data", "list", "--home", "h", "--json").json["datasets"]
    assert [(each["rows"], each["version"]) for each in kept] == [(2, 1)]


@pytest.mark.usefixtures("near_parties")
def test_an_overlap_of_a_file_without_one_usable_row_leaves_nothing(run: Run, tmp_path: Path) -> None:
    bad = _csv(tmp_path, "bad.csv", _members(*["1.38E+10"] * 3))
    good = _csv(tmp_path, "good.csv", _members(phone(1), phone(2)))
    done = run("overlap", bad, good, "--by", "merchant.level", "--members", "out.csv", "--json")
    assert done.code == 4 and "bad.csv" in done.json["error"]["what"]
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.usefixtures("near_parties")
def test_a_column_of_words_is_not_summed(run: Run, files: Path) -> None:
    done = run("overlap", files / "crm.csv", files / "users.csv", "--sum", "level", "--k", "60", "--json")
    assert done.code == 4
    assert "会员等级" in done.json["error"]["what"] and "金卡" not in done.out + done.err


@pytest.mark.usefixtures("near_parties")
def test_a_column_asked_for_twice_counts_once_and_what_is_unreadable_in_it_is_told(run: Run, tmp_path: Path) -> None:
    rows = [f"{phone(n)},金卡,{'?' if n < 3 else n // 60 * 100}" for n in range(180)]
    merchant = _csv(tmp_path, "m.csv", rows)
    platform = _csv(tmp_path, "p.csv", [phone(n) for n in range(180)], "mobile\n")
    words = ("overlap", merchant, platform, "--k", "50", "--json", "--on", "手机号")  # the platform has no such header
    done = run(*words, "--by", "spend", "--by", "累计消费")
    assert done.code == 0, done.err
    assert {name for segment in done.json["segments"] for name in segment} == {"spend", "people"}
    assert done.json["unparsed"] == {"left": {"spend": 3}, "right": {}}
    screen = Console(file=io.StringIO(), width=100)
    shown(screen, done.json)
    assert "unreadable values of spend" in screen.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("near_parties")
def test_a_column_cannot_group_and_be_summed(run: Run, files: Path) -> None:
    done = run("overlap", files / "crm.csv", files / "users.csv", "--by", "spend", "--sum", "累计消费", "--json")
    assert done.code == 2 and "spend" in done.json["error"]["what"]


@pytest.mark.parametrize(
    ("rows", "profile"),
    [
        (lambda people: people, "e164/1"),
        (lambda people: people, "meta/1"),
        (lambda people: [hashlib.sha256(person.encode()).hexdigest() for person in people], "cn-mobile/1"),
        (lambda people: [hashlib.md5(person.encode()).hexdigest().upper() for person in people], "cn-mobile/1"),
        (lambda people: [hashlib.md5(f"+86{person}".encode()).hexdigest() for person in people], "e164/1"),
    ],
)
def test_the_forgotten_stay_away_however_they_are_written(
    run: Run, tmp_path: Path, rows: Callable[[list[str]], list[str]], profile: str
) -> None:
    people = [phone(n) for n in range(9)]
    first = _csv(tmp_path, "first.csv", _members(*people))
    again = _csv(tmp_path, "again.csv", _members(*rows(people)))
    named = _csv(tmp_path, "named.csv", [f"+86 {person}" for person in people[:2]], "手机号\n")
    assert run("data", "add", first, "--name", "crm", "--home", "h").code == 0
    assert run("data", "forget", named, "--home", "h", "--json").json["persons"] == 2
    done = run("data", "add", again, "--name", "other", "--home", "h", "--profile", profile, "--json")
    assert (done.json["rows"], done.json["forgotten"]) == (7, 2)


def test_a_hashed_list_of_the_forgotten_says_what_it_cannot_reach(run: Run, tmp_path: Path) -> None:
    hashes = [hashlib.sha256(phone(n).encode()).hexdigest() for n in range(3)]
    named = _csv(tmp_path, "named.csv", hashes, "手机号\n")
    assert run("data", "add", _csv(tmp_path, "m.csv", _members(phone(1))), "--name", "crm", "--home", "h").code == 0
    assert "Name them raw" in run("data", "forget", named, "--home", "h").out


def test_an_empty_list_of_the_forgotten_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    assert run("data", "add", _csv(tmp_path, "m.csv", _members(phone(1))), "--name", "crm", "--home", "h").code == 0
    empty = _csv(tmp_path, "nobody.csv", ["无"], "手机号\n")
    assert run("data", "forget", empty, "--home", "h").code == 2
    assert run("data", "forget", "-", "--home", "h").code == 2


def test_the_doctor_takes_a_mapping_of_a_few_columns(run: Run, tmp_path: Path) -> None:
    file = _csv(tmp_path, "m.csv", [f"{phone(1)},金卡,x", f"{phone(2)},金卡,2"])
    (tmp_path / "map.toml").write_text('version = 1\n[columns]\n"手机号" = { name = "phone" }\n', "utf-8")
    done = run("data", "doctor", file, "--mapping", "map.toml", "--json")
    assert [column["name"] for column in done.json["columns"]] == ["phone", "level", "spend"]
    assert done.json["funnel"]["unparsed"] == {"spend": 1}
    done = run("data", "doctor", file, "--profile", "openid/1", "--json")
    assert done.code == 4 and "phone" in done.json["error"]["what"]


def test_a_draft_is_not_written_over(run: Run, tmp_path: Path) -> None:
    for home, name in (("a", "crm"), ("b", "users")):
        rows = _members(*(phone(n) for n in range(120)))
        assert run("data", "add", _csv(tmp_path, f"{name}.csv", rows), "--name", name, "--home", home,
                   "--party", home).code == 0  # fmt: skip
    (tmp_path / "b.json").write_text(run("room", "card", "--dataset", "users", "--role", "platform", "--home", "b").out)
    words = ("room", "new", "spring", "--dataset", "crm", "--role", "merchant", "--partner", "b.json",
             "--receiver", "platform", "--home", "a", "--json")  # fmt: skip
    assert run(*words).code == 0
    assert run(*words).code == 2


def _ctrl_c(_: Path) -> None:
    raise KeyboardInterrupt


def _terminate(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("stop", "code", "lines"), [(_ctrl_c, 130, 1), (_terminate, 143, 0)])
def test_who_is_stopped_says_so_by_the_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, stop: Callable[[Path], None], code: int, lines: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(datasets, "listed", stop)
    done = run("data", "list", "--json")
    assert signal.getsignal(signal.SIGTERM) is before, "else a program that ran a command could not be ended as before"
    assert (done.code, done.out.count("\n")) == (code, lines)
