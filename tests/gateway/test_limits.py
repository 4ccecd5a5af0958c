"""Every rule of the API has its own sub_code; a refusal leaves nothing half-made; nothing that was sent comes back."""

import datetime as dt
import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom.crowds.lists import Lists
from cleanroom.crowds.store import Crowds
from cleanroom.errors import Busy, CleanroomError, Interrupted, Refused, Waiting
from cleanroom.gateway import codes, crowd_calls, risk_calls, translating, work_calls
from cleanroom.gateway.apps import Apps
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.methods import METHODS
from cleanroom.gateway.place import Place, Shelf
from cleanroom.gateway.requests import CrowdBatchQuery, CrowdQuery, ExportQuery, RiskUsers
from cleanroom.gateway.service import Service
from cleanroom.gateway.users import RiskUser
from cleanroom.node.log import Log
from cleanroom.plan.store import Plans
from tests.gateway.asking import Asker, K, M
from tests.gateway.world import World, hashed

NAME = {"crowd_name": "n"}
RULE = {"crowd_pool_list": [{"node_list": [{"node_code": "crm.level", "node_option_group": {
    "node_option_list": [{"option_value_list": ["gold"]}]}}]}]}  # fmt: skip
HASH = hashed("13900000000")


def user(kind: str = "SHA256_MOBILE", identity: str = HASH, **other: str) -> dict[str, str]:
    return {"encrypt_identity_id": identity, "encrypt_identity_type": kind, **other}


def pools(*nodes: dict[str, Any], **pool: Any) -> dict[str, Any]:
    return {"crowd_pool_list": [{"node_list": list(nodes), **pool}]}


def node(code: str, *values: str) -> dict[str, Any]:
    return {"node_code": code, "node_option_group": {"node_option_list": [{"option_value_list": list(values)}]}}


LIMITS: list[tuple[str, Any, str]] = [
    (M + "crowd.create", {}, "isv.missing-parameter"),
    (M + "crowd.create", {"crowd_name": "十五个字以内的人群名称不能更长了"}, "CROWD_NAME_TOO_LONG"),
    (M + "crowd.create", {"crowd_name": 1.5}, "isv.invalid-parameter"),
    (M + "crowd.create", {"crowd_name": "a\nb"}, "isv.invalid-parameter"),
    (M + "crowd.create", {**NAME, "other": 1}, "isv.unknown-parameter"),
    (M + "crowd.create", {**NAME, "crowd_desc": "d" * 201}, "CROWD_DESC_TOO_LONG"),
    (M + "crowd.create", {**NAME, "external_crowd_code": "d" * 65}, "EXTERNAL_CODE_TOO_LONG"),
    (M + "crowd.create", {**NAME, "hidden": "perhaps"}, "isv.invalid-parameter"),
    (M + "crowd.create", {**NAME, "apply_channel_list": ["tv"]}, "CHANNEL_UNKNOWN"),
    (M + "crowd.create", {**NAME, "apply_channel_list": ["coupon"] * 21}, "isv.list-too-long"),
    (M + "crowd.create", {**NAME, "user_list": [user()] * 1001}, "USER_LIST_TOO_LONG"),
    (M + "crowd.create", {**NAME, "user_list": [user("MD5_MOBILE")]}, "IDENTITY_TYPE_UNKNOWN"),
    (M + "crowd.create", {**NAME, "user_list": [user("MOBILE", "13900000000")]}, "IDENTITY_TYPE_UNKNOWN"),
    (M + "crowd.create", {**NAME, "user_list": [user(), user(identity="13900000000")]}, "IDENTITY_NOT_SHA256"),
    (M + "crowd.create", {**NAME, "user_list": [user(identity="a" * 32)]}, "IDENTITY_NOT_SHA256"),
    (M + "crowd.create", {**NAME, "user_list": [user("OPEN_ID", "o1")]}, "ALIPAY_APP_ID_REQUIRED"),
    (M + "crowd.create", {**NAME, "user_list": [user("OPEN_ID", "o1", alipay_app_id="a")]}, "IDENTITY_NOT_IN_ROOM"),
    (M + "crowd.create", {**NAME, "user_list": [user("SHA256_IDFA")]}, "IDENTITY_NOT_IN_ROOM"),
    (M + "crowd.create", {**NAME, "user_list": [user("SHA256_OAID")]}, "IDENTITY_NOT_IN_ROOM"),
    (M + "crowd.create", {**NAME, "user_list": [user(), user("SHA256_OAID")]}, "IDENTITY_TYPES_MIXED"),
    (M + "crowd.create", {**NAME, "user_list": [user(identity="x" * 257)]}, "isv.text-too-long"),
    (M + "crowduser.add", {"crowd_code": "C0000000000000000", "user_list": []}, "USER_LIST_EMPTY"),
    (M + "crowduser.add", {"crowd_code": "C0000000000000000", "user_list": [user()]}, "CROWD_NOT_FOUND"),
    (M + "crowduser.delete", {"crowd_code": "../../keys", "user_list": [user()]}, "CROWD_NOT_FOUND"),
    (M + "crowd.modify", {"crowd_code": "C0000000000000000"}, "isv.missing-parameter"),
    (M + "crowd.modify", {"crowd_code": "C0000000000000000", **NAME}, "CROWD_NOT_FOUND"),
    (M + "crowd.query", {}, "CROWD_CODE_REQUIRED"),
    (M + "crowd.query", {"external_crowd_code": "nobody's"}, "CROWD_NOT_FOUND"),
    (M + "crowd.batchquery", {"page_number": 0}, "PAGE_NUMBER_OUT_OF_RANGE"),
    (M + "crowd.batchquery", {"page_size": 101}, "PAGE_SIZE_OUT_OF_RANGE"),
    (M + "crowdpool.create", {**NAME, "operation_type": "UNION"}, "POOL_LIST_EMPTY"),
    (M + "crowdpool.create", {**NAME, "operation_type": "UNION", "crowd_code_list": ["C1"]}, "POOL_CROWDS_TOO_FEW"),
    (M + "crowdpool.create", {**NAME, "operation_type": "XOR", "crowd_code_list": ["C1", "C2"]}, "OPERATION_UNKNOWN"),
    (M + "crowdpool.create", {**NAME, "operation_type": "UNION", "crowd_code_list": ["C1", "C2"]}, "CROWD_NOT_FOUND"),
    (M + "crowd.spread", {**NAME, "seed_crowd_code": "C1", "spread_count": 999}, "SPREAD_COUNT_OUT_OF_RANGE"),
    (M + "crowd.spread", {**NAME, "seed_crowd_code": "C1", "spread_count": 1000}, "CROWD_NOT_FOUND"),
    (M + "crowdexport.create", {"crowd_code": "C1", "export_channel_type": "tv", "out_biz_no": "1"}, "CHANNEL_UNKNOWN"),
    (M + "crowdexport.create", {"crowd_code": "C1", "export_channel_type": "live", "out_biz_no": "1"},
     "CROWD_NOT_FOUND"),
    (M + "crowdexport.query", {"out_biz_no": "none"}, "TASK_NOT_FOUND"),
    (M + "crowdwithturingtag.query", {}, "POOL_LIST_EMPTY"),
    (M + "crowdwithturingtag.query", pools(), "POOL_EMPTY"),
    (M + "crowdwithturingtag.query", pools(node("crm.level")), "TAG_OPTION_MISSING"),
    (M + "crowdwithturingtag.query", pools(node("crm.none", "x")), "TAG_UNKNOWN"),
    (M + "crowdwithturingtag.query", pools(node("crm.level", "platinum")), "TAG_OPTION_UNKNOWN"),
    (M + "crowdwithturingtag.query", pools(node("crm.level", "' OR 1=1 --")), "TAG_OPTION_UNKNOWN"),
    (M + "crowdwithturingtag.query", pools(node("users.mini_program", "yes", "no")), "TAG_ONE_OPTION"),
    (M + "crowdwithturingtag.query", pools(node("users.visits", "25", "40")), "TAG_RANGE_INVALID"),
    (M + "crowdwithturingtag.query", pools(node("users.visits", "40", "20")), "TAG_RANGE_INVALID"),
    (M + "crowdwithturingtag.query", pools(node("crm.level", "gold"), node("crm.level", "basic"),
                                           in_operation_type="INTERSECTION"), "RULE_MEANS_NOBODY"),
    (M + "crowdwithturingtag.query", pools(node("C1"), crowd_pool_type="CROWD"), "CROWD_NOT_FOUND"),
    (M + "crowdwithturingtag.query", pools(node("crm.level", "gold"), in_operation_type="DIFFERENCE"),
     "OPERATION_UNKNOWN"),
    (M + "crowdwithturingtag.create", {**RULE, **NAME, "crowd_id": "C1"}, "CROWD_RULE_FIXED"),
    (M + "insight.query", {"report_date": "2026-11-01"}, "REPORT_DATE_INVALID"),
    (M + "insight.query", {"report_date": "20261301"}, "REPORT_DATE_INVALID"),
    (M + "insight.query", {"report_date": "29991231"}, "REPORT_DATE_IN_FUTURE"),
    (M + "insight.query", {"report_date": "20200101"}, "REPORT_NOT_READY"),
    (M + "insight.query", {"portr_type_list": ["shoe_size"]}, "PORTRAIT_UNKNOWN"),
    (M + "insight.query", {"relation_type": "FRIEND"}, "RELATION_UNKNOWN"),
    (M + "insightcity.query", {"crowd_id": "C1"}, "CROWD_NOT_FOUND"),
    (M + "commoninsight.query", {"scene_code": "X"}, "SCENE_UNKNOWN"),
    (M + "commoninsight.query", {"scene_code": "CROWD"}, "isv.missing-parameter"),
    (M + "commoninsight.query", {"scene_code": "CROWD", "param_list": [{"key": "k", "value": "v"}]}, "PARAM_UNKNOWN"),
    (M + "greyblackcrowd.create", {**NAME, "tags": "BAD"}, "RISK_TAG_UNKNOWN"),
    (M + "greyblackcrowd.create", {**NAME, "user_list": [{"trade_no": "1"}]}, "RISK_IDENTITY_MISSING"),
    (M + "greyblackcrowd.create", {**NAME, "user_list": [{"encrypt_mobile_id": HASH, "encrypt_type": "MD5"}]},
     "ENCRYPT_TYPE_UNKNOWN"),
    (M + "greyblackcrowd.create", {**NAME, "user_list": [{"encrypt_mobile_id": HASH, "storage_time": "soon"}]},
     "RISK_TIME_INVALID"),
    (M + "greyblackcrowduser.add", {"crowd_code": "L1", "user_list": [{"encrypt_mobile_id": HASH}]}, "CROWD_NOT_FOUND"),
    (K + "tag.query", {"tag_code": "none"}, "TAG_UNKNOWN"),
    (K + "crowdwithtag.query", {"select_tag_list": [{"select_tag_values": []}]}, "POOL_EMPTY"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "content", "sub_code"), LIMITS)
def test_every_limit_has_its_sub_code_and_makes_nothing(
    world: World, asker: Asker, method: str, content: Any, sub_code: str
) -> None:
    before = Crowds(world.merchant).entries()
    answer = asker(method, content)
    assert answer["sub_code"] == sub_code
    assert answer["code"] == codes.SUB_CODES[sub_code].code
    assert Crowds(world.merchant).entries() == before


def test_faults_name_the_place_in_a_list(asker: Asker) -> None:
    risky = [{"encrypt_mobile_id": HASH}, {"encrypt_mobile_id": HASH, "encrypt_type": "MD5"}]
    assert "(user 2)" in asker(M + "greyblackcrowd.create", {**NAME, "user_list": risky})["sub_msg"]
    listed = [user()] * 3 + [user("MD5")]
    assert "(user 4)" in asker(M + "crowd.create", {**NAME, "user_list": listed})["sub_msg"]


def test_the_same_external_code_is_the_same_crowd_or_a_conflict(world: World, asker: Asker) -> None:
    content = {**NAME, "external_crowd_code": "mine", "user_list": world.users(0, 5)}
    code = asker(M + "crowd.create", content)["crowd_code"]
    backwards = {**content, "user_list": world.users(0, 5)[::-1]}
    assert asker(M + "crowd.create", backwards)["crowd_code"] == code
    for other in ({"crowd_name": "m"}, {"user_list": world.users(0, 6)}, {"hidden": True}):
        assert asker(M + "crowd.create", {**content, **other})["sub_code"] == "EXTERNAL_CODE_CONFLICT"
    risky = {**NAME, "external_crowd_code": "risk", "user_list": [{"encrypt_mobile_id": HASH}]}
    list_code = asker(M + "greyblackcrowd.create", risky)["crowd_code"]
    assert asker(M + "greyblackcrowd.create", risky)["crowd_code"] == list_code
    assert asker(M + "greyblackcrowd.create", {**risky, "tags": "OTHER"})["sub_code"] == "EXTERNAL_CODE_CONFLICT"


def test_lists_rules_and_risk_lists_are_not_mistaken_for_each_other(world: World, asker: Asker) -> None:
    rule = asker(M + "crowdwithturingtag.create", {**RULE, **NAME})["crowd_id"]
    upload = asker(M + "crowd.create", {**NAME, "user_list": world.users(0, 5)})["crowd_code"]
    own = Crowds(world.merchant).get(upload).lists[0]
    assert asker(M + "crowduser.add", {"crowd_code": rule, "user_list": [user()]})["sub_code"] == "CROWD_NOT_A_LIST"
    risky = {"crowd_code": upload, "user_list": [{"encrypt_mobile_id": HASH}]}
    assert asker(M + "greyblackcrowduser.add", {**risky, "crowd_code": own})["sub_code"] == "CROWD_NOT_FOUND"
    assert asker(M + "greyblackcrowduser.add", risky)["sub_code"] == "CROWD_NOT_A_RISK_LIST"
    assert asker(M + "insight.query", {"crowd_id": upload})["sub_code"] == "CROWD_NOT_IN_PLAN"
    assert asker(M + "crowd.query", {"crowd_code": upload, "external_crowd_code": "x"})["sub_code"] == "CROWD_NOT_FOUND"


def test_an_app_sees_and_changes_nothing_of_another_rooms_apps(world: World, asker: Asker) -> None:
    """Crowds and risk lists by their codes, external codes, exports: as if there were none."""
    risky = {**NAME, "external_crowd_code": "shared", "user_list": [{"encrypt_mobile_id": HASH}]}
    listed = asker(M + "greyblackcrowd.create", risky)["crowd_code"]
    crowd = asker(M + "crowd.create", {**NAME, "external_crowd_code": "ours", "user_list": world.users(0, 5)})
    before = Lists(world.merchant).digests(listed)
    place = Place(world.merchant, replace(world.app, app_id="2021000000000009", room="another"), Shelf(world.merchant))
    users = (RiskUser.read({"encrypt_mobile_id": HASH}),)
    for call in (risk_calls.add, risk_calls.delete):
        for code in (listed, Crowds(world.merchant).get(crowd["crowd_code"]).lists[0], "L0"):
            with pytest.raises(Fault) as told:
                call(place, RiskUsers(code, users))
            assert told.value.sub_code == "CROWD_NOT_FOUND"
    for query in (CrowdQuery(crowd["crowd_code"], ""), CrowdQuery("", "ours")):
        with pytest.raises(Fault) as told:
            crowd_calls.query(place, query)
        assert told.value.sub_code == "CROWD_NOT_FOUND"
    assert crowd_calls.batch_query(place, CrowdBatchQuery("", 1, 10)) == {"crowd_list": [], "total_number": 0}
    with pytest.raises(Fault):
        work_calls.export_query(place, ExportQuery("few"))
    assert np.array_equal(Lists(world.merchant).digests(listed), before)
    own = {"crowd_code": listed, "user_list": risky["user_list"]}
    assert asker(M + "greyblackcrowduser.add", own)["code"] == "10000"


def test_an_export_keeps_to_channels_numbers_and_the_floor(world: World, asker: Asker) -> None:
    few = asker(M + "crowdwithturingtag.create", {
        **NAME, **pools(node("crm.level", "basic"), node("users.stage", "none"), node("users.city", "Nanjing"),
                        in_operation_type="INTERSECTION"), "apply_channel_list": ["coupon"]})["crowd_id"]  # fmt: skip
    export = {"crowd_code": few, "export_channel_type": "message", "out_biz_no": "few"}
    assert asker(M + "crowdexport.create", export)["sub_code"] == "CHANNEL_NOT_ALLOWED"
    export["export_channel_type"] = "coupon"
    task = asker(M + "crowdexport.create", export)["task_no"]
    assert asker(M + "crowdexport.create", export) == {"code": "10000", "msg": "Success", "task_no": task}
    other = {**export, "crowd_code": asker(M + "crowdwithturingtag.create", {**RULE, **NAME})["crowd_id"]}
    assert asker(M + "crowdexport.create", other)["sub_code"] == "OUT_BIZ_NO_CONFLICT"
    for _ in range(600):
        told = asker(M + "crowdexport.query", {"out_biz_no": "few"})
        if told["task_status"] != "PROCESSING":
            break
        time.sleep(0.1)
    data = told["crowd_export_data"]
    assert (told["task_status"], data["user_count"]) == ("FAIL", "<1000")
    assert data["biz_msg"] == codes.SUB_CODES["CROWD_BELOW_FLOOR"].en


def test_an_export_that_a_restart_cut_off_is_taken_up_again(world: World, asker: Asker) -> None:
    code = asker(M + "crowdwithturingtag.create", {**RULE, **NAME, "apply_channel_list": ["coupon"]})["crowd_id"]
    memory = work_calls.Memory(world.merchant)
    memory.put_export(work_calls.Export("E1", "cut", world.app.app_id, code, "coupon", world.app.purpose, "PROCESSING",
                                        "2026-11-22T00:00:00+00:00"))  # fmt: skip
    with Service(world.merchant, Log(io.StringIO())):
        pass
    ended = memory.export(world.app.app_id, "cut")
    assert ended is not None
    assert (ended.status, ended.size) == ("SUCCESS", "1000-1999")


def test_an_app_is_held_to_its_merchant_and_its_room(world: World, asker: Asker) -> None:
    common = {"scene_code": "PRIVATE_DOMAIN", "owner_pid": "2088"}
    assert asker(M + "commoninsight.query", common)["code"] == "10000"
    app, private = Apps(world.merchant).add(world.room.contract, pid="2088000000000000")
    mine = Asker(_as(world, app, private), asker.service)
    assert mine(M + "commoninsight.query", common)["sub_code"] == "OWNER_PID_OTHER"
    assert mine(M + "crowdexport.query", {"out_biz_no": "few"})["sub_code"] == "TASK_NOT_FOUND"


def _as(world: World, app: Any, private: str) -> World:
    return World(world.homes, world.room, world.members, world.level, app, private)


def test_errors_of_the_product_become_answers() -> None:
    for error, sub_code in [
        (Waiting("x"), "WAITS_FOR_APPROVAL"), (Busy("x"), "isp.busy"), (Interrupted("x"), "isp.peer-unavailable"),
        (Refused("The budget of {name} is spent.", name="n"), "BUDGET_SPENT"), (Refused("x"), "ROOM_REFUSES"),
        (CleanroomError("Our mistake."), "isp.unknow-error"),
    ]:  # fmt: skip
        assert translating.fault_of(error).sub_code == sub_code


def test_the_errors_that_have_sub_codes_are_still_raised() -> None:
    folder = Path(codes.__file__).parents[1]
    source = "".join(path.read_text("utf-8") for path in folder.rglob("*.py") if path.name != "translating.py")
    assert [text for text in translating.BY_TEXT if f'"{text}"' not in source] == []
    assert set(translating.BY_TEXT.values()) <= codes.SUB_CODES.keys()


def test_every_sub_code_has_both_texts_with_the_same_names() -> None:
    import string

    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for name, sub in codes.SUB_CODES.items():
        assert names(sub.en) == names(sub.zh), name
        assert sub.code in codes.MESSAGES
        assert any("一" <= sign <= "鿿" for sign in sub.zh), name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["UNION", "coupon", HASH, "20261101", "CANARY-7f3a", "gold", "crm.level"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FIELDS = sorted({name for _, content, _ in LIMITS for name in content} | {
    "select_tag_list", "node_code_list", "spread_count", "is_include_seed", "tag_code", "operation_type", "owner_pid",
})  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(method=st.sampled_from(sorted(METHODS)), base=st.sampled_from([content for _, content, _ in LIMITS]),
       other=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))  # fmt: skip
def test_no_content_breaks_the_gateway_or_comes_back(
    world: World, method: str, base: dict[str, Any], other: dict[str, Any], asker: Asker
) -> None:
    if method.endswith(("crowd.spread", "crowdexport.create", "crowdwithturingtag.query", "crowdwithtag.query")):
        base = {}  # what is well-formed there runs the parties, which is not what is looked at here
    lines = io.StringIO()
    asker.service._log = Log(lines)
    answer = asker.raw(method, {**base, **other})
    found = json.loads(answer)
    told = next(value for name, value in found.items() if name != "sign")
    assert told["code"] in codes.MESSAGES
    assert told.get("sub_code") != "isp.unknow-error", told
    assert "CANARY" not in lines.getvalue()
    if told["code"] != codes.SUCCESS:
        assert b"CANARY" not in answer
    assert HASH.encode() not in answer
    assert HASH not in lines.getvalue()


def test_report_dates_are_of_chinas_yesterday(world: World, asker: Asker) -> None:
    zone = dt.timezone(dt.timedelta(hours=8))
    today = dt.datetime.now(zone).date()
    told = asker(M + "insight.query", {"portr_type_list": ["city"]})["portrait_data_list"][0]["report_date"]
    cube = Plans(world.merchant).latest(world.room.contract.room)
    assert cube is not None
    assert told == f"{cube.made.astimezone(zone).date() - dt.timedelta(days=1):%Y%m%d}"
    assert asker(M + "insight.query", {"report_date": today.strftime("%Y%m%d")})["sub_code"] == "REPORT_DATE_IN_FUTURE"
