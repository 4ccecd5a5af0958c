"""What every source must do. A test class for a source inherits SourceConformance and says how to make one."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from connectors.errors import InputError
from connectors.source import BATCH_ROWS, Source

HEADER = ("手机号", "会员等级", "city", "备注 note")
ROWS: tuple[tuple[str | None, ...], ...] = (
    ("13800138000", "金卡", "上海", "a,b;c|d"),
    ("013800138001", None, "北京", 'he said "hi"'),
    ("00086138001380", "银卡", None, "two\nlines"),
    (None, "普通", "广州市", "it's"),
    ("00000000000000000000042", "金卡", "深圳", None),
    ("5", "𠮷卡", "Zürich", " spaced "),
)
MARK = "机密13912345678"  # stands in the data of every broken source, and may not stand in its error

Make = Callable[[Sequence[str], Sequence[Sequence[str | None]]], Source]


def rows_of(source: Source) -> list[tuple[object, ...]]:
    """All rows as tuples."""
    return [tuple(row.values()) for batch in source.batches() for row in batch.table.to_pylist()]


def numbers_of(source: Source) -> list[int]:
    """All row numbers."""
    return [number for batch in source.batches() for number in batch.rows.to_pylist()]


@dataclass(frozen=True)
class Server:
    """A running server: its programs, the folder of its socket, and whom to run programs as."""

    programs: Path
    folder: Path
    user: str

    def uri(self, rest: str, user: str = "owner", database: str = "postgres") -> str:
        """An address on this server; `rest` begins after `?`."""
        return f"postgresql://{user}@/{database}?host={self.folder}&{rest}"

    def run(self, sql: str) -> None:
        """Run SQL as the owner."""
        command = [self.programs / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", "owner", "postgres"]
        subprocess.run(command, input=sql.encode(), check=True, capture_output=True)


class SourceConformance:
    """Subclasses give the fixture `make`, and `first`: the number of the first row."""

    first = 1
    empty_is_error = True
    names_may_repeat = True
    many = BATCH_ROWS + 10

    @pytest.fixture
    def make(self) -> Make:
        raise NotImplementedError

    def test_content_is_equal_across_sources(self, make: Make) -> None:
        source = make(HEADER, ROWS)
        assert tuple(source.schema.names) == HEADER
        assert all(field.type == pa.string() for field in source.schema)
        assert rows_of(source) == list(ROWS)
        assert list(source.rejected) == []

    def test_reading_twice_gives_the_same(self, make: Make) -> None:
        source = make(HEADER, ROWS)
        schema, notes = source.schema, list(source.notes)
        assert (rows_of(source), numbers_of(source)) == (rows_of(source), numbers_of(source))
        assert source.schema == schema and list(source.notes) == notes

    def test_a_reading_may_be_left_half_way(self, make: Make) -> None:
        source = make(HEADER, ROWS)
        next(iter(source.batches()))
        assert rows_of(source) == list(ROWS)

    def test_rows_are_numbered_upwards_in_batches_of_bounded_size(self, make: Make) -> None:
        source = make(("n",), [(str(number),) for number in range(self.many)])
        batches = list(source.batches())
        assert all(0 < batch.table.num_rows <= BATCH_ROWS for batch in batches)
        assert all(batch.table.schema == source.schema and len(batch.rows) == batch.table.num_rows for batch in batches)
        numbers = [number for batch in batches for number in batch.rows.to_pylist()]
        assert numbers == list(range(self.first, self.first + self.many))
        assert [int(n) for batch in batches for n in batch.table.column(0).to_pylist()] == list(range(self.many))

    def test_an_empty_table(self, make: Make) -> None:
        if self.empty_is_error:
            with pytest.raises(InputError) as caught:
                rows_of(make(HEADER, []))
            assert caught.value.hint
        else:
            source = make(HEADER, [])
            assert tuple(source.schema.names) == HEADER and rows_of(source) == []

    def test_names_are_made_distinct_and_noted(self, make: Make) -> None:
        if not self.names_may_repeat:
            pytest.skip("two columns cannot have one name there")
        source = make(("a", "a", "b"), [("1", "2", "3"), ("4", "5", "6")])
        assert source.schema.names == ["a", "a_2", "b"]
        assert any(params.get("name") == "a_2" for _, params in source.notes)
        assert rows_of(source) == [("1", "2", "3"), ("4", "5", "6")]

    def test_label_is_short_and_notes_can_be_filled_in(self, make: Make) -> None:
        source = make(HEADER, ROWS)
        assert source.label and "/" not in source.label
        assert all(template.format(**params) for template, params in source.notes)


def refusal(action: Callable[[], object]) -> InputError:
    """The InputError that `action` raises: it has a hint, and neither it nor what stands behind it shows the data."""
    with pytest.raises(InputError) as caught:
        action()
    error: InputError = caught.value
    assert error.hint
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    for secret in (MARK, MARK[2:], MARK[:2]):
        assert secret not in str(error) and secret not in repr(error)
    return error
