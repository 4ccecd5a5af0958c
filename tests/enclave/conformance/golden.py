"""The SQL of every shape of question, word for word, in both dialects: `python -m tests.enclave.conformance.golden`
writes the files anew; whoever changes SQL reads what changed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.spark import Spark

from cleanroom.enclave import sql
from cleanroom.enclave.query import Query, Where

FOLDER = Path(__file__).with_name("golden")
DIALECTS: Mapping[str, sql.Kind] = {"duckdb": DuckDB, "spark": Spark}
LEVEL, CITY, SPEND = "m.level", 'p."城`市"', "m.spend"


def queries(dialect: str) -> dict[str, Query]:
    """By shape. DuckDB's conditions are in numbers only, as `coding` makes them; Spark's hold tokens."""
    first, second = ("00ff", "6162") if dialect == "spark" else (0, 255)
    boxes: Where = (((LEVEL, (1, -2)), (CITY, (first, second))), ((LEVEL, (3,)),))
    return {
        "by none": Query(),
        "by one column": Query((LEVEL,)),
        "by many columns, names with quotes and Chinese": Query((LEVEL, CITY, "m.count(*)")),
        "a plain sum": Query((LEVEL,), (SPEND,)),
        "a plain sum of all": Query((), (SPEND,)),
        "several plain sums": Query((CITY,), (SPEND, "p.`visits`")),
        "ciphertexts": Query((LEVEL, CITY), ("p.#slots",)),
        "where: one box": Query((), (), (((LEVEL, (0, 2)),),)),
        "where: tokens": Query((), (), (((CITY, (first,)),),)),
        "where: several boxes": Query((LEVEL,), (SPEND,), boxes),
        "where: the ends of 64 bits": Query((), (), (((LEVEL, (-(1 << 63), (1 << 63) - 1)),),)),
        "where: everybody": Query((), (), ((), ((LEVEL, (0,)),))),
        "where: nobody": Query((), (), (((LEVEL, ()),),)),
        "where, groups and ciphertexts": Query((CITY,), ("m.#slots",), boxes),
    }


def text(dialect: str) -> str:
    """The whole file of a dialect."""
    return "".join(f"-- {name}\n{statement}\n\n" for name, statement in _statements(dialect))


def _statements(dialect: str) -> Iterator[tuple[str, str]]:
    for name, query in queries(dialect).items():
        yield f"groups: {name}", sql.groups(query, DIALECTS[dialect])
        yield f"memberships: {name}", sql.memberships(query, "p", DIALECTS[dialect])
    if dialect == "duckdb":
        yield "the match", sql.pairs()
        yield "matched rows kept", sql.keep()


if __name__ == "__main__":
    for each in DIALECTS:
        (FOLDER / f"{each}.sql").write_text(text(each), "utf-8")
