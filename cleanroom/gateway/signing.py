"""RSA2 as the SDK speaks it: RSA-SHA256 with PKCS#1 v1.5 (RFC 8017, 8.2), keys in base64 without PEM lines.

A private key is written as PKCS#1 and a public key as X.509 SubjectPublicKeyInfo, which is what the SDK loads.
Verification raises; it never returns a truth value.
"""

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from cleanroom.errors import UsageError
from cleanroom.gateway.codes import Fault

KEY_BITS = 2048
MOST_KEY_BITS = 4096
_MOST_TEXT = 8192
_PADDING, _HASH = padding.PKCS1v15(), hashes.SHA256()


def new_key() -> rsa.RSAPrivateKey:
    """A fresh key of KEY_BITS bits."""
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def private_der(key: rsa.RSAPrivateKey) -> bytes:
    """PKCS#1, unencrypted: to be wrapped or shown once."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def private_text(key: rsa.RSAPrivateKey) -> str:
    """As `AlipayClientConfig.app_private_key` takes it."""
    return base64.b64encode(private_der(key)).decode()


def public_text(key: rsa.RSAPublicKey) -> str:
    """As `AlipayClientConfig.alipay_public_key` takes it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_bytes(serialization.Encoding.DER, form)).decode()


def load_private(text: str) -> rsa.RSAPrivateKey:
    """Of `private_text`, with PEM lines or without. Raises UsageError."""
    try:
        key = serialization.load_der_private_key(_bare(text), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key() from error
    if not isinstance(key, rsa.RSAPrivateKey) or not KEY_BITS <= key.key_size <= MOST_KEY_BITS:
        raise _no_key()
    return key


def load_public(text: str) -> rsa.RSAPublicKey:
    """Of `public_text`, with PEM lines or without. Raises UsageError."""
    try:
        key = serialization.load_der_public_key(_bare(text))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key() from error
    if not isinstance(key, rsa.RSAPublicKey) or not KEY_BITS <= key.key_size <= MOST_KEY_BITS:
        raise _no_key()
    return key


def signed_content(parameters: Mapping[str, str]) -> bytes:
    """What a request's signature covers: all parameters but `sign`, sorted, as key=value joined by &."""
    return "&".join(f"{name}={parameters[name]}" for name in sorted(parameters) if name != "sign").encode()


def sign(key: rsa.RSAPrivateKey, content: bytes) -> str:
    """The signature in base64."""
    return base64.b64encode(key.sign(content, _PADDING, _HASH)).decode()


def verify(key: rsa.RSAPublicKey, content: bytes, signature: str) -> None:
    """Raises Fault unless it is the signature of exactly this content."""
    try:
        key.verify(base64.b64decode(signature, validate=True), content, _PADDING, _HASH)
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise Fault("isv.invalid-signature") from error


def _bare(text: str) -> bytes:
    lines = [line.strip() for line in text[:_MOST_TEXT].splitlines()]
    return base64.b64decode("".join(line for line in lines if not line.startswith("-----")), validate=True)


def _no_key() -> UsageError:
    return UsageError(
        "This is no RSA key that can be used here.",
        "Give one of {least} to {most} bits: a private key as PKCS#1, a public key as X.509, in base64 or PEM.",
        least=KEY_BITS,
        most=MOST_KEY_BITS,
    )
