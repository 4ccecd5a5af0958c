"""The real purchases: CDNOW's, moved in time, in yuan, dealt to as many made-up people as asked for."""

import gzip
import io
from dataclasses import dataclass
from datetime import date
from importlib import resources

import numpy as np
import pyarrow as pa

from cleanroom.demo.people import Ints, random

CUSTOMERS = 23_570
LAST_DAY = date(1998, 6, 30)
_YUAN = 7


@dataclass(frozen=True)
class Bought:
    """Purchases, sorted by person: person (0 … people − 1), day (since 1970), pieces, cents; all int64[n]."""

    people: int
    person: Ints
    day: Ints
    pieces: Ints
    cents: Ints

    def per_person(self, values: Ints | None = None) -> Ints:
        """How many purchases, or their sum of `values`, each person has: int64[people]."""
        counted = np.bincount(self.person, values, self.people)
        return np.rint(counted).astype(np.int64)

    def first_day(self) -> Ints:
        """Of each person."""
        return np.minimum.reduceat(self.day, self._starts())

    def last_day(self) -> Ints:
        """Of each person."""
        return np.maximum.reduceat(self.day, self._starts())

    def _starts(self) -> Ints:
        return np.searchsorted(self.person, np.arange(self.people))


def deal(people: int, as_of: date) -> Bought:
    """The purchases of `people` persons, the last possible day being `as_of`.

    Person i gets those of one customer; beyond 23,570 persons customers are dealt again.
    """
    raw = _read()
    starts = np.searchsorted(raw.person, np.arange(CUSTOMERS + 1))
    customer = random("deal").permutation(CUSTOMERS)[np.arange(people) % CUSTOMERS]
    counts = np.diff(starts)[customer]
    ends = np.cumsum(counts)
    rows = np.repeat(starts[customer] - (ends - counts), counts) + np.arange(ends[-1])
    shift = (as_of - LAST_DAY).days
    person = np.repeat(np.arange(people), counts)
    return Bought(people, person, raw.day[rows] + shift, raw.pieces[rows], raw.cents[rows])


def _read() -> Bought:
    import pyarrow.csv as csv

    packed = resources.files(__package__).joinpath("CDNOW_master.txt.gz").read_bytes()
    text = b"\n".join(b",".join(line.split()) for line in gzip.decompress(packed).splitlines()[1:] if line.strip())
    table = csv.read_csv(
        io.BytesIO(text),
        read_options=csv.ReadOptions(column_names=["customer", "date", "pieces", "dollars"]),
        convert_options=csv.ConvertOptions(
            column_types={"customer": pa.int64(), "date": pa.int64(), "pieces": pa.int64(), "dollars": pa.float64()}
        ),
    )
    customer, written, pieces, dollars = (table.column(name).to_numpy() for name in table.column_names)
    months = (written // 10_000 - 1970) * 12 + written // 100 % 100 - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + written % 100 - 1
    return Bought(CUSTOMERS, customer - 1, days, pieces, np.rint(dollars * 100).astype(np.int64) * _YUAN)
