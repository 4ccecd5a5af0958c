"""Making, listing, revoking apps by command; serving with TLS; what cannot be served."""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleanroom.commands.gateway import app
from cleanroom.errors import BadData, UsageError
from cleanroom.gateway import demo, signing
from cleanroom.gateway.apps import Apps
from cleanroom.gateway.server import Listening, Server, running
from cleanroom.gateway.service import Service
from connectors.qipan import Account, Qipan
from tests.gateway.asking import M
from tests.gateway.world import ROOM, World
from tests.near import new_home


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.exception
    return result.output


def test_an_app_is_made_shown_listed_and_revoked(world: World, tmp_path: Path) -> None:
    home = str(world.merchant.path)
    made = json.loads(run("init", "--room", ROOM, "--home", home, "--pid", "2088", "--json"))
    assert made["gateway_public_key"] == world.gateway_key
    signing.load_private(made["app_private_key"])
    listed = run("app", "list", "--home", home, "--json")
    assert made["app_id"] in listed
    assert made["app_private_key"] not in listed
    assert made["app_id"] in run("app", "list", "--home", home)
    assert json.loads(run("app", "revoke", made["app_id"], "--home", home, "--json"))["revoked"]
    own = tmp_path / "public.txt"
    own.write_text(signing.public_text(signing.new_key().public_key()))
    brought = json.loads(run("init", "--room", ROOM, "--home", home, "--public-key", str(own), "--json"))
    assert brought["app_private_key"] == ""
    shown = run("init", "--room", ROOM, "--home", home)
    assert "app_private_key" in shown


def test_what_cannot_be_is_refused(world: World, tmp_path: Path) -> None:
    apps = Apps(world.merchant)
    with pytest.raises(UsageError):
        apps.revoke("2021000000000000")
    with pytest.raises(UsageError):
        apps.add(world.room.contract, purpose="another")
    with pytest.raises(UsageError):
        apps.add(world.room.contract, public_key="AAAA")
    with pytest.raises(UsageError):
        Listening.at("127.0.0.1:80", tmp_path / "only.pem")
    other = new_home(tmp_path / "other", "merchant")
    with pytest.raises(UsageError):
        CliRunner().invoke(app, ["serve", "--home", str(other.path)], catch_exceptions=False)
    Apps(other).add(world.room.contract)
    (other.path / "gateway" / "apps.json").write_text('{"format": "cleanroom-gateway/9", "apps": []}')
    with pytest.raises(BadData, match="format"):
        Apps(other).every()


def test_a_served_process_answers_and_stops_when_told(world: World) -> None:
    code = "from cleanroom.commands.gateway import app; app()"
    words = ["serve", "--home", str(world.merchant.path), "--listen", "127.0.0.1:0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            begun = json.loads(process.stderr.readline())
            assert begun["event"] == "gateway.serving"
            account = Account(begun["url"], world.app.app_id, world.private_key, world.gateway_key)
            assert Qipan(account).call(M + "crowd.batchquery", {})["code"] == "10000"
            assert json.loads(process.stderr.readline())["method"] == M + "crowd.batchquery"
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_tls_by_files(world: World, tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    listening = Listening.at("127.0.0.1:0", certificate, key)
    with Service(world.merchant) as service, running(service, listening) as server:
        assert server.url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(server.url, b"x=1", context=trust, timeout=10) as answer:
            assert b"isv.missing-app-id" in answer.read()
    with Service(world.merchant) as service, pytest.raises(UsageError):
        Server(service, Listening.at("127.0.0.1:0", key, key))


def _certificate(folder: Path) -> tuple[Path, Path]:
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    key, now = signing.new_key(), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "chain.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))  # fmt: skip
    return paths


def test_a_demo_is_made_once_and_served_again_with_a_new_app(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").write_text("mine")
    with pytest.raises(UsageError):
        demo.prepare(taken)
    held = world.merchant.path
    (held / demo.MARK).write_text("a demo")
    monkeypatch.setattr("cleanroom.demo.market.ROOM", ROOM)
    made, again = demo.prepare(held), demo.prepare(held)
    assert made["app_id"] != again["app_id"]
    assert {each["role"] for each in made["logins"]} == set(demo.LOGINS["merchant"])
    assert {each["party"] for each in made["logins"]} == {"merchant"}
    found: list[dict[str, object]] = []

    def told(result: dict[str, object]) -> None:
        found.append(result)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()

    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    try:
        demo.serve_demo(held, told=told)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert {"gateway", "app_id", "app_private_key", "gateway_public_key", "console", "logins"} <= found[0].keys()
    assert found[0]["consoles"] == {"merchant": found[0]["console"]}
    assert str(found[0]["gateway"]).startswith("http://127.0.0.1")
