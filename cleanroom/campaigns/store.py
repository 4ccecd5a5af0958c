"""A home's campaigns, sealed: terms, what was committed to, what they cost, what was measured; and apart, the arms.

rooms/ROOM/campaigns/NAME     rooms/ROOM/campaigns/NAME.arms   (seed and draws, where people are addressed alone)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom import private_files
from cleanroom.activation.sealed import Form
from cleanroom.campaigns import worth
from cleanroom.campaigns.arms import Members
from cleanroom.campaigns.campaign import Terms, terms_of
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.rooms.store import Rooms

_RECORD = Form("cleanroom-campaign-record/1", "campaigns/record")
_ARMS = Form("cleanroom-campaign-arms/1", "campaigns/arms")
_FOLDER, _LOCK, _SUFFIX = "campaigns", "campaigns.lock", ".arms"


@dataclass(frozen=True)
class Committed:
    """One batch's commitment. version: of the crowd; made: UTC, ISO 8601; treated, held: people in all so far;
    manifest: digest of the dataset's version that has the arms; entry: its place in the ledger, 0 where another
    party's."""

    commitment: str
    version: str
    made: str
    treated: int = 0
    held: int = 0
    manifest: str = ""
    entry: int = 0


@dataclass(frozen=True)
class Record:
    """What a home knows of a campaign. starts: the first day (ISO), '' before; closed: whether seed and draws are gone;
    own: counts of this home's own data, by name, with the day they are as of; measured: the newest result.
    """

    terms: Terms
    starts: str = ""
    commitments: tuple[Committed, ...] = ()
    costs: worth.Costs = field(default_factory=worth.Costs)
    own: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] | None = None
    closed: bool = False
    manifest: dict[str, Any] | None = None
    """The manifest behind the last commitment, whose digest the ledger holds."""


class Campaigns:
    """The campaigns of a home's room. Raises UsageError where the room is not here."""

    def __init__(self, home: Home, room: str) -> None:
        if Path(room).name != room or room not in Rooms(home.rooms).names():
            raise UsageError("There is no room {name} here.", "cleanroom room list names them.", name=Path(room).name)
        self._home, self.room = home, room
        self._folder = home.rooms / room / _FOLDER

    def names(self) -> tuple[str, ...]:
        """All there are, sorted."""
        if not self._folder.is_dir():
            return ()
        found = (path.name for path in self._folder.iterdir() if not path.name.startswith("."))
        return tuple(sorted(name for name in found if not name.endswith(_SUFFIX)))

    def load(self, name: str) -> Record:
        """Raises UsageError where there is none, BadData where it was changed."""
        path = self._path(name)
        if not path.exists():
            raise UsageError("There is no campaign {name} in the room {room}.", "See: cleanroom campaign list {room}",
                             name=path.name, room=self.room)  # fmt: skip
        head, _ = _RECORD.load(self._home, path)
        try:
            own = {**head, "terms": terms_of(head["terms"]), "costs": worth.from_plain(head["costs"])}
            own["commitments"] = tuple(Committed(**each) for each in head["commitments"])
            own["own"], own["measured"] = _floats(head["own"]), _floats(head["measured"])
            return Record(**own)
        except (KeyError, TypeError) as error:
            raise BadData("A campaign is damaged.", "Restore it from a backup.") from error

    def all(self) -> Iterator[Record]:
        """Every one, by name."""
        return (self.load(name) for name in self.names())

    def create(self, terms: Terms) -> Record:
        """A new one. Raises UsageError where its name or its slot is taken by one that is not closed."""
        with self.locked():
            for held in self.all():
                if held.terms.name == terms.name:
                    if held.terms == terms:
                        return held
                    raise UsageError("There is a campaign {name} already.", "Choose another name.", name=terms.name)
                if held.terms.slot == terms.slot and not held.closed:
                    raise UsageError("The campaign {name} uses the slot {slot}.", "Take another slot, or close it.",
                                     name=held.terms.name, slot=terms.slot)  # fmt: skip
            self.save(Record(terms))
        return self.load(terms.name)

    def save(self, record: Record) -> None:
        """Durably, in the place of what there was."""
        head = {
            **vars(record), "terms": record.terms.plain(), "costs": record.costs.plain(),
            "commitments": [asdict(each) for each in record.commitments],
            "own": _texts(record.own), "measured": _texts(record.measured),
        }  # fmt: skip
        self._folder.mkdir(mode=0o700, exist_ok=True)
        _RECORD.save(self._home, self._path(record.terms.name), head, {})

    def change(self, name: str, **changes: Any) -> Record:
        """The record with these fields changed. To be called while `locked`."""
        record = replace(self.load(name), **changes)
        self.save(record)
        return record

    def arms(self, name: str) -> tuple[bytes, Members]:
        """(seed, members). Raises UsageError where this home has drawn none."""
        path = self._path(name + _SUFFIX)
        if not path.exists():
            raise UsageError("The arms of the campaign {name} are not here.",
                             "Who addresses people draws and keeps them.", name=name)  # fmt: skip
        _, arrays = _ARMS.load(self._home, path)
        drawn = Members(arrays["draws"], arrays["strata"], arrays["batches"], arrays["arms"])
        return arrays["seed"].tobytes(), drawn

    def save_arms(self, name: str, seed: bytes, members: Members) -> None:
        """Durably."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        arrays: dict[str, NDArray[Any]] = {
            "seed": np.frombuffer(seed, np.uint8), "draws": members.draws, "strata": members.strata,
            "batches": members.batches, "arms": members.arms,
        }  # fmt: skip
        _ARMS.save(self._home, self._path(name + _SUFFIX), {}, arrays)

    def forget_arms(self, name: str) -> None:
        """Remove seed and draws for good."""
        self._path(name + _SUFFIX).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among processes."""
        with private_files.locked(self._folder.parent / _LOCK):
            yield

    def _path(self, name: str) -> Path:
        if Path(name).name != name or name.startswith(".") or not name:
            raise UsageError("There is no campaign {name} in the room {room}.", "See: cleanroom campaign list {room}",
                             name=Path(name).name, room=self.room)  # fmt: skip
        return self._folder / name


def _texts(value: Any) -> Any:
    """Numbers with a fraction as text that begins with ~: canonical JSON has none."""
    if isinstance(value, dict):
        return {key: _texts(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(each) for each in value]
    return f"~{value!r}" if isinstance(value, float) else value


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_floats(each) for each in value]
    return float(value[1:]) if isinstance(value, str) and value.startswith("~") else value
