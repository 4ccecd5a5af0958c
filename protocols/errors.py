"""How a protocol run can fail. Texts say which check failed, never what was in the message."""

from collections.abc import Mapping
from typing import ClassVar


class ProtocolError(Exception):
    """A run that must end: the peer sent what it may not, stopped, or a check failed. No partial result exists.

    `template` and `hint` are English format strings, and the keys of their translations; `params` fill both.
    """

    exit_code: ClassVar[int] = 5

    def __init__(self, template: str, /, hint: str = "", **params: object) -> None:
        super().__init__(template, hint, params)
        self.template, self.hint, self.params = template, hint, params

    def __str__(self) -> str:
        return " ".join(text.format(**self.params) for text in (self.template, self.hint) if text)


class BadMessage(ProtocolError):
    """A message out of order, of another schema or session, or with an invalid element, ciphertext or length."""


class PeerAborted(ProtocolError):
    """The peer ended the session, or its process is gone."""


def check_agreed(ours: Mapping[str, object], theirs: Mapping[str, object]) -> None:
    """Raises ProtocolError that names the first of our settings of which the peer has another value."""
    for name, value in ours.items():
        if theirs[name] != value:
            raise ProtocolError(
                "The two sides do not agree on {name}: {ours} here, {theirs} there.",
                name=name,
                ours=value,
                theirs=theirs[name],
            )
