"""Crowds in the console: built by clicks, estimated for nothing, saved, combined, uploaded; what is kept, what not."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cleanroom.access import catalogue
from cleanroom.console.screens import crowds_form
from cleanroom.console.screens.crowds_columns import Columns, titled
from cleanroom.console.screens.crowds_draft import Condition, Draft, Group, Part
from cleanroom.console.screens.crowds_rules import Reader
from cleanroom.crowds import desk, reading
from cleanroom.crowds.rule import Tags
from cleanroom.demo.market import ROOM
from cleanroom.errors import UsageError
from cleanroom.gateway.tags import Tags as Catalogue
from cleanroom.home import Home
from cleanroom.lang import speaking
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State
from cleanroom.querying import opened

from .conftest import Client, users_of

pytestmark = pytest.mark.xdist_group("console")

Clients = Callable[..., Client]
PHONE = "13812345678"


@pytest.fixture(scope="module")
def own(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Clients]]:
    """A market to change, its console served once for this module."""
    home = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("crowds") / "home", symlinks=True))
    with users_of(home) as found:
        yield home, found


def _draft(client: Client) -> str:
    answer = client.post("/crowds/drafts", {"room": ROOM})
    assert answer.status == 303 and re.fullmatch(r"/crowds/drafts/D[0-9a-f]{16}", answer.where)
    return answer.where


def _fields(column: str = "crm.level", labels: tuple[str, ...] = ("金卡",), **more: object) -> dict[str, object]:
    return {"p0.inside": "union", "p0.n0.kind": "tag", "p0.n0.c0.column": column, "p0.n0.c0.of": column,
            "p0.n0.c0.label": list(labels), **more}  # fmt: skip


def _code(home: Path, name: str) -> str:
    return desk.listed(home, name)[0][0].code


def test_the_list_shows_ranges_and_finds_by_name(own: tuple[Path, Clients]) -> None:
    _, client = own
    page = client("marketer").get("/crowds")
    assert page.status == 200 and "Gold members" in page.text and "fewer than 1,000" in page.text
    found = client("marketer").post("/crowds/find", {"name": "gold"}, part=True)
    assert "Gold members" in found.text and "Everybody reachable" not in found.text
    assert "No crowd fits." in client("marketer").post("/crowds/find", {"name": "nothing such"}, part=True).text
    table = client("marketer").get("/crowds?as=xlsx")
    assert table.content[:2] == b"PK"


def _jobs(home: Path) -> list[str]:
    with State.open(Home.open(home)) as state:
        return [job.id for job in Jobs(state).listed()]


def test_a_rule_is_built_by_clicks_and_estimated_for_nothing(own: tuple[Path, Clients]) -> None:
    home, client = own
    marketer = client("marketer")
    where = _draft(marketer)
    more = marketer.post(f"{where}/change", _fields(do="condition:0:0"), part=True)
    assert 'name="p0.n0.c1.column"' in more.html and "autofocus" in more.html
    fields = {**_fields(), "p0.n0.every": "all", "p0.n0.c1.column": "users.reach", "p0.n0.c1.of": "users.reach",
              "p0.n0.c1.label": "yes"}  # fmt: skip
    before = _jobs(home)
    told = marketer.post(f"{where}/estimate", fields, part=True)
    assert "fewer than 1,000" in told.text and "from the plan of" in told.text and "±" in told.text
    assert "never a live count" in told.text and "member level: 金卡" in told.text
    assert _jobs(home) == before, "an estimate asks nobody"
    saved = marketer.post(f"{where}/save", {**fields, "name": "Gold, reachable", "days": "30", "channels": ["coupon"]})
    crowd = desk.get(home, saved.where.rpartition("/")[2])
    assert (crowd.name, crowd.channels) == ("Gold, reachable", ("coupon",))
    assert crowd.rule.nodes == (Tags("crm.level IN ('金卡') AND users.reach IN ('yes')"),)
    assert marketer.get(where).status == 400, "a saved draft is gone"
    page = marketer.get(saved.where)
    assert "can be reached: yes" in page.text and "not counted yet" in page.text


def test_a_draft_is_sealed_and_for_its_user_alone(own: tuple[Path, Clients]) -> None:
    home, client = own
    where = _draft(client("marketer"))
    client("marketer").post(f"{where}/estimate", _fields(), part=True)
    held = (home / "console" / "drafts" / where.rpartition("/")[2]).read_bytes()
    assert "金卡".encode() not in held and b"crm.level" not in held and b"marketer" not in held
    assert client("owner").get(where).status == 400
    client("owner").post(f"{where}/discard")
    assert client("marketer").get(where).status == 200
    assert "金卡" in client("marketer").get(where).text, "and is there when one comes back"
    client("marketer").post(f"{where}/discard")
    assert client("marketer").get(where).status == 400


def test_where_the_plan_cannot_tell_a_count_has_a_price_first(own: tuple[Path, Clients]) -> None:
    home, client = own
    marketer = client("marketer")
    where = _draft(marketer)
    fields = _fields("crm.orders", ("≥ 4",))
    told = marketer.post(f"{where}/estimate", fields, part=True)
    assert "does not hold: number of orders" in told.text and "Show the price" in told.text
    price = marketer.post(f"{where}/price", fields, part=True)
    assert re.search(r"Price: ρ [\d.]+ of the ρ [\d.]+", price.text) and "within ±" in price.text
    with State.open(Home.open(home)) as state:
        before = len(Jobs(state).listed())
        begun = marketer.post(f"{where}/count")
        jobs = Jobs(state).listed()
    assert begun.where.startswith("/jobs/") and len(jobs) == before + 1
    assert (jobs[0].kind, jobs[0].arguments["do"], jobs[0].asked_by) == ("crowd", "estimate", "marketer")


def test_what_is_wrong_with_sql_is_told_beside_it(own: tuple[Path, Clients]) -> None:
    _, client = own
    where = _draft(client("marketer"))
    fields = {"p0.inside": "union", "p0.n0.kind": "sql", "p0.n0.where": "crm.level = 'platinum'"}
    told = client("marketer").post(f"{where}/estimate", fields, part=True)
    assert told.status == 200 and "has no such declared value" in told.text
    empty = client("marketer").post(f"{where}/estimate", {**fields, "p0.n0.where": " "}, part=True)
    assert "everybody" not in empty.text
    nobody = _fields(labels=("普卡", "金卡", "银卡", "other", "unknown"), **{"p0.n0.c0.other": "yes"})
    assert "leaves out every label" in client("marketer").post(f"{where}/estimate", nobody, part=True).text


def test_every_offered_column_reads_in_the_gate_and_has_a_chinese_title(market: Path) -> None:
    home, room = opened(market, ROOM)
    reader = object.__new__(Reader)
    reader.home, reader.room, reader.columns = home, room, Columns(home, room)
    for column in reader.columns.by_code.values():
        part = Part(conditions=(Condition(column.code, (column.options[0][0],), True),))
        rule = reader.rule(Draft("D" + "0" * 16, "", ROOM, "", pools=(Group((part,)),)))
        assert rule is not None
        (box,) = reading.understood(home, room, rule).boxes
        assert [each.column for each in box] == [column.code]  # type: ignore[union-attr]
        assert len(box[0].cells) == len(column.options) - 1  # type: ignore[union-attr]
    with speaking("zh"):
        every = Catalogue(room, catalogue.load(home)).every
        assert not [tag.code for tag in every if titled(tag).isascii() and "RFM" not in titled(tag)]


def test_everybody_else_is_what_is_left_whoever_has_no_value_with_them(market: Path) -> None:
    home, room = opened(market, ROOM)
    reader = object.__new__(Reader)
    reader.home, reader.room, reader.columns = home, room, Columns(home, room)
    both = (Condition("users.reach", ("yes",)), Condition("crm.level", ("金卡", "银卡")))
    turned = reader.sql(Part(conditions=both, every=True, other=True))
    assert turned == "users.reach IN ('no', 'other', 'unknown') OR crm.level IN ('普卡', 'other', 'unknown')"
    with pytest.raises(UsageError):
        reader.sql(Part(conditions=(Condition("users.reach", ("perhaps",)),)))


def test_buttons_move_and_remove(market: Path) -> None:
    first, second = Part("sql", where="a"), Part("sql", where="b")
    draft = Draft("D" + "0" * 16, "", ROOM, "", pools=(Group((first, second)), Group((first,), join="difference")))

    def after(what: str) -> Draft:
        return crowds_form.done(draft, what, lambda part: part.where)[0]

    assert [each.where for each in after("up:0:1").pools[0].parts] == ["b", "a"]
    assert [each.where for each in after("remove:0:0").pools[0].parts] == ["b"]
    assert [each.join for each in after("up:1").pools] == ["union", "union"], "nothing stands before the first pool"
    assert [each.join for each in after("remove:0").pools] == ["union"]
    assert len(after("pool").pools) == 3 and len(after("list:1").pools[1].parts) == 2
    for gone in ("up:7", "remove:0:9", "what"):
        with pytest.raises(UsageError):
            after(gone)


def test_a_version_is_frozen_and_two_crowds_are_combined(own: tuple[Path, Clients]) -> None:
    home, client = own
    gold, reach = _code(home, "Gold members"), _code(home, "Everybody reachable")
    assert client("marketer").post(f"/crowds/{gold}/refresh").where == f"/crowds/{gold}/versions"
    page = client("marketer").get(f"/crowds/{gold}/versions")
    assert "fewer than 1,000" in page.text and "from the plan of" in page.text
    fields = {"room": ROOM, "first": reach, "others": [reach, gold], "operation": "difference", "name": "Not gold"}
    made = client("marketer").post("/crowds/combine", fields)
    assert desk.get(home, made.where.rpartition("/")[2]).kind == "pool"
    shown = client("marketer").get(made.where).text
    assert "The crowd Everybody reachable" in shown and "without these people" in shown
    refused = client("marketer").post(f"/crowds/{gold}/archive", part=True)
    assert refused.status == 409 and "stands on" in refused.text
    assert client("marketer").post(f"{made.where}/archive").where == "/crowds"


def test_an_uploaded_list_is_sealed_at_once(own: tuple[Path, Clients]) -> None:
    home, client = own
    marketer = client("marketer")
    fields = {"room": ROOM, "name": "Leads", "people": f"{PHONE}\n+86 139 1234 5678\n{PHONE}\n", "days": "30"}
    made = marketer.post("/crowds/upload", fields)
    assert made.where.startswith("/crowds/C"), made.text
    assert "2 persons were taken" in marketer.get(made.where).text
    people = f"{made.where}/people"
    assert marketer.post(people, {"people": "13712345678", "do": "remove"}).where == people
    assert "2" in marketer.get(people).text
    plain = [path for path in home.rglob("*") if path.is_file() and "sample-data" not in path.parts
             and PHONE.encode() in path.read_bytes()]  # fmt: skip
    assert not plain, "nothing of it is written as it came"
    both = marketer.post("/crowds/upload", {**fields, "people": ""}, part=True)
    assert both.status == 400 and "one of the two" in both.text
    odd = marketer.post("/crowds/upload", {**fields, "people": "a,b"}, part=True)
    assert odd.status == 400 and "a,b" not in odd.html


def test_a_portrait_is_read_from_the_plan(own: tuple[Path, Clients]) -> None:
    home, client = own
    reach, gold = _code(home, "Everybody reachable"), _code(home, "Gold members")
    page = client("marketer").get(f"/crowds/{reach}/portrait?column=users.gender")
    assert page.status == 200 and "from the plan of" in page.text and "gender" in page.text and "withheld" in page.text
    beside = client("marketer").get(f"/crowds/{reach}/portrait?base={gold}")
    assert "The base is: Gold members." in beside.text
    picture = client("marketer").get(f"/crowds/{reach}/portrait?column=users.gender&chart=column&as=csv")
    assert "TGI" in picture.html


def test_a_marketer_asks_and_an_approver_activates(own: tuple[Path, Clients]) -> None:
    home, client = own
    gold = _code(home, "Gold members")
    assert client("marketer").get(f"/activations/{gold}").status == 403
    refused = client("marketer").post(f"/crowds/{gold}/wish", {"channel": "nowhere", "purpose": "x"}, part=True)
    assert refused.status == 409
    purpose = opened(home, ROOM)[1].contract.purposes[0]
    asked = client("marketer").post(f"/crowds/{gold}/wish", {"channel": "coupon", "purpose": purpose})
    assert asked.where == f"/crowds/{gold}"
    listed = client("approver").get("/activations")
    assert "Gold members" in listed.text and "marketer" in listed.text
    page = client("approver").get(f"/activations/{gold}?channel=coupon")
    assert "learns one bit" in page.text and "crm.level" in page.text and "Price: ρ" in page.text
    fields = {"channel": "coupon", "purpose": purpose}
    assert "Tick" in client("approver").post(f"/activations/{gold}", fields, part=True).text
    begun = client("approver").post(f"/activations/{gold}", {**fields, "sure": "yes"})
    assert begun.where.startswith("/jobs/")
    with State.open(Home.open(home)) as state:
        job = Jobs(state).listed()[0]
    assert (job.kind, job.arguments, job.asked_by) == ("activate", {"crowd": gold, **fields}, "approver")
    assert "Nothing was asked for" in client("approver").get("/activations").text


def test_what_may_define_no_members_is_told_before_it_is_asked(own: tuple[Path, Clients]) -> None:
    _, client = own
    where = _draft(client("marketer"))
    fields = {**_fields("crm.orders", ("≥ 4",)), "name": "By orders", "days": "30"}
    made = client("marketer").post(f"{where}/save", fields).where.rpartition("/")[2]
    page = client("approver").get(f"/activations/{made}")
    assert "does not name crm.orders" in page.text and "Give the version" not in page.text


def test_pages_are_whole_in_chinese(client: Callable[..., Client], market: Path) -> None:
    gold = _code(market, "Gold members")
    of_one = ("", "/versions", "/portrait", "/spread")
    for path in ("/crowds", "/crowds/new", "/crowds/upload", "/crowds/combine", "/activations", f"/activations/{gold}",
                 *(f"/crowds/{gold}{each}" for each in of_one)):  # fmt: skip
        page = client("owner").get(path, language="zh")
        main = page.html.partition("<main")[2].partition("</main>")[0]
        assert page.status == 200 and re.search("[\u4e00-\u9fff]", main), path


def test_a_lookalike_shows_its_price_and_is_for_who_may_activate(own: tuple[Path, Clients]) -> None:
    home, client = own
    gold = _code(home, "Gold members")
    assert "ask an approver" in client("marketer").get(f"/crowds/{gold}/spread").text
    assert client("marketer").post(f"/crowds/{gold}/spread", {"count": "2000", "name": "x"}).status == 403
    assert "Price: ρ" in client("owner").get(f"/crowds/{gold}/spread").text
    fields = {"count": "2000", "name": "Like gold", "token": "a" * 32, "channels": ["coupon"]}
    assert client("owner").post(f"/crowds/{gold}/spread", fields).where.startswith("/jobs/")
    with State.open(Home.open(home)) as state:
        job = Jobs(state).listed()[0]
    assert (job.kind, job.arguments["seed"], job.arguments["count"]) == ("spread", gold, 2000)
