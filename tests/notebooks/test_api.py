"""The Python API as somebody at a notebook meets it: what it shows, what it costs, what it refuses."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import cleanroom as cr
from cleanroom import api, lang
from cleanroom.api import html
from cleanroom.errors import Refused, UsageError
from cleanroom.gate.errors import QueryRefused
from cleanroom.home import Home
from cleanroom.node.together import Together
from connectors.errors import InputError
from tests import near
from tests.crowds import world as worlds

SQL = "SELECT level, COUNT(*) AS n FROM matched GROUP BY level ORDER BY n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[worlds.World]:
    with near.parties():
        yield worlds.build(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def room(world: worlds.World) -> Iterator[cr.Room]:
    with cr.Room.open(world.merchant) as opened:
        opened.make_plan()
        yield opened


@pytest.fixture
def chinese() -> Iterator[None]:
    before = lang.current()
    lang.choose("zh")
    yield
    lang.choose(before)


def text(shown: Any) -> str:
    """What a person reads of it."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", shown._repr_html_())))


# -- one import


def test_one_import_that_costs_a_command_nothing() -> None:
    code = "import sys, cleanroom; assert not {'pyarrow', 'pandas', 'duckdb'} & set(sys.modules); cleanroom.Room.open"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert set(api.__all__) == set(cr._API) <= set(dir(cr))
    assert all(getattr(cr, name) is getattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError):
        cr.Nothing  # noqa: B018


def test_every_name_says_what_it_is_with_an_example() -> None:
    for name in api.__all__:
        assert getattr(api, name).__doc__, name
    told = (
        cr.Room,
        cr.Dataset,
        cr.Crowd,
        cr.Release,
        cr.Campaign,
        cr.Portrait,
        cr.Page,
        cr.Overlap,
        cr.Priced,
        cr.Chart,
    )
    for each in told:
        assert "Example" in (each.__doc__ or ""), each
        own = [value for name, value in vars(each).items() if not name.startswith("_") and callable(value)]
        assert all(value.__doc__ for value in own), each


# -- a room


def test_a_contract_says_who_learns_what(room: cr.Room) -> None:
    assert room.contract.parties == ("merchant", "platform", "operator")
    assert "which of its own rows matched" in room.contract.learns["platform"]
    assert "no identity, label or amount" in text(room.contract)
    assert room.contract.columns("users") == ["users.stage", "users.city"]
    assert text(cr.Room.list(room.home)).count("overlap") == 1
    with pytest.raises(UsageError):
        cr.Room.open(room.home, "nowhere")


def test_a_price_comes_before_the_charge_and_is_what_is_charged(room: cr.Room) -> None:
    before, due = room.budget().questions_left, room.price(SQL)
    assert room.budget().questions_left == before
    assert due.understood["by"] == ["crm.level"]
    release = room.query(SQL)
    assert release.price is not None
    assert due.price is not None
    assert release.price.rho_micro == due.price.rho_micro
    assert (release.within, release.price.people) == (due.within, due.within)
    again = room.query(SQL)
    assert again.price is None
    assert again.rows == release.rows
    assert "nothing charged" in again.said()
    assert room.budget().questions_left == (before or 0) - 1


def test_a_release_is_arrow_pandas_html_and_files(room: cr.Room, world: worlds.World, tmp_path: Path) -> None:
    release = room.query(SQL)
    truth = {label: len(world.meant(level=(label,))) for label in worlds.LEVELS}
    found = dict(zip(*(release.table.column(name).to_pylist() for name in ("level", "n")), strict=True))
    assert all(abs(found[label] - truth[label]) < 60 for label in found)
    frame = release.df(intervals=True)
    assert list(frame.columns) == ["level", "n", "n ±"]
    assert set(frame["n ±"]) == {release.within}
    assert f"{found['gold']:,} ± {release.within}" in text(release)
    assert release.to_csv(tmp_path / "out.csv").read_text("utf-8-sig").startswith("level,n,n ±")
    assert release.receipt is not None
    room.verify(release.receipt.save(tmp_path / "receipt.json"))
    assert release.receipt.signers == ("merchant", "operator", "platform")
    assert release.receipt.digest in [each.digest for each in room.receipts()]
    assert f"± {release.within}" in release.chart().svg


def test_ones_own_is_exact_and_free_and_another_owners_refused(room: cr.Room) -> None:
    own = room.query("SELECT level, COUNT(*) FROM crm GROUP BY level")
    assert (own.within, own.receipt, own.price) == (None, None, None)
    assert "±" not in text(own)
    assert room.price("SELECT COUNT(*) FROM crm").epsilon == 0
    with pytest.raises(Refused):
        room.query("SELECT COUNT(*) FROM users")
    with pytest.raises(QueryRefused):
        room.price("SELECT phone FROM matched")


def test_an_overlap_needs_no_sql(room: cr.Room) -> None:
    assert room.overlap("level").table.column_names == ["level", "people"]
    assert sum(room.estimate("level", where="users.city = 'Hangzhou'").table.column("people").to_pylist()) > 1_500


# -- the plan, free


def test_whatever_is_read_from_the_plan_is_free(room: cr.Room) -> None:
    before = room.budget().questions_left
    plan = room.plan(SQL)
    assert len(plan.widths) == len(plan.rows) == 3
    portrait = room.portrait("users.stage", where="level = 'gold'")
    assert {row["column"] for row in portrait.rows} == {"users.stage"}
    assert portrait.chart().svg.startswith("<svg")
    assert "TGI" in text(portrait)
    assert "In the match" in text(room.plan())
    assert room.budget().questions_left == before
    with pytest.raises(UsageError):
        room.plan().chart()
    with pytest.raises(UsageError):
        room.page("nowhere")


# -- crowds


def test_crowds_are_taken_together_as_sets(room: cr.Room, world: worlds.World) -> None:
    gold, silver = room.people("level = 'gold'"), room.people("level = 'silver'")
    payers = room.people("stage = 'pay'")
    both = (gold | silver) & payers
    assert both.understood == room.people("level IN ('gold', 'silver') AND stage = 'pay'").understood
    assert (payers & (gold | silver)).understood == both.understood
    away = (gold | silver) - payers
    size = away.estimate()
    expected = len(world.meant(level=("gold", "silver"), stage=("none", "visit")))
    assert size.low <= expected + 200
    assert expected - 200 <= size.high
    assert away.price() == {"free": True, "rho_micro": 0}
    with pytest.raises(UsageError, match="Save"):
        _ = room.people("stage = 'visit'") - (gold | silver)
    saved = (gold | silver).save("precious", external="api/precious")
    assert (room.people() - saved).understood == [{"crm.level": ["basic", "other", "unknown"]}]


def test_a_crowd_has_versions_and_is_given(room: cr.Room) -> None:
    crowd = room.people("level = 'gold'").save("gold", channels=["coupon"])
    assert (crowd.status, crowd.size) == ("new", None)
    crowd.refresh()
    assert crowd.status == "ready"
    assert len(crowd.versions) == 1
    assert crowd.code in [each.code for each in room.crowds()]
    assert "gold" in text(crowd)
    with pytest.raises(Refused):
        crowd.activate("live")
    assert crowd.activate("coupon").status == "done"
    assert "done" in text(crowd)
    with pytest.raises(UsageError):
        room.people("level = 'gold'").activate("coupon")
    crowd.archive()
    assert crowd.status == "archived"


# -- datasets


def test_a_frame_is_imported_as_a_file_is_and_touches_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"phone": [f"138{n:08d}" for n in range(300)] + ["landline"], "level": ["a"] * 301})
    frame.to_csv(tmp_path / "people.csv", index=False)
    home = near.new_home(tmp_path / "home", "merchant").path
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    found = [
        cr.Dataset.add(home, each, "people") for each in (frame, pa.Table.from_pandas(frame), tmp_path / "people.csv")
    ]
    assert list(scratch.iterdir()) == []
    assert [each.funnel.unique for each in found] == [300] * 3
    assert cr.Dataset.list(home)[0].rows == 300
    assert "landline" not in text(found[0])
    assert cr.Dataset.doctor(frame).unique == 300
    assert "301" in text(cr.Dataset.doctor(frame))
    assert cr.Dataset.forget(home, frame.head(10))["persons"] == 10
    assert cr.Dataset.open(home, "people").rows == 290
    with pytest.raises(InputError):
        cr.Dataset.add(home, pd.DataFrame({"phone": ["1", 2]}), "mixed")
    assert Home.open(home).vault.datasets() == ["people"]


# -- what is shown


def test_what_is_shown_is_escaped_and_withheld_says_so() -> None:
    rows = [{"<b>": "<script>alert(1)</script>", "n": None}, {"<b>": "=1+1", "n": 5}]
    figures = cr.Figures(rows, "<i>", [{}, {"n": 2}])
    shown = figures._repr_html_()
    assert "<script" not in shown
    assert "<i>" not in shown
    assert "withheld" in shown
    assert figures.table.column("n").to_pylist() == [None, 5]
    assert figures.df()["n"].dtype == "Int64"
    assert html.note("") == ""


def test_a_spreadsheet_computes_nothing(tmp_path: Path) -> None:
    figures = cr.Figures([{"label": text} for text in ("=1+1", "+8613800000000", "@x", "plain")])
    lines = figures.to_csv(tmp_path / "f.csv").read_text("utf-8-sig").split()
    assert lines == ["label", "'=1+1", "'+8613800000000", "'@x", "plain"]


def test_a_picture_shows_and_saves_itself(room: cr.Room, tmp_path: Path) -> None:
    chart = room.query(SQL).chart()
    assert set(chart._repr_mimebundle_()) == {"image/svg+xml", "text/plain"}
    assert chart.save(tmp_path / "a.svg").read_text("utf-8") == chart.svg
    assert chart.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError):
        chart.save(tmp_path / "a.pdf")


@pytest.mark.usefixtures("chinese")
def test_in_chinese_no_english_is_left(room: cr.Room) -> None:
    """But names, SQL and codes."""
    crowd = room.people("level = 'gold'") - room.people("stage = 'pay'")
    shown = [room, room.contract, room.price(SQL), room.query(SQL), room.query(SQL).receipt, room.plan(),
             room.plan(SQL), room.portrait("users.stage"), crowd, room.budget(), room.ledger(), room.verify(),
             cr.Room.list(room.home), *cr.Dataset.list(room.home), cr.Dataset.list(room.home)[0].funnel]  # fmt: skip
    for each in shown:
        words = re.findall(r"[A-Za-z]+(?: [a-z]+){3}", text(each))
        assert not words, (each, words)


# -- parties that stay


def test_after_an_error_new_parties_are_met(world: worlds.World) -> None:
    met: list[str] = []

    class Parties:
        def call(self, job: str, arguments: Any) -> dict[str, Any]:
            if job == "bad":
                raise Refused("No.")
            return {}

        def __enter__(self) -> "Parties":
            met.append("came")
            return self

        def __exit__(self, *failure: object) -> None:
            met.append("failed" if failure[0] else "left")

    together = Together(lambda *_: Parties())  # type: ignore[arg-type,return-value]
    home = world.homes["merchant"]

    def ask(job: str) -> None:
        with together(home, world.room.contract, ["merchant"], None) as parties:
            parties.call(job, {})

    ask("good")
    ask("good")
    with pytest.raises(Refused):
        ask("bad")
    ask("good")
    together.close()
    together.close()
    assert met == ["came", "failed", "came", "left"]
