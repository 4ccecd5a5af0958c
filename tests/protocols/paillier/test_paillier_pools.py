import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from protocols.kernels.target import has
from protocols.paillier import backend, cipher, residues
from protocols.paillier.keys import PrivateKey
from protocols.paillier.numbers import pack, unpack
from protocols.paillier.pools import MOST, Pool


def test_each_residue_is_handed_out_once(small: PrivateKey) -> None:
    pool = Pool(small.public, 6)
    pool.fill()
    assert len(pool) == 6
    drawn = [pool.draw(2), pool.draw(0), pool.draw(3), pool.draw(4)]
    assert len(pool) == 0
    numbers = [number for rows in drawn for number in unpack(rows)]
    assert len(set(numbers)) == 9
    order = (small.p - 1) * (small.q - 1)
    assert all(pow(int(number), order, small.public.n**2) == 1 for number in numbers)
    pool.fill()
    assert not {bytes(row) for row in pool.draw(6)} & {bytes(row) for rows in drawn for row in rows}


def test_a_pool_serves_rerandomising(small: PrivateKey) -> None:
    public, pool = small.public, Pool(small.public, 4)
    pool.fill()
    ciphertexts = cipher.encrypt(small, pack([5, 6, 7], public.plain_width))
    sent = cipher.rerandomise(public, ciphertexts, pool)
    assert len(pool) == 1
    assert not (sent == ciphertexts).all(axis=1).any()
    assert unpack(cipher.decrypt(small, sent)) == [5, 6, 7]


@pytest.mark.parametrize("most", [0, -1, MOST + 1])
def test_pools_are_bounded(small: PrivateKey, most: int) -> None:
    with pytest.raises(ValueError, match="holds from 1"):
        Pool(small.public, most)


def test_sources_and_pools_stay_in_their_process(small: PrivateKey) -> None:
    for secret in (small, Pool(small.public, 1), residues.OwnerResidues(small), residues.ShortResidues(small.public)):
        for leave in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="secret"):
                leave(secret)


SMALL_RUN = """
import sys
import numpy as np
from protocols.paillier import cipher
from protocols.paillier.keys import PublicKey
from protocols.paillier.numbers import pack
public = PublicKey(int(sys.argv[1], 16))
rows = cipher.encrypt(public, pack(range(int(sys.argv[2])), public.plain_width))
sums = cipher.sum_groups(public, np.tile(rows, (int(sys.argv[3]), 1)), np.zeros(len(rows) * int(sys.argv[3]), int), 1)
print("numba" in sys.modules, "protocols.paillier.lanes" in sys.modules)
"""


def run(key: PrivateKey, rows: int, times: int, **environment: str) -> str:
    arguments = [sys.executable, "-c", SMALL_RUN, f"{key.public.n:x}", str(rows), str(times)]
    done = subprocess.run(arguments, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_small_batches_do_without_numba(key: PrivateKey) -> None:
    assert run(key, 3, 3) == "False False"


def test_a_target_without_ifma_stays_with_gmpy2(key: PrivateKey) -> None:
    assert run(key, 8, 6300, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="") == "True False"


@pytest.mark.usefixtures("path")
def test_sums_of_many_batches_and_one_agree(key: PrivateKey) -> None:
    """More rows than one lane multiplies at a time, in groups of every size, on both paths."""
    public = key.public
    rows = cipher.encrypt(key, pack(range(40), public.plain_width))
    ids = np.repeat(np.arange(5), [1, 2, 64, 65, 200])
    many = rows[np.arange(len(ids)) % 40]
    totals = cipher.sum_groups(public, many, ids, 6)
    values = np.arange(len(ids)) % 40
    expected = [int(values[ids == group].sum()) for group in range(6)]
    assert unpack(cipher.decrypt(key, totals)) == expected


def test_the_kernels_can_be_loaded_for_small_pieces_to_come() -> None:
    code = "from protocols.paillier.backend import SLOW, kernels, prepare\n"
    code += "print(prepare(SLOW - 8), kernels(8) is not None, prepare(SLOW), kernels(8) is not None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    able = has("avx512f", "avx512ifma")
    assert done.stdout.split() == ["False", "False", str(able), str(able)]


def test_where_compiled_code_cannot_be_kept_more_must_be_at_stake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, backend.LANES, raising=False)
    monkeypatch.setattr(backend, "cache_folder", lambda: None)
    assert backend.kernels(8 * backend.SLOW) is None
