"""Who is in a crowd, at the party that addresses people: sealed, one file a crowd and version, with what it is for.

    rooms/ROOM/members/CODE-VERSION     rooms/ROOM/given/MONTH

A version is frozen: kept once, with the people of one run; another channel adds a use and nobody. Whoever reached the
contract's cap is left out, counted in the month in which members came, whatever day their version is said to be of.
No member is ever shown from here, and nothing of it goes to the other side: whether a version is kept or refused never
depends on who is in it, since two crowds that differ by one person could be compared by that.
"""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom import private_files
from cleanroom.activation import people
from cleanroom.activation.people import Keys, Rows
from cleanroom.activation.sealed import Form
from cleanroom.activation.tally import Tally, files
from cleanroom.canonical import Json
from cleanroom.crowds.note import CrowdNote
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Rooms
from cleanroom.rooms.terms import Activation

_FORM = Form("cleanroom-members/2", "activation/members")
_FOLDER, _LOCK = "members", "members.lock"
_NAME = re.compile(r"(.+)-(\d{8})")


@dataclass(frozen=True)
class Use:
    """Where a version may be used: channel, purpose, the last day (ISO); the crowd's name; the receipt of its run."""

    channel: str
    purpose: str
    ends: str
    name: str
    receipt: str


@dataclass(frozen=True, eq=False)
class Membership:
    """A version of a crowd, as its receiver holds it.

    rows: int64[n], ascending, of the version of `dataset` with that manifest digest; keys: uint64[n], the same people;
    noised: the noised size of the run (-1: not told); columns: of the other side, that defined the crowd; rule: a
    digest of what defined it; left_out: people over the contract's cap; kept: when, UTC, ISO 8601.
    """

    room: str
    code: str
    version: str
    dataset: str
    manifest: str
    noised: int
    columns: tuple[str, ...]
    rule: str
    left_out: int
    kept: str
    uses: tuple[Use, ...]
    rows: Rows
    keys: Keys

    @property
    def last_day(self) -> str:
        """The last day (ISO) of its last use: afterwards it is removed."""
        return max(use.ends for use in self.uses)

    def use(self, channel: str) -> Use:
        """What it is for in this channel. Raises Refused where it is not for it."""
        for use in self.uses:
            if use.channel == channel:
                return use
        raise Refused(
            "The crowd {code} of {version} is not for the channel {channel}.",
            "It is for: {channels}.",
            code=self.code,
            version=self.version,
            channel=channel,
            channels=", ".join(use.channel for use in self.uses),
        )


def check(home: Home, room: str, note: CrowdNote, noised: int | None = None, *, rule: str = "") -> Activation:
    """The room's term, where this home may keep such members: before anything is charged, or once the size is known.

    Raises Refused where the contract allows it not: another receiver, channel or purpose, fewer people than its floor;
    where the crowd's last day is over; or where the version is kept already by another rule, or for another use.
    """
    contract = Rooms(home.rooms).load(room).contract
    term = term_of(contract, home.party)
    if note.channel not in term.channels:
        raise Refused("The contract lets no crowd be used in the channel {channel}.", "It names: {channels}.",
                      channel=note.channel, channels=", ".join(term.channels))  # fmt: skip
    if note.purpose not in contract.purposes:
        raise Refused("The contract is not for the purpose {purpose}.", "It names: {purposes}.",
                      purpose=note.purpose, purposes=", ".join(contract.purposes))  # fmt: skip
    check_day(note.ends)
    if noised is not None and noised < term.floor:
        raise below(term.floor)
    if note.version in kept_versions(home, room, note.code):
        _check_same(_load(home, _path(home, room, note.code, note.version)), note, rule)
    return term


def term_of(contract: Contract, party: str) -> Activation:
    """Raises Refused unless `party` is who addresses people in that room."""
    term = contract.activation
    if term is None or term.receiver != party:
        raise Refused("By the contract of the room {room} no crowd is given to {party}.", room=contract.room,
                      party=party)  # fmt: skip
    return term


def check_day(ends: str, today: dt.date | None = None) -> None:
    """Raises Refused where that last day (ISO) is over, as days are in China."""
    if (today or today_in_china()) > dt.date.fromisoformat(ends):
        raise Refused("The crowd ended on {day}: nobody of it may be addressed any more.",
                      "Refresh it, with a later end.", day=ends)  # fmt: skip


def today_in_china() -> dt.date:
    """The day as it is there."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(hours=8)).date()


def below(floor: int) -> Refused:
    """For a crowd that is too small. Its size is not told."""
    return Refused("The crowd has fewer people than may be addressed: {floor} at least.",
                   "Widen its rule.", floor=floor)  # fmt: skip


def keep(home: Home, room: str, note: CrowdNote, dataset: str, rows: Rows, receipt: str, *,
         noised: int | None = None, columns: tuple[str, ...] = (), rule: str = "") -> None:  # fmt: skip
    """Keep the members of a version, or give those that are kept a further use. The same again changes nothing, and a
    version that is kept keeps its people, whoever is brought now.

    rows: int64, ascending, of the newest version of `dataset`; noised: the run's noised size, held against the floor;
    columns: of the other side, by which the crowd is defined; rule: a digest of what defines it. Raises Refused as
    `check`.
    """
    term = check(home, room, note, noised, rule=rule)
    manifest = home.vault.manifest(dataset)
    use = Use(note.channel, note.purpose, note.ends, note.name, receipt)
    with _locked(home, room):
        path = _path(home, room, note.code, note.version)
        if path.exists():
            _add_use(home, path, use, note, rule)
            return
        counted, keys = _counted(home, room), people.keys(home, dataset, rows)
        free = counted.of(keys) < term.most_versions
        kept = Membership(
            room, note.code, note.version, dataset, manifest.digest, -1 if noised is None else noised, columns, rule,
            int((~free).sum()), dt.datetime.now(dt.UTC).isoformat(), (use,), rows[free], keys[free],
        )  # fmt: skip
        _save(home, path, kept)
        counted.add(path.name, kept.keys)


def load(home: Home, room: str, code: str, version: str | None = None) -> Membership:
    """The version of a crowd, or its newest. Raises UsageError where none is kept, BadData where it was changed."""
    versions = kept_versions(home, room, code)
    if not versions or (version is not None and version not in versions):
        raise UsageError("No members of the crowd {code} are kept here.", "See: cleanroom activation list", code=code)
    return _load(home, _path(home, room, code, version or versions[-1]))


def kept_versions(home: Home, room: str, code: str) -> list[str]:
    """The versions of a crowd that are kept, oldest first."""
    return [version for name, version in _names(home, room) if name == code]


def listed(home: Home, room: str) -> Iterator[Membership]:
    """All that are kept of a room, by code and version."""
    for code, version in _names(home, room):
        yield _load(home, _path(home, room, code, version))


def has(home: Home, room: str, note: CrowdNote) -> bool:
    """Whether the version is kept for the note's channel."""
    if note.version not in kept_versions(home, room, note.code):
        return False
    return note.channel in {use.channel for use in load(home, room, note.code, note.version).uses}


def versions_given(home: Home, room: str, month: str) -> int:
    """How many versions of the room's crowds were kept in a month, yyyyMM: in so many a person was given at most."""
    return len(Tally(home, given_folder(home, room) / month).names)


def keep_only(home: Home, room: str, there: Keys) -> None:
    """Drop whoever is not among these: they were forgotten. The others stay, as rows of the newest
    version."""
    with _locked(home, room):
        for held in list(listed(home, room)):
            now = people.keys(home, held.dataset)
            rows = np.flatnonzero(people.among(now, held.keys)).astype(np.int64)
            manifest = home.vault.manifest(held.dataset).digest
            moved = replace(held, manifest=manifest, rows=rows, keys=now[rows])
            _save(home, _path(home, room, held.code, held.version), moved)
        for path in files(given_folder(home, room)):
            Tally(home, path).keep_only(there)


def given_folder(home: Home, room: str) -> Path:
    """Where it stands in how many versions of a month each person was given."""
    return home.rooms / Path(room).name / "given"


def remove(home: Home, membership: Membership) -> None:
    """Remove a version's members for good."""
    with _locked(home, membership.room):
        _path(home, membership.room, membership.code, membership.version).unlink(missing_ok=True)


def _counted(home: Home, room: str) -> Tally:
    """This month's counts, with the versions that a crash kept from being counted."""
    month = today_in_china().strftime("%Y%m")
    counted = Tally(home, given_folder(home, room) / month)
    for code, day in _names(home, room):
        path = _path(home, room, code, day)
        if path.name in counted.names or _month(dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)) < month:
            continue
        held = _load(home, path)
        if _month(dt.datetime.fromisoformat(held.kept)) == month:
            counted.add(path.name, held.keys)
    return counted


def _month(moment: dt.datetime) -> str:
    return (moment + dt.timedelta(hours=8)).strftime("%Y%m")


def _check_same(held: Membership, note: CrowdNote, rule: str) -> None:
    """Raises Refused where the version was defined otherwise, or the channel's use is another."""
    before = next((each for each in held.uses if each.channel == note.channel), None)
    use = Use(note.channel, note.purpose, note.ends, note.name, before.receipt if before else "")
    if held.rule != rule or before not in (None, use):
        raise Refused("The version {version} of the crowd {code} is kept already, by another rule or for another use.",
                      "A version is frozen: refresh the crowd on another day.", version=held.version,
                      code=held.code)  # fmt: skip


def _add_use(home: Home, path: Path, use: Use, note: CrowdNote, rule: str) -> None:
    """Raises Refused as `_check_same`."""
    held = _load(home, path)
    _check_same(held, note, rule)
    if all(each.channel != use.channel for each in held.uses):
        _save(home, path, replace(held, uses=(*held.uses, use)))


def _save(home: Home, path: Path, held: Membership) -> None:
    head: dict[str, Json] = {name: value for name, value in vars(held).items() if name not in ("rows", "keys", "uses")}
    head["uses"] = [vars(use) for use in held.uses]
    _FORM.save(home, path, head, {"rows": held.rows.astype("<i8"), "keys": held.keys.astype("<u8")})


def _load(home: Home, path: Path) -> Membership:
    head, arrays = _FORM.load(home, path)
    told: dict[str, Any] = {**head, "columns": tuple(head["columns"]), "uses": tuple(Use(**u) for u in head["uses"])}
    return Membership(**(told | arrays))


def _names(home: Home, room: str) -> list[tuple[str, str]]:
    """(code, version) of all that is kept, sorted."""
    folder = _folder(home, room)
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted((each[1], each[2]) for each in found if each is not None and not each[1].startswith("."))


def _path(home: Home, room: str, code: str, version: str) -> Path:
    return _folder(home, room) / f"{code}-{version}"


def _folder(home: Home, room: str) -> Path:
    return home.rooms / Path(room).name / _FOLDER


def _locked(home: Home, room: str) -> Any:
    folder = _folder(home, room)
    folder.mkdir(mode=0o700, exist_ok=True)
    return private_files.locked(folder.parent / _LOCK)
