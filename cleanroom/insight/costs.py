"""What the merchant paid for its campaigns, entered by itself, kept sealed in its home: exact, and never sent anywhere.

rooms/ROOM/costs: "cleanroom-costs/1\\n" and a JSON list, sealed by the home's root key
"""

import datetime as dt
import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.insight.metric import Spent

FORMAT = b"cleanroom-costs/1\n"
COSTS = ("media", "coupons", "points")
"""Media, merchant-borne coupons, priced points: what counts as cost."""
REVENUES = ("attributed", "incremental")
"""Revenue that a campaign's measurement found: by attribution, and by its randomised arms."""
MOST_ENTRIES = 10_000
_MOST_MINOR = 10**15
_MOST_BYTES = 1 << 23


@dataclass(frozen=True)
class Entry:
    """One line. day: ISO; kind: of COSTS or REVENUES; minor: amount in minor units; margin: ‰, of incremental revenue
    (None otherwise). Raises UsageError for what cannot be."""

    day: str
    campaign: str
    kind: str
    minor: int
    margin: int | None = None

    def __post_init__(self) -> None:
        try:
            dt.date.fromisoformat(self.day)
        except ValueError as error:
            raise UsageError("A day is written as 2026-01-31.") from error
        if self.kind not in (*COSTS, *REVENUES):
            raise UsageError("A cost is one of {kinds}.", kinds=", ".join((*COSTS, *REVENUES)))
        if not self.campaign or len(self.campaign) > 80 or not self.campaign.isprintable():
            raise UsageError("A campaign has a name of 1 to 80 signs.")
        if type(self.minor) is not int or not -_MOST_MINOR <= self.minor <= _MOST_MINOR:
            raise UsageError("An amount is a number with at most two decimals.")
        if self.minor < 0 and self.kind in COSTS:
            raise UsageError("A cost is not below nothing.")
        if (self.margin is not None) != (self.kind == "incremental") or not 0 <= (self.margin or 0) <= 1000:
            raise UsageError("Incremental revenue has a margin of 0 to 1, nothing else has one.")


def add(home: Home, room: str, entry: Entry) -> tuple[Entry, ...]:
    """Keep one more line, durably; all lines. Raises UsageError where the room is not here or has too many."""
    path = _path(home, room)
    with private_files.locked(path.with_name("costs.lock")):
        entries = (*listed(home, room), entry)
        if len(entries) > MOST_ENTRIES:
            raise UsageError("A room has at most {most} costs.", most=f"{MOST_ENTRIES:,}")
        body = FORMAT + canonical.encode([asdict(each) for each in entries])
        write_bytes(path, home.wrapping.wrap(_sealed_as(room), body))
    return entries


def listed(home: Home, room: str) -> tuple[Entry, ...]:
    """All lines as entered. Raises BadData where the file was changed."""
    path = _path(home, room)
    if not path.exists():
        return ()
    body = home.wrapping.unwrap(_sealed_as(room), private_files.read(path, _MOST_BYTES))
    if not body.startswith(FORMAT):
        raise BadData("The costs have a format that this version does not know.", "Update this program.")
    try:
        rows: Any = json.loads(body[len(FORMAT) :])
        return tuple(Entry(**row) for row in rows)
    except (TypeError, ValueError, UsageError) as error:
        raise BadData("The table of costs is damaged.", "Restore it from a backup.") from error


def spent(home: Home, room: str, report_date: dt.date, days: int = 30) -> Spent | None:
    """What was paid in the days up to the report date, in major units; None where nothing was entered for them."""
    first = report_date - dt.timedelta(days=days - 1)
    inside = [each for each in listed(home, room) if first <= dt.date.fromisoformat(each.day) <= report_date]
    if not inside:
        return None
    grown = [each for each in inside if each.kind == "incremental"]
    revenue = sum(each.minor for each in grown)
    profit = sum(each.minor * (each.margin or 0) for each in grown)
    attributed = [each.minor for each in inside if each.kind == "attributed"]
    return Spent(
        cost=sum(each.minor for each in inside if each.kind in COSTS) / 100,
        attributed=sum(attributed) / 100 if attributed else None,
        incremental=revenue / 100 if grown else None,
        margin=profit / revenue / 1000 if revenue else None,
    )


def entered(path: Path, room: str, day: str, campaign: str, kind: str, amount: str, margin: float | None) -> Any:
    """As `add`, of what a person types; the whole table as plain values."""
    try:
        minor = Decimal(amount) * 100
        exact = int(minor) if minor == minor.to_integral_value() else None
    except (ArithmeticError, ValueError) as error:
        raise UsageError("An amount is a number with at most two decimals.") from error
    if exact is None:
        raise UsageError("An amount is a number with at most two decimals.")
    share = None if margin is None else round(margin * 1000)
    home = Home.open(path.expanduser())
    return _plain(room, add(home, room, Entry(day, campaign, kind, exact, share)))


def table(path: Path, room: str) -> Any:
    """All lines as plain values."""
    home = Home.open(path.expanduser())
    return _plain(room, listed(home, room))


def _plain(room: str, entries: tuple[Entry, ...]) -> dict[str, Any]:
    return {"room": room, "costs": [asdict(each) for each in entries]}


def _path(home: Home, room: str) -> Path:
    if Path(room).name != room or room in ("", ".", "..") or not (home.rooms / room).is_dir():
        raise UsageError("There is no room {name} here.", "cleanroom room list names them.", name=Path(room).name)
    return home.rooms / room / "costs"


def _sealed_as(room: str) -> str:
    return f"costs/{room}"
