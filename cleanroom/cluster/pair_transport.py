"""How a task reaches a task of the other party's cluster: TCP, TLS 1.3 within it, and a signed channel within that.

The TLS key is a throwaway of one listener, and nobody trusts its certificate: its digest is announced beforehand, and
both sides name it in the channel's hello, which the keys of the two delegations sign. So nobody can stand in between,
and nobody without a delegation of the party that the contract names gets further than its first frame.
"""

import contextlib
import datetime as dt
import hashlib
import ipaddress
import json
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.answer.notes import reading
from cleanroom.cluster import delegation
from cleanroom.cluster.delegation import KeySigner, Terms
from cleanroom.errors import UsageError
from cleanroom.node.sockets import SocketTransport
from protocols.channel import Channel
from protocols.errors import BadMessage, PeerAborted

HANDSHAKE_SECONDS = 20.0
_CHUNK = 1 << 16
_DAY = dt.timedelta(days=1)
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A machine that is gone without a word is noticed within a minute."""


@dataclass(frozen=True)
class Address:
    """Where somebody listens; digest: SHA-256 of the certificate shown there, in hex."""

    host: str
    port: int
    digest: str

    def note(self) -> canonical.Json:
        """As it is told."""
        return [self.host, self.port, self.digest]

    @classmethod
    def of_note(cls, note: Any) -> "Address":
        """The reverse of `note`. Raises BadMessage."""
        with reading():
            host, port, digest = note
            if type(host) is not str or type(port) is not int or not 0 < port < 1 << 16 or len(host) > 255:
                raise ValueError
            if type(digest) is not str or len(bytes.fromhex(digest)) != 32:
                raise ValueError
            return cls(host, port, digest)


@dataclass(frozen=True)
class Speaker:
    """Who speaks for a party in a job. role: 'receiver' or 'sender'; delegation: to the signer's key; parties: the
    Ed25519 key of each role's party, as the contract names it."""

    role: str
    terms: Terms
    signer: KeySigner
    delegation: bytes
    parties: Mapping[str, bytes]


class TlsTransport(SocketTransport):
    """A channel's transport over a TLS connection, which it owns: one thread alone touches that."""

    def __init__(self, connection: ssl.SSLSocket, timeout: float) -> None:
        self._near, far = socket.socketpair()
        super().__init__(self._near, timeout)
        self._pump = threading.Thread(target=_pump, args=(far, connection), name="pair-pump", daemon=True)
        self._pump.start()

    def wait(self, seconds: float) -> None:
        """From now on a peer silent for so long counts as gone."""
        self._timeout = seconds
        self._near.settimeout(seconds)

    @property
    def ended(self) -> bool:
        """Whether the peer has hung up, seen by one that expects nothing of it now."""
        return self._near.fileno() < 0 or bool(_readable([self._near], [], wait=False))

    def close(self) -> None:
        """Send what was handed over, then end."""
        super().close()
        self._pump.join(HANDSHAKE_SECONDS)


class Listener:
    """Listens on `host` under a certificate of its own; port: 0 for any that is free. Raises as `bound`."""

    def __init__(self, host: str, port: int = 0) -> None:
        self._context, digest = _throwaway()
        self._socket = bound(host, port)
        self.address = Address(host, self._socket.getsockname()[1], digest)

    def accept(self, seconds: float) -> socket.socket | None:
        """The next connection, or None where none comes within that time."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.accept()[0]
        except TimeoutError:
            return None

    def secured(self, connection: socket.socket) -> TlsTransport:
        """The transport over an accepted connection. Raises PeerAborted where the other end does not speak TLS."""
        return _secured(self._context, connection, server=True)[0]

    def close(self) -> None:
        """Take no more."""
        self._socket.close()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def bound(host: str, port: int = 0) -> socket.socket:
    """A socket that listens there. Raises UsageError where `host` is no one address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise _not_ours(host) from error
    if ipaddress.ip_address(found.getsockname()[0]).is_unspecified:  # peers are told it, and it means themselves there
        found.close()
        raise _not_ours(host)
    return found


def _not_ours(host: str) -> UsageError:
    return UsageError(
        "This machine cannot await executors at {address}.",
        "pairs in [cluster] of node.toml names one address of this machine, which the other party's executors reach.",
        address=host,
    )


def dial(address: Address, seconds: float) -> tuple[TlsTransport, str]:
    """A transport to `address`, and this machine's own address on the way there.

    Raises PeerAborted where nobody answers within that time, BadMessage where somebody else does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the digest and the hello say who it is
    try:
        connection = socket.create_connection((address.host, address.port), seconds)
    except OSError as error:
        raise PeerAborted(
            "The cluster at {address} is not reached.",
            "Executors of both parties must reach each other, and the receiver's driver: see docs/how-to/cluster.md.",
            address=f"{address.host}:{address.port}",
        ) from error
    own: str = connection.getsockname()[0]
    transport, shown = _secured(context, connection, server=False)
    if shown != address.digest:
        transport.close()
        raise BadMessage("Somebody else answers at {address}.", address=f"{address.host}:{address.port}")
    return transport, own


def link(
    transport: TlsTransport,
    digest: str,
    me: Speaker,
    roles: tuple[str, str],
    *,
    dialled: bool,
    party: str = "",
    purpose: str,
    parameters: Mapping[str, int],
) -> tuple[Channel, str]:
    """A signed channel within the transport, and the role of the party that speaks at its other end.

    digest: of the certificate of whoever listens; roles: of the two ends of the channel, this one first, the second ''
    for the party's; party: the one expected there, '' for either; dialled: this side did, and so says first who it is.
    Raises ProtocolError and its kinds by name.
    """
    mine = [canonical.encode({"role": me.role, "delegation": me.delegation.hex()})]
    if dialled:
        transport.send(mine)
    frame = transport.receive()
    with reading():
        if len(frame) > 4 * delegation.MOST_BYTES:
            raise ValueError
        note = json.loads(bytes(frame))
        theirs, content = note["role"], bytes.fromhex(note["delegation"])
        signing = me.parties[theirs]
    if party and theirs != party:
        raise BadMessage("The peer took another role than {role}, which the contract gives it.", role=party)
    key = delegation.check(content, signing, theirs, me.terms)
    if not dialled:
        transport.send(mine)
    channel = Channel.open(
        transport,
        role=roles[0] or me.role,
        peer_role=roles[1] or theirs,
        me=me.signer,
        peer_key=key,
        contract_hash=me.terms.context(purpose),
        fingerprints=(f"{me.signer.public.hex()} {digest}", f"{key.hex()} {digest}"),
        parameters={"buckets": me.terms.buckets, **parameters},
    )
    return channel, theirs


def _secured(context: ssl.SSLContext, connection: socket.socket, *, server: bool) -> tuple[TlsTransport, str]:
    """The transport, and the digest of the certificate that the other end showed."""
    connection.settimeout(HANDSHAKE_SECONDS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _KEEPALIVE.items():
        if option := getattr(socket, name, None):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
    try:
        tls = context.wrap_socket(connection, server_side=server)
    except OSError as error:
        connection.close()
        raise PeerAborted("The connection to the peer is gone.", "Did its process end? See its own message.") from error
    shown = tls.getpeercert(binary_form=True) or b""
    return TlsTransport(tls, HANDSHAKE_SECONDS), hashlib.sha256(shown).hexdigest()


def _throwaway() -> tuple[ssl.SSLContext, str]:
    """A server's context with a new key, and the digest of its certificate. OpenSSL takes keys from files alone: this
    one stands in a file of ours for as long as that takes, and opens nothing that was ever sent."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import NameOID

    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pair.cleanroom")])
    serial, ends = x509.random_serial_number(), now + dt.timedelta(seconds=delegation.LONGEST)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), serial, now - _DAY, ends).sign(key, SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.num_tickets = ssl.TLSVersion.TLSv1_3, 0
    with tempfile.NamedTemporaryFile() as file:  # mode 0600
        file.write(secret + certificate.public_bytes(serialization.Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name)
    return context, hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _pump(far: socket.socket, tls: ssl.SSLSocket) -> None:
    """Carry bytes both ways until this side has closed; after the peer has, what this side still says is dropped."""
    far.setblocking(False)
    tls.setblocking(False)
    outward, inward, open_there = memoryview(b""), memoryview(b""), True
    with contextlib.suppress(OSError), far, tls:
        while True:
            reads: list[socket.socket] = [] if outward else [far]
            reads += [tls] if open_there and not inward else []
            writes: list[socket.socket] = [tls] if outward else []
            writes += [far] if inward else []
            pending = tls in reads and tls.pending() > 0  # decrypted already, so that nothing would tell of it
            ready = _readable(reads, writes, wait=not pending)
            if far in ready:
                outward = memoryview(far.recv(_CHUNK))
                if not outward:
                    return
            if tls in ready or pending:
                with contextlib.suppress(ssl.SSLWantReadError):
                    inward = memoryview(tls.recv(_CHUNK))
                    if not inward:
                        open_there = False
                        far.shutdown(socket.SHUT_WR)
            outward = _some(tls, outward) if open_there else memoryview(b"")
            inward = _some(far, inward)


def _readable(reads: list[socket.socket], writes: list[socket.socket], *, wait: bool) -> list[socket.socket]:
    """Which of `reads` have something, or have ended; wait: until one of them has, or one of `writes` takes more."""
    poll = select.poll()  # `select` knows no file numbers above 1,023, and a driver has many lines
    for one in {*reads, *writes}:
        poll.register(one, (select.POLLIN if one in reads else 0) | (select.POLLOUT if one in writes else 0))
    events = dict(poll.poll(None if wait else 0))
    return [one for one in reads if events.get(one.fileno(), 0) & ~select.POLLOUT]


def _some(to: socket.socket, content: memoryview) -> memoryview:
    """Send what it takes now; the rest."""
    if not content:
        return content
    try:
        return content[to.send(content) :]
    except (BlockingIOError, ssl.SSLWantWriteError):
        return content
