"""`cleanroom node` and `cleanroom peer` as people use them: two nodes from nothing to knowing each other."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cleanroom import lang
from cleanroom.commands import node, peers
from cleanroom.home import Home
from cleanroom.keystore import Keystore
from cleanroom.node import certificate, config
from cleanroom.terminal import app as terminal
from tests.cli.support import Done

URL = "grpc+tls://127.0.0.1:18815"
COMMAND = terminal.new(cls=terminal.Application, help="For these tests.")
COMMAND.add_typer(node.app, name="node")
COMMAND.add_typer(peers.app, name="peer")
Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command in this process, in a folder of its own, in English unless told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lang, "_current", "en")
    for name in [name for name in os.environ if name.startswith("CLEANROOM_")] + ["LC_MESSAGES", "LANG"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"LC_ALL": "C.UTF-8", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)

    def call(*words: object, **changes: str) -> Done:
        result = CliRunner().invoke(COMMAND, [str(word) for word in words], env=changes, prog_name="cleanroom")
        return Done(result.exit_code, result.stdout, result.stderr)

    return call


def identity(run: Run, home: str) -> dict[str, Any]:
    return run("peer", "card", "--home", home, "--json").json


@pytest.fixture
def two(run: Run) -> Run:
    """A merchant behind a NAT, in `m`, and a platform that can be dialled, in `p`."""
    assert run("node", "init", "merchant", "--role", "merchant", "--home", "m", "--json").code == 0
    assert run("node", "init", "platform", "--role", "platform", "--url", URL, "--home", "p", "--json").code == 0
    return run


def test_a_node_from_nothing(run: Run, tmp_path: Path) -> None:
    done = run("node", "init", "platform", "--role", "platform", "--url", "grpc+tls://platform.example:8815",
               "--home", "p")  # fmt: skip
    assert done.code == 0, done.err
    home = Home.open(tmp_path / "p")
    settings = config.load(home.path, {})
    assert (home.party, settings.role, settings.listen) == ("platform", "platform", "0.0.0.0:8815")
    assert home.keys.fingerprint in done.out
    for step in ("cleanroom peer card --out FILE --home p", "cleanroom peer add NAME ADDRESS FINGERPRINT --home p",
                 "cleanroom serve --home p", "0.0.0.0:8815", "CLEANROOM_KEY_FILE"):  # fmt: skip
        assert step in done.out
    assert (home.path / "node.toml").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("words", "listen", "told"),
    [
        ((), "", "cannot be dialled"),
        (("--url", "grpc+tls://127.0.0.1:9"), "127.0.0.1:9", "127.0.0.1:9"),
        (("--url", "grpc+tls://a.example:9", "--listen", "127.0.0.1:9"), "127.0.0.1:9", "this machine only"),
    ],
)
def test_where_it_listens_follows_from_what_peers_dial(
    run: Run, tmp_path: Path, words: tuple[str, ...], listen: str, told: str
) -> None:
    done = run("node", "init", "agency", "--role", "provider", *words, "--metrics", "", "--home", "a")
    settings = config.load(tmp_path / "a", {})
    assert (settings.listen, settings.metrics) == (listen, "")
    assert told in done.out


def test_nothing_is_made_of_wrong_words_or_twice(run: Run, tmp_path: Path) -> None:
    for words, told in (
        (("--role", "boss"), "role"), (("--role", "merchant", "--url", "https://a"), "grpc+tls://HOST:PORT"),
        (("--role", "merchant", "--listen", "here"), "listen"), (("--role", "merchant", "--metrics", "x"), "metrics"),
    ):  # fmt: skip
        done = run("node", "init", "merchant", *words, "--home", "m")
        assert done.code == 2 and told in done.err
        assert not (tmp_path / "m").exists()
    assert run("node", "init", "merchant", "--role", "merchant", "--home", "m").code == 0
    again = run("node", "init", "merchant", "--role", "merchant", "--home", "m")
    assert again.code == 2 and "has a node.toml already" in again.err


def test_a_home_that_is_there_becomes_a_node_of_its_own_party_only(run: Run, tmp_path: Path) -> None:
    home = Home.create(tmp_path / "m", "merchant")
    other = run("node", "init", "shop", "--role", "merchant", "--home", "m")
    assert other.code == 2 and "is of merchant" in other.err and not (tmp_path / "m/node.toml").exists()
    assert "cleanroom node init" in run("peer", "card", "--home", "m").err
    assert run("node", "init", "merchant", "--role", "merchant", "--home", "m").code == 0
    assert identity(run, "m")["fingerprint"] == home.keys.fingerprint


def test_with_a_key_kept_elsewhere_nothing_is_said_of_one_inside(run: Run, tmp_path: Path) -> None:
    Keystore.make_key_file(tmp_path / "the.key")
    done = run("node", "init", "m", "--role", "merchant", "--home", "m", CLEANROOM_KEY_FILE=str(tmp_path / "the.key"))
    assert done.code == 0 and "CLEANROOM_KEY_FILE" not in done.out
    assert not (tmp_path / "m/unlock.key").exists()


def test_two_people_pin_each_other(two: Run, tmp_path: Path) -> None:
    merchant, platform = identity(two, "m"), identity(two, "p")
    shown = two("peer", "card", "--home", "m", "--out", "merchant.card")
    assert "cleanroom peer add merchant merchant.card" in shown.out
    added = two("peer", "add", "merchant", "merchant.card", *merchant["fingerprint"].split(), "--home", "p")
    assert added.code == 0 and merchant["fingerprint"] in added.out
    assert two("peer", "card", "--home", "p", "--out", "platform.card").code == 0
    spoken = platform["words"]["zh"]
    assert two("peer", "add", "platform", "platform.card", *spoken, "--home", "m", "--json").json["url"] == URL
    listed = two("peer", "list", "--home", "m", "--json").json["peers"]
    assert [(each["name"], each["fingerprint"], each["state"]) for each in listed] == [
        ("platform", platform["fingerprint"], "in force")
    ]
    assert "platform" in two("peer", "list", "--home", "m").out
    assert two("peer", "show", "platform", "--home", "m", "--json").json["fingerprint"] == platform["fingerprint"]
    gone = two("peer", "remove", "platform", "--home", "m")
    assert gone.code == 0 and two("peer", "list", "--home", "m", "--json").json["peers"] == []
    assert "cleanroom peer add" in two("peer", "list", "--home", "m").out


def test_a_wrong_fingerprint_pins_nothing_and_ends_with_3(two: Run) -> None:
    two("peer", "card", "--home", "m", "--out", "merchant.card")
    wrong = two("peer", "add", "merchant", "merchant.card", identity(two, "p")["fingerprint"], "--home", "p")
    assert wrong.code == 3 and "not the fingerprint" in wrong.err
    assert two("peer", "list", "--home", "p", "--json").json["peers"] == []


def test_what_does_not_answer_or_is_no_card_is_named(two: Run, tmp_path: Path) -> None:
    own = identity(two, "p")["fingerprint"]
    away = two("peer", "add", "platform", "grpc+tls://127.0.0.1:9", own, "--home", "m")
    assert away.code == 5 and "cannot be reached" in away.err
    nothing = two("peer", "add", "platform", "nofile", own, "--home", "m")
    assert nothing.code == 2 and "nofile" in nothing.err
    (tmp_path / "text").write_text("hello")
    text = two("peer", "add", "platform", "text", own, "--home", "m")
    assert text.code == 4 and "no card" in text.err
    assert two("peer", "show", "platform", "--home", "m").code == 2
    assert two("peer", "renew", "platform", "--home", "m").code == 2


def test_after_a_theft_the_certificate_is_replaced_on_both_sides(two: Run, tmp_path: Path) -> None:
    first = identity(two, "m")
    two("peer", "card", "--home", "m", "--out", "merchant.card")
    two("peer", "add", "merchant", "merchant.card", first["fingerprint"], "--home", "p")
    asks = two("peer", "renew", "merchant", "--home", "p")
    assert asks.code == 2 and "card" in asks.err, "it cannot be dialled"
    told = two("node", "certificate", "--at-once", "--home", "m")
    assert "cleanroom peer renew merchant" in told.out
    two("peer", "card", "--home", "m", "--out", "merchant.card")
    renewed = two("peer", "renew", "merchant", "merchant.card", "--home", "p", "--json").json
    assert renewed["fingerprint"] == first["fingerprint"]
    assert (
        renewed["certificate"]["digest"]
        == identity(two, "m")["certificate"]["digest"]
        != first["certificate"]["digest"]
    )


def test_a_renewal_says_from_when_it_holds(two: Run) -> None:
    before = two("node", "certificate", "--home", "m", "--json").json
    assert before["following"] is None
    renewed = two("node", "certificate", "--renew", "--home", "m", "--json").json
    assert (
        renewed["certificate"] == before["certificate"]
        and renewed["following"]["ends"] > before["certificate"]["begins"]
    )
    assert renewed["switched"][:10] in two("node", "certificate", "--home", "m").out


def test_settings_can_be_written_to_a_file_and_read_again(two: Run, tmp_path: Path) -> None:
    shown = two("node", "settings", "--home", "p", CLEANROOM_NODE_TIMES_CONNECT="4").out
    (tmp_path / "again").mkdir()
    (tmp_path / "again/node.toml").write_text(shown)
    again = config.load(tmp_path / "again", {})
    assert (again.url, again.times.connect) == (URL, 4.0)
    assert "smtp_password_file" in two("node", "settings", "--default", "--home", "nowhere").out
    wrong = two("node", "settings", "--home", "p", CLEANROOM_NODE_TIMES_CONECT="4")
    assert wrong.code == 2 and "CLEANROOM_NODE_TIMES_CONECT" in wrong.err


def test_in_chinese(two: Run, tmp_path: Path) -> None:
    card = two("--lang", "zh", "peer", "card", "--home", "m", "--out", "merchant.card")
    spoken = identity(two, "m")["words"]
    assert " ".join(spoken["zh"][:8]) in card.out and spoken["en"][0] not in card.out
    assert "电话" in card.out
    wrong = two("peer", "add", "merchant", "merchant.card", "0" * 64, "--home", "p", "--lang", "zh")
    assert wrong.code == 3 and "指纹" in wrong.err
    assert "本节点的设置" in two("node", "settings", "--default", "--lang", "zh").out
    for words in (("node",), ("peer",), ("node", "init"), ("peer", "add"), ("peer", "renew"), ("node", "certificate")):
        text = two("--lang", "zh", *words, "--help").out
        assert re.search("[一-鿿]{6}", text)


def test_the_qr_code_is_a_square_with_three_finders_and_the_fingerprint(two: Run) -> None:
    out = two("peer", "card", "--home", "m").out
    lines = [line for line in out.splitlines() if line and set(line) <= set(" █▀▄")]
    dark = []
    for line in lines:
        dark.append([sign in "█▀" for sign in line])
        dark.append([sign in "█▄" for sign in line])
    width = len(dark[0])
    assert width in (len(dark), len(dark) - 1)
    finder = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    for top, left in ((2, 2), (2, width - 9), (width - 9, 2)):
        seen = ["".join("01"[each] for each in row[left : left + 7]) for row in dark[top : top + 7]]
        assert seen == finder

    segno = pytest.importorskip("segno")
    wanted = segno.make(identity(two, "m")["fingerprint"].upper(), error="m").matrix_iter(border=2)
    assert [[bool(each) for each in row] for row in wanted] == dark[:width]


def test_no_command_shows_a_secret(two: Run, tmp_path: Path) -> None:
    from cleanroom.keys import SecretAccess

    key = certificate.own(Home.open(tmp_path / "m")).key_pem(SecretAccess("a test")).decode().splitlines()[1]
    for words in (("peer", "card"), ("node", "certificate"), ("node", "settings")):
        for form in ((), ("--json",)):
            assert key not in two(*words, "--home", "m", *form).out
    two("peer", "card", "--home", "m", "--out", "merchant.card")
    assert key not in (tmp_path / "merchant.card").read_text() and json.loads((tmp_path / "merchant.card").read_text())
