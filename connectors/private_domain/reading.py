"""Batches of a source of events as compact rows for the fold, checked against what each event carries.

Every event that is left out and every value that does not count is counted by a name; no value stands anywhere else.
"""

import datetime
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.arrays import Flags, Ints, flags, is_valid, numbers, values_of, words
from connectors.days import DAY_US, SHANGHAI_US, parse_time
from connectors.errors import InputError
from connectors.events import EventLoss
from connectors.identity.texts import as_texts, is_blank, lengths
from connectors.private_domain import classes
from connectors.private_domain.classes import CLASS, CODE, NAMES
from connectors.private_domain.scratch import part_of
from connectors.private_domain.settings import Settings
from connectors.source import Batch
from connectors.values import parse_amount, parse_category

MOST_LEVELS = 1_000
_EPOCH = datetime.date(1970, 1, 1)
_LONGEST_BLANK = 9
COMPACT = pa.schema(
    [
        ("u", pa.string()),
        ("e", pa.uint8()),
        ("s", pa.uint8()),
        ("b", pa.int32()),
        ("t", pa.int64()),
        ("v", pa.int64()),
        ("c", pa.int16()),
        ("k", pa.uint8()),
    ]
)
"""user; event's code; its class bits; days back from the report date; microseconds UTC; its number, 0 where it has
none; code of its word or level, 0 for none; campaigns: bits 0–3 reached by it, 4–7 answered to."""
_TABLES = {
    column: np.isin(np.arange(len(NAMES)), [CODE[name] for name in names])
    for column, names in (
        *classes.VALUES.items(),
        *((name, events) for name, (events, _) in classes.WORDS.items()),
        *classes.LEVELS.items(),
    )
}
_MUST = {
    column: np.isin(np.arange(len(NAMES)), [CODE[name] for name in names]) for column, names in classes.MUST.items()
}
_EXPOSED, _ENGAGED = (
    np.isin(np.arange(len(NAMES)), [CODE[name] for name in names]) for names in (classes.EXPOSED, classes.ENGAGED)
)


@dataclass
class Prepared:
    """Some events as COMPACT, but the codes of levels: `levels` has (rows, their texts) by column."""

    rows: pa.RecordBatch
    parts: NDArray[np.uint8]
    losses: Counter[str]
    levels: dict[str, tuple[Ints, pa.StringArray]]


@dataclass
class Levels:
    """Codes of the texts of one column, by first appearance, from 1."""

    column: str
    texts: dict[str, int] = field(default_factory=dict)

    def codes(self, values: pa.StringArray, most: int = MOST_LEVELS) -> NDArray[np.int16]:
        """int16[n], 0 for null. Raises InputError for more than `most` different texts."""
        distinct = values.dictionary_encode()
        known = [self.texts.setdefault(text, len(self.texts) + 1) for text in distinct.dictionary.to_pylist()]
        if len(self.texts) > most:
            raise InputError(
                "Column {column} has more than {most} different values.", "It is no category; leave it out.",
                column=self.column, most=most,
            )  # fmt: skip
        if not known:
            return np.zeros(len(values), np.int16)
        return np.where(is_valid(distinct.indices), np.array(known, np.int16)[values_of(distinct.indices)], 0).astype(
            np.int16
        )

    def labels(self) -> list[str]:
        """The texts in the order of their codes."""
        return list(self.texts)


class Reader:
    """How the batches of one source become compact rows; `prepare` may run in several threads."""

    def __init__(self, settings: Settings, user: str, as_of: datetime.date) -> None:
        self._columns, self._user, self._campaigns = settings.columns, user, settings.campaigns
        self._last = (as_of - _EPOCH).days

    def prepare(self, batch: Batch) -> Prepared:
        """The events of a batch that count."""
        table, losses = batch.table, Counter[str]()
        users = pc.utf8_trim_whitespace(as_texts(table.column(self._user)))
        found = pc.index_in(pc.utf8_trim_whitespace(as_texts(table.column(self._columns.event))), words(NAMES))
        times = parse_time(table.column(self._columns.time))
        micros = np.where(is_valid(times), values_of(times), 0)
        back = self._last - (micros + SHANGHAI_US) // DAY_US
        kept = _kept(found, users, times, back, losses)
        if not kept.all():
            chosen = flags(kept)
            table, users, found = table.filter(chosen), users.filter(chosen), found.filter(chosen)
            micros, back = micros[kept], back[kept]
        codes = values_of(found).astype(np.uint8)
        words_, levels = self._words(table, codes, losses)
        columns = [
            users,
            numbers(codes),
            numbers(CLASS[codes]),
            numbers(back.astype(np.int32)),
            numbers(micros),
            numbers(_values(table, codes, losses)),
            numbers(words_),
            numbers(self._slots(table, codes)),
        ]
        rows = pa.RecordBatch.from_arrays(columns, schema=COMPACT)
        return Prepared(rows, part_of(users), losses, levels)

    def _words(
        self, table: pa.RecordBatch, codes: NDArray[np.uint8], losses: Counter[str]
    ) -> tuple[NDArray[np.int16], dict[str, tuple[Ints, pa.StringArray]]]:
        found = np.zeros(len(codes), np.int16)
        for column, (_, known) in classes.WORDS.items():
            rows, texts = _some(table, column, codes)
            if len(rows):
                places = pc.index_in(texts, words(list(known)))
                good = is_valid(places)
                found[rows[good]] = np.array(list(known.values()), np.int16)[values_of(places)[good]]
                if column == "quota":
                    losses["unparsed:quota"] += int((~good).sum())
        levels = {}
        for column in classes.LEVELS:
            rows, texts = _some(table, column, codes)
            if len(rows):
                levels[column] = (rows, texts)
        return found, levels

    def _slots(self, table: pa.RecordBatch, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        slots = np.zeros(len(codes), np.uint8)
        if not self._campaigns or "campaign" not in table.schema.names:
            return slots
        places = pc.index_in(parse_category(table.column("campaign")), words(self._campaigns))
        good = is_valid(places)
        slot = np.where(good, values_of(places), 0)
        slots |= np.where(good & _EXPOSED[codes], 1 << slot, 0).astype(np.uint8)
        slots |= np.where(good & _ENGAGED[codes], 16 << slot, 0).astype(np.uint8)
        return slots


def _kept(found: pa.Array, users: pa.StringArray, times: pa.Array, back: Ints, losses: Counter[str]) -> Flags:
    """Which events stay; each other one is counted once."""
    kept = np.ones(len(users), np.bool_)
    reasons = (
        (~is_valid(found), EventLoss.UNKNOWN_EVENT),
        (blank_users(users), EventLoss.NO_USER),
        (~is_valid(times), EventLoss.NO_TIME),
        (back < 0, EventLoss.AFTER_REPORT_DATE),
    )
    for lost, name in reasons:
        losses[name] += int((kept & lost).sum())
        kept &= ~lost
    return kept


def blank_users(users: pa.StringArray) -> Flags:
    """As `is_blank`, which costs much, for short texts only: a placeholder has at most nine bytes."""
    short = lengths(users) <= _LONGEST_BLANK
    if short.any():
        short[short] = is_blank(users.filter(flags(short)))
    return short


def _values(table: pa.RecordBatch, codes: NDArray[np.uint8], losses: Counter[str]) -> Ints:
    """The one number that an event brings; refunds are negative. What cannot be read, or is below 0, counts as 0."""
    found = np.zeros(len(codes), np.int64)
    for column in classes.VALUES:
        rows = np.flatnonzero(_TABLES[column][codes])
        if not len(rows):
            continue
        if column not in table.schema.names:
            losses[f"missing:{column}"] += int(_MUST[column][codes].sum()) if column in _MUST else 0
            continue
        values = table.column(column).take(numbers(rows))
        amounts, good, blank = _whole(values)
        negative = good & (amounts < 0)
        losses[f"unparsed:{column}"] += int((~good & ~blank).sum())
        losses[f"negative:{column}"] += int(negative.sum())
        if column in _MUST:
            losses[f"missing:{column}"] += int((blank & _MUST[column][codes[rows]]).sum())
        found[rows] = np.where(good & ~negative, amounts, 0)
    refunds = codes == CODE["payment.refund"]
    found[refunds] = -found[refunds]
    return found


def _whole(values: pa.Array) -> tuple[Ints, Flags, Flags]:
    """(whole numbers, which are good, which are blank)."""
    if pa.types.is_integer(values.type) and values.type != pa.uint64():
        good = is_valid(values)
        return np.where(good, values_of(values.cast(pa.int64())), 0), good, ~good
    texts = as_texts(values)
    parsed = parse_amount(texts, scale=0)
    good = is_valid(parsed)
    return np.where(good, values_of(parsed), 0), good, is_blank(texts)


def _some(table: pa.RecordBatch, column: str, codes: NDArray[np.uint8]) -> tuple[Ints, pa.StringArray]:
    """(the rows whose event the column matters to, their texts, null where empty)."""
    if column not in table.schema.names:
        return np.zeros(0, np.int64), words(())
    rows = np.flatnonzero(_TABLES[column][codes])
    return rows, parse_category(table.column(column).take(numbers(rows)))
