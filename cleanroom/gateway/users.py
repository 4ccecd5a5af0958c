"""Users as the SDK sends them, to digests as the vault holds them. They end here: at the owner's own node.

SHA-256 of a phone or device is taken as it is; an open id is digested with its app by the profile that the room names.
MD5 and plain ids are refused, and so is a type that the room does not match by. Nothing keeps what was sent.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom.gateway import words
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.fields import UNKNOWN_PLACE, Fields
from cleanroom.rooms.terms import Dataset, Identity

Digests = NDArray[np.uint8]
OPEN_ID = "OPEN_ID"
TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "SHA256_MOBILE": (("phone",), ("cn-mobile/1", "qipan/1")),
    OPEN_ID: (("openid",), ("openid/1",)),
    "SHA256_IDFA": (("idfa", "device"), ("device/1",)),
    "SHA256_OAID": (("oaid", "device"), ("device/1",)),
}
"""encrypt_identity_type → kinds of identity in contracts that it may be, and profiles under which it can match."""
_MOBILE = "SHA256_MOBILE"


@dataclass(frozen=True)
class User:
    """An entry of user_list: id, its type, and the app of an open id."""

    identity: str
    kind: str
    app: str

    @classmethod
    def read(cls, value: Any) -> "User":
        """Of one entry, by its types only; what it holds is looked at by `digested`."""
        fields = Fields(value, "user_list")
        found = cls(fields.text("encrypt_identity_id", words.MOST_TEXT, need=True),
                    fields.text("encrypt_identity_type", words.MOST_CODE, need=True),
                    fields.text("alipay_app_id", words.MOST_CODE))  # fmt: skip
        fields.done()
        return found


@dataclass(frozen=True)
class RiskUser:
    """An entry of a risk list. Of its identities the phone is matched; the rest is checked and not kept."""

    mobile: str
    tags: tuple[str, ...]

    @classmethod
    def read(cls, value: Any) -> "RiskUser":
        """Of one entry. Raises Fault."""
        fields = Fields(value, "user_list")
        mobile = fields.text("encrypt_mobile_id")
        for name in ("encrypt_identity_card_id", "encrypt_alipay_id", "trade_no"):
            fields.text(name)
        if fields.text("encrypt_type", words.MOST_CODE) not in ("", words.ENCRYPT_TYPE):
            raise Fault("ENCRYPT_TYPE_UNKNOWN", number=UNKNOWN_PLACE)
        _check_moment(fields.text("storage_time", words.MOST_CODE))
        tags = check_risk_tags(fields.texts("user_tags", words.MOST_TAGS_OF_USER))
        fields.done()
        return cls(mobile, tags)


def digested(users: Sequence[User], dataset: Dataset) -> tuple[str, Digests]:
    """(the kind of identity in the contract, uint8[n, 32]) of users; `dataset` is the merchant's in the room.

    Raises Fault for types that are not taken, mixed, or not the room's, and for the first user whose id is none.
    """
    if not users:
        return "", np.zeros((0, 32), np.uint8)
    kind, app = users[0].kind, users[0].app
    for number, user in enumerate(users, 1):
        if user.kind not in TYPES:
            raise Fault("IDENTITY_TYPE_UNKNOWN", number=number)
        if user.kind == OPEN_ID and not user.app:
            raise Fault("ALIPAY_APP_ID_REQUIRED", number=number)
        if user.kind != kind or (kind == OPEN_ID and user.app != app):
            raise Fault("IDENTITY_TYPES_MIXED", number=number)
    term = _term(kind, dataset)
    return term.kind, _read([user.identity for user in users], kind, term, app)


def risky(users: Sequence[RiskUser], dataset: Dataset) -> tuple[str, Digests]:
    """As `digested`, of a risk list."""
    if not users:
        return "", np.zeros((0, 32), np.uint8)
    for number, user in enumerate(users, 1):
        if not user.mobile:
            raise Fault("RISK_IDENTITY_MISSING", number=number)
    term = _term(_MOBILE, dataset)
    return term.kind, _read([user.mobile for user in users], _MOBILE, term, "")


def check_risk_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags. Raises Fault for one that is not known."""
    if any(tag not in words.RISK_TAGS for tag in tags):
        raise Fault("RISK_TAG_UNKNOWN")
    return tuple(dict.fromkeys(tags))


def _term(kind: str, dataset: Dataset) -> Identity:
    kinds, profiles = TYPES[kind]
    found = [each for each in dataset.identities if each.kind in kinds]
    if not found:
        raise Fault("IDENTITY_NOT_IN_ROOM")
    if found[0].profile not in profiles:
        raise Fault("IDENTITY_PROFILE_DIFFERS")
    return found[0]


def _read(ids: list[str], kind: str, term: Identity, app: str) -> Digests:
    import pyarrow as pa

    from connectors.identity import profile

    known = profile(term.profile)
    values = pa.array(ids, pa.string())
    found = known.normalise(values, scope=app, form="raw" if kind == OPEN_ID else "sha256")
    lost = np.flatnonzero(np.array(found.digest.is_null()))
    if len(lost):
        raise Fault("OPEN_ID_INVALID" if kind == OPEN_ID else "IDENTITY_NOT_SHA256", number=int(lost[0]) + 1)
    return np.frombuffer(found.digest.buffers()[1], np.uint8)[: 32 * len(ids)].reshape(-1, 32).copy()


def _check_moment(text: str) -> None:
    """A time, or that of milliseconds as some clients send it."""
    try:
        if text and not (text.isascii() and text.isdecimal()):
            dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    except ValueError as error:
        raise Fault("RISK_TIME_INVALID", number=UNKNOWN_PLACE) from error
