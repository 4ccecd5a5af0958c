"""Events folded to a row a user, against a judge in pandas."""

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from few_rows import Rows
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import InputError
from connectors.event_types import EVENTS, schema
from connectors.events import EventColumns, EventLoss, Feature, fold, load_features
from connectors.importing import Importer, ImportSpec
from connectors.mapping import ColumnRole, Mapping
from connectors.source import Batch

AS_OF = datetime.date(2024, 3, 31)
PAY, VISIT, CLAIM = "payment.pay", "mini-program.visit", "coupon.claim"
FEATURES = (
    Feature("visits_30", "count", (VISIT,), 30),
    Feature("visits_ever", "count", (VISIT,)),
    Feature("spend_90", "sum", (PAY,), 90, "amount", "amount"),
    Feature("seconds_7", "sum", (VISIT,), 7, "seconds"),
    Feature("days_30", "days", (PAY, VISIT), 30),
    Feature("recency", "recency", (PAY,)),
    Feature("first_day", "first", (PAY,), kind="date"),
    Feature("last_day", "last", (PAY, CLAIM), 60, kind="date"),
    Feature("last_store", "last", (PAY, CLAIM), 0, "store", "category"),
    Feature("first_amount", "first", (PAY,), 0, "amount", "amount"),
    Feature("stores", "distinct", (PAY, CLAIM), 0, "store"),
)
moments = st.datetimes(datetime.datetime(2023, 12, 1), datetime.datetime(2024, 4, 2)).map(
    lambda moment: moment.replace(microsecond=0)
)
event_rows = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "u3", ""]),
        st.sampled_from([PAY, PAY, VISIT, VISIT, CLAIM, "payment.refund", "live.dance"]),
        st.one_of(
            moments, moments, st.sampled_from([datetime.datetime(2024, 3, 1, 16), datetime.datetime(2024, 3, 1, 15)])
        ),
        st.one_of(st.none(), st.integers(0, 10**7)),
        st.one_of(st.none(), st.sampled_from(["甲", "乙"])),
    ),
    max_size=40,
)


def source(rows: list[tuple[str, str, datetime.datetime, int | None, str | None]], size: int) -> Rows:
    users, events, times, amounts, stores = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Rows(
        {
            "user": pa.array(users, pa.string()),
            "event": pa.array(events, pa.string()),
            "time": pa.array([time.isoformat(" ") for time in times], pa.string()),
            "amount": pa.array([None if a is None else str(a) for a in amounts], pa.string()),
            "seconds": pa.array([None if a is None else a % 100 for a in amounts], pa.int64()),
            "store": pa.array(stores, pa.string()),
        },
        size,
    )


def judge(frame: pd.DataFrame, feature: Feature) -> object:
    """One user's feature in pandas."""
    chosen = frame[frame["event"].isin(feature.events)].sort_values("time", kind="stable")
    if feature.window_days:
        chosen = chosen[chosen["day"] > AS_OF - datetime.timedelta(days=feature.window_days)]
    if feature.column:
        chosen = chosen[chosen[feature.column].notna()]
        values = chosen[feature.column].tolist()
    money = (lambda cents: Decimal(int(cents)) / 100) if feature.column == "amount" else (lambda value: value)
    match feature.aggregate:
        case "count":
            return len(chosen)
        case "days":
            return chosen["day"].nunique()
        case "distinct":
            return len(set(values))
        case "sum":
            return money(sum(int(value) for value in values))
        case "recency":
            return (AS_OF - chosen["day"].max()).days if len(chosen) else None
    place = 0 if feature.aggregate == "first" else -1
    if feature.column:
        return money(values[place]) if values else None
    return chosen["day"].iloc[place] if len(chosen) else None


@given(event_rows, st.integers(1, 50))
@settings(max_examples=15, deadline=None)
def test_the_fold_is_what_pandas_groups(rows: list[tuple[str, str, datetime.datetime, int, str]], size: int) -> None:
    found = fold(source(rows, size), FEATURES, AS_OF)
    frame = pd.DataFrame(rows, columns=["user", "event", "time", "amount", "store"], dtype=object)
    frame["seconds"] = pd.Series([None if a is None else a % 100 for a in frame["amount"]], dtype=object)
    frame["day"] = pd.Series([(t + datetime.timedelta(hours=8)).date() for t in frame["time"]], dtype=object)
    known, named = frame["event"].isin(EVENTS.keys()), frame["user"] != ""
    late = frame["day"].map(lambda day: day > AS_OF).astype(bool)
    losses = {
        EventLoss.UNKNOWN_EVENT: int((~known).sum()),
        EventLoss.NO_USER: int((known & ~named).sum()),
        EventLoss.AFTER_REPORT_DATE: int((known & named & late).sum()),
    }
    assert found.losses == {name: count for name, count in losses.items() if count}
    kept = frame[known & named & ~late]
    wanted = [
        {"user": user} | {feature.name: judge(group, feature) for feature in FEATURES}
        for user, group in kept.groupby("user", sort=True)
    ]
    assert [row for batch in found.batches() for row in batch.table.to_pylist()] == wanted


def test_days_are_those_of_shanghai() -> None:
    rows = [("u", VISIT, datetime.datetime(2024, 3, 30, 15, 59, 59), None, None)]
    rows += [("u", VISIT, datetime.datetime(2024, 3, 30, 16), None, None)]
    (batch,) = fold(
        source(rows, 9), [Feature("days", "days", (VISIT,)), Feature("today", "count", (VISIT,), 1)], AS_OF
    ).batches()
    assert batch.table.to_pylist() == [{"user": "u", "days": 2, "today": 1}]


def test_values_that_cannot_be_read_and_times_are_counted() -> None:
    table = {"openid": ["a", "a", "b"], "what": [PAY] * 3, "at": ["2024-01-01T00:00:00Z", "soon", "2024-01-01"]}
    table["amount"] = ["many", "1", "250"]
    columns = EventColumns("openid", "what", "at")
    found = fold(Rows(table), [Feature("spend", "sum", (PAY,), 0, "amount", "amount")], AS_OF, columns)
    assert found.losses == {EventLoss.NO_TIME: 1, "unparsed:amount": 1}
    texts = [template.format(**params) for template, params in found.notes]
    assert texts == [
        "1 events have a time that cannot be read and were left out.",
        "1 values of column amount could not be read and count as unknown.",
    ]
    (batch,) = found.batches()
    assert batch.table.to_pylist() == [
        {"openid": "a", "spend": Decimal("0.00")},
        {"openid": "b", "spend": Decimal("2.50")},
    ]
    assert found.kinds == {"spend": "amount"}


def test_a_fold_can_be_imported() -> None:
    table = {
        "phone": ["13800138000", "13800138000"],
        "event": [PAY] * 2,
        "time": ["2024-01-01"] * 2,
        "amount": ["105", "7"],
    }
    feature = Feature("spend", "sum", (PAY,), 0, "amount", "amount")
    folded = fold(Rows(table), [feature], AS_OF, EventColumns(user="phone"))
    roles = Mapping((ColumnRole("phone", "phone", "identity"), ColumnRole("spend", "spend", "amount")))
    (batch,) = Importer(folded, ImportSpec(roles, "phone", "cn-mobile/1", ("spend",))).batches()
    assert batch["t.spend"].to_pylist() == [112]


def test_hostile_headers_and_values_never_reach_the_sql() -> None:
    nasty = "u\"; DROP TABLE events; --'"
    table = {nasty: ["' OR 1=1 --"], "event": [PAY], "time": ["2024-01-01"], "store": ["'); SELECT 1; --"]}
    found = fold(
        Rows(table), [Feature("shop", "last", (PAY,), 0, "store", "category")], AS_OF, EventColumns(user=nasty)
    )
    (batch,) = found.batches()
    assert batch.table.to_pylist() == [{nasty: "' OR 1=1 --", "shop": "'); SELECT 1; --"}]


def test_an_error_of_the_source_stays_itself() -> None:
    class Broken(Rows):
        def batches(self) -> Iterator[Batch]:
            yield from super().batches()
            raise InputError("Row {row} is broken.", row=7)

    broken = Broken({"user": ["u"], "event": [PAY], "time": ["2024-01-01"]})
    with pytest.raises(InputError, match="Row 7 is broken"):
        fold(broken, [Feature("pays", "count", (PAY,))], AS_OF)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="no column amount"):
        fold(Rows({"user": ["u"], "event": [PAY], "time": [""]}), [Feature("s", "sum", (PAY,), 0, "amount")], AS_OF)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Bad Name"},
        {"name": "a; drop"},
        {"aggregate": "median"},
        {"kind": "secret"},
        {"events": ()},
        {"events": ("payment.steal",)},
        {"window_days": -1},
        {"aggregate": "sum"},
        {"aggregate": "count", "column": "amount"},
        {"aggregate": "sum", "column": "store"},
        {"aggregate": "sum", "column": "points"},
        {"aggregate": "distinct", "column": "store", "events": (PAY, VISIT)},
    ],
)
def test_features_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Feature(**({"name": "x", "aggregate": "count", "events": (PAY,)} | wrong))  # type: ignore[arg-type]


GOOD = """
format = "cleanroom-features/1"
[columns]
user = "openid"
[[feature]]
name = "spend_90d"
aggregate = "sum"
events = ["payment.pay"]
column = "amount"
window_days = 90
kind = "amount"
"""


def test_features_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "features.toml"
    path.write_text(GOOD, "utf-8")
    loaded = load_features(path)
    assert loaded.features == (Feature("spend_90d", "sum", (PAY,), 90, "amount", "amount"),)
    assert loaded.columns == EventColumns(user="openid")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("features/1", "features/2"), "not of a known format"),
        (('kind = "amount"', 'colour = "red"'), "a key that is not known"),
        (('user = "openid"', 'who = "openid"'), "a key that is not known"),
        (('["payment.pay"]', '"payment.pay"'), "a key that is not known"),
        (('name = "spend_90d"', 'name = "openid"'), "names of their own"),
        (("[[feature]]", "[[feature"), "not valid TOML"),
    ],
)
def test_feature_files_that_cannot_be(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "features.toml"
    path.write_text(GOOD.replace(*change), "utf-8")
    with pytest.raises(InputError, match=message):
        load_features(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_features(tmp_path / "none.toml")


def test_the_event_model_is_the_domain() -> None:
    relations = {event.relation for event in EVENTS.values()}
    assert len(relations) == 11
    assert schema("payment").field("amount").type == pa.int64()
    assert schema("payment").field("time").type == pa.timestamp("us", "UTC")
    with pytest.raises(InputError, match="no relation shop"):
        schema("shop")


def test_first_and_last_by_time_then_by_row() -> None:
    day = datetime.datetime(2024, 3, 1)
    rows = [("u", PAY, day, 300, "乙"), ("u", PAY, day, 100, "甲"), ("u", PAY, day - datetime.timedelta(1), 200, None)]
    features = [
        Feature(f"{which}_{of}", which, (PAY,), 0, of) for which in ("first", "last") for of in ("amount", "store")
    ]
    (batch,) = fold(source(rows, 2), features, AS_OF).batches()
    assert batch.table.to_pylist() == [
        {"user": "u", "first_amount": 2, "first_store": "乙", "last_amount": 1, "last_store": "甲"}
    ]
