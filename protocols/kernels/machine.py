"""What numba lacks on machine words: 128-bit products, loads and stores at any address, bytes in reverse.

They check nothing: a kernel must know that the bytes are there.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from protocols.kernels.compiled import inlined, intrinsic

_WORD, _WIDE = ir.IntType(64), ir.IntType(128)


@intrinsic
def mul_wide(typingctx: Any, a: Any, b: Any) -> Any:
    """(high, low) 64 bits of the product of two uint64."""
    pair = types.UniTuple(types.uint64, 2)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y = (builder.zext(value, _WIDE) for value in arguments)
        product = builder.mul(x, y)
        high = builder.trunc(builder.lshr(product, ir.Constant(_WIDE, 64)), _WORD)
        return context.make_tuple(builder, pair, [high, builder.trunc(product, _WORD)])

    return pair(types.uint64, types.uint64), code


def _load(bits: int) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))
        loaded.align = 1
        return loaded

    return code


@intrinsic
def load8(typingctx: Any, address: Any) -> Any:
    """The byte at an address."""
    return types.uint8(types.uintp), _load(8)


@intrinsic
def load32(typingctx: Any, address: Any) -> Any:
    """The int32 at an address, aligned or not."""
    return types.int32(types.uintp), _load(32)


@intrinsic
def load64(typingctx: Any, address: Any) -> Any:
    """The int64 at an address, aligned or not."""
    return types.int64(types.uintp), _load(64)


@intrinsic
def store8(typingctx: Any, address: Any, value: Any) -> Any:
    """A byte to an address."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.uintp, types.uint8), code


@inlined
def swapped(x: np.uint64) -> np.uint64:
    """The word with its bytes in reverse."""
    eights, sixteens = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
    x = ((x & eights) << np.uint64(8)) | ((x >> np.uint64(8)) & eights)
    x = ((x & sixteens) << np.uint64(16)) | ((x >> np.uint64(16)) & sixteens)
    return (x << np.uint64(32)) | (x >> np.uint64(32))
