"""What is sent of a crowd: the plan, made once and never changed, and how far it has come. Both sealed.

    rooms/ROOM/sends/ID-NUMBER-DAY          the people, in batches, by key
    rooms/ROOM/sends/ID-NUMBER-DAY.done     batches that are through, and the counts

ID names crowd, version and channel; NUMBER is random and leads every batch's idempotency key; DAY is when it was made.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cleanroom import canonical
from cleanroom.activation.people import Keys, among
from cleanroom.activation.sealed import Form
from cleanroom.canonical import Json
from cleanroom.home import Home

BATCH = 1_000
"""People in a batch."""
GONE = np.uint64(0)
"""In the place of who was forgotten, so that the others keep their batches."""
Way = Literal["push", "file"]
_PLAN = Form("cleanroom-send/1", "activation/plan")
_DONE = Form("cleanroom-sent/1", "activation/done")
_FOLDER, _ID_DIGITS, _NUMBER_DIGITS = "sends", 24, 16


@dataclass(frozen=True, eq=False)
class Plan:
    """Who is to be addressed. made: UTC, ISO 8601; day: in China, yyyyMMdd; left_out: people by reason; keys: uint64,
    in batches of BATCH, `people` in all (none once they were removed); held: uint64, the campaign's holdout."""

    room: str
    code: str
    version: str
    channel: str
    purpose: str
    ends: str
    way: Way
    dataset: str
    number: str
    day: str
    made: str
    people: int
    left_out: Mapping[str, int]
    keys: Keys
    held: Keys

    @property
    def name(self) -> str:
        """Its file's."""
        return f"{_identity(self.code, self.version, self.channel)}-{self.number}-{self.day}"

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-self.people // BATCH)

    def idempotency_key(self, batch: int) -> str:
        """What names one batch (from 0), in all attempts and after any crash."""
        return f"{self.number}-{batch}"


@dataclass(frozen=True)
class Done:
    """How far a plan has come. batches: through, from the first on; sent: people in them; late: people by the reason
    that came up after the plan was made."""

    batches: int = 0
    sent: int = 0
    late: Mapping[str, int] = field(default_factory=dict)

    def through(self, sent: int, late: Mapping[str, int]) -> "Done":
        """With a batch more."""
        both = {name: self.late.get(name, 0) + late.get(name, 0) for name in {*self.late, *late}}
        return Done(self.batches + 1, self.sent + sent, {name: count for name, count in both.items() if count})


class Sends:
    """The sends of a home's room."""

    def __init__(self, home: Home, room: str) -> None:
        self._home, self._folder = home, home.rooms / Path(room).name / _FOLDER

    def find(self, code: str, version: str, channel: str) -> Plan | None:
        """The plan for it, where there is one."""
        found = next((name for name in self.names() if name.startswith(_identity(code, version, channel))), None)
        return None if found is None else self.load(found)

    def names(self) -> list[str]:
        """The names of all plans."""
        return sorted(path.name for path in self._folder.glob("*-*-*[0-9]")) if self._folder.is_dir() else []

    def load(self, name: str) -> Plan:
        """The plan of that name. Raises BadData where it was changed."""
        head, arrays = _PLAN.load(self._home, self._folder / name)
        told: dict[str, Any] = head
        return Plan(**(told | arrays))

    def keep(self, plan: Plan) -> None:
        """Durably."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        head: dict[str, Json] = {name: value for name, value in vars(plan).items() if name not in ("keys", "held")}
        arrays = {"keys": plan.keys.astype("<u8"), "held": plan.held.astype("<u8")}
        _PLAN.save(self._home, self._folder / plan.name, head, arrays)

    def done(self, plan: Plan) -> Done:
        """How far it has come."""
        path = self._folder / f"{plan.name}.done"
        return Done(**_DONE.load(self._home, path)[0]) if path.exists() else Done()

    def note(self, plan: Plan, done: Done) -> None:
        """Durably how far it has come."""
        _DONE.save(self._home, self._folder / f"{plan.name}.done", vars(done), {})

    def remove_people(self, plan: Plan) -> None:
        """Its people; the counts stay."""
        nobody = np.zeros(0, np.uint64)
        self.keep(replace(plan, keys=nobody, held=nobody))

    def each(self) -> Iterator[Plan]:
        """All plans."""
        yield from map(self.load, self.names())

    def keep_only(self, there: Keys) -> None:
        """Drop whoever is not among these: they were forgotten. Batches stay what they were."""
        for plan in self.each():
            stays = among(plan.keys, there)
            if not stays.all() or not among(plan.held, there).all():
                held = plan.held[among(plan.held, there)]
                self.keep(replace(plan, keys=np.where(stays, plan.keys, GONE), held=held))


def new_number() -> str:
    """What no other plan has."""
    return secrets.token_hex(_NUMBER_DIGITS // 2)


def day_of(name: str) -> str:
    """The day (yyyyMMdd) in a plan's name."""
    return name.rpartition("-")[2]


def _identity(code: str, version: str, channel: str) -> str:
    return hashlib.sha256(canonical.encode([code, version, channel])).hexdigest()[:_ID_DIGITS]
