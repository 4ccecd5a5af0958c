"""What every engine has to answer, by plain Python over the rows themselves: no SQL, no Arrow kernel, no engine.

A world is what its owners load, in which order it is matched, and what is asked about it. Everything here is slow and
small, and shares nothing with `cleanroom.enclave` but the shape of a question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.enclave.query import Query, Where
from cleanroom.privacy.suppression import withhold
from protocols.paillier.keys import PublicKey

Row = Mapping[str, Any]
People = frozenset[int]


@dataclass(frozen=True, eq=False)
class Asked:
    """A question, and the shape of question that it stands for."""

    shape: str
    query: Query


@dataclass(frozen=True, eq=False)
class Located:
    """Which rows of a dataset are asked for."""

    shape: str
    dataset: str
    where: Where = ()


@dataclass(frozen=True, eq=False)
class Subtracted:
    """A question, those before it, and how many persons nobody may be told about."""

    shape: str
    query: Query
    earlier: tuple[Query, ...]
    k: int


@dataclass(frozen=True, eq=False)
class World:
    """name; shape: of its match; datasets: as loaded, in the order in which they are matched; one alone, named "", is
    matched already. moduli: of Paillier keys by dataset; dropped: tokens left out; batch: rows that come at once."""

    name: str
    shape: str
    datasets: Mapping[str, pa.Table]
    asked: Sequence[Asked]
    located: Sequence[Located] = ()
    subtracted: Sequence[Subtracted] = ()
    moduli: Mapping[str, int] = field(default_factory=dict)
    dropped: Sequence[bytes] = ()
    addressed: str = ""
    batch: int = 7

    @property
    def matched_already(self) -> bool:
        """Whether its rows are of a protocol, one a person."""
        return "" in self.datasets

    @property
    def schema(self) -> dict[str, pa.DataType]:
        """Of all columns that a question may name: dictionaries as their values."""
        fields = [each for table in self.datasets.values() for each in table.schema]
        return {each.name: each.type.value_type if pa.types.is_dictionary(each.type) else each.type for each in fields}


def matched(world: World) -> dict[str, list[int]]:
    """Dataset → which row each matched person is, in one order of persons: by one identity after the other."""
    rows = {name: table.to_pylist() for name, table in world.datasets.items()}
    if world.matched_already:
        return {"": list(range(len(rows[""])))}
    first = next(iter(rows))
    kinds = [name for name in world.datasets[first].column_names if name.partition("#")[0] == "token"]
    free = {name: {at for at, row in enumerate(of) if row["token"] not in world.dropped} for name, of in rows.items()}
    found: dict[str, list[int]] = {name: [] for name in rows}
    for kind in kinds:
        holders = [{rows[name][at][kind]: at for at in free[name]} for name in rows]
        common = set(holders[0]).intersection(*holders[1:])
        for name, holder in zip(rows, holders, strict=True):
            found[name] += [holder[token] for token in sorted(common)]
            free[name] -= {holder[token] for token in common}
    return found


def dropped(world: World) -> dict[str, int]:
    """Dataset → rows left out."""
    return {
        name: sum(token in world.dropped for token in table.column("token").to_pylist())
        for name, table in world.datasets.items()
    }


def persons(world: World) -> list[dict[str, Any]]:
    """Of each matched person the columns of all datasets."""
    places = matched(world)
    rows = {name: table.to_pylist() for name, table in world.datasets.items()}
    many = len(next(iter(places.values())))
    return [
        {column: value for name in rows for column, value in rows[name][places[name][at]].items()} for at in range(many)
    ]


def meant(row: Row, where: Where) -> bool:
    """Whether a person is in any of the boxes; a null is in none."""
    return not where or any(all(_cell(row[name]) in cells for name, cells in box) for box in where)


def groups(world: World, people: Sequence[Row], query: Query) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """(the table that answers the question, dataset → each group's products)."""
    members: dict[tuple[Any, ...], list[Row]] = {} if query.by else {(): []}
    for row in people:
        if meant(row, query.where):
            members.setdefault(tuple(row[name] for name in query.by), []).append(row)
    order = sorted(members, key=_place)
    columns = {name: (world.schema[name], [key[at] for key in order]) for at, name in enumerate(query.by)}
    columns["people"] = (pa.int64(), [len(members[key]) for key in order])
    for name in query.plain_sums:
        values = [[row[name] for row in members[key] if row[name] is not None] for key in order]
        columns |= {name: (pa.int64(), list(map(sum, values))), f"{name}#count": (pa.int64(), list(map(len, values)))}
    table = pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()})
    return table, {of: _products(world, of, [members[key] for key in order]) for of in query.slots}


def positions(world: World, located: Located) -> list[int]:
    """The rows that are matched and meant, ascending."""
    places = matched(world)["" if world.matched_already else located.dataset]
    return sorted(at for at, row in zip(places, persons(world), strict=True) if meant(row, located.where))


def subtractable(people: Sequence[Row], asked: Subtracted) -> bool:
    """The bit, by sets of persons: two populations cross, or one has fewer than k persons beside those inside it."""
    new = _populations(people, asked.query, asked.k)
    old = {each: _populations(people, each, asked.k) for each in asked.earlier}
    every = [new, *old.values()]
    for at, one in enumerate(every):
        if any(g & e and not g <= e and not e <= g for other in every[:at] for g in one for e in other):
            return True
    if any(_told(group, list(old.values()), asked.k) for group in new):
        return True
    for each, populations in old.items():
        others = [new, *(other for at, other in old.items() if at != each)]
        if any(_told(group, others, asked.k) for group in populations if any(inner < group for inner in new)):
            return True
    return False


def _cell(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _place(key: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    """Groups come in the order of their values: texts by their bytes, what is missing last."""
    return [(part is None, 0 if part is None else part.encode() if isinstance(part, str) else part) for part in key]


def _products(world: World, dataset: str, members: Sequence[Sequence[Row]]) -> np.ndarray:
    """uint8[groups, w]: the products modulo n² of each number beside the others; 1 where there is none."""
    public, name = PublicKey(world.moduli[dataset]), f"{dataset}.#slots"
    width, whole, square = public.width, int(world.schema[name].byte_width), int(public.square)
    out = np.zeros((len(members), whole), np.uint8)
    for group, rows in enumerate(members):
        for start in range(0, whole, width):
            product = 1
            for row in rows:
                product = product * int.from_bytes(row[name][start : start + width], "little") % square
            out[group, start : start + width] = np.frombuffer(product.to_bytes(width, "little"), np.uint8)
    return out


def _populations(people: Sequence[Row], query: Query, k: int) -> set[People]:
    found: dict[tuple[Any, ...], set[int]] = {}
    for person, row in enumerate(people):
        if meant(row, query.where):
            found.setdefault(tuple(row[name] for name in query.by), set()).add(person)
    keys = sorted(found, key=_place)
    axes = [
        np.array([sorted({key[at] for key in keys}, key=lambda v: _place((v,))).index(key[at]) for key in keys], int)
        for at in range(len(query.by))
    ]
    shown = withhold(axes, np.array([len(found[key]) for key in keys], np.int64), k)
    return {frozenset(found[key]) for key, each in zip(keys, shown, strict=True) if each}


def _told(outer: People, others: Sequence[set[People]], k: int) -> bool:
    within = [[each for each in other if each < outer] for other in others]
    left = [outer.difference(*inside) for inside in (*within, [each for inside in within for each in inside])]
    return any(0 < len(each) < k for each in left)
