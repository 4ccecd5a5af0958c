"""Homes that have pinned each other, in one process: for what needs no running node."""

from pathlib import Path

from cleanroom.home import Home
from cleanroom.node import certificate
from cleanroom.node.config import Config, written
from cleanroom.node.peers import Peers
from tests.near import new_home


def homes(folder: Path, *parties: str) -> dict[str, Home]:
    """A home for each party, with a node.toml and all others as peers that cannot be dialled."""
    found = {party: new_home(folder / party, party) for party in parties}
    for home in found.values():
        (home.path / "node.toml").write_text(written(Config("merchant", "", "grpc+tls://127.0.0.1:9", "")))
        introduce(home, *(other for other in found.values() if other is not home))
    return found


def introduce(home: Home, *others: Home, url: str = "") -> None:
    """Have `home` pin others."""
    for other in others:
        Peers(home).add(other.party, url, certificate.own(other).pem, other.keys.public.fingerprint)
