"""The parties that this node knows: each pinned by the fingerprint that people compared, with the certificate it shows.

A peer is its two public keys; its name, address and certificate are theirs to change, and only its own key can sign a
certificate. The list is signed by this home's key, so that nobody who can write the file can slip another peer in. A
peer has here the name that its certificate says: messages and contracts name it so too. Nothing is pinned without a
fingerprint.
"""

import datetime as dt
import json
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, Interrupted, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.keys import PublicKeys, verify
from cleanroom.node import certificate, words
from cleanroom.node.config import dialled

FORMAT = "cleanroom-pinned/1"
LABEL = "cleanroom/pinned/1"
CARD_FORMAT = "cleanroom-card/1"
CARD_LABEL = "cleanroom/card/1"
_STORE = "pinned.json"
_LOCK = "pinned.lock"
_LIMIT = 1 << 24
_CARD_LIMIT = 1 << 15
_TRIES, _TRY_SECONDS = 5, 0.3


@dataclass(frozen=True)
class Peer:
    """A pinned party. url: "" where it cannot be dialled; certificate: the newest, in PEM; added: UTC in ISO 8601;
    previous: the certificate before, which is trusted to its end, or empty."""

    name: str
    url: str
    public: PublicKeys
    certificate: bytes
    added: str
    previous: bytes = b""

    @property
    def certificates(self) -> bytes:
        """What TLS is to trust of this peer: PEM after PEM."""
        return self.certificate + self.previous

    @property
    def digests(self) -> frozenset[str]:
        """Of each of its certificates."""
        return frozenset(certificate.read_any(each).digest for each in (self.certificate, self.previous) if each)


class Peers:
    """The pinned peers of a home. The file is read anew whenever it has changed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.path / _STORE
        self._seen: tuple[tuple[int, ...], dict[str, Peer]] | None = None

    def names(self) -> list[str]:
        """Names, sorted."""
        return sorted(self._load())

    def all(self) -> tuple[Peer, ...]:
        """All, by name."""
        held = self._load()
        return tuple(held[name] for name in sorted(held))

    def get(self, name: str) -> Peer:
        """The peer of that name. Raises UsageError where it is unknown."""
        held = self._load()
        if name not in held:
            raise UsageError("There is no peer {name}.", "cleanroom peer list names them.", name=name)
        return held[name]

    def by_key(self, signing: bytes) -> Peer | None:
        """The peer of that Ed25519 key."""
        return next((peer for peer in self._load().values() if peer.public.signing == signing), None)

    def roots(self, now: dt.datetime | None = None) -> bytes:
        """What TLS is to trust: the certificates of all peers that are in force, PEM after PEM."""
        now = now or _now()
        return b"".join(pem for peer in self.all() for pem in trusted(peer, now))

    def add(self, name: str, url: str, certificate_pem: bytes, fingerprint: str) -> Peer:
        """Pin a peer that people have compared the fingerprint of; an address given anew replaces the old one.

        url: "" where it cannot be dialled; fingerprint: hex in any grouping, or the words. Raises Refused unless it is
        that of the certificate's party, BadData for the certificate, UsageError for name or address.
        """
        if url:
            dialled(url)
        shown = certificate.read(certificate_pem, _now())
        if not words.same(fingerprint, shown.public):
            # What it is instead is not told: it would only be copied.
            raise Refused(
                "This is not the fingerprint of who calls itself {party} there.",
                "Have the peer read it to you again: cleanroom peer card. If it differs still, do not go on.",
                party=shown.party,
            )
        self._check_name(name, shown)
        peer = Peer(name, url, shown.public, shown.pem, _text(_now()))
        with private_files.locked(self._home.path / _LOCK):
            held = self._load()
            _check_vacant(held.values(), peer)
            if name in held:
                peer = replace(_renewed(held[name], shown), url=url)
            self._save({**held, name: peer})
        return peer

    def remove(self, name: str) -> None:
        """Forget a peer: from now on it is not let in. Raises UsageError where it is unknown."""
        with private_files.locked(self._home.path / _LOCK):
            self.get(name)
            self._save({key: peer for key, peer in self._load().items() if key != name})

    def renew(self, name: str, certificate_pem: bytes, *, at_once: bool = False) -> Peer:
        """Take a peer's next certificate. The one before is trusted to its end, or with `at_once` no more.

        Raises UsageError where the peer is unknown, BadData for the certificate, Refused for other keys than the pinned
        ones and for an older certificate than the present one.
        """
        shown = certificate.read(certificate_pem, _now())
        with private_files.locked(self._home.path / _LOCK):
            peer = self.get(name)
            if shown.public != peer.public or shown.party != name:
                raise Refused(
                    "This certificate is not of {party} as it is pinned: its keys are others.",
                    "If it has new keys, remove the peer and add it again with its new fingerprint.",
                    party=name,
                )
            renewed = _renewed(peer, shown)
            renewed = replace(renewed, previous=b"") if at_once else renewed
            self._save({**self._load(), name: renewed})
        return renewed

    def _check_name(self, name: str, shown: certificate.NodeCertificate) -> None:
        if shown.public.signing == self._home.keys.public.signing:
            raise UsageError("This is the node itself; a peer is another.")
        if shown.party == self._home.party:
            raise UsageError(
                "This peer has the name of this node's own party, {name}.",
                "One of you makes a home under another name.",
                name=shown.party,
            )
        if name != shown.party:
            raise UsageError(
                "This peer calls itself {party}, not {name}.", "Use its own name.", party=shown.party, name=name
            )

    def _load(self) -> dict[str, Peer]:
        if not self._path.exists() and not self._path.is_symlink():
            return {}
        mark, seen = private_files.mark(self._path), self._seen
        if seen is None or seen[0] != mark:
            seen = self._seen = (mark, _parsed(private_files.read(self._path, _LIMIT), self._home))
        return seen[1]

    def _save(self, held: dict[str, Peer]) -> None:
        peers = [_plain(held[name]) for name in sorted(held)]
        signature = self._home.keys.sign(LABEL, _message(self._home, peers)).hex()
        write_bytes(self._path, canonical.encode({"format": FORMAT, "peers": peers, "signature": signature}))


@dataclass(frozen=True)
class Card:
    """What a party hands to its peers. url: "" where it cannot be dialled; its certificate holds its keys."""

    certificate: certificate.NodeCertificate
    url: str


def trusted(peer: Peer, now: dt.datetime) -> list[bytes]:
    """A peer's certificates that have not expired, in PEM."""
    both = [certificate.read_any(pem) for pem in (peer.certificate, peer.previous) if pem]
    return [each.pem for each in both if now <= each.ends]


def card(home: Home, url: str) -> bytes:
    """This node's card, signed."""
    pem = certificate.own(home).pem.decode()
    body = {"certificate": pem, "url": url}
    signature = home.keys.sign(CARD_LABEL, canonical.encode(body)).hex()
    return canonical.encode({"format": CARD_FORMAT, **body, "signature": signature})


def read_card(content: bytes, now: dt.datetime | None = None) -> Card:
    """A peer's card; whose it is, the fingerprint says. Raises BadData."""
    if len(content) > _CARD_LIMIT:
        raise BadData("A card is longer than it can be.")
    try:
        value = json.loads(content)
        if value["format"] != CARD_FORMAT:
            raise BadData("A card is of an unknown version.", "Update this program, or ask the peer to.")
        body = {"certificate": value["certificate"], "url": value["url"]}
        pem, url, signature = body["certificate"].encode(), body["url"], bytes.fromhex(value["signature"])
        message = canonical.encode(body)
        if type(url) is not str:
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("This is no card of a node.", "The peer writes it: cleanroom peer card --out FILE") from error
    shown = certificate.read(pem, now or _now())
    verify(shown.public.signing, CARD_LABEL, message, signature)
    if url:
        dialled(url)
    return Card(shown, url)


def fetch(url: str, timeout: float = 10.0) -> bytes:
    """The certificate in PEM that the node at `url` shows. Nothing is trusted yet. timeout: seconds.

    Raises UsageError for another form of address, Interrupted where no node answers.
    """
    place = dialled(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint is what is checked
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # below it a node that wants our certificate shows its own to none
    context.set_alpn_protocols(["h2"])
    try:
        with (
            _connected(place, timeout) as raw,
            context.wrap_socket(raw, server_hostname=certificate.HOST) as line,
        ):
            shown = line.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        raise Interrupted("What answers at {url} is no node: it does not speak TLS 1.3.", url=url) from error
    except (OSError, UnicodeError) as error:  # of a host name, too
        raise Interrupted(
            "The node at {url} cannot be reached: {reason}.",
            "Check the address, that the node runs, and the firewalls between.",
            url=url,
            reason=getattr(error, "strerror", "") or "timed out",
        ) from error
    return ssl.DER_cert_to_PEM_cert(shown or b"").encode()


def _renewed(peer: Peer, shown: certificate.NodeCertificate) -> Peer:
    """The peer with this certificate as its newest. Raises Refused for one that an old message or card may hold."""
    present = certificate.read_any(peer.certificate)
    if shown.digest == present.digest:
        return peer
    if shown.begins < present.begins:
        raise Refused(
            "This certificate of {party} is older than the one that is known.", "Ask for its new one.", party=peer.name
        )
    return replace(peer, certificate=shown.pem, previous=peer.certificate)


def _connected(place: tuple[str, int], timeout: float) -> socket.socket:
    """A connection; a node that listens anew, as it does where it has a new peer, refuses some for a moment."""
    for _ in range(_TRIES):
        with suppress(ConnectionRefusedError):
            return socket.create_connection(place, timeout)
        time.sleep(_TRY_SECONDS)
    return socket.create_connection(place, timeout)


def _check_vacant(held: Iterable[Peer], new: Peer) -> None:
    """A name has one key and a key one name."""
    for peer in held:
        if peer.name == new.name and peer.public != new.public:
            raise UsageError(
                "There is a peer {name} with other keys.", "Remove it first: cleanroom peer remove", name=new.name
            )
        if peer.name != new.name and peer.public.signing == new.public.signing:
            raise UsageError("These are the keys of the peer {name}.", "Remove it first.", name=peer.name)


def _message(home: Home, peers: list[dict[str, canonical.Json]]) -> bytes:
    return canonical.encode({"party": home.party, "peers": peers})


def _plain(peer: Peer) -> dict[str, canonical.Json]:
    return {
        "added": peer.added, "certificate": peer.certificate.decode(), "keys": peer.public.text(), "name": peer.name,
        "previous": peer.previous.decode(), "url": peer.url,
    }  # fmt: skip


def _parsed(content: bytes, home: Home) -> dict[str, Peer]:
    try:
        value: dict[str, Any] = json.loads(content)
        if value["format"] != FORMAT:
            raise BadData("The list of peers has a format that this version does not know.")
        verify(home.keys.public.signing, LABEL, _message(home, value["peers"]), bytes.fromhex(value["signature"]))
        peers = [
            Peer(each["name"], each["url"], PublicKeys.parse(each["keys"]), each["certificate"].encode(),
                 each["added"], each["previous"].encode())
            for each in value["peers"]
        ]  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("The list of peers is damaged.", "Restore pinned.json from a backup.") from error
    return {peer.name: peer for peer in peers}


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).replace(microsecond=0).isoformat()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
