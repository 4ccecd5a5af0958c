"""A stage of a cluster's work: each piece once, none half written, the same for two runs at once."""

import pickle
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import parts

from cleanroom.cluster.stages import Stage
from cleanroom.errors import BadData
from cleanroom.stores import store

SCHEMA = pa.schema({"n": pa.int64()})
DIGEST = "ab" * 32


def stage(folder: Path, pieces: int = 3, digest: str = DIGEST, name: str = "run") -> Stage:
    return Stage(parts(folder, name), "work", digest, pieces)


def batch(*numbers: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(numbers, pa.int64())], schema=SCHEMA)


def rows(of: Stage) -> list[list[int]]:
    found = of.finished()
    assert found is not None
    return [[n for b in of.read(piece) for n in b.column(0).to_pylist()] for piece in found]


def files(folder: Path) -> list[str]:
    return [name for name in store(str(folder / "run")).names() if name.endswith(".parquet")]


def test_a_stage_that_starts_again_makes_only_what_is_missing(tmp_path):
    first = stage(tmp_path)
    assert first.missing() == [0, 1, 2]
    made = first.put(1, SCHEMA, [batch(1, 2), batch(3)], {"new": 2})
    again = pickle.loads(pickle.dumps(stage(tmp_path)))  # as an executor has it
    assert again.missing() == [0, 2]
    assert again.finished() is None
    for number in again.missing():
        again.put(number, SCHEMA, [batch(number)])
    pieces = again.commit()
    assert pieces[1] == made
    assert (pieces[1].rows, pieces[1].counts) == (3, {"new": 2})
    assert rows(first) == [[0], [1, 2, 3], [2]]


def test_a_stage_is_not_finished_while_a_piece_is_missing(tmp_path):
    one = stage(tmp_path)
    one.put(0, SCHEMA, [batch(0)])
    with pytest.raises(BadData, match="missing or damaged"):
        one.commit()
    assert one.finished() is None


def test_a_piece_that_is_half_written_is_never_taken(tmp_path):
    one = stage(tmp_path, 1)

    def broken():
        yield batch(1)
        raise OSError("the machine is gone")

    with pytest.raises(OSError, match="gone"):
        one.put(0, SCHEMA, broken())
    assert one.missing() == [0]
    (tmp_path / "run" / "work-abababababababab").mkdir(parents=True, exist_ok=True)
    (tmp_path / "run" / "work-abababababababab" / "00000-0123.parquet").write_bytes(b"PAR1 and no more")
    assert one.missing() == [0]
    one.put(0, SCHEMA, [batch(5)])
    one.commit()
    assert rows(one) == [[5]]
    assert len(files(tmp_path)) == 1  # what the attempts left is gone


def test_of_attempts_at_once_one_makes_the_piece(tmp_path):
    runs, start = [stage(tmp_path, 1) for _ in range(6)], threading.Barrier(6)
    found = []

    def attempt(number: int) -> None:
        start.wait()
        found.append(runs[number].put(0, SCHEMA, [batch(7, 8)]))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({piece.part for piece in found}) == 1
    assert len(files(tmp_path)) == 1
    runs[0].commit()
    assert rows(runs[1]) == [[7, 8]]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0, 1, 2, "end"])), max_size=12))
def test_two_runs_at_once_end_with_the_same_pieces(tmp_path_factory, done):
    """Whatever the order in which two runs make pieces and end, each sees all of them, once."""
    folder = tmp_path_factory.mktemp("two")
    runs = [stage(folder), stage(folder)]
    for run, what in [*done, *((0, piece) for piece in range(3)), (1, "end"), (0, "end")]:
        if what != "end":
            runs[run].put(what, SCHEMA, [batch(what)])
        elif not runs[run].missing():
            runs[run].commit()
    assert rows(runs[0]) == rows(runs[1]) == [[0], [1], [2]]
    assert len(files(folder)) <= 6  # at most what came after the end, and three that stand
    runs[0].commit()
    assert len(files(folder)) == 3


def test_what_a_store_exchanges_is_refused(tmp_path):
    one, folder = stage(tmp_path), tmp_path / "run" / "work-abababababababab"
    for number in range(3):
        one.put(number, SCHEMA, [batch(number)])
    first, second = folder / "00000.piece", folder / "00001.piece"
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())  # another piece in its place
    with pytest.raises(BadData):
        one.commit()
    first.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(BadData):
        one.commit()
    first.write_bytes(kept)
    pieces = one.commit()
    (tmp_path / "run" / f"{pieces[2].part}.parquet").unlink()
    with pytest.raises(BadData):
        rows(one)


def test_other_inputs_are_another_stage(tmp_path):
    one, other = stage(tmp_path, 1), stage(tmp_path, 1, "ab" * 31 + "cd")  # even where their folders are the same
    one.put(0, SCHEMA, [batch(1)])
    one.commit()
    with pytest.raises(BadData):
        other.finished()
    assert stage(tmp_path, 1, "cd" * 32).finished() is None
    with pytest.raises(BadData):
        stage(tmp_path, 2).finished()  # of another number of pieces
