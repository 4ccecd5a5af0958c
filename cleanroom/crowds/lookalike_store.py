"""What an asker keeps of its lookalikes: what was asked, what came of it, and the noised numbers of its gain.

Sealed, one file a home. Members stand at the other party, and nowhere here.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.crowds.lookalike_gain import Tenth, gains
from cleanroom.crowds.selection import Selection
from cleanroom.crowds.selection import from_plain as selection_from
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home

FORMAT = "cleanroom-lookalikes/1"
WAITS, DONE, FAILED = "waits", "made", "failed"
_FILE, _LOCK, _LABEL = "lookalikes", "lookalikes.lock", "crowds/lookalikes"
_MOST_BYTES = 1 << 26


@dataclass(frozen=True)
class Asked:
    """A lookalike of one version. seed: the seed's rule, plain; split: the list of whom it holds out, "" for none;
    receipt: of the seed's numbers; state: waits, made or failed; low, high: the range of its size; short: fewer than
    asked for; known: whether the other side knows the seed's people; counts: noised, of the held-out part by tenths of
    the users, as far as they were counted; sigma: of their noise; reason: why it failed."""

    code: str
    version: str
    room: str
    seed: list[Any]
    split: str
    receipt: str
    count: int
    include: bool
    state: str = WAITS
    low: int = 0
    high: int = 0
    short: bool = False
    known: bool = False
    counts: tuple[int, ...] = ()
    sigma: int = 0
    reason: str = ""

    @property
    def selection(self) -> Selection:
        """The seed."""
        return selection_from(self.seed)

    @property
    def gain(self) -> tuple[Tenth, ...]:
        """As far as it was counted; () otherwise."""
        return gains(self.counts, self.sigma) if len(self.counts) == 10 else ()

    def made(self, low: int, high: int, *, short: bool, known: bool) -> "Asked":
        """Once it was."""
        return replace(self, state=DONE, low=low, high=high, short=short, known=known)

    def failed(self, reason: str) -> "Asked":
        """Where it was not."""
        return replace(self, state=FAILED, reason=reason)

    def counted(self, counts: Sequence[int], sigma: int) -> "Asked":
        """With so many tenths of the gain."""
        return replace(self, counts=tuple(counts), sigma=sigma)

    def shown(self) -> dict[str, Any]:
        """For people: a range, the gain, and what is known of the seed's people; no noised number."""
        return {
            "code": self.code, "version": self.version, "room": self.room, "state": self.state, "reason": self.reason,
            "range": [self.low, self.high] if self.state == DONE else None, "asked_for": self.count,
            "short": self.short, "include_seed": self.include, "seed_known_there": self.known,
            "receipt": self.receipt, "gain": [{**asdict(each), "significant": each.significant} for each in self.gain],
        }  # fmt: skip


class Lookalikes:
    """The lookalikes that a home asked for, by code; of a crowd the newest version."""

    def __init__(self, home: Home) -> None:
        self._home, self._path = home, home.path / _FILE

    def keep(self, asked: Asked) -> Asked:
        """Durably, in the place of what was kept of this code."""
        with self._held() as held:
            held[asked.code] = asked
        return asked

    def load(self, code: str) -> Asked:
        """Raises UsageError where none was asked for under this code."""
        found = self._read().get(code)
        if found is None:
            raise UsageError("No lookalike {code} was asked for here.", "See: cleanroom crowd list", code=code[:64])
        return found

    def all(self) -> tuple[Asked, ...]:
        """By code."""
        held = self._read()
        return tuple(held[code] for code in sorted(held))

    def drop(self, code: str) -> None:
        """Forget it; nothing where there is none."""
        with self._held() as held:
            held.pop(code, None)

    @contextmanager
    def _held(self) -> Iterator[dict[str, Asked]]:
        with private_files.locked(self._home.path / _LOCK):
            held = self._read()
            yield held
            kept: list[canonical.Json] = [
                {**asdict(each), "counts": list(each.counts)} for _, each in sorted(held.items())
            ]
            plain: canonical.Json = {"format": FORMAT, "lookalikes": kept}
            write_bytes(self._path, self._home.wrapping.wrap(_LABEL, canonical.encode(plain)))

    def _read(self) -> dict[str, Asked]:
        if not self._path.exists():
            return {}
        content = self._home.wrapping.unwrap(_LABEL, private_files.read(self._path, _MOST_BYTES))
        try:
            value = json.loads(content)
            if value["format"] != FORMAT:
                raise BadData("The lookalikes of this home are of an unknown version.", "Update this program.")
            each = [Asked(**{**one, "counts": tuple(one["counts"])}) for one in value["lookalikes"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BadData("The file of lookalikes is damaged.", "Restore it from a backup.") from error
        return {one.code: one for one in each}
