"""Tells people, by webhook or mail, that something waits or has ended: an event, a party, a room and a time, no more.

Sent over TLS only (a webhook on this same machine may do without), from a thread of its own; a notice that cannot be
delivered is given up and named in the log. Neither the addresses nor what a server answers is ever logged.
"""

import http.client
import ipaddress
import json
import logging
import re
import secrets
import smtplib
import ssl
import threading
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

from cleanroom import private_files
from cleanroom.errors import CleanroomError, UsageError
from cleanroom.node import config
from cleanroom.node.state import now, stamp

_LOG = logging.getLogger(__name__)
_SECONDS = 10.0
_PAUSES = (2.0, 15.0, 60.0)
_MOST_AT_ONCE = 16
_ROOM = threading.BoundedSemaphore(_MOST_AT_ONCE)
_EVENT = re.compile(r"[a-z][a-z._-]{0,63}")
_OWN_NAME = "node.cleanroom"
"""How every node greets a mail server: the machine's name is nobody's business."""
_TLS_PORT = 465
_FAULTS = (OSError, http.client.HTTPException, ValueError, CleanroomError)
"""What can go wrong with a server; SMTPException and ssl.SSLError are of OSError."""


def send(notices: config.Notices, event: str, party: str, room: str) -> None:
    """Tell those named in `notices`; returns at once, and never fails because of a server.

    event: a word of the program's own, like "approval.waiting". Raises UsageError for any other text.
    """
    if not _EVENT.fullmatch(event):
        raise UsageError("A notice names an event and nothing else.")
    notice = {"event": event, "party": party, "room": room, "time": stamp(now())}
    for name, way in _ways(notices).items():
        if _ROOM.acquire(blocking=False):
            threading.Thread(target=_deliver, args=(name, way, notice, _PAUSES), name="notice", daemon=True).start()
        else:
            _LOG.warning("notice %s not delivered by %s: too many on the way", event, name)


Way = Callable[[dict[str, str]], None]


def _ways(notices: config.Notices) -> dict[str, Way]:
    ways: dict[str, Way] = {}
    if notices.webhook:
        ways["webhook"] = lambda notice: _post(notices.webhook, notice)
    if notices.smtp_host and notices.to:
        ways["mail"] = lambda notice: _mail(notices, notice)
    return ways


def check_webhook(address: str) -> None:
    """Raises UsageError unless a notice may be sent there: https, or http on this machine by its number."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    safe = bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host)))
    if not safe or parts.username or parts.password:
        raise UsageError("A webhook is an https address, without a name or password in it.")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _deliver(name: str, way: Way, notice: dict[str, str], pauses: tuple[float, ...]) -> None:
    try:
        for pause in (*pauses, None):
            try:
                way(notice)
                return
            except _FAULTS as error:
                fault = type(error).__name__
            if pause is not None:
                time.sleep(pause)
        _LOG.warning("notice %s not delivered by %s: %s", notice["event"], name, fault)
    finally:
        _ROOM.release()


def _post(address: str, notice: dict[str, str]) -> None:
    """One POST; a redirect counts as a fault, since it could lead anywhere."""
    check_webhook(address)
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        connection.request("POST", path, json.dumps(notice).encode(), {"Content-Type": "application/json"})
        status = connection.getresponse().status
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise http.client.HTTPException(status)


def _mail(notices: config.Notices, notice: dict[str, str]) -> None:
    password = ""
    if notices.smtp_user:
        password = private_files.read_secret(Path(notices.smtp_password_file)).decode().rstrip("\r\n")
    context = ssl.create_default_context()
    with _server(notices, context) as server:
        if notices.smtp_user:
            server.login(notices.smtp_user, password)
        server.send_message(_message(notices, notice))


def _server(notices: config.Notices, context: ssl.SSLContext) -> smtplib.SMTP:
    """A mail server under TLS, or a fault: nothing is ever sent in the clear."""
    place = notices.smtp_host, notices.smtp_port
    if notices.smtp_port == _TLS_PORT:
        return smtplib.SMTP_SSL(*place, local_hostname=_OWN_NAME, timeout=_SECONDS, context=context)
    server = smtplib.SMTP(*place, local_hostname=_OWN_NAME, timeout=_SECONDS)
    try:
        server.starttls(context=context)
    except OSError:
        server.close()
        raise
    return server


def _message(notices: config.Notices, notice: dict[str, str]) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = f"cleanroom: {notice['event']}"
    message["From"], message["To"] = notices.sender, ", ".join(notices.to)
    message["Message-ID"] = f"<{secrets.token_hex(16)}@{_OWN_NAME}>"
    message.set_content("".join(f"{name}: {value}\n" for name, value in notice.items()))
    return message
