"""Activations that marketers ask for, until an approver begins or declines them: one sealed file, no person in it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, Refused
from cleanroom.files import write_bytes
from cleanroom.home import Home

FORMAT = "cleanroom-activation-wishes/1"
MOST, MOST_BYTES = 200, 1 << 20
_LABEL = "console/wishes"


@dataclass(frozen=True)
class Wish:
    """A crowd's code, where and what for, who asked, and on which day (ISO)."""

    crowd: str
    channel: str
    purpose: str
    user: str
    day: str


class Wishes:
    """Those of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = home.path / "console"

    def all(self) -> list[Wish]:
        """The newest first. Raises BadData for a file of another version."""
        path = self._folder / "wishes"
        if not path.is_file():
            return []
        value = json.loads(self._home.wrapping.unwrap(_LABEL, private_files.read(path, MOST_BYTES)))
        if value.get("format") != FORMAT:
            raise BadData("What was asked for is of an unknown version.", "Update this program.")
        return [Wish(**each) for each in reversed(value["wishes"])]

    def add(self, wish: Wish) -> None:
        """In the place of an earlier one for that crowd and channel. Raises Refused where too many wait."""
        with self._changing() as held:
            held[:] = [each for each in held if (each.crowd, each.channel) != (wish.crowd, wish.channel)]
            if len(held) >= MOST:
                raise Refused("{most} activations wait for an approver already.", "Ask one to look at them.", most=MOST)
            held.append(wish)

    def drop(self, crowd: str, channel: str) -> None:
        """None is no error."""
        with self._changing() as held:
            held[:] = [each for each in held if (each.crowd, each.channel) != (crowd, channel)]

    @contextmanager
    def _changing(self) -> Iterator[list[Wish]]:
        self._folder.mkdir(0o700, exist_ok=True)
        with private_files.locked(self._folder / "wishes.lock"):
            held = list(reversed(self.all()))
            yield held
            content = canonical.encode({"format": FORMAT, "wishes": [asdict(each) for each in held]})
            write_bytes(self._folder / "wishes", self._home.wrapping.wrap(_LABEL, content))
