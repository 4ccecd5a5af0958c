"""Where a stream of delimited text is cut: only after a record, whatever stands inside quotes."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.files.records import _LEAST, blocks, boundary

FIELDS = st.text('ab",\n\r ', max_size=6)


@given(st.lists(st.lists(FIELDS, min_size=2, max_size=3), min_size=1, max_size=8), st.integers(1, 200))
@settings(max_examples=200, deadline=None)
def test_what_is_cut_off_holds_whole_records(rows: list[list[str]], size: int) -> None:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    content = written.getvalue().encode()
    end = boundary(content[:size], ",", '"')
    whole = list(csv.reader(io.StringIO(content[:end].decode(), newline="")))
    assert whole == rows[: len(whole)]
    if size >= len(content):
        assert end == len(content)


def test_a_long_text_with_lines_in_it_is_not_cut() -> None:
    long = b'"1"\n"' + b"line\n" * 30_000
    assert boundary(long, ",", '"') == len(b'"1"\n')
    assert boundary(long + b'"\n', ",", '"') == len(long) + 2


def test_a_quote_that_is_a_sign_is_none() -> None:
    screens = b'1,27" screen\n2,"a\nb"\n3,32" sc'
    assert boundary(screens, ",", '"') == screens.index(b"3,")


def test_blocks_put_together_are_the_stream() -> None:
    content = b'1,"a\nb"\n' * (_LEAST // 4)
    cut = [block.content for block in blocks(io.BytesIO(content), ",", '"')]
    assert len(cut) > 1
    assert b"".join(cut) == content
    assert all(block.endswith(b'"\n') for block in cut)
