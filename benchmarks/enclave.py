"""The enclave's answers over matched rows that it holds: plain groups beside plain DuckDB, and encrypted sums.

What is measured goes from the text of a query to its groups: gate, query, regenerated SQL, process and back. Noise and
threshold belong to the few groups that come out and to those who release them, and are not in these figures.
"""

import time
from collections.abc import Callable, Iterator

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.processes import Ran, alternate
from benchmarks.regimes import OURS, Plan, Row
from cleanroom.enclave import sql, tables
from cleanroom.enclave.handle import Enclave, start
from cleanroom.enclave.query import Query
from cleanroom.gate import gate
from cleanroom.gate.schema import Field, Schema
from protocols.paillier import cipher, keys

THREADS = 2
BATCH = 1 << 16
CATEGORIES = {"tier": 5, "channel": 8, "city": 30}
PLAIN = "DuckDB, the same SQL"
ASKED = "SELECT tier, channel, city, COUNT(*) FROM matched GROUP BY 1, 2, 3"
DIFFERENT = 4096
"""Ciphertexts that are encrypted: a million rows repeat them, since products take as long of any."""


def segments(plan: Plan, *, tokens: bool) -> Row:
    """Three categories and a count, in whole-number cells or in a neutral enclave's tokens of values."""
    rows, draw = plan.rows(10_000_000, 100_000), np.random.default_rng(1)
    columns = {}
    for name, size in CATEGORIES.items():
        cells = draw.integers(0, size, rows)
        columns[f"m.{name}"] = _tokens(draw, cells, size) if tokens else tables.as_array(cells)
    matched = pa.table(columns)
    fields = tuple(
        Field("m", name, "category", tuple(f"{name} {at}" for at in range(size))) for name, size in CATEGORIES.items()
    )
    schema = Schema(("m",), fields)
    with duckdb.connect(config={"threads": THREADS}) as plain, start(memory=4 << 30, threads=THREADS) as enclave:
        enclave.load_matched(matched.schema, matched.to_batches(BATCH))
        plain.register("arrow", matched)
        plain.execute("CREATE TABLE matched AS SELECT * FROM arrow")
        text = sql.groups(Query(tuple(columns)))
        results = alternate(
            {
                OURS: lambda: _timed(lambda: _checked(enclave, schema)),
                PLAIN: lambda: _timed(lambda: plain.sql(text).to_arrow_table()),
            },
            1 if plan.quick else max(plan.times, 9),
        )
    kind, kinds = ("tokens", "标记") if tokens else ("cells", "单元格")
    work = (f"checked query, {rows:,} matched rows, 3 columns of {kind}", f"经检查的查询：{rows:,} 行匹配，3 列{kinds}")
    return Row(work, "≤ 1.2 × DuckDB + 0.1 s", 0, results)


def sums(plan: Plan) -> Row:
    """A ciphertext of a key of 2048 bits for each row, added up by group."""
    rows, groups = plan.rows(1_000_000, 20_000), plan.rows(1000, 20)
    key = keys.generate(2048)
    plaintexts = np.zeros((DIFFERENT, key.public.plain_width), np.uint8)
    plaintexts[:, 0] = np.arange(DIFFERENT) % 251
    pool, draw = cipher.encrypt(key, plaintexts), np.random.default_rng(1)
    schema = pa.schema({"m.cell": pa.int64(), "p.#slots": pa.binary(key.public.width)})

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, rows, BATCH):
            count = min(BATCH, rows - first)
            chosen = [tables.as_array(draw.integers(0, groups, count)), pool[draw.integers(0, DIFFERENT, count)]]
            yield pa.record_batch([chosen[0], tables.as_binary(chosen[1])], schema=schema)

    with start(memory=4 << 30, threads=THREADS, ciphertexts=rows) as enclave:
        enclave.load_matched(schema, batches())
        asked = Query(("m.cell",), ("p.#slots",))
        results = alternate({OURS: lambda: _timed(lambda: enclave.run(asked, {"p": key.public.n}))}, plan.rounds(5))
    work = (f"encrypted sums, {rows:,} rows × {groups:,} groups", f"密文合计：{rows:,} 行 × {groups:,} 组")
    return Row(work, "≤ 1 s", 0, results)


def _checked(enclave: Enclave, schema: Schema) -> pa.Table:
    return enclave.run(Query(gate.ask(ASKED, schema).by)).table


def _tokens(draw: np.random.Generator, cells: np.ndarray, size: int) -> pa.Array:
    return tables.as_binary(draw.integers(0, 2**63, size)[cells].view(np.uint8).reshape(-1, 8))


def _timed(work: Callable[[], object]) -> Ran:
    begin = time.perf_counter()
    work()
    return Ran(time.perf_counter() - begin)
