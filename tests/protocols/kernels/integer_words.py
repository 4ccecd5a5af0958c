"""A stand-in for `protocols.kernels.words.Word` on Python integers, which sees what 64 bits would lose."""

from collections.abc import Callable, Sequence

WORD = 2**64


class Lost(AssertionError):
    """A carry, a borrow or a multiplier's upper bits went missing."""


class IntWord:
    """One lane of `lanes`; strict: whatever leaves 64 bits, or the 52 of the IFMA multiplier, raises Lost."""

    def __init__(self, value: int, lanes: int = 1, *, strict: bool = True) -> None:
        if strict and not 0 <= value < WORD:
            raise Lost(value)
        self.value, self.lanes, self.strict = value % WORD, lanes, strict

    def constant(self, number: int) -> "IntWord":
        return IntWord(number % WORD, self.lanes, strict=self.strict)

    def _of(self, value: int) -> "IntWord":
        return IntWord(value, self.lanes, strict=self.strict)

    def _value(self, other: "IntWord | int") -> int:
        return other % WORD if isinstance(other, int) else other.value

    def __add__(self, other):
        return self._of(self.value + self._value(other))

    def __sub__(self, other):
        return self._of(self.value - self._value(other))

    def __rsub__(self, other):
        return self._of(other - self.value)

    def __mul__(self, other):
        return self._of(self.value * self._value(other))

    def __and__(self, other):
        return self._of(self.value & self._value(other))

    def __or__(self, other):
        return self._of(self.value | self._value(other))

    def __xor__(self, other):
        return self._of(self.value ^ self._value(other))

    def __invert__(self):
        return self ^ -1

    def __lshift__(self, bits):
        return self._of((self.value << bits) % WORD)  # packing drops bits knowingly

    def __rshift__(self, bits):
        return self._of(self.value >> bits)

    def rotated(self, bits):
        return (self >> bits) | (self << (64 - bits))

    def equals(self, other):
        return self._of(WORD - 1 if self.value == self._value(other) else 0)

    def hidden(self):
        return self

    def plus_product52(self, a, b, *, high):
        if max(a.value, b.value) >> 52:
            raise Lost(a.value, b.value)
        product = a.value * b.value
        return self._of(self.value + (product >> 52 if high else product % 2**52))

    def wide_product(self, other):
        return IntWide(self.value * other.value, self)

    def repeat(self, count: int, state: Sequence["IntWord"], body: Callable) -> list["IntWord"]:
        for index in range(count):
            state = body(index, list(state))
        return list(state)

    def shared(self, name: str, arguments: Sequence["IntWord"], results: int, body: Callable) -> list["IntWord"]:
        returned = list(body(list(arguments)))
        assert len(returned) == results
        return returned


class IntWide:
    def __init__(self, value: int, like: IntWord) -> None:
        if value >> 128:
            raise Lost(value)
        self.value, self.like = value, like

    def __add__(self, other):
        return IntWide(self.value + other.value, self.like)

    def plus(self, word):
        return IntWide(self.value + word.value, self.like)

    def low(self):
        return self.like.constant(self.value)

    def shifted(self, bits):
        return self.like._of(self.value >> bits)
