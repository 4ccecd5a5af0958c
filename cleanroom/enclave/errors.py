"""How an enclave can stop short. Texts name rules and columns, never what is in a row."""

from cleanroom.errors import BadData, CleanroomError, Interrupted, Refused, UsageError
from protocols.errors import BadMessage, ProtocolError


class LimitReached(Refused):
    """The rows or the query need more memory or time than the enclave was given."""


TRAVELLING: dict[str, type[CleanroomError | ProtocolError]] = {
    kind.__name__: kind for kind in (BadData, BadMessage, Interrupted, LimitReached, Refused, UsageError)
}
"""The errors that an enclave process may name to the party that started it."""


def out_of_memory(megabytes: int) -> LimitReached:
    """The one text for every way of running out of memory, which DuckDB, Arrow and Python each report differently."""
    return LimitReached(
        "The enclave's {megabytes} MB of memory are not enough for these rows.",
        "Give it more memory, or run this room on the distributed engine.",
        megabytes=megabytes,
    )


def taken_again(dataset: str) -> BadMessage:
    """The error for a token that stands twice in a dataset: one person would count more than once."""
    return BadMessage("Some persons stand twice in {dataset}.", "Its owner keeps one row a person.", dataset=dataset)
