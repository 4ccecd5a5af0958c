"""Signing in and out, the language and the look: what needs no session."""

from collections import defaultdict
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cleanroom import lang
from cleanroom.access import users
from cleanroom.access.check import AccessRefused
from cleanroom.access.users import TooManyAttempts
from cleanroom.console.guard import LANGUAGE, Guard
from cleanroom.console.language import refilled
from cleanroom.console.pages import LOOK, LOOKS, Page, look_of
from cleanroom.console.place import Place

_YEAR = 31_536_000
router = APIRouter()
Text = Annotated[str, Form(max_length=1024)]


@router.get("/sign-in")
def asked(request: Request, then: str = "/") -> Response:
    """The form."""
    return _form(request, then)


@router.post("/sign-in")
def signed_in(request: Request, name: Text = "", password: Text = "", then: Text = "/") -> Response:
    """A session, or the form again: it does not say which of the two is wrong."""
    place, guard = _place(request), _guard(request)
    try:
        session = users.login(place.home, name, password)
    except (AccessRefused, TooManyAttempts) as error:
        return _form(request, then, error, name)
    where = then if then.startswith("/") and not then.startswith("//") and "\\" not in then else "/"
    return RedirectResponse(where, 303, headers={"set-cookie": guard.cookie_text(session)})


@router.post("/sign-out")
def signed_out(request: Request) -> Response:
    """The end of the session, here and at the node."""
    users.end_session(_place(request).home, request.scope["cleanroom"]["session"])
    headers = {"set-cookie": _guard(request).cookie_text("")}
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={**headers, "hx-redirect": "/sign-in"})
    return RedirectResponse("/sign-in", 303, headers=headers)


@router.post("/language")
async def spoken(request: Request) -> Response:
    """The page that asks, in the other language, its form filled as it was."""
    form = await request.form(max_files=0, max_fields=5_000)
    wanted = str(form.get("to", ""))
    wanted = wanted if wanted in lang.LANGUAGES else "en"
    cookie = f"{LANGUAGE}={wanted}; Path=/; Max-Age={_YEAR}; SameSite=Lax"
    path, query = _where(request)
    if "hx-request" not in request.headers:
        return RedirectResponse(path + (f"?{query}" if query else ""), 303, headers={"set-cookie": cookie})
    if path != "/sign-in" and "caller" not in request.scope["cleanroom"]:
        return Response(status_code=204, headers={"set-cookie": cookie, "hx-redirect": "/sign-in"})
    html = await _shown_again(request, wanted, path, query)
    fields: dict[str, list[str]] = defaultdict(list)
    for name, value in form.multi_items():
        if name != "to":
            fields[name].append(str(value))
    content = await run_in_threadpool(refilled, html, fields)
    return HTMLResponse(content, headers={"set-cookie": cookie})


@router.post("/look")
def looked(request: Request, to: Text = "auto") -> Response:
    """Light, dark, or as the system."""
    cookie = f"{LOOK}={to if to in LOOKS else 'auto'}; Path=/; Max-Age={_YEAR}; SameSite=Lax"
    path, query = _where(request)
    where = path + (f"?{query}" if query else "")
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={"set-cookie": cookie, "hx-redirect": where})
    return RedirectResponse(where, 303, headers={"set-cookie": cookie})


async def _shown_again(request: Request, language: str, path: str, query: str) -> str:
    """The page at that address, as this user sees it in that language, asked for inside this process."""
    parts: list[bytes] = []
    scope: dict[str, Any] = {
        **request.scope, "method": "GET", "path": unquote(path), "raw_path": path.encode(),
        "query_string": query.encode(),
        "cleanroom": {**request.scope["cleanroom"], "language": language},
        "headers": [(name, value) for name, value in request.scope["headers"] if name in (b"host", b"cookie")],
    }  # fmt: skip
    for name in ("router", "endpoint", "path_params", "route", "fastapi_inner_astack", "fastapi_function_astack"):
        scope.pop(name, None)

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def kept(message: Any) -> None:
        parts.append(message.get("body", b""))

    with lang.speaking(language):
        await request.app(scope, nothing, kept)
    return b"".join(parts).decode(errors="replace")  # a file is no page, and nothing is lost


def _where(request: Request) -> tuple[str, str]:
    """The path and the query of the page that the request comes from."""
    address = request.headers.get("hx-current-url") or request.headers.get("referer", "")
    path, _, query = address.partition("//")[2].partition("/")[2].partition("#")[0].partition("?")
    return "/" + path.lstrip("/"), query


def _form(request: Request, then: str, error: Exception | None = None, name: str = "") -> Response:
    text = " ".join(lang.explain(error)).strip() if error is not None else ""
    status = 200 if error is None else 429 if isinstance(error, TooManyAttempts) else 401
    place = _place(request)
    page = Page("sign-in.html", {"party": place.home.party, "then": then, "text": text, "name": name,
                                 "look": look_of(request)}, status=status)  # fmt: skip
    return place.pages.answered(page, None, {})


def _place(request: Request) -> Place:
    place: Place = request.app.state.place
    return place


def _guard(request: Request) -> Guard:
    guard: Guard = request.app.state.guard
    return guard
