"""Certificates as somebody else would make them: by the documented form, not by the node's code."""

import datetime as dt
import json
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cleanroom.home import Home

BINDING = x509.ObjectIdentifier("2.25.252347811302478160402861273206172093181")
NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


def extensions(**changes: Any) -> list[tuple[x509.ExtensionType, bool]]:
    """Those of a node; `ca`, `san`, `signs` change them; `basic=False` leaves the basic constraints out."""
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only",
         "decipher_only"), False
    )  # fmt: skip
    ca = changes.get("ca", False)
    listed: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=ca, path_length=None), True),
        (x509.KeyUsage(digital_signature=True, key_cert_sign=changes.get("signs", False), **usage), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectAlternativeName([x509.DNSName(each) for each in changes.get("san", ["node.cleanroom"])]), False),
    ]
    return listed if changes.get("basic", True) else listed[1:]


def certificate(home: Home, **changes: Any) -> bytes:
    """A PEM of a node's certificate for `home`, with some of it otherwise.

    changes: key, begins, days, serial, party, version, signed_by (Home), says (of the signed text), hash, name, extra,
    binding (bytes), more of `extensions`.
    """
    key = changes.get("key") or ec.generate_private_key(ec.SECP256R1())
    serial = changes.get("serial", 0x5123456789ABCDEF)
    begins = changes.get("begins", NOW)
    ends = begins + dt.timedelta(days=changes.get("days", 397))
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public, party = home.keys.public, changes.get("party", home.party)
    said = {"begins": begins.isoformat(), "ends": ends.isoformat(), "exchange": public.exchange.hex(),
            "key": spki.hex(), "party": party, "serial": f"{serial:x}", **changes.get("says", {})}  # fmt: skip
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signature = changes.get("signed_by", home).keys.sign("cleanroom/tls/1", text)
    binding = bytes([changes.get("version", 1)]) + public.signing + public.exchange + signature + party.encode()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, changes.get("name", "node.cleanroom")),
                      x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}")])  # fmt: skip
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial, begins, ends)
    for extension, critical in [*extensions(**changes), *changes.get("extra", [])]:
        builder = builder.add_extension(extension, critical)
    own = x509.UnrecognizedExtension(BINDING, changes.get("binding", binding))
    if own.value:
        builder = builder.add_extension(own, critical=False)
    issuer = changes.get("issuer", key)
    return builder.sign(issuer, changes.get("hash", hashes.SHA256())).public_bytes(serialization.Encoding.PEM)
