"""From the bytes of a request to a call by a known app, and from an answer to signed bytes.

Nothing of the content is looked at before the signature over exactly these parameters is good: a stranger learns
whether an app id exists, and no more. The steps of `opened` are numbered.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric import rsa

from cleanroom.gateway import signing
from cleanroom.gateway.apps import App
from cleanroom.gateway.codes import MESSAGES, SUCCESS, Fault

CHINA = dt.timezone(dt.timedelta(hours=8), "Asia/Shanghai")
"""The zone of timestamps and report dates; it has no summer time."""
MOST_BYTES = 2 << 20
"""Of a request's body: 1,000 users of a risk list with all their fields stay below a quarter of it."""
STALE_MINUTES = 10
_MOST_PARAMETERS = 32
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", re.ASCII)
_ERROR = "error"


@dataclass(frozen=True)
class Known:
    """An app with its key, ready to verify."""

    app: App
    key: rsa.RSAPublicKey


@dataclass(frozen=True)
class Call:
    """A call whose signature is good. digest: of all that was signed; until: the second from which its timestamp is
    stale; content: biz_content, unread."""

    app: App
    method: str
    content: str | None
    digest: bytes
    until: int


def opened(query: bytes, body: bytes, find: Callable[[str], Known | None], now: dt.datetime) -> Call:
    """The call in a request's query string and form body. Raises Fault.

    1. Parameters, each once. 2. A known app. 3. The signature. 4. The time. 5. The other common parameters.
    """
    given = _parameters(query, body)
    for name in ("app-id", "signature"):
        _needed(given, {"app-id": "app_id", "signature": "sign"}[name], f"isv.missing-{name}")
    if given.get("sign_type") != "RSA2":
        raise Fault("isv.invalid-signature-type")
    known = find(given["app_id"])
    if known is None:
        raise Fault("isv.invalid-app-id")
    signed = signing.signed_content(given)
    signing.verify(known.key, signed, given["sign"])
    until = _fresh(_needed(given, "timestamp", "isv.missing-timestamp"), now)
    _check_common(given)
    method = _needed(given, "method", "isv.missing-method")
    return Call(known.app, method, given.get("biz_content"), hashlib.sha256(signed).digest(), until)


def read_json(text: str | None) -> dict[str, Any]:
    """biz_content as one object; {} where there is none. Raises Fault."""
    if text is None:
        return {}
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise Fault("isv.invalid-json") from error
    if not isinstance(value, dict):
        raise Fault("isv.invalid-json")
    return value


def succeeded(content: Mapping[str, Any]) -> dict[str, Any]:
    """The inner object of a success."""
    return {"code": SUCCESS, "msg": MESSAGES[SUCCESS], **content}


def sealed(key: rsa.RSAPrivateKey, method: str | None, inner: Mapping[str, Any]) -> bytes:
    """The answer as sent: the signature is over exactly the bytes of the inner object. method: None before one is
    known to be there."""
    name = (method.replace(".", "_") if method else _ERROR) + "_response"
    content = json.dumps(inner, ensure_ascii=False, separators=(",", ":")).encode()
    return b'{"%s":%s,"sign":"%s"}' % (name.encode(), content, signing.sign(key, content).encode())


def _parameters(query: bytes, body: bytes) -> dict[str, str]:
    given: dict[str, str] = {}
    try:
        for part in (query.decode("ascii"), body.decode("ascii")):
            pairs = parse_qsl(part, True, True, "utf-8", "strict", _MOST_PARAMETERS) if part else []
            for name, value in pairs:
                if name in given:
                    raise Fault("isv.invalid-request")
                given[name] = value
    except ValueError as error:
        raise Fault("isv.invalid-request") from error
    return given


def _needed(given: Mapping[str, str], name: str, sub_code: str) -> str:
    if not given.get(name):
        raise Fault(sub_code)
    return given[name]


def _fresh(text: str, now: dt.datetime) -> int:
    """The last second at which this timestamp is taken.

    It says no zone: the platform reads China's, and the SDK writes that of its machine, which may well be this node's.
    So it is good in either, and a call is remembered until it is good in neither.
    """
    try:
        if not _STAMP.fullmatch(text):
            raise ValueError
        said = dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
        moments = (said.replace(tzinfo=CHINA), said.astimezone())
    except (ValueError, OverflowError) as error:
        raise Fault("isv.invalid-timestamp") from error
    if all(abs((now - moment).total_seconds()) > STALE_MINUTES * 60 for moment in moments):
        raise Fault("isv.stale-timestamp", minutes=STALE_MINUTES)
    return int(max(moment.timestamp() for moment in moments)) + STALE_MINUTES * 60


def _check_common(given: Mapping[str, str]) -> None:
    if given.get("format", "json").lower() != "json":
        raise Fault("isv.invalid-format")
    if given.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Fault("isv.invalid-charset")
    if given.get("version", "1.0") != "1.0":
        raise Fault("isv.invalid-version")
    if given.get("encrypt_type"):
        raise Fault("isv.invalid-encrypt")
    if given.get("app_auth_token") or given.get("auth_token"):
        raise Fault("isv.insufficient-isv-permissions")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refused(_: str) -> Any:
    raise ValueError
