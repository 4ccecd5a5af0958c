"""A backup holds the whole home, shows nothing of it, and what was changed, cut or exchanged is refused."""

import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.home import Home
from cleanroom.keys import PublicKeys
from cleanroom.keystore import Cost, Keystore, Wrapping
from cleanroom.ledger.opening import open_ledger
from cleanroom.operations import sealed_stream
from cleanroom.operations.archive import ArchiveReader, ArchiveWriter
from cleanroom.operations.backup import opened, verify, write
from cleanroom.operations.restore import restore
from cleanroom.operations.sealed_stream import (
    CHUNK,
    SealedReader,
    SealingWriter,
    as_recipient,
    by_keystore,
    to_recipient,
    with_keystore,
)
from tests.near import new_home
from tests.operations.world import PLANTED, World, backed_up, backup_key, fill, locks, world


@pytest.fixture
def parties(tmp_path: Path) -> World:
    return world(tmp_path)


def plain_lock() -> tuple[dict[str, object], Wrapping]:
    return {"keystore": "none"}, Wrapping(b"r" * 32)


def sealed(content: bytes) -> bytes:
    out = BytesIO()
    writer = SealingWriter(out, plain_lock)  # type: ignore[arg-type]
    for at in range(0, len(content), 1000_003):
        writer.write(content[at : at + 1000_003])
    writer.finish()
    return out.getvalue()


def unsealed(content: bytes, length: int) -> bytes:
    reader = SealedReader(BytesIO(content), lambda _: Wrapping(b"r" * 32))
    found = reader.read(length)
    reader.finish()
    return found


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
def test_what_was_sealed_comes_back(length: int) -> None:
    content = os.urandom(length)
    assert unsealed(sealed(content), length) == content


def test_chunks_cannot_be_exchanged_cut_or_repeated() -> None:
    content = os.urandom(3 * CHUNK + 5)
    whole = sealed(content)
    head, body = whole.index(b"\n") + 1, whole[whole.index(b"\n") + 1 :]
    chunks = [body[at : at + CHUNK + 16] for at in range(0, len(body), CHUNK + 16)]
    assert len(chunks) == 4
    changed = {
        "exchanged": [chunks[1], chunks[0], *chunks[2:]],
        "cut": chunks[:-1],
        "cut in the middle": [*chunks[:-1], chunks[-1][:-1]],
        "repeated": [*chunks, chunks[-1]],
        "one left out": [chunks[0], *chunks[2:]],
        "of another file": [sealed(content)[head : head + CHUNK + 16], *chunks[1:]],
        "nothing": [],
    }
    for name, those in changed.items():
        with pytest.raises(BadData, match="damaged"):
            unsealed(whole[:head] + b"".join(those), len(content))
            pytest.fail(name)


def test_a_file_cut_between_two_chunks_is_seen_though_every_chunk_verifies() -> None:
    whole = sealed(bytes(3 * CHUNK + 5))
    reader = SealedReader(BytesIO(whole[: -5 - 16]), lambda _: Wrapping(b"r" * 32))
    assert reader.read(2 * CHUNK) == bytes(2 * CHUNK)
    with pytest.raises(BadData, match="damaged"):
        reader.read(CHUNK)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_changed_bit_is_seen(data: st.DataObject) -> None:
    whole = bytearray(sealed(b"content" * 20))
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[at // 8] ^= 1 << at % 8
    with pytest.raises(CleanroomError):
        unsealed(bytes(whole), 140)


def test_every_file_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[bytes, bytes]] = []
    real = sealed_stream.AESGCM

    class Noting:
        def __init__(self, key: bytes) -> None:
            self._key, self._real = key, real(key)

        def encrypt(self, nonce: bytes, content: bytes, with_it: bytes) -> bytes:
            used.append((self._key, nonce))
            return self._real.encrypt(nonce, content, with_it)

    monkeypatch.setattr(sealed_stream, "AESGCM", Noting)
    for _ in range(2):
        sealed(bytes(2 * CHUNK))
    assert len(used) == len(set(used)) == 4


class _Out:
    def __init__(self) -> None:
        self.content = b""

    def write(self, content: bytes) -> None:
        self.content += content


class _In:
    def __init__(self, content: bytes) -> None:
        self._file = BytesIO(content)

    def read(self, length: int) -> bytes:
        found = self._file.read(length)
        if len(found) < length:
            raise BadData("The backup is damaged or incomplete.")
        return found


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "a//b", "", "a\\b", "a\0b", "./a", "a/", "."])
def test_no_path_leads_out_of_the_home(path: str) -> None:
    out = _Out()
    writer = ArchiveWriter(out, {})
    writer.add(path, [b"x"], pack=False)
    writer.finish()
    with pytest.raises(BadData, match="damaged"):
        list(ArchiveReader(_In(out.content)).each())


def test_a_block_that_unpacks_to_more_is_refused() -> None:
    import zlib

    bomb = zlib.compress(bytes(1 << 20), 9)
    record = b'{"path":"a"}'
    content = len(b'{"about":{}}').to_bytes(4, "big") + b'{"about":{}}' + len(record).to_bytes(4, "big") + record
    content += (1 << 31 | len(bomb)).to_bytes(4, "big") + bomb
    with pytest.raises(BadData, match="damaged"):
        for _, blocks in ArchiveReader(_In(content)).each():
            list(blocks)


def test_a_home_comes_back_as_it_was(parties: World, tmp_path: Path) -> None:
    home = parties.merchant
    told = parties.ask(home, parties.question(), b"the noise")
    (home.rooms / "spring" / "receipt.json").write_bytes(b"{}")
    before = {p.relative_to(home.path): p.read_bytes() for p in home.path.rglob("*.parquet")}
    file = backed_up(home, tmp_path)
    found = verify(file, locks(tmp_path)[1])
    assert (found.party, found.home) == ("merchant", "cleanroom-home/2")
    assert found.files >= 8
    done = restore(file, locks(tmp_path)[1], tmp_path / "again")
    assert (done.backup.files, done.backup.bytes) == (found.files, found.bytes)
    again = Home.open(tmp_path / "again")
    assert again.keys.public == home.keys.public
    assert again.vault.rows("crm") == 40
    assert next(iter(again.vault.read("crm", ["note"]))).column(0)[0].as_py() == PLANTED
    assert {p.relative_to(again.path): p.read_bytes() for p in again.path.rglob("*.parquet")} == before
    assert (again.rooms / "spring" / "receipt.json").read_bytes() == b"{}"
    with open_ledger(again) as ledger:
        assert ledger.draws(parties.question().digest(), lambda: b"another") == told
    assert all(path.stat().st_mode & 0o077 == 0 for path in again.path.rglob("*"))


def test_nothing_of_the_home_stands_bare(parties: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the backup nor in a file beside it, at any moment."""
    backup_key(tmp_path)
    with open_ledger(parties.merchant):
        pass
    before, made, real = set(tmp_path.rglob("*")), set[str](), ArchiveWriter.add

    def add(self: ArchiveWriter, path: str, content: Iterable[bytes], *, pack: bool) -> None:
        real(self, path, (made.update(p.name for p in set(tmp_path.rglob("*")) - before) or part for part in content),
             pack=pack)  # fmt: skip

    monkeypatch.setattr(ArchiveWriter, "add", add)
    file = backed_up(parties.merchant, tmp_path)
    content = file.read_bytes()
    own_key = (parties.merchant.path / "unlock.key").read_bytes()
    for secret in (b"merchant", b"crm", b"spring", PLANTED.encode(), own_key):
        assert secret not in content
    assert {name.partition(".")[2].rpartition(".")[0] for name in made if "lock" not in name} == {"home.backup"}


def test_it_opens_by_its_key_alone(parties: World, tmp_path: Path) -> None:
    file = backed_up(parties.merchant, tmp_path)
    Keystore.make_key_file(tmp_path / "other.key")
    with pytest.raises(BadData, match="does not open this backup"):
        verify(file, with_keystore(Keystore.from_key_file(tmp_path / "other.key")))
    with pytest.raises(UsageError, match="another kind"):
        verify(file, with_keystore(Keystore.from_passphrase("correct horse")))
    cheap = Keystore._from_passphrase("correct horse", Cost(2, 8, 1))
    write(parties.merchant, tmp_path / "by-words", by_keystore(cheap))
    assert verify(tmp_path / "by-words", with_keystore(cheap)).party == "merchant"
    with pytest.raises(BadData, match="does not open this backup"):
        verify(tmp_path / "by-words", with_keystore(Keystore._from_passphrase("wrong horse", Cost(2, 8, 1))))


def test_it_opens_for_its_recipient_alone(parties: World, tmp_path: Path) -> None:
    keys = parties.platform.keys
    write(parties.merchant, tmp_path / "for-platform", to_recipient(PublicKeys.parse(keys.public.text())))
    assert verify(tmp_path / "for-platform", as_recipient(keys)).party == "merchant"
    with pytest.raises(BadData, match="not for the key"):
        verify(tmp_path / "for-platform", as_recipient(parties.merchant.keys))
    with pytest.raises(UsageError, match="holder of a key"):
        verify(tmp_path / "for-platform", locks(tmp_path)[1])


def test_a_damaged_backup_makes_no_home(parties: World, tmp_path: Path) -> None:
    file = backed_up(parties.merchant, tmp_path)
    whole = file.read_bytes()
    for content in (whole[:-1], whole[: len(whole) // 2], whole + b"x", whole.replace(b"backup/1", b"backup/9"), b""):
        file.write_bytes(content)
        with pytest.raises(BadData):
            restore(file, locks(tmp_path)[1], tmp_path / "again")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.key", "home.backup", "merchant", "platform"]


def test_a_backup_replaces_nothing(parties: World, tmp_path: Path) -> None:
    file = backed_up(parties.merchant, tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        backed_up(parties.merchant, tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        restore(file, locks(tmp_path)[1], parties.platform.path)
    with pytest.raises(UsageError, match="does not lie in the home"):
        write(parties.merchant, parties.merchant.path / "b", locks(tmp_path)[0])


def test_a_restored_home_needs_its_own_key(parties: World, tmp_path: Path) -> None:
    """The key that opens the backup does not open the home: where the home's was kept elsewhere, it is needed too."""
    (tmp_path / "away").mkdir()
    shutil.move(parties.merchant.path / "unlock.key", tmp_path / "away" / "unlock.key")
    file = backed_up(parties.merchant, tmp_path)
    with pytest.raises(UsageError, match="how to open"):
        restore(file, locks(tmp_path)[1], tmp_path / "again")
    with pytest.raises(BadData, match="Each home has its own"):
        restore(file, locks(tmp_path)[1], tmp_path / "again", keystore=backup_key(tmp_path))
    key = Keystore.from_key_file(tmp_path / "away" / "unlock.key")
    restore(file, locks(tmp_path)[1], tmp_path / "again", keystore=key)
    assert Home.open(tmp_path / "again", key).party == "merchant"


def test_a_clock_that_runs_behind_is_refused(parties: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = backed_up(parties.merchant, tmp_path)
    monkeypatch.setattr("cleanroom.operations.restore.now", lambda: "2020-01-01T00:00:00Z")
    with pytest.raises(Refused, match="clock"):
        restore(file, locks(tmp_path)[1], tmp_path / "again")


def test_backups_while_the_home_is_written_to(parties: World, tmp_path: Path) -> None:
    """Imports, debits and forgotten persons all the while: each backup is a home that verifies."""
    home, stop = parties.merchant, threading.Event()
    failures: list[BaseException] = []

    def write_on() -> None:
        own, number = Home.open(home.path), 0
        try:
            while not stop.is_set():
                number += 1
                fill(own, f"set{number % 3}", range(10 * number, 10 * number + 5))
                fill(own, "crm", range(40))
                with open_ledger(own) as ledger:
                    ledger.append("import", {"dataset": "crm", "manifest": "a" * 64, "rows": number})
        except BaseException as error:  # told by the test
            failures.append(error)

    thread = threading.Thread(target=write_on)
    thread.start()
    try:
        for number in range(4):
            file = backed_up(home, tmp_path, f"b{number}")
            restore(file, locks(tmp_path)[1], tmp_path / f"again{number}")
            again = Home.open(tmp_path / f"again{number}")
            assert all(again.vault.rows(name) for name in again.vault.datasets())
    finally:
        stop.set()
        thread.join()
    assert not failures


def test_memory_does_not_grow_with_the_home(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home", "merchant")
    large = home.rooms / "large.parquet"
    with large.open("wb") as file:
        for _ in range(48):
            file.write(os.urandom(1 << 20))
    tracemalloc.start()
    try:
        file = backed_up(home, tmp_path)
        verify(file, locks(tmp_path)[1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_a_link_in_the_home_is_not_followed(parties: World, tmp_path: Path) -> None:
    (parties.merchant.rooms / "link").symlink_to("/etc/passwd")
    with pytest.raises(BadData, match="symbolic link"):
        backed_up(parties.merchant, tmp_path)


def test_killed_at_any_moment_a_restore_leaves_no_home(parties: World, tmp_path: Path) -> None:
    """A process that dies while it restores leaves nothing that opens under the name."""
    file = backed_up(parties.merchant, tmp_path)
    with opened(file, locks(tmp_path)[1]) as reading:
        names = [name for name, blocks in reading.archive.each() for _ in blocks]
    code = (
        "import os, sys, pathlib\n"
        "from cleanroom.operations import restore as r\n"
        "from cleanroom.operations.sealed_stream import with_keystore\n"
        "from cleanroom.keystore import Keystore\n"
        "real, left = r._write, [int(sys.argv[4])]\n"
        "def write(*given):\n"
        "    left[0] -= 1\n"
        "    os._exit(9) if left[0] < 0 else real(*given)\n"
        "r._write = write\n"
        "made = r.open_ledger\n"
        "r.open_ledger = lambda home: os._exit(9)\n"
        "key = Keystore.from_key_file(pathlib.Path(sys.argv[2]))\n"
        "r.restore(pathlib.Path(sys.argv[1]), with_keystore(key), pathlib.Path(sys.argv[3]))\n"
    )
    for at in (len(names) // 2, 10_000):
        done = subprocess.run(
            [sys.executable, "-c", code, file, tmp_path / "backup.key", tmp_path / "again", str(at)], check=False
        )
        assert done.returncode == 9
        assert not (tmp_path / "again").exists()
    restore(file, locks(tmp_path)[1], tmp_path / "again")
