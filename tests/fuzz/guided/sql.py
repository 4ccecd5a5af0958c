"""The gate against DuckDB: statements without end, and of each that is let in, whether it means what SQL says.

python -m tests.fuzz.guided.sql [--statements 1000000] [--processes 2] [--seed 1]
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from itertools import islice

import duckdb
import sqlglot
from sqlglot.tokens import TokenType

from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.gate import ask
from tests.fuzz.judge import Wrong, check_names, judged
from tests.fuzz.statements import CANARY, Statements
from tests.gate.parts import SCHEMA

CHUNK = 5_000
Found = tuple[Counter[str], list[str]]
"""How often what happened, and what may not happen."""


def chunk(seed: int, count: int = CHUNK) -> Found:
    """What becomes of the first `count` statements of `seed`."""
    told: Counter[str] = Counter()
    wrong: list[str] = []
    for sql in islice(Statements(seed), count):
        outcome = tried(sql)
        if outcome.startswith("WRONG"):
            wrong.append(f"{outcome}: {sql!r}")
        told[outcome] += 1
    return told, wrong


def tried(sql: str) -> str:
    """`refused: code`, `accepted: compared` or why not, or `WRONG: why`."""
    try:
        asked = ask(sql, SCHEMA)
    except QueryRefused as error:
        leaked = CANARY in str(error) and not _named(sql)
        return "WRONG: a value stands in the refusal" if leaked else f"refused: {error.code}"
    except Exception as error:
        return f"WRONG: {type(error).__name__} instead of a refusal"
    try:
        check_names(asked)
        return f"accepted: {judged(sql, asked)}"
    except Wrong as error:
        return f"WRONG: {error}"


def _named(sql: str) -> bool:
    """Whether the canary stands in a name, which refusals may repeat, and not in a text only."""
    texts = (TokenType.STRING, TokenType.HEREDOC_STRING, TokenType.RAW_STRING, TokenType.BYTE_STRING)
    return any(CANARY in token.text and token.token_type not in texts for token in sqlglot.tokenize(sql, "duckdb"))


def main() -> int:
    """Print counts by outcome, and every statement of which the two sides disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("statements", 1_000_000), ("processes", os.cpu_count() or 1), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    chunks, started = -(-given.statements // CHUNK), time.monotonic()
    told: Counter[str] = Counter()
    wrong: list[str] = []
    with multiprocessing.Pool(given.processes) as pool:
        for counts, found in pool.imap_unordered(chunk, range(given.seed, given.seed + chunks)):
            told += counts
            wrong += found
    accepted = sum(count for outcome, count in told.items() if outcome.startswith("accepted"))
    lines = [
        f"sqlglot {sqlglot.__version__}, DuckDB {duckdb.__version__}, {time.monotonic() - started:.0f} s",
        f"{told.total():,} statements of seeds {given.seed} to {given.seed + chunks - 1}, {CHUNK:,} each",
        f"{accepted:,} accepted, {told['accepted: compared']:,} of them compared with DuckDB, {len(wrong)} wrong",
        *(f"{count:>10,}  {outcome}" for outcome, count in sorted(told.items())),
        *wrong[:100],
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
