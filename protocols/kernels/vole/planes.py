"""Bit planes of GF(64) vectors: sums of planes, and turning planes into rows and back."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from protocols.kernels.compiled import inner, intrinsic, kernel
from protocols.kernels.vole import DEGREE, LANES, SLOTS

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

_LONG = ir.IntType(64)
_PLANE = ir.VectorType(_LONG, LANES)


def _at(builder: Any, base: Any, index: Any, step: Any) -> Any:
    address = builder.add(base, builder.mul(step, ir.Constant(_LONG, index)))
    return builder.inttoptr(address, _PLANE.as_pointer())


@intrinsic
def fold_leaves(typingctx: Any, source: Any, stride: Any, destination: Any, out_stride: Any) -> Any:
    """Planes of 64 leaves at source + x·stride → 7 planes at destination + t·out_stride.

    Plane t < 6 is the XOR of the leaves whose number has bit t, plane 6 that of all.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def fold(first: int, depth: int) -> list[Any]:
            if depth == 0:
                leaf = builder.load(_at(builder, arguments[0], first, arguments[1]))
                leaf.align = 8
                return [leaf]
            left, right = fold(first, depth - 1), fold(first + (1 << (depth - 1)), depth - 1)
            sums = [builder.xor(x, y) for x, y in zip(left[:-1], right[:-1], strict=True)]
            return [*sums, right[-1], builder.xor(left[-1], right[-1])]

        for number, plane in enumerate(fold(0, DEGREE)):
            builder.store(plane, _at(builder, arguments[2], number, arguments[3])).align = 8
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.uintp, types.uintp), code


@intrinsic
def xor_planes(typingctx: Any, destination: Any, base: Any, index: Any, count: Any) -> Any:
    """Add to the plane at destination the planes base + 64·index[i], i < count; index: the address of int64[count]."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out = builder.inttoptr(arguments[0], _PLANE.as_pointer())
        planes = builder.inttoptr(arguments[1], _PLANE.as_pointer())
        places = builder.inttoptr(arguments[2], _LONG.as_pointer())
        zero, one = ir.Constant(_LONG, 0), ir.Constant(_LONG, 1)
        first = builder.load(out)
        first.align = 8
        entry, loop, done = builder.block, builder.append_basic_block("xor"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed(">", arguments[3], zero), loop, done)
        builder.position_at_end(loop)
        i, sum_before = builder.phi(_LONG), builder.phi(_PLANE)
        plane = builder.load(builder.gep(planes, [builder.load(builder.gep(places, [i]))]))
        plane.align = 8
        sum_after, following = builder.xor(sum_before, plane), builder.add(i, one)
        for phi, start, step in ((i, zero, following), (sum_before, first, sum_after)):
            phi.add_incoming(start, entry)
            phi.add_incoming(step, loop)
        builder.cbranch(builder.icmp_signed("<", following, arguments[3]), loop, done)
        builder.position_at_end(done)
        result = builder.phi(_PLANE)
        result.add_incoming(first, entry)
        result.add_incoming(sum_after, loop)
        builder.store(result, out).align = 8
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.uintp, types.int64), code


@inner
def reduce_planes(work: Words) -> None:
    """Planes 6 to 10 of a polynomial of degree 10 onto 0 to 5, by x^6 = x + 1: work uint64[11 · 8]."""
    for plane in range(2 * DEGREE - 2, DEGREE - 1, -1):
        for lane in range(LANES):
            high = work[plane * LANES + lane]
            work[(plane - DEGREE) * LANES + lane] ^= high
            work[(plane - DEGREE + 1) * LANES + lane] ^= high


@inner
def _transpose(tile: Words) -> None:
    """Eight 64×64 bit matrices at once, in place, one a lane: bit j of tile[i] ↔ bit i of tile[j]."""
    width, mask = 32, np.uint64(0x00000000FFFFFFFF)
    while width:
        shift = np.uint64(width)
        k = 0
        while k < 64:
            for lane in range(LANES):
                moved = ((tile[k, lane] >> shift) ^ tile[k + width, lane]) & mask
                tile[k, lane] ^= moved << shift
                tile[k + width, lane] ^= moved
            k = (k + width + 1) & ~width
        width >>= 1
        mask ^= mask << np.uint64(width)


@inner
def rows_to_planes(rows: Words, planes: Words) -> None:
    """Rows uint64[512, w] of one block → as many planes uint64[b, 8] as there are: bit b of a row is in plane b."""
    tile = np.empty((64, LANES), np.uint64)
    for word in range((planes.shape[0] + 63) // 64):
        for lane in range(LANES):
            for bit in range(64):
                tile[bit, lane] = rows[64 * lane + bit, word]
        _transpose(tile)
        for bit in range(min(64, planes.shape[0] - 64 * word)):
            for lane in range(LANES):
                planes[64 * word + bit, lane] = tile[bit, lane]


@kernel
def planes_to_rows(planes: Words, rows: Words) -> None:
    """Planes uint64[blocks, b, 8] → rows uint64[blocks · 512, w]; bits that have no plane are zero."""
    bits = planes.shape[1]
    tile = np.empty((64, LANES), np.uint64)
    for block in range(planes.shape[0]):
        for word in range(rows.shape[1]):
            for bit in range(64):
                plane = 64 * word + bit
                for lane in range(LANES):
                    tile[bit, lane] = planes[block, plane, lane] if plane < bits else np.uint64(0)
            _transpose(tile)
            for lane in range(LANES):
                for bit in range(64):
                    rows[block * SLOTS + 64 * lane + bit, word] = tile[bit, lane]


def warm() -> None:
    """Compile or load every kernel here."""
    planes_to_rows(np.zeros((1, 2, LANES), np.uint64), np.zeros((SLOTS, 1), np.uint64))
