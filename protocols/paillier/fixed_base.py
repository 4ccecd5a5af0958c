"""Powers of one base by gmpy2, many at a time: tables of its powers, a window of the exponents each.

Table look-ups are at addresses that depend on the exponents, and products take time that depends on numbers: both
are seen by a neighbour who watches the cache. The exponents are drawn for one power each.
"""

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from protocols.paillier.numbers import Rows

MANY = 1024
KEPT_WINDOW = 9
"""Bits a window of tables that stay: 75 MB for an owner of 3072 bits. One more for short moduli, as an owner of 2048
bits has: a tenth fewer products, 69 MB."""
SHORT_BITS = 2048


class FixedBase:
    """One base. Holds its squarings; after a call with MANY exponents, also tables, which later calls look up."""

    def __init__(self, base: int, bits: int, modulus: int) -> None:
        """`base` modulo `modulus`, for exponents of at most `bits` bits."""
        self.bits, self.modulus = bits, mpz(modulus)
        self.squarings = [mpz(base)]
        for _ in range(bits - 1):
            self.squarings.append(self.squarings[-1] ** 2 % modulus)
        self.kept_window = KEPT_WINDOW + (self.modulus.bit_length() <= SHORT_BITS)
        self._kept: list[list[int]] = []

    def powers(self, exponents: Rows) -> list[int]:
        """The base to each of the little-endian uint8[n, ...] exponents (mpz); bits above self.bits are left out."""
        if len(exponents) >= MANY and not self._kept:
            self._kept = self._tables(self.kept_window)
        window = self.kept_window if self._kept else self._window(len(exponents))
        modulus, results = self.modulus, [mpz(1)] * len(exponents)
        for i, digits in enumerate(_digits(exponents, window, self.bits)):
            table = self._kept[i] if self._kept else self._table(i * window, window)
            results = [power * table[digit] % modulus for power, digit in zip(results, digits.tolist(), strict=True)]
        return results

    def _window(self, count: int) -> int:
        """Bits a window with the fewest multiplications for `count` exponents."""
        return min(range(1, KEPT_WINDOW + 1), key=lambda w: -(-self.bits // w) * ((1 << w) + count))

    def _tables(self, window: int) -> list[list[int]]:
        return [self._table(at, window) for at in range(0, self.bits, window)]

    def _table(self, at: int, window: int) -> list[int]:
        base, table = self.squarings[at], [mpz(1)]
        for _ in range((1 << min(window, self.bits - at)) - 1):
            table.append(table[-1] * base % self.modulus)
        return table


def _digits(exponents: Rows, window: int, bits: int) -> NDArray[np.int64]:
    """int64[windows, n]: the base-2^window digits of the exponents, lowest first."""
    windows = -(-bits // window)
    weights = 1 << np.arange(window, dtype=np.int64)
    digits = np.zeros((windows, len(exponents)), np.int64)
    for start in range(0, len(exponents), 1024):
        part = np.unpackbits(exponents[start : start + 1024], axis=1, bitorder="little", count=bits)
        padded = np.pad(part, ((0, 0), (0, windows * window - bits)))
        digits[:, start : start + 1024] = (padded.reshape(-1, windows, window) @ weights).T
    return digits
