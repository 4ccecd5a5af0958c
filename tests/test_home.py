"""A node's home: made whole or not at all, opened only by its key, never through links."""

import json
import os
import stat

import pytest

from cleanroom import home as homes
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.home import Home
from cleanroom.keystore import Cost, Keystore


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("CLEANROOM_KEY_FILE", "CLEANROOM_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path):
    return Home.create(tmp_path / "home", "merchant")


def test_a_home_comes_back_as_it_was(home):
    again = Home.open(home.path)
    assert (again.party, again.keys.public) == ("merchant", home.keys.public)
    assert (again.rooms.name, again.peers.name, again.ledger_path.name) == ("rooms", "peers", "ledger.sqlite")
    assert again.rooms.is_dir()
    assert again.peers.is_dir()
    assert again.vault.datasets() == []


def test_nobody_else_may_look_in(home):
    for path in (home.path, *home.path.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_home_inside_a_home_is_a_peer(home):
    peer = Home.create(home.peers / "platform", "platform")
    assert Home.open(peer.path).party == "platform"
    assert peer.keys.public != home.keys.public


def test_a_passphrase_home(tmp_path):
    def by(word):
        return Keystore._from_passphrase(word, Cost(4, 1, 1))

    made = Home.create(tmp_path / "h", "商家一号", by("correct horse"))
    assert Home.open(made.path, by("correct horse")).party == "商家一号"
    assert not (made.path / "unlock.key").exists()
    with pytest.raises(BadData, match="passphrase"):
        Home.open(made.path, by("wrong horses"))
    with pytest.raises(UsageError, match="CLEANROOM_PASSPHRASE"):
        Home.open(made.path)


def test_the_environment_names_the_key_file(tmp_path, monkeypatch):
    Keystore.make_key_file(tmp_path / "key")
    monkeypatch.setenv("CLEANROOM_KEY_FILE", str(tmp_path / "key"))
    made = Home.create(tmp_path / "h", "merchant")
    assert not (made.path / "unlock.key").exists()
    assert Home.open(made.path).keys.public == made.keys.public
    monkeypatch.delenv("CLEANROOM_KEY_FILE")
    with pytest.raises(UsageError):
        Home.open(made.path)
    Keystore.make_key_file(tmp_path / "other")
    with pytest.raises(BadData):
        Home.open(made.path, Keystore.from_key_file(tmp_path / "other"))


def test_what_exists_is_never_made_into_a_home(home, tmp_path):
    before = sorted((path, path.stat().st_mtime_ns) for path in home.path.rglob("*"))
    with pytest.raises(UsageError, match="already"):
        Home.create(home.path, "platform")
    assert sorted((path, path.stat().st_mtime_ns) for path in home.path.rglob("*")) == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("full", "file", "link", "missing/h"):
        with pytest.raises(UsageError):
            Home.create(tmp_path / name, "merchant")
    assert Home.create(tmp_path / "empty", "merchant").party == "merchant"
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700


@pytest.mark.parametrize("party", ["", " a", "a\nb", "a\0", "\u202eabc", "x" * 65])
def test_odd_party_names_are_refused(tmp_path, party):
    with pytest.raises(UsageError):
        Home.create(tmp_path / "h", party)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_home_is_not_opened(home, tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UsageError, match="not a home"):
            Home.open(path)
    (tmp_path / "link").symlink_to(home.path)
    with pytest.raises(UsageError):
        Home.open(tmp_path / "link")


@pytest.mark.parametrize(
    "node",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"format":"cleanroom-home/3","party":"m"}',
        b'{"party":"m"}',
        b'{"format":"cleanroom-home/2"}',
        b'{"format":"cleanroom-home/2","party":1}',
    ],
)
def test_unknown_formats_are_refused(home, node):
    (home.path / "node.json").write_bytes(node)
    with pytest.raises(BadData):
        Home.open(home.path)


@pytest.mark.parametrize("inner", ["", "keys", "vault", "rooms"])
def test_a_folder_open_to_others_is_refused(home, inner):
    (home.path / inner).chmod(0o750)
    with pytest.raises(Refused, match="chmod 700"):
        Home.open(home.path)


@pytest.mark.parametrize("inner", ["keys", "vault", "rooms", "node.json", "keystore.json"])
def test_links_and_gaps_inside_are_refused(home, tmp_path, inner):
    (home.path / inner).rename(tmp_path / "moved")
    with pytest.raises(CleanroomError):
        Home.open(home.path)
    (home.path / inner).symlink_to(tmp_path / "moved")
    with pytest.raises(BadData):
        Home.open(home.path)


def test_a_pipe_in_place_of_a_file_does_not_hang(home):
    (home.path / "node.json").unlink()
    os.mkfifo(home.path / "node.json")
    with pytest.raises(BadData, match="regular"):
        Home.open(home.path)


@pytest.mark.parametrize("step", range(5))
def test_a_failure_leaves_no_half_home(tmp_path, monkeypatch, step):
    count = iter(range(100))
    real = homes.private_files.sync_folder, homes.write_bytes, homes.PartyKeys.create, homes.Keystore.make_key_file

    def failing(call):
        def wrapped(*args):
            if next(count) == step:
                raise OSError(28, "No space left on device")
            return call(*args)

        return wrapped

    monkeypatch.setattr(homes.Keystore, "make_key_file", failing(real[3]))
    monkeypatch.setattr(homes, "write_bytes", failing(real[1]))
    monkeypatch.setattr(homes.PartyKeys, "create", failing(real[2]))
    monkeypatch.setattr(homes.Path, "replace", failing(homes.Path.replace))
    with pytest.raises(CleanroomError, match="No space"):
        Home.create(tmp_path / "h", "merchant")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert Home.create(tmp_path / "h", "merchant").party == "merchant"


def test_nothing_secret_stands_in_plain(home):
    node = json.loads((home.path / "node.json").read_text())
    assert node == {"format": "cleanroom-home/2", "party": "merchant"}
    from cleanroom.keys import SecretAccess

    secret = home.keys.exchange_secret(SecretAccess("test"))
    for path in home.path.rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes()
            assert secret.hex().encode() not in path.read_bytes()
