"""A1: one party's analyst, agency or key acts beyond its grant. Every role tries every call in every room."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cleanroom.home import Home
from cleanroom.rooms import grants
from cleanroom.rooms.grants import CALLS, EVERY_ROOM, GRANT_LABEL, GrantRefused

ROOMS = ("spring", "autumn", "")
ROLES = {
    "holder": (CALLS, ROOMS),
    "analyst": (("query", "plan", "budget"), ("spring",)),
    "agency": (("draft", "query", "members"), ("spring", "autumn")),
    "program": (("import", "forget"), (EVERY_ROOM,)),
    "auditor": (("audit",), (EVERY_ROOM,)),
    "stranger": ((), ()),
}
"""What each may call, and in which rooms; "" is the home as a whole."""


class Keys:
    """The key of an analyst or an attacker, which signs as parties do."""

    def __init__(self) -> None:
        self.secret = Ed25519PrivateKey.generate()
        self.public = self.secret.public_key().public_bytes_raw()

    def sign(self, label: str, message: bytes) -> bytes:
        return self.secret.sign(len(label).to_bytes(2, "big") + label.encode() + message)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home", "merchant")


def now(days: int = 0) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=days)


def granted(home: Home, role: str, keys: Keys, days: int = 30) -> int:
    calls, rooms = ROLES[role]
    return grants.add(home, role, keys.public.hex(), calls, rooms, now(days)).number


def code(home: Home, who: bytes, call: str, room: str, when: dt.datetime | None = None) -> str:
    """'' where the call is let through, else why it is not."""
    try:
        grants.check(home, who, call, room, when or now())
    except GrantRefused as refused:
        return refused.code
    return ""


def rewritten(home: Home, **changes: object) -> None:
    """The attacker writes to the store: the first grant with changes."""
    store = home.path / "grants.json"
    value = json.loads(store.read_bytes())
    value["grants"][0] |= changes
    store.write_text(json.dumps(value))


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_the_matrix_says_and_nothing_else(home: Home, role: str) -> None:
    everybody = {name: Keys() for name in ROLES}
    for name, keys in everybody.items():
        if name not in ("holder", "stranger"):
            granted(home, name, keys)
    who = home.keys.public.signing if role == "holder" else everybody[role].public
    calls, rooms = ROLES[role]
    let_through = {(call, room) for call in CALLS for room in ROOMS if not code(home, who, call, room)}
    assert let_through == {(call, room) for call in calls for room in ROOMS if {room, EVERY_ROOM} & set(rooms)}
    assert (
        len(let_through) == {"holder": 30, "analyst": 3, "agency": 6, "program": 6, "auditor": 3, "stranger": 0}[role]
    )


def test_why_a_call_is_refused(home: Home) -> None:
    keys = Keys()
    number = granted(home, "analyst", keys)
    assert code(home, keys.public, "query", "spring") == ""
    assert code(home, keys.public, "query", "autumn") == "room"
    assert code(home, keys.public, "query", "") == "room"
    assert code(home, keys.public, "query", EVERY_ROOM) == "room"
    assert code(home, keys.public, "members", "spring") == "call"
    assert code(home, keys.public, "grant", "spring") == "grant"
    assert code(home, keys.public, "query", "spring", now(31)) == "expired"
    assert code(home, keys.public, "query", "spring", now(-1)) == "expired"  # before it began
    assert code(home, Keys().public, "query", "spring") == "unknown"
    grants.revoke(home, number)
    assert code(home, keys.public, "query", "spring") == "revoked"


def test_a_revocation_holds_for_whoever_has_the_home_open_already(home: Home) -> None:
    keys = Keys()
    number = granted(home, "analyst", keys)
    opened = Home.open(home.path)
    assert code(opened, keys.public, "query", "spring") == ""
    grants.revoke(home, number)
    assert code(opened, keys.public, "query", "spring") == "revoked"


def test_two_grants_do_not_add_up_to_a_third(home: Home) -> None:
    keys = Keys()
    grants.add(home, "ada", keys.public.hex(), ["query"], ["spring"], now(30))
    grants.add(home, "ada", keys.public.hex(), ["members"], ["autumn"], now(30))
    assert code(home, keys.public, "members", "spring") == "room"
    assert code(home, keys.public, "query", "autumn") == "room"
    assert code(home, keys.public, "plan", "spring") == "call"


@pytest.mark.parametrize(
    "change",
    [
        {"calls": list(grants.CALLS[:-1])},
        {"rooms": ["spring", "autumn"]},
        {"rooms": [EVERY_ROOM]},
        {"expires": (dt.datetime.now(dt.UTC) + dt.timedelta(days=300)).isoformat()},
        {"number": 2},  # so that the revocation does not name it
        {"party": "platform"},
        {"signature": ""},
        {"signature": "00" * 64},
    ],
)
def test_a_grant_that_its_holder_widened_is_worth_nothing(home: Home, change: dict[str, object]) -> None:
    keys = Keys()
    granted(home, "analyst", keys)
    rewritten(home, **change)
    for call in CALLS[:-1]:
        assert code(home, keys.public, call, "spring") == "forged"


def test_a_grant_under_another_name_does_not_serve_a_stranger(home: Home) -> None:
    granted(home, "analyst", Keys())
    stranger = Keys()
    rewritten(home, key=stranger.public.hex())
    assert code(home, stranger.public, "query", "spring") == "forged"


def test_a_grant_cannot_be_handed_on(home: Home) -> None:
    """The analyst signs, with her own key, a grant of what she may do herself."""
    analyst, friend = Keys(), Keys()
    granted(home, "analyst", analyst)
    grant, _ = grants.load(home).grants[0]
    handed = grants.Grant(**{**vars(grant), "key": friend.public.hex(), "number": 2})
    rewritten(home, key=friend.public.hex(), number=2, signature=analyst.sign(GRANT_LABEL, handed.message()).hex())
    assert code(home, friend.public, "query", "spring") == "forged"
    with pytest.raises(GrantRefused) as refused:
        grants.add(home, "ada", analyst.public.hex(), ["grant"], [EVERY_ROOM], now(30))
    assert refused.value.code == "call"


def test_another_partys_grant_is_none_here(home: Home, tmp_path: Path) -> None:
    other, keys = Home.create(tmp_path / "other", "merchant"), Keys()  # of the same name even
    granted(other, "analyst", keys)
    shutil.copy(other.path / "grants.json", home.path)
    assert code(home, keys.public, "query", "spring") == "forged"
    assert code(home, other.keys.public.signing, "query", "spring") == "unknown"


def test_a_revoked_number_is_never_given_again(home: Home) -> None:
    """Or the revocation of the old would end the new, and a restored old store would revive it."""
    first, second = Keys(), Keys()
    grants.revoke(home, granted(home, "analyst", first))
    store = home.path / "grants.json"
    value = json.loads(store.read_bytes())
    store.write_text(json.dumps({**value, "grants": []}))
    assert granted(home, "analyst", second) == 2
    assert code(home, second.public, "query", "spring") == ""
    assert code(home, first.public, "query", "spring") == "unknown"
