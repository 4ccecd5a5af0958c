"""The published SDK, unmodified, through all 24 methods over HTTP."""

import importlib
import time
from typing import Any

import pytest

from cleanroom.activation import memberships
from cleanroom.gateway.methods import METHODS
from cleanroom.gateway.server import Server
from tests.gateway.world import ROOM, World, hashed


class Sdk:
    """The SDK as a merchant's code uses it: a model filled, a request executed, a response parsed."""

    def __init__(self, world: World, server: Server) -> None:
        config = importlib.import_module("alipay.aop.api.AlipayClientConfig").AlipayClientConfig()
        config.server_url, config.app_id = server.url, world.app.app_id
        config.app_private_key, config.alipay_public_key = world.private_key, world.gateway_key
        self._client = importlib.import_module("alipay.aop.api.DefaultAlipayClient").DefaultAlipayClient(config)
        self.called: set[str] = set()

    def __call__(self, method: str, **fields: Any) -> Any:
        self.called.add(method)
        name = "".join(part.capitalize() for part in method.split("."))
        api = "alipay.aop.api"
        request = getattr(importlib.import_module(f"{api}.request.{name}Request"), f"{name}Request")()
        if fields:
            model = getattr(importlib.import_module(f"{api}.domain.{name}Model"), f"{name}Model")()
            for field, value in fields.items():
                setattr(model, field, value)
            request.biz_model = model
        response = getattr(importlib.import_module(f"{api}.response.{name}Response"), f"{name}Response")()
        response.parse_response_content(self._client.execute(request))
        return response


@pytest.fixture(scope="module")
def sdk(world: World, server: Server, china: None) -> Sdk:
    if server.port != 80:
        pytest.skip("the SDK reaches port 80 alone, which this user may not bind")
    return Sdk(world, server)


M, K = "alipay.merchant.qipan.", "alipay.marketing.qipan."


def well(response: Any) -> Any:
    assert response.is_success(), (response.sub_code, response.sub_msg)
    assert response.code == "10000"
    return response


def node(code: str, *values: str) -> dict[str, Any]:
    return {"node_code": code, "node_option_group": {"code": code, "node_option_list": [
        {"code": code, "option_value_list": list(values)}]}}  # fmt: skip


def test_all_24_methods(sdk: Sdk, world: World) -> None:
    # lists: created, added to, deleted from, changed, found
    made = {"crowd_name": "老客召回", "crowd_desc": "九十天未到店", "external_crowd_code": "crm-1",
            "apply_channel_list": ["COUPON"], "hidden": False, "user_list": world.users(0, 1000)}  # fmt: skip
    code = well(sdk(M + "crowd.create", **made)).crowd_code
    well(sdk(M + "crowduser.add", crowd_code=code, user_list=world.users(1000, 1000)))
    well(sdk(M + "crowduser.delete", crowd_code=code, user_list=world.users(0, 100)))
    well(sdk(M + "crowd.modify", crowd_code=code, crowd_name="召回二期", apply_channel_list=["COUPON", "MESSAGE"]))
    info = well(sdk(M + "crowd.query", external_crowd_code="crm-1")).crowd_info
    assert (info.crowd_code, info.crowd_name, info.status) == (code, "召回二期", "NEW")
    assert (info.apply_channel_list, info.processable, info.crowd_size) == (["coupon", "message"], True, "")

    # tags
    nodes = well(sdk(M + "turingtag.query", node_code_list=["users.visits"])).node_list
    assert [each.node_type for each in nodes] == ["NUMBER_RANGE_VALUE"]
    tags = well(sdk(K + "tagbase.batchquery")).operation_tag_list
    assert {"crm.level", "users.city", "users.mini_program"} <= {each.tag_code for each in tags}
    tag = well(sdk(K + "tag.query", tag_code="users.mini_program")).operation_tag
    assert tag.operation_option_list[0].option_data_type == "SINGLE_SELECT"
    chosen = well(sdk(K + "crowdtag.query")).select_tag_list
    assert {each.tag_id for each in chosen} == {each.tag_code for each in tags}

    # crowds by rule
    pools = [
        {"crowd_pool_type": "TAG", "in_operation_type": "INTERSECTION", "out_operation_type": "UNION",
         "node_list": [node("crm.level", "gold", "basic"), node("users.mini_program", "yes")]},
        {"crowd_pool_type": "TAG", "in_operation_type": "UNION", "out_operation_type": "DIFFERENCE",
         "node_list": [node("users.visits", "", "20")]},
    ]  # fmt: skip
    assert well(sdk(M + "crowdwithturingtag.query", crowd_pool_list=pools)).count_range == "1000-1999"
    rule = well(sdk(M + "crowdwithturingtag.create", crowd_pool_list=pools, crowd_name="高频会员",
                    apply_channel_list=["COUPON", "MESSAGE"])).crowd_id  # fmt: skip
    select = [{"select_tag_values": [{"tag_id": "users.stage", "values": "visit,pay"}]}]
    counted = well(sdk(K + "crowdwithtag.query", select_tag_list=select))
    assert (counted.count_range, counted.count) == ("2000-4999", None)
    staged = well(sdk(K + "crowdwithtag.create", select_tag_list=select, crowd_name="到店", hidden=False)).crowd_id
    both = well(sdk(M + "crowdpool.create", crowd_name="合并", crowd_code_list=[rule, staged],
                    operation_type="INTERSECTION", apply_channel_list=["COUPON"])).crowd_code  # fmt: skip
    page = well(sdk(M + "crowd.batchquery", page_number=1, page_size=2))
    assert page.total_number >= 4
    assert [each.crowd_code for each in page.crowd_list] == [both, staged]

    # insight
    portraits = well(sdk(M + "insight.query", crowd_id=staged, portr_type_list=["city", "stage"],
                         relation_type="MINI_PROGRAM")).portrait_data_list  # fmt: skip
    assert [each.portrait_key for each in portraits] == ["city", "stage"]
    assert {each.value for each in portraits[1].data_list} == {"visit", "pay"}
    places = well(sdk(M + "insightcity.query", crowd_id=staged))
    assert [(each.portrait_value, each.area_code) for each in places.data_list] == [
        ("浙江", "330000"),
        ("江苏", "320000"),
    ]
    assert {each.portrait_value for each in places.data_list[0].city_list} == {"Hangzhou", "Ningbo"}
    common = well(sdk(M + "commoninsight.query", scene_code="CROWD",
                      param_list=[{"key": "crowd_id", "value": staged}])).portraits_data_tgi  # fmt: skip
    assert {"stage: visit", "stage: pay"} <= set(common.top_tgi_tags.tgi_name_list)

    # risk lists
    risky = [{"encrypt_mobile_id": hashed(phone), "encrypt_type": "SHA256", "user_tags": "OTHER",
              "storage_time": "2026-11-01 00:00:00", "trade_no": "T1"} for phone in world.members[:50]]  # fmt: skip
    risk = well(sdk(M + "greyblackcrowd.create", crowd_name="灰名单", tags="OTHER", external_crowd_code="risk-1",
                    user_list=risky)).crowd_code  # fmt: skip
    well(sdk(M + "greyblackcrowduser.add", crowd_code=risk, user_list=risky[:10]))
    well(sdk(M + "greyblackcrowduser.delete", crowd_code=risk, user_list=risky[:10]))

    # an export: members to the platform, a range to the merchant
    task = well(sdk(M + "crowdexport.create", crowd_code=rule, export_channel_type="COUPON", out_biz_no="no-1")).task_no
    told = _ended(sdk, "no-1")
    assert (told.task_no, told.task_status, told.crowd_code) == (task, "SUCCESS", rule)
    assert (told.crowd_export_data.user_count, told.crowd_export_data.oss_path) == ("1000-1999", "")
    given = memberships.load(world.homes["platform"], ROOM, rule, told.crowd_export_data.biz_date)
    assert 1000 <= len(given.rows) < 2000

    # a lookalike
    alike = sdk(M + "crowd.spread", crowd_name="扩量", seed_crowd_code=staged, spread_count=2000, is_include_seed=True,
                apply_channel_list=["COUPON"])  # fmt: skip
    assert well(alike).crowd_code.startswith("C")
    assert sdk.called == METHODS.keys()


def test_a_refusal_is_signed_and_says_why_in_words(sdk: Sdk) -> None:
    refused = sdk(M + "crowd.query", crowd_code="C0000000000000000")
    assert (refused.is_success(), refused.code, refused.sub_code) == (False, "40004", "CROWD_NOT_FOUND")
    assert refused.sub_msg == "There is no such crowd."


def _ended(sdk: Sdk, number: str) -> Any:
    for _ in range(600):
        told = well(sdk(M + "crowdexport.query", out_biz_no=number))
        if told.task_status != "PROCESSING":
            return told
        time.sleep(0.1)
    raise AssertionError("the export does not end")
