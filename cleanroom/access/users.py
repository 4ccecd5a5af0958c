"""Local accounts of one party's node: people with roles, who log in by a password and get a token. Works offline.

Only the owner of the home makes accounts. No password or token is ever an argument of a command, stands in an error, or
is kept other than hashed. Guessing is slowed for every name alike, so that nobody learns which names there are.
"""

import datetime as dt
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cleanroom.access import passwords, store
from cleanroom.access.check import AccessRefused, Caller
from cleanroom.access.matrix import ROLES
from cleanroom.access.store import Accounts, Failures, Token, User
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.peers import Peers

PREFIX = "cln_"
"""Of every token, so that scanners of leaked secrets know one."""
TOKEN_BYTES = 32
SESSION_HOURS, MOST_DAYS = 12, 366
MOST_USERS, MOST_TOKENS = 10_000, 100
"""The latter of one user."""
FREE_ATTEMPTS, MOST_WAIT = 5, 900
"""After so many failures in a row the wait doubles from one second on, up to so many seconds."""
GRACE_SECONDS = 60
"""For so long a session's token that was replaced is still good."""
_LASTING = 22
"""Signs, of 6 bits each."""
_SLOTS = 4096
_FORGET_SECONDS = 86_400
_NAME = re.compile(r"[^\W\d_][\w.-]{0,63}")


class TooManyAttempts(Refused):
    """A login that is not looked at yet."""

    code = "attempts"


def add(home: Home, name: str, roles: Iterable[str], password: str) -> User:
    """A new account. Raises UsageError for a name that is taken or cannot be one, and as `passwords.hashed`.

    Ledgers name who asked: no user is called like this party or a peer.
    """
    name = unicodedata.normalize("NFC", name)
    parties = {each.casefold() for each in (home.party, *Peers(home).names())}
    if name.casefold() in parties:
        raise UsageError("{name} is the name of a party.", "Choose another for the user.", name=name)
    if not _NAME.fullmatch(name):
        raise UsageError("This cannot name a user.", "Letters, digits, - _ and . ; at most 64; a letter first.")
    user = User(name, _roles(roles), passwords.hashed(password, name), _text(_now()))

    def made(held: Accounts) -> Accounts:
        if any(each.name.casefold() == name.casefold() for each in held.users):
            raise UsageError("There is a user {name} already.", name=name)
        if len(held.users) >= MOST_USERS:
            raise UsageError("A node has at most {most} users.", most=MOST_USERS)
        return held.with_user(user)

    store.change(home, made)
    return user


def set_roles(home: Home, name: str, roles: Iterable[str]) -> User:
    """Other roles for a user, in force at the next call. Raises UsageError."""
    wanted = _roles(roles)
    accounts = store.change(home, lambda held: held.with_user(replace(_user(held, name), roles=wanted)))
    return _user(accounts, name)


def set_password(home: Home, name: str, password: str) -> User:
    """Another password; the user's sessions end, API tokens stay. Raises UsageError."""
    kept = passwords.hashed(password, name)

    def made(held: Accounts) -> Accounts:
        rest = tuple(each for each in held.tokens if not (each.session and each.user == name))
        return replace(held, tokens=rest).with_user(replace(_user(held, name), hash=kept))

    return _user(store.change(home, made), name)


def remove(home: Home, name: str) -> None:
    """The account and all its tokens, gone at the next call. Raises UsageError."""

    def made(held: Accounts) -> Accounts:
        _user(held, name)
        users = tuple(each for each in held.users if each.name != name)
        return replace(held, users=users, tokens=tuple(each for each in held.tokens if each.user != name))

    store.change(home, made)


def login(home: Home, name: str, password: str, *, now: dt.datetime | None = None) -> str:
    """A new token of a session, for SESSION_HOURS. Raises AccessRefused, TooManyAttempts.

    The attempt is counted before the password is looked at, so that many at once get no more guesses than one by one.
    """
    name, moment, nobody = unicodedata.normalize("NFC", name), now or _now(), passwords.nobodys()
    slot = _count_attempt(home, name, moment)
    user = store.load(home).user(name)
    if not passwords.fits(user.hash if user is not None else nobody, password) or user is None:
        raise AccessRefused("The name or the password is not right.", code="login")
    secret, token = _made(name, "login", moment, dt.timedelta(hours=SESSION_HOURS), session=True)
    newer = passwords.hashed(password, name) if passwords.outdated(user.hash) else user.hash

    def made(held: Accounts) -> Accounts:
        current = held.user(name)
        if current is None or current.hash != user.hash:  # the password was changed while we looked at the old one
            raise AccessRefused("The name or the password is not right.", code="login")
        failures = tuple(each for each in held.failures if each.slot != slot)
        held = replace(_pruned(held, moment, name, room=True), failures=failures)
        return held.with_user(replace(current, hash=newer)).with_token(token)

    store.change(home, made)
    return secret


def renewed(home: Home, token: str, after: float, *, now: dt.datetime | None = None) -> str:
    """Another token for a session whose token is older than `after` seconds, ending when it did; else ''."""
    moment, digest = now or _now(), _digest(token)
    secret = lasting(token) + secrets.token_urlsafe(TOKEN_BYTES)

    def is_due(each: Token) -> bool:
        age, left = moment - dt.datetime.fromisoformat(each.created), dt.datetime.fromisoformat(each.expires) - moment
        fits = each.session and hmac.compare_digest(each.digest, digest)
        return fits and age.total_seconds() > after and left.total_seconds() > GRACE_SECONDS

    def made(held: Accounts) -> Accounts:
        old = next((each for each in held.tokens if is_due(each)), None)
        if old is None:
            return held
        ending = replace(old, expires=_text(moment + dt.timedelta(seconds=GRACE_SECONDS)))
        fresh = replace(old, id=secrets.token_hex(6), digest=_digest(secret), created=_text(moment))
        return held.with_token(ending).with_token(fresh)

    if not any(map(is_due, store.load(home).tokens)):
        return ""
    kept = store.change(home, made)
    return secret if any(each.digest == _digest(secret) for each in kept.tokens) else ""


def lasting(token: str) -> str:
    """The part of a session's token that stays when it is renewed; alone it opens nothing."""
    return token[: len(PREFIX) + _LASTING]


def end_session(home: Home, token: str) -> None:
    """The end of a session, by its token; nothing where it has ended."""
    digest = _digest(token)
    store.change(home, lambda held: replace(held, tokens=tuple(
        each for each in held.tokens if not (each.session and hmac.compare_digest(each.digest, digest)))))  # fmt: skip


def issue(home: Home, name: str, title: str, days: int, *, now: dt.datetime | None = None) -> tuple[str, Token]:
    """An API token of a user for so many days: its text, shown this once, and what is kept of it. Raises UsageError."""
    if not 1 <= days <= MOST_DAYS:
        raise UsageError("A token is for 1 to {most} days.", most=MOST_DAYS)
    if not 1 <= len(title) <= 64 or not title.isprintable():
        raise UsageError("A token is called something, in at most 64 characters.")
    moment = now or _now()
    secret, token = _made(name, title, moment, dt.timedelta(days=days), session=False)

    def made(held: Accounts) -> Accounts:
        _user(held, name)
        held = _pruned(held, moment, name, room=False)
        if sum(each.user == name for each in held.tokens) >= MOST_TOKENS:
            raise UsageError("A user has at most {most} tokens.", "Revoke some.", most=MOST_TOKENS)
        return held.with_token(token)

    store.change(home, made)
    return secret, token


def revoke(home: Home, token_id: str) -> None:
    """The end of a token, at the next call. Raises UsageError where there is no such token."""

    def made(held: Accounts) -> Accounts:
        rest = tuple(each for each in held.tokens if each.id != token_id)
        if len(rest) == len(held.tokens):
            raise UsageError("There is no token {id}.", "cleanroom user list names them.", id=token_id)
        return replace(held, tokens=rest)

    store.change(home, made)


def authenticate(home: Home, token: str, *, now: dt.datetime | None = None) -> Caller:
    """Whose token this is. Raises AccessRefused for one that is not in force, and says not why.

    All digests are compared, each in constant time, whichever fits.
    """
    moment, accounts = now or _now(), store.load(home)
    digest, found = _digest(token), None
    for each in accounts.tokens:
        if hmac.compare_digest(each.digest, digest):
            found = each
    user = accounts.user(found.user) if found is not None else None
    if found is None or user is None or moment >= dt.datetime.fromisoformat(found.expires):
        raise AccessRefused("This token is not in force.", "Log in again, or ask for another.", code="token")
    hour = _text(moment.replace(minute=0, second=0))
    if found.used < hour:  # by hours, or every call would write
        used = replace(found, used=hour)
        store.change(home, lambda held: held.with_token(used) if found in held.tokens else held)
    return Caller("user", user.name, user.roles)


def listed(path: Path) -> dict[str, Any]:
    """Users and tokens of a home, without a hash."""
    home = Home.open(path.expanduser())
    accounts = store.load(home)
    tokens = [{name: getattr(token, name) for name in _TOKEN_SHOWN} for token in accounts.tokens]
    users = [{"name": user.name, "roles": list(user.roles), "created": user.created} for user in accounts.users]
    return {"home": str(home.path), "party": home.party, "users": users, "tokens": tokens}


_TOKEN_SHOWN = ("id", "user", "title", "created", "expires", "used", "session")


def _count_attempt(home: Home, name: str, moment: dt.datetime) -> int:
    """Counts a login of this name, and of those that share its slot; returns the slot. Raises TooManyAttempts."""
    now = int(moment.timestamp())
    slot = int.from_bytes(hashlib.sha256(home.keys.public.signing + name.casefold().encode()).digest()[:4]) % _SLOTS

    def made(held: Accounts) -> Accounts:
        past = next((each for each in held.failures if each.slot == slot), Failures(slot, 0, 0))
        if 0 < past.until - now <= MOST_WAIT:  # a longer one comes from a clock that was set back
            raise TooManyAttempts(
                "Too many logins failed. The next is looked at in {seconds} s.", seconds=past.until - now
            )
        count = past.count + 1 if past.until > now - _FORGET_SECONDS else 1
        wait = 0 if count < FREE_ATTEMPTS else min(MOST_WAIT, 1 << min(count - FREE_ATTEMPTS, 10))
        others = (each for each in held.failures if each.slot != slot and each.until > now - _FORGET_SECONDS)
        return replace(held, failures=(*others, Failures(slot, count, now + wait)))

    store.change(home, made)
    return slot


def _pruned(held: Accounts, moment: dt.datetime, name: str, *, room: bool) -> Accounts:
    """Without tokens that have expired; with room for one more of this user, the oldest sessions going first."""
    tokens = [each for each in held.tokens if dt.datetime.fromisoformat(each.expires) > moment]
    sessions = [each for each in tokens if each.session and each.user == name]
    spare = sum(each.user == name for each in tokens) - MOST_TOKENS + 1
    gone = {each.id for each in sessions[:spare]} if room and spare > 0 else set()
    return replace(held, tokens=tuple(each for each in tokens if each.id not in gone))


def _made(user: str, title: str, moment: dt.datetime, life: dt.timedelta, *, session: bool) -> tuple[str, Token]:
    secret = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    created, expires = _text(moment), _text(moment + life)
    return secret, Token(secrets.token_hex(6), user, title, _digest(secret), created, expires, "", session)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _user(held: Accounts, name: str) -> User:
    user = held.user(name)
    if user is None:
        raise UsageError("There is no user {name}.", "cleanroom user list names them.", name=name)
    return user


def _roles(roles: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(roles))
    if not found or not set(found) <= set(ROLES):
        raise UsageError("A user has roles.", "There are: {roles}.", roles=", ".join(ROLES))
    return found


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).replace(microsecond=0).isoformat()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
