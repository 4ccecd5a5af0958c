"""Unsigned 64-bit words, one a lane, as Python expressions that emit LLVM instructions.

A `Word` wraps an LLVM value: `i64` with one lane, `<8 x i64>` with eight. Evaluating `(a + b) >> 51` while numba lowers
a kernel appends the matching instructions to it, so a formula is written once, serves both widths, and can be tried on
Python integers. Emitting instructions directly, instead of calling many small numba functions, is what keeps compiling
short: numba optimises a function anew in each of its callers.

The instructions emitted for an expression are the same whatever the words hold: nothing here branches on a value.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from llvmlite import ir

I32, I64, I128 = ir.IntType(32), ir.IntType(64), ir.IntType(128)
Value = Any  # an LLVM value, or an IRBuilder: llvmlite has no types for mypy


class WideSum(Protocol):
    """A sum of 128-bit products of one-lane words."""

    def __add__(self, other: Self, /) -> Self:
        """The sum."""

    def plus(self, word: Any) -> Self:
        """self + word."""

    def low(self) -> Any:
        """The low 64 bits."""

    def shifted(self, bits: int) -> Any:
        """The low 64 bits of self >> bits."""


def llvm_word(lanes: int) -> Value:
    """The LLVM type of a word in each of `lanes` lanes."""
    return I64 if lanes == 1 else ir.VectorType(I64, lanes)


class Word:
    """One 64-bit word a lane; the operators work modulo 2^64, lane by lane."""

    __slots__ = ("builder", "lanes", "value")

    def __init__(self, builder: Value, lanes: int, value: Value) -> None:
        self.builder, self.lanes, self.value = builder, lanes, value

    def constant(self, number: int) -> "Word":
        """`number` in every lane."""
        return constant(self.builder, self.lanes, number)

    def of(self, value: Value) -> "Word":
        """A word of the same kind."""
        return Word(self.builder, self.lanes, value)

    def _value(self, other: "Word | int") -> Value:
        return self.constant(other).value if isinstance(other, int) else other.value

    def __add__(self, other: "Word | int") -> "Word":
        return self.of(self.builder.add(self.value, self._value(other)))

    def __sub__(self, other: "Word | int") -> "Word":
        return self.of(self.builder.sub(self.value, self._value(other)))

    def __rsub__(self, other: int) -> "Word":
        return self.of(self.builder.sub(self._value(other), self.value))

    def __mul__(self, other: "Word | int") -> "Word":
        return self.of(self.builder.mul(self.value, self._value(other)))

    def __and__(self, other: "Word | int") -> "Word":
        return self.of(self.builder.and_(self.value, self._value(other)))

    def __or__(self, other: "Word | int") -> "Word":
        return self.of(self.builder.or_(self.value, self._value(other)))

    def __xor__(self, other: "Word | int") -> "Word":
        return self.of(self.builder.xor(self.value, self._value(other)))

    def __invert__(self) -> "Word":
        return self ^ -1

    def __lshift__(self, bits: int) -> "Word":
        return self.of(self.builder.shl(self.value, self._value(bits)))

    def __rshift__(self, bits: int) -> "Word":
        return self.of(self.builder.lshr(self.value, self._value(bits)))

    def rotated(self, bits: int) -> "Word":
        """Rotated to the right."""
        return (self >> bits) | (self << (64 - bits))

    def equals(self, other: "Word | int") -> "Word":
        """A mask: all ones in the lanes where the words are equal, else zero."""
        same = self.builder.icmp_unsigned("==", self.value, self._value(other))
        return self.of(self.builder.sext(same, llvm_word(self.lanes)))._opaque()

    def _opaque(self) -> "Word":
        """The same word. With one lane LLVM may replace `mask & a | ~mask & b` by a branch on the comparison that made
        the mask, unless it is hidden where it came from. Vector code has no such branches."""
        return self if self.lanes > 1 else self.hidden()

    def hidden(self) -> "Word":
        """The same word, of which the optimiser knows nothing: it comes out of an empty assembly statement."""
        kind, register = self.value.type, "r" if self.lanes == 1 else "v"
        return self.of(self.builder.asm(ir.FunctionType(kind, [kind]), "", f"={register},0", [self.value], False))

    def plus_product52(self, a: "Word", b: "Word", *, high: bool) -> "Word":
        """self + the low (or high) 52 bits of the 104-bit product of the low 52 bits of a and b, in eight lanes.

        One AVX512-IFMA instruction (VPMADD52LUQ, VPMADD52HUQ), which the target must have.
        """
        kind = llvm_word(8)
        name = f"llvm.x86.avx512.vpmadd52{'h' if high else 'l'}.uq.512"
        function = _declared(self.builder.module, name, ir.FunctionType(kind, [kind] * 3))
        return self.of(self.builder.call(function, [self.value, a.value, b.value]))

    def chosen16(self, low: Value, high: Value) -> "Word":
        """In each of eight lanes the value numbered self, 0 to 15, of the eight of `low` and the eight of `high`.

        One AVX-512 instruction (VPERMI2Q) on registers: no address depends on self.
        """
        kind = llvm_word(8)
        name = "llvm.x86.avx512.vpermi2var.q.512"
        function = _declared(self.builder.module, name, ir.FunctionType(kind, [kind] * 3))
        return self.of(self.builder.call(function, [low, self.value, high]))

    def wide_product(self, other: "Word") -> WideSum:
        """The 128-bit product, with one lane."""
        product = self.builder.mul(self.builder.zext(self.value, I128), self.builder.zext(other.value, I128))
        return _Wide(self.builder, product)

    def swapped(self) -> "Word":
        """Its bytes in reverse."""
        kind = llvm_word(self.lanes)
        name = "llvm.bswap.i64" if self.lanes == 1 else f"llvm.bswap.v{self.lanes}i64"
        function = _declared(self.builder.module, name, ir.FunctionType(kind, [kind]))
        return self.of(self.builder.call(function, [self.value]))

    def repeat(
        self, count: int, state: Sequence["Word"], body: Callable[[Value, list["Word"]], Sequence["Word"]]
    ) -> list["Word"]:
        """The state after `count` times state = body(index, state): a loop in the machine code, its index an i64."""
        builder = self.builder
        before, loop = builder.block, builder.append_basic_block("repeat")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(I64)
        words = [builder.phi(llvm_word(self.lanes)) for _ in state]
        after = body(index, [self.of(word) for word in words])
        following = builder.add(index, ir.Constant(I64, 1))
        last, exit_block = builder.block, builder.append_basic_block("repeated")
        builder.cbranch(builder.icmp_unsigned("<", following, ir.Constant(I64, count)), loop, exit_block)
        for phi, first, then in zip(words, state, after, strict=True):
            phi.add_incoming(first.value, before)
            phi.add_incoming(then.value, last)
        index.add_incoming(ir.Constant(I64, 0), before)
        index.add_incoming(following, last)
        builder.position_at_end(exit_block)
        return list(after)

    def shared(
        self, name: str, arguments: Sequence["Word"], results: int, body: Callable[[list["Word"]], Sequence["Word"]]
    ) -> list["Word"]:
        """body(arguments), `results` words, compiled once a kernel and called wherever it stands.

        A kernel has one number of lanes, so a name stands for one function.
        """
        module = self.builder.module
        if (function := module.globals.get(name)) is None:
            function = _define(module, name, self.lanes, (len(arguments), results), body)
        returned = self.builder.call(function, [argument.value for argument in arguments])
        return [self.of(self.builder.extract_value(returned, place)) for place in range(results)]


class _Wide:
    """See WideSum."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Value, value: Value) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: "_Wide") -> "_Wide":
        return _Wide(self.builder, self.builder.add(self.value, other.value))

    def plus(self, word: Word) -> "_Wide":
        return _Wide(self.builder, self.builder.add(self.value, self.builder.zext(word.value, I128)))

    def low(self) -> Word:
        return Word(self.builder, 1, self.builder.trunc(self.value, I64))

    def shifted(self, bits: int) -> Word:
        moved = self.builder.lshr(self.value, ir.Constant(I128, bits))
        return Word(self.builder, 1, self.builder.trunc(moved, I64))


def constant(builder: Value, lanes: int, number: int) -> Word:
    """`number` in every lane."""
    value = ir.Constant(I64, number)
    return Word(builder, lanes, value if lanes == 1 else ir.Constant(llvm_word(lanes), [value] * lanes))


def in_all_lanes(builder: Value, lanes: int, value: Value) -> Word:
    """An i64 known only when the kernel runs, in every lane."""
    if lanes == 1:
        return Word(builder, 1, value)
    kind = llvm_word(lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
    order = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return Word(builder, lanes, builder.shuffle_vector(first, first, order))


class Memory:
    """Words in an array of the caller's that starts on a cache line: for tables and what outlives a loop."""

    def __init__(self, builder: Value, lanes: int, address: Value) -> None:
        self.builder, self.lanes = builder, lanes
        self._base = builder.bitcast(address, llvm_word(lanes).as_pointer())

    def at(self, slot: Value) -> "Memory":
        """The same memory counted from a slot: a Python int, or an i64 known only when the kernel runs."""
        moved = Memory(self.builder, self.lanes, self._base)
        moved._base = self._pointer(slot)
        return moved

    def _pointer(self, slot: Value) -> Value:
        return self.builder.gep(self._base, [ir.Constant(I64, slot) if isinstance(slot, int) else slot])

    def load(self, count: int, slot: Value = 0) -> list[Word]:
        """`count` words from a slot on."""
        base = self._pointer(slot)
        pointers = [self.builder.gep(base, [ir.Constant(I64, place)]) for place in range(count)]
        return [Word(self.builder, self.lanes, self.builder.load(p, align=8 * self.lanes)) for p in pointers]

    def store(self, words: Sequence[Word], slot: Value = 0) -> None:
        """Put words from a slot on."""
        base = self._pointer(slot)
        for place, word in enumerate(words):
            pointer = self.builder.gep(base, [ir.Constant(I64, place)])
            self.builder.store(word.value, pointer, align=8 * self.lanes)


class Rows:
    """`lanes` successive rows, a lane each, of a C-contiguous uint64[n, width] at `address`, from row `start`."""

    def __init__(self, builder: Value, lanes: int, address: Value, width: int, start: Value) -> None:
        self.builder, self.lanes, self._width = builder, lanes, width
        self._address = builder.gep(address, [builder.mul(start, ir.Constant(I64, width))])

    def _pointers(self, word: int) -> list[Value]:
        places = [lane * self._width + word for lane in range(self.lanes)]
        return [self.builder.gep(self._address, [ir.Constant(I64, place)]) for place in places]

    def load(self, word: int) -> Word:
        """Word number `word` of each row."""
        values = [self.builder.load(pointer, align=8) for pointer in self._pointers(word)]
        if self.lanes == 1:
            return Word(self.builder, 1, values[0])
        vector = ir.Constant(llvm_word(self.lanes), ir.Undefined)
        for lane, value in enumerate(values):
            vector = self.builder.insert_element(vector, value, ir.Constant(I32, lane))
        return Word(self.builder, self.lanes, vector)

    def store(self, word: int, content: Word) -> None:
        """Set word number `word` of each row."""
        for lane, pointer in enumerate(self._pointers(word)):
            single = self.lanes == 1
            value = content.value if single else self.builder.extract_element(content.value, ir.Constant(I32, lane))
            self.builder.store(value, pointer, align=8)


def _declared(module: Value, name: str, kind: Value) -> Value:
    return module.globals.get(name) or ir.Function(module, kind, name)


def _define(
    module: Value, name: str, lanes: int, counts: tuple[int, int], body: Callable[[list[Word]], Sequence[Word]]
) -> Value:
    """An LLVM function of `counts` words in and out."""
    kind = llvm_word(lanes)
    taken, given = counts
    returned = ir.LiteralStructType([kind] * given)
    function = ir.Function(module, ir.FunctionType(returned, [kind] * taken), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    value = ir.Constant(returned, ir.Undefined)
    for place, word in enumerate(body([Word(builder, lanes, argument) for argument in function.args])):
        value = builder.insert_value(value, word.value, place)
    builder.ret(value)
    return function
