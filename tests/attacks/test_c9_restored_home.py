"""C9: a home is restored from a snapshot, and goes on as if nothing had been written since: no (key, nonce) twice."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import aead

from cleanroom import keystore
from cleanroom.overlap.asked import Overlap
from cleanroom.vault import columns
from protocols import labels
from protocols.psi import keyed
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

ROWS = 60


class Sealing:
    """AES-GCM that notes under which key and nonce it sealed what."""

    def __init__(self, key: bytes) -> None:
        self._key, self._real = bytes(key), aead.AESGCM(key)

    used: list[tuple[bytes, bytes]]

    def encrypt(self, nonce: bytes, content: bytes, with_it: bytes | None) -> bytes:
        self.used.append((self._key, bytes(nonce)))
        return self._real.encrypt(nonce, content, with_it)

    def decrypt(self, nonce: bytes, content: bytes, with_it: bytes | None) -> bytes:
        return self._real.decrypt(nonce, content, with_it)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Every key and nonce that anything was sealed with, files of the vault by their own keys."""
    pairs: list[tuple[bytes, bytes]] = []
    noting = type("Noting", (Sealing,), {"used": pairs})
    for module in (keystore, keyed, labels):
        monkeypatch.setattr(module, "AESGCM", noting)
    real: Callable[..., Any] = columns._Keys.wrap_key

    def wrap(self: Any, key: bytes, name: str) -> Any:
        pairs.append((bytes(key), b"a file's"))  # Arrow draws its nonces; a key is one file's
        return real(self, key, name)

    monkeypatch.setattr(columns._Keys, "wrap_key", wrap)
    return pairs


@pytest.mark.parametrize("protocol", ["keyed", "dh"])
def test_no_key_and_nonce_seal_twice_when_a_snapshot_goes_on(
    protocol: str, tmp_path: Path, used: list[tuple[bytes, bytes]]
) -> None:
    """Both parties' homes before a run are kept, brought back, and the same run is made again, over the same rows."""
    phones = [13_800_000_000 + n for n in range(ROWS)]
    merchant = world.csv(tmp_path / "m.csv", {"phone": phones, "level": ["a"] * ROWS, "spend": range(ROWS)})
    platform = world.csv(tmp_path / "p.csv", {"phone": phones, "city": ["x"] * ROWS})
    asked = Overlap(merchant, platform, by=("merchant.level",), sums=("merchant.spend",), k=50, key_bits=2048)
    homes, _, query = world.prepare(tmp_path, asked, protocol)
    before = len(used)
    for name, home in homes.items():
        shutil.copytree(home.path, tmp_path / "snapshot" / name)
    for again in (False, True):
        if again:
            for name, home in homes.items():
                shutil.rmtree(home.path)
                (tmp_path / "snapshot" / name).rename(home.path)
        result = world.run(homes, query)
        assert not result.failures, result.failures
        assert len(used) > before
        before = len(used)
    assert len(set(used)) == len(used)


def test_the_attack_is_seen(used: list[tuple[bytes, bytes]]) -> None:
    """Two seals under one key and nonce are counted as such."""
    for content in (b"one", b"two"):
        keystore.AESGCM(bytes(32)).encrypt(bytes(12), content, None)
    assert len(set(used)) == 1
    assert len(used) == 2
