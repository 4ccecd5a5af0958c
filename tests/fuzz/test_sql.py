"""The gate against DuckDB, in short: `make fuzz-sql` runs a million."""

from itertools import islice

import pytest

from cleanroom.gate.gate import ask
from tests.fuzz.guided.sql import chunk
from tests.fuzz.judge import MANY, Wrong, check_names, judged
from tests.fuzz.statements import Statements
from tests.gate.parts import SCHEMA

COUNT = 1_000


def test_no_statement_means_anything_but_what_the_gate_reads() -> None:
    """Nor is refused by anything but a code, nor is a value told."""
    told, wrong = chunk(2026, COUNT)
    assert wrong == []
    assert told.total() == COUNT
    assert told["accepted: compared"] > COUNT // 10
    assert sum(count for outcome, count in told.items() if outcome.startswith("refused")) > COUNT // 3


def test_a_seed_gives_the_same_statements() -> None:
    """So that what is found can be found again."""
    assert list(islice(Statements(7), 50)) == list(islice(Statements(7), 50))


@pytest.mark.parametrize(
    ("meant", "read"),
    [
        ("SELECT COUNT(*) FROM matched WHERE visits < 31", "SELECT COUNT(*) FROM matched WHERE visits < 61"),
        ("SELECT tier, COUNT(*) FROM matched GROUP BY 1", "SELECT city, COUNT(*) FROM matched GROUP BY 1"),
        ("SELECT SUM(spend) FROM crm", "SELECT SUM(spend) FROM matched"),
        ("SELECT tier, COUNT(*) FROM crm GROUP BY 1 ORDER BY 1",
         "SELECT tier, COUNT(*) FROM crm GROUP BY 1 ORDER BY 1 DESC"),
        ("SELECT tier, COUNT(*) FROM crm GROUP BY 1", "SELECT tier, COUNT(*) FROM crm GROUP BY 1 LIMIT 2"),
        ("SELECT AVG(spend) FROM crm", "SELECT SUM(spend) FROM crm"),
        ("SELECT COUNT(*) FROM matched WHERE NOT tier = 'gold'",
         "SELECT COUNT(*) FROM matched WHERE tier <> 'gold' OR tier IS NULL"),
    ],
)  # fmt: skip
def test_the_judge_tells_meanings_apart(meant: str, read: str) -> None:
    """A gate that read the second for the first would be found out."""
    assert judged(meant, ask(meant, SCHEMA)) == "compared"
    with pytest.raises(Wrong):
        judged(meant, ask(read, SCHEMA))


def test_the_judge_knows_the_contract() -> None:
    """A column or a cell that is not declared is found."""
    asked = ask("SELECT tier, COUNT(*) FROM crm WHERE tier = 'gold' GROUP BY 1", SCHEMA)
    check_names(asked)
    for field, value in (("by", ("crm.phone",)), ("sums", ("crm.tier",)), ("table", "other"), ("by", ("users.city",))):
        with pytest.raises(Wrong):
            check_names(type(asked)(**{**vars(asked), field: value}))
    assert len(MANY.people("crm")["spend"]) > len(MANY.people("matched")["spend"])
