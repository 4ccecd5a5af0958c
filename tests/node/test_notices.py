"""Notices reach a webhook and a mail server under TLS, carry four things, and never hold anybody up."""

import base64
import datetime as dt
import email
import email.policy
import http.server
import json
import logging
import re
import socketserver
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cleanroom.errors import UsageError
from cleanroom.node import notices
from cleanroom.node.config import Notices

ROOM, PARTY = "春季复购", "Maison A"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(notices, "_PAUSES", (0.01, 0.01))


def wait_for(found, count=1):
    """`found`, once it has so many."""
    until = time.monotonic() + 10
    while len(found) < count and time.monotonic() < until:
        time.sleep(0.005)
    return found


@pytest.fixture
def idle():
    """Waits until no notice is on the way."""

    def wait():
        until = time.monotonic() + 10
        while any(thread.name == "notice" for thread in threading.enumerate()) and time.monotonic() < until:
            time.sleep(0.005)

    yield wait
    wait()


@pytest.fixture
def serving():
    """Starts a server of socketserver in a thread."""
    servers = []

    def start(server):
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return server.server_address[1]

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


class Web(http.server.BaseHTTPRequestHandler):
    """Keeps each POST; answers by the list of statuses, the last of which lasts."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, dict(self.headers), body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def web(*statuses):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.posts, server.statuses = [], list(statuses or (204,))
    return server


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A server's TLS context for localhost, whose certificate this process trusts."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    today, names = dt.datetime.now(dt.UTC), x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, today - dt.timedelta(1), today + dt.timedelta(1))
        .add_extension(names, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    no_password = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    (tmp_path / "server.pem").write_bytes(secret + pem)
    (tmp_path / "trusted.pem").write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


class Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321 and 3207 as a client needs; keeps every line that it was told, and whether under TLS."""

    def handle(self):
        self.secure = False
        if self.server.tls_at_once:
            self.start_tls()
        self.say("220 mail ESMTP")
        while line := self.rfile.readline():
            text = line.decode().rstrip("\r\n")
            self.server.lines.append((self.secure, text))
            if not self.answer(text.partition(" ")[0].upper()):
                return

    def answer(self, verb):
        if verb == "EHLO":
            offered = "AUTH PLAIN" if self.secure else "STARTTLS" if self.server.tls else "HELP"
            self.say(f"250-mail\r\n250 {offered}")
        elif verb == "STARTTLS":
            self.say("220 go on")
            self.start_tls()
        elif verb == "DATA":
            self.say("354 go on")
            content = b"".join(iter(self.rfile.readline, b".\r\n"))
            self.server.mails.append(content)
            self.say("250 taken")
        else:
            self.say("221 bye" if verb == "QUIT" else "235 in" if verb == "AUTH" else "250 fine")
        return verb != "QUIT"

    def start_tls(self):
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
        self.secure = True

    def finish(self):
        super().finish()
        self.connection.close()

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


class MailServer(socketserver.ThreadingTCPServer):
    def __init__(self, tls, *, tls_at_once=False):
        super().__init__(("127.0.0.1", 0), Mail)
        self.tls, self.tls_at_once, self.lines, self.mails = tls, tls_at_once, [], []

    def handle_error(self, *_):
        """A client that goes away is no news."""


def by_mail(port, **more):
    return Notices(
        smtp_host="localhost", smtp_port=port, sender="node@maison.example", to=("it@maison.example",), **more
    )


def test_a_webhook_gets_four_things_and_no_more(serving, idle):
    server = web()
    port = serving(server)
    notices.send(Notices(webhook=f"http://127.0.0.1:{port}/hook?key=1"), "approval.waiting", PARTY, ROOM)
    ((path, headers, body),) = wait_for(server.posts)
    notice = json.loads(body)
    assert path == "/hook?key=1"
    assert notice.pop("time") and notice == {"event": "approval.waiting", "party": PARTY, "room": ROOM}
    assert headers.keys() == {"Host", "Accept-Encoding", "Content-Length", "Content-Type"}
    assert re.search(TIME, body.decode())


def test_a_webhook_over_tls_is_checked(serving, trusted, monkeypatch, caplog, idle):
    server = web()
    server.socket = trusted.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    port = serving(server)
    address = f"https://localhost:{port}/hook"
    notices.send(Notices(webhook=address), "job.failed", PARTY, ROOM)
    assert wait_for(server.posts)
    monkeypatch.delenv("SSL_CERT_FILE")
    notices.send(Notices(webhook=address), "job.failed", PARTY, ROOM)
    idle()
    assert len(server.posts) == 1
    assert caplog.messages == ["notice job.failed not delivered by webhook: SSLCertVerificationError"]


def test_a_fault_is_tried_again_and_then_named_without_the_address(serving, caplog, idle):
    server = web(500, 503, 200)
    port = serving(server)
    notices.send(Notices(webhook=f"http://127.0.0.1:{port}/secret"), "job.failed", PARTY, ROOM)
    idle()
    assert len(server.posts) == 3
    assert caplog.messages == []
    server.statuses[:] = [500]
    notices.send(Notices(webhook=f"http://127.0.0.1:{port}/secret"), "job.failed", PARTY, ROOM)
    idle()
    assert len(server.posts) == 6
    (line,) = caplog.messages
    assert line == "notice job.failed not delivered by webhook: HTTPException"


def test_a_redirect_is_not_followed(serving, idle):
    server = web(307)
    port = serving(server)
    notices.send(Notices(webhook=f"http://127.0.0.1:{port}/hook"), "job.failed", PARTY, ROOM)
    idle()
    assert {path for path, _, _ in server.posts} == {"/hook"}


@pytest.mark.parametrize(
    "address",
    ["http://example.com/", "http://10.0.0.1/", "http://localhost/", "http://127.0.0.1.example.com/", "ftp://127.0.0.1/",
     "https://", "https://me:word@example.com/", "https://example.com:port/", "http://[", "file:///etc/passwd", "hook"],
)  # fmt: skip
def test_no_other_address_is_ever_called(address, caplog, idle):
    with pytest.raises(UsageError, match="https"):
        notices.check_webhook(address)
    notices.send(Notices(webhook=address), "job.failed", PARTY, ROOM)
    idle()
    assert caplog.messages == ["notice job.failed not delivered by webhook: UsageError"]


@pytest.mark.parametrize("address", ["https://example.com/x", "http://127.0.0.1:8080/", "http://[::1]/"])
def test_an_address_under_tls_or_of_this_machine_will_do(address):
    notices.check_webhook(address)


def test_mail_goes_under_starttls_and_says_four_things(serving, trusted, tmp_path, idle):
    server = MailServer(trusted)
    port = serving(server)
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    password.chmod(0o600)
    wanted = by_mail(port, smtp_user="node", smtp_password_file=str(password))
    notices.send(wanted, "approval.waiting", PARTY, ROOM)
    (content,) = wait_for(server.mails)
    idle()
    message = email.message_from_bytes(content, policy=email.policy.default)
    body = message.get_content()
    expected = f"event: approval.waiting\nparty: {PARTY}\nroom: {ROOM}\ntime: {TIME}\n"
    assert re.fullmatch(expected, body.replace("\r\n", "\n"))
    headers = {"Subject", "From", "To", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    assert set(message.keys()) == headers
    assert (message["Subject"], message["To"]) == ("cleanroom: approval.waiting", "it@maison.example")
    in_clear = [line for secure, line in server.lines if not secure]
    assert in_clear == ["ehlo node.cleanroom", "STARTTLS"]
    login = next(line for secure, line in server.lines if line.startswith("AUTH"))
    assert base64.b64decode(login.split()[-1]) == b"\0node\0correct horse"


def test_mail_on_port_465_is_under_tls_from_the_start(serving, trusted, monkeypatch, idle):
    server = MailServer(trusted, tls_at_once=True)
    port = serving(server)
    monkeypatch.setattr(notices, "_TLS_PORT", port)
    notices.send(by_mail(port), "job.failed", PARTY, ROOM)
    assert wait_for(server.mails)
    assert all(secure for secure, _ in server.lines)


def test_a_mail_server_without_tls_gets_nothing(serving, caplog, idle):
    server = MailServer(None)
    port = serving(server)
    notices.send(by_mail(port), "approval.waiting", PARTY, ROOM)
    idle()
    assert {line.partition(" ")[0].upper() for _, line in server.lines} <= {"EHLO", "QUIT"}
    assert caplog.messages == ["notice approval.waiting not delivered by mail: SMTPNotSupportedError"]


def test_a_mail_server_that_nobody_vouches_for_gets_nothing(serving, trusted, monkeypatch, caplog, idle):
    monkeypatch.delenv("SSL_CERT_FILE")
    server = MailServer(trusted)
    port = serving(server)
    notices.send(by_mail(port), "approval.waiting", PARTY, ROOM)
    idle()
    assert server.mails == []
    assert caplog.messages == ["notice approval.waiting not delivered by mail: SSLCertVerificationError"]


def test_a_password_that_others_may_read_is_not_used(serving, trusted, tmp_path, caplog, idle):
    server = MailServer(trusted)
    port = serving(server)
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    password.chmod(0o644)
    notices.send(by_mail(port, smtp_user="node", smtp_password_file=str(password)), "job.failed", PARTY, ROOM)
    idle()
    assert server.lines == []
    assert caplog.messages == ["notice job.failed not delivered by mail: Refused"]


@pytest.mark.parametrize("room", ["a\r\nBcc: eve@example.com", "a\r\n.\r\nMAIL FROM:<x>\r\n", "房间" * 200])
def test_a_rooms_name_is_never_a_command(serving, trusted, room, idle):
    server = MailServer(trusted)
    port = serving(server)
    notices.send(by_mail(port), "job.failed", PARTY, room)
    (content,) = wait_for(server.mails)
    idle()
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message["Bcc"] is None
    assert sum(line.startswith(("MAIL", "mail")) for _, line in server.lines) == 1


@pytest.mark.parametrize("event", ["", "Approval", "13800138000", "a b", "a\nb", "x" * 65])
def test_an_event_is_a_word_of_the_program(event):
    with pytest.raises(UsageError, match="names an event"):
        notices.send(Notices(), event, PARTY, ROOM)


def test_without_anybody_to_tell_nothing_is_begun(idle):
    before = threading.active_count()
    notices.send(Notices(), "job.failed", PARTY, ROOM)
    notices.send(Notices(smtp_host="localhost"), "job.failed", PARTY, ROOM)
    assert threading.active_count() == before


def test_a_server_that_says_nothing_holds_nobody_up(serving, caplog, idle, monkeypatch):
    """Nor do more than a few notices pile up at it."""
    monkeypatch.setattr(notices, "_ROOM", threading.BoundedSemaphore(2))
    monkeypatch.setattr(notices, "_SECONDS", 3)
    monkeypatch.setattr(notices, "_PAUSES", ())
    go = threading.Event()

    class Silent(socketserver.BaseRequestHandler):
        def handle(self):
            go.wait(60)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent)
    port = serving(server)
    begin = time.monotonic()
    for _ in range(5):
        notices.send(Notices(webhook=f"http://127.0.0.1:{port}/"), "job.failed", PARTY, ROOM)
    assert time.monotonic() - begin < 2
    idle()
    go.set()
    dropped, late = caplog.messages[:3], caplog.messages[3:]
    assert dropped == ["notice job.failed not delivered by webhook: too many on the way"] * 3
    assert late == ["notice job.failed not delivered by webhook: TimeoutError"] * 2
    assert all(record.levelno == logging.WARNING for record in caplog.records)
