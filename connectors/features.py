"""Features of a user out of events: what may be asked, as frozen specs and as a versioned TOML file."""

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from connectors.errors import InputError
from connectors.event_types import EVENTS, Field, field

Aggregate = Literal["count", "sum", "days", "recency", "first", "last", "distinct"]
FeatureKind = Literal["category", "bucket", "amount", "date"]
FORMAT = "cleanroom-features/1"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NEEDS_COLUMN = ("sum", "distinct")
_TAKES_COLUMN = ("sum", "distinct", "first", "last")


@dataclass(frozen=True)
class Feature:
    """One column of the result.

    name: snake_case; aggregate: count of events, sum of a column, days with an event, recency (days from the last one
    to the report date), first or last (of a column by time, else the day), distinct values of a column; events: by
    name; window_days: back from the report date, itself included, 0 for all time; column: of the events; kind: what
    the result is in a contract.
    """

    name: str
    aggregate: Aggregate
    events: tuple[str, ...]
    window_days: int = 0
    column: str | None = None
    kind: FeatureKind = "bucket"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError("{feature} is no name for a feature.", "As in visits_30d.", feature=self.name)
        if self.aggregate not in get_args(Aggregate) or self.kind not in get_args(FeatureKind):
            raise InputError(
                "Feature {feature} has an unknown aggregate or kind.",
                "Aggregates: {aggregates}. Kinds: {kinds}.",
                feature=self.name,
                aggregates=", ".join(get_args(Aggregate)),
                kinds=", ".join(get_args(FeatureKind)),
            )
        if not self.events or not set(self.events) <= EVENTS.keys():
            raise InputError(
                "Feature {feature} names no event, or one that does not exist.",
                "Events: {known}.",
                feature=self.name,
                known=", ".join(EVENTS),
            )
        if self.window_days < 0:
            raise InputError("Feature {feature} has a negative window.", "0 is all time.", feature=self.name)
        self._check_column()

    @property
    def field(self) -> Field | None:
        """The column as all the feature's events carry it."""
        carried = {field(event, self.column) for event in self.events} if self.column else {None}
        return carried.pop() if len(carried) == 1 else None

    def _check_column(self) -> None:
        if (self.column is None and self.aggregate in _NEEDS_COLUMN) or (
            self.column is not None and self.aggregate not in _TAKES_COLUMN
        ):
            raise InputError(
                "Feature {feature} lacks a column, or has one that its aggregate cannot take.",
                "These take one: {aggregates}.",
                feature=self.name,
                aggregates=", ".join(_TAKES_COLUMN),
            )
        if self.column is not None and self.field is None:
            raise InputError(
                "Not every event of feature {feature} carries the column {column}.",
                "Take a column that each of them has.",
                feature=self.name,
                column=self.column,
            )
        if self.aggregate == "sum" and self.field is not None and self.field.kind == "category":
            raise InputError("Feature {feature} sums a category.", "Sum an amount or a count.", feature=self.name)


@dataclass(frozen=True)
class EventColumns:
    """Which columns of a source hold the user's identity, the event's name ("payment.pay") and its time."""

    user: str = "user"
    event: str = "event"
    time: str = "time"


@dataclass(frozen=True)
class FeatureSet:
    """The features of one dataset, and where its events stand."""

    features: tuple[Feature, ...]
    columns: EventColumns = EventColumns()

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if not names or len(set(names)) < len(names) or self.columns.user in names:
            raise InputError("Features need names of their own.", "Give each its own name; none may be the user's.")


def load_features(path: Path) -> FeatureSet:
    """Features that their owner wrote: `format`, [columns], and a [[feature]] each. Raises InputError."""
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise InputError("{file} cannot be read.", "Check the name; it must be UTF-8.", file=path.name) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            "{file} is not valid TOML.", "Look near: {where}.", file=path.name, where=_where(error)
        ) from None
    if given.get("format") != FORMAT:
        raise InputError("{file} is not of a known format.", 'Write format = "{known}".', file=path.name, known=FORMAT)
    try:
        features = tuple(_feature(entry) for entry in given.get("feature", []))
        return FeatureSet(features, EventColumns(**given.get("columns", {})))
    except TypeError:
        raise InputError(
            "{file} has a key that is not known, or lacks one.",
            "A feature has: {known}.",
            file=path.name,
            known=", ".join(one.name for one in fields(Feature)),
        ) from None


def _feature(entry: dict[str, object]) -> Feature:
    events = entry.get("events", ())
    if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
        raise TypeError("events")
    return Feature(**{**entry, "events": tuple(events)})  # type: ignore[arg-type]


def _where(error: tomllib.TOMLDecodeError) -> str:
    found = re.search(r"line \d+", str(error))
    return found.group() if found else "the end"
