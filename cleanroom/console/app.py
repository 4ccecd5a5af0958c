"""The application: the screens' routes, static files, and how errors look. The guard stands around it (`guard`)."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from cleanroom.access.check import AccessRefused
from cleanroom.console.guard import App, Guard
from cleanroom.console.pages import STATIC, Page, static
from cleanroom.console.place import Place
from cleanroom.console.screens import entry
from cleanroom.console.screens.all import SCREENS
from cleanroom.console.visit import Visit
from cleanroom.errors import KNOWN, BadData, Interrupted, UsageError, our_mistake
from cleanroom.lang import explain, t
from cleanroom.node.log import Log
from cleanroom.rooms.grants import GrantRefused

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (AccessRefused, 403), (GrantRefused, 403), (UsageError, 400), (BadData, 422), (Interrupted, 503),
)  # fmt: skip
_REFUSED = 409


def application(place: Place, log: Log) -> FastAPI:
    """Without its guard; see `guarded`."""
    app = FastAPI(title="cleanroom", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.place = place
    app.include_router(entry.router)
    for screen in SCREENS:
        app.include_router(screen.router)

    @app.get("/static/{name}", include_in_schema=False)
    def file(name: str) -> Response:
        if name not in STATIC:
            return Response(status_code=404)
        return Response(static(name), media_type=STATIC[name],
                        headers={"cache-control": "public, max-age=31536000, immutable"})  # fmt: skip

    @app.exception_handler(Exception)
    def mistaken(request: Request, error: Exception) -> Response:
        found = our_mistake(error)
        log("mistake", call="console", **found.params)
        return _failed(request, found, 500)

    def known(request: Request, error: Exception) -> Response:
        return _failed(request, error, next((code for kind, code in _STATUS if isinstance(error, kind)), _REFUSED))

    for kind in KNOWN:
        app.add_exception_handler(kind, known)

    @app.exception_handler(RequestValidationError)
    def odd(request: Request, error: RequestValidationError) -> Response:
        return _failed(request, UsageError("A field of this page is missing, or holds what it cannot."), 400)

    @app.exception_handler(HTTPException)
    def missing(request: Request, error: HTTPException) -> Response:
        return _failed(request, UsageError("There is no such page.", "Choose one at the side."), error.status_code)

    return app


def guarded(place: Place, log: Log, *, hosts: frozenset[str], port: int, secure: bool) -> App:
    """What a server serves."""
    guard = Guard(application(place, log), place.home, hosts, port, secure, place.settings.console_upload_mb << 20)
    guard.app.state.guard = guard  # type: ignore[attr-defined]
    return guard


def _failed(request: Request, error: Exception, status: int) -> Response:
    """The error with its hint: a page of its own, or a note in the page that asked."""
    text, hint = explain(error)
    held: dict[str, Any] = request.scope["cleanroom"]
    place: Place = request.app.state.place
    if "caller" not in held:
        return RedirectResponse("/sign-in", 303)
    visit = Visit(place, held["caller"], held["session"], request)
    if "hx-request" in request.headers and "hx-boosted" not in request.headers:
        where = {"hx-retarget": "#notice", "hx-reswap": "innerHTML show:window:top"}
        return place.pages.answered(
            Page("notice.html", {"text": text, "hint": hint}, status=status, headers=where), visit, {}
        )
    context = {"text": text, "hint": hint, "title": t("That did not work")}
    return place.pages.answered(Page("error.html", context, status=status), visit, {})
