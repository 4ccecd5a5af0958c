"""A home brought back from a backup, into a folder that appears only when all of it verified and was made safe.

A restored home has forgotten what happened since. Nothing may be spent, drawn or encrypted twice because of that:

    budgets     What was spent since is not known, so the ledger says that it was restored, and no question about a
                dataset of this home is charged before the month is over, whatever its room.
    answers     Noise that was drawn since is lost. The vault's epoch, which is part of each question, jumps to one
                never used: no question is one that was paid for, and each is charged anew.
    peers       They have seen entries of the lost ledger and refuse this one, until a person there accepts the signed
                statement that it was restored (`statement`).
    kept runs   What former runs left to go on from is dropped, and the quota of every key epoch counts as spent.
    persons     Whoever was forgotten since would come back: the newest `vault/tombstones` is put in place where given.
    jobs        What waited or ran is cancelled, and what schedules missed is left out, so that nothing starts at once.

With the ledger of the lost home nothing on record is lost: it must verify and go on from the backup's; then budgets
stand as they were, and peers find what they saw. Whether it is the last state, only a person knows; peers see where it
is not, and the vault's epoch jumps all the same. Keys and nonces are fresh for each file and session anyway.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cleanroom import private_files
from cleanroom.answer.epochs import Kept, forget_people, number_at
from cleanroom.answer.slot_store import forget_slots
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.keystore import Keystore
from cleanroom.ledger import audit, store
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.spending import renewal
from cleanroom.operations import databases, statement
from cleanroom.operations.backup import Backup, now, opened
from cleanroom.operations.sealed_stream import Unlock
from cleanroom.operations.upgrade import upgrade
from cleanroom.rooms.contract import session_context
from cleanroom.rooms.store import Rooms

HANDLERS = {"node.restored": statement.heard}
"""What a node does with messages of these kinds."""


@dataclass(frozen=True)
class Newer:
    """What the lost home left that is newer than the backup: its `ledger.sqlite`, its `vault/tombstones`.

    copy: the ledger is no last state but a copy made before; then budgets are closed as without one.
    """

    ledger: Path | None = None
    tombstones: Path | None = None
    copy: bool = False


@dataclass(frozen=True)
class Restored:
    """What was done. renews: the day from which questions are charged again, '' where the lost ledger was brought;
    forgotten: identities newly forgotten, None where no list was brought; forgets: entries of the lost ledger since the
    backup that say that persons were forgotten; told: peers to whom the statement goes; cancelled: jobs."""

    backup: Backup
    renews: str
    forgotten: int | None
    forgets: int
    told: tuple[str, ...]
    cancelled: int

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return {**self.backup.plain(), "renews": self.renews, "forgotten": self.forgotten, "forgets": self.forgets,
                "told": list(self.told), "cancelled": self.cancelled}  # fmt: skip


def restore(path: Path, unlock: Unlock, to: Path, newer: Newer = Newer(), keystore: Keystore | None = None) -> Restored:
    """Make the home `to` of the backup. keystore: opens the home, else as `Home.open`.

    Raises UsageError where `to` exists, BadData where anything does not verify or open, Refused where the clock is
    before the backup's; then there is no `to`.
    """
    if to.exists() or to.is_symlink():
        raise UsageError("{name} exists already.", "A backup is restored into a new folder.", name=to.name)
    if not to.parent.is_dir():
        raise UsageError("The folder for {name} does not exist.", "Make it first.", name=to.name)
    aside = to.with_name(f".{to.name}.{secrets.token_hex(4)}")
    try:
        aside.mkdir(0o700)
        told = _extracted(path, unlock, aside)
        upgrade(aside)
        done = _made_safe(aside, told, newer, keystore)
        aside.rename(to)
        private_files.sync_folder(to.parent)
    except OSError as error:
        raise BadData(
            "{name} could not be written: {reason}.", "Check free space and rights.", name=to.name,
            reason=error.strerror,
        ) from error  # fmt: skip
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return done


def _extracted(path: Path, unlock: Unlock, folder: Path) -> Backup:
    """All files of the backup, synced, verified against its list."""
    with opened(path, unlock) as reading:
        if reading.told().made > now():
            raise Refused("This machine's clock is before the time of the backup.", "Set the clock.")
        for name, blocks in reading.archive.each():
            _write(folder, name, blocks)
        reading.sealed.finish()
        told = reading.told()
    for home in _homes(folder):
        for name in ("keys", "vault", "rooms", "peers"):
            (home / name).mkdir(mode=0o700, exist_ok=True)  # empty ones are not in a backup
    return told


def _write(folder: Path, name: str, blocks: Iterator[bytes]) -> None:
    path = folder.joinpath(*name.split("/"))
    for parent in reversed(path.relative_to(folder).parents):
        (folder / parent).mkdir(mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.writelines(blocks)
        file.flush()
        os.fsync(file.fileno())


def _homes(folder: Path) -> list[Path]:
    """The home, and those inside it."""
    inner = (path.parent for path in folder.glob("peers/*/node.json"))
    return [folder, *(home for each in inner for home in _homes(each))]


def _made_safe(folder: Path, told: Backup, newer: Newer, keystore: Keystore | None) -> Restored:
    for inner in _homes(folder)[1:]:
        _made_safe_one(Home.open(inner), told, Newer())
    return _made_safe_one(Home.open(folder, keystore), told, newer)


def _made_safe_one(home: Home, told: Backup, newer: Newer) -> Restored:
    _drop_kept(home)
    forgets = 0 if newer.ledger is None else _continued(home, newer.ledger)
    renews = ""
    if newer.ledger is None or newer.copy:
        with open_ledger(home) as ledger:
            renews = renewal(str(ledger.restore(told.made).body["until"]))
    fresh = home.vault.begin_again(newer.tombstones)
    done = Restored(told, renews, None if newer.tombstones is None else fresh, forgets, (), 0)
    if not (home.path / "node.sqlite").exists():
        return done
    cancelled = _cancel_jobs(home)
    return replace(done, cancelled=cancelled, told=statement.send(home) if renews else ())


def _drop_kept(home: Home) -> None:
    """What former runs left, and what is left of this key epoch's quotas."""
    forget_people(home)
    forget_slots(home)
    for name in Rooms(home.rooms).names():
        contract = Rooms(home.rooms).load(name).contract
        asked = home.party in contract.owners and home.party != contract.match.receiver
        if contract.match.protocol == "oprf" and asked:
            _spend_quota(Kept(home, contract, number_at(contract, statement.moment())))


def _spend_quota(kept: Kept) -> None:
    """The side that is asked answers no more in this key epoch: what it answered since the backup is not known."""
    from protocols.oprf.keys import Epoch, Key, Quota

    held, contract = kept.begin().load("key"), kept.contract
    key = Key.generate(session_context(contract), kept.number) if held is None else Key.import_secret(held)
    kept.save("key", key.export_secret())
    rows = contract.dataset_of(kept.home.party).rows
    quota = Quota.of(Epoch(kept.number, key.public, rows, contract.match.quota))
    kept.save("quota", replace(quota, spent=quota.most).to_bytes())


def _continued(home: Home, newest: Path) -> int:
    """Put the lost home's ledger in place of the backup's. How often persons were forgotten since, by what it says.

    Raises BadData unless it is this home's, verifies as a whole, and begins with all that the backup's holds.
    """
    before = store.read(home.ledger_path).entries if home.ledger_path.exists() else ()
    for path in home.path.glob("ledger.sqlite*"):
        path.unlink()
    databases.copy(newest, home.ledger_path)
    audit.verify_home_ledger(home.ledger_path, home.keys.public.signing)
    after = store.read(home.ledger_path).entries
    if len(after) < len(before) or audit.first_difference(before, after) is not None:
        raise BadData(
            "The ledger {name} does not go on from the one in the backup.", "Bring the lost home's newest.",
            name=newest.name,
        )  # fmt: skip
    return sum(entry.kind == "forget" for entry in after[len(before) :])


def _cancel_jobs(home: Home) -> int:
    from cleanroom.node.queue import Jobs
    from cleanroom.node.schedule import Schedules, next_after
    from cleanroom.node.state import State, stamp

    with State.open(home) as state:
        jobs = Jobs(state)
        jobs.recover()
        waiting = jobs.listed(state="queued", most=1_000_000)
        for job in waiting:
            jobs.cancel(job.id)
        with state.transaction() as database:  # what was missed since the backup was perhaps done
            for each in Schedules(state, jobs).listed():
                upcoming = stamp(next_after(each.spec, statement.moment()))
                database.execute("UPDATE schedules SET next = ? WHERE id = ?", (upcoming, each.id))
    return len(waiting)
