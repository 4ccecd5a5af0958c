"""Encryption, sums and decryption of rows of numbers: c = (1 + mn)·s modulo n², s a random n-th residue.

A ciphertext row is uint8[k · key.width], a plaintext row uint8[k · key.plain_width], little-endian, k ≥ 1 numbers side
by side; rows of an Arrow column are read where they lie. Only `rerandomise` makes a ciphertext fit to leave: sums are
plain products of their inputs. Ciphertexts from a peer go through `check_ciphertexts` before anything else.

What stands here is gmpy2's path; large batches go to `lanes`, with equal bytes (see `backend`). Of gmpy2, only
decryption's powers are taken with `powmod_sec`: the reductions around them, the products that encrypt and those that
put p and q together take time that depends on their numbers.
"""

import gmpy2
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from protocols.errors import BadMessage
from protocols.paillier import residues
from protocols.paillier.backend import DECRYPTION, kernels
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.paillier.numbers import Rows, below, beside, chunks, pack, single, unpack


def encrypt(key: PublicKey | PrivateKey, plain: Rows) -> Rows:
    """Fresh ciphertexts of plaintexts below n: uint8[n, k·width] of uint8[n, k·plain_width].

    With the private key several times faster, and without an assumption on exponents. Raises ValueError for a
    plaintext that is not below n.
    """
    public = key.public if isinstance(key, PrivateKey) else key
    numbers, source = _plaintexts(public, plain), residues.hiding_plaintexts(key)
    out = np.empty((len(numbers), public.width), np.uint8)
    for part in chunks(len(numbers)):
        out[part] = _add_plain(public, source.draw(part.stop - part.start), numbers[part])
    return out.reshape(len(plain), beside(plain, public.plain_width) * public.width)


def zeros(public: PublicKey, rows: int, numbers: int) -> Rows:
    """The empty sum: uint8[rows, numbers · width], each 1, which everybody can see holds 0. Not fit to leave."""
    out = np.zeros((rows, numbers * public.width), np.uint8)
    out[:, :: public.width] = 1
    return out


def rerandomise(public: PublicKey, ciphertexts: Rows, source: residues.Residues | None = None) -> Rows:
    """Other ciphertexts of the same plaintexts, independent of the given ones to within 2^-64, even for the owner.

    source: n-th residues drawn beforehand (`pools.Pool`), else drawn now.
    """
    numbers, source = single(ciphertexts, public.width), source or residues.hiding_origins(public)
    out = np.empty_like(numbers)
    for part in chunks(len(numbers)):
        out[part] = _add(public, numbers[part], source.draw(part.stop - part.start))
    return out.reshape(ciphertexts.shape)


def add(public: PublicKey, left: Rows, right: Rows) -> Rows:
    """Ciphertexts of the sums of the plaintexts, row by row; plain products."""
    if left.shape != right.shape:
        raise ValueError("as many rows on the left as on the right")
    return _add(public, single(left, public.width), single(right, public.width)).reshape(left.shape)


def _add(public: PublicKey, left: Rows, right: Rows) -> Rows:
    if found := kernels(len(left)):
        added: Rows = found.add(public, left, right)
        return added
    out = np.empty_like(left)
    for part in chunks(len(left)):
        pairs = zip(unpack(left[part]), unpack(right[part]), strict=True)
        out[part] = pack([a * b % public.square for a, b in pairs], public.width)
    return out


def add_plain(public: PublicKey, ciphertexts: Rows, plain: Rows) -> Rows:
    """Ciphertexts of the sums of encrypted and known plaintexts, row by row; hides nothing by itself."""
    numbers, known = single(ciphertexts, public.width), _plaintexts(public, plain)
    if len(numbers) != len(known):
        raise ValueError("as many plaintexts as ciphertexts")
    return _add_plain(public, numbers, known).reshape(ciphertexts.shape)


def _add_plain(public: PublicKey, numbers: Rows, known: Rows) -> Rows:
    if found := kernels(len(numbers)):
        added: Rows = found.add_plain(public, numbers, known)
        return added
    out = np.empty_like(numbers)
    for part in chunks(len(numbers)):
        pairs = zip(unpack(numbers[part]), unpack(known[part]), strict=True)
        out[part] = pack([(1 + m * public.modulus) * c % public.square for c, m in pairs], public.width)
    return out


def sum_groups(public: PublicKey, ciphertexts: Rows, group_ids: NDArray[np.int64], groups: int) -> Rows:
    """uint8[groups, k·width]: the sum of each group's rows; the plain number 1 where a group has none.

    group_ids: int64[n] in [0, groups). Sums of several batches combine with `add`. Products of the inputs: never
    show one without `rerandomise`. Raises ValueError for ids out of range.
    """
    ids = np.asarray(group_ids, np.int64)
    if ids.shape != (len(ciphertexts),) or (len(ids) and not 0 <= ids.min() <= ids.max() < groups):
        raise ValueError("one group id within range for each row")
    numbers, each = single(ciphertexts, public.width), beside(ciphertexts, public.width)
    targets = (ids[:, None] * each + np.arange(each)).ravel()
    return _products(public, numbers, targets, groups * each).reshape(groups, each * public.width)


def _products(public: PublicKey, numbers: Rows, targets: NDArray[np.int64], count: int) -> Rows:
    """uint8[count, width]: the product modulo n² of the numbers of each target, 1 of none."""
    if found := kernels(len(numbers)):
        multiplied: Rows = found.sum_groups(public, numbers, targets, count)
        return multiplied
    products, square = [mpz(1)] * count, public.square
    for part in chunks(len(numbers)):
        for c, target in zip(unpack(numbers[part]), targets[part].tolist(), strict=True):
            products[target] = products[target] * c % square
    return pack(products, public.width)


def decrypt(key: PrivateKey, ciphertexts: Rows) -> Rows:
    """uint8[n, k·plain_width]. Raises BadMessage, with the row's position, for what is not a ciphertext.

    Modulo p² and q² (Paillier 1999, section 7); the powers with secret exponents by `powmod_sec`.
    """
    public = key.public
    check_ciphertexts(public, ciphertexts)
    numbers, shape = single(ciphertexts, public.width), (len(ciphertexts), ciphertexts.shape[1] // 2)
    if found := kernels(len(numbers), DECRYPTION):
        opened: Rows = found.decrypt(key, numbers)
        return opened.reshape(shape)
    p, q = mpz(key.p), mpz(key.q)
    halves = tuple((x, x * x, gmpy2.invert(-y, x)) for x, y in ((p, q), (q, p)))
    q_inverse = gmpy2.invert(q, p)
    plain = []
    for c in unpack(numbers):
        a, b = ((gmpy2.powmod_sec(c % x2, x - 1, x2) - 1) // x * factor % x for x, x2, factor in halves)
        plain.append(b + q * ((a - b) * q_inverse % p))
    return pack(plain, public.plain_width).reshape(shape)


def check_ciphertexts(public: PublicKey, ciphertexts: Rows) -> None:
    """Raises BadMessage unless every number is in (0, n²) and prime to n; `row` is a bad row's position."""
    try:
        each = beside(ciphertexts, public.width)
    except ValueError as error:
        raise BadMessage("Ciphertexts have a width that does not fit the Paillier key.") from error
    numbers = single(ciphertexts, public.width)
    small = below(numbers, public.square)
    if not small.all():
        raise _bad_ciphertext(int(small.argmin()) // each)
    for part in chunks(len(numbers)):
        # One gcd for all: their product shares a factor with n if and only if one of them does.
        product = unpack(_products(public, numbers[part], np.zeros(part.stop - part.start, np.int64), 1))[0]
        if gmpy2.gcd(product, public.modulus) != 1:
            values = unpack(numbers[part])
            first = next(i for i, c in enumerate(values) if gmpy2.gcd(c, public.modulus) != 1)
            raise _bad_ciphertext((part.start + first) // each)


def _bad_ciphertext(row: int) -> BadMessage:
    return BadMessage("Row {row} of the batch is not a ciphertext under the Paillier key.", row=row)


def _plaintexts(public: PublicKey, plain: Rows) -> Rows:
    numbers = single(plain, public.plain_width)
    if not below(numbers, public.n).all():
        raise ValueError("a plaintext is not below n")
    return numbers
