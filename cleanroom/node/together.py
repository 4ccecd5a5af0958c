"""The parties of one room on this machine, met once for many questions: starting them takes most of a question's time.

They wait between questions in processes of their own, and end when whoever asks is done or gone. After an error they
end too: a party that met one has hung up on its peers, so the next question meets new ones.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from cleanroom.home import Home
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, Parties, usual
from cleanroom.rooms.contract import Contract


class Together:
    """A `Meeting` whose parties stay for the next question. Use it in a `with`, or `close` it."""

    def __init__(self, meeting: Meeting = usual) -> None:
        self._meeting = meeting
        self._met: Parties | None = None

    def __call__(self, home: Home, contract: Contract, names: Iterable[str], progress: Progress | None) -> Parties:
        """All parties of the contract, whoever is named."""
        if self._met is None:
            every = [each.name for each in contract.parties]
            self._met = self._meeting(home, contract, every, progress).__enter__()
        return _Staying(self, self._met)

    def close(self, *failure: object) -> None:
        """Let them go; a later question meets new ones."""
        met, self._met = self._met, None
        if met is not None:
            met.__exit__(*(failure or (None, None, None)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


class _Staying:
    """The parties for one question."""

    def __init__(self, together: Together, met: Parties) -> None:
        self._together, self._met = together, met

    def call(self, job: str, arguments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """As the parties do."""
        return self._met.call(job, arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        if failure and failure[0] is not None:
            self._together.close(*failure)
