"""What `warm` compiles is all that production calls: in a process of its own, where no other test has compiled."""

import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
import pyarrow as pa
from numba.core.dispatcher import Dispatcher

from protocols.kernels import {module} as kernels


def compiled():
    found = {{name: len(each.signatures) for name, each in vars(kernels).items() if isinstance(each, Dispatcher)}}
    return {{name: count for name, count in found.items() if name in {entries}}}


assert set(compiled()) == set({entries})
kernels.warm()
assert set(compiled().values()) == {{1}}, compiled()
{work}
assert set(compiled().values()) == {{1}}, compiled()
"""
RADIX = """
items = np.random.default_rng(1).integers(0, 2**64 - 1, (9_000, 2), np.uint64)
assert len(kernels.distinct(items)) == 9_000
bits, fine = kernels.radix_bits(len(items))
items = items[np.lexsort((items[:, 1], items[:, 0]))]
hi, lo = np.ascontiguousarray(items[:, 0]), np.ascontiguousarray(items[:, 1])
parts = kernels.partition(hi, lo, bits)
assert len(kernels.match(*parts, np.arange(9_000), hi, lo, bits, fine)) == 9_000
kernels.sort_pairs(parts[0], parts[1], parts[3], bits, fine, np.empty_like(hi), np.empty_like(lo))
"""
DIGESTS = """
texts = [str(number) for number in range(9_000)]
for kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view()):
    for width in (16, 32):
        kernels.sha256(pa.array(texts, pa.string()).cast(kind), width)
        kernels.sha256(pa.chunked_array([texts[:5], texts[5:]]).cast(kind), width)
"""
SHA512 = """
rows = np.random.default_rng(1).integers(0, 256, (9_000, 48), np.uint8)
for width in (16, 32, 48):
    kernels.digest_rows(b"prefix", np.ascontiguousarray(rows[:, :width]), b"suffix")
    kernels.digest_rows(bytes(128), rows[1:, :width])
"""


@pytest.mark.parametrize(
    ("module", "entries", "work"),
    [
        ("radix", ["_partition", "_sort", "_match", "_first_of_each"], RADIX),
        ("digests", ["_hash_range"], DIGESTS),
        ("sha512", ["_compress"], SHA512),
    ],
    ids=["radix", "digests", "sha512"],
)
def test_warming_compiles_what_production_calls_and_nothing_is_left(module: str, entries: list[str], work: str) -> None:
    program = PROGRAM.format(module=module, entries=entries, work=work)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
