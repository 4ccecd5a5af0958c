"""The prime-order group ristretto255 (RFC 9496), in batches under one secret scalar.

Protocols know only `Group`; `backend` says what serves it on this machine. Every element that comes from outside is
validated by the multiplication that uses it. A scalar never leaves the protocol that drew it.
"""

import ctypes
import functools
import os
import sys
from itertools import repeat
from pathlib import Path
from typing import Protocol

import numpy as np

from protocols.errors import BadMessage
from protocols.hashing import expand_message_xmd
from protocols.rows import Bytes, Draw

ELEMENT_BYTES = 32
SCALAR_BYTES = 32
UNIFORM_BYTES = 64


class Group(Protocol):
    """Batch operations. Scalars are 32 bytes, little-endian, neither zero nor above the order."""

    def hash_to_group(self, items: Bytes, dst: bytes) -> Bytes:
        """uint8[n, 32]: RFC 9497's HashToGroup of ristretto255-SHA512, for items uint8[n, w] and the full tag."""

    def multiply(self, scalar: bytes, points: Bytes) -> Bytes:
        """uint8[n, 32]: scalar · point. Raises BadMessage where a point is not canonical, off the group or zero."""

    def random_scalar(self, draw: Draw = os.urandom) -> bytes:
        """A uniform non-zero scalar."""

    def invert(self, scalar: bytes) -> bytes:
        """The scalar's inverse modulo the group's order."""


@functools.cache
def backend() -> Group:
    """The fastest backend that runs here."""
    return Libsodium()


class Libsodium:
    """libsodium as `rbcl` brings it, called row by row over numpy memory without a Python frame in between."""

    def __init__(self) -> None:
        library = _load()
        self._from_hash = _function(library, "crypto_core_ristretto255_from_hash", 2)
        self._multiply = _function(library, "crypto_scalarmult_ristretto255", 3)
        self._reduce = _function(library, "crypto_core_ristretto255_scalar_reduce", 2)
        self._invert = _function(library, "crypto_core_ristretto255_scalar_invert", 2)

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
        """See Group. libsodium decodes strictly and refuses a zero result, which in a prime-order group only a zero
        scalar or element gives."""
        points = np.ascontiguousarray(points)
        if points.ndim != 2 or points.shape[1] != ELEMENT_BYTES or len(scalar) != SCALAR_BYTES:
            raise ValueError("points are uint8[n, 32], a scalar 32 bytes")
        products = np.empty_like(points)
        if any(map(self._multiply, _addresses(products), repeat(scalar), _addresses(points))):
            raise BadMessage("A group element of a message is not valid.")
        return products

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


def _load() -> ctypes.CDLL:
    import rbcl  # noqa: F401 - loads and initialises the library

    module = sys.modules["rbcl._sodium"]
    if os.name == "posix":  # it unpacks the library into a temporary file a process and leaves it there
        Path(module.lib_path).unlink(missing_ok=True)
    library: ctypes.CDLL = module._sodium
    return library


def _function(library: ctypes.CDLL, name: str, pointers: int) -> "ctypes._NamedFuncPointer":
    function = library[name]
    function.argtypes = [ctypes.c_void_p] * pointers
    function.restype = ctypes.c_int
    return function


def _addresses(rows: Bytes) -> range:
    start, step = rows.ctypes.data, rows.shape[1]
    return range(start, start + step * len(rows), step)
