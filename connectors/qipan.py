"""A client of the Qipan open API, of a platform's or of a node's gateway: signs, sends, checks the answer's signature.

`Qipan.call` makes one call; `Qipan.push` brings a crowd in batches of at most 1,000 users. Pushing is safe to repeat: a
crowd is known by the caller's own code, and adding whoever is in it already changes nothing. Identities go out as
SHA-256 or open ids and stand in no error. The protocol: docs/gateway.md.
"""

import base64
import binascii
import datetime as dt
import http.client
import ipaddress
import json
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urlsplit

from connectors.errors import InputError

BATCH = 1_000
ATTEMPTS = 6
_ZONE = dt.timezone(dt.timedelta(hours=8))
_MOST_ANSWER = 1 << 24
_SAME_SECOND = "isv.replayed-request"
"""Timestamps have steps of a second: the same call twice within one, by whoever repeats himself, is signed alike."""
_UNAVAILABLE = "20000"
_SUCCESS = "10000"
_FIRST_WAIT = 0.5
_WORD = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_HEAD = re.compile(r'\s*\{\s*"([a-z_]+)_response"\s*:\s*')
_TAIL = re.compile(r'(?:\s*,\s*"alipay_cert_sn"\s*:\s*"[^"]*")?\s*,\s*"sign"\s*:\s*"([A-Za-z0-9+/=]{1,1024})"\s*\}\s*')
_TYPES = ("SHA256_MOBILE", "OPEN_ID", "SHA256_IDFA", "SHA256_OAID")


class QipanError(InputError):
    """The platform said no. code, sub_code: as it answered; nothing of what was sent stands here."""

    def __init__(self, code: str, sub_code: str) -> None:
        super().__init__("The platform refuses the call: {code} {sub_code}.", "Its documents explain the code.",
                         code=code, sub_code=sub_code)  # fmt: skip
        self.code, self.sub_code = code, sub_code


class _Again(Exception):
    """Worth another attempt."""


@dataclass(frozen=True)
class Account:
    """Who calls what. url: of the gateway; private_key: the app's, PKCS#1 in base64; public_key: the platform's, X.509
    in base64; app_of_ids: the mini-program's app id that open ids are of, "" for none."""

    url: str
    app_id: str
    private_key: str = field(repr=False)
    public_key: str
    app_of_ids: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        near = _is_near(parts.hostname or "")
        if not parts.hostname or parts.scheme not in ("http", "https") or (parts.scheme == "http" and not near):
            raise InputError("This is no address of a gateway.", "https://HOST/gateway.do.")

    @cached_property
    def keys(self) -> tuple[Any, Any]:
        """(private, public). Raises InputError."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        try:
            private = serialization.load_der_private_key(base64.b64decode(self.private_key), None)
            public = serialization.load_der_public_key(base64.b64decode(self.public_key))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InputError("A key of the gateway's client cannot be read.", "PKCS#1 and X.509, in base64.") from error
        return private, public


@dataclass(frozen=True)
class Pushed:
    """code: of the crowd at the platform; users: sent; batches: calls that were needed."""

    code: str
    users: int
    batches: int


class Qipan:
    """Calls of one account. wait: sleeps between attempts."""

    def __init__(self, account: Account, *, timeout: float = 15.0, attempts: int = ATTEMPTS,
                 wait: Callable[[float], None] = time.sleep) -> None:  # fmt: skip
        self._account, self._timeout, self._attempts, self._wait = account, timeout, attempts, wait

    def call(self, method: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The inner object of a success. Raises QipanError for a refusal, InputError where nothing came back that is
        signed by the platform, after some attempts."""
        for attempt in range(self._attempts):
            if attempt:
                self._wait(_FIRST_WAIT * 2 ** (attempt - 1))
            try:
                return self._answered(method, content)
            except _Again:
                continue
        raise InputError("The platform's gateway did not answer {attempts} times.", "Try again later.",
                         attempts=self._attempts)  # fmt: skip

    def push(self, name: str, external: str, identities: Iterable[str], kind: str = "SHA256_MOBILE", *,
             channels: Sequence[str] = (), progress: Callable[[int], None] | None = None) -> Pushed:  # fmt: skip
        """A crowd of these people (SHA-256 in hex, or open ids), known by the caller's code `external`.

        The same identities in the same order give the same calls, so that a push that was cut off is made again whole.
        Raises as `call`, and InputError for nobody.
        """
        if kind not in _TYPES:
            raise InputError("The platform takes no identities of this type.", "It takes: {types}.",
                             types=", ".join(_TYPES))  # fmt: skip
        code, users, batches = "", 0, 0
        for some in _batches(identities):
            listed = [self._user(identity, kind) for identity in some]
            if not code:
                made = self.call("alipay.merchant.qipan.crowd.create", {
                    "crowd_name": name, "external_crowd_code": external, "apply_channel_list": list(channels),
                    "user_list": listed,
                })  # fmt: skip
                code = str(made["crowd_code"])
            else:
                self.call("alipay.merchant.qipan.crowduser.add", {"crowd_code": code, "user_list": listed})
            users, batches = users + len(some), batches + 1
            if progress:
                progress(users)
        if not code:
            raise InputError("There is nobody to push.")
        return Pushed(code, users, batches)

    def _user(self, identity: str, kind: str) -> dict[str, str]:
        user = {"encrypt_identity_id": identity, "encrypt_identity_type": kind}
        return {**user, "alipay_app_id": self._account.app_of_ids} if kind == "OPEN_ID" else user

    def _answered(self, method: str, content: Mapping[str, Any] | None) -> dict[str, Any]:
        """One attempt. Raises _Again, QipanError, InputError."""
        inner = self._verified(method, self._sent(method, content))
        code = str(inner.get("code", ""))
        if code == _SUCCESS:
            return inner
        if code == _UNAVAILABLE or inner.get("sub_code") == _SAME_SECOND:
            raise _Again
        raise QipanError(*(word if _WORD.fullmatch(word) else "?" for word in (code, str(inner.get("sub_code", "")))))

    def _sent(self, method: str, content: Mapping[str, Any] | None) -> bytes:
        common = {
            "app_id": self._account.app_id, "charset": "utf-8", "format": "json", "method": method,
            "sign_type": "RSA2", "version": "1.0",
            "timestamp": dt.datetime.now(_ZONE).strftime("%Y-%m-%d %H:%M:%S"),
        }  # fmt: skip
        body = (
            {} if content is None else {"biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":"))}
        )
        signed = "&".join(f"{key}={value}" for key, value in sorted({**common, **body}.items()))
        query = urlencode({**common, "sign": _sign(self._account.keys[0], signed.encode())})
        return self._posted(query, urlencode(body).encode())

    def _posted(self, query: str, body: bytes) -> bytes:
        parts = urlsplit(self._account.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self._timeout)
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
        try:
            connection.request("POST", f"{parts.path or '/'}?{query}", body, headers)
            response = connection.getresponse()
            answer = response.read(_MOST_ANSWER + 1)
        except ssl.SSLCertVerificationError as error:
            raise InputError("The gateway's certificate is not trusted here.") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Again from error
        finally:
            connection.close()
        if response.status >= http.client.INTERNAL_SERVER_ERROR:
            raise _Again
        if response.status != http.client.OK or len(answer) > _MOST_ANSWER:
            raise _unsigned()
        return answer

    def _verified(self, method: str, answer: bytes) -> dict[str, Any]:
        """The inner object, whose very bytes the platform signed. Raises InputError."""
        try:
            text = answer.decode()
            head = _HEAD.match(text)
            if head is None or head[1] not in (method.replace(".", "_"), "error"):
                raise _unsigned()
            inner, end = json.JSONDecoder().raw_decode(text, head.end())
        except (ValueError, RecursionError) as error:
            raise _unsigned() from error
        tail = _TAIL.fullmatch(text[end:])
        if tail is None or not isinstance(inner, dict):
            raise _unsigned()
        _check(self._account.keys[1], text[head.end() : end].encode(), tail[1])
        return inner


def _is_near(host: str) -> bool:
    """Whether it is this machine, by its own name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _batches(identities: Iterable[str]) -> Iterator[list[str]]:
    some: list[str] = []
    for identity in identities:
        some.append(identity)
        if len(some) == BATCH:
            yield some
            some = []
    if some:
        yield some


def _sign(key: Any, content: bytes) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return base64.b64encode(key.sign(content, padding.PKCS1v15(), hashes.SHA256())).decode()


def _check(key: Any, content: bytes, signature: str) -> None:
    """Raises InputError unless the platform signed it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    try:
        key.verify(base64.b64decode(signature, validate=True), content, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error) as error:
        raise _unsigned() from error


def _unsigned() -> InputError:
    return InputError("The answer is not signed by the platform's key.", "Compare the address and the public key.")
