"""One request of a signed-in user: who it is, what they may, and the ways to answer."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from cleanroom.access import acting, matrix
from cleanroom.access.check import Caller, check
from cleanroom.console import rooms_held
from cleanroom.console.guard import csrf_of
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.pictures import Chart
from cleanroom.console.place import Place
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.node import desk


@dataclass(frozen=True, eq=False)
class Visit:
    """See the module. session: the secret of the session, never shown."""

    place: Place
    caller: Caller
    session: str
    request: Request

    @property
    def home(self) -> Home:
        """The home that this console shows."""
        return self.place.home

    @property
    def path(self) -> Path:
        """Its folder, which is what the packages below take."""
        return self.place.home.path

    @property
    def csrf(self) -> str:
        """What the page sends with every change."""
        return csrf_of(self.session)

    @property
    def is_partial(self) -> bool:
        """Whether only a part of the page is asked for."""
        return "hx-request" in self.request.headers and "hx-boosted" not in self.request.headers

    def may(self, call: str) -> bool:
        """Whether the user's roles allow the call, for what a page offers; `check` decides."""
        return matrix.allows(self.caller.roles, call)

    def check(self, call: str, room: str = "", arguments: Mapping[str, Any] | None = None) -> None:
        """Raises AccessRefused unless the user may."""
        if arguments is None:
            check(self.home, self.caller, call, room)
        else:
            acting.check_call(self.home, self.caller, call, room, arguments)

    @functools.cached_property
    def rooms(self) -> list[dict[str, Any]]:
        """The rooms of this home, a line each."""
        return rooms_held.lines(self.home)

    @functools.cached_property
    def waiting(self) -> int:
        """How much waits for a person's yes."""
        return len(desk.inbox(self.path, everything=False)["approvals"]) if self.may("approve") else 0

    @functools.cached_property
    def sayings(self) -> list[str]:
        """What the last page had to say."""
        return self.place.sayings.take(self.session)

    # -- answers

    def page(self, template: str, /, *, charts: Sequence[Chart] = (), sheets: Sequence[Sheet] = (), status: int = 200,
             headers: Mapping[str, str] | None = None, **context: Any) -> Page:  # fmt: skip
        """A page or a part of one. context: what the template shows."""
        return Page(template, context, charts, sheets, status, headers or {})

    def go(self, path: str, said: str = "") -> Response:
        """On to another page of this console, which says `said` first. Raises UsageError for any other address."""
        if not path.startswith("/") or path.startswith("//") or "\\" in path or not path.isprintable():
            raise UsageError("This is no page of this console.")
        if said:
            self.place.sayings.add(self.session, said)
        path = quote(path, safe="/?&=%#:@+,;")
        if self.is_partial:
            return Response(status_code=204, headers={"hx-redirect": path})
        return Response(status_code=303, headers={"location": path})

    def begin(self, call: str, room: str, arguments: Mapping[str, Any], then: str = "") -> Response:
        """Have the node do what a call of the access matrix asks for, as this user; the page shows how far it is, and
        goes on to `then`. Raises as `Door.call`."""
        told = self.place.door.call(self.caller, call, room, dict(arguments))
        return self.follow(str(told["id"]), then)

    def submit(self, kind: str, room: str, arguments: Mapping[str, Any], then: str = "") -> Response:
        """The same for a kind of job that is no call of the matrix; the route's own call was checked."""
        job = self.place.jobs.submit(kind, room, dict(arguments), self.caller.name)
        return self.follow(job.id, then)

    def follow(self, job: str, then: str = "") -> Response:
        """To the page that shows how far a job is, and then on to `then`."""
        return self.go(f"/jobs/{job}" + (f"?then={quote(then)}" if then else ""))


def _visit(request: Request) -> Visit:
    held = request.scope["cleanroom"]
    return Visit(request.app.state.place, held["caller"], held["session"], request)


async def _fields(request: Request) -> FormData:
    return await request.form(max_files=0, max_fields=2_000)


Visited = Annotated[Visit, Depends(_visit)]
"""What a screen's function takes as its first parameter."""
Fields = Annotated[FormData, Depends(_fields)]
"""All fields of a form, where their names are not known before."""
