"""Five limbs by five limbs, eight numbers at a time: the innermost arithmetic, as LLVM sees it.

A number is a flat uint64 array of limbs of 52 bits, least significant first, each limb a vector with one word a lane:
limb i of lane l is word 8i + l. `Columns` are ten sums of limb products of equal weight, held in registers; every
function takes and gives them. A product has 104 bits; VPMADD52LUQ and VPMADD52HUQ add its halves to two columns, and
read the low 52 bits of their factors only. A column overflows after 4096 halves, far above numbers of 8,192 bits.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from protocols.kernels.compiled import intrinsic

LANES = 8
TILE = 5
COLUMNS = 2 * TILE
LIMB_BITS = 52
ENTRIES = 64
"""Entries of a table that `permute` looks up."""

_WORD, _INDEX = ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(_WORD, LANES)


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="PaillierVector")


class _ColumnsType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="PaillierColumns")


_vector, _columns = _VectorType(), _ColumnsType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(_ColumnsType)
class _ColumnsModel(models.StructModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [(f"column{i}", _vector) for i in range(COLUMNS)])


def _everywhere(number: int) -> ir.Constant:
    return ir.Constant(_VECTOR, [number] * LANES)


class _Emitter:
    """Writes the instructions of one function: memory, columns, limb products."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder

    def _base(self, kind: Any, array: Any, width: Any) -> Any:
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        return self.builder.bitcast(data, width.as_pointer())

    def vectors(self, kind: Any, array: Any, start: Any, count: int) -> list[Any]:
        """Vectors start, start + 1, ... of a flat array."""
        return [self.builder.load(pointer, align=8, typ=_VECTOR) for pointer in self._places(kind, array, start, count)]

    def put(self, vectors: list[Any], kind: Any, array: Any, start: Any) -> None:
        """Store vectors where `vectors` finds them."""
        for vector, pointer in zip(vectors, self._places(kind, array, start, len(vectors)), strict=True):
            self.builder.store(vector, pointer, align=8)

    def _places(self, kind: Any, array: Any, start: Any, count: int) -> list[Any]:
        base = self.builder.gep(self._base(kind, array, _VECTOR), [start], source_etype=_VECTOR)
        return [self.builder.gep(base, [start.type(i)], source_etype=_VECTOR) for i in range(count)]

    def same(self, kind: Any, array: Any, start: Any, count: int) -> list[Any]:
        """Words start, start + 1, ..., each in all lanes."""
        base = self.builder.gep(self._base(kind, array, _WORD), [start], source_etype=_WORD)
        places = [self.builder.gep(base, [start.type(i)], source_etype=_WORD) for i in range(count)]
        return [self.splat(self.builder.load(place, align=8, typ=_WORD)) for place in places]

    def splat(self, word: Any) -> Any:
        first = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), word, _INDEX(0))
        return self.builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))

    def columns(self, value: Any) -> list[Any]:
        return list(cgutils.unpack_tuple(self.builder, value, COLUMNS))

    def packed(self, columns: list[Any]) -> Any:
        value = ir.Constant(self.context.get_value_type(_columns), ir.Undefined)
        for i, column in enumerate(columns):
            value = self.builder.insert_value(value, column, i)
        return value

    def call(self, name: str, *arguments: Any) -> Any:
        """An LLVM intrinsic on vectors."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments))
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def low(self, total: Any, a: Any, b: Any) -> Any:
        """total + the low 52 bits of each product."""
        return self.call("llvm.x86.avx512.vpmadd52l.uq.512", total, a, b)

    def add_product(self, columns: list[Any], k: int, a: Any, b: Any) -> None:
        """columns[k], columns[k + 1] += the halves of the product, in place."""
        columns[k] = self.low(columns[k], a, b)
        columns[k + 1] = self.call("llvm.x86.avx512.vpmadd52h.uq.512", columns[k + 1], a, b)

    def add_tile(self, columns: list[Any], a: list[Any], b: list[Any]) -> Any:
        for i in range(TILE):
            for j in range(TILE):
                self.add_product(columns, i + j, a[i], b[j])
        return self.packed(columns)

    def carry(self, columns: list[Any], t: int) -> None:
        """Add what stands above 52 bits of column t to the next."""
        above = self.builder.lshr(columns[t], _everywhere(LIMB_BITS))
        columns[t + 1] = self.builder.add(columns[t + 1], above)

    def dropped(self, columns: list[Any]) -> Any:
        """The upper five columns, moved down."""
        return self.packed(columns[TILE:] + [_everywhere(0)] * TILE)


@intrinsic
def zero_columns(typingctx: Any) -> Any:
    """All columns zero."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _Emitter(context, builder).packed([_everywhere(0)] * COLUMNS)

    return _columns(), code


@intrinsic
def add_tile(typingctx: Any, columns: Any, a: Any, i: Any, b: Any, j: Any) -> Any:
    """columns + the product of five limbs of `a` from i and five of `b` from j."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        total, x, at, y, to = arguments
        return emit.add_tile(emit.columns(total), emit.vectors(a, x, at, TILE), emit.vectors(b, y, to, TILE))

    return columns(columns, a, types.intp, b, types.intp), code


@intrinsic
def add_tile_same(typingctx: Any, columns: Any, a: Any, i: Any, n: Any, j: Any) -> Any:
    """`add_tile` with a factor that is the same in all lanes: its array has one word a limb."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        total, x, at, y, to = arguments
        return emit.add_tile(emit.columns(total), emit.vectors(a, x, at, TILE), emit.same(n, y, to, TILE))

    return columns(columns, a, types.intp, n, types.intp), code


@intrinsic
def add_limbs(typingctx: Any, columns: Any, a: Any, i: Any) -> Any:
    """columns + five limbs of `a` from i."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        total = emit.columns(arguments[0])
        for t, limb in enumerate(emit.vectors(a, arguments[1], arguments[2], TILE)):
            total[t] = builder.add(total[t], limb)
        return emit.packed(total)

    return columns(columns, a, types.intp), code


@intrinsic
def add_twice(typingctx: Any, columns: Any, other: Any) -> Any:
    """columns + 2 · other"""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        pairs = zip(*(emit.columns(value) for value in arguments), strict=True)
        return emit.packed([builder.add(x, builder.add(y, y)) for x, y in pairs])

    return columns(columns, columns), code


@intrinsic
def reduce_tile(typingctx: Any, columns: Any, n: Any, inverse: Any, m: Any, k: Any) -> Any:
    """Add the multiple of the modulus that clears the low five columns; drop them.

    Montgomery 1985, a limb at a time; the multiplier's limbs go to m[k:]. inverse: -1/n modulo 2^52.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        total, modulus, inverted, target, at = arguments
        c, limbs = emit.columns(total), emit.same(n, modulus, at.type(0), TILE)
        inverted, multipliers = emit.splat(inverted), []
        for t in range(TILE):
            multiplier = emit.low(_everywhere(0), c[t], inverted)
            multipliers.append(multiplier)
            for j in range(TILE):
                emit.add_product(c, t + j, multiplier, limbs[j])
            emit.carry(c, t)
        emit.put(multipliers, m, target, at)
        return emit.dropped(c)

    return columns(columns, n, types.uint64, m, types.intp), code


@intrinsic
def emit_tile(typingctx: Any, columns: Any, z: Any, k: Any) -> Any:
    """Carry the low five columns into limbs z[k:]; drop them."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        c, limbs = emit.columns(arguments[0]), []
        for t in range(TILE):
            limbs.append(builder.and_(c[t], _everywhere((1 << LIMB_BITS) - 1)))
            emit.carry(c, t)
        emit.put(limbs, z, arguments[1], arguments[2])
        return emit.dropped(c)

    return columns(columns, z, types.intp), code


@intrinsic
def add_where(typingctx: Any, columns: Any, digits: Any, entry: Any, table: Any, start: Any) -> Any:
    """columns + ten limbs of table[start:] in the lanes whose digit is `entry`, by a product with 1, elsewhere 0.

    A masked move would do, but is made into a masked load, which need not touch the memory that it does not want.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        total, wanted, number, entries, at = arguments
        equal = builder.icmp_unsigned("==", emit.vectors(digits, wanted, at.type(0), 1)[0], emit.splat(number))
        flag = builder.zext(equal, _VECTOR)
        limbs = zip(emit.columns(total), emit.vectors(table, entries, at, COLUMNS), strict=True)
        return emit.packed([emit.low(column, limb, flag) for column, limb in limbs])

    return columns(columns, digits, types.uint64, table, types.intp), code


@intrinsic
def put_columns(typingctx: Any, columns: Any, z: Any, k: Any) -> Any:
    """Store what `add_where` took as limbs z[k:]."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        emit.put(emit.columns(arguments[0]), z, arguments[1], arguments[2])
        return context.get_dummy_value()

    return types.void(columns, z, types.intp), code


@intrinsic
def permute(typingctx: Any, table: Any, start: Any, digits: Any, z: Any, k: Any) -> Any:
    """z[k:] = five limbs, each one of ENTRIES words of table[start:], as the lanes' digits say.

    The words are permuted in registers (VPERMI2Q): all are read, whatever the digits are.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder)
        entries, at, wanted, target, to = arguments
        index = emit.vectors(digits, wanted, to.type(0), 1)[0]
        bits = [builder.and_(index, _everywhere(bit)) for bit in (16, 32)]
        high, higher = (builder.icmp_unsigned("!=", bit, _everywhere(0)) for bit in bits)
        limbs = []
        for limb in range(TILE):
            first = builder.add(at, at.type(limb * (ENTRIES // LANES)))
            words = emit.vectors(table, entries, first, ENTRIES // LANES)
            found = [
                emit.call("llvm.x86.avx512.vpermi2var.q.512", words[i], index, words[i + 1])
                for i in range(0, len(words), 2)
            ]
            halves = [builder.select(high, found[i + 1], found[i]) for i in (0, 2)]
            limbs.append(builder.select(higher, halves[1], halves[0]))
        emit.put(limbs, z, target, to)
        return context.get_dummy_value()

    return types.void(table, types.intp, digits, z, types.intp), code


@intrinsic
def load_word(typingctx: Any, address: Any) -> Any:
    """The little-endian 64-bit word at an address, aligned or not."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _WORD.as_pointer()), align=1, typ=_WORD)

    return types.uint64(types.uint64), code
