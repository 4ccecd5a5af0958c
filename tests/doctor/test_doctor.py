"""The doctor: each planted fault is named with what to do, in both languages; what is well is said to be."""

import datetime as dt
import errno
import http.server
import io
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from cleanroom import lang
from cleanroom import machine as machines
from cleanroom.commands import doctor as command
from cleanroom.doctor import drawing, home, isolation, machine, node, packages, reasons, run, system
from cleanroom.doctor.finding import Finding, worst
from cleanroom.enclave import sandbox
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.machine import Machine
from cleanroom.node import certificate, console, daemon, peers
from cleanroom.node.config import Config, written
from cleanroom.node.daemon import Node
from cleanroom.node.log import Log
from cleanroom.terminal import doctor as terminal
from tests.near import new_home
from tests.node.nearby import introduce

NOW = dt.datetime.now(dt.UTC)
AVX = machines._AVX512
ENGLISH = re.compile(r"[A-Za-z]{2,} [a-z]{2,}")
COMMANDS = re.compile(r"\bcleanroom [\w -]+|sysctl \S+|chmod \S+ \S+|timedatectl [\w -]+|pip .*")


@pytest.fixture
def merchant(tmp_path: Path) -> Home:
    """A home whose node may be dialled nowhere, and listens at any free port."""
    made = new_home(tmp_path / "merchant", "merchant")
    settle(made)
    return made


def settle(made: Home, **settings: object) -> Config:
    config = Config("merchant", **{"listen": "127.0.0.1:0", "metrics": "", **settings})  # type: ignore[arg-type]
    write_bytes(made.path / "node.toml", written(config).encode())
    return config


@contextmanager
def running(made: Home) -> Iterator[Node]:
    found = Node(made, Log(io.StringIO()))
    thread = threading.Thread(target=found.serve)
    thread.start()
    deadline = time.monotonic() + 10
    while not found.port and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield found
    finally:
        found.stop()
        thread.join(20)


def by_name(findings: Iterable[Finding], name: str) -> Finding:
    return next(each for each in findings if each.name == name)


# -- the machine


def test_a_machine_that_lacks_something_is_told_what() -> None:
    fast, plain = Machine("Xeon", 8, AVX), Machine("Old", 1, frozenset())
    assert machine.processor(fast).state == "ok"
    assert machine.processor(Machine("Ryzen", 8, frozenset({"aes", "pclmul"}))).found.count("avx512ifma") == 1
    assert "pclmul" in machine.processor(plain).advice
    assert machine.cores(1).state == "warn" and machine.cores(2).state == "ok"
    assert [machine.memory(size << 30).state for size in (2, 3, 4)] == ["bad", "warn", "ok"]
    assert machine.memory(None).state == "warn"
    assert machine.kernels(True, []).state == "ok"
    assert "warm-up" in machine.kernels(True, ["vole"]).advice and "vole" in machine.kernels(True, ["vole"]).found
    assert "NUMBA_CACHE_DIR" in machine.kernels(False, []).advice


def test_a_processor_that_the_environment_hides_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert "NUMBA_CPU_NAME" in machine.processor(Machine("Xeon", 8, frozenset())).advice


def test_a_container_has_the_memory_that_it_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       16777216 kB\nMemFree: 1 kB\n")
    monkeypatch.setattr(machine, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "max")
    assert machine.memory_bytes() == 16 << 30
    (tmp_path / "max").write_text("max\n")
    assert machine.memory_bytes() == 16 << 30
    (tmp_path / "max").write_text(f"{1 << 30}\n")
    assert machine.memory_bytes() == 1 << 30


def test_clock_files_and_encoding() -> None:
    before = NOW - dt.timedelta(days=400)
    assert system.clock(before, NOW, True).state == "bad"
    assert [system.clock(NOW, before, kept).state for kept in (True, False, None)] == ["ok", "warn", "ok"]
    assert "cannot be seen" in system.clock(NOW, before, None).found
    assert [system.open_files(most).state for most in (100, 1_000, 65_536, -1)] == ["bad", "warn", "ok", "ok"]
    assert (
        system.encoding("ANSI_X3.4-1968", "utf-8").state == "warn" and system.encoding("UTF-8", "utf-8").state == "ok"
    )
    assert system.randomness().state == "ok" and system.synchronised() in (True, False, None)


def test_isolation_names_what_does_not_hold() -> None:
    every = {*isolation._ALWAYS, *isolation._LINUX, sandbox.USER}
    assert isolation.isolation(frozenset(every)).state == "ok"
    without = isolation.isolation(frozenset(every - {sandbox.READING}))
    assert without.state == "warn" and "Landlock" in without.advice and sandbox.READING in without.found
    assert isolation.isolation(None).state == "bad"
    held = isolation.held()
    assert held is not None and set(isolation._ALWAYS) <= held


def test_charts_are_drawn_and_a_missing_drawer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [each.state for each in drawing.checks()] == ["ok"]
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    (found,) = drawing.checks()
    assert found.state == "bad" and "vl-convert" in found.advice


# -- the installation


def test_missing_and_old_packages_are_named() -> None:
    needs = ["numpy>=99.1", "no-such-package>=1.2", "pytest>=1", "absent>=1; extra == 'test'", "rich"]
    found = {each.name: each for each in packages.packages(needs)}
    assert found.keys() == {"package.numpy", "package.no-such-package"}
    assert "99.1" in found["package.numpy"].found and "no-such-package>=1.2" in found["package.no-such-package"].advice
    assert packages.python((3, 10, 4)).state == "bad" and packages.python((3, 12, 0)).state == "ok"
    assert packages._numbers("2.0") == packages._numbers("2.0.0rc1") == (2,) < packages._numbers("2.0.1")


def test_needs_are_those_of_the_checkout_else_as_installed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "open-cleanroom"\ndependencies = ["a>=1"]\n')
    assert packages.declared(tmp_path / "pyproject.toml") == ["a>=1"]
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\ndependencies = ["a>=1"]\n')
    assert "a>=1" not in packages.declared(tmp_path / "pyproject.toml")


# -- the home


def test_a_home_that_is_well(merchant: Home) -> None:
    found = list(home.checks(merchant.path))
    assert {each.name: each.state for each in found if each.name not in ("disk", "file-system")} == {
        "permissions": "ok", "writing": "ok"
    }  # fmt: skip
    assert not list(merchant.path.glob(".doctor*"))
    assert home.opened(merchant.path)[1].state == "ok"


def test_others_who_may_read_are_named(merchant: Home) -> None:
    (merchant.path / "unlock.key").chmod(0o644)
    found = home.permissions(merchant.path)
    assert found.state == "bad" and "unlock.key" in found.found and "chmod" in found.advice
    opened, why = home.opened(merchant.path)
    assert opened is None and why.state == "bad" and "unlock.key" in why.found
    (merchant.path / "unlock.key").chmod(0o600)
    (merchant.path / "vault").chmod(0o750)
    assert "vault" in home.permissions(merchant.path).found
    assert home.opened(merchant.path)[1].state == "bad"


def test_a_full_disk_is_named(merchant: Home) -> None:
    assert [home.disk(free, 0).state for free in (1 << 20, 1 << 30, 3 << 30)] == ["bad", "warn", "ok"]
    assert home.disk(3 << 30, 4 << 30).state == "warn"
    code = (
        "import resource, signal, sys; from pathlib import Path; from cleanroom.doctor import home; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)); "
        "found = home.writing(Path(sys.argv[1])); sys.stdout.write(f'{found.state} {found.found}')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(merchant.path)], capture_output=True, text=True)
    assert done.stdout.startswith("bad ") and "limit of file sizes" in done.stdout, done.stderr
    assert not list(merchant.path.glob(".doctor*"))


def test_damaged_databases_and_unsure_file_systems_are_named(merchant: Home, tmp_path: Path) -> None:
    (merchant.path / "ledger.sqlite").write_bytes(b"SQLite format 3\0" + bytes(5000))
    (found,) = home.databases(merchant.path)
    assert found.state == "bad" and "ledger.sqlite" in found.found
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {merchant.path} nfs4 rw 0 0\n")
    assert home.file_system_of(merchant.path, mounts) == "nfs4" and home.file_system("nfs4").state == "warn"
    assert home.file_system_of(tmp_path, mounts) == "ext4" and home.file_system("ext4").state == "ok"


# -- the node


def test_settings_that_do_not_fit_are_named(merchant: Home) -> None:
    (merchant.path / "node.toml").write_text('role = "merchant"\ncolour = 1\n')
    (found,) = node.checks(merchant)
    assert found.state == "bad" and "colour" in found.found and "Line 2" in found.found
    (merchant.path / "node.toml").unlink()
    (found,) = node.checks(merchant)
    assert found.state == "ok"


def test_a_port_that_is_taken_is_named(merchant: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        place = f"127.0.0.1:{held.getsockname()[1]}"
        config = settle(merchant, listen=place, console=True, console_listen="127.0.0.1:0")
        found = {each.name: each.state for each in node.ports(config)}
    assert found == {"port.listen": "bad", "port.console_listen": "ok"}


def test_certificates_that_end_are_named(merchant: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = new_home(tmp_path / "platform", "platform")
    past = NOW - dt.timedelta(days=390)
    pem = certificate.own(platform, past).pem
    with monkeypatch.context() as patch:
        patch.setattr(peers, "_now", lambda: past)
        peers.Peers(merchant).add("platform", "", pem, platform.keys.public.fingerprint)
    config = settle(merchant)

    def state(now: dt.datetime) -> str:
        return by_name(node.certificates(merchant, config, now), "certificate.platform").state

    assert [state(NOW + dt.timedelta(days=days)) for days in (-30, 0, 30)] == ["ok", "warn", "bad"]
    assert by_name(node.certificates(merchant, config, NOW), "certificate").state == "ok"
    torn = settle(merchant, console_certificate=str(tmp_path / "none.pem"), console_key=str(tmp_path / "none.key"))
    found = by_name(node.certificates(merchant, torn, NOW), "console_certificate")
    assert found.state == "bad" and "none.pem" in found.found
    assert "none.key" in by_name(node.secret_files(torn), "console_key").found


def test_peers_are_reached_and_their_clocks_compared(merchant: Home, tmp_path: Path) -> None:
    platform = new_home(tmp_path / "platform", "platform")
    settle(platform)
    introduce(platform, merchant)
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = free.getsockname()[1]
    with running(platform) as served:
        introduce(merchant, platform, url=f"grpc+tls://127.0.0.1:{served.port}")
        (found,) = node.peers(merchant, settle(merchant))
        assert found.state == "ok" and "agrees" in found.found
    introduce(merchant, platform, url=f"grpc+tls://127.0.0.1:{nowhere}")
    (found,) = node.peers(merchant, settle(merchant))
    assert found.state == "warn" and "nothing listens" in found.found and str(nowhere) in found.advice


def test_why_the_system_refused_is_said_in_words_of_ours() -> None:
    known = [OSError(number, "") for number in reasons._WORDS]
    assert {reasons.reason(each) for each in known} == set(reasons._WORDS.values()) <= lang.catalogue().keys()
    assert reasons.reason(socket.gaierror(socket.EAI_NONAME, "Name or service not known")) == "its name is not known"
    assert reasons.reason(TimeoutError("timed out")) == "no answer"
    assert reasons.reason(OSError(errno.EISDIR, "")) == "Is a directory"


def test_clocks_that_differ_are_told_by_how_much() -> None:
    states = [node.clocks("platform", 0.1, ahead, 300).state for ahead in (0.5, None, -20, 400)]
    assert states == ["ok", "ok", "warn", "bad"]
    assert "-20 s" in node.clocks("platform", 0.1, -20, 300).found
    assert node.off("2026-01-31T00:00:10+00:00", dt.datetime(2026, 1, 31, tzinfo=dt.UTC).timestamp()) == 10
    assert node.off("noon", 0.0) is None


@contextmanager
def page(status: int, context: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_console_that_does_not_serve_is_named(merchant: Home) -> None:
    config = settle(merchant, console=True)
    handle = daemon._locked(merchant)
    try:
        assert by_name(node.checks(merchant), "console").state == "bad"
        with page(200) as url:
            told = {"format": console.FORMAT, "url": url, "pid": os.getpid()}
            (merchant.path / console.FILE).write_text(json.dumps(told))
            assert by_name(node.checks(merchant), "console").state == "ok"
        assert node.reached_console(url, config).state == "bad"
        with page(500) as url:
            assert "500" in node.reached_console(url, config).found
    finally:
        os.close(handle)


def test_a_console_with_tls_is_asked_under_its_own_certificate(merchant: Home, tmp_path: Path) -> None:
    config = settle(
        merchant, console=True, console_certificate=str(tmp_path / "c.pem"), console_key=str(tmp_path / "k")
    )
    _certified(tmp_path / "c.pem", tmp_path / "k")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k")
    with page(200, context) as url:
        assert node.reached_console(url.replace("http:", "https:"), config).state == "ok"
        _certified(tmp_path / "c.pem", tmp_path / "k")
        assert node.reached_console(url.replace("http:", "https:"), config).state == "bad"
    assert by_name(node.certificates(merchant, config, NOW), "console_certificate").state == "warn"  # ends in a week


def _certified(pem: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "console")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(NOW - dt.timedelta(days=1)).not_valid_after(NOW + dt.timedelta(days=7))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


# -- the whole


def examined(*words: str) -> tuple[int, dict[str, object], str]:
    app = typer.Typer()
    command.add(app)
    result = CliRunner().invoke(app, [*words, "--json"])
    return result.exit_code, json.loads(result.stdout), result.stdout


def test_without_a_home_the_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    code, found, _ = examined()
    assert code == 0 and found["home"] == ""
    assert {each["part"] for each in found["checks"]} == {"machine", "software"}  # type: ignore[attr-defined]
    code, found, _ = examined("--home", str(tmp_path / "none"))
    assert code == 1 and found["state"] == "bad"


def test_a_home_is_examined_quickly_and_keeps_its_secrets(merchant: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    code, found, text = examined("--home", str(merchant.path))
    assert code == 0 and found["state"] == "warn"  # its node does not run
    assert {each["part"] for each in found["checks"]} == set(run.PARTS)  # type: ignore[attr-defined]
    assert float(str(found["seconds"])) < 3
    assert (merchant.path / "unlock.key").read_text().split()[-1] not in text
    (merchant.path / "keys").chmod(0o755)
    assert examined("--home", str(merchant.path))[0] == 1


def test_a_check_that_fails_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(system, "checks", broken)
    found = run.examined(tmp_path / "none", named=False)
    assert any(each["name"] == "check.machine" and each["state"] == "warn" for each in found["checks"])
    assert any(each["name"] == "python" for each in found["checks"])


def _many(made: Home) -> list[Finding]:
    """Findings of every kind, the bad ones above all."""
    config = settle(made, console=True, console_listen="127.0.0.1:0")
    before = NOW - dt.timedelta(days=400)
    return [
        machine.cores(1), machine.memory(1 << 30), machine.memory(None),
        machine.processor(Machine("X", 1, frozenset())),
        machine.processor(Machine("X", 1, frozenset({"aes", "pclmul"}))), machine.kernels(False, []),
        machine.kernels(True, ["vole"]), packages.python((3, 10)), *packages.packages(["none-such>=1", "rich>=99"]),
        system.clock(before, NOW, None), system.clock(NOW, before, False), system.clock(NOW, before, None),
        system.encoding("ascii", "ascii"), system.open_files(10), isolation.isolation(None),
        isolation.isolation(frozenset()), home.disk(0, 0), home.file_system("nfs"), node.reached_console("", config),
        node.reached_console("http://127.0.0.1:9", config), node.clocks("P", 0.1, 99, 10),
        node.clocks("P", 0.1, None, 1),
        *home.checks(made.path), *node.checks(made),
    ]  # fmt: skip


def test_whatever_is_not_well_says_what_to_do_in_both_languages(merchant: Home) -> None:
    (merchant.path / "unlock.key").chmod(0o644)
    (merchant.path / "ledger.sqlite").write_bytes(b"nothing of the kind" * 100)
    for each in _many(merchant):
        assert bool(each.advice) == (each.state != "ok"), each
        assert worst([each]) == each.state
    with lang.speaking("zh"):
        for each in _many(merchant):
            for text in (each.title, each.found, each.advice):
                assert not ENGLISH.search(COMMANDS.sub("", text)), text


def test_people_see_marks_and_advice(merchant: Home) -> None:
    from rich.console import Console

    target = io.StringIO()
    found = run.examined(merchant.path, named=True)
    terminal.examined_shown(Console(file=target, width=60), found)
    text = target.getvalue()
    assert "✓ Python" in text and "→ Start it: cleanroom serve" in text and "It works." in text
    assert set(terminal._TITLES) == set(run.PARTS) and set(terminal._TITLES.values()) <= lang.catalogue().keys()
