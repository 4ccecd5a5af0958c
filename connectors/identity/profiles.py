"""The named, versioned ways to write an identity before it is digested, and how a column goes through one."""

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from connectors.arrays import Bytes, Flags, flags, words
from connectors.errors import InputError
from connectors.identity import digests, forms, others, phone
from connectors.identity.forms import Form
from connectors.identity.names import LOSSES, NONE, REPAIRS, Codes, Written, named
from connectors.identity.texts import as_texts
from connectors.identity.vectors import VECTORS

IdentityKind = Literal["phone", "email", "openid", "device"]
Rule = Callable[[pa.StringArray, str, str], Written]
_SLICE = 1 << 17
"""Rows worked on at once: their buffers stay in the cache."""

DEFAULT_PROFILE: dict[str, str] = {
    "phone": "cn-mobile/1",
    "email": "meta/1",
    "openid": "openid/1",
    "device": "device/1",
}
"""The profile by identity kind where a contract names none. For e-mail the one that changes least."""


@dataclass(frozen=True)
class Normalised:
    """A column after a profile, row for row.

    digest: fixed_size_binary, 32 bytes (16 where the column came as MD5), null where lost; reason, repaired:
    dictionary<int8, string>, the names of `Loss` and `Repair`, null where there is none; form: how the column came.
    """

    digest: pa.FixedSizeBinaryArray
    reason: pa.DictionaryArray
    repaired: pa.DictionaryArray
    form: Form


@dataclass(frozen=True)
class Profile:
    """One row of the table in identity.md, for one kind of identity.

    name: with its version; kind: the identity kind this one serves; kinds: all that the profile knows; written: how
    the platform writes a digest, "hex" or "base64".
    """

    name: str
    kind: IdentityKind
    rules: tuple[tuple[IdentityKind, Rule], ...]
    written: Literal["hex", "base64"] = "hex"

    @property
    def kinds(self) -> tuple[IdentityKind, ...]:
        return tuple(kind for kind, _ in self.rules)

    def digest(self) -> str:
        """SHA-256 (hex) over name, version and what this program makes of the profile's own vectors.

        Both sides compare it before a match: the same rules, but another library behind them, shows.
        """
        results = [
            [kind, raw, country, scope, _outcome(self, kind, raw, country, scope)]
            for kind, raw, country, scope, _ in VECTORS[self.name]
        ]
        return hashlib.sha256(json.dumps([self.name, results], separators=(",", ":")).encode()).hexdigest()

    def canonical(self, values: pa.Array, *, country: str = "CN", scope: str = "") -> Written:
        """A column of raw identities as the profile writes them: what is digested. It never leaves its owner."""
        rule: Rule = dict(self.rules)[self.kind]
        return rule(as_texts(values), country, scope)

    def normalise(
        self,
        values: pa.Array | pa.ChunkedArray,
        *,
        country: str = "CN",
        scope: str = "",
        form: Form | None = None,
    ) -> Normalised:
        """Digests of a column, with a name for each row lost and each value repaired.

        country: assumed by the E.164 profiles; scope: app id of an openid, or "upper"/"lower" of a device id; form:
        whether the column is hashed already, found out over all its rows where None. Raises InputError.
        """
        texts = as_texts(values)
        chosen = form or self.form(texts)
        parts = [
            self._part(texts.slice(start, _SLICE), country, scope, chosen)
            for start in range(0, max(len(texts), 1), _SLICE)
        ]
        digest, lost, repaired = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Normalised(digests.fixed(digest, lost < 0), named(lost, LOSSES), named(repaired, REPAIRS), chosen)

    def form(self, values: pa.Array | pa.ChunkedArray) -> Form:
        """How most of a column's identities come: "raw", or hashed as "sha256" or "md5"."""
        return forms.majority(self.count_forms(values))

    def count_forms(self, values: pa.Array | pa.ChunkedArray) -> dict[Form, int]:
        """How many rows come in each form. An openid is opaque: nothing is taken for a digest."""
        texts = as_texts(values)
        if self.kind == "openid":
            return {"raw": len(texts), "sha256": 0, "md5": 0}
        return forms.count(texts, self.written == "base64")

    def _part(self, texts: pa.StringArray, country: str, scope: str, form: Form) -> tuple[Bytes, Codes, Codes]:
        if form != "raw":
            read = forms.read(texts, form, self.written == "base64", _refused())
            return read.digests, read.lost, read.repaired
        written = self.canonical(texts, country=country, scope=scope)
        lost = written.lost
        if self.kind != "openid":
            hashed = forms.strangers(texts, "raw", self.written == "base64")
            lost = np.where(hashed >= 0, hashed, lost)
        repaired = np.where(lost < 0, written.repaired, NONE).astype(np.int8)
        return _digest(written.texts, lost < 0), lost.astype(np.int8), repaired


def profile(name: str, kind: str | None = None) -> Profile:
    """The profile of this name, for this kind of identity (its first where None). Raises InputError."""
    found = _profiles().get(name)
    if found is None:
        raise InputError(
            "There is no identity profile {name}.", "Known: {known}.", name=name, known=", ".join(_profiles())
        )
    if kind is None or kind == found.kind:
        return found
    if kind not in found.kinds:
        raise InputError(
            "Profile {name} does not say how {kind} is written.",
            "It knows: {known}.",
            name=name,
            kind=kind,
            known=", ".join(found.kinds),
        )
    return replace(found, kind=kind)


def every_digest(values: pa.Array, kind: IdentityKind) -> tuple[Bytes, Bytes]:
    """Raw identities as any profile that knows `kind` may bring them: SHA-256 uint8[n, 32] and MD5 uint8[n, 16].

    A person has another digest under each, so who is to be forgotten must be known under all; their order says nothing.
    """
    written = [replace(one, kind=kind).canonical(values) for one in _profiles().values() if kind in one.kinds]
    texts = pa.concat_arrays([one.texts.filter(flags(one.lost < 0)) for one in written]).unique()
    return digests.sha256(texts), digests.md5(texts)


def _digest(texts: pa.StringArray, valid: Flags) -> Bytes:
    if valid.all():
        return digests.sha256(texts)
    spread = np.zeros((len(texts), 32), np.uint8)
    spread[valid] = digests.sha256(texts.filter(flags(valid)))
    return spread


def _outcome(used: Profile, kind: IdentityKind, raw: str, country: str, scope: str) -> str:
    result = replace(used, kind=kind).normalise(words([raw]), country=country, scope=scope)
    reason = result.reason[0].as_py()
    return f"lost: {reason}" if reason else str(result.digest[0].as_py().hex())


@functools.cache
def _refused() -> tuple[bytes, ...]:
    """Digests of the empty text and of the zero device ids."""
    nothing = [text.encode() for text in ("", *others.ZERO_IDS)]
    hashes = [hashlib.sha256(text).digest() for text in nothing]
    return tuple(hashes + [hashlib.md5(text, usedforsecurity=False).digest() for text in nothing])


@functools.cache
def _profiles() -> dict[str, Profile]:
    def mobile(texts: pa.StringArray, country: str, scope: str) -> Written:
        return phone.cn_mobile(texts)

    def plus(texts: pa.StringArray, country: str, scope: str) -> Written:
        return phone.e164(texts, country)

    def bare(texts: pa.StringArray, country: str, scope: str) -> Written:
        return phone.digits_only(texts, country)

    def address(*folded: str) -> Rule:
        return lambda texts, country, scope: others.email(texts, folded)

    def opaque(texts: pa.StringArray, country: str, scope: str) -> Written:
        return others.openid(texts, scope)

    def device(texts: pa.StringArray, country: str, scope: str) -> Written:
        return others.device(texts, scope)

    google = address("gmail.com", "googlemail.com")
    known = (
        Profile("cn-mobile/1", "phone", (("phone", mobile),)),
        Profile("e164/1", "phone", (("phone", plus),)),
        Profile("google-customer-match/1", "email", (("email", google), ("phone", plus))),
        Profile("meta/1", "email", (("email", address()), ("phone", bare))),
        Profile("uid2/1", "email", (("email", address("gmail.com")), ("phone", plus)), "base64"),
        Profile("qipan/1", "phone", (("phone", mobile),)),
        Profile("openid/1", "openid", (("openid", opaque),)),
        Profile("device/1", "device", (("device", device),)),
    )
    return {one.name: one for one in known}
