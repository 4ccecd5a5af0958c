"""A provider's key acts for a merchant: within its grant, once a request, and only as long as the grant stands."""

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cleanroom import canonical
from cleanroom.access import acting, users
from cleanroom.access.acting import Acting, check_again, request, verified
from cleanroom.access.check import Caller, check
from cleanroom.errors import CleanroomError, UsageError
from cleanroom.home import Home
from cleanroom.node.state import State
from cleanroom.rooms import grants, templates
from cleanroom.rooms.grants import EVERY, GrantRefused, Scope
from tests.access import world
from tests.rooms.test_templates import TOML, save

SQL = "SELECT tier, COUNT(*) FROM matched WHERE city = '一线' GROUP BY tier"
COLUMNS = ("crm.tier", "users.city")
QUERY = {"sql": SQL}


def now(**later: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(**later)


@dataclasses.dataclass
class Two:
    merchant: Home
    agency: Home
    state: State

    def let_in(self, body: object, at: dt.datetime | None = None) -> Acting:
        return verified(self.merchant, self.state, body, at or now())

    def code(self, body: object, at: dt.datetime | None = None) -> str:
        """'' where it is let in, else the error's code."""
        try:
            self.let_in(body, at)
        except CleanroomError as error:
            return str(error.details()["code"])
        return ""

    def grant(self, *calls: str, rooms: tuple[str, ...] = ("spring",), columns: tuple[str, ...] = (EVERY,),
              channels: tuple[str, ...] = (EVERY,)) -> int:  # fmt: skip
        scope = Scope(calls, rooms, channels, columns)
        return grants.add(self.merchant, "agency", self.agency.keys.public.signing.hex(), scope, now(days=30))[0].number

    def ask(
        self, call: str = "query", room: str = "spring", arguments: dict[str, Any] | None = None, **more: Any
    ) -> Any:
        return request(self.agency, "merchant", call, room, QUERY if arguments is None else arguments, **more)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    merchant, agency = world.home(tmp_path, "merchant"), world.home(tmp_path, "agency")
    save({"merchant": merchant, **{name: world.home(tmp_path, name) for name in ("platform", "operator")}}, "free")
    world.pinned(merchant, agency)
    with State.open(merchant) as state:
        yield Two(merchant, agency, state)


def test_a_request_within_the_grant_is_let_in_and_names_both(two: Two) -> None:
    two.grant("query", columns=COLUMNS)
    found = two.let_in(body := two.ask())
    assert (found.call, found.room, found.arguments, found.columns) == ("query", "spring", QUERY, COLUMNS)
    assert found.caller == Caller("key", "agency", key=two.agency.keys.public.signing)
    assert found.id == body["id"]
    assert found.asked_by("merchant") == ("merchant", "agency")


def test_a_request_is_let_in_once(two: Two) -> None:
    two.grant("query")
    body = two.ask()
    assert [two.code(body), two.code(body), two.code(dict(body))] == ["", "replay", "replay"]
    two.state.close()
    with State.open(two.merchant) as again:  # after a restart too
        two.state = again
        assert two.code(body) == "replay"
        assert two.code({**body, "id": body["id"][::-1]}) == "data"  # the signature is over the id
        assert two.code(two.ask()) == ""


def test_an_import_for_a_room_is_of_its_dataset_and_asks_no_more_than_a_query_may(two: Two) -> None:
    def imported(dataset: str, room: str = "spring") -> str:
        return two.code(two.ask("import", room, {"dataset": dataset, "source": "new.csv"}))

    two.grant("import")
    assert imported("crm") == "call"  # it ends in a match, which is charged: that is for who may query
    two.grant("query")
    assert imported("crm") == ""
    assert imported("payroll") == "room"  # of no room: the whole home's
    assert imported("crm", "") == "room"
    two.grant("import", rooms=(EVERY,))
    assert [imported("payroll"), imported("crm", "")] == ["", ""]


def test_a_ledger_is_about_all_rooms(two: Two) -> None:
    two.grant("audit")
    assert two.code(two.ask("audit", arguments={})) == "room"
    two.grant("audit", rooms=(EVERY,))
    assert two.code(two.ask("audit", arguments={})) == ""


def test_what_was_asked_for_is_checked_again_when_it_begins(two: Two) -> None:
    number = two.grant("query", columns=COLUMNS)
    users.add(two.merchant, "ann", ["analyst"], "correct horse battery")

    def again(who: str, call: str = "query", arguments: Any = QUERY) -> str:
        try:
            check_again(two.merchant, who, call, "spring", arguments)
        except CleanroomError as error:
            return str(error.details()["code"])
        return ""

    assert [again(who) for who in ("merchant", "agency", "ann", "eve@idp.example", "nobody")] == [
        "",
        "",
        "",
        "",
        "unknown",
    ]
    assert again("agency", arguments={}) == "columns"
    assert again("agency", "import", {"dataset": "crm"}) == "call"
    grants.revoke(two.merchant, number)
    users.set_roles(two.merchant, "ann", ["auditor"])
    assert [again("agency"), again("ann")] == ["revoked", "role"]
    users.remove(two.merchant, "ann")
    assert again("ann") == "unknown"


def test_a_peer_with_an_at_in_its_name_is_no_user_of_an_identity_provider(two: Two, tmp_path: Path) -> None:
    other = world.home(tmp_path, "agency@example")
    world.pinned(two.merchant, other)
    with pytest.raises(GrantRefused):
        check_again(two.merchant, "agency@example", "query", "spring", QUERY)


def test_of_many_at_once_one_is_let_in(two: Two) -> None:
    two.grant("query")
    body, found = two.ask(), []
    threads = [threading.Thread(target=lambda: found.append(two.code(body))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["", *["replay"] * 7]


def test_a_clock_that_is_off_lets_no_old_request_in(two: Two) -> None:
    two.grant("query")
    body = two.ask()
    assert two.code(body, now(seconds=299)) == ""
    for off in (-86_400, -301, 301, 86_400):
        assert two.code(two.ask(), now(seconds=off)) == "time"
    ahead = resigned(two.agency, two.ask(), time=now(days=1).isoformat())
    assert two.code(ahead, now(days=1)) == ""  # both clocks were a day ahead, and are set back
    assert two.code(body) == "replay"


def test_a_revocation_between_two_calls_holds_at_the_second_and_for_what_was_let_in(two: Two) -> None:
    number = two.grant("query")
    acted = two.let_in(two.ask())
    check(two.merchant, acted.caller, acted.call, acted.room, columns=acted.columns)
    grants.revoke(two.merchant, number)
    assert two.code(two.ask()) == "revoked"
    with pytest.raises(GrantRefused):  # as the node asks again when the job begins
        check(two.merchant, acted.caller, acted.call, acted.room, columns=acted.columns)


@pytest.mark.parametrize(
    ("call", "room", "arguments", "code"),
    [
        ("query", "autumn", QUERY, "room"),
        ("query", "", QUERY, "room"),
        ("query", "*", QUERY, "room"),
        ("query", "../merchant/rooms/spring", QUERY, "room"),
        ("members", "spring", QUERY, "call"),
        ("plan", "spring", {}, "columns"),  # a plan uses all columns of its room
        ("query", "spring", {}, "columns"),  # what cannot be told uses all
        ("query", "spring", {"sql": "SELECT tier, SUM(spend) FROM matched GROUP BY tier"}, "columns"),
        ("query", "spring", {"sql": "SELECT COUNT(*) FROM matched WHERE visits >= 31"}, "columns"),
        ("query", "spring", {"sql": "SELECT tier, COUNT(*) FROM matched GROUP BY tier"}, ""),
        ("query", "spring", {"sql": "SELECT COUNT(*) FROM matched"}, ""),
        ("query", "spring", {"sql": "SELECT tier, COUNT(*) FROM crm GROUP BY tier"}, ""),
        ("query", "spring", {"sql": "DROP TABLE matched"}, "statement"),
        ("query", "spring", {"sql": 5}, "data"),
        ("query", "spring", {"template": "tiers"}, "columns"),
        ("query", "spring", {"template": "tiers", "values": {"city": 1}}, "data"),
        ("query", "spring", {"template": ["tiers"]}, "data"),
    ],
)
def test_what_the_grant_does_not_cover_is_refused_before_anything_runs(
    two: Two, tmp_path: Path, call: str, room: str, arguments: dict[str, Any], code: str
) -> None:
    if isinstance(arguments.get("template"), str):
        signed_template(tmp_path)
    two.grant("query", "plan", columns=COLUMNS)
    found = two.code(two.ask(call, room, arguments))
    assert found == code


def signed_template(folder: Path) -> None:
    """The template, signed by both owners, at the merchant."""
    (folder / "tiers.toml").write_text(TOML, "utf-8")
    sent, back = folder / "sent.json", folder / "back.json"
    templates.sign(folder / "merchant", "spring", str(folder / "tiers.toml"), sent)
    templates.sign(folder / "platform", "spring", str(sent), back)
    templates.add(folder / "merchant", "spring", back)


@pytest.mark.parametrize("call", ["grant", "room.sign", "room.leave", "approve", "users", "peers", "backup", "keys"])
def test_what_no_grant_gives_is_not_even_asked_and_refused_if_it_is(two: Two, call: str) -> None:
    two.grant(*grants.GRANTABLE, rooms=(EVERY,))
    with pytest.raises(UsageError):
        two.ask(call, "")
    body = resigned(two.agency, two.ask("status", ""), call=call)
    assert two.code(body) == "grant"
    assert two.code(resigned(two.agency, two.ask("status", ""), call="root")) == "unknown"


def test_a_channel_outside_the_grant_is_refused(two: Two) -> None:
    two.grant("members", channels=("feed",))
    assert two.code(two.ask("members", channel="feed")) == ""
    assert two.code(two.ask("members", channel="search")) == "channel"


def test_a_request_for_one_merchant_is_none_for_another(two: Two, tmp_path: Path) -> None:
    """Of two merchants of one agency, the first forwards what the agency asked of it."""
    other = world.home(tmp_path, "rival")
    grants.add(other, "agency", two.agency.keys.public.signing.hex(), Scope(("query",), (EVERY,)), now(days=30))
    two.grant("query")
    body = two.ask()
    with State.open(other) as state, pytest.raises(CleanroomError) as refused:
        verified(other, state, body, now())
    assert refused.value.details() == {"code": "unknown"}
    forged = {**body, "to": other.keys.public.signing.hex()}
    with State.open(other) as state, pytest.raises(CleanroomError) as refused:
        verified(other, state, forged, now())
    assert refused.value.details() == {"code": "data"}  # the signature is over it


def test_strangers_and_the_merchants_own_key_are_refused(two: Two) -> None:
    two.grant("query")
    stranger = Ed25519PrivateKey.generate()
    body = two.ask()
    body = {**body, "key": stranger.public_key().public_bytes_raw().hex()}
    assert two.code(body) == "data"  # the agency's signature under another's key
    label = acting.LABEL.encode()
    message = canonical.encode({name: each for name, each in body.items() if name != "signature"})
    signed = stranger.sign(len(label).to_bytes(2, "big") + label + message).hex()
    assert two.code({**body, "signature": signed}) == "unknown"
    assert two.code(resigned(two.merchant, body, key=two.merchant.keys.public.signing.hex())) == "unknown"
    small = "01" + "00" * 31  # of small order: one signature fits every message
    assert two.code({**body, "key": small, "signature": small + "00" * 32}) == "data"


def resigned(home: Home, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The request with changes, signed by this home."""
    changed = {**{name: each for name, each in body.items() if name != "signature"}, **changes}
    return {**changed, "signature": home.keys.sign(acting.LABEL, canonical.encode(changed)).hex()}


DAMAGE: list[Callable[[dict[str, Any]], object]] = [
    lambda body: None,
    lambda body: [],
    lambda body: "request",
    lambda body: {},
    lambda body: {**body, "format": "cleanroom-act/2"},
    lambda body: {**body, "more": ""},
    lambda body: {name: each for name, each in body.items() if name != "channel"},
    lambda body: {**body, "arguments": {"sql": 1.5}},
    lambda body: {**body, "arguments": []},
    lambda body: {**body, "arguments": {"sql": "\ud800"}},
    lambda body: {**body, "arguments": {"sql": "x" * (acting.MOST_BYTES + 1)}},
    lambda body: {**body, "arguments": {"sql": "SELECT 1"}},
    lambda body: {**body, "time": "yesterday"},
    lambda body: {**body, "time": "2026-01-01T00:00:00"},
    lambda body: {**body, "id": "1"},
    lambda body: {**body, "id": "Z" * 32},
    lambda body: {**body, "id": 5},
    lambda body: {**body, "key": "00" * 32},
    lambda body: {**body, "key": body["key"].upper()},
    lambda body: {**body, "signature": "00" * 64},
    lambda body: {**body, "signature": ""},
    lambda body: {**body, "signature": f"{int(body['signature'], 16) ^ 1:0128x}"},
    lambda body: {**body, "room": "autumn"},
    lambda body: {**body, "call": "members"},
    lambda body: {**body, "room": "x" * 2_000},
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_in_its_form_or_was_changed_is_refused_by_name(
    two: Two, damage: Callable[[dict[str, Any]], object]
) -> None:
    two.grant(*grants.GRANTABLE, rooms=(EVERY,))
    assert two.code(damage(two.ask())) == "data"


def test_a_nest_of_lists_is_refused_and_no_crash(two: Two) -> None:
    two.grant("query")
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    assert two.code({**two.ask(), "arguments": {"sql": nest}}) == "data"


def test_arguments_that_cannot_be_signed_are_the_askers_mistake(two: Two) -> None:
    for wrong in ({"within": 0.5}, {"sql": "x" * acting.MOST_BYTES}, {"rows": b"1"}):
        with pytest.raises(UsageError):
            two.ask(arguments=wrong)
    with pytest.raises(UsageError):
        request(two.agency, "nobody", "query", "spring", QUERY)


def test_old_requests_are_forgotten_in_time(two: Two) -> None:
    two.grant("query")
    body = two.ask()
    two.let_in(body)
    later = resigned(two.agency, two.ask(), time=now(days=8).isoformat())
    two.let_in(later, now(days=8))
    with two.state.transaction() as database:
        assert [row[0] for row in database.execute("SELECT id FROM acts")] == [later["id"]]
    assert two.code(body, now(days=8)) == "time"
