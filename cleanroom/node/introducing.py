"""What the commands `node` and `peer` do: set a node up, show whose it is, pin and forget peers.

Every function opens a home and gives plain values back, for `--json` and for people.
"""

import datetime as dt
from pathlib import Path
from typing import Any

from cleanroom import private_files
from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.home import OWN_KEY, Home
from cleanroom.node import certificate, config, words
from cleanroom.node.config import Config
from cleanroom.node.peers import Card, Peer, Peers, card, fetch, read_card

_CARD_LIMIT = 1 << 15


def made(path: Path, party: str, role: str, listen: str | None, url: str, metrics: str | None) -> dict[str, Any]:
    """A node from nothing: home, certificate and node.toml; a home that is there already gets what it lacks.

    listen: None for what follows from `url`; metrics: None for the default. Raises UsageError where there is a
    node.toml, or the home is another party's.
    """
    path = path.expanduser()
    where = Config.metrics if metrics is None else metrics
    settings = Config(role, _listening(url) if listen is None else listen, url, where)
    if (path / config.FILE).exists():
        raise UsageError("The home {name} has a {file} already.", "Change it there.", name=path.name, file=config.FILE)
    home = Home.open(path) if (path / "node.json").exists() else Home.create(path, party)
    if home.party != party:
        raise UsageError("The home {name} is of {party}.", "Name that party.", name=path.name, party=home.party)
    own = certificate.own(home)
    write_bytes(path / config.FILE, config.written(settings).encode())
    return {**_told(home, settings, own), "key_inside": (path / OWN_KEY).exists()}


def certified(path: Path, *, renew: bool, at_once: bool) -> dict[str, Any]:
    """This node's certificate, and its successor where there is one. renew: make one now."""
    home = Home.open(path.expanduser())
    own = certificate.renew(home, at_once=at_once) if renew or at_once else certificate.own(home)
    following = own.following
    return {
        "home": str(home.path),
        "party": home.party,
        "certificate": _certificate(own.certificate),
        "following": _certificate(following) if following else None,
        "switched": certificate.switching(own.certificate, following).isoformat() if following else None,
        "at_once": at_once,
    }


def settings_shown(path: Path, *, default: bool) -> dict[str, Any]:
    """All settings as a node.toml: those in force, or as they are where nothing is set."""
    return {"settings": config.written(Config(config.ROLES[0]) if default else config.load(path.expanduser()))}


def own_card(path: Path, out: Path | None) -> dict[str, Any]:
    """What this node's people tell its peers; written to `out` as a file too."""
    home = Home.open(path.expanduser())
    settings = config.load(home.path)
    if out is not None:
        write_bytes(out.expanduser(), card(home, settings.url), 0o644)
    return {**_told(home, settings, certificate.own(home)), "path": str(out) if out else None}


def added(path: Path, name: str, source: str, fingerprint: str) -> dict[str, Any]:
    """Pin a peer. source: its url, or the file of its card."""
    home = Home.open(path.expanduser())
    shown, url = _introduced(home, source)
    peer = Peers(home).add(name, url, shown, fingerprint)
    return {"home": str(home.path), "party": home.party, **_plain(peer, _now())}


def listed(path: Path) -> dict[str, Any]:
    """All pinned peers."""
    home = Home.open(path.expanduser())
    now = _now()
    return {
        "home": str(home.path),
        "party": home.party,
        "peers": [_plain(peer, now) for peer in Peers(home).all()],
    }


def shown(path: Path, name: str) -> dict[str, Any]:
    """One pinned peer."""
    home = Home.open(path.expanduser())
    return {"home": str(home.path), "party": home.party, **_plain(Peers(home).get(name), _now())}


def removed(path: Path, name: str) -> dict[str, Any]:
    """Forget a peer."""
    home = Home.open(path.expanduser())
    Peers(home).remove(name)
    return {"home": str(home.path), "party": home.party, "name": name}


def renewed(path: Path, name: str, source: str | None) -> dict[str, Any]:
    """Take a peer's new certificate, of its url or card, and trust its old one no more: its keys stay pinned."""
    home = Home.open(path.expanduser())
    peers = Peers(home)
    source = source or peers.get(name).url
    if not source:
        raise UsageError("{name} cannot be dialled.", "Name the file of its new card.", name=name)
    pem, _ = _introduced(home, source)
    return {"home": str(home.path), "party": home.party, **_plain(peers.renew(name, pem, at_once=True), _now())}


def _introduced(home: Home, source: str) -> tuple[bytes, str]:
    """Certificate and url that a peer shows. Raises UsageError where there is neither an address nor a file."""
    if "://" in source:
        seconds = config.load(home.path).times.connect if (home.path / config.FILE).exists() else Config.times.connect
        return fetch(source, seconds), source
    file = Path(source).expanduser()
    if not file.is_file():
        raise UsageError(
            "{name} is neither the address of a node nor the file of a card.",
            "An address is written as grpc+tls://HOST:PORT.",
            name=source,
        )
    found: Card = read_card(private_files.read(file, _CARD_LIMIT))
    return found.certificate.pem, found.url


def _listening(url: str) -> str:
    """Where a node listens whose peers dial `url`: on the same port, and on this machine alone if `url` does."""
    if not url:
        return ""
    host, port = config.dialled(url)
    local = host in ("127.0.0.1", "::1", "localhost")
    return f"127.0.0.1:{port}" if local else f"0.0.0.0:{port}"


def _told(home: Home, settings: Config, own: certificate.Own) -> dict[str, Any]:
    public = own.certificate.public
    return {
        "home": str(home.path),
        "party": home.party,
        "role": settings.role,
        "listen": settings.listen,
        "url": settings.url,
        "fingerprint": public.fingerprint,
        "words": {language: words.spoken(public.fingerprint, language) for language in words.LANGUAGES},
        "certificate": _certificate(own.certificate),
    }


def _plain(peer: Peer, now: dt.datetime) -> dict[str, Any]:
    newest = certificate.read_any(peer.certificate)
    return {
        "name": peer.name,
        "url": peer.url,
        "fingerprint": peer.public.fingerprint,
        "words": {language: words.spoken(peer.public.fingerprint, language) for language in words.LANGUAGES},
        "added": peer.added,
        "certificate": _certificate(newest),
        "state": "in force" if newest.begins <= now <= newest.ends else "expired",
    }


def _certificate(found: certificate.NodeCertificate) -> dict[str, str]:
    return {"begins": found.begins.isoformat(), "ends": found.ends.isoformat(), "digest": found.digest}


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
