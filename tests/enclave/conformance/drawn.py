"""Worlds that hypothesis draws: any people, identities and questions, so that no engine is right by examples."""

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from cleanroom.enclave.query import Query, Where
from tests.enclave.conformance import worlds
from tests.enclave.conformance.judge import Asked, Located, Subtracted, World

NUMBERS = 9
_KNOWN = [[bytes([kind, number]) * 8 for number in range(NUMBERS)] for kind in range(3)]
"""By identity the tokens of the persons that several datasets may have."""
_COLUMNS = {**worlds.TYPES, **{name: worlds.OTHERS[name] for name in ("small", "unsigned", "coded")}}
CELLS = {
    "cell": st.integers(-1, 2),
    "code": st.sampled_from([code.hex() for code in (*worlds.CODES, b"nobody's")]),
}


@st.composite
def drawn(draw: st.DrawFn) -> World:
    """Two to four datasets, or two by up to three identities, or rows matched already; up to three questions."""
    kinds = draw(st.integers(0, 3))
    names = list("abcd")[: draw(st.integers(2, 4)) if kinds == 1 else 2] if kinds else [""]
    more = draw(st.lists(st.sampled_from(sorted(_COLUMNS)), unique=True, max_size=2))
    datasets = {name: draw(_dataset(name, kinds, more)) for name in names}
    owners = names if kinds else ["a", "b"]
    by = [f"{owner}.{column}" for owner in owners for column in ("cell", "code", *more)]
    asked = [Asked("drawn", each) for each in draw(st.lists(_questions(by, owners), min_size=1, max_size=3))]
    located = [Located("drawn", owners[0], draw(_where(owners)))] if kinds else []
    grouped = st.builds(Query, by=st.sampled_from([(), (by[0],), (by[1],), (by[0], by[1])]), where=_where(owners[:1]))
    subtracted = [Subtracted("drawn", draw(grouped), tuple(draw(st.lists(grouped, max_size=2))), 3)]
    dropped = [_KNOWN[0][at] for at in draw(st.sets(st.integers(0, NUMBERS - 1), max_size=2))] if kinds else []
    return World(
        "drawn", "drawn", datasets, asked, located, subtracted, {}, dropped, owners[0], draw(st.integers(1, 9))
    )


@st.composite
def _dataset(draw: st.DrawFn, name: str, kinds: int, more: list[str]) -> pa.Table:
    rows = draw(st.integers(0, 14))
    seed = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    columns = {}
    for kind in range(kinds):
        held = draw(st.lists(st.sampled_from([None, *_KNOWN[kind]]), min_size=rows, max_size=rows))
        column, seen = [], set()
        for token in held:
            own = None if token in seen else token
            seen.add(token)
            column.append(seed.bytes(16) if own is None else own)
        columns["token" if not kind else f"token#{kind}"] = pa.array(column, pa.binary(16))
    for owner in [name] if kinds else ["a", "b"]:
        columns |= {f"{owner}.{column}": worlds.column(seed, _COLUMNS[column], rows) for column in more}
        columns[f"{owner}.cell"] = worlds.cells(seed, rows, 3)
        if "code" not in more:
            columns[f"{owner}.code"] = worlds.column(seed, worlds.TYPES["code"], rows)
        columns[f"{owner}.spend"] = worlds.column(seed, (pa.int64(), range(-(1 << 55), 1 << 55, 1 << 51)), rows)
    return pa.table(columns)


def _where(owners: list[str]) -> st.SearchStrategy[Where]:
    sides = {f"{owner}.{column}": cells for owner in owners for column, cells in CELLS.items()}
    boxes = st.lists(st.sampled_from(sorted(sides)), unique=True, max_size=3).flatmap(
        lambda names: st.tuples(*(st.tuples(st.just(n), st.lists(sides[n], max_size=3).map(tuple)) for n in names))
    )
    return st.lists(boxes, max_size=3).map(tuple)


def _questions(by: list[str], owners: list[str]) -> st.SearchStrategy[Query]:
    return st.builds(
        Query,
        by=st.lists(st.sampled_from(by), unique=True, max_size=3).map(tuple),
        sums=st.lists(st.sampled_from([f"{owner}.spend" for owner in owners]), unique=True, max_size=2).map(tuple),
        where=_where(owners),
    )
