"""What a check found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warn", "bad"]
STATES: tuple[State, ...] = ("ok", "warn", "bad")


@dataclass(frozen=True)
class Finding:
    """name: for programs, stable; title, found, advice: in the current language; advice: "" where nothing is to be
    done. state: warn where something works less well than it could, or soon will not work; bad where it does not."""

    name: str
    title: str
    state: State
    found: str
    advice: str = ""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def worst(findings: list[Finding]) -> State:
    """The worst state of all."""
    return max((each.state for each in findings), key=STATES.index, default="ok")
