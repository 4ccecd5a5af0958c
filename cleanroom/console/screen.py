"""Routes, each with the call of the access matrix that it makes: nothing is served that does not name one."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cleanroom.access.check import check
from cleanroom.console.pages import Page
from cleanroom.console.visit import Visit, Visited

Handler = Callable[..., Any]
"""Of `visit` and what the route takes; gives a Page or a Response, or awaits one."""


class Screen:
    """A group of routes. calls: (method, path) → the call that it needs."""

    def __init__(self) -> None:
        self.router = APIRouter()
        self.calls: dict[tuple[str, str], str] = {}

    def get(self, path: str, *, call: str) -> Callable[[Handler], Handler]:
        """A page, or a part of one; it changes nothing. call: of `access.matrix`."""
        return self._route("GET", path, call)

    def post(self, path: str, *, call: str) -> Callable[[Handler], Handler]:
        """What a form does. The guard has made sure that this console's page sent it."""
        return self._route("POST", path, call)

    def _route(self, method: str, path: str, call: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.calls[(method, path)] = call
            self.router.add_api_route(path, _answering(handler), methods=[method], dependencies=[Depends(_may(call))],
                                      response_model=None, name=f"{method} {path}")  # fmt: skip
            return handler

        return register


def _may(call: str) -> Callable[[Request], None]:
    """Refuses whoever may not make the call, in the room that the path names."""

    def allowed(request: Request) -> None:
        place, held = request.app.state.place, request.scope["cleanroom"]
        check(place.home, held["caller"], call, str(request.path_params.get("room", "")))

    return allowed


def _answering(handler: Handler) -> Callable[..., Any]:
    """The handler with its pages made into responses. Its parameters stay what FastAPI reads."""
    if "visit" not in inspect.signature(handler).parameters:
        raise TypeError("A screen's function takes visit: Visited.")

    def rendered(found: Page | Response, visit: Visit) -> Response:
        if not isinstance(found, Page):
            return found
        return visit.place.pages.answered(found, visit, dict(visit.request.query_params))

    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def awaited(**named: Any) -> Response:
            return await run_in_threadpool(rendered, await handler(**named), named["visit"])

        return awaited

    @functools.wraps(handler)
    def answered(**named: Any) -> Response:
        return rendered(handler(**named), named["visit"])

    return answered


__all__ = ["Screen", "Visited"]
