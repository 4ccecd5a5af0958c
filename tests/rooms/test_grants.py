"""Grants: signed, kept, listed, ended; what stands in the store and is not the party's gives nothing."""

import datetime as dt
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

import cli
from cleanroom import canonical, lang
from cleanroom.access.delegating import ended, given
from cleanroom.errors import BadData, CleanroomError, UsageError
from cleanroom.home import Home
from cleanroom.rooms import grants
from cleanroom.rooms.grants import GrantRefused, Scope

SOON = dt.timedelta(days=30)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home", "merchant")


def key() -> str:
    return Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def stored(home: Home) -> dict[str, list[dict[str, object]]]:
    return dict(json.loads((home.path / "grants.json").read_bytes()))


def test_what_was_granted_is_listed_until_it_is_revoked(home: Home) -> None:
    ada, bob = key(), key()
    first = given(home.path, "ada", ada.upper(), Scope(("query", "query"), ("spring",)), 30)
    given(home.path, "bob", bob, Scope(("import",), ("*",)), 1)
    assert (first["number"], first["calls"], first["key"]) == (1, ("query",), ada)
    assert ended(home.path, 1)["number"] == 1
    ended(home.path, 1)
    listed = grants.listed(home.path)["grants"]
    assert [(each["number"], each["name"], each["state"]) for each in listed] == [
        (1, "ada", "revoked"), (2, "bob", "in force"),
    ]  # fmt: skip
    assert given(home.path, "eve", key(), Scope(("query",), ("spring",)), 30)["number"] == 3
    with pytest.raises(UsageError, match="no grant 4"):
        grants.revoke(home, 4)


def test_a_grant_that_ended_is_listed_as_such(home: Home) -> None:
    given(home.path, "ada", key(), Scope(("query",), ("spring",)), 1)
    held = grants.load(home)
    (grant, signature), later = held.grants[0], now() + SOON
    assert grants.state(home, grant, signature, held, now()) == "in force"
    assert grants.state(home, grant, signature, held, later) == "expired"
    assert grants.state(home, grant, "00" * 64, held, later) == "forged"


@pytest.mark.parametrize(
    "wrong",
    [
        {"calls": ("grant",)},
        {"calls": ("room.sign",)},
        {"calls": ("query", "everything")},
        {"calls": ()},
        {"rooms": ()},
        {"rooms": ("../else",)},
        {"channels": ()},
        {"channels": ("../else",)},
        {"columns": ()},
        {"columns": ("tier",)},
        {"columns": ("crm.",)},
        {"columns": ("crm.tier", "*.spend")},
        {"columns": tuple(f"crm.c{number}" for number in range(1_001))},
        {"key": "00" * 32},  # of small order
        {"key": "ab"},
        {"key": "no key"},
        {"name": ""},
        {"expires": dt.timedelta(0)},
        {"expires": dt.timedelta(days=400)},
    ],
)
def test_what_cannot_be_meant_is_not_signed(home: Home, wrong: dict[str, object]) -> None:
    asked = {"name": "ada", "key": key(), "expires": SOON, "calls": ("query",), "rooms": ("spring",), **wrong}
    expires = now() + asked.pop("expires")  # type: ignore[operator]
    with pytest.raises(CleanroomError):
        scope = Scope(**{name: asked.pop(name) for name in grants.SCOPE if name in asked})  # type: ignore[arg-type]
        grants.add(home, scope=scope, expires=expires, **asked)  # type: ignore[arg-type]
    assert grants.load(home).grants == ()


def test_a_store_that_is_not_ours_gives_nothing(home: Home, tmp_path: Path) -> None:
    ada = key()
    grants.add(home, "ada", ada, Scope(("query",), ("spring",)), now() + SOON)
    grants.revoke(home, 1)
    good, store = stored(home), home.path / "grants.json"
    spoilt: list[object] = [
        [], {}, {**good, "format": "cleanroom-grants/3"}, {**good, "grants": [5]}, {**good, "grants": [{}]},
        {**good, "grants": [{**good["grants"][0], "number": "1"}]},
        {**good, "grants": [{**good["grants"][0], "calls": "query"}]},
        {**good, "grants": [{**good["grants"][0], "calls": ["grant"]}]},
        {**good, "revocations": [{**good["revocations"][0], "signature": "00" * 64}]},
        {**good, "revocations": [{**good["revocations"][0], "number": 2}]},
    ]  # fmt: skip
    for value in spoilt:
        store.write_text(json.dumps(value))
        with pytest.raises(BadData):
            grants.check(home, bytes.fromhex(ada), "query", "spring", now())
    store.write_bytes(b"[" * 100_000)
    with pytest.raises(BadData):
        grants.load(home)
    store.unlink()
    store.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadData):
        grants.load(home)


def test_a_name_of_a_call_that_is_none_is_a_mistake_of_the_program(home: Home) -> None:
    with pytest.raises(UsageError):
        grants.check(home, bytes.fromhex(key()), "querry", "spring", now())


def test_refusals_carry_a_code_and_no_key(home: Home) -> None:
    who = key()
    with pytest.raises(GrantRefused) as refused:
        grants.check(home, bytes.fromhex(who), "query", "spring", now())
    assert refused.value.details() == {"code": "unknown"}
    assert who not in str(refused.value)
    assert refused.value.exit_code == 3


def test_a_store_of_the_first_format_is_read_and_its_grants_stay_what_they_were(home: Home) -> None:
    ada, bob = key(), key()
    times = {"created": now().isoformat(), "expires": (now() + SOON).isoformat()}
    plain = {"party": "merchant", "name": "ada", "key": ada, "calls": ["query"], "rooms": ["spring"], **times}
    signed = {**plain, "number": 1}
    signature = home.keys.sign("cleanroom/grant/1", canonical.encode(signed)).hex()
    old = {"format": "cleanroom-grants/1", "grants": [{**signed, "signature": signature}], "revocations": []}
    store = home.path / "grants.json"
    store.write_bytes(canonical.encode(old))
    grants.check(home, bytes.fromhex(ada), "query", "spring", now(), columns=("crm.tier",), channel="feed")
    grants.add(home, "bob", bob, Scope(("query",), ("spring",)), now() + SOON)  # writes the new format
    assert stored(home)["format"] == "cleanroom-grants/2"
    grants.check(home, bytes.fromhex(ada), "query", "spring", now(), columns=("crm.tier",))
    with pytest.raises(GrantRefused):
        grants.check(home, bytes.fromhex(ada), "members", "spring", now())
    grants.revoke(home, 1)
    with pytest.raises(GrantRefused):
        grants.check(home, bytes.fromhex(ada), "query", "spring", now())


def test_a_grant_that_begins_later_is_pending_till_then(home: Home) -> None:
    ada, begin = key(), now() + dt.timedelta(days=3)
    grant, signature = grants.add(home, "ada", ada, Scope(("query",), ("spring",)), now() + SOON, begin)
    assert grants.state(home, grant, signature, grants.load(home), now()) == "pending"
    with pytest.raises(GrantRefused):
        grants.check(home, bytes.fromhex(ada), "query", "spring", now())
    grants.check(home, bytes.fromhex(ada), "query", "spring", begin + dt.timedelta(hours=1))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_command(tmp_path: Path, language: str) -> None:
    home, ada = Home.create(tmp_path / "clean", "merchant"), key()
    words = ["--home", str(home.path), "--lang", language]

    def run(*asked: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.app, ["grant", *asked, *words], prog_name="cleanroom", env={"COLUMNS": "200"})
        return done.exit_code, done.output

    before = lang.current()
    try:
        assert run("list")[0] == 0
        code, said = run("add", "ada", "--key", ada, "--call", "query", "--room", "spring")
        assert (code, ada in said) == (0, True)
        grants.check(home, bytes.fromhex(ada), "query", "spring", now())
        assert "spring" in run("list")[1]
        code, said = run("revoke", "1", "--json")
        assert (code, json.loads(said)["number"]) == (0, 1)
        assert ("已撤销" if language == "zh" else "revoked") in run("list")[1]
        for days in ("0", "367", str(10**12)):
            code, said = run("add", "ada", "--key", ada, "--call", "query", "--room", "*", "--days", days, "--json")
            assert (code, json.loads(said.splitlines()[-1])["error"]["code"]) == (3, "expired")
        assert run("revoke", "7")[0] == 2
    finally:
        lang.choose(before)
