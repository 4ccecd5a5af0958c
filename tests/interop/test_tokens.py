"""Match tokens leave only as the contract says, and match at another tool; what was changed is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.importing import look, with_profiles
from cleanroom.interop import bodies, headers, tokens
from cleanroom.interop.token_source import COLUMN, PROFILE, TokenSource
from cleanroom.keys import SecretAccess
from cleanroom.ledger import store
from cleanroom.rooms.store import Rooms
from connectors.importing import Importer, spec_of
from tests.interop.world import MEMBERS, ROOM, SHARED, TOOL, USERS, World, build

pytestmark = pytest.mark.xdist_group("interop")  # one worker makes the room
ACCESS = SecretAccess("a test")
DOCS = Path(__file__).parents[2] / "docs" / "formats"


@pytest.fixture(scope="module")
def exported(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokens")
    files = {"merchant": folder / "merchant.csv", "platform": folder / "platform.parquet"}
    for party, file in files.items():
        tokens.export(world.homes[party], ROOM, TOOL, file, ACCESS)
    return files


def copy(file: Path, folder: Path) -> Path:
    for each in (file, headers.header_of(file)):
        shutil.copy(each, folder / each.name)
    return folder / file.name


def test_two_owners_files_share_as_many_tokens_as_they_share_people(exported):
    left, right = (tokens.opened(file) for file in exported.values())
    assert (left.rows, right.rows, tokens.shared(left, right)) == (MEMBERS, USERS, SHARED)


def test_any_tool_joins_the_files_by_what_they_say(exported):
    """pyarrow alone: a CSV with a title, a Parquet column of 16 bytes."""
    left = set(exported["merchant"].read_text().split()[1:])
    column = pq.read_table(exported["platform"]).column("token")
    assert column.type == pa.binary(16)
    assert len(left & {value.hex() for value in column.to_pylist()}) == SHARED


def test_a_header_has_its_schema_s_form_and_neither_key_nor_person_in_it(world, exported):
    schema = json.loads((DOCS / "match-tokens-1.schema.json").read_text())
    for party, file in exported.items():
        header = json.loads(headers.header_of(file).read_text())
        Draft202012Validator(schema).validate(header)
        assert header["contract"] == world.room.contract.digest()
        assert header["profile"] == "cn-mobile/1"
        files = [path for path in (world.path(party) / "keys").iterdir() if path.suffix == ".secret"]
        secrets = [world.homes[party].keys._load(path.stem) for path in files]
        assert files
        assert not any(secret.hex() in headers.header_of(file).read_text() for secret in secrets)


def test_an_export_stands_in_the_ledger(world, exported):
    entries = [entry for entry in store.read(world.homes["merchant"].ledger_path).entries if entry.kind == "match"]
    header = tokens.opened(exported["merchant"]).header
    assert [entry.body["receiver"] for entry in entries if entry.body["transcript"] == header["sha256"]] == [TOOL]


def test_tokens_of_another_tool_contract_or_run_are_other_tokens(world, exported, folder, monkeypatch):
    monkeypatch.setattr(tokens, "check_allowed", lambda *_: None)
    tokens.export(world.homes["merchant"], ROOM, "another", folder / "another.csv", ACCESS)
    one, other = (set(path.read_text().split()) for path in (exported["merchant"], folder / "another.csv"))
    assert one & other == {"token"}
    with pytest.raises(Refused, match="their tool is not the same"):
        tokens.shared(tokens.opened(folder / "another.csv"), tokens.opened(exported["platform"]))


def test_what_the_contract_does_not_let_out_stays(world):
    contract = world.room.contract
    with pytest.raises(Refused, match="does not let match tokens out for warehouse"):
        tokens.check_allowed(replace(contract, purposes=("insight",)), "merchant", TOOL)
    with pytest.raises(Refused, match="Only an owner"):
        tokens.check_allowed(contract, contract.match.host, TOOL)


def test_tokens_leave_no_room_of_two_parties(tmp_path):
    world = build(tmp_path, "vole")
    with pytest.raises(Refused, match="only where the room matches by keyed, not by vole"):
        tokens.export(world.homes["merchant"], ROOM, TOOL, tmp_path / "t.csv", ACCESS)


def test_nothing_is_written_for_a_tool_that_the_contract_does_not_name(world, folder):
    with pytest.raises(Refused, match="does not let match tokens out for other"):
        tokens.export(world.homes["merchant"], ROOM, "other", folder / "t.csv", ACCESS)
    with pytest.raises(UsageError, match="A tool is named"):
        tokens.export(world.homes["merchant"], ROOM, "a b", folder / "t.csv", ACCESS)
    assert not any(folder.iterdir())


def test_a_file_that_is_there_is_not_written_over(world, exported, folder):
    with pytest.raises(UsageError, match="exists already"):
        tokens.export(world.homes["merchant"], ROOM, TOOL, exported["merchant"], ACCESS)
    with pytest.raises(UsageError, match=r"neither \.csv nor"):
        tokens.export(world.homes["merchant"], ROOM, TOOL, folder / "t.txt", ACCESS)


def changed(header: Path, **values: object) -> None:
    header.write_bytes(canonical.encode({**json.loads(header.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format": "cleanroom-match-tokens/2"}, "not of the format"),
        ({"algorithm": "rot13"}, "not of the format"),
        ({"tool": "mine"}, "does not verify"),
        ({"rows": 3}, "does not verify"),
        ({"rows": -1}, "damaged"),
        ({"rows": "3"}, "damaged"),
        ({"more": 1}, "damaged"),
        ({"created": "yesterday"}, "damaged"),
        ({"signature": "zz"}, "damaged"),
        ({"key": "0" * 63}, "damaged"),
    ],
)  # fmt: skip
def test_a_header_that_was_changed_is_refused(exported, folder, values, said):
    file = copy(exported["merchant"], folder)
    changed(headers.header_of(file), **values)
    with pytest.raises(BadData, match=said):
        tokens.opened(file)


def test_a_file_without_its_header_or_with_other_bytes_is_refused(exported, folder):
    file = copy(exported["merchant"], folder)
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadData, match="not the file that its header was made for"):
        tokens.opened(file)
    headers.header_of(file).write_bytes(b"{")
    with pytest.raises(BadData, match="damaged"):
        tokens.opened(file)
    headers.header_of(file).unlink()
    with pytest.raises(BadData, match="has no header"):
        tokens.opened(file)


def signed_again(world: World, file: Path, content: bytes, rows: int) -> tokens.TokenFile:
    """As a party would that lies in all but its signature."""
    header = json.loads(headers.header_of(file).read_text())
    file.write_bytes(content)
    headers.write(world.homes["merchant"], file, tokens.FORMAT, tokens.ALGORITHM, rows,
                  {name: header[name] for name in tokens.MORE})  # fmt: skip
    return tokens.opened(file)


def test_tokens_that_are_repeated_or_badly_written_are_refused_by_row(world, exported, folder):
    file = copy(exported["merchant"], folder)
    lines = file.read_bytes().splitlines(keepends=True)
    twice = signed_again(world, file, b"".join([*lines[:5], lines[4], *lines[5:]]), MEMBERS + 1)
    with pytest.raises(BadData, match="repeated or out of order"):
        list(twice.batches())
    upper = signed_again(world, file, b"".join([*lines[:5], b"G" * 32 + b"\n", *lines[5:]]), MEMBERS + 1)
    with pytest.raises(BadData, match=r"Row 5 of merchant\.csv is not written"):
        list(upper.batches())
    short = signed_again(world, file, b"".join(lines), MEMBERS + 1)
    with pytest.raises(BadData, match="is damaged"):
        list(short.batches())


def test_files_of_one_dataset_are_not_matched_with_each_other(exported):
    file = tokens.opened(exported["merchant"])
    with pytest.raises(Refused, match="same dataset"):
        tokens.shared(file, file)


def test_a_room_whose_contract_was_left_or_is_over_gives_none(world, folder, monkeypatch):
    monkeypatch.setattr(Rooms, "load", lambda *_: replace(world.room, earlier=True))
    with pytest.raises(Refused):
        tokens.export(world.homes["merchant"], ROOM, TOOL, folder / "t.csv", ACCESS)


ROWS = st.integers(1, 40).flatmap(
    lambda width: st.lists(st.binary(min_size=width, max_size=width), max_size=9).map(lambda some: (width, some))
)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.sampled_from(["hex", "base64"]), st.booleans(), st.sampled_from([".csv", ".parquet"]))
def test_rows_come_back_as_they_went(tmp_path_factory, given_rows, text, titled, end):
    width, some = given_rows
    rows = np.frombuffer(b"".join(some), np.uint8).reshape(-1, width)
    path = tmp_path_factory.mktemp("rows") / f"rows{end}"
    layout = bodies.Layout("column", width, text, titled)
    bodies.write(path, layout, rows)
    assert np.array_equal(bodies.whole(path, layout, len(rows)), rows)
    with pytest.raises(BadData):
        bodies.whole(path, layout, len(rows) + 1)


def test_base64_that_is_not_canonical_is_refused(folder):
    layout = bodies.Layout("element", 32, "base64", titled=False)
    path = folder / "rows.csv"
    bodies.write(path, layout, np.zeros((2, 32), np.uint8))
    good = path.read_bytes()
    assert good == (b"A" * 43 + b"=\n") * 2
    for bad in (b"B=\n", b"AA\n", b"A=\r", b"-=\n"):
        path.write_bytes(good[:-3] + bad)
        with pytest.raises(BadData, match="Row 2"):
            bodies.whole(path, layout, 2)


def test_a_file_of_either_kind_is_a_source_that_matches_as_any_other(exported):
    """Through the ordinary import, under the profile of opaque identities."""
    found = []
    for file in exported.values():
        source = TokenSource(file)
        mapping = look(source, None)
        importer = Importer(source, spec_of(mapping, with_profiles(mapping, COLUMN, PROFILE)))
        found.append({digest for batch in importer.batches() for digest in batch.column("digest").to_pylist()})
        funnel = importer.funnel()
        assert funnel.rows == funnel.valid == funnel.unique
    assert len(found[0] & found[1]) == SHARED


def test_a_changed_file_is_no_source(exported, folder):
    file = copy(exported["platform"], folder)
    changed(headers.header_of(file), tool="mine")
    with pytest.raises(BadData, match="does not verify"):
        TokenSource(file)
