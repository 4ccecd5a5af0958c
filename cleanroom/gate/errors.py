"""Refusals of the gate: a code for programs, a text for people, the place in the SQL, and what is allowed instead."""

from cleanroom.errors import Refused


class QueryRefused(Refused):
    """A query that the gate does not let in. It costs nothing."""

    def __init__(
        self, code: str, template: str, hint: str = "", *, position: int = 0, sql: str = "", **params: object
    ) -> None:
        """`code`: a fixed word; `position`: where in `sql` it stands, from 0."""
        before = sql[:position]
        self.code = code
        self.line = before.count("\n") + 1
        self.column = position - (before.rfind("\n") + 1) + 1
        super().__init__(template, hint, **params)

    def details(self) -> dict[str, object]:
        """For programs: the code, and the place from 1."""
        return {"code": self.code, "line": self.line, "column": self.column}
