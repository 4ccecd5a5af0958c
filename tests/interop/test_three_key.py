"""Three-key matching over files: each party gets the plain intersection; every wrong file is refused by name."""

import base64
import datetime as dt
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cleanroom import canonical
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.interop import bodies, headers, lists, matching, three_keys
from cleanroom.ledger import store
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Rooms
from protocols.errors import BadMessage
from protocols.psi import three_key
from tests.interop.world import MEMBERS, ROOM, SHARED, USERS, World

pytestmark = pytest.mark.xdist_group("interop")  # one worker makes the room
DOCS = Path(__file__).parents[2] / "docs" / "formats"


@dataclass(frozen=True)
class Exchange:
    """Both sides' lists, and what each made of the other's."""

    publisher: Path
    advertiser: Path
    publisher_crossed: Path
    advertiser_crossed: Path
    shared: Path


@pytest.fixture(scope="module")
def exchange(world: World, tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    folder = tmp_path_factory.mktemp("lists")
    made = Exchange(*(folder / name for name in ("p.csv", "a.parquet", "pa.parquet", "ap.csv", "shared.json")))
    platform, merchant = world.path("platform"), world.path("merchant")
    three_keys.share(three_keys.setting(world.homes["platform"], ROOM), made.shared)
    three_keys.accept(three_keys.setting(world.homes["merchant"], ROOM), made.shared)
    matching.listed(platform, ROOM, made.publisher)
    matching.listed(merchant, ROOM, made.advertiser)
    matching.crossed(merchant, ROOM, made.publisher, made.publisher_crossed)
    matching.crossed(platform, ROOM, made.advertiser, made.advertiser_crossed)
    return made


def copy(file: Path, folder: Path) -> Path:
    for each in (file, headers.header_of(file)):
        shutil.copy(each, folder / each.name)
    return folder / file.name


def signed_again(world: World, party: str, file: Path, elements: np.ndarray, **values: object) -> Path:
    """As a party would that lies in all but its signature."""
    header = json.loads(headers.header_of(file).read_text())
    file.unlink()
    bodies.write(file, lists.LAYOUT, elements)
    more = {name: header[name] for name in lists.MORE} | values
    headers.write(world.homes[party], file, lists.FORMAT, three_key.SUITE, len(elements), more)
    return file


def test_the_advertiser_gets_the_identifiers_of_shared_people_and_the_publisher_knows_who_they_are(
    world, exchange, folder
):
    told = matching.matched(world.path("merchant"), ROOM, exchange.advertiser_crossed, exchange.publisher_crossed,
                            folder / "dsp.csv")  # fmt: skip
    assert (told["percent"], told["above"], told["withheld"]) == (100 * SHARED // MEMBERS, False, False)
    matching.identifiers(world.path("platform"), ROOM, folder / "users.parquet")
    table = pq.read_table(folder / "users.parquet")
    users = dict(zip(table["publisher_identifier"].to_pylist(), table["user"].to_pylist(), strict=True))
    found = (folder / "dsp.csv").read_text().split()
    assert {users[each] for each in found} == {f"u{row}" for row in range(SHARED)}
    assert len(found) == SHARED
    assert all(len(base64.b64decode(each, validate=True)) == 32 for each in found)
    assert table.num_rows == USERS


def test_the_publisher_gets_a_percentage_and_no_identifiers(world, exchange, folder):
    told = matching.matched(world.path("platform"), ROOM, exchange.publisher_crossed, exchange.advertiser_crossed)
    assert told == {"room": ROOM, "role": "publisher", "rows": USERS, "withheld": False,
                    "percent": 100 * SHARED // USERS, "above": False}  # fmt: skip
    with pytest.raises(Refused, match="Only the advertiser"):
        matching.matched(world.path("platform"), ROOM, exchange.publisher_crossed, exchange.advertiser_crossed,
                         folder / "dsp.csv")  # fmt: skip
    with pytest.raises(Refused, match="Only the publisher"):
        matching.identifiers(world.path("merchant"), ROOM, folder / "users.parquet")


def test_no_file_holds_a_phone_a_hash_of_one_or_a_key(world, exchange):
    """Of any person of either side, in hex, base64 or bytes."""
    content = b"".join(path.read_bytes() for path in exchange.publisher.parent.iterdir())
    digests = world.homes["merchant"].vault.digests("crm")
    secrets = [
        three_keys.own_key(three_keys.setting(world.homes[party], ROOM)).secret for party in ("merchant", "platform")
    ]
    secrets.append(three_keys.shared_key(three_keys.setting(world.homes["platform"], ROOM)).secret)
    for secret in [*(row.tobytes() for row in digests[:200]), *secrets]:
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert form[:20] not in content
    assert not any(phone.encode() in content for phone in world.members[:200])


def test_a_body_is_what_other_tools_of_pair_write_and_read(world, exchange):
    """A line an element in base64 without a title, the bytes that the vectors' construction gives (see protocols)."""
    platform = three_keys.setting(world.homes["platform"], ROOM)
    shared, own = three_keys.shared_key(platform), three_keys.own_key(platform)
    digests = world.homes["platform"].vault.digests("users")
    expected = three_key.listed(three_key.identifiers(shared.secret, own.secret, digests))
    lines = exchange.publisher.read_bytes().splitlines()
    assert [base64.b64decode(line) for line in lines] == [row.tobytes() for row in expected]


def test_every_step_stands_in_the_ledger(world, exchange):
    entries = store.read(world.homes["platform"].ledger_path).entries
    steps = {entry.body["output"] for entry in entries if entry.body.get("protocol") == lists.FORMAT}
    assert steps >= {"list", "cross"}


# -- wrong files


@pytest.mark.parametrize("row", [b"\0" * 32, b"\x01" + b"\0" * 31, b"\xff" * 32], ids=lambda row: row.hex()[:2])
def test_what_is_no_element_is_refused_with_its_row(world, exchange, folder, row):
    """Zero, an encoding of a point of small order, a number above the field."""
    kept = bodies.whole(exchange.publisher, lists.LAYOUT, USERS)[1:]
    ordered = sorted([*map(bytes, kept), row])
    elements = np.frombuffer(b"".join(ordered), np.uint8).reshape(-1, 32)
    file = signed_again(world, "platform", copy(exchange.publisher, folder), elements)
    with pytest.raises(BadData, match=f"Row {ordered.index(row) + 1} of p.csv is no element"):
        matching.crossed(world.path("merchant"), ROOM, file, folder / "crossed.csv")
    assert not (folder / "crossed.csv").exists()


def test_an_element_that_is_no_element_among_returned_ones_is_refused(world, exchange, folder):
    elements = bodies.whole(exchange.advertiser_crossed, lists.LAYOUT, MEMBERS).copy()
    elements[-1] = 255
    file = signed_again(world, "platform", copy(exchange.advertiser_crossed, folder), elements)
    with pytest.raises(BadData, match=f"Row {MEMBERS} of ap.csv is no element"):
        matching.matched(world.path("merchant"), ROOM, file, exchange.publisher_crossed)


def test_repeated_and_unordered_elements_are_refused_with_their_row(world, exchange, folder):
    elements = bodies.whole(exchange.publisher, lists.LAYOUT, USERS)
    for wrong in (np.concatenate([elements[:5], elements[4:-1]]), elements[::-1]):
        file = signed_again(world, "platform", copy(exchange.publisher, folder), wrong)
        with pytest.raises(BadData, match=r"Row \d of p\.csv is repeated or out of order"):
            matching.crossed(world.path("merchant"), ROOM, file, folder / "crossed.csv")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"contract": "0" * 64}, "another contract"),
        ({"profile": "e164/1"}, "another identity or profile"),
        ({"of": "advertiser"}, "another list than the one that is due"),
        ({"advertiser_key": "0" * 16}, "another list than the one that is due"),
        ({"shared_key": "0" * 16}, "a key that is over"),
    ],
)  # fmt: skip
def test_a_list_of_another_setting_is_refused(world, exchange, folder, values, said):
    elements = bodies.whole(exchange.publisher, lists.LAYOUT, USERS)
    file = signed_again(world, "platform", copy(exchange.publisher, folder), elements, **values)
    with pytest.raises(CleanroomError, match=said):
        matching.crossed(world.path("merchant"), ROOM, file, folder / "crossed.csv")


def test_lists_that_are_too_short_or_longer_than_agreed_are_refused(world, exchange, folder, monkeypatch):
    elements = bodies.whole(exchange.publisher, lists.LAYOUT, USERS)
    file = signed_again(world, "platform", copy(exchange.publisher, folder), elements[:999])
    with pytest.raises(Refused, match="at least 1000 people"):
        matching.crossed(world.path("merchant"), ROOM, file, folder / "crossed.csv")
    contract = world.room.contract
    fewer = replace(contract, datasets=tuple(replace(each, rows=1_200) for each in contract.datasets))
    monkeypatch.setattr(three_keys, "setting", lambda home, room: replace(_setting(home, room), contract=fewer))
    monkeypatch.setattr(lists, "_check_meant", lambda *_: None)
    with pytest.raises(Refused, match="more people than the contract allows"):
        matching.crossed(world.path("merchant"), ROOM, exchange.publisher, folder / "crossed.csv")


_setting = three_keys.setting


def test_a_list_that_somebody_else_made_or_that_was_changed_is_refused(world, exchange, folder):
    elements = bodies.whole(exchange.publisher, lists.LAYOUT, USERS)
    file = signed_again(world, "merchant", copy(exchange.publisher, folder), elements)
    with pytest.raises(BadData, match="not made by the party"):
        matching.crossed(world.path("merchant"), ROOM, file, folder / "crossed.csv")
    file = copy(exchange.publisher, folder)
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(BadData, match="not the file that its header was made for"):
        matching.crossed(world.path("merchant"), ROOM, file, folder / "crossed.csv")


def test_steps_in_the_wrong_order_are_refused(world, exchange, folder):
    merchant = world.path("merchant")
    with pytest.raises(BadData, match="another list than the one that is due"):
        matching.crossed(merchant, ROOM, exchange.advertiser_crossed, folder / "crossed.csv")
    with pytest.raises(BadData, match="not made by the party"):
        matching.crossed(merchant, ROOM, exchange.advertiser, folder / "crossed.csv")
    with pytest.raises(CleanroomError):
        matching.matched(merchant, ROOM, exchange.advertiser, exchange.publisher_crossed)
    with pytest.raises(CleanroomError):
        matching.matched(merchant, ROOM, exchange.publisher_crossed, exchange.advertiser_crossed)


# -- keys and days


def later(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    day = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)
    monkeypatch.setattr(three_keys, "today", lambda: day)


def test_a_list_is_matched_within_30_days_and_never_after(world, exchange, folder, monkeypatch):
    later(monkeypatch, 31)
    with pytest.raises(Refused, match="older than 30 days"):
        matching.matched(world.path("merchant"), ROOM, exchange.advertiser_crossed, exchange.publisher_crossed)


def test_after_30_days_the_shared_key_is_another_and_nothing_of_the_old_identifiers_is_found(
    world, exchange, folder, monkeypatch
):
    later(monkeypatch, 30)
    with pytest.raises(Refused, match="has not come"):
        matching.listed(world.path("merchant"), ROOM, folder / "a.csv")
    with pytest.raises(Refused, match="not the one of these 30 days"):
        three_keys.accept(three_keys.setting(world.homes["merchant"], ROOM), exchange.shared)
    matching.listed(world.path("platform"), ROOM, folder / "p.csv")
    old, new = (bodies.whole(path, lists.LAYOUT, USERS) for path in (exchange.publisher, folder / "p.csv"))
    assert len(three_key.shared_of(old, new)) == 0
    with pytest.raises(Refused, match="a key that is over"):
        matching.crossed(world.path("merchant"), ROOM, folder_signed(world, folder), folder / "crossed.csv")


def folder_signed(world: World, folder: Path) -> Path:
    """The new list, as if it had been made on that later day."""
    return signed_again(world, "platform", folder / "p.csv", bodies.whole(folder / "p.csv", lists.LAYOUT, USERS))


def test_the_shared_key_opens_at_the_advertiser_of_its_contract_alone(world, exchange, folder):
    told = json.loads(exchange.shared.read_text())
    place = three_keys.setting(world.homes["merchant"], ROOM)
    assert three_keys.accept(place, exchange.shared)["key_id"] == told["key_id"]
    wrong = {"sealed": told["sealed"][:-2] + "00", "contract": "0" * 64, "format": "cleanroom-three-key-shared/2",
             "period": "1", "key_id": "0" * 16}  # fmt: skip
    for name, value in wrong.items():
        (folder / "shared.json").write_bytes(canonical.encode({**told, name: value}))
        with pytest.raises(BadData):
            three_keys.accept(place, folder / "shared.json")
    with pytest.raises(Refused, match="The publisher draws"):
        three_keys.accept(three_keys.setting(world.homes["platform"], ROOM), exchange.shared)
    with pytest.raises(Refused, match="The publisher draws"):
        three_keys.share(place, folder / "mine.json")
    with pytest.raises(UsageError, match="exists already"):
        three_keys.share(three_keys.setting(world.homes["platform"], ROOM), exchange.shared)


# -- what may be told


@pytest.mark.parametrize(
    ("found", "percent", "above", "withheld"),
    [(0, None, False, True), (99, None, False, True), (100, 10, False, False), (850, 85, False, False),
     (851, 85, True, False), (1000, 85, True, False), (459, 45, False, False)],
)  # fmt: skip
def test_a_percentage_is_whole_capped_and_withheld_for_few(found, percent, above, withheld):
    assert matching.rate(found, 1000, 100) == {"rows": 1000, "withheld": withheld, "percent": percent, "above": above}


def test_where_few_are_shared_no_identifiers_are_written(world, exchange, folder, monkeypatch):
    monkeypatch.setattr(three_key, "shared_of", lambda left, right: left[:99])
    with pytest.raises(Refused, match="Fewer than 100 people"):
        matching.matched(world.path("merchant"), ROOM, exchange.advertiser_crossed, exchange.publisher_crossed,
                         folder / "dsp.csv")  # fmt: skip
    assert not (folder / "dsp.csv").exists()


def test_a_contract_that_does_not_say_so_has_no_three_keys(world, monkeypatch):
    contract = replace(world.room.contract, purposes=("insight",))
    signed = SignedContract(contract, world.room.signed.signatures)
    monkeypatch.setattr(Rooms, "load", lambda *_: replace(world.room, signed=signed))
    monkeypatch.setattr(type(world.room), "in_force", lambda *_: contract)
    with pytest.raises(Refused, match="does not provide for three-key matching"):
        three_keys.setting(world.homes["merchant"], ROOM)


def test_the_operator_has_no_part_in_it(world):
    with pytest.raises(Refused, match="Only the two owners"):
        three_keys.setting(world.homes[world.room.contract.match.host], ROOM)


def test_the_protocol_itself_refuses_what_a_file_could_not_hold():
    with pytest.raises(BadMessage):
        three_key.multiplied(three_key.new_key(), np.zeros((1, 32), np.uint8))
