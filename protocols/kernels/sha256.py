"""SHA-256 (FIPS 180-4), eight messages at a time, for kernels that hash many short things.

Generic LLVM vectors: AVX-512, AVX2, SSE2 or NEON code as the target has it, equal bytes on all, no SHA instructions
needed. A lane's block and its digest lie in one piece, uint8[8, 64] and uint8[8, 32], and are transposed on the way.
"""

from typing import Any

from llvmlite import ir
from numba import types

from protocols.kernels.compiled import intrinsic

LANES = 8
BLOCK_BYTES = 64
_WORD = ir.IntType(32)
_LANES = ir.VectorType(_WORD, LANES)


def _roots(count: int, power: int) -> list[int]:
    """The first 32 bits of the fractional parts of the power-th roots of the first primes (FIPS 180-4, 4.2.2)."""
    primes = [n for n in range(2, 312) if all(n % d for d in range(2, n))][:count]
    return [_root(prime << 32 * power, power) & 0xFFFFFFFF for prime in primes]


def _root(n: int, power: int) -> int:
    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**power <= n else (low, middle - 1)
    return low


_ROUND = _roots(64, 3)
_START = _roots(8, 2)


class _Lanes:
    """Arithmetic on eight 32-bit words at once."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self._rotate = self._extern("llvm.fshl.v8i32", 3)
        self._swap = self._extern("llvm.bswap.v8i32", 1)

    def _extern(self, name: str, arguments: int) -> Any:
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(_LANES, [_LANES] * arguments), name)

    def constant(self, value: int) -> Any:
        return ir.Constant(_LANES, [value] * LANES)

    def swapped(self, value: Any) -> Any:
        return self.builder.call(self._swap, [value])

    def add(self, *terms: Any) -> Any:
        total, *others = terms
        for other in others:
            total = self.builder.add(total, other)
        return total

    def rotated(self, x: Any, first: int, second: int, third: int, shift: bool = False) -> Any:
        """x rotated right by each of these, all XORed; the third only shifted where `shift`. (4.1.2)"""
        turned = [self.builder.call(self._rotate, [x, x, self.constant(32 - n)]) for n in (first, second, third)]
        if shift:
            turned[2] = self.builder.lshr(x, self.constant(third))
        return self.builder.xor(self.builder.xor(turned[0], turned[1]), turned[2])


def _compress(lanes: _Lanes, words: list[Any], state: list[Any]) -> list[Any]:
    """The state after one block of 16 words. (6.2.2)"""
    b, before, w = lanes.builder, state, list(words)
    for i in range(64):
        if i >= 16:
            s0, s1 = lanes.rotated(w[i - 15], 7, 18, 3, shift=True), lanes.rotated(w[i - 2], 17, 19, 10, shift=True)
            w.append(lanes.add(w[i - 16], s0, w[i - 7], s1))
        a, bb, c, d, e, f, g, h = state
        choose = b.xor(g, b.and_(e, b.xor(f, g)))
        major = b.or_(b.and_(a, bb), b.and_(c, b.or_(a, bb)))
        first = lanes.add(h, lanes.rotated(e, 6, 11, 25), lanes.add(choose, lanes.constant(_ROUND[i])), w[i])
        second = lanes.add(lanes.rotated(a, 2, 13, 22), major)
        state = [lanes.add(first, second), a, bb, c, lanes.add(d, first), e, f, g]
    return [lanes.add(new, old) for new, old in zip(state, before, strict=True)]


def _load(builder: Any, base: Any, row: int, of: Any = _LANES) -> Any:
    pointer = builder.inttoptr(base, of.as_pointer())
    loaded = builder.load(builder.gep(pointer, [ir.Constant(_WORD, row)]))
    loaded.align = 4
    return loaded


def _store(builder: Any, value: Any, base: Any, row: int) -> None:
    pointer = builder.inttoptr(base, _LANES.as_pointer())
    stored = builder.store(value, builder.gep(pointer, [ir.Constant(_WORD, row)]))
    stored.align = 4


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Eight vectors as eight: the words one after another, each with its eight lanes.

    Interleaving the first half with the second turns a word's address (lane, word) by one bit; three turns swap them.
    """
    width = rows[0].type.count
    for _ in range(3):
        pairs = list(zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True))
        rows = [_interleaved(builder, *pair, start) for pair in pairs for start in (0, width // 2)]
    return rows


def _interleaved(builder: Any, one: Any, other: Any, start: int) -> Any:
    width = one.type.count
    picked = [at for i in range(start, start + width // 2) for at in (i, width + i)]
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_WORD, width), picked))


def _half(builder: Any, vector: Any, start: int) -> Any:
    mask = ir.Constant(_LANES, list(range(start, start + LANES)))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


@intrinsic
def begin_rows(typingctx: Any, state: Any) -> Any:
    """The state before the first block of eight messages to uint32[8, 8] at this address."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for i, word in enumerate(_START):
            _store(builder, _Lanes(builder).constant(word), arguments[0], i)
        return context.get_dummy_value()

    return types.void(types.uintp), code


@intrinsic
def compress_rows(typingctx: Any, blocks: Any, state: Any, digests: Any) -> Any:
    """A further block of eight messages: addresses of uint8[8, 64], uint32[8, 8] and, to be written, uint8[8, 32]."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, (source, kept, target) = _Lanes(builder), arguments
        rows = [_load(builder, source, i, ir.VectorType(_WORD, 16)) for i in range(LANES)]
        pairs = _transposed(builder, rows)
        words = [lanes.swapped(_half(builder, pair, start)) for pair in pairs for start in (0, LANES)]
        after = _compress(lanes, words, [_load(builder, kept, i) for i in range(8)])
        for i, value in enumerate(after):
            _store(builder, value, kept, i)
        for i, value in enumerate(_transposed(builder, [lanes.swapped(value) for value in after])):
            _store(builder, value, target, i)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.uintp), code


@intrinsic
def put_text(typingctx: Any, text: Any, left: Any, block: Any) -> Any:
    """The 64 bytes at `text` to `block`, all addresses; only the first `left` (-1 to 64), then 0x80, then zeros."""
    byte = ir.IntType(8)
    row = ir.VectorType(byte, BLOCK_BYTES)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(builder.inttoptr(arguments[0], row.as_pointer()))
        loaded.align = 1
        undefined, zeros = ir.Constant(row, ir.Undefined), ir.Constant(row, [0] * BLOCK_BYTES)
        one = builder.insert_element(undefined, builder.trunc(arguments[1], byte), ir.Constant(_WORD, 0))
        left = builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_WORD, BLOCK_BYTES), [0] * BLOCK_BYTES))
        places = ir.Constant(row, list(range(BLOCK_BYTES)))
        end = builder.select(builder.icmp_signed("==", places, left), ir.Constant(row, [0x80] * BLOCK_BYTES), zeros)
        kept = builder.select(builder.icmp_signed("<", places, left), loaded, end)
        stored = builder.store(kept, builder.inttoptr(arguments[2], row.as_pointer()))
        stored.align = 8
        return context.get_dummy_value()

    return types.void(types.uintp, types.int64, types.uintp), code
