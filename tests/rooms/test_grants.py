"""Grants: signed, kept, listed, ended; what stands in the store and is not the party's gives nothing."""

import datetime as dt
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

import cli
from cleanroom import lang
from cleanroom.errors import BadData, CleanroomError, UsageError
from cleanroom.home import Home
from cleanroom.rooms import grants
from cleanroom.rooms.grants import GrantRefused

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
    first = grants.given(home.path, "ada", ada.upper(), ["query", "query"], ["spring"], 30)
    grants.given(home.path, "bob", bob, ["import"], ["*"], 1)
    assert (first["number"], first["calls"], first["key"]) == (1, ("query",), ada)
    assert grants.ended(home.path, 1)["number"] == 1
    grants.ended(home.path, 1)
    listed = grants.listed(home.path)["grants"]
    assert [(each["number"], each["name"], each["state"]) for each in listed] == [
        (1, "ada", "revoked"), (2, "bob", "in force"),
    ]  # fmt: skip
    assert grants.given(home.path, "eve", key(), ["query"], ["spring"], 30)["number"] == 3
    with pytest.raises(UsageError, match="no grant 4"):
        grants.revoke(home, 4)


def test_a_grant_that_ended_is_listed_as_such(home: Home) -> None:
    grants.given(home.path, "ada", key(), ["query"], ["spring"], 1)
    held = grants.load(home)
    (grant, signature), later = held.grants[0], now() + SOON
    assert grants.state(home, grant, signature, held, now()) == "in force"
    assert grants.state(home, grant, signature, held, later) == "expired"
    assert grants.state(home, grant, "00" * 64, held, later) == "forged"


@pytest.mark.parametrize(
    "wrong",
    [
        {"calls": ["grant"]},
        {"calls": ["query", "everything"]},
        {"calls": []},
        {"rooms": []},
        {"rooms": ["../else"]},
        {"key": "00" * 32},  # of small order
        {"key": "ab"},
        {"key": "no key"},
        {"name": ""},
        {"expires": dt.timedelta(0)},
        {"expires": dt.timedelta(days=400)},
    ],
)
def test_what_cannot_be_meant_is_not_signed(home: Home, wrong: dict[str, object]) -> None:
    asked = {"name": "ada", "key": key(), "calls": ["query"], "rooms": ["spring"], "expires": SOON, **wrong}
    expires = now() + asked.pop("expires")  # type: ignore[operator]
    with pytest.raises(CleanroomError):
        grants.add(home, expires=expires, **asked)  # type: ignore[arg-type]
    assert grants.load(home).grants == ()


def test_a_store_that_is_not_ours_gives_nothing(home: Home, tmp_path: Path) -> None:
    ada = key()
    grants.add(home, "ada", ada, ["query"], ["spring"], now() + SOON)
    grants.revoke(home, 1)
    good, store = stored(home), home.path / "grants.json"
    spoilt: list[object] = [
        [], {}, {**good, "format": "cleanroom-grants/2"}, {**good, "grants": [5]}, {**good, "grants": [{}]},
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
