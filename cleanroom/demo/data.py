"""The demo's files: a merchant's purchases and member export, a platform's users and events, and what is true of them.

Everything is computed from CDNOW's purchases and a seed: the same day and scale give the same files. See ATTRIBUTION.
"""

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from cleanroom.demo import crm, people, platform, xlsx
from cleanroom.demo.purchases import CUSTOMERS, Bought, deal
from cleanroom.errors import UsageError
from cleanroom.files import replacing

USERS = 40_000
_WORKBOOK_ROWS = 3_000
_LEAST_SCALE, _MOST_SCALE = 0.01, 1_000


@dataclass(frozen=True)
class Truth:
    """What is known of the member export and the overlap, as an import with `cn-mobile/1` must find it.

    rows: with the 合计 row, which has no phone and so is among the missing; valid: rows with a usable phone; unique:
    persons among them; merged: valid − unique;
    losses, repairs: rows by the doctor's names; overlap: unique members who are users; by_level: those by member level;
    by_city_tier: by the platform's city tier; users, events: the platform's rows.
    """

    rows: int
    present: int
    valid: int
    unique: int
    merged: int
    losses: dict[str, int]
    repairs: dict[str, int]
    overlap: int
    by_level: dict[str, int]
    by_city_tier: dict[str, int]
    users: int
    events: int


@dataclass(frozen=True)
class DemoFiles:
    """orders: a row a purchase (UTF-8 with BOM); members: the messy export (GB18030); workbook: its first rows as
    .xlsx; users: a row a user; events: a row a user and event (Parquet)."""

    as_of: date
    orders: Path
    members: Path
    workbook: Path
    users: Path
    events: Path
    truth: Truth


def write_demo(folder: Path, as_of: date | None = None, scale: float = 1.0) -> DemoFiles:
    """Write all files below `folder`, purchases ending on `as_of` (yesterday where None).

    scale 1 is 23,570 members and 40,000 users. Raises UsageError, BadData.
    """
    return _write_demo(folder, as_of or date.today() - timedelta(days=1), scale)


def _write_demo(folder: Path, as_of: date, scale: float) -> DemoFiles:
    if not _LEAST_SCALE <= scale <= _MOST_SCALE:
        raise UsageError(
            "A demo of scale {scale} cannot be made.",
            "Between {least} and {most}; 1 is 23,570 members.",
            scale=scale,
            least=_LEAST_SCALE,
            most=_MOST_SCALE,
        )
    merchant, other = folder / "merchant", folder / "platform"
    for side in (merchant, other):
        side.mkdir(parents=True, exist_ok=True, mode=0o700)
    bought = deal(round(CUSTOMERS * scale), as_of)
    members = crm.enrol(bought)
    users = platform.sign_up(members, round(USERS * scale))
    paths = (
        merchant / "orders.csv",
        merchant / "members.csv",
        merchant / "members.xlsx",
        other / "users.csv",
        other / "events.parquet",
    )
    write_csv(paths[0], orders(bought), "utf-8-sig")
    write_csv(paths[1], crm.rows(members), "gb18030")
    xlsx.write(paths[2], "会员", _workbook(crm.rows(members)))
    events, tiers = _write_platform(paths[3], paths[4], users, as_of)
    return DemoFiles(as_of, *paths, _truth(members, users, events, tiers))


def orders(bought: Bought) -> Iterator[pa.RecordBatch]:
    """Purchases by day, with the phone as the shop's own till has it."""
    order = np.argsort(bought.day, kind="stable")
    for start in range(0, len(order), 65_536):
        rows = order[start : start + 65_536]
        numbers = np.char.add("D", np.char.zfill((np.arange(start, start + len(rows)) + 1).astype(str), 9))
        yield pa.record_batch(
            {
                "订单编号": pa.array(numbers.tolist()),
                "会员手机": people.phones(bought.person[rows]),
                "下单日期": pa.array(bought.day[rows].astype(np.int32)).cast(pa.date32()).cast(pa.string()),
                "件数": pa.array(bought.pieces[rows]),
                "实付金额": platform.yuan(bought.cents[rows]),
            }
        )


def write_csv(path: Path, batches: Iterator[pa.RecordBatch], encoding: str) -> None:
    with replacing(path) as aside, aside.open("w", encoding=encoding, newline="") as file:
        for number, batch in enumerate(batches):
            file.write(_csv_text(batch, header=number == 0))


def _csv_text(batch: pa.RecordBatch | pa.Table, header: bool) -> str:
    from pyarrow import csv as arrow_csv

    sink = io.BytesIO()
    arrow_csv.write_csv(batch, sink, arrow_csv.WriteOptions(include_header=header, quoting_style="needed"))
    return sink.getvalue().decode()


def _workbook(batches: Iterator[pa.RecordBatch]) -> Iterator[list[xlsx.Cell]]:
    """A title row, the header, the first rows: amounts as numbers where they are plain, dates as dates."""
    batch = next(batches).slice(0, _WORKBOOK_ROWS)
    yield ["会员导出表"]
    yield list(batch.schema.names)
    for row in batch.to_pylist():
        yield [_typed(name, text) for name, text in row.items()]
    yield ["合计", f"{batch.num_rows} 人"]


def _typed(header: str, text: str) -> xlsx.Cell:
    if header.endswith("日期") and text[4:5] == "-":
        return date.fromisoformat(text)
    plain = header == "累计消费(元)" and text.replace(".", "").isdecimal()
    return float(text) if plain else text


def _write_platform(
    users_path: Path, events_path: Path, users: platform.Users, as_of: date
) -> tuple[int, Counter[str]]:
    """(how many events, the users behind usable members by city tier)."""
    import pyarrow.parquet as pq

    events, tiers, start = 0, Counter[str](), 0
    usable = np.append(users.members.usable(), False)  # the last stands for −1, a stranger
    with (
        replacing(users_path) as users_aside,
        replacing(events_path) as events_aside,
        users_aside.open("w", encoding="utf-8", newline="") as file,
        pq.ParquetWriter(events_aside, platform.EVENT_SCHEMA, compression="zstd") as writer,
    ):
        for part in platform.parts(users, as_of):
            file.write(_csv_text(part.users, header=start == 0))
            writer.write_table(part.events)
            both = usable[users.member[start : start + part.users.num_rows]]
            tiers.update(part.users.column("city_tier").filter(pa.array(both)).to_pylist())
            events, start = events + part.events.num_rows, start + part.users.num_rows
    return events, tiers


def _truth(members: crm.Members, users: platform.Users, events: int, tiers: Counter[str]) -> Truth:
    bought = members.bought
    by_form = np.bincount(members.form[members.form >= 0], minlength=len(crm.FORMS))
    losses: Counter[str] = Counter()
    repairs: Counter[str] = Counter()
    for (_, _, loss, repair), count in zip(crm.FORMS, by_form.tolist(), strict=True):
        (losses if loss else repairs)[loss or repair] += count
    losses["missing"] += 1  # the 合计 row
    rows, lost, unique = len(members.person) + 1, losses.total(), int(members.usable().sum())
    both = users.member[users.member >= 0]
    both = both[members.usable()[both]]
    levels = people.levels(bought.per_person(bought.cents)[both])
    return Truth(
        rows=rows,
        present=rows - losses["missing"],
        valid=rows - lost,
        unique=unique,
        merged=rows - lost - unique,
        losses=dict(losses),
        repairs=dict(repairs),
        overlap=len(both),
        by_level=dict(Counter(levels.to_pylist())),
        by_city_tier=dict(tiers),
        users=len(users.member),
        events=events,
    )
