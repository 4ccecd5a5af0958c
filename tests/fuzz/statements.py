"""SQL without end: questions as the gate's grammar has them, whatever else DuckDB knows, and mutations of both.

A statement is a list of tokens until it is written, so that a mutation can take, put, swap or spoil any of them. The
same seed gives the same statements, for the functions and keywords of the DuckDB at hand.
"""

import random
from dataclasses import dataclass
from functools import cache

import duckdb

Tokens = list[str]

CANARY = "13912345678canary"
"""A value: it stands in texts in quotes only, and may stand in no refusal."""
_LABELS = {
    "tier": ["'gold'", "'silver'", "'it''s'", "'other'", "'unknown'"],
    "city": ["'一线'", "'二线'", "'other'", "'unknown'"],
    "visits": ["31", "61", "31.0", "6.1e1", "30", "50", "'< 31'", "'≥ 61'", "-31", "31_0"],
    "joined": [
        "DATE '2026-01-01'", "'2026-07-01'", "CAST('2026-06-30' AS DATE)", "'2025-12-31'::date", "'2026-02-30'",
        "'≥ 2026-07-01'", "TIMESTAMP '2026-01-01'",
    ],
}  # fmt: skip
_USUAL = {"tier": 4, "city": 3, "visits": 2, "joined": 4}
"""How many of them are mostly taken."""
_OF = {"crm": ["tier"], "users": ["city", "visits", "joined"]}
_SIGNS = ["=", "<>", "!=", "<", "<", ">=", ">=", "<=", ">", "=="]
_ODD_SIGNS = ["IS DISTINCT FROM", "IS NOT DISTINCT FROM", "<=>", "^@", "LIKE", "IS", "IN"]
_COUNTS = [["COUNT", "(", "*", ")"], ["COUNT", "(", "DISTINCT", "person", ")"], ["count", "(", "*", ")"]]
_GAPS = [" "] * 60 + ["\n", "\t", "  ", " /* a */ ", " -- b\n", " /* /* nested */ */ ", "\r\n", "\u00a0", "\u3000", ""]
_VALUES = [
    "1", "0", "-1", "NULL", "true", "'gold'", f"'{CANARY}'", f"E'{CANARY}'", f"$${CANARY}$$", "31", "1e309", "0x1F",
    "9" * 400, "'\\'", "''", "spend", "tier", "person", "*", "?", "$1", "[1, 2]", "{'a': 1}", "MAP {'a': 1}", "x -> x",
    "INTERVAL 1 DAY", "DATE '2026-01-01'", "(1, 2)", "rowid", "'\u0000'", "COLUMNS(*)", "matched", "crm.tier",
]  # fmt: skip
_FRAGMENTS = [
    "HAVING COUNT(*) > 1", "HAVING MAX(spend) > 5", "QUALIFY ROW_NUMBER() OVER () = 1", "UNION SELECT 1",
    "UNION ALL SELECT COUNT(*) FROM matched", "INTERSECT SELECT 1", "EXCEPT SELECT 1", "OFFSET 3", "LIMIT 10 PERCENT",
    "LIMIT (SELECT 1)", "USING SAMPLE 10", "TABLESAMPLE 10%", "WINDOW w AS (ORDER BY spend)", "FOR UPDATE",
    "NULLS FIRST", "COLLATE NOCASE", "; SELECT 1", "; DROP TABLE matched", "ORDER BY ALL", "WITH ORDINALITY",
    "FILTER (WHERE tier = 'gold')", "OVER ()", "OVER (PARTITION BY tier)", ":: INT", "BETWEEN 1 AND 2", "ESCAPE 'x'",
    "IS NOT NULL", "IS NULL", "ISNULL", "AND true", "OR 1 = 1", "OR NULL", "AND EXISTS (SELECT 1)", "AS x", "DESC",
    "INTO OUTFILE 'x'", "PIVOT (COUNT(*) FOR tier IN ('gold'))", "UNPIVOT (a FOR b IN (tier))", "[1]", ".tier", "#1",
    "IN (SELECT tier FROM crm)", "LIKE 'g%'", "GLOB 'g*'", "SIMILAR TO 'g'", "~ 'g'", "= ANY (SELECT 1)", "|| 'x'",
    "AT TIME ZONE 'UTC'", "IGNORE NULLS", "WITHIN GROUP (ORDER BY spend)", "EXCLUDE (tier)", "REPLACE (1 AS tier)",
]  # fmt: skip
_TABLES = [
    "(SELECT * FROM matched)", "(VALUES (1))", "read_csv('x.csv')", "'x.csv'", "query('SELECT 1')", "main.matched",
    "query_table('matched')", "range(10)", "duckdb_settings()", "information_schema.tables", "matched TABLESAMPLE 1%",
    "LATERAL (SELECT 1)", "matched PIVOT (COUNT(*) FOR tier IN ('gold'))", "matched, LATERAL (SELECT tier) x",
    "crm CROSS JOIN users", "crm LEFT JOIN users USING (person)", "crm ASOF JOIN users USING (person)", "crm, users",
    "crm NATURAL JOIN users", "crm JOIN users ON true", "crm POSITIONAL JOIN users",
    "crm SEMI JOIN users USING (person)",
    "matched x (a, b)", "crm JOIN crm USING (person)", "matched JOIN crm USING (person)", "other",
    "memory.main.matched",
    "crm JOIN users USING (tier)", "crm JOIN users USING (person, tier)", "json_execute_serialized_sql('x')",
    "(FROM matched)", "matched AT (VERSION => 1)", "\"matched\"", "ONLY matched", "crm FULL JOIN users USING (person)",
    "crm ANTI JOIN users USING (person)", f"'{CANARY}'", f"matched '{CANARY}'", f"matched AS '{CANARY}'",
]  # fmt: skip
_WRAPS = [
    "{}; {}", "WITH x AS ({}) SELECT * FROM x", "WITH RECURSIVE x AS ({}) {}", "SELECT * FROM ({})", "SELECT ({})",
    "EXPLAIN {}", "DESCRIBE {}", "SUMMARIZE {}", "CREATE TABLE x AS {}", "COPY ({}) TO 'x.csv'", "PREPARE x AS {}",
    "INSERT INTO matched {}", "({})", "({}) UNION ({})", "FROM ({})", "PIVOT ({}) ON tier", "CREATE MACRO x() AS ({})",
    "CREATE MACRO x() AS TABLE {}", "EXECUTE x; {}", "SET threads = 1; {}", "PRAGMA x; {}", "ATTACH 'x'; {}",
    "CALL x({})",
    "SELECT COUNT(*) FROM matched WHERE tier IN ({})", "LOAD x; {}", "UPDATE matched SET tier = ({})", "VALUES (({}))",
    "DELETE FROM matched WHERE tier = ({})", "{} UNION BY NAME {}", "SHOW ({})", "SELECT EXISTS ({})",
    "EXPORT DATABASE '{}'",
]  # fmt: skip


@cache
def _known(of: str) -> tuple[str, ...]:
    column = {"functions": "function_name", "keywords": "keyword_name"}[of]
    rows = duckdb.sql(f"SELECT DISTINCT {column} FROM duckdb_{of}() ORDER BY 1").fetchall()
    return tuple(str(row[0]) for row in rows)


@dataclass
class Statements:
    """Statements, one after another, as `seed` gives them."""

    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def __iter__(self) -> "Statements":
        return self

    def __next__(self) -> str:
        tokens = self._proper()
        kind = self._random.random()
        if kind > 0.3:
            tokens = self._foreign(tokens) if self._random.random() < 0.5 else tokens
            for _ in range(self._random.choice((1, 1, 1, 2, 3, 8))):
                tokens = self._mutated(tokens)
        text = self._written(tokens)
        return self._wrapped(text) if self._random.random() < 0.02 else text

    # -- a question as the gate knows it

    def _proper(self) -> Tokens:
        source, datasets, prefixes = self._source()
        columns = [name for dataset in datasets for name in _OF[dataset]]
        by = self._random.sample(columns, min(len(columns), self._random.choice((0, 1, 1, 2, 3))))
        items = [[self._named(name, datasets, prefixes)] for name in by] + self._aggregates(datasets, prefixes)
        self._random.shuffle(items)
        titles = [self._title(item) for item in items]
        parts: list[Tokens] = [
            ["SELECT"],
            self._joined([item + title for item, title in zip(items, titles, strict=True)]),
        ]
        parts.insert(0 if self._random.random() < 0.05 else 2, ["FROM", *source])
        if self._random.random() < 0.6:
            parts.append(["WHERE", *self._condition(columns, datasets, prefixes, 3)])
        if by and self._random.random() < 0.97:
            parts.append(["GROUP", "BY", *self._group(items, titles, by)])
        if self._random.random() < 0.3:
            parts.append(["ORDER", "BY", *self._order(items, titles)])
        if self._random.random() < 0.15:
            parts.append(
                [
                    "LIMIT",
                    self._random.choice(
                        ("0", "1", "2", "10", "1000000000", "1.5", "-1", "ALL")[
                            : 8 if self._random.random() < 0.2 else 4
                        ]
                    ),
                ]
            )
        return [token for part in parts for token in part]

    def _source(self) -> tuple[Tokens, list[str], list[str]]:
        """FROM what; which datasets can be named; what may stand before a column."""
        kind = self._random.random()
        if kind < 0.55:
            alias = self._alias()
            return ["matched", *alias], ["crm", "users"], [alias[-1] if alias else "matched"]
        if kind < 0.75:
            pair = self._random.sample(["crm", "users"], 2)
            first, second = self._alias(), self._alias()
            join = self._random.choice((["JOIN"], ["INNER", "JOIN"]))
            source = [pair[0], *first, *join, pair[1], *second, "USING", "(", "person", ")"]
            own = {pair[0]: first[-1] if first else pair[0], pair[1]: second[-1] if second else pair[1]}
            return source, ["crm", "users"], [own["crm"], own["users"]]
        dataset = self._random.choice(("crm", "users"))
        alias = self._alias()
        return [dataset, *alias], [dataset], [alias[-1] if alias else dataset]

    def _alias(self) -> Tokens:
        if self._random.random() < 0.75:
            return []
        return [
            *self._random.choice(([], ["AS"])),
            self._random.choice(("m", "x", '"a b"', "crm", "users", "tier", "群")),
        ]

    def _named(self, column: str, datasets: list[str], prefixes: list[str]) -> str:
        """A column as it may be written."""
        word = self._random.choice((column, column, column, column.upper(), f'"{column}"', column.title()))
        if self._random.random() < 0.75:
            return word
        owner = next(
            (dataset for dataset in datasets if column in _OF[dataset] or (dataset, column) == ("crm", "spend")), "crm"
        )
        at = datasets.index(owner) if len(prefixes) > 1 and owner in datasets else 0
        return f"{self._random.choice((prefixes[at], prefixes[at], owner))}.{word}"

    def _aggregates(self, datasets: list[str], prefixes: list[str]) -> list[Tokens]:
        found: list[Tokens] = []
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            kind = self._random.random()
            if kind < 0.4 or "crm" not in datasets:
                found.append(self._random.choice(_COUNTS) if self._random.random() < 0.99 else ["COUNT", "(", ")"])
            else:
                call = self._random.choice(("SUM", "AVG", "SUM", "avg"))
                found.append([call, "(", self._named("spend", datasets, prefixes), ")"])
        return found

    def _title(self, item: Tokens) -> Tokens:
        if self._random.random() < 0.7:
            return []
        word = self._random.choice(("n", "total", "城市", '"a b"', "tier", "spend", "people", "SUM", "city"))
        return [*self._random.choice((["AS"], ["AS"], [])), word]

    def _group(self, items: list[Tokens], titles: list[Tokens], by: list[str]) -> Tokens:
        if self._random.random() < 0.3:
            return ["ALL"]
        chosen: list[Tokens] = []
        for place, (item, title) in enumerate(zip(items, titles, strict=True), start=1):
            if len(item) == 1:
                chosen.append(self._random.choice(([str(place)], [item[0]], [item[0]], title[-1:] or [item[0]])))
        self._random.shuffle(chosen)
        return self._joined(chosen)

    def _order(self, items: list[Tokens], titles: list[Tokens]) -> Tokens:
        chosen: list[Tokens] = []
        for _ in range(self._random.choice((1, 1, 2))):
            at = self._random.randrange(len(items))
            word = self._random.choice(([str(at + 1)], items[at], titles[at][-1:] or items[at]))
            chosen.append([*word, *self._random.choice(([], ["ASC"], ["DESC"]))])
        return self._joined(chosen)

    def _condition(self, columns: list[str], datasets: list[str], prefixes: list[str], depth: int) -> Tokens:
        kind = self._random.random()
        if depth and kind < 0.35:
            left, right = (self._condition(columns, datasets, prefixes, depth - 1) for _ in range(2))
            inner = [*left, self._random.choice(("AND", "OR")), *right]
            return ["(", *inner, ")"] if self._random.random() < 0.6 else inner
        if depth and kind < 0.5:
            return ["NOT", "(", *self._condition(columns, datasets, prefixes, depth - 1), ")"]
        column = self._random.choice(columns)
        name = self._named(column, datasets, prefixes)
        kind = self._random.random()
        if column == "visits" and kind < 0.9:
            kind = 0.9  # single numbers inside a bucket are refused
        if kind < 0.1:
            return [name, "IS", *self._random.choice(([], ["NOT"])), "NULL"]
        if kind < 0.25:
            inside = self._joined([[self._value(column)] for _ in range(self._random.choice((1, 2, 3)))])
            return [name, *self._random.choice(([], ["NOT"])), "IN", "(", *inside, ")"]
        if kind < 0.33:
            return [name, "BETWEEN", self._value(column), "AND", self._value(column)]
        usual = _SIGNS[:3] if column in ("tier", "city") else _SIGNS[3:7] if column == "visits" else _SIGNS
        kind = self._random.random()
        sign = self._random.choice(usual if kind < 0.96 else _SIGNS if kind < 0.98 else _ODD_SIGNS)
        return [self._value(column), sign, name] if self._random.random() < 0.15 else [name, sign, self._value(column)]

    def _value(self, column: str) -> str:
        if self._random.random() < 0.02:
            return self._random.choice(_VALUES)
        values = _LABELS[column]
        return self._random.choice(values if self._random.random() < 0.04 else values[: _USUAL[column]])

    @staticmethod
    def _joined(parts: list[Tokens]) -> Tokens:
        return [token for place, part in enumerate(parts) for token in ([",", *part] if place else part)]

    # -- what else there is

    def _foreign(self, tokens: Tokens) -> Tokens:
        """A call, table or clause that the gate does not know, put into a question."""
        tokens, kind = list(tokens), self._random.random()
        if kind < 0.5:
            places = [at for at, token in enumerate(tokens) if token.isidentifier() or token[:1] in "'0123456789"]
            tokens[self._random.choice(places)] = self._expression(2)
        elif kind < 0.7 and "FROM" in tokens:
            at = tokens.index("FROM") + 1
            tokens[at : at + 1] = [self._random.choice(_TABLES)]
        else:
            tokens.insert(self._random.randrange(len(tokens) + 1), self._random.choice(_FRAGMENTS))
        return tokens

    def _expression(self, depth: int) -> str:
        kind = self._random.random()
        inner = self._expression(depth - 1) if depth and self._random.random() < 0.4 else self._random.choice(_VALUES)
        if kind < 0.6:
            given = ", ".join([inner, *self._random.choices(_VALUES, k=self._random.choice((0, 0, 1, 2)))])
            return f"{self._random.choice(_known('functions'))}({given if self._random.random() < 0.9 else ''})"
        return self._random.choice((
            f"CASE WHEN tier = 'gold' THEN {inner} END", f"CAST({inner} AS INT)", f"TRY_CAST({inner} AS DATE)",
            f"({inner})",
            f"{inner}::VARCHAR", f"-{inner}", f"+{inner}", f"NOT {inner}", f"(SELECT {inner})",
            f"EXISTS (SELECT {inner})",
            f"GROUPING SETS (({inner}))", f"ROLLUP ({inner})", f"CUBE ({inner})", f"COLUMNS({inner})",
            f"*COLUMNS({inner})",
            f"[{inner} FOR x IN [1]]", f"{inner} + 1", f"{inner}.x", f"({inner}, 1)", f"COUNT(DISTINCT {inner})",
            f"SUM({inner})", f"SUM(DISTINCT {inner})", f"AVG({inner} ORDER BY 1)", f"SUM(ALL {inner})",
            f"sum({inner},)",
            f"COUNT({inner})", f"DISTINCT {inner}", f"DISTINCT ON ({inner}) 1", f"x'{inner}'", f"DATE {inner}",
            f"COALESCE({inner})",
        ))  # fmt: skip

    # -- spoilt

    def _mutated(self, tokens: Tokens) -> Tokens:
        tokens, kind = list(tokens) or ["SELECT"], self._random.randrange(9)
        at, other = self._random.randrange(len(tokens)), self._random.randrange(len(tokens))
        if kind == 0:
            del tokens[at]
        elif kind == 1:
            tokens.insert(at, tokens[other])
        elif kind == 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif kind == 3:
            tokens[at] = self._random.choice(_known("keywords"))
        elif kind == 4:
            tokens.insert(at, self._random.choice(_VALUES))
        elif kind == 5:
            tokens[at] = self._random.choice(_VALUES)
        elif kind == 6:
            tokens.insert(
                at, self._random.choice("()[]{},;.*=<>!~@#$%^&|:?\\/'\"`-+") * self._random.choice((1, 1, 2, 50))
            )
        elif kind == 7:
            tokens[at] = self._spoilt(tokens[at])
        else:
            tokens[min(at, other) :] = tokens[max(at, other) :]
        return tokens

    def _spoilt(self, token: str) -> str:
        at = self._random.randrange(len(token) + 1)
        sign = self._random.choice(
            ("", "\u0000", "\ufeff", "\u200b", "ſ", "K", "İ", "'", '"', "\\", "ｔ", "\U0001f600", "\ud800", "0")
        )
        return token[:at] + sign + token[at + self._random.choice((0, 1)) :]

    def _written(self, tokens: Tokens) -> str:
        """With any case of keywords, and any gaps."""
        plain = self._random.random() < 0.7
        cased = self._random.choice((str, str, str.lower, str.upper))
        words = [cased(token) if token.isascii() and token.isalpha() else token for token in tokens]
        text = "".join(word + (" " if plain else self._random.choice(_GAPS)) for word in words)
        return text + self._random.choice(
            ("", "", ";", "-- end") if self._random.random() < 0.99 else (";;", "; x", "\\", "\x00")
        )

    def _wrapped(self, text: str) -> str:
        return self._random.choice(_WRAPS).replace("{}", text)
