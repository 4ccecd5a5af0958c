"""The units are ones that systemd takes, the enclave keeps what it needs, the installer does what it says, and the
documents name every setting, the same in both languages."""

import os
import re
import shutil
import subprocess
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from cleanroom.keystore import Keystore
from cleanroom.node.config import Config
from cleanroom.operations import desk, keys

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(path.name for path in DEPLOY.glob("*@.*"))
PAGES = [ROOT / "docs" / name for name in ("operations.md", "operations.zh-CN.md")]
INSTALL = ROOT / "scripts" / "install.sh"
SYSTEMD = shutil.which("systemd-analyze")


def analyzed(folder: Path, *words: str) -> str:
    """What systemd says of the units, the program being a stand-in in `folder`."""
    program = folder / "opt" / "bin" / "cleanroom"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in UNITS:
        (folder / name).write_text((DEPLOY / name).read_text().replace("/opt/cleanroom", str(folder / "opt")))
    assert SYSTEMD is not None
    done = subprocess.run([SYSTEMD, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(SYSTEMD is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    assert analyzed(tmp_path, "verify", "--man=no", f"./{name}") == ""


@pytest.mark.skipif(SYSTEMD is None, reason="there is no systemd here")
@pytest.mark.parametrize(("name", "most"), [("cleanroom-node@.service", 2.2), ("cleanroom-backup@.service", 1.1)])
def test_their_exposure_is_what_the_documents_say(name: str, most: float, tmp_path: Path) -> None:
    told = analyzed(tmp_path, "security", "--offline=true", f"./{name}")
    found = re.search(r"Overall exposure level .*: ([\d.]+) OK", told)
    assert found is not None
    assert float(found[1]) <= most
    assert all(found[1] in page.read_text("utf-8") for page in PAGES)


def test_the_enclave_keeps_what_it_gives_up_by_itself() -> None:
    lines = (DEPLOY / "cleanroom-node@.service").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert set(settings["RestrictNamespaces"].split()) == {"user", "net", "ipc"}
    allowed = set(settings["SystemCallFilter"].split())
    assert {"@system-service", "capset", "seccomp", "landlock_restrict_self"} <= allowed
    assert "MemoryDenyWriteExecute" not in settings
    assert "ProcSubset" not in settings
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "PrivateDevices", "RestrictSUIDSGID"):
        assert settings[name] == "yes"
    assert settings["ProtectSystem"] == "strict"
    assert settings["MemorySwapMax"] == "0"


def test_a_key_that_systemd_hands_over_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later versions of systemd show it as readable by a group; anywhere else that is refused."""
    from cleanroom.errors import Refused

    Keystore.make_key_file(tmp_path / "unlock.key")
    (tmp_path / "unlock.key").chmod(0o440)
    with pytest.raises(Refused):
        Keystore.from_key_file(tmp_path / "unlock.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Keystore.from_key_file(tmp_path / "unlock.key").kind == "key-file"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "other"))
    with pytest.raises(Refused):
        Keystore.from_key_file(tmp_path / "unlock.key")


def installed(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", INSTALL, *words], capture_output=True, text=True, check=False)


def test_the_installer_says_what_it_would_do(tmp_path: Path) -> None:
    assert subprocess.run(["sh", "-n", INSTALL], check=False).returncode == 0
    done = installed("--dry-run", "--prefix", str(tmp_path / "cleanroom"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("+ ") for line in lines)
    assert sum("--require-hashes" in line for line in lines) == 1
    assert all("--no-deps" in line for line in lines if "install" in line and "pip" in line)
    assert not any("systemctl" in line for line in lines)
    assert list(tmp_path.iterdir()) == []
    assert "systemctl daemon-reload" in installed("--dry-run").stdout
    assert installed("--what").returncode == 2
    (tmp_path / "cleanroom").mkdir()
    refused = installed("--dry-run", "--prefix", str(tmp_path / "cleanroom"))
    assert refused.returncode == 1
    assert "no installation of ours" in refused.stderr


@pytest.mark.skipif(not os.environ.get("CLEANROOM_TRY_INSTALL"), reason="takes minutes: make install-check")
def test_the_program_installs_and_runs(tmp_path: Path) -> None:
    prefix = tmp_path / "cleanroom"
    for _ in range(2):  # the second replaces the first
        done = installed("--prefix", str(prefix))
        assert done.returncode == 0, done.stderr
    assert prefix.is_symlink()
    words = [prefix / "bin" / "cleanroom", "node", "init", "m", "--role", "merchant", "--home", tmp_path / "home"]
    assert subprocess.run(words, cwd="/", check=False, capture_output=True).returncode == 0


def settings() -> set[str]:
    tables = {field.name: field.default for field in fields(Config) if is_dataclass(field.default)}
    plain = {field.name for field in fields(Config)} - set(tables)
    return plain | {f"{name}.{field.name}" for name, table in tables.items() for field in fields(table)}  # type: ignore[arg-type]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_and_variable_is_documented_and_no_other(page: Path) -> None:
    text = page.read_text("utf-8")
    rows = set(re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE))
    assert rows == settings()
    assert {desk.BACKUP_KEY_FILE_VARIABLE, desk.BACKUP_PASSPHRASE_VARIABLE, keys.NEW_KEY_FILE_VARIABLE,
            keys.NEW_PASSPHRASE_VARIABLE, "CLEANROOM_KEY_FILE", "CLEANROOM_HOME"} <= set(
        re.findall(r"`(CLEANROOM_\w+)`", text))  # fmt: skip


def test_both_languages_have_the_same_blocks_and_tables() -> None:
    shapes = []
    for page in PAGES:
        text = page.read_text("utf-8")
        blocks = re.findall(r"^```\w*\n.*?^```$", text, re.MULTILINE | re.DOTALL)
        shape = [line.split(" ")[0].split("|")[0] or line.count("|") for line in text.splitlines()
                 if re.match(r"#+ |\||\d\. ", line)]  # fmt: skip
        named = sorted(set(re.findall(r"`(cleanroom [^`]+)`", text)))
        shapes.append((blocks, shape, named))
    assert shapes[0] == shapes[1]


def test_named_paths_are_those_of_the_units() -> None:
    units = "".join((DEPLOY / name).read_text() for name in UNITS) + (DEPLOY / "cleanroom.tmpfiles").read_text()
    for path in ("/var/backups/cleanroom", "/etc/cleanroom", "/opt/cleanroom/bin/cleanroom"):
        assert path in units
        assert all(path in page.read_text("utf-8") for page in PAGES)
