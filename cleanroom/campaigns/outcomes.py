"""What people did after a campaign began, as columns of one's own dataset: exposures at the platform, orders at the
merchant.

Each party reads its own events or orders, counts only what lies between the first day and the end of the window, and
puts one value a person beside its dataset. No record goes to the other side, and no time finer than a declared bucket
of days becomes a column. Everybody of the dataset is counted, whatever arm they are in.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.campaigns import columns
from cleanroom.campaigns.campaign import Terms
from cleanroom.campaigns.columns import Amount, Category, Columns, flag
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.importing import look, with_profiles
from cleanroom.vault.identities import DIGEST, Bytes, as_bytes
from cleanroom.vault.manifest import Manifest
from connectors.arrays import as_flags, is_valid, values_of, words
from connectors.days import DAY_US, SHANGHAI_US, parse_date, parse_time
from connectors.importing import Importer, spec_of
from connectors.mapping import ColumnRole, Mapping
from connectors.source import Source
from connectors.values import parse_amount, parse_category

EXPOSED = frozenset({"promotion.exposure", "message.delivered", "message.opened"})
ENGAGED = frozenset({
    "promotion.click", "message.opened", "coupon.claim", "coupon.redeem", "live.click-goods", "lead.submitted",
    "mini-program.search-direct",
})  # fmt: skip
CLAIM, REDEEM = "coupon.claim", "coupon.redeem"
TOUCHED = (("message", "message"), ("coupon", "coupon"), ("live", "live"), ("promotion", "commercial-promotion"))
"""Relations of events and the channels that they are touches of; what is not listed is of the last."""
BUCKETS = ((0, "1 day"), (1, "2-7 days"), (7, "8-30 days"), (30, "31-90 days"))
"""Days since the start, counted from 0, from which on a bucket holds; beyond the campaign's window nothing counts."""
NONE = "none"

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class People:
    """The rows of a dataset by identity digest."""

    digests: Bytes
    order: Ints
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, digests: Bytes) -> "People":
        """uint8[n, 32 or 16]."""
        keys = _keys(digests)
        order = np.argsort(keys, kind="stable")
        return cls(digests, order, keys[order])

    def rows(self, digests: Bytes) -> Ints:
        """The row of each digest, -1 where it is nobody's."""
        if not len(self.keys) or digests.shape[1:] != self.digests.shape[1:]:
            return np.full(len(digests), -1, np.int64)
        at = np.minimum(np.searchsorted(self.keys, _keys(digests)), len(self.keys) - 1)
        rows = self.order[at]
        return np.where((self.digests[rows] == digests).all(axis=1), rows, -1).astype(np.int64)


@dataclass(frozen=True)
class Window:
    """Days that count: from `first`, so many."""

    first: dt.date
    days: int

    def since(self, days: Ints) -> Ints:
        """Days since the first, of days since 1970; -1 outside."""
        at = days - (self.first - dt.date(1970, 1, 1)).days
        return np.where((at >= 0) & (at < self.days), at, -1)


@dataclass
class Read:
    """How many rows of a source there were, and how many were of known persons, in the window, of a known event."""

    rows: int = 0
    used: int = 0
    losses: dict[str, int] = field(default_factory=dict)

    def lose(self, why: str, count: int) -> None:
        """So many rows more that do not count."""
        if count:
            self.losses[why] = self.losses.get(why, 0) + count


# -- the platform


def responses(home: Home, manifest: Manifest, terms: Terms, window: Window, source: Source,
              on: str = "") -> tuple[Columns, dict[str, Any]]:  # fmt: skip
    """(exposed_n, engaged_n and touch_n of all rows, what this home may know of its own: claims, redemptions, times).

    source: events with an identity, `event` and `time` (UTC); with a column `campaign` only those of this one's name,
    without it those of all in the window. Raises InputError, UsageError.
    """
    people = People.of(columns.digests(home, manifest))
    count, read = len(people.digests), Read()
    exposed, engaged = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    first = np.full(count, np.iinfo(np.int64).max)
    claimed, redeemed = first.copy(), first.copy()
    earliest, latest = first.copy(), np.full(count, -1, np.int64)
    for rows, batch in _known(home, manifest, people, source, on, read):
        event = parse_category(_original(batch, "event"))
        micros, good = _times(batch)
        at = window.since((micros + SHANGHAI_US) // DAY_US)
        mine = good & (rows >= 0) & (at >= 0) & _named(batch, terms)
        is_exposure, is_answer = _one_of(event, EXPOSED), _one_of(event, ENGAGED)
        read.lose("outside the window, or of another campaign", int((~mine & (rows >= 0)).sum()))
        read.lose("of another kind", int((mine & ~is_exposure & ~is_answer).sum()))
        read.used += int((mine & (is_exposure | is_answer)).sum())
        exposed[rows[mine & (is_exposure | is_answer)]] = True
        engaged[rows[mine & is_answer]] = True
        touch = mine & (is_exposure | is_answer)
        stamped = (micros * len(TOUCHED)) + _channels(event)
        np.minimum.at(earliest, rows[touch], stamped[touch])
        np.maximum.at(latest, rows[touch], stamped[touch])
        for name, times in ((CLAIM, claimed), (REDEEM, redeemed)):
            its = mine & _one_of(event, (name,))
            np.minimum.at(times, rows[its], micros[its])
    found: Columns = {
        terms.column("exposed"): flag(exposed), terms.column("engaged"): flag(engaged),
        terms.column("touch"): _touched(window, np.where(latest < 0, -1, earliest), latest),
    }  # fmt: skip
    own = {"exposed": int(exposed.sum()), "engaged": int(engaged.sum()), "rows": read.rows, "used": read.used,
           "losses": read.losses, **_redeemed(claimed, redeemed)}  # fmt: skip
    return found, own


def _redeemed(claimed: Ints, redeemed: Ints) -> dict[str, Any]:
    """Of coupons claimed in the window: how many were redeemed, and the median time to it, open ones censored.

    All are watched up to the same end, later than any redemption seen, so that the product-limit estimate is the share
    of those redeemed by then: the median is the time by which half of all claims were.
    """
    none = np.iinfo(np.int64).max
    claims = claimed < none
    both = claims & (redeemed < none) & (redeemed >= claimed)
    minutes = np.sort((redeemed[both] - claimed[both]) / 60_000_000)
    half = (int(claims.sum()) + 1) // 2
    median = float(minutes[half - 1]) if 0 < half <= len(minutes) else None
    return {"claimed": int(claims.sum()), "redeemed": int(both.sum()), "median_minutes": median}


# -- the merchant


def purchases(home: Home, manifest: Manifest, terms: Terms, window: Window, source: Source, on: str = "", day: str = "",
              amount: str = "") -> tuple[Columns, dict[str, Any]]:  # fmt: skip
    """(paid_after_n, paid_when_n, payers_after_n, spend_after_n and spend_sq_n of all rows, counts of this home's own).

    source: orders with an identity, a day and an amount (refunds negative). Spend is net, within 0 and the clamp, in
    minor units; squares are of major units; a payer is whoever has some net spend, and counts 1 minor unit.
    """
    people = People.of(columns.digests(home, manifest))
    count, read = len(people.digests), Read()
    day, amount = order_columns(source, day, amount)
    spend = np.zeros(count, np.int64)
    first = np.full(count, window.days, np.int64)
    for rows, batch in _known(home, manifest, people, source, on, read):
        days, paid, good = _orders(batch, read.losses, day, amount)
        at = window.since(days)
        mine = good & (rows >= 0) & (at >= 0)
        read.lose("outside the window", int((good & (rows >= 0) & (at < 0)).sum()))
        read.used += int(mine.sum())
        np.add.at(spend, rows[mine], paid[mine])
        pays = mine & (paid > 0)
        np.minimum.at(first, rows[pays], at[pays])
    clamped = np.clip(spend, 0, terms.clamp)
    payer = clamped > 0
    found: Columns = {
        terms.column("paid_after"): flag(payer),
        terms.column("paid_when"): _bucketed(np.where(payer & (first < window.days), first, -1)),
        terms.column("payers_after"): Amount(payer.astype(np.int64)),
        terms.column("spend_after"): Amount(clamped),
        terms.column("spend_sq"): Amount((clamped**2 + 5000) // 10_000),
    }
    own = {"payers": int(payer.sum()), "spend": int(clamped.sum()), "cut": int((spend > terms.clamp).sum()),
           "rows": read.rows, "used": read.used, "losses": read.losses}  # fmt: skip
    return found, own


def _orders(batch: pa.RecordBatch, losses: dict[str, int], day: str, amount: str) -> tuple[Ints, Ints, Flags]:
    """(days since 1970, minor units, which rows have both)."""
    days, paid = parse_date(batch.column(f"o.{day}")), parse_amount(batch.column(f"o.{amount}"))
    good = is_valid(days) & is_valid(paid)
    if bad := int((~good).sum()):
        losses["without a day or an amount"] = losses.get("without a day or an amount", 0) + bad
    return values_of(days).astype(np.int64), np.where(good, values_of(paid), 0), good


# -- both


def order_columns(source: Source, day: str = "", amount: str = "") -> tuple[str, str]:
    """The headers of an order's day and amount: those named, or those that the headers tell. Raises UsageError."""
    mapping = look(source, None)
    days = mapping.find(day) if day else _only(mapping, ("ordered", "last_order"), "date", "day")
    paid = mapping.find(amount) if amount else _only(mapping, ("spend",), "amount", "amount")
    return days.header, paid.header


def _only(mapping: Mapping, names: Sequence[str], kind: Any, what: str) -> ColumnRole:
    found = [role for role in mapping.columns if role.name in names] or list(mapping.of_kind(kind))
    if len(found) == 1:
        return found[0]
    raise UsageError("No column, or more than one, can be the {what} of an order.", "Name it: --{what} HEADER.",
                     what=what)  # fmt: skip


def _known(home: Home, manifest: Manifest, people: People, source: Source, on: str,
           read: Read) -> Iterator[tuple[Ints, pa.RecordBatch]]:  # fmt: skip
    """(the dataset's row of each, -1 where it has none; the batch) of everything in the source with an identity.

    The identities are normalised as those of the dataset were.
    """
    meta: Any = manifest.meta
    mapping = look(source, None)
    used = with_profiles(mapping, on or str(meta["identity"]), str(meta["profile"]))
    importer = Importer(source, spec_of(mapping, used))
    if importer.schema.field(DIGEST).type.byte_width != people.digests.shape[1]:
        raise BadData("The identities of the events are hashed in another way than those of {dataset}.",
                      "Give them raw, or as the dataset has them.", dataset=manifest.dataset)  # fmt: skip
    for batch in importer.batches():
        rows = people.rows(as_bytes(batch.column(DIGEST)))
        read.rows += batch.num_rows
        read.lose("of nobody in the dataset", int((rows < 0).sum()))
        yield rows, batch
    lost = importer.funnel()
    read.lose("without a usable identity", lost.rows - lost.valid)
    read.rows += lost.rows - lost.valid


def _channels(events: pa.Array) -> Ints:
    """The place in TOUCHED of each event's channel."""
    relations = pc.replace_substring_regex(events, r"\..*$", "")
    places = pc.index_in(relations, value_set=words(tuple(relation for relation, _ in TOUCHED)))
    return np.where(is_valid(places), values_of(places), len(TOUCHED) - 1).astype(np.int64)


def _touched(window: Window, earliest: Ints, latest: Ints) -> Category:
    """touch_n: channel and bucket of the first touch and, where it is another, of the last; `none`."""
    ends = []
    for stamped in (earliest, latest):
        since = window.since((stamped // len(TOUCHED) + SHANGHAI_US) // DAY_US)
        bucket = np.searchsorted(np.array([low for low, _ in BUCKETS]), since, side="right") - 1
        ends.append(np.where(stamped < 0, -1, bucket * len(TOUCHED) + stamped % len(TOUCHED)))
    size = len(BUCKETS) * len(TOUCHED)
    both = np.where(ends[0] < 0, 0, 1 + ends[0] * size + ends[1])
    seen, codes = np.unique(both, return_inverse=True)
    return Category(tuple(_path(int(code), size) for code in seen), codes.astype(np.uint16))


def _path(code: int, size: int) -> str:
    if not code:
        return NONE
    first, last = (_touch(at) for at in divmod(code - 1, size))
    return first if first == last else f"{first}>{last}"


def _touch(at: int) -> str:
    bucket, channel = divmod(at, len(TOUCHED))
    return f"{TOUCHED[channel][1]}@{BUCKETS[bucket][1]}"


def _bucketed(since: Ints) -> Category:
    """Days since the start by bucket; none where -1."""
    edges = np.array([low for low, _ in BUCKETS])
    codes = np.where(since < 0, 0, np.searchsorted(edges, since, side="right"))
    return Category((NONE, *(label for _, label in BUCKETS)), codes.astype(np.uint8))


def _times(batch: pa.RecordBatch) -> tuple[Ints, Flags]:
    times = parse_time(_original(batch, "time"))
    good = is_valid(times)
    return np.where(good, values_of(times), 0), good


def _named(batch: pa.RecordBatch, terms: Terms) -> Flags:
    if "o.campaign" not in batch.schema.names:
        return np.ones(batch.num_rows, np.bool_)
    return _one_of(parse_category(_original(batch, "campaign")), (terms.name,))


def _one_of(values: pa.Array, wanted: Iterable[str]) -> Flags:
    return as_flags(pc.is_in(values, value_set=words(tuple(wanted))))


def _original(batch: pa.RecordBatch, name: str) -> pa.Array:
    if f"o.{name}" not in batch.schema.names:
        raise UsageError("There is no column {column} among the events.", "Events have an identity, event and time.",
                         column=name)  # fmt: skip
    return batch.column(f"o.{name}")


def _keys(digests: Bytes) -> NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :8]).view("<u8").reshape(-1).astype(np.uint64)
