"""A1: one party's analyst, agency or key acts beyond its grant. Every role tries every call in every room."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cleanroom.access import users
from cleanroom.access.check import AccessRefused, Caller, check
from cleanroom.access.matrix import CALLS, KEY, MATRIX, ROLES
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.rooms import grants
from cleanroom.rooms.grants import EVERY, GRANT_LABEL, GrantRefused, Scope

ROOMS = ("spring", "autumn", "")
GIVEN = tuple(call for call in CALLS if KEY in MATRIX[call])
HOLDERS = {
    "analyst": (("query", "plan", "budget"), ("spring",)),
    "agency": (("draft", "query", "members", "room.change"), ("spring", "autumn")),
    "program": (("import", "forget", "jobs", "schedule"), (EVERY,)),
    "auditor": (("audit", "status"), (EVERY,)),
    "marketer": (("insight", "crowd"), ("spring",)),
    "activator": (("activate",), ("autumn",)),
    "everything": (GIVEN, (EVERY,)),
    "stranger": ((), ()),
}
"""Keys: what each may call, and in which rooms; "" is the home as a whole."""
W, A, M, P, T, U = "owner", "analyst", "marketer", "approver", "operator", "auditor"
CELLS = {
    "import": {W, A}, "draft": {W, A}, "sign": {W, P}, "query": {W, A}, "plan": {W, A, M}, "members": {W, M},
    "audit": {W, U}, "budget": {W, A, M, P, U}, "forget": {W}, "grant": {W}, "room.sign": {W, P},
    "room.change": {W, A}, "room.leave": {W}, "approve": {W, P}, "jobs": {W, A, M, P}, "schedule": {W, A},
    "peers": {W}, "users": {W}, "channels": {W, T}, "catalogue": {W, T}, "quotas": {W, T}, "usage": {W, T, U},
    "backup": {W}, "keys": {W}, "status": {W, A, M, P, T, U}, "crowd": {W, M}, "activate": {W, P},
    "insight": {W, A, M},
}  # fmt: skip
"""Users: who may make each call, written down once more, so that a slip in the product's table shows."""
NEVER = {"grant", "room.sign", "room.leave", "approve", "peers", "users", "channels", "catalogue", "quotas", "usage",
         "backup", "keys"}  # fmt: skip
"""Calls that no grant gives."""


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
    calls, rooms = HOLDERS[role]
    return grants.add(home, role, keys.public.hex(), Scope(calls, rooms), now(days))[0].number


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


@pytest.fixture(scope="module")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, str]]:
    """A home with a user of each role, and their tokens."""
    home = Home.create(tmp_path_factory.mktemp("a1") / "home", "merchant")
    tokens = {}
    for role in ROLES:
        users.add(home, role, [role], "correct horse battery")
        tokens[role] = users.issue(home, role, "test", 1)[0]
    return home, tokens


def user_code(home: Home, caller: Caller, call: str, room: str) -> str:
    try:
        check(home, caller, call, room)
    except AccessRefused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize("role", ROLES)
def test_each_user_may_do_what_the_matrix_says_and_nothing_else(
    staffed: tuple[Home, dict[str, str]], role: str
) -> None:
    home, tokens = staffed
    caller = users.authenticate(home, tokens[role])
    assert set(CELLS) == set(CALLS)
    for call in CALLS:  # every cell
        for room in ROOMS:
            assert user_code(home, caller, call, room) == ("" if role in CELLS[call] else "role"), (role, call)


def test_nobody_without_a_role_may_do_anything(staffed: tuple[Home, dict[str, str]]) -> None:
    home, _ = staffed
    forged = [Caller("user", "nobody", ROLES), Caller("user", "analyst", ()), Caller("user", "analyst", ("root",))]
    forged += [Caller("user", "", ROLES), Caller("guest", "analyst", ROLES), Caller("key", "owner", ROLES)]  # type: ignore[arg-type]
    forged += [Caller("user", "ada@id.example", roles) for roles in ((), ("root",), (KEY,), ("OWNER",))]
    for caller in forged:
        for call in CALLS:
            with pytest.raises((AccessRefused, GrantRefused)):
                check(home, caller, call, "spring")
    widened = Caller("user", "analyst", ("owner",))  # says of itself what the home does not
    assert all(user_code(home, widened, call, "spring") == "role" for call in CALLS)


def test_the_owner_at_the_home_may_do_everything_that_there_is(staffed: tuple[Home, dict[str, str]]) -> None:
    home, _ = staffed
    for call in CALLS:
        check(home, Caller("owner"), call, "")
    for call in ("", "Query", "query ", "root", KEY, "owner"):
        with pytest.raises(UsageError):
            check(home, Caller("owner"), call, "")


@pytest.mark.parametrize("role", HOLDERS)
def test_each_key_may_do_what_its_grant_says_and_nothing_else(home: Home, role: str) -> None:
    everybody = {name: Keys() for name in HOLDERS}
    for name, keys in everybody.items():
        if name != "stranger":
            granted(home, name, keys)
    calls, rooms = HOLDERS[role]
    for call in CALLS:  # every cell
        for room in ROOMS:
            may = call in calls and bool({room, EVERY} & set(rooms))
            caller = Caller("key", role, ROLES, everybody[role].public)  # roles are for users
            try:
                check(home, caller, call, room)
                found = ""
            except GrantRefused as refused:
                found = refused.code
            assert (found == "") == may, (role, call, room, found)
            assert found == "grant" or call not in NEVER


def test_the_partys_own_key_is_nobody_over_the_wire(home: Home) -> None:
    for call in CALLS:
        with pytest.raises(AccessRefused):
            check(home, Caller("key", "merchant", ROLES, home.keys.public.signing), call, "spring")


@pytest.mark.parametrize("call", sorted(NEVER))
def test_a_call_that_no_grant_gives_is_in_none(home: Home, call: str) -> None:
    with pytest.raises(GrantRefused):
        grants.add(home, "ada", Keys().public.hex(), Scope((call,), (EVERY,)), now(30))
    assert call not in GIVEN


def test_a_role_taken_away_and_a_user_removed_end_between_two_calls(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", "merchant")
    users.add(home, "ada", ["analyst", "auditor"], "correct horse battery")
    caller = users.authenticate(home, users.issue(home, "ada", "test", 1)[0])
    opened = Home.open(home.path)  # as a session holds it
    check(opened, caller, "query", "spring")
    users.set_roles(home, "ada", ["auditor", "owner"])
    assert user_code(opened, caller, "query", "spring") == "role"
    assert user_code(opened, caller, "audit", "") == ""
    assert user_code(opened, caller, "backup", "") == "role"  # new roles come with the next token check
    users.remove(home, "ada")
    assert user_code(opened, caller, "audit", "") == "role"


def test_channels_and_columns_hold_within_one_grant(home: Home) -> None:
    keys = Keys()

    def held(call: str, columns: tuple[str, ...] = (), channel: str = "") -> str:
        try:
            grants.check(home, keys.public, call, "spring", now(), columns=columns, channel=channel)
        except GrantRefused as refused:
            return refused.code
        return ""

    narrow = Scope(("query", "members"), ("spring",), ("feed",), ("crm.tier", "users.city"))
    grants.add(home, "agency", keys.public.hex(), narrow, now(30))
    assert held("query") == held("query", ("crm.tier",)) == held("query", ("users.city", "crm.tier")) == ""
    for columns in [("crm.spend",), ("crm.tier", "crm.spend"), ("tier",), ("*",), ("crm.*",), ("CRM.tier",), ("",)]:
        assert held("query", columns) == "columns"
    assert held("members", ("crm.tier",), "feed") == ""
    for channel in ("search", "*", "Feed", "feed "):
        assert held("members", ("crm.tier",), channel) == "channel"
    other = Scope(("members",), ("spring",), ("search",), ("crm.spend",))
    grants.add(home, "agency", keys.public.hex(), other, now(30))
    assert held("members", ("crm.tier",), "search") == "columns"  # two grants do not add up
    assert held("members", ("crm.tier", "crm.spend"), "feed") == "columns"
    assert held("members", ("crm.spend",), "search") == ""


@pytest.mark.parametrize("call", ["insight", "crowd", "activate"])
def test_marketers_calls_hold_by_room_column_and_channel(home: Home, call: str) -> None:
    """What such a call uses is told from its arguments in tests/access/test_marketers.py; here, what a grant covers."""
    keys = Keys()
    scope = Scope((call,), ("spring",), ("coupon",), ("crm.tier",))
    grants.add(home, "agency", keys.public.hex(), scope, now(30))
    for room, columns, channel, expected in [
        ("spring", ("crm.tier",), "coupon", ""), ("autumn", ("crm.tier",), "coupon", "room"),
        ("spring", ("crm.tier", "users.city"), "coupon", "columns"), ("spring", ("crm.tier",), "message", "channel"),
    ]:  # fmt: skip
        found = ""
        try:
            grants.check(home, keys.public, call, room, now(), columns=columns, channel=channel)
        except GrantRefused as refused:
            found = refused.code
        assert found == expected


def test_why_a_call_is_refused(home: Home) -> None:
    keys = Keys()
    number = granted(home, "analyst", keys)
    assert code(home, keys.public, "query", "spring") == ""
    assert code(home, keys.public, "query", "autumn") == "room"
    assert code(home, keys.public, "query", "") == "room"
    assert code(home, keys.public, "query", EVERY) == "room"
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
    grants.add(home, "ada", keys.public.hex(), Scope(("query",), ("spring",)), now(30))
    grants.add(home, "ada", keys.public.hex(), Scope(("members",), ("autumn",)), now(30))
    assert code(home, keys.public, "members", "spring") == "room"
    assert code(home, keys.public, "query", "autumn") == "room"
    assert code(home, keys.public, "plan", "spring") == "call"


@pytest.mark.parametrize(
    "change",
    [
        {"calls": list(GIVEN)},
        {"rooms": ["spring", "autumn"]},
        {"rooms": [EVERY]},
        {"channels": ["feed"]},
        {"columns": ["crm.tier"]},
        {"version": 1},  # the first had neither channels nor columns
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
    for call in GIVEN:
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
        grants.add(home, "ada", analyst.public.hex(), Scope(("grant",), (EVERY,)), now(30))
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
