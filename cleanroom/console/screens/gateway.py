"""The gateway for people who integrate with it: its address and apps, each method, the last calls, and why a signature
is not taken. An app's private key is shown once, in the answer that makes it."""

import datetime as dt
import json
from dataclasses import asdict
from typing import Annotated

from fastapi import Form
from starlette.responses import Response

from cleanroom import private_files
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.screen import Screen
from cleanroom.console.screens import gateway_check
from cleanroom.console.screens.gateway_methods import TOLD, MethodTold
from cleanroom.console.visit import Visited
from cleanroom.errors import UsageError
from cleanroom.gateway import calls, setting_up
from cleanroom.gateway.apps import FOLDER, Apps
from cleanroom.gateway.codes import MESSAGES, SUB_CODES, Fault
from cleanroom.gateway.server import USUAL
from cleanroom.gateway.signing import public_text
from cleanroom.lang import t
from cleanroom.rooms.disclosure import Sentence

SCREEN = Screen()
MOST_CALLS = 200
Short = Annotated[str, Form(max_length=200)]
Key = Annotated[str, Form(max_length=10_000)]
Pasted = Annotated[str, Form(max_length=gateway_check.MOST + 1)]


@SCREEN.get("/gateway", call="usage")
def overview(visit: Visited) -> Page:
    """Where it is, and who may call it."""
    apps = setting_up.listed(visit.path)["apps"]
    key = _public_key(Apps(visit.home)) if apps else ""
    last = calls.last(visit.path / FOLDER, 1)
    own = [each for each in visit.rooms if visit.home.party in each["parties"]]
    address = f"http://{USUAL.removesuffix(':80')}"  # the port is the usual one, and the SDK takes none
    return visit.page(
        "gateway/overview.html", tabs=_tabs("/gateway"), apps=apps, address=address, key=key,
        last=_moment(last[0].time) if last else "", rooms=[(each["room"], each["room"]) for each in own],
        may_make=visit.may("users"),
    )  # fmt: skip


@SCREEN.post("/gateway/apps", call="users")
def made(visit: Visited, room: Short = "", pid: Short = "", purpose: Short = "") -> Page:
    """A new app; its private key stands in this answer and nowhere else."""
    found = setting_up.init(visit.path, room, pid=pid.strip(), purpose=purpose.strip())
    return visit.page("gateway/made.html", made=found)


@SCREEN.post("/gateway/apps/{app}/revoke", call="users")
def revoked(visit: Visited, app: str) -> Response:
    """Refuse its calls from now on."""
    setting_up.revoked(visit.path, app)
    return visit.go("/gateway", t("The app {app} is refused from now on.", app=app))


@SCREEN.get("/gateway/methods", call="usage")
def methods(visit: Visited) -> Page:
    """All of them."""
    told = [(each.name, _said(each.what), each.changes) for each in TOLD]
    return visit.page("gateway/methods.html", tabs=_tabs("/gateway/methods"), methods=told)


@SCREEN.get("/gateway/methods/{name}", call="usage")
def method(visit: Visited, name: str) -> Page:
    """One of them, with an example request."""
    found: MethodTold | None = next((each for each in TOLD if each.name == name), None)
    if found is None:
        raise UsageError("There is no such method.", "The list shows what there is.")
    fields = [(each.name, each.needed, _said(each.limit)) for each in found.fields]
    content = json.dumps(found.example, ensure_ascii=False, indent=2)
    return visit.page("gateway/method.html", tabs=_tabs("/gateway/methods"), told=found, what=_said(found.what),
                      fields=fields, content=content, sample=_sample(found))  # fmt: skip


@SCREEN.get("/gateway/calls", call="usage")
def last_calls(visit: Visited, app: str = "", only: str = "") -> Page:
    """The last calls, the newest first. only: failed, for those that were refused."""
    found = calls.last(visit.path / FOLDER, MOST_CALLS)
    found = [each for each in found if app in ("", each.app) and (only != "failed" or each.sub_code)]
    rows = [{**asdict(each), "moment": _moment(each.time), "text": _outcome(each)} for each in found]
    columns = (t("time (UTC)"), t("API method"), t("App"), t("Outcome"), t("Sub-code"), "ms")
    sheet = [(each["moment"], each["method"], each["app"], each["code"], each["sub_code"], each["ms"]) for each in rows]
    apps = [("", t("all")), *((each["app_id"],) * 2 for each in setting_up.listed(visit.path)["apps"])]
    return visit.page("gateway/calls.html", tabs=_tabs("/gateway/calls"), calls=rows, app=app, apps=apps, only=only,
                      sheets=[Sheet(t("Last calls"), columns, sheet)])  # fmt: skip


@SCREEN.get("/gateway/signature", call="usage")
def signature(visit: Visited) -> Page:
    """How a call is signed, worked through, and a check of one's own."""
    example = gateway_check.checked(gateway_check.example_request(), gateway_check.PUBLIC_KEY, (),
                                    dt.datetime(2026, 11, 22, 4, 0, tzinfo=dt.UTC))  # fmt: skip
    return visit.page(
        "gateway/signature.html", tabs=_tabs("/gateway/signature"), parameters=sorted(gateway_check.EXAMPLE.items()),
        example=example, sign=gateway_check.SIGNATURE, public_key=gateway_check.PUBLIC_KEY,
        request_text=gateway_check.example_request(),
    )  # fmt: skip


@SCREEN.post("/gateway/check", call="usage")
def checked(visit: Visited, request_text: Pasted = "", public_key: Key = "") -> Page:
    """Which step a pasted request fails at; nothing of it is kept."""
    if not request_text.strip():
        raise UsageError("There is no request yet.", "Paste the query string of a call.")
    found = gateway_check.checked(request_text, public_key.strip(), Apps(visit.home).every(), dt.datetime.now(dt.UTC))
    return visit.page("gateway/checked.html", found=found)


_keys: dict[tuple[int, ...], str] = {}
"""The gateway's public key, by what changes when its file does: unwrapping takes a fifth of a second."""


def _public_key(apps: Apps) -> str:
    mark = private_files.mark(apps.folder / "key")
    if mark not in _keys:
        _keys.clear()
        _keys[mark] = public_text(apps.key().public_key())
    return _keys[mark]


def _tabs(here: str) -> list[tuple[str, str, bool]]:
    entries = (("/gateway", t("Address and apps")), ("/gateway/methods", t("Methods")),
               ("/gateway/calls", t("Last calls")), ("/gateway/signature", t("Signature")))  # fmt: skip
    return [(path, title, path == here) for path, title in entries]


def _said(sentence: Sentence) -> str:
    return t(sentence.template, **sentence.params)


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _outcome(call: calls.Called) -> str:
    """What an answer's code says, in the current language where it can be said without the call's own parameters."""
    if not call.sub_code or call.sub_code not in SUB_CODES:
        return MESSAGES.get(call.code, call.code)
    try:
        return Fault(call.sub_code).text()
    except (KeyError, IndexError):  # it names a field or a limit of that call, which is not kept
        return MESSAGES.get(call.code, call.code)


def _sample(told: MethodTold) -> str:
    """A call by the published SDK, in Python."""
    content = json.dumps(told.example, ensure_ascii=False)
    name = "".join(part.capitalize() for part in told.name.split("."))
    return (
        f"from alipay.aop.api.request.{name}Request import {name}Request\n\n"
        f"request = {name}Request()\nrequest.biz_content = {content}\nanswer = client.execute(request)"
    )
