"""From a request's bytes to an answer's bytes: opened, checked, read, carried out, signed. Every failure is an answer.

The log has method, code, sub_code, app and time taken; never a content.
"""

import datetime as dt
import threading
import time
from types import TracebackType
from typing import Any

from cleanroom.errors import KNOWN, our_mistake
from cleanroom.gateway import envelope, signing
from cleanroom.gateway.apps import App, Apps
from cleanroom.gateway.background import Background
from cleanroom.gateway.calls import Calls
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.envelope import Known
from cleanroom.gateway.fields import Fields
from cleanroom.gateway.kept import Memory
from cleanroom.gateway.methods import METHODS
from cleanroom.gateway.place import Place, Shelf
from cleanroom.gateway.replay import Seen
from cleanroom.gateway.translating import fault_of
from cleanroom.gateway.work_calls import Work, taken_up
from cleanroom.home import Home
from cleanroom.node.log import Log


class Service:
    """The gateway of one home, without its network. Calls may come from several threads."""

    def __init__(self, home: Home, log: Log | None = None) -> None:
        self._home, self._log = home, log or Log()
        self._apps, self._shelf = Apps(home), Shelf(home)
        self._key = self._apps.key()
        self._seen = Seen(self._apps.folder / "seen.sqlite")
        self._calls = Calls(self._apps.folder)
        self._lock = threading.Lock()
        self._marked: tuple[int, ...] = (-1,)
        self._known: dict[str, Known] = {}
        self._work: Work = Background()
        taken_up(self._place_of, Memory(home), self._work)

    def answer(self, query: bytes, body: bytes) -> bytes:
        """The signed answer to a POST with this query string and body."""
        start, told, app = time.perf_counter(), None, ""
        try:
            call = envelope.opened(query, body, self._find, dt.datetime.now(dt.UTC))
            app = call.app.app_id
            method = METHODS.get(call.method)
            if method is None:
                raise Fault("isv.invalid-method")
            told = call.method
            place = Place(self._home, call.app, self._shelf)
            fields = Fields(envelope.read_json(call.content))
            request = method.parse(fields, place.yesterday)
            fields.done()
            if method.changes:
                self._seen.once(call.digest, call.until, int(time.time()))
            inner: dict[str, Any] = envelope.succeeded(method.handle(place, request, self._work))
        except Fault as fault:
            inner = fault.plain()
        except KNOWN as error:
            inner = fault_of(error).plain()
            self._log.error("gateway.refused", error, method=told or "")
        except Exception as error:  # noqa: BLE001 - the last stop: a caller gets an answer, the log our mistake's place
            inner = Fault("isp.unknow-error").plain()
            self._log("gateway.mistake", method=told or "", text=str(our_mistake(error)))
        self._told(told or "", app, inner["code"], inner.get("sub_code", ""), 1000 * (time.perf_counter() - start))
        return envelope.sealed(self._key, told, inner)

    def refuse(self, fault: Fault) -> bytes:
        """The signed answer to what was not read."""
        self._told("", "", fault.code, fault.sub_code, 0.0)
        return envelope.sealed(self._key, None, fault.plain())

    def _told(self, method: str, app: str, code: str, sub_code: str, ms: float) -> None:
        """One call in the log, and in the list for its integrators."""
        self._log("gateway.call", method=method, app=app, code=code, sub_code=sub_code, ms=round(ms, 1))
        self._calls.add(method, app, code, sub_code, round(ms, 1))

    def _find(self, app_id: str) -> Known | None:
        """The app, unless it is revoked; as the file says now."""
        marked = self._apps.marked()
        with self._lock:
            if marked != self._marked:
                apps = [app for app in self._apps.every() if not app.revoked]
                self._known = {app.app_id: Known(app, signing.load_public(app.public_key)) for app in apps}
                self._marked = marked
            return self._known.get(app_id)

    def _place_of(self, app_id: str) -> Place | None:
        found: App | None = next((each for each in self._apps.every() if each.app_id == app_id), None)
        return None if found is None or found.revoked else Place(self._home, found, self._shelf)

    def close(self) -> None:
        """Wait for runs under way, and let go of the files."""
        self._work.close()
        self._seen.close()
        self._calls.close()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
