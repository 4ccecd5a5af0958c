"""The worlds that every engine is asked about: few rows, every type of column, every shape of match and of question.

Rows are drawn from fixed seeds. Among the values are those that engines are known to differ in: nulls, empty texts,
Chinese, quotes, a zero byte, the ends of 64 bits, days before the calendar's reform, tokens of zeros and of ones.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.enclave import tables
from cleanroom.enclave.query import Query, Where
from protocols.paillier import cipher, keys
from tests.enclave.conformance.judge import Asked, Located, Subtracted, World

LEAST, MOST = -(1 << 63), (1 << 63) - 1
TEXTS = ("", "a", "B", "会员", "会员 ", 'q"', "nan", "None", "a\0b", "é", "😀")
DAYS = tuple(dt.date(*each) for each in ((1, 1, 1), (1582, 10, 10), (1969, 12, 31), (2026, 11, 22), (9999, 12, 31)))
CODES = (b"\0" * 8, b"\xff" * 8, b"12345678", b"\x80" + b"\0" * 7)
LONG = tuple(code * 2 for code in CODES)
TYPES: Mapping[str, tuple[pa.DataType, Sequence[Any]]] = {
    "text": (pa.string(), TEXTS),
    "number": (pa.int64(), (LEAST, -1, 0, 1, MOST)),
    "truth": (pa.bool_(), (True, False)),
    "day": (pa.date32(), DAYS),
    "code": (pa.binary(8), CODES),
    "long": (pa.binary(16), LONG),
}
"""Of a column: its type, and the values in it beside null."""
OTHERS: Mapping[str, tuple[pa.DataType, Sequence[Any]]] = {
    "small": (pa.int8(), (-128, 0, 127)),
    "unsigned": (pa.uint64(), (0, 1 << 63, (1 << 64) - 1)),
    "coded": (pa.dictionary(pa.int8(), pa.string()), ("x", "会员")),
    "large": (pa.large_string(), ("", "x")),
}
HOSTILE = (
    'm."; DROP TABLE matched; --', "m.' OR 1=1 --", 'm."."x"', "m.`tick`", "m.会员等级", "m.count(*)", "m.a/**/b",
    "m.${x}", "m.?", "m.*", "m.\\", "m.people", "m.position", "m.😀{name}",
)  # fmt: skip


@cache
def key() -> keys.PrivateKey:
    """One Paillier key for all worlds of this process."""
    return keys.generate(2048)


@cache
def worlds() -> tuple[World, ...]:
    """All of them, made once a process: their ciphertexts take a second."""
    return two(), three(), five(), identities(), matched(), hostile(), nobody(), empty_side(), no_rows()


def condensed() -> list[World]:
    """Every world and every shape, but each shape of question once, where it comes first."""
    seen: set[str] = set()
    found = []
    for world in worlds():
        kept = {}
        for part in ("asked", "located", "subtracted"):
            own = [each for each in getattr(world, part) if not (each.shape in seen or seen.add(each.shape))]  # type: ignore[func-returns-value]
            kept[part] = own or list(getattr(world, part))[:1]
        found.append(replace(world, **kept))
    return found


def column(draw: np.random.Generator, kind: tuple[pa.DataType, Sequence[Any]], rows: int) -> pa.Array:
    """Values of the type, a tenth of them null."""
    picked = draw.integers(0, len(kind[1]), rows)
    absent = draw.random(rows) < 0.1
    return pa.array([None if none else kind[1][at] for at, none in zip(picked.tolist(), absent, strict=True)], kind[0])


def cells(draw: np.random.Generator, rows: int, size: int) -> pa.Array:
    """Cell numbers, some null."""
    return column(draw, (pa.int64(), range(size)), rows)


def tokens(draw: np.random.Generator, rows: int) -> np.ndarray:
    """uint8[rows, 16]; all different, but by chance."""
    return np.frombuffer(bytearray(draw.bytes(16 * rows)), np.uint8).reshape(-1, 16)


def ciphertexts(draw: np.random.Generator, rows: int, beside: int = 1) -> pa.Array:
    """So many numbers side by side in every row."""
    width = key().public.plain_width
    plain = np.zeros((rows * beside, width), np.uint8)
    plain[:, :4] = draw.integers(0, 256, (rows * beside, 4))
    encrypted = cipher.encrypt(key(), plain.reshape(rows, -1)) if rows else np.empty((0, beside * key().public.width))
    return tables.as_binary(encrypted.astype(np.uint8))


def moduli(*datasets: str) -> dict[str, int]:
    """The same key for each."""
    return dict.fromkeys(datasets, key().public.n)


def everything(draw: np.random.Generator, dataset: str, rows: int) -> dict[str, pa.Array]:
    """A column of every type, and three to be summed: of anything, of nulls, and of the ends of 64 bits."""
    made = {f"{dataset}.{name}": column(draw, kind, rows) for name, kind in TYPES.items()}
    pairs = (MOST, -1, LEAST, 1)
    return made | {
        f"{dataset}.spend": column(draw, (pa.int64(), range(-50, 50)), rows),
        f"{dataset}.nothing": pa.array([None] * rows, pa.int64()),
        f"{dataset}.pair": pa.array([row // 2 for row in range(rows)], pa.int64()),
        f"{dataset}.ends": pa.array([pairs[row % 4] for row in range(rows)], pa.int64()),
    }


def by_every_type(dataset: str) -> list[Asked]:
    """By each type alone, by none, and by all of them together."""
    return [
        Asked("by none", Query()),
        *by_each(dataset, (f"{dataset}.spend",)),
        Asked("by many columns", Query(tuple(f"{dataset}.{name}" for name in TYPES))),
        Asked("by many columns", Query((f"{dataset}.truth", f"{dataset}.text"), (f"{dataset}.spend",))),
    ]


def by_each(dataset: str, sums: tuple[str, ...] = ()) -> list[Asked]:
    """By each type alone."""
    return [Asked(f"by one column: {_NAMED[name]}", Query((f"{dataset}.{name}",), sums)) for name in TYPES]


_NAMED = {
    "text": "text", "number": "int64, its ends too", "truth": "truth values", "day": "dates", "code": "8-byte tokens",
    "long": "16-byte tokens",
}  # fmt: skip


def sums(dataset: str) -> list[Asked]:
    """Plain sums."""
    spend, nothing, ends, pair = (f"{dataset}.{name}" for name in ("spend", "nothing", "ends", "pair"))
    return [
        Asked("plain sums: negative too", Query((f"{dataset}.truth",), (spend,))),
        Asked("plain sums: of nulls only", Query((f"{dataset}.truth",), (nothing, spend))),
        Asked("plain sums: up to the ends of 64 bits", Query((pair,), (ends,))),
        Asked("plain sums: of nobody", Query((), (spend, nothing), (((spend, ()),),))),
    ]


def conditions(number: str, code: str) -> list[tuple[str, Where]]:
    """Boxes of an int64 column and of one of 8-byte tokens."""
    first, second, absent = CODES[0].hex(), CODES[1].hex(), b"nobody's".hex()
    many = tuple(((number, (at, -at)), (code, (first, second))) for at in range(120))
    return [
        ("where: one box", (((number, (0, 1)),),)),
        ("where: one box", (((code, (first,)), (number, (0, MOST, LEAST))),)),
        ("where: overlapping boxes", (((number, (0, 1)),), ((code, (first, second)),), ((number, (1,)),))),
        ("where: many overlapping boxes", many),
        ("where: everybody", ((), ((number, (0,)),))),
        ("where: a box without cells", (((number, ()),),)),
        ("where: a box without cells", (((number, ()),), ((code, (first,)),))),
        ("where: tokens that nobody has", (((code, (absent,)),),)),
        ("where: tokens that nobody has", (((code, (absent, first)),), ((number, (7,)),))),
        ("where: null is in no box", (((number, (LEAST, -1, 0, 1, MOST)),),)),
    ]


def two() -> World:
    """A neutral room: two owners, canaries, every type, ciphertexts of both, conditions."""
    draw, rows = np.random.default_rng(8), {"m": 90, "p": 70}
    people, canaries = tokens(draw, 110), tokens(draw, 6)
    ours = np.concatenate([people[draw.permutation(80)], canaries[:4], tokens(draw, rows["m"] - 84)])
    theirs = np.concatenate([people[draw.permutation(110)[:60]], canaries[1:6], tokens(draw, rows["p"] - 65)])
    m = {"token": tables.as_binary(ours)} | everything(draw, "m", rows["m"])
    m |= {"m.#slots": ciphertexts(draw, rows["m"])}
    p = {
        "token": tables.as_binary(theirs), "p.tier": cells(draw, rows["p"], 3),
        "p.city": column(draw, (pa.binary(8), CODES), rows["p"]), 'p.城"市': column(draw, TYPES["text"], rows["p"]),
        "p.spend": column(draw, (pa.int64(), range(-9, 9)), rows["p"]), "p.#slots": ciphertexts(draw, rows["p"], 2),
    }  # fmt: skip
    asked = [
        *by_every_type("m"),
        Asked("by columns of several datasets", Query(("m.truth", "p.tier", "p.city"), ("m.spend", "p.spend"))),
        Asked("by columns of several datasets", Query(('p.城"市', "m.text"))),
        *sums("m"),
        Asked("ciphertexts: of one group", Query((), ("p.#slots",))),
        Asked("ciphertexts: by groups", Query(("p.tier", "m.truth"), ("p.#slots",))),
        Asked("ciphertexts: of several datasets", Query(("p.tier",), ("p.#slots", "m.spend", "m.#slots"))),
        *(Asked(shape, Query(("p.tier",), ("m.spend",), where)) for shape, where in conditions("m.number", "p.city")),
        Asked("where, with ciphertexts", Query((), ("m.#slots",), ((("p.tier", (0, 1)),), (("p.city", ()),)))),
        Asked("ciphertexts: of nobody", Query((), ("p.#slots",), ((("p.tier", (9,)),),))),
    ]  # fmt: skip
    located = [
        Located("positions: matched", "m"),
        Located("positions: matched", "p"),
        *(Located("positions: meant by a condition", "m", where) for _, where in conditions("m.number", "p.city")),
    ]
    return World("two", "match: two datasets, canaries left out", {"m": pa.table(m), "p": pa.table(p)}, asked, located,
                 _subtractions("p.tier", "p.city"), moduli("m", "p"),
                 [each.tobytes() for each in canaries], "m", 32)  # fmt: skip


def _subtractions(tier: str, city: str) -> list[Subtracted]:
    first = (((city, (CODES[0].hex(),)),),)
    return [
        Subtracted("subtractable: nothing before", Query((tier,)), (), 3),
        Subtracted("subtractable: margins that cross", Query((tier,), where=first), (Query((city,)),), 2),
        Subtracted("subtractable: all but one cell", Query(where=(((tier, (0, 1)),),)), (Query(),), 3),
        Subtracted("subtractable: all but few", Query(where=(((tier, (0, 1, 2)),),)), (Query(),), 50),
        Subtracted("subtractable: the same again", Query((city,)), (Query((city,)),), 3),
        Subtracted("subtractable: several before", Query(where=(((tier, (1,)),),)),
                   (Query(), Query(where=(((tier, (0,)),),)), Query(where=(((tier, (2,)),),))), 3),
    ]  # fmt: skip


def three() -> World:
    """Three owners; ciphertexts of the third."""
    draw = np.random.default_rng(3)
    people = tokens(draw, 60)
    sides = {name: people[draw.permutation(60)[:45]] for name in "abc"}
    datasets = {
        name: pa.table({
            "token": tables.as_binary(side), f"{name}.cell": cells(draw, len(side), 3),
            f"{name}.code": column(draw, (pa.binary(8), CODES), len(side)),
            f"{name}.spend": column(draw, (pa.int64(), range(9)), len(side)),
        })
        for name, side in sides.items()
    }  # fmt: skip
    datasets["c"] = datasets["c"].append_column("c.#slots", ciphertexts(draw, 45))
    shape = "match: three datasets"
    asked = [
        Asked("by columns of several datasets", Query(("a.cell", "b.cell", "c.code"), ("b.spend",))),
        Asked("ciphertexts: by groups", Query(("a.cell",), ("c.#slots",))),
        Asked("where: overlapping boxes", Query(("b.cell",), (), ((("a.cell", (0,)),), (("c.cell", (0, 1)),)))),
    ]
    located = [Located("positions: matched", name) for name in "abc"]
    located.append(Located("positions: meant by a condition", "b", ((("a.cell", (0, 1)),),)))
    return World("three", shape, datasets, asked, located, (), moduli("c"), [people[0].tobytes()], "b")


def five() -> World:
    """Five owners of few common people."""
    draw = np.random.default_rng(5)
    people = tokens(draw, 30)
    datasets = {
        name: pa.table({
            "token": tables.as_binary(people[draw.permutation(30)[:26]]), f"{name}.cell": cells(draw, 26, 2)
        })
        for name in "edcba"
    }  # fmt: skip
    asked = [Asked("by columns of several datasets", Query(("a.cell", "e.cell"))), Asked("by none", Query())]
    return World("five", "match: more datasets", datasets, asked, [Located("positions: matched", "c")])


def identities() -> World:
    """Two owners and three identities a person: each row counts once, by the first that hits."""
    draw, numbers, rows = np.random.default_rng(4), 40, 60
    known = [tokens(draw, numbers) for _ in range(3)]

    def side(name: str) -> pa.Table:
        columns = {}
        for kind, of in enumerate(known):
            made = tokens(draw, rows)
            held = draw.permutation(rows)[:30]
            made[held] = of[draw.permutation(numbers)[:30]]
            columns["token" if not kind else f"token#{kind}"] = tables.as_binary(made)
        more = {f"{name}.cell": cells(draw, rows, 4), f"{name}.row": pa.array(range(rows), pa.int64())}
        return pa.table(columns | more | {f"{name}.#slots": ciphertexts(draw, rows)})

    asked = [
        Asked("by columns of several datasets", Query(("m.row", "p.row"))),
        Asked("ciphertexts: of several datasets", Query(("m.cell",), ("m.#slots", "p.#slots"))),
        Asked("where: one box", Query((), ("p.row",), ((("p.cell", (0, 1)),),))),
    ]
    located = [
        Located("positions: matched", "m"),
        Located("positions: meant by a condition", "p", ((("m.cell", (1,)),),)),
    ]
    dropped = [token.tobytes() for token in known[0][:5]]
    return World("identities", "match: three identities, one after the other", {"m": side("m"), "p": side("p")}, asked,
                 located, (), moduli("m", "p"), dropped, "p")  # fmt: skip


def matched() -> World:
    """A room of two: rows that a protocol has matched, with ciphertexts of both sides."""
    draw, rows = np.random.default_rng(6), 80
    columns = everything(draw, "m", rows)
    columns |= {f"p.{name}": column(draw, kind, rows) for name, kind in OTHERS.items()}
    columns |= {"p.tier": cells(draw, rows, 3), "p.city": column(draw, (pa.binary(8), CODES), rows)}
    columns |= {"m.#slots": ciphertexts(draw, rows), "p.#slots": ciphertexts(draw, rows, 3)}
    columns |= {"p.three": pa.array([row % 27 for row in range(rows)], pa.int64()),
                "p.over": pa.array([(MOST, 1, -1)[row // 27] for row in range(rows)], pa.int64())}  # fmt: skip
    asked = [
        *by_every_type("m"),
        *(Asked("by one column: other whole numbers and texts", Query((f"p.{name}",))) for name in OTHERS),
        *sums("m"),
        Asked(
            "plain sums: beyond 64 bits on the way",
            Query(("p.three",), ("p.over",), ((("p.three", tuple(range(26))),),)),
        ),
        Asked("ciphertexts: of several datasets", Query(("p.tier",), ("p.#slots", "m.#slots"))),
        *(Asked(shape, Query(("p.tier",), ("m.spend",), where)) for shape, where in conditions("m.number", "p.city")),
    ]
    return World("matched", "load_matched: one row a person", {"": pa.table(columns)}, asked, (),
                 _subtractions("p.tier", "p.city"), moduli("m", "p"), batch=16)  # fmt: skip


def hostile() -> World:
    """Names that would be something else in SQL, in templates or in paths."""
    draw, rows = np.random.default_rng(7), 20
    columns = {name: cells(draw, rows, 3) for name in HOSTILE}
    asked = [
        *(Asked("names with quotes, Chinese, SQL", Query((name,), (), (((name, (0, 1)),),))) for name in HOSTILE[::4]),
        Asked("names with quotes, Chinese, SQL", Query(HOSTILE[:7], HOSTILE[7:])),
    ]
    return World("hostile", "load_matched: one row a person", {"": pa.table(columns)}, asked)


def _few(draw: np.random.Generator, name: str, token: np.ndarray) -> pa.Table:
    columns = {f"{name}.cell": cells(draw, len(token), 3), f"{name}.text": column(draw, TYPES["text"], len(token))}
    return pa.table({"token": tables.as_binary(token)} | columns | {f"{name}.#slots": ciphertexts(draw, len(token), 2)})


def _of_nobody() -> list[Asked]:
    return [
        Asked("by none", Query()),
        Asked("ciphertexts: of nobody", Query((), ("p.#slots",))),
        Asked("by columns of several datasets", Query(("m.cell", "p.text"))),
        Asked("ciphertexts: of nobody", Query(("m.text",), ("p.#slots",))),
    ]


def nobody() -> World:
    """Two datasets without anybody in common."""
    draw = np.random.default_rng(1)
    datasets = {name: _few(draw, name, tokens(draw, 9)) for name in "mp"}
    located = [
        Located("positions: matched", "m"),
        Located("positions: meant by a condition", "p", ((("m.cell", (0,)),),)),
    ]
    return World("nobody", "match: nobody in common", datasets, _of_nobody(), located, (), moduli("m", "p"), (), "p")


def empty_side() -> World:
    """One dataset without rows."""
    draw = np.random.default_rng(2)
    datasets = {"m": _few(draw, "m", tokens(draw, 9)), "p": _few(draw, "p", tokens(draw, 0))}
    return World("empty side", "match: an empty side", datasets, _of_nobody(), [Located("positions: matched", "p")], (),
                 moduli("m", "p"))  # fmt: skip


def no_rows() -> World:
    """Rows matched already, of which there are none."""
    table = pa.table({f"m.{name}": pa.array([], kind) for name, (kind, _) in TYPES.items()})
    asked = [Asked("by none", Query((), ("m.number",))), Asked("by many columns", Query(tuple(table.column_names)))]
    return World("no rows", "load_matched: no rows", {"": table}, [*asked, *by_each("m")])
