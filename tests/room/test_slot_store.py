"""Slots kept from run to run: what is encrypted again, what a peer can link, what is left on the disk."""

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanroom import datasets, files
from cleanroom.answer import side as sides
from cleanroom.answer import slot_store
from cleanroom.answer.side import Side
from cleanroom.answer.slot_store import SlotStore, forget_slots, rule_of
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.overlap.asked import Overlap
from cleanroom.rooms import paillier_keys
from cleanroom.rooms.contract import Contract, SignedContract
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.terms import Dataset, Identity, Match
from protocols.paillier import cipher, keys
from protocols.paillier.keys import PrivateKey
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

ROWS = 120
People = dict[int, tuple[str, int]]
"""Person → level and money spent."""


def people(start: int = 0) -> People:
    return {n: (("gold", "silver")[n % 2], 5 + n) for n in range(start, start + ROWS)}


def table(folder: Path, name: str, rows: People) -> str:
    phones = [str(13_900_000_000 + 7919 * person) for person in rows]
    levels, money = zip(*rows.values(), strict=True)
    return world.csv(folder / f"{name}.csv", {"phone": phones, "level": levels, "spend": money})


class Merchant:
    """A merchant's home with a room, whose slots can be encrypted without a peer."""

    def __init__(self, home: Home, room: Room, key: PrivateKey) -> None:
        self.home, self.room, self.key, self.counts = home, room, key, list[int]()
        self.store = SlotStore(home, room.contract)

    def put(self, rows: People) -> None:
        import_source(
            self.home, Wish("crm", table(self.home.path.parent, "again", rows), by=("level",), sums=("spend",))
        )

    def slots(self, rows: People | None = None) -> tuple[dict[bytes, bytes], int]:
        """Identity → ciphertexts, of the dataset or of these rows as a new version; and how many were encrypted."""
        if rows is not None:
            self.put(rows)
        self.counts.clear()
        side = self.side()
        terms = self.room.contract.slots_of("crm")
        assert terms is not None
        identities = side.digests()
        _, encrypted = side.slot_rows(terms, self.key)
        rows_of = zip(identities, encrypted, strict=True)
        return {identity.tobytes(): row.tobytes() for identity, row in rows_of}, sum(self.counts)

    def side(self) -> Side:
        return Side(self.home, self.room, Query((), ()), {}, None, lambda *_: None)

    def under(self, **terms: Any) -> "Merchant":
        """The same home in a room of other terms of the match."""
        contract = self.room.contract
        changed = dataclasses.replace(contract, match=dataclasses.replace(contract.match, **terms))
        other = Merchant(self.home, Room(SignedContract(changed), self.room.annexes), self.key)
        other.counts = self.counts
        return other


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Home], Query, PrivateKey]]:
    """Signed rooms: `keyed`, where amounts travel as slots, and `dh`, where cells do too."""
    found = {}
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(keys, "generate", functools.cache(keys.generate))  # one takes a second
    for protocol in ("keyed", "dh"):
        folder = tmp_path_factory.mktemp(protocol)
        mine, theirs = table(folder, "m", people()), table(folder, "p", people(20))
        asked = Overlap(mine, theirs, by=("merchant.level",), sums=("merchant.spend",), k=50, key_bits=2048)
        homes, _, query = world.prepare(folder, asked, protocol)
        found[protocol] = homes, query, paillier_keys.own(homes["merchant"], 2048)
    monkeypatch.undo()
    return found


Open = Callable[..., Merchant]


@pytest.fixture
def merchant(prepared: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A copy of the merchant's home in the room of a protocol. Encryption is random bytes where not `real`."""

    def opened(protocol: str, *, real: bool = False) -> Merchant:
        homes, _, key = prepared[protocol]
        shutil.copytree(homes["merchant"].path, tmp_path / protocol)
        home = Home.open(tmp_path / protocol)
        made = Merchant(home, Rooms(home.rooms).load("overlap"), key)
        encrypt = cipher.encrypt

        def counting(key: Any, plain: Any) -> Any:
            made.counts.append(len(plain))
            if real:
                return encrypt(key, plain)
            size = len(plain), plain.shape[1] // key.public.plain_width * key.public.width
            return np.frombuffer(os.urandom(size[0] * size[1]), np.uint8).reshape(size)

        monkeypatch.setattr(sides.cipher, "encrypt", counting)
        return made

    return opened


def sums_by_phe(merchant: Merchant, rows: dict[bytes, bytes]) -> tuple[list[int], int]:
    """Each cell's count, the largest first, and the sum of all amounts in minor units; opened by the library `phe`."""
    side, terms = merchant.side(), merchant.room.contract.slots_of("crm")
    assert terms is not None
    key = merchant.key
    layout = sides.cell_layout(merchant.room.contract, side.dataset, terms)
    private = key.to_phe()
    each = [np.frombuffer(row, np.uint8).reshape(-1, key.public.width) for row in rows.values()]
    plain = []
    for at in range(layout.plaintexts):
        total = 1
        for row in each:
            total = total * int.from_bytes(row[at].tobytes(), "little") % key.public.n**2
        plain.append(private.raw_decrypt(total).to_bytes(key.public.plain_width, "little"))
    opened = layout.decode(np.frombuffer(b"".join(plain), np.uint8)[None], key.public)
    return sorted(opened.counts[0].tolist(), reverse=True), sum(opened.amounts[0].ravel().tolist())


def changed(rows: People) -> People:
    """One has spent more, one is gone, one has come, and the order is another."""
    now = dict(reversed(rows.items()))
    now[7] = ("silver", 99)
    del now[8]
    return {**now, 500: ("gold", 77)}


def test_a_keyed_room_encrypts_what_changed_alone(merchant: Open) -> None:
    made = merchant("keyed", real=True)
    first, count = made.slots()
    assert count == ROWS
    assert made.slots() == (first, 0)
    now, count = made.slots(changed(people()))
    assert count == 2
    assert sum(now[who] == row for who, row in first.items() if who in now) == ROWS - 2
    assert made.slots()[1] == 0
    for rows, of in ((first, people()), (now, changed(people()))):
        assert sums_by_phe(made, rows) == ([ROWS], 100 * sum(money for _, money in of.values()))


def test_who_was_gone_is_not_known_again_nor_a_row_under_another_identity(merchant: Open) -> None:
    made, rows = merchant("keyed"), people()
    first, _ = made.slots()
    assert made.slots({person: row for person, row in rows.items() if person != 8})[1] == 0
    back, count = made.slots()[0], made.slots(rows)[1]
    assert (len(back), count) == (ROWS - 1, 1)
    moved = {**{person: row for person, row in rows.items() if person != 3}, 900: rows[3]}
    third, count = made.slots(moved)
    assert count == 1
    assert len(set(third.values()) - set(first.values())) == 2  # 8, who was away, and 900


def test_two_parties_repeat_a_version_as_it_was_and_no_row_of_another(merchant: Open) -> None:
    made = merchant("dh", real=True)
    first, count = made.slots()
    assert count == ROWS
    assert made.slots() == (first, 0)
    now, count = made.slots(people())  # the same rows as a new version: what did not change is not the host's to know
    assert count == ROWS
    assert not set(now.values()) & set(first.values())
    assert made.slots() == (now, 0)
    counts, money = sums_by_phe(made, now)
    assert (counts[:3], money) == ([ROWS // 2, ROWS // 2, 0], 100 * sum(each[1] for each in people().values()))


@pytest.mark.parametrize("terms", [{"protocol": "join-sum", "output": "size"}, {"output": "size"}])
def test_where_matched_rows_are_not_for_the_receiver_no_ciphertext_is_sent_twice(
    merchant: Open, terms: dict[str, str]
) -> None:
    made = merchant("dh")
    made.slots()
    hidden = made.under(**terms)
    (first, count), (second, again) = hidden.slots(), hidden.slots()
    assert count == again == ROWS
    assert not set(first.values()) & set(second.values())
    assert not list(hidden.store.folder.glob("slots-*"))


def test_what_each_protocol_may_repeat(prepared: dict[str, Any]) -> None:
    contract: Contract = Rooms(prepared["dh"][0]["merchant"].rooms).load("overlap").contract

    def rule(**terms: Any) -> str:
        match = Match(**{**dataclasses.asdict(contract.match), **terms})
        large = tuple(dataclasses.replace(each, rows=2000) for each in contract.datasets)
        return rule_of(dataclasses.replace(contract, match=match, datasets=large))

    assert rule() == rule(protocol="vole") == rule(protocol="oprf", quota=9) == "version"
    assert rule(output="size") == rule(protocol="join-sum", output="size") == "nothing"
    mail = (Identity("email", "email-1"),)
    several: tuple[Dataset, ...] = tuple(dataclasses.replace(each, also=mail) for each in contract.datasets)
    assert rule_of(dataclasses.replace(contract, datasets=several)) == "nothing"


def test_rooms_do_not_mix_and_a_contract_takes_the_place_of_the_former(merchant: Open) -> None:
    made = merchant("dh")
    first, _ = made.slots()
    other = made.under(protocol="oprf", quota=1000)
    now, count = other.slots()
    assert count == ROWS
    assert not set(now.values()) & set(first.values())
    assert [path.name for path in made.store.folder.glob("slots-*")] == [other.store.path.name]
    shutil.copy(other.store.path, made.store.path)
    with pytest.raises(BadData, match="are damaged"):
        made.slots()


def test_whatever_byte_is_changed_is_refused_by_name(merchant: Open) -> None:
    made = merchant("keyed")
    made.slots()
    whole = made.store.path.read_bytes()
    for at in (40, 600, len(whole) // 2, len(whole) - 1):
        made.store.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BadData, match="room overlap are damaged"):
            made.slots()
    for cut in (30, 700, len(whole) - 5):
        made.store.path.write_bytes(whole[:cut])
        with pytest.raises(BadData, match="room overlap are damaged"):
            made.slots()
    made.store.path.write_bytes(b"cleanroom-slots/2\n" + whole[18:])
    with pytest.raises(BadData, match="unknown version"):
        made.slots()
    made.store.remove()
    assert made.slots()[1] == ROWS


def test_parts_of_two_files_do_not_make_one(merchant: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_store, "PART_ROWS", 40)
    made = merchant("keyed")
    made.slots()
    before = made.store.path.read_bytes()
    _, count = made.slots({**people(), 0: ("gold", 1000)})
    after = made.store.path.read_bytes()
    assert (count, len(after)) == (1, len(before))
    made.store.path.write_bytes(before[:-1000] + after[-1000:])
    with pytest.raises(BadData, match="are damaged"):
        made.slots()


def test_a_crash_leaves_what_was_kept(merchant: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_store, "PART_ROWS", 40)
    made = merchant("keyed")
    first, _ = made.slots()
    before = made.store.path.read_bytes()
    made.put(changed(people()))
    with monkeypatch.context() as patched:
        patched.setattr(files, "_sync", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(BadData, match="could not be written"):
            made.slots()
    (made.store.folder / f".{made.store.path.name}.0123").write_bytes(b"left by a power cut")
    assert made.store.path.read_bytes() == before
    now, count = made.slots()
    assert count == 2
    assert sum(row in first.values() for row in now.values()) == ROWS - 2
    assert not list(made.store.folder.glob(".slots-*"))
    assert made.store.path.stat().st_mode & 0o077 == 0


def test_an_import_encrypts_for_the_rooms_that_keep_slots(merchant: Open, tmp_path: Path) -> None:
    made, told = merchant("dh"), list[tuple[str, str, int, int]]()

    def add(name: str, rows: People) -> None:
        file = table(tmp_path, name, rows)
        datasets.add(made.home.path, file, "crm", "phone", None, None, None, None, lambda *step: told.append(step))

    add("one", people())
    assert not made.store.path.exists()  # no run has been in that room yet
    made.slots()
    add("two", changed(people()))
    assert told[-1] == ("merchant", "encrypt", ROWS, ROWS)
    assert made.slots()[1] == 0
    made.room = dataclasses.replace(made.room, annexes=None)  # a room that this home can no longer run
    Rooms(made.home.rooms).save(made.room)
    add("three", people())
    assert not made.store.path.exists()


def test_forgotten_persons_are_in_no_store(merchant: Open, tmp_path: Path) -> None:
    made = merchant("keyed")
    first, _ = made.slots()
    datasets.forget(made.home.path, table(tmp_path, "gone", {8: ("gold", 1)}), "phone", None)
    assert not list(made.store.folder.glob("*slots-*"))
    made.home = Home.open(made.home.path)
    now, _ = made.slots()
    assert len(now) == ROWS - 1
    assert not set(now.values()) & set(first.values())


def test_a_dataset_that_changes_meanwhile_is_not_kept(merchant: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    made = merchant("keyed")
    keep = SlotStore._keep

    def late(store: SlotStore, *given: Any) -> None:
        forget_slots(made.home)
        made.put({person: row for person, row in people().items() if person != 8})
        keep(store, *given)

    monkeypatch.setattr(SlotStore, "_keep", late)
    made.slots()
    assert not list(made.store.folder.glob("*slots-*"))


def test_the_disk_is_not_filled(merchant: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    made = merchant("keyed")
    made.slots()
    size = made.store.path.stat().st_size
    others = [made.home.rooms / name / "slots-0123" for name in ("old", "young")]
    for age, path in zip((2, 1), others, strict=True):
        path.parent.mkdir()
        path.write_bytes(bytes(size))
        os.utime(path, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(slot_store, "MOST_BYTES", 2 * size + 4096)
    made.slots(people(1))
    assert [path.exists() for path in (*others, made.store.path)] == [False, True, True]
    monkeypatch.setattr(slot_store, "MOST_BYTES", size // 2)
    assert made.slots(people(2))[1] == 1
    assert not made.store.path.exists()
    assert made.slots()[1] == ROWS


def test_nothing_kept_is_plain(merchant: Open) -> None:
    made = merchant("keyed")
    rows, _ = made.slots()
    content = made.store.path.read_bytes()
    for identity, row in rows.items():
        assert identity[:8] not in content
        assert row[:16] not in content


def test_a_run_after_a_change_answers_as_if_nothing_had_been_kept(prepared: dict[str, Any], tmp_path: Path) -> None:
    homes, query, key = prepared["keyed"]
    home = homes["merchant"]
    Merchant(home, Rooms(home.rooms).load("overlap"), key).slots()
    import_source(home, Wish("crm", table(tmp_path, "again", changed(people())), by=("level",), sums=("spend",)))
    ran = world.run(homes, query)
    assert not ran.failures, ran.failures
    now = {person: row for person, row in changed(people()).items() if person in people(20)}
    for segment in ran.outcomes["platform"].segments or ():
        money = [spent for level, spent in now.values() if level == segment["level"]]
        assert (segment["people"], segment["spend"]) == (len(money), sum(money))
    assert ran.outcomes["platform"].segments
