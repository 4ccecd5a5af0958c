"""The demo market, ready for a notebook: made once on this machine, copied for whoever wants one, and gone afterwards.

All data in it are made up. The first call of a day makes it (a quarter of a minute), with a plan and a board; later
ones copy the folder in which it is kept. Nothing else is written; a copy ends with its
process.
"""

import atexit
import datetime as dt
import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cleanroom import boards, planning
from cleanroom.demo import market as making
from cleanroom.demo.market import ROOM, Market
from cleanroom.demo.people import Ints
from cleanroom.demo.purchases import CUSTOMERS
from cleanroom.demo.scene_stage import DAYS, Stage
from cleanroom.importing import as_day
from cleanroom.node.parties import Meeting, usual
from cleanroom.node.together import Together
from protocols.kernels.cache import caches

SCALE = 0.3
"""Of the market: from here on crowds reach the floor of 1,000 matched people."""
_PEOPLE, _DONE = "people.npy", "done"


def market() -> Market:
    """A market of one's own: homes of a merchant, a platform and an operator, the room "market", a plan and a board.

    Its last day lies fifteen days back, so that a campaign of fourteen days is over. It is removed when this process
    ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="cleanroom-market-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _kept() as kept:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
    people: Ints = np.load(folder / _PEOPLE)
    return _at(folder, people)


def stage(made: Market, meeting: Meeting = usual) -> Stage:
    """The same market as a scene's stage, on which `demo.scene_world` has its people act."""
    members = round(CUSTOMERS * SCALE)
    return Stage(made.home, members, made, lambda *_: None, meeting)


def warm() -> Path:
    """Make the market unless it is there; the folder in which it is kept."""
    with _kept() as kept:
        return kept


@contextmanager
def _kept() -> Iterator[Path]:
    """The finished market of today, while nobody else makes or removes one."""
    base = caches().parent / "demo-market"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    base.chmod(0o700)
    with (base / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = base / _name()
        if not (folder / _DONE).exists():
            for other in base.iterdir():
                if other.is_dir():
                    shutil.rmtree(other)
            _make(folder)
        yield folder


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    home = folder / "home"
    made = making.build(home, _day(), SCALE)
    np.save(folder / _PEOPLE, made.people)
    with Together() as together:
        planning.make(made.home, ROOM, "monthly", meeting=together)
        boards.make(made.home, ROOM, meeting=together)
    (folder / _DONE).touch()


def _at(folder: Path, people: Ints) -> Market:
    home = folder / "home"
    files = home / "sample-data"
    return Market(home, home / "peers" / "platform", _day(), files / "orders.csv", files / "platform", people)


def _day() -> dt.date:
    return as_day(None) - dt.timedelta(days=DAYS)


def _name() -> str:
    """By the day, and by what makes the market and its room: of others it is made anew."""
    digest = hashlib.sha256(_day().isoformat().encode())
    here = Path(__file__).parent
    for path in sorted((*here.glob("*.py"), *(here.parent / "rooms").glob("*.py"))):
        about = path.stat()
        digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]
