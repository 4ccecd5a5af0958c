"""What can be wrong with input. Texts name rows by number and columns by name, never a value of the data."""

from typing import ClassVar


class InputError(Exception):
    """Input that cannot be used.

    `template` and `hint` are English format strings, and the keys of their translations; `params` fill both.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, template: str, /, hint: str = "", **params: object) -> None:
        super().__init__(template, hint, params)
        self.template, self.hint, self.params = template, hint, params

    def __str__(self) -> str:
        return " ".join(text.format(**self.params) for text in (self.template, self.hint) if text)
