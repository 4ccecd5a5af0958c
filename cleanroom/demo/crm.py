"""A merchant's member export as such exports are: phones written in many ways, some unusable, amounts with ¥ and 万.

How many rows have which defect is decided first and exactly, so that whoever reads the file can be checked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.demo import people as made_up
from cleanroom.demo.people import CHANNELS, CITIES, GENDERS, Ints, random
from cleanroom.demo.purchases import Bought

FORMS: tuple[tuple[str, float, str, str], ...] = (
    ("country", 0.05, "", "country-code"),
    ("country-bare", 0.02, "", "country-code"),
    ("spaces", 0.04, "", "separators"),
    ("dashes", 0.04, "", "separators"),
    ("full-width", 0.02, "", "full-width"),
    ("decimal", 0.02, "", "spreadsheet-decimal"),
    ("masked", 0.015, "masked", ""),
    ("missing", 0.012, "missing", ""),
    ("rounded", 0.008, "spreadsheet-rounded", ""),
    ("landline", 0.006, "landline", ""),
    ("short", 0.004, "too-few-digits", ""),
)
"""(how a phone is written, share of members, the loss it is, the repair it needs); all others are plain."""
DUPLICATES = 0.02
"""Share of members with a usable phone who stand in the export a second time, with an older state."""

_ROWS = """
SELECT printf('M%08d', member + 1) AS "会员编号",
    CASE form
        WHEN 'country' THEN '+86 ' || phone
        WHEN 'country-bare' THEN '86' || phone
        WHEN 'spaces' THEN phone[1:3] || ' ' || phone[4:7] || ' ' || phone[8:11]
        WHEN 'dashes' THEN phone[1:3] || '-' || phone[4:7] || '-' || phone[8:11]
        WHEN 'full-width' THEN translate(phone, '0123456789', '０１２３４５６７８９')
        WHEN 'decimal' THEN phone || '.0'
        WHEN 'masked' THEN phone[1:3] || '****' || phone[8:11]
        WHEN 'missing' THEN ''
        WHEN 'rounded' THEN phone[1:1] || '.' || phone[2:3] || 'E+10'
        WHEN 'landline' THEN '021-0000' || phone[8:11]
        WHEN 'short' THEN phone[1:10]
        ELSE phone
    END AS "会员手机",
    level AS "会员等级",
    CASE WHEN gender = '未知' THEN '' ELSE gender END AS "性别",
    CASE WHEN look % 33 = 0 THEN city || ' ' ELSE city END AS "城市",
    CASE
        WHEN cents >= 1000000 THEN printf('%d.%06d万', cents // 1000000, cents % 1000000)
        WHEN look % 3 = 0 THEN format('¥{:,}.{:02d}', cents // 100, cents % 100)
        WHEN look % 7 = 0 THEN format('{:,}.{:02d}元', cents // 100, cents % 100)
        ELSE printf('%d.%02d', cents // 100, cents % 100)
    END AS "累计消费(元)",
    orders::VARCHAR AS "消费次数",
    strftime(first, '%Y-%m-%d') AS "首次消费日期",
    CASE look % 5
        WHEN 0 THEN strftime(last, '%Y/%-m/%-d')
        WHEN 1 THEN strftime(last, '%Y年%-m月%-d日')
        ELSE strftime(last, '%Y-%m-%d')
    END AS "最近消费日期",
    channel AS "注册渠道"
FROM members ORDER BY place
"""


@dataclass(frozen=True)
class Members:
    """Who stands in the export, row for row, before it is written.

    person: whose row it is; form: index into FORMS, −1 for a plain phone; both int64[rows]; older: rows that repeat a
    person; city, gender: codes by person, int64[people].
    """

    bought: Bought
    person: Ints
    form: Ints
    older: NDArray[np.bool_]
    city: Ints
    gender: Ints

    def usable(self) -> NDArray[np.bool_]:
        """bool[people]: whose phone can be read from the export."""
        lost = np.array([bool(loss) for _, _, loss, _ in FORMS] + [False])  # the last stands for −1, a plain phone
        good = np.zeros(self.bought.people, np.bool_)
        good[self.person[~lost[self.form]]] = True
        return good


def enrol(bought: Bought) -> Members:
    """One row a person in shuffled order, then the older rows of some."""
    count = bought.people
    stream = random("crm")
    form = np.full(count, -1, np.int64)
    parts = np.cumsum([0, *(round(share * count) for _, share, _, _ in FORMS)])
    for code, (start, end) in enumerate(pairwise(parts)):
        form[start:end] = code
    form = stream.permutation(form)
    order = stream.permutation(count)
    lossless = np.array([not loss for _, _, loss, _ in FORMS] + [True])
    again = order[lossless[form[order]]][: round(DUPLICATES * count)]
    return Members(
        bought,
        np.concatenate([order, again]),
        np.concatenate([form[order], np.full(len(again), -1)]),
        np.arange(count + len(again)) >= count,
        stream.choice(len(CITIES), count, p=[share for *_, share in CITIES]),
        stream.choice(len(GENDERS), count, p=[share for _, share in GENDERS]),
    )


def rows(members: Members) -> Iterator[pa.RecordBatch]:
    """The export as text columns with Chinese headers, ending with a 合计 row."""
    import duckdb

    with duckdb.connect(":memory:", config={"temp_directory": ""}) as connection:
        connection.register("members", _plain(members))
        result = connection.sql(_ROWS).to_arrow_reader(65_536)
        yield from result
    cents = int(members.bought.cents.sum())
    total = dict.fromkeys(result.schema.names, "")
    total |= {"会员编号": "合计", "累计消费(元)": f"{cents // 100:,}.{cents % 100:02d}"}
    yield pa.RecordBatch.from_pylist([total], schema=result.schema)


def _plain(members: Members) -> pa.Table:
    """What the SQL writes out, a row a row. An older row has half the money and orders, and ends on the first day."""
    bought, person, older = members.bought, members.person, members.older
    cents = bought.per_person(bought.cents)
    first, last = bought.first_day(), bought.last_day()
    orders = bought.per_person()
    forms = [name for name, *_ in FORMS] + ["plain"]
    channel = made_up.draw(random("channel"), CHANNELS, bought.people).take(pa.array(person))
    halved = np.where(older, 2, 1)
    return pa.table(
        {
            "place": np.arange(len(person)),
            "member": person,
            "look": random("look").integers(0, 10_000, len(person)),
            "phone": made_up.phones(person),
            "form": made_up.named(members.form % len(forms), forms),
            "level": made_up.levels(cents[person]),
            "gender": made_up.named(members.gender[person], [name for name, _ in GENDERS]),
            "city": made_up.named(members.city[person], [name for name, *_ in CITIES]),
            "cents": cents[person] // halved,
            "orders": np.maximum(orders[person] // halved, 1),
            "first": _days(first[person]),
            "last": _days(np.where(older, first[person], last[person])),
            "channel": channel,
        }
    )


def _days(days: Ints) -> pa.Date32Array:
    return pa.array(days.astype(np.int32)).cast(pa.date32())
