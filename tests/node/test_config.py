"""node.toml and the environment: what is set holds, the rest is the default, mistakes are named by key and line."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom import lang
from cleanroom.errors import BadData, CleanroomError, UsageError
from cleanroom.node import config
from cleanroom.node.config import Approval, Config, Limits, Notices, Times


def loaded(folder: Path, text: str | None, **environment: str) -> Config:
    if text is not None:
        (folder / "node.toml").write_text(text, "utf-8")
    return config.load(folder, environment)


def refused(folder: Path, text: str | None, **environment: str) -> str:
    with pytest.raises((UsageError, BadData)) as caught:
        loaded(folder, text, **environment)
    return str(caught.value)


def test_what_is_not_set_is_as_documented(tmp_path: Path) -> None:
    assert loaded(tmp_path, 'role = "merchant"') == Config(
        role="merchant", listen="127.0.0.1:8815", url="", metrics="127.0.0.1:8816", socket="",
        console=False, console_listen="127.0.0.1:8817", console_certificate="", console_key="", console_names=(),
        console_upload_mb=512,
        limits=Limits(runs=2, links=64, window_bytes=16 << 20, jobs_waiting=1_000, runs_per_peer_per_day=1_000),
        times=Times(connect=10.0, silent=60.0, resume=120.0, skew=300.0, job=21600.0, retry_first=5.0,
                    retries=10),
        approval=Approval(runs="contract", approvers=(), substitutes=(), remind_hours=24, substitute_hours=72),
        notices=Notices(webhook="", smtp_host="", smtp_port=587, sender="", to=(), smtp_user="",
                        smtp_password_file=""),
    )  # fmt: skip


def test_the_file_and_over_it_the_environment(tmp_path: Path) -> None:
    text = """
        role = "platform"
        url = "grpc+tls://[2001:db8::1]:8815"
        listen = ""
        [times]
        connect = 3
        [approval]
        approvers = ["ada", "李雷"]
        [notices]
        smtp_host = "mail.example"
        sender = "node@platform.example"
        to = ["it@platform.example"]
        smtp_password_file = "/run/secrets/mail"
    """
    found = loaded(tmp_path, text)
    assert (found.role, found.listen, found.times.connect) == ("platform", "", 3.0)
    assert type(found.times.connect) is float
    assert found.approval.approvers == ("ada", "李雷")
    over = loaded(
        tmp_path, None, CLEANROOM_NODE_LISTEN="0.0.0.0:9000", CLEANROOM_NODE_TIMES_CONNECT="0.5",
        CLEANROOM_NODE_LIMITS_RUNS="7", CLEANROOM_NODE_APPROVAL_APPROVERS="eve, mallory", CLEANROOM_HOME="elsewhere",
        CLEANROOM_NODE_NOTICES_TO="", CLEANROOM_NODE_NOTICES_SMTP_HOST="",
    )  # fmt: skip
    assert (over.listen, over.times.connect, over.limits.runs) == ("0.0.0.0:9000", 0.5, 7)
    assert over.approval.approvers == ("eve", "mallory") and over.notices.to == ()
    assert over.url == found.url and over.notices.sender == found.notices.sender


def test_the_environment_alone_is_enough_for_a_container(tmp_path: Path) -> None:
    assert loaded(tmp_path, None, CLEANROOM_NODE_ROLE="enclave").role == "enclave"
    assert "cleanroom node init" in refused(tmp_path, None)


MISTAKES = {
    "an unknown key": ('role = "merchant"\n\ncolour = 1', "Line 3", "colour"),
    "an unknown key of a table": ("[limits]\n# more\nruns = 3\nrunz = 1", "Line 4", "limits.runz"),
    "an unknown table": ('role = "merchant"\n[secrets]\na = 1', "Line 2", "secrets"),
    "a table in place of a key": ("[role]\na = 1", "Line 1", "role"),
    "a key in place of a table": ("limits = 3", "Line 1", "limits"),
    "a password": ('[notices]\nsmtp_password = "hunter2"', "Line 2", "notices.smtp_password"),
    "a text for a number": ('[limits]\nruns = "two"', "Line 2", "limits.runs", "1 to 64"),
    "a number with a point": ("[limits]\nruns = 2.0", "Line 2", "limits.runs"),
    "true for a number": ("[limits]\nruns = true", "Line 2", "limits.runs"),
    "a number for true": ('role = "merchant"\nconsole = 1', "Line 2", "console", "true, false"),
    "a text for true": ('role = "merchant"\nconsole = "true"', "Line 2", "console", "true, false"),
    "a console for others without TLS": (
        'role = "merchant"\nconsole = true\nconsole_listen = "0.0.0.0:8817"',
        "TLS",
        "console_certificate",
        "console_key",
    ),
    "a console by a name without TLS": (
        'role = "merchant"\nconsole = true\nconsole_listen = "node.example:8817"',
        "TLS",
    ),
    "a certificate without a key": ('role = "merchant"\nconsole_certificate = "a.pem"', "console_key", "Name both"),
    "a console nowhere": ('role = "merchant"\nconsole = true\nconsole_listen = ""', "console_listen", "HOST:PORT"),
    "an address for a name": ('role = "merchant"\nconsole_names = ["https://a"]', "console_names"),
    "too large uploads": ('role = "merchant"\nconsole_upload_mb = 5000', "Line 2", "1 to 4096"),
    "none at all": ("[limits]\nruns = 0", "Line 2", "1 to 64"),
    "too many": ("[limits]\nlinks = 5000", "Line 2", "1 to 4096"),
    "no number": ("[times]\nsilent = nan", "Line 2", "times.silent"),
    "for ever": ("[times]\n\n\nsilent = inf", "Line 4", "times.silent"),
    "dotted": ('role = "merchant"\ntimes.silent = 0', "Line 2", "times.silent"),
    "one text for a list": ('[approval]\napprovers = "ada"', "Line 2", "approval.approvers"),
    "a list of numbers": ("[approval]\napprovers = [1]", "Line 2", "approval.approvers"),
    "a number for a text": ("role = 5", "Line 1", "role"),
    "another role": ('role = "boss"', "role", "merchant, platform, enclave, provider, auditor"),
    "no role": ("", "role", "merchant"),
    "another way of approval": ('role = "merchant"\n[approval]\nruns = "never"', "approval.runs", "contract, ask"),
    "no address": ('role = "merchant"\nlisten = "everywhere"', "listen", "HOST:PORT"),
    "a port out of range": ('role = "merchant"\nmetrics = "127.0.0.1:99999"', "metrics", "HOST:PORT"),
    "another scheme": ('role = "merchant"\nurl = "https://a:1"', "url", "grpc+tls://HOST:PORT"),
    "a path behind": ('role = "merchant"\nurl = "grpc+tls://a:1/x"', "url", "grpc+tls://HOST:PORT"),
    "port 0 to be dialled": ('role = "merchant"\nurl = "grpc+tls://a:0"', "url", "grpc+tls://HOST:PORT"),
    "a webhook of another kind": ('role = "merchant"\n[notices]\nwebhook = "ftp://a"', "notices.webhook"),
    "mail to nobody": ('role = "merchant"\n[notices]\nsmtp_host = "mail"', "notices.sender", "notices.to"),
    "no TOML": ('role = "merchant"\nlisten = [', "not TOML", "line 2"),
    "the same key twice": ('role = "merchant"\nrole = "platform"', "not TOML", "line 2"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_named(tmp_path: Path, what: str) -> None:
    text, *named = MISTAKES[what]
    told = refused(tmp_path, text)
    assert all(each in told for each in named), told
    assert "hunter2" not in told


def test_mistakes_of_the_environment_are_named_by_the_variable(tmp_path: Path) -> None:
    role = 'role = "merchant"'
    assert "CLEANROOM_NODE_LISTENS" in refused(tmp_path, role, CLEANROOM_NODE_LISTENS="x")
    assert "CLEANROOM_NODE_LIMITS_RUNS" in refused(tmp_path, role, CLEANROOM_NODE_LIMITS_RUNS="many")
    assert "1 to 64" in refused(tmp_path, role, CLEANROOM_NODE_LIMITS_RUNS="65")
    assert "CLEANROOM_NODE_TIMES_SILENT" in refused(tmp_path, role, CLEANROOM_NODE_TIMES_SILENT="nan")


def test_on_and_off_by_file_and_by_environment(tmp_path: Path) -> None:
    assert loaded(tmp_path, 'role = "merchant"\nconsole = true').console is True
    for text, wanted in (("true", True), ("1", True), ("False", False), ("0", False)):
        assert loaded(tmp_path, None, CLEANROOM_NODE_CONSOLE=text).console is wanted
    assert "true, false" in refused(tmp_path, None, CLEANROOM_NODE_CONSOLE="yes")
    assert "TLS" in refused(tmp_path, None, CLEANROOM_NODE_CONSOLE_LISTEN="[2001:db8::1]:8817")


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:8817", "localhost:8817", "127.8.0.1:1"])
def test_a_console_for_this_machine_needs_no_certificate(tmp_path: Path, listen: str) -> None:
    assert loaded(tmp_path, f'role = "merchant"\nconsole = true\nconsole_listen = "{listen}"').console


def test_a_console_for_others_has_a_certificate_and_names(tmp_path: Path) -> None:
    text = """
        role = "merchant"
        console = true
        console_listen = "0.0.0.0:443"
        console_certificate = "/etc/cleanroom/console.pem"
        console_key = "/etc/cleanroom/console.key"
        console_names = ["console.example", "10.0.0.1", "[2001:db8::1]"]
    """
    assert loaded(tmp_path, text).console_names[0] == "console.example"


def test_a_link_or_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('role = "merchant"')
    (tmp_path / "node.toml").symlink_to("elsewhere")
    assert "node.toml" in refused(tmp_path, None)
    (tmp_path / "node.toml").unlink()
    assert "longer" in refused(tmp_path, "#" * (1 << 17))


@given(st.text())
def test_no_text_does_worse_than_a_named_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "node.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CleanroomError):
        config.load(folder, {})


ODD = 'a"b\\c\n\t\x00\x7f天😀 #'


@pytest.mark.parametrize("language", lang.LANGUAGES)
def test_what_is_written_is_read_again_and_explains_every_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setattr(lang, "_current", language)
    wanted = Config(
        "auditor", "", "grpc+tls://node.example:1", "", ODD, console=True, console_names=("console.example",),
        console_upload_mb=7, limits=Limits(runs=3), times=Times(connect=0.25),
        approval=Approval(approvers=("ada", ODD)), notices=Notices(webhook="https://hooks.example/x"),
    )  # fmt: skip
    text = config.written(wanted)
    assert loaded(tmp_path, text) == wanted
    lines = text.splitlines()
    for kind, title in ((Config, None), *((kind, f"[{name}]") for name, kind in config.TABLES.items())):
        start = lines.index(title) if title else 0
        for each in dataclasses.fields(kind):
            if each.name in config.TABLES:
                continue
            at = next(
                n for n, line in enumerate(lines) if n >= start and line.removeprefix("# ").startswith(f"{each.name} =")
            )
            assert lines[at - 1].startswith("# ") and len(lines[at - 1]) > 6
    assert any("这里" in line for line in lines) == (language == "zh")


def test_uncommented_the_written_file_says_the_defaults(tmp_path: Path) -> None:
    lines = config.written(Config("merchant")).splitlines()
    keys = [line.removeprefix("# ") if " = " in line and "CLEANROOM" not in line else line for line in lines]
    assert len(tomllib.loads("\n".join(keys))["times"]) == len(dataclasses.fields(Times))
    assert loaded(tmp_path, "\n".join(keys)) == Config("merchant")


def test_every_setting_has_a_chinese_text() -> None:
    texts = {each.metadata["text"] for kind in (Config, *config.TABLES.values()) for each in dataclasses.fields(kind)
             if each.name not in config.TABLES} | set(config.TITLES.values())  # fmt: skip
    assert not texts - lang.catalogue().keys()


def test_addresses() -> None:
    assert config.address("node.example:0") == ("node.example", 0)
    assert config.address("[::1]:8815") == ("::1", 8815)
    assert config.dialled("grpc+tls://10.0.0.1:443") == ("10.0.0.1", 443)
    for bad in (
        "",
        "host",
        "host:",
        ":1",
        "host:-1",
        "host:65536",
        "a b:1",
        "user@host:1",
        "[host]:1",
        "host:1\n",
        "h:１",
    ):
        with pytest.raises(UsageError):
            config.address(bad)
