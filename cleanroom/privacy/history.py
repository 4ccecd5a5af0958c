"""Which questions may follow which: what `suppression` takes for granted about other answers of the same room.

Over one population a noise-off room answers every grouping by one column, and one grouping by several: their answers
together leave every withheld cell free by k. A second grouping by several columns would not. Refusing populations that
differ by fewer than k persons needs the persons themselves, and is not decided here.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cleanroom import canonical
from cleanroom.enclave.query import Where
from cleanroom.errors import Refused

QUESTION_LABEL = "cleanroom/question/1"
POPULATION_LABEL = "cleanroom/population/1"


def plain_where(where: Where) -> list[canonical.Json]:
    """As canonical JSON."""
    return [[[name, list(cells)] for name, cells in box] for box in where]


@dataclass(frozen=True)
class DatasetVersion:
    """One version of a party's dataset: digest of its manifest in hex, and its rows.

    selected: of a crowd, what its owner brings of it: a digest in hex that only the owner can make again, `rows` being
    so many; "" for all.
    """

    owner: str
    name: str
    manifest: str
    rows: int
    selected: str = ""

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON; what was not selected is left out."""
        plain: dict[str, canonical.Json] = {
            "owner": self.owner, "name": self.name, "manifest": self.manifest, "rows": self.rows
        }  # fmt: skip
        return plain | ({"selected": self.selected} if self.selected else {})


@dataclass(frozen=True)
class Question:
    """A canonical question: asked again, it gets the stored answer and costs nothing.

    by: grouping columns, sums: amounts, both in the contract's names; contract: its digest in hex; epoch: of the
    tombstones (persons forgotten), as each owner counts them; where: whom it is about, cells being numbers or, at a
    neutral enclave, value tokens; sigma: of its noise in persons, 0 without noise; plan: all tables by one and by two
    of `by` at once; over: in a room of more than two datasets those lined up, which are `datasets`, sorted; crowd:
    digest in hex of a crowd that it is about, a plan then being of the tables by none and by one of `by`; tables: of a
    board, by which columns it counts all persons of one dataset, which is in `over`, sorted, the total () first.
    """

    by: tuple[str, ...]
    sums: tuple[str, ...]
    contract: str
    datasets: tuple[DatasetVersion, ...]
    epoch: str = ""
    where: Where = ()
    sigma: int = 0
    plan: bool = False
    over: tuple[str, ...] = ()
    crowd: str = ""
    tables: tuple[tuple[str, ...], ...] = ()

    def query(self) -> dict[str, canonical.Json]:
        """The query alone; the order of columns asks nothing else. What is not asked for is left out."""
        plain: dict[str, canonical.Json] = {"by": sorted(self.by), "sums": sorted(self.sums)}
        if self.where:
            plain["where"] = plain_where(self.where)
        if self.sigma:
            plain["sigma"] = self.sigma
        if self.over:
            plain["over"] = list(self.over)
        if self.crowd:
            plain["crowd"] = self.crowd
        if self.tables:
            plain["tables"] = [list(table) for table in self.tables]
        return plain | ({"plan": True} if self.plan else {})

    def query_digest(self) -> str:
        """SHA-256 in hex of `query`."""
        return canonical.digest("cleanroom/query/1", self.query())

    def digest(self) -> str:
        """SHA-256 in hex of the whole question."""
        return canonical.digest(
            QUESTION_LABEL, {"query": self.query(), "contract": self.contract, "over": self.population()}
        )

    def population(self) -> str:
        """SHA-256 in hex of whom it is asked about, whatever the contract: a new room does not make new people."""
        versions = sorted(
            (each.owner, each.name, each.manifest, *([each.selected] if each.selected else []))
            for each in self.datasets
        )
        return canonical.digest(POPULATION_LABEL, {"datasets": versions, "epoch": self.epoch})

    def asked(self) -> "Asked":
        """What the ledger keeps of it."""
        return Asked(self.population(), tuple(sorted(self.by)))


@dataclass(frozen=True)
class Asked:
    """A question that was answered: over which population, grouped by which columns (sorted)."""

    population: str
    by: tuple[str, ...]


def check_history(asked: Asked, history: Iterable[Asked]) -> None:
    """Raises Refused where `asked` crosses columns otherwise than an earlier question over the same population."""
    for earlier in history:
        same_people = earlier.population == asked.population
        if same_people and len(earlier.by) > 1 and len(asked.by) > 1 and earlier.by != asked.by:
            raise Refused(
                "These datasets were already grouped by {columns}; a second grouping by several columns could be "
                "subtracted from the first.",
                "Ask by one column, or by the same columns. Rooms with noise have no such limit.",
                columns=", ".join(earlier.by),
            )


def check_over(over: Collection[str], history: Iterable[Collection[str]]) -> None:
    """Raises Refused where datasets `over` were lined up without noise among others than now, in the same room.

    Whom three datasets have is a part of whom two of these have: exact answers about both would be subtracted. Those
    that have one dataset in common, or none, are no more than what rooms of two owners each answer.
    """
    for earlier in history:
        if set(earlier) != set(over) and len(set(earlier) & set(over)) > 1:
            raise Refused(
                "Without noise {datasets} were lined up already: answers about other datasets with these could be "
                "subtracted.",
                "Ask about the same datasets, or in a room with noise, which has no such limit.",
                datasets=", ".join(sorted(earlier)),
            )
