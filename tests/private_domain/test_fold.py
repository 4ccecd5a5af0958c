"""Events folded to the standard columns, against a judge in plain Python, and what an owner sees of the losses."""

import datetime as dt
import random
import tempfile
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from connectors.errors import InputError
from connectors.event_types import EVENTS
from connectors.memory import ArrowSource
from connectors.private_domain import columns, scratch
from connectors.private_domain.folding import PrivateDomain
from connectors.private_domain.places import Place
from connectors.private_domain.settings import Settings, is_settings, load_settings
from tests.private_domain import reference

AS_OF = dt.date(2026, 11, 21)
MIDNIGHT = dt.datetime(2026, 11, 21, 16)
"""The end of the report date, in UTC."""
NUMBERS = ("amount", "seconds", "points")
COLUMNS = ("user", "event", "time", *NUMBERS, "quota", "about")

Row = tuple[str, str, dt.datetime, int | None, str | None, str | None]
EDGES = (0, 1, 6, 7, 29, 30, 31, 59, 60, 62, 63, 64, 89, 90, 364, 365, 394, 395, 396)
SECONDS = (0, 1, 900, 901, 3600, 3601, 40_000, 86_399)
THEMES = (
    ("payment.pay",),
    ("payment.pay", "payment.refund", "promotion.click", "live.watch"),
    ("coupon.claim", "coupon.redeem"),
    ("mini-program.subscribe", "mini-program.subscribe-end", "message.sent"),
    ("fan-group.join", "fan-group.leave", "member-card.open", "member-card.close", "life-account.follow",
     "life-account.unfollow"),
    ("mini-program.visit", "live.watch"),
    tuple(sorted(EVENTS)),
)  # fmt: skip
"""Few events a user lie close together, so that their edges meet."""


def made_up(stream: random.Random, users: int) -> list[Row]:
    rows = []
    for user in range(users):
        theme, days = stream.choice(THEMES), stream.choice([EDGES, range(70), range(420), range(3), (29, 394, 395)])
        for _ in range(stream.randint(1, 8)):
            back = dt.timedelta(days=stream.choice(days) + 1) - dt.timedelta(seconds=stream.choice(SECONDS))
            number = stream.choice([None, 0, 1, 59, 60, 4_999, 5_000, 20_000, 199_999, 1_000_000])
            said = stream.choice([None, "once", "lasting"]), stream.choice([None, "subscription", "order"])
            rows.append((f"u{user}", stream.choice(theme), MIDNIGHT - back, number, *said))
    return rows


def table(rows: list[Row]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for user, event, time, number, quota, about in rows:
        values = (user, event, time, number, None if number is None else number % 900, number, quota, about)
        for name, value in zip(COLUMNS, values, strict=True):
            columns[name].append(value)
    types = [pa.string(), pa.string(), pa.timestamp("us"), pa.int64(), pa.int64(), pa.int64(), pa.string(), pa.string()]
    return pa.table({name: pa.array(columns[name], kind) for name, kind in zip(COLUMNS, types, strict=True)})


def folded(events: pa.Table, users: pa.Table | None = None, as_of: dt.date = AS_OF, **settings: Any) -> dict[str, Any]:
    """Rows by user; amounts in minor units."""
    people = [(ArrowSource("users", users), "user")] if users is not None else []
    domain = PrivateDomain([(ArrowSource("events", events), "user")], people, as_of, Settings(**settings))
    rows = [row for batch in domain.batches() for row in batch.table.to_pylist()]
    plain = [{key: int(value * 100) if key.endswith("_30d") and not isinstance(value, str) else value
              for key, value in row.items()} for row in rows]  # fmt: skip
    return {row.pop("user"): row for row in plain}


def judged(events: pa.Table, as_of: dt.date = AS_OF) -> dict[str, Any]:
    users: dict[str, list[reference.Event]] = {}
    for row in events.to_pylist():
        if (row["time"] + dt.timedelta(hours=8)).date() <= as_of:
            users.setdefault(row.pop("user"), []).append(row)
    return {user: reference.fold(own, as_of) for user, own in users.items()}


@given(st.integers(0, 2**32), st.sampled_from([0, 1, 30, 395]))
@settings(max_examples=6, deadline=None, phases=[Phase.generate])
def test_the_fold_is_what_the_judge_says_of_any_day(seed: int, earlier: int) -> None:
    """Also of a day before the last events: late events and thirteen months of backfill are folds as of their day."""
    events, as_of = table(made_up(random.Random(seed), 400)), AS_OF - dt.timedelta(days=earlier)
    found, wanted = folded(events, as_of=as_of), judged(events, as_of)
    for user, row in found.items():
        assert row.pop("rfm") in columns.STANDARD["rfm"].labels
        assert {name: (row[name], wanted[user][name]) for name in row if row[name] != wanted[user][name]} == {}
    assert found == wanted


def test_rfm_is_what_the_checkup_says_of_the_same_payers() -> None:
    """The judge is the SQL that the checkup uses."""
    import duckdb

    from cleanroom.insight.rfm import classify

    stream = random.Random(5)
    rows = [
        (
            f"u{user}",
            "payment.pay",
            MIDNIGHT - dt.timedelta(days=stream.randint(1, 364)),
            stream.randint(1, 9999),
            None,
            None,
        )
        for user in range(300)
        for _ in range(stream.choice([1, 1, 2, 5]))
    ]
    events = table(rows)
    found = {user: row["rfm"] for user, row in folded(events).items()}
    with duckdb.connect() as connection:
        connection.register("events", events)
        connection.execute(
            'CREATE TABLE payers AS SELECT "user" AS id, max(day) AS last, count(DISTINCT day) AS frequency, '
            "sum(amount) AS money FROM (SELECT *, (time + INTERVAL 8 HOUR)::DATE AS day FROM events) GROUP BY 1"
        )
        classify(connection, AS_OF.isoformat(), True)
        assert found == dict(connection.execute("SELECT id, class FROM classes").fetchall())


def test_the_users_table_brings_attributes_consent_and_the_imported() -> None:
    events = pa.table({"user": ["a", "b"], "event": ["member-card.open"] * 2, "time": ["2026-11-20", "2026-11-20"],
                       "level": ["gold", "gold"]})  # fmt: skip
    mall = Place("mall", 31.23, 121.47, 5, 3)
    inside, outside = (f"{int(cell):x}" for cell in (mall.cells[0], mall.cells[0] ^ (1 << 40)))
    users = pa.table({
        "user": ["a", "c", "a", ""], "性别": ["女", None, "男", "女"], "会员等级": ["silver", None, "x", "x"],
        "consent": ["是", "no", "no", "yes"], "opt_out": ["yes", "no", "no", "no"],
        "arm_1": ["treated", None, None, None],
        "cell": [inside, outside, None, inside],
    })  # fmt: skip
    found = folded(events, users, places=(mall,))
    wanted = {
        "a": ("no", "女", "silver", "yes", "no", "yes", "treated", "yes"),
        "b": ("no", None, "gold", None, "yes", "yes", "outside", "no"),
        "c": ("yes", None, None, "no", "no", "no", "outside", "no"),
    }
    names = ("imported", "gender", "member_level", "consent", "reach", "card_open", "arm_1", "near_mall")
    assert {user: tuple(row[name] for name in names) for user, row in found.items()} == wanted


def test_a_column_that_nothing_is_said_of_is_left_out() -> None:
    (row,) = folded(table([("a", "live.watch", MIDNIGHT, 1, None, None)]), as_of=AS_OF + dt.timedelta(1)).values()
    assert not {"imported", "consent", "gender", "near_mall", "exposed_1"} & row.keys()


def test_campaigns_have_slots() -> None:
    names = ["promotion.exposure", "coupon.claim", "message.delivered", "promotion.exposure"]
    events = pa.table({"user": ["a", "b", "c", "d"], "event": names, "time": ["2026-11-20"] * 4,
                       "campaign": ["618", "618", "双11", "another"]})  # fmt: skip
    found = folded(events, campaigns=("618", "双11"))
    slots = ("exposed_1", "engaged_1", "exposed_2", "engaged_2")
    assert {user: "".join(row[slot][0] for slot in slots) for user, row in found.items()} == {
        "a": "ynnn", "b": "nynn", "c": "nnyn", "d": "nnnn",
    }  # fmt: skip


def test_what_is_left_out_is_counted_by_reason_and_never_shown() -> None:
    pay, visit = "payment.pay", "mini-program.visit"
    events = pa.table({
        "user": ["a", "a", "a", "a", "a", " ", "a", "a"],
        "event": [pay, pay, pay, visit, "live.dance", pay, pay, pay],
        "time": [*["2026-11-20"] * 6, "soon", "2026-11-22"],
        "amount": ["120", "-5", "secret", None, "1", "1", "1", "1"],
        "seconds": [None, None, None, "many", None, None, None, None],
    })  # fmt: skip
    domain = PrivateDomain([(ArrowSource("events", events), "user")], [], AS_OF)
    (batch,) = domain.batches()
    assert batch.table.column("net_paid_30d").to_pylist() == [Decimal("1.20")]
    assert domain.losses == {
        "unknown-event": 1, "no-user": 1, "no-time": 1, "after-report-date": 1,
        "negative:amount": 1, "unparsed:amount": 1, "unparsed:seconds": 1,
    }  # fmt: skip
    texts = [template.format(**params) for template, params in domain.notes]
    assert "1 values of column amount are below zero and count as unknown." in texts and "secret" not in str(texts)


def test_many_events_are_set_aside_sealed_and_fold_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has no name; what is written to it shows no identity."""
    events = table(made_up(random.Random(3), 500))
    users = pa.table({"user": [f"u{number}" for number in range(0, 600, 2)], "city": ["上海"] * 300})
    wanted = folded(events, users)
    written = bytearray()
    real = tempfile.TemporaryFile

    def watched(**options: Any) -> Any:
        file = real(**options)
        write = file.write
        return SimpleNamespace(
            write=lambda data: (written.extend(data), write(data)), read=file.read, seek=file.seek, close=file.close
        )

    monkeypatch.setattr(scratch.tempfile, "TemporaryFile", watched)
    monkeypatch.setattr(scratch, "MOST_IN_MEMORY", 300)
    monkeypatch.setattr(scratch, "CHUNK_ROWS", 100)
    monkeypatch.setattr(scratch, "PARTS", 32)
    assert folded(events, users) == wanted
    assert len(written) > 10_000 and b"u123" not in written and not list(tmp_path.iterdir())


def test_headers_and_campaigns_may_be_declared(tmp_path: Path) -> None:
    path = tmp_path / "domain.toml"
    path.write_text('format = "cleanroom-private-domain/1"\ncampaigns = ["618"]\n[columns]\nevent = "what"\n'
                    '[[place]]\nname = "mall"\nlat = 31.23\nlng = 121.47\nto_km = 5\nfrom_km = 3\n')  # fmt: skip
    assert is_settings(path)
    found = load_settings(path)
    assert found.columns.event == "what" and found.campaigns == ("618",) and len(found.places[0].cells) > 50
    off_the_map = '[[place]]\nname = "m"\nlat = 91\nlng = 0\nto_km = 1'
    for wrong in ('campaigns = ["a", "a"]', '[[place]]\nname = "m"', "nothing = 1", off_the_map):
        path.write_text(f'format = "cleanroom-private-domain/1"\n{wrong}\n')
        with pytest.raises(InputError):
            load_settings(path)


def test_a_folder_of_parts_becomes_a_dataset(tmp_path: Path) -> None:
    """Events and users told apart by their columns; the report date and the losses stay with the version."""
    folder = tmp_path / "platform"
    folder.mkdir()
    for part, user in enumerate(("13800138000", "13800138001")):
        lines = [f"{user},payment.pay,2026-11-20,12000", f"{user},live.dance,2026-11-20,"]
        (folder / f"events-{part}.csv").write_text("\n".join(["user,event,time,amount", *lines, ""]))
    (folder / "users.csv").write_text("手机号,性别\n13800138001,女\n13800138009,男\n")
    made = Home.create(tmp_path / "home", "platform")
    result = import_source(
        made, Wish("users", str(folder), features="private-domain", as_of="2026-11-21", everything=True)
    )
    assert result["rows"] == 3 and result["as_of"] == "2026-11-21"
    assert result["events_left_out"] == {"unknown-event": 2}
    kinds = {column["name"]: column["kind"] for column in result["columns"]}
    assert (kinds["phone"], kinds["stage_30d"], kinds["orders_30d"]) == ("identity", "category", "amount")
    (folder / "users.csv").rename(folder / "_users.csv")
    with pytest.raises(InputError, match="There are no events"):
        import_source(made, Wish("users", str(folder / "_users.csv"), features="private-domain", everything=True))
