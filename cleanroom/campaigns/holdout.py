"""Arms at the party that addresses people: drawn, committed to, put beside its dataset; only then may anything be sent.

The commitment stands in the manifest of the dataset's next version, which the ledger's next entry names, and the head
of that ledger goes to the other parties with the next run: none of the three can be changed afterwards unseen. Whom
`addressed` does not name may not be sent anything in the name of the campaign.
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom import canonical
from cleanroom.campaigns import arms, columns
from cleanroom.campaigns.arms import HELD_OUT, TREATED, Members
from cleanroom.campaigns.campaign import Terms
from cleanroom.campaigns.columns import Category
from cleanroom.campaigns.store import Campaigns, Committed, Record
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.ledger.store import read
from cleanroom.rooms.store import Rooms
from cleanroom.vault.identities import Bytes
from cleanroom.vault.manifest import Manifest

ARM_LABELS = ("outside", "treated", "holdout")
"""What stands in the column arm_n: 1 + arm of members, 0 of all others."""
META = "campaigns"

Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """What starting or continuing a campaign did: people in each arm in all, by stratum, and the new commitment."""

    treated: int
    held: int
    strata: tuple[tuple[int, int], ...]
    committed: Committed | None


def start(home: Home, room: str, name: str, version: str = "", day: dt.date | None = None) -> Drawn:
    """Draw the arms of a crowd's version, commit to them, and let the campaign begin on that day (default: today).

    version: of the crowd, by default the newest that is kept; a later one brings its new people into arms. Raises
    UsageError where no members of the crowd are kept here, Refused where it is another party that addresses people.
    """
    from cleanroom.activation import memberships, people

    held = Campaigns(home, room)
    terms = held.load(name).terms
    members = memberships.load(home, room, terms.crowd, version or None)
    rows = people.rows_of(home, members.dataset, members.keys)
    return admit(home, room, name, members.dataset, rows, members.version, day)[1]


def admit(home: Home, room: str, name: str, dataset: str, rows: Rows, version: str,
          day: dt.date | None = None) -> tuple[Flags, Drawn]:  # fmt: skip
    """(which of these rows of the dataset's newest version are to be addressed, what was drawn for it).

    rows: int64, ascending. Whoever has an arm keeps it; the same again draws nothing.
    """
    store = Campaigns(home, room)
    _check_addresses(home, room)
    with store.locked():
        record = store.load(name)
        if record.closed:
            raise Refused("The campaign {name} is closed.", name=name)
        terms = record.terms
        manifest = home.vault.manifest(dataset)
        every = columns.digests(home, manifest)
        seed, before = store.arms(name) if record.starts else (arms.new_seed(), Members.none())
        groups = columns.strata(home, manifest, terms.strata)
        members, given = _admitted(terms, before, every[rows], groups[rows], seed)
        told = Drawn(*_sizes(members), _by_stratum(members), None)
        if members is before and record.starts:
            return given == TREATED, told
        store.save_arms(name, seed, members)  # first: a commitment without its seed could never be opened
        committed, made = _commit(home, record, manifest, every, seed, members, version)
        starts = record.starts or (day or _today()).isoformat()
        store.change(name, starts=starts, commitments=(*record.commitments, committed), manifest=made.plain())
    return given == TREATED, Drawn(told.treated, told.held, told.strata, committed)


def addressed(home: Home, room: str, code: str, dataset: str, rows: Rows, version: str) -> Flags:
    """bool[n]: which of these rows of the dataset's newest version may be sent something as members of that crowd.

    Without a campaign of the crowd: all. With one that holds people out, those of the treated arm; a version's new
    people are drawn and committed to first. Raises Refused where such a campaign was not started.
    """
    allowed = np.ones(len(rows), np.bool_)
    for record in Campaigns(home, room).all():
        terms = record.terms
        if terms.crowd != code or record.closed or not terms.held_out:
            continue
        if not record.starts:
            raise Refused("The campaign {name} of this crowd holds people out, and was not started.",
                          "Run: cleanroom campaign start {room} {name}", name=terms.name, room=room)  # fmt: skip
        allowed &= admit(home, room, terms.name, dataset, rows, version)[0]
    return allowed


def arm_codes(members: Members, seed: bytes, digests: Bytes) -> Category:
    """The column arm_n of all rows of a dataset, by their identity digests."""
    at, known = arms.find(members, arms.drawn(digests, seed))
    codes = np.zeros(len(digests), np.uint8)
    codes[known] = 1 + members.arms[at[known]]
    return Category(ARM_LABELS, codes)


def verify(home: Home, room: str, name: str) -> dict[str, Any]:
    """Check a campaign of this home: the arms against seed and commitment, the commitment against the ledger, and the
    column of the newest dataset against the arms.

    Raises Refused where one does not fit, UsageError where the arms are not here.
    """
    store = Campaigns(home, room)
    record = store.load(name)
    if not record.commitments or record.manifest is None:
        raise UsageError("The campaign {name} was not started here.",
                         "Arms are checked where they were drawn: at whoever addresses people.", name=name)  # fmt: skip
    seed, members = store.arms(name)
    last, terms = record.commitments[-1], record.terms
    arms.check(last.commitment, seed, terms.plain(), members, terms.share or 0.0)
    _check_recorded(home, record, last)
    dataset = record.manifest["dataset"]
    newest = home.vault.manifest(dataset)
    differ = _differing(home, newest, terms.column("arm"), arm_codes(members, seed, columns.digests(home, newest)))
    if differ:
        raise Refused("The column {column} of {count} people is not as the arms say.", "Put it there again: "
                      "cleanroom campaign collect", column=terms.column("arm"), count=differ)  # fmt: skip
    treated, held = _sizes(members)
    return {"campaign": name, "commitment": last.commitment, "made": last.made, "entry": last.entry,
            "batches": len(record.commitments), "treated": treated, "held_out": held, "verified": True}  # fmt: skip


def _admitted(terms: Terms, before: Members, digests: Bytes, groups: Rows, seed: bytes) -> tuple[Members, arms.Arms]:
    if terms.held_out:
        return arms.admitted(before, digests, terms.share, groups, seed)
    raise UsageError("The campaign {name} holds nobody out: there is nothing to draw.", name=terms.name)


def _commit(home: Home, record: Record, manifest: Manifest, digests: Bytes, seed: bytes, members: Members,
            version: str) -> tuple[Committed, Manifest]:  # fmt: skip
    """The commitment, in the dataset's next version, in the ledger."""
    terms = record.terms
    stated = arms.commitment(seed, terms.plain(), members)
    held: Any = manifest.meta.get(META, {})
    meta = {META: {**held, terms.name: {"commitment": stated, "terms": terms.digest()}}}
    arm = {terms.column("arm"): arm_codes(members, seed, digests)}
    made, entry = columns.put(home, manifest, arm, meta)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return Committed(stated, version, now, *_sizes(members), made.digest, entry), made


def _check_recorded(home: Home, record: Record, last: Committed) -> None:
    """Raises Refused unless the ledger's entry names the manifest that names the commitment."""
    manifest: Any = record.manifest
    stated = manifest["meta"].get(META, {}).get(record.terms.name, {}).get("commitment")
    digest = hashlib.sha256(canonical.encode(manifest)).hexdigest()
    entries = read(home.ledger_path).entries
    entry = next((each for each in entries if each.seq == last.entry), None)
    named = entry is not None and entry.kind == "import" and entry.body["manifest"] == last.manifest
    if stated != last.commitment or digest != last.manifest or not named:
        raise Refused("The ledger does not hold the commitment of the campaign {name}.",
                      "Do not use what was measured with it.", name=record.terms.name)  # fmt: skip


def _differing(home: Home, manifest: Manifest, name: str, wanted: Category) -> int:
    from cleanroom.matching.cells import TYPED

    if TYPED + name not in {each.name for each in manifest.columns}:
        raise Refused("The dataset {dataset} has no column {column} now.", "Put it there again: cleanroom campaign "
                      "collect", dataset=manifest.dataset, column=name)  # fmt: skip
    at = differ = 0
    for batch in home.vault.read(manifest.dataset, [TYPED + name], version=manifest.version):
        differ += batch.num_rows - int(np.sum(
            batch.column(0).cast("string").to_numpy(zero_copy_only=False)
            == wanted.array(at, batch.num_rows).to_numpy(zero_copy_only=False)
        ))  # fmt: skip
        at += batch.num_rows
    return differ


def _check_addresses(home: Home, room: str) -> None:
    """Raises Refused unless this home addresses people in that room."""
    contract = Rooms(home.rooms).load(room).contract
    receiver = contract.activation.receiver if contract.activation else contract.match.receiver
    if receiver != home.party:
        raise Refused("{party} addresses people in the room {room}, and draws the arms.", party=receiver, room=room)


def _sizes(members: Members) -> tuple[int, int]:
    held = int((members.arms == HELD_OUT).sum())
    return len(members.arms) - held, held


def _by_stratum(members: Members) -> tuple[tuple[int, int], ...]:
    """(treated, held out) of each stratum, in no order that says which."""
    groups = np.unique(members.strata, return_inverse=True)[1]
    counts = np.bincount(groups * 2 + (members.arms == HELD_OUT), minlength=2 * (int(groups.max(initial=-1)) + 1))
    return tuple((int(one), int(two)) for one, two in counts.reshape(-1, 2))


def _today() -> dt.date:
    from cleanroom.activation.memberships import today_in_china

    return today_in_china()


def recorded(home: Home, room: str, name: str, commitment: str, day: dt.date) -> Record:
    """At the other side: the campaign begins on that day, with what its partner committed to. Raises BadData."""
    if len(commitment) != 64 or set(commitment) - set("0123456789abcdef"):
        raise BadData("A commitment is 64 digits and letters from a to f.")
    store = Campaigns(home, room)
    with store.locked():
        record = store.load(name)
        if record.commitments and record.commitments[0].commitment == commitment:
            return record
        told = Committed(commitment, "", dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
        return store.change(name, starts=record.starts or day.isoformat(), commitments=(*record.commitments, told))
