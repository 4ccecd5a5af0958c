"""What somebody with access to the folder may try, and what must never be found in it."""

import os
import resource
import shutil
import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet import encryption
from vault_world import SCHEMA, people, person, persons, read, table, write

from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.home import Home
from cleanroom.vault import Finish, columns
from cleanroom.vault.encrypted_file import Place
from cleanroom.vault.files import FolderFiles


def folder_of(home, name="crm"):
    """The folder of the dataset's current version."""
    from cleanroom.vault.folders import DatasetFolder

    folder = DatasetFolder.of(home.path / "vault", name)
    return folder.version_path(folder.current())


def refined(_):
    return Finish(np.arange(50) % 2 == 0, {"t.spend": np.arange(25) * 7})


def test_no_planted_value_is_found_in_any_file(vault, home):
    write(vault, "crm", range(50), finish=refined)
    write(vault, "crm", range(50), finish=refined)
    vault.forget(persons([3, 4]))
    planted = ["planted-", "备注", "13800000", "手机号", "crm.csv"]
    needles = [text.encode(form) for text in planted for form in ("utf-8", "utf-16-le", "gb18030")]
    needles += [person(n) for n in (0, 3, 4)] + [person(n).hex().encode() for n in (0, 3, 4)]
    needles += [np.arange(7, 70, 7, dtype=np.int64).tobytes()]
    files = [path for path in home.path.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        assert not [needle for needle in needles if needle in content], path.name


def test_nothing_of_the_names_is_a_path(vault, home):
    for name in ("../evil", "..", ".", "a/b", "a\\b", "", " ", "x\0y", "x\ny", "/etc/passwd", "\u202egpj", "n" * 101):
        if name in ("..", "."):  # no path is made of it, so these are names like any other
            write(vault, name, range(2))
            continue
        for ask in (lambda n=name: write(vault, n, range(2)), lambda n=name: vault.read(n)):
            with pytest.raises(UsageError) as caught:
                ask()
            assert "evil" not in str(caught.value)
    write(vault, "会员-2024", range(2))
    below = {path.name for path in (home.path / "vault").iterdir() if path.is_dir()}
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in below)
    assert not (home.path / "evil").exists()


def test_every_file_is_for_its_owner_only(vault, home):
    write(vault, "crm", range(50), finish=refined)
    vault.forget(persons([2]))
    for path in (home.path / "vault").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("name", ["part-0000.parquet", "part-0002.parquet", "refined-0001.parquet", "manifest"])
def test_any_tampered_byte_is_noticed(vault, home, reopened, name):
    write(vault, "crm", range(50), finish=refined)
    path = folder_of(home) / name
    content = path.read_bytes()
    for at in {0, 5, len(content) // 3, len(content) // 2, len(content) - 9, len(content) - 2}:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(BadData):
            reopened().read("crm")
        with pytest.raises(BadData):  # also by a process that had verified it before
            vault.digests("crm")
    path.write_bytes(content)
    assert len(people(reopened(), "crm")) == 25


def test_tampering_after_the_check_is_noticed_by_the_encryption(vault, home):
    write(vault, "crm", range(50))
    reading = vault.read("crm")
    path = folder_of(home) / "part-0001.parquet"
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(byte ^ 1 for byte in content[100:2000])
    with path.open("r+b") as file:
        file.write(content)
    with pytest.raises(BadData, match="part-0001"):
        list(reading)


@pytest.mark.parametrize("name", ["part-0001.parquet", "refined-0000.parquet", "manifest"])
def test_missing_cut_linked_or_other_files_are_refused(vault, home, reopened, tmp_path, name):
    write(vault, "crm", range(50), finish=refined)
    path = folder_of(home) / name
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(BadData):
        reopened().read("crm")
    for cut in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(BadData):
            reopened().read("crm")
    path.unlink()
    (tmp_path / "moved").write_bytes(content)
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(BadData):
        reopened().read("crm")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BadData):
        reopened().read("crm")


def test_files_exchanged_between_parts_versions_datasets_and_homes(vault, home, reopened, another):
    write(vault, "shop", range(50))
    write(vault, "crm", range(50))
    write(vault, "crm", range(50))
    stranger = another()
    write(stranger, "crm", range(50))
    mine = folder_of(home) / "part-0000.parquet"
    own = mine.read_bytes()
    foreign = next(stranger.path.rglob("part-0000.parquet"))
    for other in (
        folder_of(home) / "part-0001.parquet",
        folder_of(home).with_name("v00000001") / "part-0000.parquet",
        folder_of(home, "shop") / "part-0000.parquet",
        foreign,
    ):
        mine.write_bytes(other.read_bytes())
        with pytest.raises(BadData):
            reopened().read("crm")
    mine.write_bytes(own)
    assert len(people(reopened(), "crm")) == 50


def test_a_file_from_elsewhere_does_not_open_even_unchecked(vault, home):
    """The wrapped keys name their file: the digests in the manifest are not the only guard."""
    write(vault, "crm", range(10))
    source = folder_of(home) / "part-0000.parquet"
    shutil.copy(source, source.with_name("part-0007.parquet"))
    prefix = f"vault/{source.parent.parent.name}/v00000001/"
    place = Place(FolderFiles(source.parent, prefix), home.wrapping)
    assert place.open(source.name, ["c1"]).metadata.num_rows == 10
    with pytest.raises(BadData):
        place.open("part-0007.parquet", ["c1"])


def test_whole_versions_and_datasets_cannot_change_places(vault, home, reopened):
    write(vault, "shop", range(5))
    write(vault, "crm", range(10))
    write(vault, "crm", range(12))
    current = folder_of(home)
    old = current.with_name("v00000001")
    shutil.rmtree(current)
    shutil.copytree(old, current)
    with pytest.raises(BadData):
        reopened().read("crm")
    shutil.rmtree(current)
    shutil.copytree(folder_of(home, "shop"), current)
    with pytest.raises(BadData):
        reopened().read("crm")


def test_a_manifest_signed_by_another_party_is_refused(vault, home, reopened, tmp_path):
    write(vault, "crm", range(10))
    other = Home.create(tmp_path / "other", "merchant")
    name = f"vault/{folder_of(home).parent.name}/v00000001/manifest"
    manifest = vault.manifest("crm")
    for wrapping in (home.wrapping, other.wrapping):
        (folder_of(home) / "manifest").write_bytes(manifest.sealed(other.keys, wrapping, name))
        with pytest.raises(BadData):
            reopened().read("crm")


def test_unknown_versions_of_manifest_and_pointer_are_refused(vault, home, reopened):
    write(vault, "crm", range(10))
    manifest, pointer = folder_of(home) / "manifest", folder_of(home).parent / "current"
    for path, change in (
        (manifest, (b"manifest/1", b"manifest/2")),
        (pointer, (b"current/1", b"current/2")),
        (pointer, (b"v00000001", b"../../../..")),
        (pointer, (b"v00000001", b"v00000009")),
    ):
        content = path.read_bytes()
        path.write_bytes(content.replace(*change))
        with pytest.raises(BadData):
            reopened().read("crm")
        path.write_bytes(content)


def test_linked_folders_are_refused(vault, home, reopened, tmp_path):
    write(vault, "crm", range(10))
    version = folder_of(home)
    version.rename(tmp_path / "moved")
    version.symlink_to(tmp_path / "moved")
    with pytest.raises(BadData):
        reopened().read("crm")
    version.unlink()
    (tmp_path / "moved").rename(version)
    dataset = version.parent
    dataset.rename(tmp_path / "moved")
    dataset.symlink_to(tmp_path / "moved")
    with pytest.raises(BadData):
        write(reopened(), "crm", range(10))


# --- keys a column ---


def opened(home, granted):
    path = folder_of(home) / "part-0000.parquet"
    prefix = f"vault/{path.parent.parent.name}/{path.parent.name}/"
    return Place(FolderFiles(path.parent, prefix), home.wrapping).open(path.name, granted)


def test_a_withheld_column_does_not_open_although_another_opened_it_before(vault, home):
    write(vault, "crm", range(10))
    everything = opened(home, [f"c{at}" for at in range(len(SCHEMA))])
    assert everything.read().num_rows == 10
    one = opened(home, ["c1"])
    assert one.read(["c1"]).num_rows == 10
    for ask in (["c4"], ["c1", "c4"], None):
        with pytest.raises(Refused, match="withheld"):
            one.read(ask)
        with pytest.raises(Refused):
            one.read_row_group(0, ask)


def test_why_no_factory_is_shared(tmp_path):
    """pyarrow's cache outlives the permission: a shared factory opens a column whose key is refused by then."""
    refused = set()

    class Keys(encryption.KmsClient):
        def __init__(self, _config):
            super().__init__()

        def wrap_key(self, key_bytes, master_key_identifier):
            return key_bytes.hex()

        def unwrap_key(self, wrapped_key, master_key_identifier):
            if master_key_identifier in refused:
                raise Refused("withheld")
            return bytes.fromhex(wrapped_key)

    def read_secret(factory):
        leave = factory.file_decryption_properties(encryption.KmsConnectionConfig())
        return pq.ParquetFile(tmp_path / "x", decryption_properties=leave).read(["secret"]).num_rows

    shared = encryption.CryptoFactory(Keys)
    asked = encryption.EncryptionConfiguration("footer", column_keys={"key": ["secret"]})
    leave = shared.file_encryption_properties(encryption.KmsConnectionConfig(), asked)
    pq.write_table(pa.table({"secret": [1], "open": [2]}), tmp_path / "x", encryption_properties=leave)
    assert read_secret(shared) == 1
    refused.add("key")
    assert read_secret(shared) == 1  # the hole
    with pytest.raises(Refused):
        read_secret(encryption.CryptoFactory(Keys))


def test_reading_unwraps_the_keys_of_the_columns_asked_for_only(vault, monkeypatch):
    write(vault, "crm", range(50), finish=refined)
    unwrapped = set()
    real = columns._Keys.unwrap_key

    def noting(self, wrapped_key, name):
        unwrapped.add(name.rpartition("#")[2])
        return real(self, wrapped_key, name)

    monkeypatch.setattr(columns._Keys, "unwrap_key", noting)
    read(vault, "crm", ["o.备注"])
    assert unwrapped == {"footer", "c5", "keep"}
    unwrapped.clear()
    vault.digests("crm")
    assert unwrapped == {"footer", "c1", "keep"}


def test_a_restored_snapshot_uses_no_key_twice(home, tmp_path, monkeypatch):
    from vault_world import small

    snapshot = tmp_path / "snapshot"
    shutil.copytree(home.path, snapshot)
    data_keys, wrapped = [], []
    real = columns._Keys.wrap_key

    def noting(self, key_bytes, name):
        data_keys.append(bytes(key_bytes))
        wrapped.append(real(self, key_bytes, name))
        return wrapped[-1]

    monkeypatch.setattr(columns._Keys, "wrap_key", noting)
    for path in (home.path, snapshot):
        write(small(Home.open(path).vault), "crm", range(50), finish=refined)
    assert len(data_keys) == 2 * (3 * (len(SCHEMA) + 1) + 3 * 3)
    assert len(set(data_keys)) == len(data_keys)
    assert {len(key) for key in data_keys} == {32}
    assert len({text[:66] for text in wrapped}) == len(wrapped)  # version byte and salt


def test_the_files_are_gcm_with_an_encrypted_footer(vault, home):
    write(vault, "crm", range(10))
    path = folder_of(home) / "part-0000.parquet"
    assert path.read_bytes()[:4] == path.read_bytes()[-4:] == b"PARE"  # PAR1 would be a plain footer
    with pytest.raises(OSError, match="encrypted"):
        pq.ParquetFile(path)


# --- a disk that fails ---


def test_a_full_disk_leaves_the_old_version_and_no_rest(vault, home, reopened):
    write(vault, "crm", range(10))
    before = sorted(path.name for path in folder_of(home).parent.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, hard))
    try:
        with pytest.raises(BadData, match="cannot be written"):
            write(vault, "crm", range(500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in folder_of(home).parent.iterdir()) == before
    assert people(reopened(), "crm") == list(range(10))
    assert write(reopened(), "crm", range(12)).version == 2


def test_a_source_that_fails_is_not_blamed_on_the_vault(vault, home):
    write(vault, "crm", range(10))

    def batches():
        yield from table(range(40)).to_batches(10)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        vault.write("crm", SCHEMA, batches(), meta={})
    assert people(vault, "crm") == list(range(10))
    assert not list(home.path.rglob(".new-*"))


def test_errors_hold_no_values(vault, home, reopened):
    write(vault, "crm", range(50))
    schema = SCHEMA.set(1, pa.field("digest", pa.binary(32)))
    without = table(range(10)).set_column(1, "digest", pa.nulls(10, pa.binary(32))).cast(schema)
    told = []
    for ask in (
        lambda: vault.write("crm", schema, without.to_batches(), meta={}),
        lambda: vault.write("crm", schema, [pa.record_batch({"o.x": ["13800000001"]})], meta={}),
        lambda: vault.read("crm", ["x"]),
        lambda: (folder_of(home) / "part-0000.parquet").write_bytes(b"PARE") and reopened().read("crm"),
    ):
        with pytest.raises(CleanroomError) as caught:
            ask()
        told.append(str(caught.value))
    assert not [text for text in told if "1380000" in text or "planted" in text]
