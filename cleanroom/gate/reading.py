"""The seam between the parts of the gate: what conditions and selections need of the reading of one text."""

from typing import NoReturn, Protocol

from sqlglot import exp

from cleanroom.gate.schema import Field

PERSON = "person"
GRAMMAR = (
    "SELECT columns, COUNT(*), SUM(amount), AVG(amount) FROM matched WHERE … GROUP BY …; see cleanroom query --help."
)


class Reading(Protocol):
    """What this needs of the reading of the text."""

    @property
    def reachable(self) -> tuple[Field, ...]:
        """Columns of the tables that the query reads."""

    def field(self, node: exp.Expr) -> Field:
        """The declared column that `node` names."""

    def look(self, node: exp.Expr) -> None:
        """Remember where `node` begins."""

    def only(self, node: exp.Expr, *allowed: str) -> None:
        """Refuse arguments of `node` beside these."""

    def parameter(self, node: exp.Expr, field: Field) -> str:
        """The value that a placeholder stands for, if it may be compared with `field`."""

    def refuse(self, code: str, template: str, hint: str = "", **params: object) -> NoReturn:
        """Refuse, at the place last looked at."""
