"""Local accounts: who gets in, with what, and for how long; what stands on the disk helps nobody."""

import datetime as dt
import hashlib
import json
import shutil
import threading
from pathlib import Path

import pytest

from cleanroom.access import passwords, store, users
from cleanroom.access.check import AccessRefused, Caller, check
from cleanroom.access.matrix import ROLES
from cleanroom.access.users import TooManyAttempts
from cleanroom.errors import BadData, CleanroomError, UsageError
from cleanroom.home import Home

SECRET = "correct horse battery"
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a user, whose password takes a while to hash."""
    home = Home.create(tmp_path_factory.mktemp("made") / "home", "merchant")
    users.add(home, "ada", ["analyst", "auditor"], SECRET)
    return home.path


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    return Home.open(Path(shutil.copytree(made, tmp_path / "home")))


def code(home: Home, token: str, now: dt.datetime | None = None) -> str:
    try:
        users.authenticate(home, token, now=now)
    except AccessRefused as refused:
        return refused.code
    return ""


def test_a_login_gives_a_session_with_the_users_roles(home: Home) -> None:
    token = users.login(home, "ada", SECRET, now=NOW)
    assert token.startswith("cln_")
    assert users.authenticate(home, token, now=NOW) == Caller("user", "ada", ("analyst", "auditor"))
    assert code(home, token, NOW + dt.timedelta(hours=11, minutes=59)) == ""
    assert code(home, token, NOW + dt.timedelta(hours=12)) == "token"


def test_a_password_is_the_same_however_the_keyboard_composed_it(home: Home) -> None:
    users.add(home, "zoë", ["analyst"], "señor niño 密码很长")
    assert users.login(home, "zoe\u0308", "sen\u0303or nin\u0303o 密码很长")


@pytest.mark.parametrize(("name", "password"), [("ada", SECRET + "x"), ("ada", ""), ("eve", SECRET), ("", ""),
                                                ("ada", "x" * 2_000), ("Ada", SECRET)])  # fmt: skip
def test_a_wrong_name_and_a_wrong_password_are_refused_alike(home: Home, name: str, password: str) -> None:
    with pytest.raises(AccessRefused) as refused:
        users.login(home, name, password)
    assert (refused.value.code, refused.value.params) == ("login", {})


def test_a_guess_at_a_name_costs_what_a_guess_at_a_password_costs(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """By construction: both verify one Argon2id hash of the same parameters."""
    seen: list[str] = []
    monkeypatch.setattr(passwords, "fits", lambda kept, password: seen.append(kept) or False)
    for name in ("ada", "nobody"):
        with pytest.raises(AccessRefused):
            users.login(home, name, SECRET)
    assert len(seen) == 2
    assert [kept.rsplit("$", 2)[0] for kept in seen] == ["$argon2id$v=19$m=65536,t=3,p=4"] * 2


def test_guessing_waits_longer_and_longer_for_any_name(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "fits", lambda kept, password: password == SECRET)

    def waits(name: str) -> list[int]:
        found, moment = [], NOW
        for _ in range(20):
            try:
                users.login(home, name, "wrong", now=moment)
            except TooManyAttempts as refused:
                found.append(int(str(refused.params["seconds"])))
                moment += dt.timedelta(seconds=found[-1])
            except AccessRefused:
                found.append(0)
        return found

    known = waits("ada")
    assert known == waits("nobody")
    assert known[:10] == [0, 0, 0, 0, 0, 1, 0, 2, 0, 4]
    later = NOW + dt.timedelta(hours=1)
    for _ in range(40):
        with pytest.raises((TooManyAttempts, AccessRefused)):
            users.login(home, "ada", "wrong", now=later)
        later += dt.timedelta(seconds=1)
    with pytest.raises(TooManyAttempts) as waiting:
        users.login(home, "ada", SECRET, now=later)  # also with the right one
    assert 0 < int(str(waiting.value.params["seconds"])) <= 900
    later += dt.timedelta(seconds=900)
    assert users.login(home, "ada", SECRET, now=later)  # which ends the count
    for _ in range(4):
        with pytest.raises(AccessRefused):
            users.login(home, "ada", "wrong", now=later)
    assert users.login(home, "ada", SECRET, now=later - dt.timedelta(days=1))  # a clock set back locks nobody out


def test_many_guesses_at_once_are_not_more_than_one_by_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(passwords, "fits", lambda kept, password: looked.append(password) or False)

    def guess(number: int) -> None:
        with pytest.raises((AccessRefused, TooManyAttempts)):
            users.login(home, "ada", f"guess {number}", now=NOW)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looked) == users.FREE_ATTEMPTS


def test_tokens_end_when_they_are_revoked_expire_or_their_user_goes(home: Home) -> None:
    first, kept = users.issue(home, "ada", "nightly", 2, now=NOW)
    second, _ = users.issue(home, "ada", "weekly", 9, now=NOW)
    assert (code(home, first, NOW), code(home, first, NOW + dt.timedelta(days=2))) == ("", "token")
    users.revoke(home, kept.id)
    assert (code(home, first, NOW), code(home, second, NOW)) == ("token", "")
    users.remove(home, "ada")
    assert code(home, second, NOW) == "token"
    users.add(home, "ada", ["owner"], SECRET)
    assert code(home, second, NOW) == "token"  # another ada
    with pytest.raises(UsageError):
        users.revoke(home, kept.id)


def test_a_new_password_ends_sessions_and_leaves_programs_running(home: Home) -> None:
    session, (program, _) = users.login(home, "ada", SECRET), users.issue(home, "ada", "nightly", 2)
    users.set_password(home, "ada", "another horse battery")
    assert (code(home, session), code(home, program)) == ("token", "")
    with pytest.raises(AccessRefused):
        users.login(home, "ada", SECRET)
    assert users.login(home, "ada", "another horse battery")


def test_what_stands_on_the_disk_is_no_secret_and_shows_the_last_use_by_the_hour(home: Home) -> None:
    token, _ = users.issue(home, "ada", "nightly", 2, now=NOW)
    users.authenticate(home, token, now=NOW + dt.timedelta(minutes=59))
    path = home.path / "users.json"
    text = path.read_text()
    assert token not in text
    assert SECRET not in text
    assert hashlib.sha256(token.encode()).hexdigest() in text
    assert path.stat().st_mode & 0o777 == 0o600
    assert users.listed(home.path)["tokens"][0]["used"] == "2026-05-04T12:00:00+00:00"
    assert "hash" not in json.dumps(users.listed(home.path))
    assert "digest" not in json.dumps(users.listed(home.path))


@pytest.mark.parametrize("token", ["", "cln_", "x" * 10_000, "cln_" + "A" * 43, "cln_\ud800", "\x00", "Cln_密"])
def test_what_is_no_token_is_nobodys(home: Home, token: str) -> None:
    users.issue(home, "ada", "nightly", 2)
    assert code(home, token) == "token"


def test_a_tokens_digest_or_number_is_no_token(home: Home) -> None:
    token, kept = users.issue(home, "ada", "nightly", 2)
    for said in (kept.digest, kept.id, f"cln_{kept.digest}", token.removeprefix("cln_"), token.swapcase(), token + "="):
        assert code(home, said) == "token"


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["users"][0].update(roles=["owner"]),
        lambda value: value["tokens"][0].update(user="root"),
        lambda value: value["tokens"][0].update(expires="2099-01-01T00:00:00+00:00"),
        lambda value: value["users"].append({**value["users"][0], "name": "eve"}),
        lambda value: value.update(failures=[]),
        lambda value: value.update(format="cleanroom-users/2"),
        lambda value: value.update(signature="00" * 64),
        lambda value: value.update(signature=""),
        lambda value: value.pop("signature"),
        lambda value: value.pop("users"),
    ],
)
def test_who_can_write_into_the_home_but_has_not_its_keys_makes_nobody_anything(home: Home, change: object) -> None:
    token, _ = users.issue(home, "ada", "nightly", 2)
    with pytest.raises(AccessRefused):
        users.login(home, "ada", "wrong")
    path = home.path / "users.json"
    value = json.loads(path.read_bytes())
    change(value)  # type: ignore[operator]
    path.write_text(json.dumps(value))
    with pytest.raises(BadData):
        users.authenticate(home, token)


def test_another_homes_users_are_none_here(home: Home, tmp_path: Path) -> None:
    other = Home.create(tmp_path / "other", "merchant")
    token, _ = users.issue(home, "ada", "nightly", 2)
    shutil.copy(home.path / "users.json", other.path)
    with pytest.raises(BadData):
        users.authenticate(other, token)


def test_a_damaged_file_and_a_link_are_refused(home: Home, tmp_path: Path) -> None:
    path = home.path / "users.json"
    good = path.read_bytes()
    for spoilt in (b"", b"[]", b"[" * 100_000, good[:-2], b"\xff" + good):
        path.write_bytes(spoilt)
        with pytest.raises(BadData):
            store.load(home)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadData):
        store.load(home)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "ada"}, {"name": "ADA"}, {"name": ""}, {"name": "a b"}, {"name": "eve@corp"}, {"name": "../eve"},
        {"name": "1eve"}, {"name": "e" * 65}, {"roles": []}, {"roles": ["root"]}, {"roles": ["analyst", "key"]},
        {"password": "short"}, {"password": "aaaaaaaaaaaaaaaa"}, {"password": "x" * 1025},
        {"name": "merchant"}, {"name": "Merchant"}, {"name": "verylongname", "password": "VeryLongName"},
    ],
)  # fmt: skip
def test_what_cannot_be_an_account_is_refused(home: Home, wrong: dict[str, object]) -> None:
    before = (home.path / "users.json").read_bytes()
    with pytest.raises(CleanroomError):
        users.add(home, **{"name": "eve", "roles": ["analyst"], "password": SECRET, **wrong})  # type: ignore[arg-type]
    assert (home.path / "users.json").read_bytes() == before


def test_a_hash_of_older_parameters_is_made_anew_at_the_next_login(home: Home) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(SECRET)
    user = store.load(home).user("ada")
    assert user is not None
    store.change(home, lambda held: held.with_user(store.User("ada", user.roles, weak, user.created)))
    assert users.login(home, "ada", SECRET)
    again = store.load(home).user("ada")
    assert again is not None
    assert again.hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_sessions_do_not_pile_up_and_programs_are_not_pushed_out(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "fits", lambda kept, password: True)
    monkeypatch.setattr(users, "MOST_TOKENS", 3)
    program, _ = users.issue(home, "ada", "nightly", 2)
    sessions = [users.login(home, "ada", SECRET) for _ in range(5)]
    assert [code(home, each) for each in (program, *sessions)] == ["", "token", "token", "token", "", ""]
    with pytest.raises(UsageError):
        users.issue(home, "ada", "one more", 2)


def test_a_user_of_an_identity_provider_is_not_a_local_one(home: Home) -> None:
    check(home, Caller("user", "ada@id.example", ("analyst",)), "query", "spring")
    with pytest.raises(AccessRefused):
        check(home, Caller("user", "ada@id.example", ("auditor",)), "query", "spring")
    assert set(ROLES) == {"owner", "analyst", "marketer", "approver", "operator", "auditor"}
