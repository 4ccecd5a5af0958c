"""A home of an earlier format brought to this one, in place. Killed at any point, it is the old one or goes on.

Format 2 is that of homes whose node talks to others: `node.sqlite`, `node.toml`, `pinned.json`, users and portfolios
may stand in it, and its ledger may say that it was restored or that a peer's was, which earlier programs would not
understand. So they are to refuse it. What there is stays as it is but for the ledger's tables and `node.json`, which
is replaced last and makes it so. Both are kept as they were in `before-upgrade/`.

A home of a later format than this program's is refused.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import FIRST_FORMAT, FORMAT, described
from cleanroom.ledger import store
from cleanroom.operations import databases

BEFORE = "before-upgrade"


@dataclass(frozen=True)
class Upgraded:
    """What was done: formats before and after, and the homes inside that were upgraded with it."""

    before: str
    after: str
    homes: int


def upgrade(path: Path) -> Upgraded:
    """Bring the home at `path` to the current format; its node must not be running. Where it is, nothing happens.

    Raises UsageError where there is no home, BadData for one of a later or unknown format.
    """
    if path.is_symlink() or not (path / "node.json").is_file():
        raise UsageError("{name} is not a home of this program.", "Make one first, or name another.", name=path.name)
    private_files.check_folder(path)
    with private_files.locked(path / "upgrade.lock"):
        done = 0
        for inner in sorted((path / "peers").iterdir()):
            if (inner / "node.json").is_file():
                done += upgrade(inner).homes
        before, party = described(private_files.read(path / "node.json"))
        if before == FORMAT:
            return Upgraded(before, FORMAT, done)
        if before != FIRST_FORMAT:
            raise BadData(
                "This home is of the format {format}, which this version does not know.",
                "Update this program.",
                format=before[:64],
            )
        _keep(path)
        _upgrade_ledger(path / "ledger.sqlite")
        write_bytes(path / "node.json", canonical.encode({"format": FORMAT, "party": party}))
        return Upgraded(before, FORMAT, done + 1)


def _keep(path: Path) -> None:
    """What is about to change, as it is; `node.json` last, so that its copy says that the others are whole."""
    kept = path / BEFORE
    if (kept / "node.json").exists():
        return
    kept.mkdir(mode=0o700, exist_ok=True)
    if (path / "ledger.sqlite").exists():
        databases.copy(path / "ledger.sqlite", kept / "ledger.sqlite")
    write_bytes(kept / "node.json", private_files.read(path / "node.json"))


def _upgrade_ledger(path: Path) -> None:
    if path.exists():
        database, _ = store.connect(path)
        with closing(database):
            store.upgrade(database)
