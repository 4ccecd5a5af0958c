"""AES-128 (FIPS 197) of running counters in registers, where the target has AES instructions, and its key schedule.

The instructions take the same time whatever the key. Where they are missing, `protocols.psi.vole.streams` takes AES
from OpenSSL: the same bytes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from protocols.kernels.compiled import intrinsic, kernel
from protocols.kernels.target import has
from protocols.kernels.vole import LEAF_BLOCKS

KeyWords = npt.NDArray[np.uint32]

HARDWARE = has("aes", "sse2")
WIDE = has("aes", "vaes", "avx512f")
SCHEDULE_WORDS = 44
_WORD, _LONG = ir.IntType(32), ir.IntType(64)
_BLOCK, _FOUR_WORDS = ir.VectorType(_LONG, 2), ir.VectorType(_WORD, 4)


def _function(builder: Any, name: str, vector: Any) -> Any:
    module = builder.module
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(vector, [vector, vector]), name)


def counter_stream(wide: bool, vectors: int) -> Any:
    """An intrinsic (round keys, counter, salt, destination): AES of `vectors` vectors of blocks into destination.

    The plaintext of block i is the little-endian counter + i, then the salt. round keys: the address of uint32[44];
    wide: vectors of four blocks (VAES), else of one (AES-NI).
    """
    lanes, suffix = (4, ".512") if wide else (1, "")
    vector = ir.VectorType(_LONG, 2 * lanes)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        keys = builder.inttoptr(arguments[0], _BLOCK.as_pointer())
        out = builder.inttoptr(arguments[3], vector.as_pointer())
        middle = _function(builder, "llvm.x86.aesni.aesenc" + suffix, vector)
        last = _function(builder, "llvm.x86.aesni.aesenclast" + suffix, vector)

        def round_key(number: int) -> Any:
            key = builder.load(builder.gep(keys, [ir.Constant(_WORD, number)]))
            key.align = 4
            spread = ir.Constant(ir.VectorType(_WORD, 2 * lanes), [0, 1] * lanes)
            return builder.shuffle_vector(key, ir.Constant(_BLOCK, ir.Undefined), spread)

        def plain(number: int) -> Any:
            blocks = ir.Constant(vector, ir.Undefined)
            for lane in range(lanes):
                counter = builder.add(arguments[1], ir.Constant(_LONG, number * lanes + lane))
                blocks = builder.insert_element(blocks, counter, ir.Constant(_WORD, 2 * lane))
                blocks = builder.insert_element(blocks, arguments[2], ir.Constant(_WORD, 2 * lane + 1))
            return blocks

        key = round_key(0)
        states = [builder.xor(plain(number), key) for number in range(vectors)]
        for number in range(1, 10):
            key = round_key(number)
            states = [builder.call(middle, [state, key]) for state in states]
        key = round_key(10)
        for number, state in enumerate(states):
            store = builder.store(builder.call(last, [state, key]), builder.gep(out, [ir.Constant(_WORD, number)]))
            store.align = 8
        return context.get_dummy_value()

    @intrinsic
    def stream(typingctx: Any, keys: Any, counter: Any, salt: Any, destination: Any) -> Any:
        return types.void(types.uintp, types.uint64, types.uint64, types.uintp), code

    return stream


if HARDWARE:
    VECTORS = LEAF_BLOCKS // 4 if WIDE else 8
    GROUP = VECTORS * (4 if WIDE else 1)
    """Blocks that one call of aes_counters writes."""
    aes_counters = counter_stream(WIDE, VECTORS)

    @intrinsic
    def _sub_word(typingctx: Any, word: Any) -> Any:
        """The S-box on the four bytes of a word: the last round of a block of four equal columns, without a key."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            block = ir.Constant(_FOUR_WORDS, ir.Undefined)
            for column in range(4):
                block = builder.insert_element(block, arguments[0], ir.Constant(_WORD, column))
            last = _function(builder, "llvm.x86.aesni.aesenclast", _BLOCK)
            result = builder.call(last, [builder.bitcast(block, _BLOCK), ir.Constant(_BLOCK, [0, 0])])
            return builder.extract_element(builder.bitcast(result, _FOUR_WORDS), ir.Constant(_WORD, 0))

        return types.uint32(types.uint32), code

    @kernel
    def schedule(keys: KeyWords, out: KeyWords) -> None:
        """Round keys uint32[n, 44] of keys uint32[n, 4]. (5.2)"""
        for i in range(keys.shape[0]):
            for word in range(4):
                out[i, word] = keys[i, word]
            constant = 1
            for word in range(4, SCHEDULE_WORDS):
                last = out[i, word - 1]
                if word % 4 == 0:
                    turned = np.uint32((last >> np.uint32(8)) | (last << np.uint32(24)))
                    last = np.uint32(_sub_word(turned) ^ np.uint32(constant))
                    constant = (constant << 1) ^ (0x11B if constant & 0x80 else 0)
                out[i, word] = np.uint32(out[i, word - 4] ^ last)


def warm() -> None:
    """Compile or load every kernel here."""
    if HARDWARE:
        schedule(np.zeros((1, 4), np.uint32), np.zeros((1, SCHEDULE_WORDS), np.uint32))
