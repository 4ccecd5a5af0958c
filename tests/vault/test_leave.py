"""Leave to read: what executors get opens the columns granted, and nothing else."""

import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from vault_world import SCHEMA, persons, read, table, write

from cleanroom.errors import BadData, CleanroomError, Interrupted, Refused, UsageError
from cleanroom.stores import store
from cleanroom.vault import Finish
from cleanroom.vault.leave import Leave, collect, open_file, read_part

in_both = pytest.mark.parametrize("where", ["home", "bucket"], indirect=True)
COLUMNS = ["t.spend", "digest"]


def rows(leave, columns=None):
    return [row for part in leave.parts for batch in read_part(leave, part, columns) for row in batch.to_pylist()]


def some(_):
    return Finish(np.arange(50) % 3 > 0, {"t.spend": np.arange(33) * 7})


@pytest.fixture
def stored(vault, where):
    if where != "home":
        vault._setting = replace(vault._setting, partitions=2, buffer_bytes=4000)
    write(vault, "crm", range(50), finish=some)
    return vault


@in_both
def test_it_reads_what_the_vault_reads_without_the_vault(stored):
    leave = collect(stored, "crm", None, COLUMNS)
    again = pickle.loads(pickle.dumps(Leave.from_bytes(leave.to_bytes())))
    assert again == leave
    assert rows(again) == read(stored, "crm", COLUMNS).to_pylist()
    assert rows(again, ["digest"]) == read(stored, "crm", ["digest"]).to_pylist()
    assert leave.rows == len(rows(leave)) == 33
    assert sum(part.rows for part in leave.parts) == 50
    last = leave.only([len(leave.parts) - 1])
    assert rows(last) == rows(leave)[-len(rows(last)) :]


@pytest.mark.parametrize("where", ["bucket"], indirect=True)
def test_another_process_without_a_home_reads_by_it(stored, tmp_path):
    path = tmp_path / "leave"
    path.write_bytes(collect(stored, "crm", None, COLUMNS).to_bytes())
    program = ("import sys, pathlib; from cleanroom.vault.leave import Leave, read_part; "
               "leave = Leave.from_bytes(pathlib.Path(sys.argv[1]).read_bytes()); "
               "print(sum(batch.num_rows for part in leave.parts for batch in read_part(leave, part)))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=True, text=True,
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.stdout == "33\n"


@in_both
def test_the_keys_are_of_the_columns_asked_for_and_of_no_other(stored):
    one, both = (collect(stored, "crm", None, columns) for columns in (["digest"], COLUMNS))
    physical = {name: f"c{at}" for at, name in enumerate(SCHEMA.names)}
    for part in one.parts:
        assert set(part.file.keys) == {"footer", physical["digest"]}
        assert set(part.refined.keys) == {"footer", "keep"}
    for part in both.parts:
        assert set(part.file.keys) == {"footer", physical["digest"], physical["t.spend"]}
        assert set(part.refined.keys) == {"footer", "keep", physical["t.spend"]}
    keys = [key for part in both.parts for file in (part.file, part.refined) for key in file.keys.values()]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}
    assert not [key for key in keys if key.hex() in repr(both) or repr(key) in repr(both)]


@in_both
def test_a_withheld_column_stays_closed(stored):
    leave = Leave.from_bytes(collect(stored, "crm", None, COLUMNS).to_bytes())
    with pytest.raises(Refused, match="withheld"):
        list(read_part(leave, leave.parts[0], ["o.备注"]))
    file = open_file(leave, leave.parts[0].file)
    withheld = [f"c{at}" for at, name in enumerate(SCHEMA.names) if name not in COLUMNS]
    for column in withheld:
        with pytest.raises(Refused, match="withheld"):
            file.read([column])
        with pytest.raises(Refused):  # not by claiming it either
            forged = replace(leave, columns={**leave.columns, "x": column})
            list(read_part(forged, forged.parts[0], ["x"]))
        given = replace(leave.parts[0].file, keys={**leave.parts[0].file.keys, column: b"\0" * 32})
        with pytest.raises((BadData, OSError)):  # nor with a key of one's own
            open_file(leave, given).read([column])
    assert file.read(["c1"]).num_rows == leave.parts[0].rows


@in_both
def test_the_keys_of_one_file_open_no_other(stored):
    leave = collect(stored, "crm", None, COLUMNS)
    one, other = leave.parts[0].file, leave.parts[1].file
    with pytest.raises(CleanroomError):
        open_file(leave, replace(one, keys=other.keys))
    with pytest.raises(CleanroomError):
        open_file(leave, replace(one, stored=other.stored))


@in_both
def test_files_that_are_gone_or_of_other_rows_are_refused(stored):
    leave = collect(stored, "crm", None, COLUMNS)
    part = leave.parts[0]
    wrong = replace(part.file, stored=replace(part.file.stored, rows=part.rows + 1))
    with pytest.raises(BadData):
        open_file(leave, wrong)
    stored.forget(persons(range(50)))
    with pytest.raises(Interrupted, match="replaced"):
        list(read_part(leave, part))
    assert collect(stored, "crm", None, COLUMNS).rows == 0


@in_both
def test_a_changed_file_does_not_open(stored):
    leave = collect(stored, "crm", None, COLUMNS)
    place, name = store(leave.uri), f"{leave.folder}/{leave.parts[0].name}".lstrip("/")
    content = place.read(name, 1 << 20)[0]
    sink = place.create(name)
    sink.write(content[:200] + bytes(byte ^ 1 for byte in content[200:4000]) + content[4000:])
    sink.finish()
    with pytest.raises(BadData, match="part-"):
        list(read_part(leave, leave.parts[0]))


@in_both
def test_an_open_file_in_the_place_of_an_encrypted_one_is_not_read(stored, tmp_path):
    """Whoever can write there has no key, and Parquet knows files without one."""
    leave = collect(stored, "crm", None, COLUMNS)
    part = leave.parts[0]
    place, name = store(leave.uri), f"{leave.folder}/{part.name}".lstrip("/")
    made_up = table(range(900, 900 + part.rows)).rename_columns([f"c{at}" for at in range(len(SCHEMA))])
    pq.write_table(made_up, tmp_path / "open", compression="none", row_group_size=stored._setting.group_rows)
    sink = place.create(name)
    sink.write((tmp_path / "open").read_bytes())
    sink.finish()
    with pytest.raises(BadData, match="part-"):
        list(read_part(leave, part))


@in_both
def test_leave_of_an_older_version_and_of_nothing(stored):
    write(stored, "crm", [])
    assert rows(collect(stored, "crm", 2, COLUMNS)) == []
    assert len(rows(collect(stored, "crm", 1, COLUMNS))) == 33
    for ask in ((None, ["nothing"]), (7, COLUMNS)):
        with pytest.raises(UsageError):
            collect(stored, "crm", *ask)


@in_both
def test_bytes_that_are_no_leave(stored):
    content = collect(stored, "crm", None, COLUMNS).to_bytes()
    assert re.match(rb"cleanroom-leave/1\n", content)
    for wrong in (b"", content[:-5], content.replace(b"leave/1", b"leave/2"), b"cleanroom-leave/1\n{}",
                  b"cleanroom-leave/1\n[]", content.replace(b'"rows":', b'"sour":')):  # fmt: skip
        with pytest.raises(BadData) as caught:
            Leave.from_bytes(wrong)
        assert not caught.value.params
