"""A node's TLS certificate: self-signed, never CA-capable, and bound to the party's Ed25519 key by a signature in it.

TLS knows only the certificate; the party is its two public keys. So an extension of our own holds the party's name, its
public keys and its signature over all that the certificate says: whoever has pinned the keys can check any certificate
that the party makes later. The subject holds a random number, for a TLS library that trusts several self-signed
certificates looks for each by its subject. Nothing here trusts a certificate: that is `peers`'s.
"""

import datetime as dt
import functools
import hashlib
import json
import secrets
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from cleanroom import canonical, private_files
from cleanroom.errors import BadData
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.keys import PublicKeys, SecretAccess, verify

HOST = "node.cleanroom"
"""The host name of every node's certificate: parties are told apart by their keys, not by names of machines."""
BINDING = x509.ObjectIdentifier("2.25.252347811302478160402861273206172093181")
"""Our extension's number, of a random UUID (ITU-T X.667): version 1 byte, Ed25519 and X25519 keys 32 bytes each,
signature 64 bytes, the party's name in UTF-8."""
LABEL = "cleanroom/tls/1"
MOST_DAYS = 397
RENEWED = dt.timedelta(days=30)
"""How long before its end a certificate gets a successor, which peers then learn."""
SWITCHED = dt.timedelta(days=7)
"""How long after a successor was made it is used: by then peers have learnt it."""
LEEWAY = dt.timedelta(hours=1)
"""A new certificate has begun this long ago, for peers whose clocks are behind."""
MOST_BYTES = 1 << 14
_VERSION = 1
_UNREADABLE = (
    ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion
)  # fmt: skip
"""What the parser says of a certificate that somebody tampered with."""
_STORE_FORMAT = "cleanroom-certificate/1"
_STORE = "certificate.json"
_LOCK = "certificate.lock"
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip
_EXTENSIONS: tuple[tuple[x509.ExtensionType, bool], ...] = (
    (x509.BasicConstraints(ca=False, path_length=None), True),
    (_KEY_USAGE, True),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    (x509.SubjectAlternativeName([x509.DNSName(HOST)]), False),
)
"""All that a certificate holds beside the binding, and whether it is critical."""


@dataclass(frozen=True)
class NodeCertificate:
    """A certificate whose party's signature verified. begins, ends: UTC; digest: SHA-256 of its DER form, in hex."""

    public: PublicKeys
    party: str
    begins: dt.datetime
    ends: dt.datetime
    pem: bytes
    digest: str

    def check(self, now: dt.datetime) -> None:
        """Raises BadData outside its time."""
        if now < self.begins:
            raise BadData(
                "The certificate of {party} begins only on {day}.",
                "Compare the clocks of both machines.",
                party=self.party,
                day=_day(self.begins),
            )
        if now > self.ends:
            raise BadData(
                "The certificate of {party} expired on {day}.",
                "The party renews it: cleanroom node certificate --renew",
                party=self.party,
                day=_day(self.ends),
            )


@dataclass(frozen=True)
class Own:
    """This node's certificate and its key. following: its successor, which peers are to learn before it is used."""

    certificate: NodeCertificate
    following: NodeCertificate | None
    _key: bytes = field(repr=False)

    @property
    def pem(self) -> bytes:
        """The certificate that TLS shows."""
        return self.certificate.pem

    @property
    def digests(self) -> frozenset[str]:
        """Of what peers may know as this node's certificate: the present one, and its successor."""
        return frozenset(each.digest for each in (self.certificate, self.following) if each)

    def key_pem(self, access: SecretAccess) -> bytes:
        """The private key of `pem`, unencrypted PKCS 8."""
        if not isinstance(access, SecretAccess):
            raise TypeError
        return self._key


def own(home: Home, now: dt.datetime | None = None) -> Own:
    """The certificate of this home's node: made at first use, given a successor and replaced by it when due.

    Raises BadData for a damaged store.
    """
    now = now or _now()
    with private_files.locked(home.path / _LOCK):
        held = _load(home)
        due = _due(held, now, home)
        if due != held:
            _save(home, due)
    return _own(home, due)


def renew(home: Home, now: dt.datetime | None = None, *, at_once: bool = False) -> Own:
    """A successor by hand. at_once: used from now on, as after a theft of the key; peers then let this node in only
    after `cleanroom peer renew`."""
    now = now or _now()
    with private_files.locked(home.path / _LOCK):
        held = _due(_load(home), now, home)
        new = _made(home, now)
        due = (new,) if at_once else (held[0], new)
        _save(home, due)
    return _own(home, due)


def switching(present: NodeCertificate, following: NodeCertificate) -> dt.datetime:
    """When the successor takes the present one's place."""
    return min(following.begins + LEEWAY + SWITCHED, present.ends)


def read(pem: bytes, now: dt.datetime) -> NodeCertificate:
    """A node's certificate of its PEM text. Whose it is, is for the caller to decide by `public`.

    now: with its zone. Raises BadData unless it is one of ours, unforged and in force: one PEM block of at most 16 kB,
    ECDSA on P-256 with SHA-256, signed by itself, not CA-capable, for our host name, at most 397 days, with the party's
    signature.
    """
    found = read_any(pem)
    found.check(now)
    return found


@dataclass(frozen=True)
class _Pair:
    """A certificate and its private key, wrapped."""

    certificate: NodeCertificate
    wrapped: bytes


def _due(held: tuple[_Pair, ...], now: dt.datetime, home: Home) -> tuple[_Pair, ...]:
    """The pairs that the home should hold: the present one and, near its end, its successor."""
    if len(held) == 2 and now >= switching(held[0].certificate, held[1].certificate):
        held = held[1:]
    if not held or now > held[0].certificate.ends:  # one that has not begun stays: a clock may be behind for a while
        return (_made(home, now),)
    if len(held) == 1 and held[0].certificate.ends - now < RENEWED:
        return (held[0], _made(home, now))
    return held


def _own(home: Home, held: tuple[_Pair, ...]) -> Own:
    present = held[0]
    key = home.wrapping.unwrap(_slot(present.certificate), present.wrapped)
    return Own(present.certificate, held[1].certificate if len(held) == 2 else None, key)


def _made(home: Home, now: dt.datetime) -> _Pair:
    begins = now.astimezone(dt.UTC).replace(microsecond=0) - LEEWAY
    certificate, key = _new(home, begins, begins + dt.timedelta(days=MOST_DAYS))
    return _Pair(certificate, home.wrapping.wrap(_slot(certificate), key))


def _new(home: Home, begins: dt.datetime, ends: dt.datetime) -> tuple[NodeCertificate, bytes]:
    """A certificate and its private key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = secrets.randbits(126) | 1 << 126  # positive and of one length (RFC 5280, 4.1.2.2)
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = home.keys.public
    signature = home.keys.sign(LABEL, _message(home.party, public, spki, serial, begins, ends))
    binding = bytes([_VERSION]) + public.signing + public.exchange + signature + home.party.encode()
    builder = x509.CertificateBuilder(_name(serial), _name(serial), key.public_key(), serial, begins, ends)
    for extension, critical in _EXTENSIONS:
        builder = builder.add_extension(extension, critical)
    builder = builder.add_extension(x509.UnrecognizedExtension(BINDING, binding), critical=False)
    pem = builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return read_any(pem), secret


@functools.lru_cache(maxsize=2048)  # a node looks at its peers' all the time, and each has two signatures
def read_any(pem: bytes) -> NodeCertificate:
    """As `read`, of a certificate that may have expired."""
    if len(pem) > MOST_BYTES or pem.count(b"-----BEGIN") != 1 or not pem.strip().startswith(b"-----BEGIN"):
        raise BadData("This is not one certificate in PEM of at most {most} bytes.", most=MOST_BYTES)
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        if certificate.signature_algorithm_oid != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256:
            raise _strange()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise _strange()
        certificate.verify_directly_issued_by(certificate)
        extensions = {each.oid: each for each in certificate.extensions}
        _check_extensions(certificate, extensions)
    except _UNREADABLE as error:
        raise BadData("A certificate is damaged or forged.", "Ask the peer for it again.") from error
    return _bound(certificate, key, extensions[BINDING].value.value)


def _check_extensions(certificate: x509.Certificate, extensions: dict[x509.ObjectIdentifier, Any]) -> None:
    basic = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    if basic is None or basic.value.ca:
        raise BadData("A certificate could sign others.", "A node's never can; ask the peer for its own.")
    if set(extensions) != {BINDING, *(each.oid for each, _ in _EXTENSIONS)}:
        raise _strange()
    if any(extensions[each.oid].value != each for each, _ in _EXTENSIONS):
        raise _strange()
    if certificate.subject != _name(certificate.serial_number):
        raise _strange()
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc > dt.timedelta(days=MOST_DAYS):
        raise BadData("A certificate is in force for more than {most} days.", most=MOST_DAYS)


def _bound(certificate: x509.Certificate, key: ec.EllipticCurvePublicKey, binding: bytes) -> NodeCertificate:
    """The certificate as its party's signature says it."""
    if binding[:1] != bytes([_VERSION]):
        raise BadData("A certificate is of an unknown version.", "Update this program, or ask the peer to.")
    try:
        party = binding[129:].decode()
    except UnicodeDecodeError as error:
        raise _strange() from error
    if not 1 <= len(party) <= 64 or not party.isprintable() or unicodedata.normalize("NFC", party).strip() != party:
        raise _strange()
    public = PublicKeys(binding[1:33], binding[33:65])
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    message = _message(party, public, spki, certificate.serial_number, begins, ends)
    try:
        verify(public.signing, LABEL, message, binding[65:129])
    except BadData as error:
        raise BadData(
            "A certificate names {party} but is not signed by its key.", "Ask the party for its own.", party=party
        ) from error
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    return NodeCertificate(public, party, begins, ends, pem, digest)


def _message(party: str, public: PublicKeys, spki: bytes, serial: int, begins: dt.datetime, ends: dt.datetime) -> bytes:
    """What the party signs. spki: the certificate's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) in DER."""
    return canonical.encode({
        "begins": begins.isoformat(), "ends": ends.isoformat(), "exchange": public.exchange.hex(), "key": spki.hex(),
        "party": party, "serial": f"{serial:x}",
    })  # fmt: skip


def _load(home: Home) -> tuple[_Pair, ...]:
    path = home.path / _STORE
    if not path.exists() and not path.is_symlink():
        return ()
    try:
        content = json.loads(private_files.read(path))
        if content["format"] != _STORE_FORMAT:
            raise BadData("The node's certificate has a format that this version does not know.")
        pairs = tuple(_Pair(read_any(each["pem"].encode()), bytes.fromhex(each["key"])) for each in content["pairs"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("The node's certificate is damaged.", "Restore certificate.json from a backup.") from error
    if not 1 <= len(pairs) <= 2 or any(pair.certificate.public != home.keys.public for pair in pairs):
        raise BadData("The node's certificate is not of this home.", "Restore certificate.json from a backup.")
    return pairs


def _save(home: Home, held: tuple[_Pair, ...]) -> None:
    pairs = [{"pem": pair.certificate.pem.decode(), "key": pair.wrapped.hex()} for pair in held]
    write_bytes(home.path / _STORE, canonical.encode({"format": _STORE_FORMAT, "pairs": pairs}))


def _slot(certificate: NodeCertificate) -> str:
    """The name that the key is wrapped under: no key opens beside another certificate."""
    return f"tls/{certificate.digest}"


def _name(serial: int) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, HOST), x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}")]
    )


def _strange() -> BadData:
    return BadData("A certificate is not of a kind that nodes make.", "Ask the peer for its node's certificate.")


def _day(moment: dt.datetime) -> str:
    return moment.date().isoformat()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
