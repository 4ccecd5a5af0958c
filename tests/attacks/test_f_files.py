"""F2 and F4: files that unpack to gigabytes or expand without end, and names that lead elsewhere."""

import gzip
import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from cleanroom.errors import CleanroomError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from connectors.errors import InputError
from connectors.open import open_source
from connectors.targets import write_csv

MEGABYTES = 320
"""The most that a process may ever hold that opens a bomb; 110 of them are Python and Arrow."""

READER = """
import json, resource, sys
from connectors.errors import InputError
from connectors.open import open_source

try:
    rows = sum(batch.num_rows for batch in open_source(sys.argv[1]).batches())
    told = {"rows": rows}
except InputError as error:
    told = {"refused": error.template}
own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))  # rusage counts the forker's pages
told["megabytes"] = max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) >> 10
print(json.dumps(told))
"""


def opened(path: Path) -> dict[str, object]:
    """What a process of its own made of a file, and the most memory that it or its helper held."""
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path)], capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def packed(entries: dict[str, bytes]) -> bytes:
    """A workbook's archive; parts that must be there are."""
    content = io.BytesIO()
    whole = {
        "[Content_Types].xml": b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "xl/workbook.xml": b'<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        b'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        b'<sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
        b'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
        b'relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        **entries,
    }
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, body in whole.items():
            archive.writestr(name, body)
    return content.getvalue()


SHEET = (
    '<?xml version="1.0"?><!DOCTYPE w [{entities}]><worksheet '
    'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    '<row r="1"><c r="A1" t="inlineStr"><is><t>phone</t></is></c></row>'
    '<row r="2"><c r="A2" t="inlineStr"><is><t>{text}</t></is></c></row></sheetData></worksheet>'
)


def laughs() -> str:
    """Ten entities, each ten times the one before: 10^10 texts."""
    first = '<!ENTITY e0 "13800138000">'
    return first + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 11))


def of_one_stream(times: int) -> bytes:
    """A workbook whose directory names one stream of 15 MB, in 15 kB, that many times: nothing of it is large."""
    content = packed({"xl/worksheets/sheet1.xml": b"<row/>" * (15 * (1 << 20) // 6)})
    directory, end = content.index(b"PK\x01\x02"), content.rindex(b"PK\x05\x06")
    entry = content[content.rindex(b"PK\x01\x02") : end]
    entries, count = content[directory:end] + entry * (times - 1), content.count(b"PK\x01\x02") + times - 1
    counts = struct.pack("<HHI", count, count, len(entries))
    return content[:directory] + entries + content[end : end + 8] + counts + content[end + 16 :]


@pytest.mark.parametrize(
    "bomb", [lambda: packed({"xl/worksheets/sheet1.xml": b"<row/>" * (1 << 22)}), lambda: of_one_stream(70)],
    ids=["one part of 25 MB", "a gigabyte in 70 parts"],
)  # fmt: skip
def test_an_archive_that_unpacks_to_far_more_is_refused_in_little_memory(
    bomb: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(bomb())
    assert path.stat().st_size < 42_000
    told = opened(path)
    assert "too large" in str(told["refused"])
    assert told["megabytes"] < MEGABYTES


def test_entities_are_not_expanded_and_no_other_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("13900139000", "utf-8")
    outside = f'<!ENTITY e10 SYSTEM "file://{tmp_path}/secret.txt">'
    for name, entities in (("laughs", laughs()), ("outside", outside)):
        path = tmp_path / f"{name}.xlsx"
        path.write_bytes(packed({"xl/worksheets/sheet1.xml": SHEET.format(entities=entities, text="&e10;").encode()}))
        told = opened(path)
        assert told["megabytes"] < MEGABYTES, name
        if "rows" in told:  # an entity that is not known stays out of the text
            texts = [value for batch in open_source(str(path)).batches() for value in batch.column(0).to_pylist()]
            assert not any(text and ("13900139000" in text or "13800138000" in text) for text in texts)


def test_a_long_line_from_a_small_gzip_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"phone\n")
        for _ in range(256):
            file.write(b"1" * (1 << 20))  # a quarter of a gigabyte in one cell
    assert path.stat().st_size < 1_000_000
    told = opened(path)
    assert "refused" in told
    assert told["megabytes"] < MEGABYTES


# -- names


NO_FILES = ["/dev/zero", "/dev/stdin", "/proc/self/environ", "a\0b", "../absent.csv", "会员\n.csv"]


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_file_is_not_read(name: str, tmp_path: Path) -> None:
    """/proc says that it is a file: it is read as one, and is no table."""
    with pytest.raises(InputError):
        list(open_source(name if name.startswith("/") else str(tmp_path / name)).batches())


def test_files_are_written_beside_links_and_never_through_them(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_bytes(b"theirs")
    out = tmp_path / "会员名单.csv"
    out.symlink_to(victim)
    table = pa.table({"手机号": ["13800138000"]})
    content = io.BytesIO()
    write_csv(content, table.to_batches())
    write_bytes(out, content.getvalue())
    assert victim.read_bytes() == b"theirs"
    assert not out.is_symlink()
    assert out.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"victim.txt", "会员名单.csv"}


@pytest.mark.parametrize("party", ["../merchant", "a/b", "a\0b", "..", "", "a\\b"])
def test_no_party_is_named_out_of_its_folder(party: str, tmp_path: Path) -> None:
    with pytest.raises((CleanroomError, ValueError)):
        Home.create(tmp_path / "homes" / "h", party)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
