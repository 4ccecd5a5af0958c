"""Before every request: where it comes from, how often, how large, whose session it is. After it: the headers.

Plain ASGI around the application, so that no route can forget it. A request that changes anything needs a session, the
session's own token in a header that no form of another site can set, and an origin that is this page's.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from cleanroom import lang
from cleanroom.access import users
from cleanroom.access.check import AccessRefused, Caller
from cleanroom.home import Home

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY", "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}  # fmt: skip
OPEN = ("/sign-in", "/language", "/look")
FILES = "/static/"
"""Paths for whoever has no session, and where those begin that are files of the page."""
UPLOAD = "/data/uploads"
MOST_BODY = 1 << 20
"""Bytes of a request that is no upload."""
BODY_SECONDS = 60.0
"""For so long a form may take to arrive, and an upload to send its next piece."""
SAFE = ("GET", "HEAD")
CSRF = "x-csrf"
LANGUAGE = "cleanroom-language"
"""The cookie that keeps the language."""
RENEW_SECONDS = 1800
"""A session's token is replaced after so long; the old one is good for another minute, for requests under way."""
PACE, BURST = 20.0, 200.0
"""Requests a second of one session or address, on average and at once."""
SIGN_IN_PACE, SIGN_IN_BURST = 0.2, 10.0
_MOST_KEYS = 10_000
_CSRF_LABEL = b"cleanroom/console/csrf/1"


@dataclass
class Buckets:
    """Token buckets by key: what is asked for too often has to wait."""

    pace: float
    burst: float
    _held: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, key: str, now: float) -> bool:
        """Whether one more may pass."""
        level, at = self._held.get(key, (self.burst, now))
        level = min(self.burst, level + (now - at) * self.pace)
        if len(self._held) >= _MOST_KEYS:
            self._held = {name: each for name, each in self._held.items() if now - each[1] < self.burst / self.pace}
        self._held[key] = (level - 1 if level >= 1 else level, now)
        return level >= 1


def csrf_of(session: str) -> str:
    """The token that a session's pages send with every change: the same for as long as the session lasts, so that a
    page that was open when the session's own token was renewed still works."""
    return hmac.new(users.lasting(session).encode(), _CSRF_LABEL, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Guard:
    """The application with its guard. hosts: names by which this page may be called, without a port; port, secure:
    where it is served, and whether by TLS; most_upload: bytes."""

    app: App
    home: Home
    hosts: frozenset[str]
    port: int
    secure: bool
    most_upload: int
    paces: Buckets = field(default_factory=lambda: Buckets(PACE, BURST))
    sign_ins: Buckets = field(default_factory=lambda: Buckets(SIGN_IN_PACE, SIGN_IN_BURST))

    @property
    def cookie(self) -> str:
        """The session's cookie. By port, since cookies of one host are shared by all of its ports."""
        return f"{'__Host-' if self.secure else ''}cleanroom-{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        connection, headers = HTTPConnection(scope), Headers(scope=scope)
        language = language_of(connection)
        scope["cleanroom"] = {"language": language}
        answer = self._refusal(scope, headers, connection)

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._finish(scope, MutableHeaders(scope=message), began)
            await send(message)

        with lang.speaking(language):
            if answer is not None:
                await answer(scope, receive, with_headers)
                return
            await self.app(scope, self._bounded(scope, receive), with_headers)

    def _refusal(self, scope: Scope, headers: Headers, connection: HTTPConnection) -> Response | None:
        """An answer for what does not come any further. Finds whose session it is on the way."""
        path, method = scope["path"], scope["method"]
        if method not in (*SAFE, "POST"):
            return PlainTextResponse("", 405)
        if (
            headers.get("host", "").rpartition(":")[0].strip("[]") not in self.hosts
            and headers.get("host", "") not in self.hosts
        ):  # a page of another name that resolves to this machine
            return PlainTextResponse("This is no name of this page.", 421)
        session = connection.cookies.get(self.cookie, "")
        address = scope["client"][0] if scope.get("client") else ""
        now, caller = time.monotonic(), self._caller(session)
        who = address if caller is None else f"user {caller.name}"  # a cookie that opens nothing is nobody's
        is_open = path in OPEN or path.startswith(FILES)
        if not path.startswith(FILES) and not self.paces.take(who, now):
            return _told(lang.t("Too many requests. Wait a moment."), 429, headers)
        if method == "POST" and path == "/sign-in" and not self.sign_ins.take(address, now):
            return _told(lang.t("Too many requests. Wait a moment."), 429, headers)
        if method == "POST" and not self._same_origin(headers):
            return PlainTextResponse("This request comes from another site.", 403)
        if int(headers.get("content-length", "0") or 0) > self._most(path):
            return _told(lang.t("This is larger than {most} MB.", most=self._most(path) >> 20), 413, headers)
        if caller is not None:
            scope["cleanroom"].update(caller=caller, session=session)
        elif not is_open:
            return _to_sign_in(path, headers)
        if method == "POST" and not is_open and not hmac.compare_digest(
            headers.get(CSRF, "").encode(), csrf_of(session).encode()
        ):  # fmt: skip
            return _told(lang.t("This page is not current any more. Load it again."), 403, headers)
        return None

    def _caller(self, session: str) -> Caller | None:
        if not session:
            return None
        try:
            return users.authenticate(self.home, session)
        except AccessRefused:
            return None

    def _same_origin(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") == "same-origin"
        return origin == f"{'https' if self.secure else 'http'}://{headers.get('host', '')}"

    def _most(self, path: str) -> int:
        return self.most_upload if path.startswith(UPLOAD) else MOST_BODY

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """What arrives, ended where it is more or later than was allowed, whatever its head said."""
        left, until = self._most(scope["path"]), time.monotonic() + BODY_SECONDS
        whole, is_upload = False, scope["path"].startswith(UPLOAD)

        async def bounded() -> Any:
            nonlocal left, whole
            wait = None if whole else BODY_SECONDS if is_upload else until - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), wait)
            except TimeoutError:
                return {"type": "http.disconnect"}
            left -= len(message.get("body", b""))
            whole = not message.get("more_body", False)
            return message if left >= 0 else {"type": "http.disconnect"}

        return bounded

    def _finish(self, scope: Scope, headers: MutableHeaders, began: float) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("cache-control", "no-store")
        if self.secure:
            headers.setdefault("strict-transport-security", "max-age=31536000")
        headers["server-timing"] = f"page;dur={(time.perf_counter() - began) * 1000:.1f}"
        session = scope["cleanroom"].get("session")
        if session and scope["method"] == "GET" and "set-cookie" not in headers and (
            renewed := users.renewed(self.home, session, RENEW_SECONDS)
        ):  # fmt: skip
            headers.append("set-cookie", self.cookie_text(renewed))

    def cookie_text(self, session: str) -> str:
        """The header that keeps a session in the browser until it is closed; "": that ends it."""
        secure, gone = "; Secure" if self.secure else "", "" if session else "; Max-Age=0"
        return f"{self.cookie}={session}; Path=/; HttpOnly; SameSite=Strict{secure}{gone}"


def language_of(connection: HTTPConnection) -> str:
    """By the cookie, else by what the browser prefers."""
    kept = connection.cookies.get(LANGUAGE, "")
    if kept in lang.LANGUAGES:
        return kept
    wanted = connection.headers.get("accept-language", "").lower()
    return "zh" if wanted.startswith("zh") else "en"


def _told(text: str, status: int, headers: Headers) -> Response:
    """A refusal: a note in the page that asked, or a bare line."""
    if "hx-request" not in headers:
        return PlainTextResponse(text, status, {"retry-after": "5"} if status == 429 else None)
    where = {"hx-retarget": "#notice", "hx-reswap": "innerHTML show:window:top", "hx-push-url": "false"}
    return HTMLResponse(f'<div class="note bad">{escape(text)}</div>', status, where)


def _to_sign_in(path: str, headers: Headers) -> Response:
    """To the sign-in page, and from there to where they wanted to go."""
    wanted = headers.get("hx-current-url", "").partition("//")[2].partition("/")[2] if "hx-request" in headers else path
    then = "/" + wanted.lstrip("/").partition("?")[0]
    where = "/sign-in" if then == "/" else f"/sign-in?then={quote(then, safe='/%')}"
    if "hx-request" in headers:
        return Response(status_code=401, headers={"hx-redirect": where})
    return Response(status_code=303, headers={"location": where})
