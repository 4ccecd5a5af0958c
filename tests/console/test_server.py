"""Where a console is served: by TLS beyond the loopback, and only as long as whoever started it lives."""

import datetime as dt
import ipaddress
import json
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cleanroom.console.server import Server
from cleanroom.errors import UsageError
from cleanroom.home import Home
from tests.console.conftest import served
from tests.near import new_home

pytestmark = pytest.mark.xdist_group("console")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of its own signing for 127.0.0.1, and its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "console")]), dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "c.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "k.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))  # fmt: skip
    (folder / "k.pem").chmod(0o600)
    return folder / "c.pem", folder / "k.pem"


def _home(path: Path, settings: str = "") -> Home:
    home = new_home(path, "merchant")
    (home.path / "node.toml").write_text(f'role = "merchant"\nconsole = true\n{settings}')
    (home.path / "node.toml").chmod(0o600)
    return home


def test_by_tls_the_cookie_is_for_tls_alone(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    from cleanroom.access import users

    pem, key = certificate
    home = _home(tmp_path / "home", f'console_certificate = "{pem}"\nconsole_key = "{key}"\n')
    users.add(home, "ada", ["owner"], "correct horse battery ada")
    with served(home.path) as url:
        assert url.startswith("https://")
        with httpx.Client(verify=ssl.create_default_context(cafile=pem)) as browser:
            answer = browser.post(f"{url}/sign-in", data={"name": "ada", "password": "correct horse battery ada"},
                                  headers={"origin": url})  # fmt: skip
            assert answer.headers["set-cookie"].startswith("__Host-cleanroom-")
            assert "; Secure" in answer.headers["set-cookie"]
            assert "max-age" in answer.headers["strict-transport-security"]
            assert browser.get(f"{url}/").status_code == 200
            elsewhere = {"name": "ada", "password": "correct horse battery ada"}
            same_host = url.replace("https", "http")
            assert browser.post(f"{url}/sign-in", data=elsewhere, headers={"origin": same_host}).status_code == 403


def test_beyond_this_machine_there_is_no_console_without_tls(tmp_path: Path) -> None:
    home = _home(tmp_path / "home", 'console_listen = "0.0.0.0:0"\n')
    with pytest.raises(UsageError, match="TLS only"):
        Server(home.path)


def test_a_place_that_is_taken_is_named(tmp_path: Path) -> None:
    home = _home(tmp_path / "home")
    with served(home.path) as url:
        other = _home(tmp_path / "other", f'console_listen = "127.0.0.1:{url.rpartition(":")[2]}"\n')
        with pytest.raises(UsageError, match="cannot be listened at"):
            Server(other.path)


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    home = _home(tmp_path / "home", 'console_listen = "127.0.0.1:0"\n')
    with subprocess.Popen([sys.executable, "-m", "cleanroom.console", str(home.path)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None and process.stdin is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            assert httpx.get(f"{url}/sign-in", timeout=30).status_code == 200
            process.stdin.close()
            assert process.wait(20) == 0
        finally:
            process.kill()
