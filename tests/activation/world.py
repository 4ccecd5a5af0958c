"""A platform with people in its vault, and a room by which it may address the merchant's crowds; no match is run."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom.crowds.note import CrowdNote
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.rooms import draft
from cleanroom.rooms.contract import Contract, SignedContract
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.terms import Activation, Column, Dataset, Match, ReleaseRules
from tests.near import new_home
from tests.rooms.test_templates import party

ROOM, USERS = "spring", "users"
DAY = dt.datetime.now(dt.UTC) + dt.timedelta(hours=8)
VERSION = DAY.strftime("%Y%m%d")
MAPPING = """
version = 1
[columns]
consent = { name = "consent", kind = "category" }
subscribed = { name = "subscribed", kind = "category" }
group_member = { name = "group_member", kind = "category" }
opt_out = { name = "opt_out", kind = "category" }
reach = { name = "reach", kind = "category" }
"""
PEOPLE = 3_000
YES = {"consent": "yes", "subscribed": "yes", "group_member": "no", "opt_out": "no", "reach": "yes"}


def people(folder: Path, changed: dict[int, dict[str, str]] | None = None, without: range | None = None,
           handle: str = "U{n:06d}") -> Path:  # fmt: skip
    """The platform's users as CSV: person n has the values YES, but for what `changed` says."""
    lines = [",".join(["handle", "phone", *YES])]
    for n in range(PEOPLE):
        if without is None or n not in without:
            own = {**YES, **(changed or {}).get(n, {})}
            lines.append(",".join([own.pop("handle", handle.format(n=n)), f"139{n:08d}", *own.values()]))
    path = folder / "users.csv"
    path.write_text("\n".join(lines), "utf-8")
    (folder / "mapping.toml").write_text(MAPPING)
    return path


def bring(home: Home, folder: Path, *args: Any, **given: Any) -> None:
    """Import them as the dataset's next version."""
    path = people(folder, *args, **given)
    import_source(home, Wish(USERS, str(path), mapping=str(folder / "mapping.toml"), everything=True))


def contract(homes: dict[str, Home], **activation: Any) -> Contract:
    """Of two owners and an operator, with noise, and an activation of three channels."""
    tier, _ = draft.column("crm", "tier", "category", draft.Cells(("gold", "silver")))
    now = DAY.replace(microsecond=0).astimezone(dt.UTC)
    spend = Column("spend", "amount", high=1000, unit="0.01")
    term = Activation(**{"receiver": "platform", "channels": ("message", "coupon", "fan-group"), **activation})
    return Contract(
        ROOM,
        (party(homes["merchant"], "merchant"), party(homes["platform"], "platform"),
         party(homes["operator"], "operator")),
        (Dataset("crm", "merchant", "phone", "cn-mobile/1", 5_000, (replace(tier, members=True),)),
         Dataset(USERS, "platform", "phone", "cn-mobile/1", 5_000, (spend,))),
        Match("keyed", "crm", USERS, "operator", "platform"),
        ReleaseRules(("merchant", "platform"), noise="gaussian", sigma=20, epsilon=10),
        ("overlap", "advertising"),
        (now - dt.timedelta(days=1)).isoformat(),
        (now + dt.timedelta(days=60)).isoformat(),
        activation=term,
    )  # fmt: skip


def sign(homes: dict[str, Home], terms: Contract) -> None:
    """The room in the platform's home, signed by all; an earlier state of it is gone."""
    tier = draft.column("crm", "tier", "category", draft.Cells(("gold", "silver")))
    signed = SignedContract(replace(terms, datasets=(
        replace(terms.datasets[0], columns=(replace(tier[0], members=True),)), terms.datasets[1])))  # fmt: skip
    for home in homes.values():
        signed = signed.sign(home.party, home.keys)
    home = homes["platform"]
    (home.rooms / ROOM / "room.json").unlink(missing_ok=True)
    Rooms(home.rooms).save(Room(signed, (tier[1],)))


def new(folder: Path, **activation: Any) -> Home:
    """The platform's home, its people in, the room signed."""
    homes = {name: new_home(folder / name, name) for name in ("merchant", "platform", "operator")}
    sign(homes, contract(homes, **activation))
    bring(homes["platform"], folder)
    return homes["platform"]


def note(code: str = "C1", version: str = VERSION, channel: str = "message", days: int = 30,
         purpose: str = "advertising") -> CrowdNote:  # fmt: skip
    """A crowd's note that ends so many days from today."""
    return CrowdNote(code, version, "老客召回", channel, purpose, (DAY.date() + dt.timedelta(days=days)).isoformat())


def rows(*parts: range) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Rows of these people in a dataset of all."""
    return np.concatenate([np.arange(part.start, part.stop) for part in parts]).astype(np.int64)
