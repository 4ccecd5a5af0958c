"""The 24 methods: how the content of each is read, what carries it out, whether it changes anything."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cleanroom.gateway import crowd_calls, insight_calls, pools, requests, risk_calls, tag_calls, work_calls
from cleanroom.gateway.fields import Fields
from cleanroom.gateway.place import Place
from cleanroom.gateway.work_calls import Work

Content = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """parse: of the fields and yesterday's date; handle: at its place; changes: whether a repeat is refused."""

    parse: Callable[[Fields, dt.date], Any]
    handle: Callable[[Place, Any, Work], Content]
    changes: bool


def _reads(parse: Callable[[Fields, dt.date], Any], handle: Callable[[Place, Any], Content]) -> Method:
    return Method(parse, lambda place, request, _: handle(place, request), changes=False)


def _changes(parse: Callable[[Fields, dt.date], Any], handle: Callable[[Place, Any], Content]) -> Method:
    return Method(parse, lambda place, request, _: handle(place, request), changes=True)


def _runs(parse: Callable[[Fields, dt.date], Any], handle: Callable[[Place, Any, Work], Content]) -> Method:
    return Method(parse, handle, changes=True)


_MERCHANT, _MARKETING = "alipay.merchant.qipan.", "alipay.marketing.qipan."
METHODS: dict[str, Method] = {
    _MERCHANT + "crowd.create": _changes(requests.CrowdCreate.parse, crowd_calls.create),
    _MERCHANT + "crowduser.add": _changes(requests.CrowdUsers.parse, crowd_calls.add),
    _MERCHANT + "crowduser.delete": _changes(requests.CrowdUsers.parse, crowd_calls.delete),
    _MERCHANT + "crowd.modify": _changes(requests.CrowdModify.parse, crowd_calls.modify),
    _MERCHANT + "crowd.query": _reads(requests.CrowdQuery.parse, crowd_calls.query),
    _MERCHANT + "crowd.batchquery": _reads(requests.CrowdBatchQuery.parse, crowd_calls.batch_query),
    _MERCHANT + "crowdpool.create": _changes(requests.CrowdPool.parse, crowd_calls.pool),
    _MERCHANT + "crowd.spread": _runs(requests.CrowdSpread.parse, work_calls.spread),
    _MERCHANT + "crowdexport.create": _runs(requests.ExportCreate.parse, work_calls.export),
    _MERCHANT + "crowdexport.query": _reads(requests.ExportQuery.parse, work_calls.export_query),
    _MERCHANT + "turingtag.query": _reads(requests.NodeQuery.parse, tag_calls.nodes),
    _MERCHANT + "crowdwithturingtag.query": _reads(pools.Described.parse, crowd_calls.described),
    _MERCHANT + "crowdwithturingtag.create": _changes(pools.Described.create, crowd_calls.describe),
    _MERCHANT + "insight.query": _reads(requests.InsightQuery.parse, insight_calls.query),
    _MERCHANT + "insightcity.query": _reads(requests.InsightQuery.city, insight_calls.city_query),
    _MERCHANT + "commoninsight.query": _reads(requests.CommonInsight.parse, insight_calls.common),
    _MERCHANT + "greyblackcrowd.create": _changes(requests.RiskCreate.parse, risk_calls.create),
    _MERCHANT + "greyblackcrowduser.add": _changes(requests.RiskUsers.parse, risk_calls.add),
    _MERCHANT + "greyblackcrowduser.delete": _changes(requests.RiskUsers.parse, risk_calls.delete),
    _MARKETING + "tagbase.batchquery": _reads(requests.Nothing.parse, tag_calls.base),
    _MARKETING + "tag.query": _reads(requests.TagQuery.parse, tag_calls.one),
    _MARKETING + "crowdtag.query": _reads(requests.Nothing.parse, tag_calls.selectable),
    _MARKETING + "crowdwithtag.query": _reads(pools.Described.selected, crowd_calls.described),
    _MARKETING + "crowdwithtag.create": _changes(pools.Described.select, crowd_calls.describe),
}
