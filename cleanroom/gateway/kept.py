"""What the gateway remembers by its callers' own numbers: exports, lookalikes asked for, and risk lists. Sealed.

    gateway/kept   {"format": …, "exports": {app/out_biz_no: …}, "spreads": {…}, "risks": {app/external code: …},
                    "lists": {code of a risk list: room}}
No member and no digest of one stands here; of what a risk list was made of, a digest of the whole.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData
from cleanroom.files import write_bytes
from cleanroom.gateway.apps import Apps
from cleanroom.home import Home

FORMAT = "cleanroom-gateway-kept/2"
MOST = 10_000
"""Of each kind; the oldest go."""
_FILE, _LOCK = "kept", "kept.lock"
_SEALED_AS = "gateway/kept/1"
_LIMIT = 1 << 25


@dataclass(frozen=True)
class Export:
    """One crowdexport. number: task_no; status: of `words`; sub_code: why it failed; size: a range as text; day: of the
    version, yyyyMMdd."""

    number: str
    out_no: str
    app: str
    crowd: str
    channel: str
    purpose: str
    status: str
    made: str
    day: str = ""
    size: str = ""
    sub_code: str = ""


@dataclass(frozen=True)
class Kept:
    """All of it. spreads: digest of a lookalike's call and day → code of the crowd; risks: app and external code →
    code of the list and digest of the content; lists: code of a risk list → the room whose app made it."""

    exports: Mapping[str, Export] = field(default_factory=dict)
    spreads: Mapping[str, str] = field(default_factory=dict)
    risks: Mapping[str, list[str]] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)


class Memory:
    """The store of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = Apps(home).folder / _FILE

    def load(self) -> Kept:
        """As it stands. Raises BadData."""
        if not self._path.exists() and not self._path.is_symlink():
            return Kept()
        try:
            value = json.loads(self._home.wrapping.unwrap(_SEALED_AS, private_files.read(self._path, _LIMIT)))
            if value["format"] != FORMAT:
                raise BadData("What the gateway keeps has a format that this version does not know.")
            exports = {number: Export(**each) for number, each in value["exports"].items()}
            return Kept(exports, dict(value["spreads"]), dict(value["risks"]), dict(value["lists"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadData("What the gateway keeps is damaged.", "Restore it from a backup.") from error

    def change(self, made: Callable[[Kept], Kept]) -> Kept:
        """Durably; one writer at a time."""
        with private_files.locked(self._path.with_name(_LOCK)):
            kept = made(self.load())
            trimmed = {name: dict(list(each.items())[-MOST:]) for name, each in vars(kept).items()}
            exports = {number: asdict(each) for number, each in trimmed["exports"].items()}
            plain: dict[str, Any] = {"format": FORMAT, **trimmed, "exports": exports}
            write_bytes(self._path, self._home.wrapping.wrap(_SEALED_AS, canonical.encode(plain)))
        return kept

    def put_export(self, export: Export) -> Export:
        """Adds or replaces it."""
        key = export_key(export.app, export.out_no)
        self.change(lambda kept: replace(kept, exports={**kept.exports, key: export}))
        return export

    def export(self, app: str, out_no: str) -> Export | None:
        """The app's export of that number."""
        return self.load().exports.get(export_key(app, out_no))


def export_key(app: str, out_no: str) -> str:
    """Numbers are each app's own."""
    return f"{app}/{out_no}"
