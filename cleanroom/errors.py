"""The errors a caller can meet, and nothing else: each says what went wrong, where, and what to do."""

from typing import ClassVar

from connectors.errors import InputError
from protocols.errors import ProtocolError


class CleanroomError(Exception):
    """Base of this package's errors.

    `template` and `hint` are English format strings, and the keys of their translations; `params` fill both. Neither
    ever holds a value of the data.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, template: str, /, hint: str = "", **params: object) -> None:
        super().__init__(template, hint, params)
        self.template, self.hint, self.params = template, hint, params

    code: str = "error"
    """A fixed word for programs."""

    def details(self) -> dict[str, object]:
        """What programs may want to know beside the texts: the code, and more where there is more."""
        return {"code": self.code}

    def __str__(self) -> str:
        return " ".join(text.format(**self.params) for text in (self.template, self.hint) if text)


class UsageError(CleanroomError):
    """The caller asked for something that does not exist or does not fit together."""

    exit_code = 2
    code = "usage"


class Refused(CleanroomError):
    """A rule of the contract, of release or of trust says no."""

    exit_code = 3
    code = "refused"


class BadData(CleanroomError):
    """A stored file is missing, damaged, of an unknown version, or does not verify."""

    exit_code = 4
    code = "data"


class Interrupted(CleanroomError):
    """A party's process ended before its work was done."""

    exit_code = 5
    code = "interrupted"


class Busy(Interrupted):
    """As many runs as a node takes are under way: ask again."""

    code = "busy"


class Waiting(Refused):
    """A person has to say yes first."""

    code = "waiting"


def our_mistake(error: BaseException) -> CleanroomError:
    """What is told of an error that nobody foresaw: its type and place, never its text, which could hold data."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    line = f"{where.tb_frame.f_globals.get('__name__', '?')}:{where.tb_lineno}" if where is not None else "?"
    return CleanroomError(
        "Our mistake: {name} in {line}.",
        "Please report it, with the command and the version.",
        name=type(error).__name__,
        line=line,
    )


KNOWN = (CleanroomError, InputError, ProtocolError)
"""What `cli` turns into a text and an exit code; anything else is our bug (exit code 1)."""
