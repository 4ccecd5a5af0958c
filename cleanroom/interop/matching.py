"""Three-key matching step by step, over files, at a publisher and an advertiser that each run this program or another.

    share, accept    the shared key, from the publisher to the advertiser
    listed           each side: its own people under the shared key and its own        → the other side
    crossed          each side: the other's list under its own key too, in new order   → the other side, and kept
    matched          each side: what came back of its own list beside what it made of the other's: how many percent are
                     shared; the advertiser moreover: the publisher's identifiers of shared people, for its DSP
    identifiers      the publisher: the identifier of each of its own people, for its bid requests
Phones, their hashes and keys never leave. The lists go between the two clean rooms only; a percentage is whole, and
above 85 not told; nothing is told of fewer than the contract's k people (PAIR 1.1, requirements of a clean room).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.activation import people
from cleanroom.answer.side import Side
from cleanroom.enclave.query import Query
from cleanroom.errors import Refused, UsageError
from cleanroom.files import replacing
from cleanroom.home import Home
from cleanroom.interop import bodies, headers, lists, three_keys
from cleanroom.interop.lists import List
from cleanroom.interop.three_keys import ADVERTISER, PUBLISHER, Setting
from cleanroom.keys import SecretAccess
from cleanroom.ledger.opening import open_ledger
from cleanroom.rooms.identities import as_agreed
from cleanroom.rooms.store import Rooms
from protocols.psi import three_key
from protocols.rows import Bytes

MOST_PERCENT = 85
IDENTIFIERS = "cleanroom-publisher-identifiers/1"
"""The advertiser's file for its DSP: an identifier a line, Base64 (RFC 4648, section 4), and a header beside it."""
TABLE = pa.schema([("user", pa.string()), ("publisher_identifier", pa.string())])


def listed(path: Path, room: str, file: Path) -> dict[str, Any]:
    """Write this side's list, for the other."""
    place = _place(path, room)
    headers.check_new(file)
    shared, own = three_keys.shared_key(place), three_keys.own_key(place)
    elements = three_key.listed(three_key.identifiers(shared.secret, own.secret, _digests(place)))
    made = List(place.role, {"shared_key": shared.id, f"{place.role}_key": own.id}, elements)
    return _recorded(place, "list", lists.write(place, file, made))


def crossed(path: Path, room: str, theirs: Path, file: Path) -> dict[str, Any]:
    """Put this side's key on the other's list and write that, in an order that tells nothing of it."""
    place = _place(path, room)
    headers.check_new(file)
    given = lists.read(place, theirs, of=place.other_role, by=place.other_role, whole=False)
    three_keys.shared_key(place, given.keys["shared_key"])
    own = three_keys.own_key(place)
    elements = three_key.listed(lists.multiplied(own.secret, given.elements, theirs))
    made = List(given.of, {**given.keys, f"{place.role}_key": own.id}, elements)
    return _recorded(place, "cross", lists.write(place, file, made))


def matched(path: Path, room: str, returned: Path, made: Path, file: Path | None = None) -> dict[str, Any]:
    """What is shared. returned: of this side's people, from the other; made: of the other's, by this side; file: where
    the advertiser wants the publisher's identifiers. Raises Refused where fewer than k are shared and a file is asked
    for, or where the lists are not of the same keys."""
    place = _place(path, room)
    if file is not None:
        _check_file(place, file)
    ours = lists.read(place, returned, of=place.role, by=place.other_role, whole=True)
    theirs = lists.read(place, made, of=place.other_role, by=place.role, whole=True)
    if ours.keys != theirs.keys:
        raise Refused("The two lists were not made with the same three keys.", "Both sides make their lists anew.")
    lists.check_elements(ours.elements, returned)
    found = three_key.shared_of(theirs.elements, ours.elements)
    told = {"room": room, "role": place.role, **rate(len(found), len(ours.elements), place.contract.release.k)}
    if file is not None:
        told |= _identified(place, theirs, found, file)
    _record(place, "match", headers.read(returned, lists.FORMAT, three_key.SUITE, lists.MORE)["sha256"])
    return told


def identifiers(path: Path, room: str, file: Path) -> dict[str, Any]:
    """The publisher's: its own reference to each of its users beside the publisher identifier, as .parquet."""
    place = _place(path, room)
    if place.role != PUBLISHER:
        raise Refused("Only the publisher has identifiers of all its people.")
    if file.suffix.lower() != ".parquet":
        raise UsageError("{name} is not .parquet.", "It is a table for programs.", name=file.name)
    headers.check_new(file)
    _digests(place)
    shared, own = three_keys.shared_key(place), three_keys.own_key(place)
    rows = _write_table(place, file, shared.secret, own.secret)
    return {"room": room, "file": str(file), "rows": rows, "shared_key": shared.id, "publisher_key": own.id}


def rate(found: int, people_of_list: int, k: int) -> dict[str, Any]:
    """How many percent of this side's list are shared: whole; above 85 only that; of fewer than k people nothing."""
    percent = min(100 * found // people_of_list, MOST_PERCENT)
    withheld = found < k
    return {"rows": people_of_list, "withheld": withheld, "percent": None if withheld else percent,
            "above": not withheld and 100 * found > MOST_PERCENT * people_of_list}  # fmt: skip


def _place(path: Path, room: str) -> Setting:
    return three_keys.setting(Home.open(path.expanduser()), room)


def _digests(place: Setting) -> Bytes:
    """This party's people, as the contract knows them. Raises Refused for MD5, which no other tool of PAIR has."""
    side = Side(place.home, Rooms(place.home.rooms).load(place.contract.room), Query(), {}, None, lambda *_: None)
    as_agreed(side.dataset, side.manifest.meta)
    digests = side.digests()
    if digests.shape[1] != three_key.DIGEST_BYTES:
        raise Refused("Three keys match SHA-256 digests, and the dataset {dataset} has MD5.", dataset=side.dataset.name)
    return digests


def _check_file(place: Setting, file: Path) -> None:
    if place.role != ADVERTISER:
        raise Refused("Only the advertiser gets identifiers of shared people.", "Leave the file out.")
    if file.suffix.lower() != ".csv":
        raise UsageError("{name} is not .csv.", "Identifiers are written one a line.", name=file.name)
    headers.check_new(file)


def _identified(place: Setting, theirs: List, found: Bytes, file: Path) -> dict[str, Any]:
    k = place.contract.release.k
    if len(found) < k:
        raise Refused("Fewer than {k} people are shared: nothing of them is written.", k=k)
    own = three_keys.own_key(place, theirs.keys["advertiser_key"])
    elements = three_key.listed(three_key.without(own.secret, found))
    bodies.write(file, lists.LAYOUT, elements)
    kept = {"room": place.contract.room, "contract": place.contract.digest(), "shared_key": theirs.keys["shared_key"],
            "publisher_key": theirs.keys["publisher_key"]}  # fmt: skip
    headers.write(place.home, file, IDENTIFIERS, three_key.SUITE, len(elements), kept)
    return {"file": str(file)}


def _write_table(place: Setting, file: Path, shared: bytes, own: bytes) -> int:
    import pyarrow.parquet as pq

    rows = 0
    with replacing(file) as aside, pq.ParquetWriter(aside, TABLE) as writer:
        for batch in _table(place, shared, own):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _table(place: Setting, shared: bytes, own: bytes) -> Iterator[pa.RecordBatch]:
    """In the vault's order, people without a reference left out."""
    home, dataset = place.home, place.contract.dataset_of(place.home.party).name
    access = SecretAccess("the publisher's own table of its users and their identifiers")
    count = home.vault.manifest(dataset).rows
    for start in range(0, count, three_key.BATCH):
        rows = np.arange(start, min(start + three_key.BATCH, count), dtype=np.int64)
        users = people.handles(home, dataset, rows, access)
        found = three_key.identifiers(shared, own, people.digests(home, dataset, rows))
        texts = pa.array(bodies.texts(found, "base64").view("S44").reshape(-1).astype("U44"), pa.string())
        yield pa.record_batch([users, texts], schema=TABLE).filter(users.is_valid())


def _recorded(place: Setting, step: str, header: dict[str, Any]) -> dict[str, Any]:
    _record(place, step, header["sha256"])
    return header


def _record(place: Setting, step: str, transcript: str) -> None:
    with open_ledger(place.home) as ledger:
        ledger.append("match", {
            "contract": place.contract.digest(), "protocol": lists.FORMAT, "transcript": transcript,
            "host": place.home.party, "receiver": place.peer.name, "output": step,
        })  # fmt: skip
