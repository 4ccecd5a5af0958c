"""A home's node: settings, ports, console, certificates, and whether its peers answer, with clocks that agree."""

import contextlib
import datetime as dt
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cleanroom import private_files
from cleanroom.doctor.finding import Finding, State
from cleanroom.doctor.reasons import reason
from cleanroom.errors import KNOWN, BadData, Interrupted
from cleanroom.home import Home
from cleanroom.lang import explain, t
from cleanroom.node import certificate, config, console
from cleanroom.node.config import Config
from cleanroom.node.peers import Peer, Peers
from cleanroom.node.submitted import is_running

SOON = dt.timedelta(days=14)
"""A certificate that ends so soon should long have been followed by another."""
CLOSE_SECONDS = 2.0
"""Clocks so near are the same."""
WAIT_SECONDS = 1.0
"""For a peer, and for the console."""
_MOST_AT_ONCE = 8
_LISTENERS = ("listen", "metrics", "console_listen")


def checks(home: Home) -> Iterator[Finding]:
    """All of this module; nothing but a word where there is no node.toml."""
    if not (home.path / config.FILE).exists():
        yield Finding("settings", t("Settings"), "ok", t("no node here: this home is for commands alone"))
        return
    try:
        settings = config.load(home.path)
    except KNOWN as error:
        what, hint = explain(error)
        yield Finding("settings", t("Settings"), "bad", what, hint)
        return
    yield Finding("settings", t("Settings"), "ok", t("{file} is understood", file=config.FILE))
    running = is_running(home)
    yield _running(running)
    if not running:
        yield from ports(settings)
    elif settings.console:
        yield reached_console(console.address(home), settings)
    yield from secret_files(settings)
    now = dt.datetime.now(dt.UTC)
    yield from certificates(home, settings, now)
    yield from peers(home, settings)


def _running(running: bool) -> Finding:
    if running:
        return Finding("node", t("Node"), "ok", t("is running"))
    return Finding("node", t("Node"), "warn", t("does not run"), t("Start it: cleanroom serve"))


def ports(settings: Config) -> Iterator[Finding]:
    """Of a node that does not run: whether what it will listen at is free."""
    for name in _LISTENERS:
        place = getattr(settings, name)
        if not place or (name == "console_listen" and not settings.console):
            continue
        title = t("Port of {setting}", setting=name)
        host, port = config.address(place)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            yield Finding(f"port.{name}", title, "bad", f"{place}: {reason(error)}",
                          t("End what holds it, or set another {setting} in node.toml.", setting=name))  # fmt: skip
        else:
            yield Finding(f"port.{name}", title, "ok", t("{place} is free", place=place))


def reached_console(url: str, settings: Config) -> Finding:
    """Of a node that runs: whether its console answers a browser of this machine."""
    title = t("Console")
    if not url:
        return Finding("console", title, "bad", t("is wanted, and does not serve"),
                       t("The node's log says why: look for \"console\"."))  # fmt: skip
    where = urlsplit(url)
    try:
        connection = _connection(where.hostname or "", where.port or 0, settings if where.scheme == "https" else None)
        with contextlib.closing(connection):
            connection.request("GET", "/sign-in", headers={"Host": where.netloc})
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return Finding("console", title, "bad", t("does not answer at {url}", url=url),
                       t("The node's log says why: look for \"console\"."))  # fmt: skip
    if status >= http.client.INTERNAL_SERVER_ERROR:
        return Finding("console", title, "bad", t("answers at {url} with status {status}", url=url, status=status),
                       t("The node's log says why: look for \"console\"."))  # fmt: skip
    return Finding("console", title, "ok", t("answers at {url}", url=url))


def _connection(host: str, port: int, settings: Config | None) -> http.client.HTTPConnection:
    """settings: for TLS, whose certificate is trusted as the node's own."""
    if settings is None:
        return http.client.HTTPConnection(host, port, timeout=WAIT_SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is dialled by its address
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(Path(settings.console_certificate).expanduser())
    return http.client.HTTPSConnection(host, port, timeout=WAIT_SECONDS, context=context)


def secret_files(settings: Config) -> Iterator[Finding]:
    """Whether files with secrets that settings name are there, and their owner's alone."""
    for name, file in (("console_key", settings.console_key),
                       ("notices.smtp_password_file", settings.notices.smtp_password_file)):  # fmt: skip
        if file:
            try:
                private_files.read_secret(Path(file).expanduser(), 1 << 16)
            except KNOWN as error:
                what, hint = explain(error)
                yield Finding(name, t("File of {setting}", setting=name), "bad", what, hint)


def certificates(home: Home, settings: Config, now: dt.datetime) -> Iterator[Finding]:
    """This node's, its peers', and the console's."""
    yield _certificate("certificate", t("this node"), lambda: _times(certificate.own(home).certificate),
                       t("Run: cleanroom node certificate --renew"), now)  # fmt: skip
    for peer in Peers(home).all():
        advice = t(
            "{party} renews it: cleanroom node certificate --renew; then cleanroom peer add anew.", party=peer.name
        )
        yield _certificate(f"certificate.{peer.name}", peer.name, partial(_peer_times, peer), advice, now)
    if settings.console_certificate:
        file = Path(settings.console_certificate).expanduser()
        yield _certificate("console_certificate", t("the console"), lambda: _console_times(file),
                           t("Have its issuer renew it, and replace the file."), now)  # fmt: skip


def _certificate(name: str, whose: str, times: Callable[[], tuple[dt.datetime, dt.datetime]], advice: str,
                 now: dt.datetime) -> Finding:  # fmt: skip
    title = t("Certificate of {party}", party=whose)
    try:
        begins, ends = times()
    except KNOWN as error:
        return Finding(name, title, "bad", explain(error)[0], explain(error)[1] or advice)
    if now < begins:
        return Finding(name, title, "bad", t("begins only on {day}", day=f"{begins:%Y-%m-%d}"),
                       t("Compare the clocks of both machines."))  # fmt: skip
    if now >= ends:
        return Finding(name, title, "bad", t("expired on {day}", day=f"{ends:%Y-%m-%d}"), advice)
    left = (ends - now).days
    found = t("ends on {day}, in {days} days", day=f"{ends:%Y-%m-%d}", days=left)
    return Finding(name, title, "warn", found, advice) if ends - now < SOON else Finding(name, title, "ok", found)


def _times(held: certificate.NodeCertificate) -> tuple[dt.datetime, dt.datetime]:
    return held.begins, held.ends


def _peer_times(peer: Peer) -> tuple[dt.datetime, dt.datetime]:
    return _times(certificate.read_any(peer.certificate))


def _console_times(file: Path) -> tuple[dt.datetime, dt.datetime]:
    from cryptography import x509

    try:
        held = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        raise BadData("The certificate {name} cannot be read.", "It must be a PEM file.", name=file.name) from error
    return held.not_valid_before_utc, held.not_valid_after_utc


def peers(home: Home, settings: Config) -> Iterator[Finding]:
    """Each peer that can be dialled: whether it answers, how soon, and by how much its clock is off."""
    held = Peers(home).all()
    for peer in held:
        if not peer.url:
            yield Finding(f"peer.{peer.name}", t("Peer {party}", party=peer.name), "ok",
                          t("cannot be dialled: it fetches what is for it"))  # fmt: skip
    dialled = [peer for peer in held if peer.url]
    if not dialled:
        return
    from cleanroom.node.lines import Lines  # gRPC: only where something is dialled

    lines = Lines(home, replace(settings, times=replace(settings.times, connect=WAIT_SECONDS)))
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        asked = [pool.submit(copy_context().run, _peer, lines, peer, settings.times.skew) for peer in dialled]
        for each in asked:
            yield each.result()
    lines.close()


def _peer(lines: Any, peer: Peer, skew: float) -> Finding:
    name, title = f"peer.{peer.name}", t("Peer {party}", party=peer.name)
    try:
        socket.create_connection(config.dialled(peer.url), WAIT_SECONDS).close()
    except OSError as error:
        return Finding(name, title, "warn", t("cannot be reached: {reason}", reason=reason(error)),
                       t("See that its node runs and that nothing on the way stops {url}.", url=peer.url))  # fmt: skip
    try:
        lines.call(peer.name, "ping", {}, WAIT_SECONDS)  # opens the session, which takes longer
        began, clock = time.perf_counter(), time.time()
        answer = lines.call(peer.name, "ping", {}, WAIT_SECONDS)
        took = time.perf_counter() - began
    except Interrupted as error:
        return Finding(name, title, "warn", explain(error)[0],
                       t("See that its node runs and that nothing on the way stops {url}.", url=peer.url))  # fmt: skip
    except KNOWN as error:
        return Finding(name, title, "bad", *explain(error))
    return clocks(peer.name, took, off(answer.get("time"), clock + took / 2), skew)


def off(told: object, middle: float) -> float | None:
    """Seconds by which a peer's clock is ahead of ours; None where it does not tell. middle: our time when it told."""
    try:
        return dt.datetime.fromisoformat(str(told)).timestamp() - middle
    except ValueError:
        return None


def clocks(party: str, took: float, ahead: float | None, skew: float) -> Finding:
    """What a peer's answer says. took: seconds; ahead: as `off`; skew: the most that the node allows."""
    name, title = f"peer.{party}", t("Peer {party}", party=party)
    found = t("answers within {milliseconds} ms", milliseconds=max(1, round(took * 1000)))
    if ahead is None:
        return Finding(name, title, "ok", f"{found}; {t('it does not tell its clock')}")
    if abs(ahead) <= CLOSE_SECONDS + took:
        return Finding(name, title, "ok", f"{found}; {t('its clock agrees with this one')}")
    state: State = "bad" if abs(ahead) > skew else "warn"
    return Finding(name, title, state, f"{found}; {t('its clock is {seconds} s off this one', seconds=round(ahead))}",
                   t("Have NTP keep both right; beyond {skew} s its calls are refused.", skew=round(skew)))  # fmt: skip
