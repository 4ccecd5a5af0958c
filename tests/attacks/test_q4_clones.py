"""Q4: averaging the noise away by asking the same question in other words. Every clone is one question, drawn once.

The noise of an answer is drawn once for what stands in `canonical`; a text that brings another form would get, and pay
for, noise of its own, and a form that stood for other people would answer the wrong question.
"""

import random

import pytest

from cleanroom import canonical
from cleanroom.gate.ask import Ask
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.gate import ask
from tests.gate.parts import SCHEMA

CLONES = 500
"""In each of two tests."""
Tree = tuple[object, ...]
"""("and" | "or", left, right), ("not", inner), or an atom: ("in", column, labels), ("below", column, number or day)."""
LABELS = {"tier": ("gold", "silver", "it's", "other"), "city": ("一线", "二线", "other")}
EDGES = {"visits": ("31", "61"), "joined": ("2026-01-01", "2026-07-01")}
EVES = {"2026-01-01": "2025-12-31", "2026-07-01": "2026-06-30"}
AGGREGATES = ("COUNT(*)", "COUNT(DISTINCT person)", "SUM(spend)", "AVG(spend)")


def digest(asked: Ask) -> str:
    """What decides whether a question was asked before."""
    return canonical.digest(
        "q4", {"table": asked.table, "by": list(asked.by), "sums": list(asked.sums), "where": asked.chosen.plain()}
    )


class Writer:
    """Writes one question again and again, each time otherwise."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def tree(self, depth: int) -> Tree:
        """A condition to be rewritten."""
        kind = self.rng.choice(["and", "or", "not", "atom"]) if depth else "atom"
        if kind in ("and", "or"):
            return kind, self.tree(depth - 1), self.tree(depth - 1)
        if kind == "not":
            return kind, self.tree(depth - 1)
        if self.rng.random() < 0.5:
            column = self.rng.choice(list(LABELS))
            among = LABELS[column]
            return "in", column, tuple(sorted(self.rng.sample(among, self.rng.randint(1, len(among) - 1))))
        column = self.rng.choice(list(EDGES))
        return "below", column, self.rng.choice(EDGES[column])

    def where(self, tree: Tree) -> str:
        """De Morgan, double negation, order, brackets, repetition, absorption, what is always so; and see below."""
        text, roll = self._plain(tree), self.rng.random()
        if roll < 0.1:
            return f"NOT (NOT ({text}))"
        if roll < 0.15:
            return f"(({text}) {self.rng.choice(['AND', 'or'])} ({self._plain(tree)}))"
        if roll < 0.2:
            return f"(({text}) OR ({self._plain(tree)}) AND ({self._plain(self.tree(0))}))"
        if roll < 0.3:
            name = self._name(self.rng.choice([*LABELS, *EDGES]))
            return f"(({text}) AND ({name} IS NULL OR {name} IS NOT NULL))"
        return f"({text})" if roll < 0.4 else text

    def _plain(self, tree: Tree) -> str:
        """Also IN for OR, its complement, and BETWEEN for two comparisons."""
        kind = tree[0]
        if kind == "not":
            return f"NOT ({self.where(tree[1])})"  # type: ignore[arg-type]
        if kind in ("and", "or"):
            left, right = (self.where(each) for each in self.rng.sample(tree[1:], 2))  # type: ignore[arg-type]
            if self.rng.random() < 0.3:
                turned = "OR" if kind == "and" else "AND"
                return f"NOT (NOT ({left}) {turned} NOT ({right}))"
            return f"(({left}) {kind.upper()} ({right}))"  # type: ignore[attr-defined]
        return self._among(*tree[1:]) if kind == "in" else self._below(*tree[1:])  # type: ignore[arg-type]

    def _among(self, column: str, labels: tuple[str, ...]) -> str:
        quoted = ["'" + label.replace("'", "''") + "'" for label in self.rng.sample(labels, len(labels))]
        rest = ["'" + each.replace("'", "''") + "'" for each in LABELS[column] if each not in labels]
        ways = [
            f"{self._name(column)} IN ({', '.join(quoted)})",
            " OR ".join(f"{self._name(column)} = {each}" for each in quoted),
            f"NOT ({' AND '.join(f'{each} <> {self._name(column)}' for each in quoted)})",
        ]
        ways.append(f"{self._name(column)} NOT IN ({', '.join(rest)})")  # LABELS has all values there are
        return f"({self.rng.choice(ways)})"

    def _below(self, column: str, edge: str) -> str:
        name, value = self._name(column), edge if column == "visits" else f"DATE '{edge}'"
        ways = [f"{name} < {value}", f"{value} > {name}", f"NOT ({name} >= {value})"]
        if column == "joined":
            ways += [f"{name} <= '{EVES[edge]}'", f"NOT {name} > CAST('{EVES[edge]}' AS DATE)"]
            if edge == "2026-07-01":
                ways.append(f"({name} < '2026-01-01' OR {name} BETWEEN DATE '2026-01-01' AND '2026-06-30')")
        return f"({self.rng.choice(ways)})"

    def _name(self, column: str) -> str:
        dataset = "crm" if column == "tier" else "users"
        return self.rng.choice([column, column.upper(), f'"{column}"', f"{dataset}.{column}"])

    def query(self, by: list[str], tree: Tree, quantiles: bool) -> str:
        """The same question, with another order, other titles, another layout."""
        columns = [f"{self._name(name)}{self.rng.choice(['', f' AS t{at}'])}" for at, name in enumerate(by)]
        items = columns + self.rng.sample(AGGREGATES, self.rng.randint(1, 4))
        if not any("spend" in item for item in items):
            items.append(self.rng.choice(AGGREGATES[2:]))
        if quantiles:
            taken = ["MEDIAN(visits)", f"APPROX_QUANTILE(visits, 0.{self.rng.randint(1, 99):02d})", "visits"]
            items.append(self.rng.choice(taken))
            if items[-1] == "visits":
                by = [*by, "visits"]
        self.rng.shuffle(items)
        table = self.rng.choice(["matched", "MATCHED AS m", "crm JOIN users USING (person)"])
        group = "ALL" if self.rng.random() < 0.3 else ", ".join(self._name(n) for n in self.rng.sample(by, len(by)))
        tail = self.rng.choice(["", " ORDER BY 1", " ORDER BY 1 DESC LIMIT 3", " LIMIT 7 -- again", ";"])
        select, where = self.rng.choice(["SELECT", "select"]), self.where(tree)
        return f"{select} {', '.join(items)}\nFROM {table} WHERE {where} GROUP BY {group or 'ALL'}{tail}"


@pytest.mark.parametrize("quantiles", [False, True])
def test_a_thousand_rewrites_are_one_question(quantiles: bool) -> None:
    """Ten questions, fifty texts each, hardly two of them alike: one digest a question."""
    rng, found = random.Random(4), []
    for _ in range(10):
        writer = Writer(rng)
        by = rng.sample(["tier", "city", "joined"], rng.randint(1, 2))
        tree: Tree = ("and", writer.tree(2), ("below", "visits", "61"))
        texts = {writer.query(by, tree, quantiles) for _ in range(CLONES // 10)}
        assert len(texts) > CLONES // 20
        try:
            asked = [ask(text, SCHEMA) for text in texts]
        except QueryRefused as refused:
            assert refused.code == "nobody", texts  # a condition that contradicts itself
            continue
        assert len({each.where for each in asked}) == 1
        found.append({digest(each) for each in asked})
    assert len(found) > 5
    assert all(len(digests) == 1 for digests in found)
    assert len(set.union(*found)) > 5  # so the digest tells questions apart


def test_a_choice_among_groups_is_no_other_question() -> None:
    """Conditions on the columns of the groups alone: the groups are released once, and chosen from afterwards."""
    wheres = ["", "WHERE tier = 'gold'", "WHERE tier <> 'gold' OR tier IS NULL", "WHERE visits < 61 AND tier <> 'gold'"]
    texts = [f"SELECT tier, MEDIAN(visits) FROM matched {where} GROUP BY tier" for where in wheres]
    assert len({digest(ask(text, SCHEMA)) for text in texts}) == 1


def test_a_real_change_is_another_question() -> None:
    """The digest sees what differs: charged, with noise of its own."""
    texts = [
        "SELECT tier, COUNT(*) FROM matched WHERE visits < 61 GROUP BY tier",
        "SELECT tier, COUNT(*) FROM matched WHERE visits < 31 GROUP BY tier",
        "SELECT tier, COUNT(*) FROM matched GROUP BY tier",
        "SELECT tier, COUNT(*) FROM crm GROUP BY tier",
        "SELECT city, COUNT(*) FROM matched WHERE visits < 61 GROUP BY city",
        "SELECT tier, SUM(spend) FROM matched WHERE visits < 61 GROUP BY tier",
        "SELECT tier, MEDIAN(visits) FROM matched WHERE visits < 61 GROUP BY tier",
    ]
    assert len({digest(ask(text, SCHEMA)) for text in texts}) == len(texts)
