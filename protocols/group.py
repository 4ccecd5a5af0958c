"""The prime-order group ristretto255 (RFC 9496), in batches under one secret scalar.

Protocols know only `Group`; `backend` says what serves it on this machine. Every element that comes from outside is
validated by the multiplication that uses it. A scalar never leaves the protocol that drew it.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from protocols.errors import BadMessage
from protocols.hashing import expand_message_xmd
from protocols.rows import Bytes, Draw

ELEMENT_BYTES = 32
SCALAR_BYTES = 32
UNIFORM_BYTES = 64
ORDER = 2**252 + 27742317777372353535851937790883648493
_ONE, _MINUS_ONE, _HALF = (number.to_bytes(SCALAR_BYTES, "little") for number in (1, ORDER - 1, (ORDER + 1) // 2))
Unblind = Callable[[Bytes, Bytes], Bytes]
"""(points uint8[n, 32], their blinds uint8[n, 32]) → uint8[n, 32], see `Group.unblinding`."""
FEW_ROWS = 10_000
"""Elements up to which libsodium is done before numba would be loaded: half a second."""
MANY_ROWS = 100_000
"""Elements above which the portable twin, an eighth quicker than libsodium and threaded, is worth its compiling."""
_LOADING = Lock()


class Group(Protocol):
    """Batch operations. Scalars are 32 bytes, little-endian, neither zero nor above the order."""

    def hash_to_group(self, items: Bytes, dst: bytes) -> Bytes:
        """uint8[n, 32]: RFC 9497's HashToGroup of ristretto255-SHA512, for items uint8[n, w] and the full tag."""

    def multiply(self, scalar: bytes, points: Bytes) -> Bytes:
        """uint8[n, 32]: scalar · point. Raises BadMessage where a point is not canonical, off the group or zero."""

    def hash_multiply(self, scalar: bytes, items: Bytes, dst: bytes) -> Bytes:
        """uint8[n, 32]: multiply(scalar, hash_to_group(items, dst)), which may be quicker at once."""

    def blind(self, items: Bytes, dst: bytes, blinds: Bytes) -> Bytes:
        """uint8[n, 32]: 2 (hash_to_group(item, dst) + blind · G) for `blinds` as of `random_blinds`, a blind a row.

        Twice, because such a point is encoded without a square root of its own (`kernels.ristretto`).
        """

    def unblinding(self, key: bytes) -> Unblind:
        """What gives 2 (point - blind · key). Raises BadMessage where key is not valid or zero, and so does what it
        gives for such a point, or a result of zero."""

    def random_scalar(self, draw: Draw = os.urandom) -> bytes:
        """A uniform non-zero scalar."""

    def invert(self, scalar: bytes) -> bytes:
        """The scalar's inverse modulo the group's order."""


def random_blinds(rows: int, draw: Draw = os.urandom) -> Bytes:
    """uint8[rows, 32]: scalars from 0 to 2^252 - 1, each within a statistical distance of 2^-127 of a uniform one."""
    blinds = np.frombuffer(draw(SCALAR_BYTES * rows), np.uint8).reshape(rows, SCALAR_BYTES).copy()
    blinds[:, -1] &= 0x0F
    return blinds


def backend(rows: int | None = None) -> Group:
    """The fastest backend that runs here for about `rows` elements in all; few if not said."""
    if rows is None or rows <= FEW_ROWS:
        return libsodium()
    from protocols.kernels.ristretto import ristretto255

    return Kernel() if ristretto255.default_lanes() > 1 or rows > MANY_ROWS else libsodium()


class Libsodium:
    """libsodium as `rbcl` brings it, called row by row over numpy memory without a Python frame in between."""

    def __init__(self) -> None:
        library = sodium().rbcl._sodium
        self._from_hash = _function(library, "crypto_core_ristretto255_from_hash", 2)
        self._multiply = _function(library, "crypto_scalarmult_ristretto255", 3)
        self._reduce = _function(library, "crypto_core_ristretto255_scalar_reduce", 2)
        self._invert = _function(library, "crypto_core_ristretto255_scalar_invert", 2)
        self._scale = _function(library, "crypto_core_ristretto255_scalar_mul", 3)
        self._base = _function(library, "crypto_scalarmult_ristretto255_base", 2)
        self._add = _function(library, "crypto_core_ristretto255_add", 3)
        self._subtract = _function(library, "crypto_core_ristretto255_sub", 3)

    def hash_to_group(self, items: Bytes, dst: bytes) -> Bytes:
        """See Group."""
        return self.from_uniform(expand_message_xmd(items, dst, UNIFORM_BYTES))

    def from_uniform(self, uniform: Bytes) -> Bytes:
        """uint8[n, 32]: the element derived from 64 uniform bytes (RFC 9496, 4.3.4)."""
        uniform = np.ascontiguousarray(uniform)
        points = np.empty((len(uniform), ELEMENT_BYTES), np.uint8)
        any(map(self._from_hash, _addresses(points), _addresses(uniform)))
        return points

    def multiply(self, scalar: bytes, points: Bytes) -> Bytes:
        """See Group. libsodium decodes strictly but for bit 255, which the version in `rbcl` overlooks, and refuses a
        zero result, which in a prime-order group only a zero scalar or element gives."""
        _check(scalar, points)
        points = np.ascontiguousarray(points)
        products = np.empty_like(points)
        if (points[:, -1] > 0x7F).any():
            raise _invalid()
        if any(map(self._multiply, _addresses(products), repeat(scalar), _addresses(points))):
            raise _invalid()
        return products

    def hash_multiply(self, scalar: bytes, items: Bytes, dst: bytes) -> Bytes:
        """See Group."""
        return self.multiply(scalar, self.hash_to_group(items, dst))

    def blind(self, items: Bytes, dst: bytes, blinds: Bytes) -> Bytes:
        """See Group."""
        points, blinds = self.hash_to_group(items, dst), np.ascontiguousarray(blinds)
        multiples = np.empty_like(blinds)
        _run(self._base, multiples, blinds)  # says that 0 · G is zero, as it is
        return self._doubled(self._add, points, multiples)

    def unblinding(self, key: bytes) -> Unblind:
        """See Group. The key has no table here, and the two additions cost half a multiplication more."""
        self.negated(key)

        def unblind(points: Bytes, blinds: Bytes) -> Bytes:
            _check_blinds(points, blinds)
            points, blinds = (np.ascontiguousarray(rows) for rows in (points, blinds))
            multiples = np.empty_like(points)
            list(map(self._multiply, _addresses(multiples), _addresses(blinds), repeat(key)))  # 0 · key likewise
            return self._doubled(self._subtract, _without_zero(points), multiples)

        return unblind

    def _doubled(self, combine: "ctypes._NamedFuncPointer", left: Bytes, right: Bytes) -> Bytes:
        """2 (left ± right)."""
        result = np.empty_like(left)
        if (left[:, -1] > 0x7F).any() or _run(combine, result, left, right) or _run(self._add, result, result, result):
            raise _invalid()
        return _without_zero(result)

    def negated(self, point: bytes) -> bytes:
        """-point. Raises BadMessage where it is not valid or zero."""
        row = np.frombuffer(point, np.uint8).reshape(1, -1)
        return self.multiply(_MINUS_ONE, row).tobytes()

    def generated(self, scalar: bytes) -> bytes:
        """scalar · G, for a scalar that is not zero."""
        point = ctypes.create_string_buffer(ELEMENT_BYTES)
        if self._base(point, scalar):
            raise ValueError("a scalar is not zero")
        return point.raw

    def halved(self, scalar: bytes) -> bytes:
        """scalar / 2 modulo the group's order."""
        half = ctypes.create_string_buffer(SCALAR_BYTES)
        self._scale(half, scalar, _HALF)
        return half.raw

    def random_scalar(self, draw: Draw = os.urandom) -> bytes:
        """See Group. 512 random bits, reduced: no bias that could be seen."""
        scalar = ctypes.create_string_buffer(SCALAR_BYTES)
        self._reduce(scalar, draw(64))
        return scalar.raw if any(scalar.raw) else self.random_scalar(draw)

    def invert(self, scalar: bytes) -> bytes:
        """See Group. Raises ValueError for zero."""
        inverse = ctypes.create_string_buffer(SCALAR_BYTES)
        if self._invert(inverse, scalar):
            raise ValueError("zero has no inverse")
        return inverse.raw


@functools.cache
def libsodium() -> Libsodium:
    """The one of this process."""
    return Libsodium()


class Kernel:
    """Compiled batches (`protocols.kernels.ristretto`) in as many threads as there are cores; scalars by libsodium.

    lanes: 8 or 1; if not said, what the machine can do.
    """

    def __init__(self, lanes: int | None = None) -> None:
        from protocols.kernels import sha512  # noqa: F401 - once it is loaded, `hashing` takes it for batches too
        from protocols.kernels.ristretto import fixed_base, ristretto255

        self._kernels, self._fixed, self._lanes = ristretto255, fixed_base, lanes

    def hash_to_group(self, items: Bytes, dst: bytes) -> Bytes:
        """See Group."""
        return self.from_uniform(expand_message_xmd(items, dst, UNIFORM_BYTES))

    def from_uniform(self, uniform: Bytes) -> Bytes:
        """uint8[n, 32]: the element derived from 64 uniform bytes (RFC 9496, 4.3.4)."""
        return self._kernels.derived(uniform, self._lanes)

    def multiply(self, scalar: bytes, points: Bytes) -> Bytes:
        """See Group. The kernel gives zeros for what does not decode, and so does a zero scalar or element."""
        _check(scalar, points)
        return _without_zero(self._kernels.multiplied(points, scalar, self._lanes))

    def hash_multiply(self, scalar: bytes, items: Bytes, dst: bytes) -> Bytes:
        """See Group."""
        uniform = expand_message_xmd(items, dst, UNIFORM_BYTES)
        return _without_zero(self._kernels.multiplied(uniform, scalar, self._lanes))

    def blind(self, items: Bytes, dst: bytes, blinds: Bytes) -> Bytes:
        """See Group."""
        uniform = expand_message_xmd(items, dst, UNIFORM_BYTES)
        return _without_zero(self._fixed.shifted(uniform, blinds, _generator_table(), self._lanes))

    def unblinding(self, key: bytes) -> Unblind:
        """See Group."""
        table = self._fixed.table(libsodium().negated(key))

        def unblind(points: Bytes, blinds: Bytes) -> Bytes:
            _check_blinds(points, blinds)
            return _without_zero(self._fixed.shifted(_without_zero(points), blinds, table, self._lanes))

        return unblind

    def random_scalar(self, draw: Draw = os.urandom) -> bytes:
        """See Group."""
        return libsodium().random_scalar(draw)

    def invert(self, scalar: bytes) -> bytes:
        """See Group."""
        return libsodium().invert(scalar)


@functools.cache
def _generator_table() -> npt.NDArray[np.uint64]:
    from protocols.kernels.ristretto import fixed_base

    return fixed_base.table(libsodium().generated(_ONE))


def _check(scalar: bytes, points: Bytes) -> None:
    if points.ndim != 2 or points.shape[1] != ELEMENT_BYTES or len(scalar) != SCALAR_BYTES:
        raise ValueError("points are uint8[n, 32], a scalar 32 bytes")


def _check_blinds(points: Bytes, blinds: Bytes) -> None:
    if points.ndim != 2 or points.shape[1] != ELEMENT_BYTES or blinds.shape != points.shape:
        raise ValueError("points and blinds are uint8[n, 32] each")


def _without_zero(products: Bytes) -> Bytes:
    if not products.view(np.uint64).any(axis=1).all():
        raise _invalid()
    return products


def _invalid() -> BadMessage:
    return BadMessage("A group element of a message is not valid.")


@functools.cache
def sodium() -> ModuleType:
    """libsodium's functions on single elements and scalars, by the names that `rbcl` gives them: raise RuntimeError.

    Loaded without `doctest`, which rbcl takes, and with it pdb and unittest, to use it only where it is tested itself.
    """
    with _LOADING:
        unwanted = "doctest" not in sys.modules
        if unwanted:
            sys.modules["doctest"] = ModuleType("doctest")
        try:
            import rbcl
        finally:
            if unwanted:
                del sys.modules["doctest"]
    if os.name == "posix":  # it unpacks the library into a temporary file a process and leaves it there
        Path(sys.modules["rbcl._sodium"].lib_path).unlink(missing_ok=True)
    loaded: ModuleType = rbcl
    return loaded


def _function(library: ctypes.CDLL, name: str, pointers: int) -> "ctypes._NamedFuncPointer":
    function = library[name]
    function.argtypes = [ctypes.c_void_p] * pointers
    function.restype = ctypes.c_int
    return function


def _run(function: "ctypes._NamedFuncPointer", *arrays: Bytes) -> bool:
    """Call it on the rows of the arrays, all of them; whether it said no to any."""
    return any(list(map(function, *map(_addresses, arrays))))


def _addresses(rows: Bytes) -> range:
    start, step = rows.ctypes.data, rows.shape[1]
    return range(start, start + step * len(rows), step)
