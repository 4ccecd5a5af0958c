"""商品交易, goods trade: from the weakest value of C-CARE to a coupon for old customers, and what it changed."""

from dataclasses import replace

from cleanroom.activation import desk as activation
from cleanroom.activation.coupons import Batch
from cleanroom.campaigns import playbooks
from cleanroom.campaigns.campaign import Terms
from cleanroom.crowds import desk
from cleanroom.crowds.rule import simple
from cleanroom.demo import scene_campaign as campaign
from cleanroom.demo import scene_stage
from cleanroom.demo.effects import EFFECTS
from cleanroom.demo.market import PURPOSE, ROOM
from cleanroom.demo.scene_stage import DAYS, Facts, Stage

EFFECT = replace(EFFECTS["goods"], base=0.08, lift=0.18, reach=0.9, answers=0.45, log_cents=10.4)
"""Far more than a coupon does, so that a thousand people can show it."""
WHERE = "users.paid_last IN ('8-30 days', '31-90 days', '91+ days') AND crm.level IN ('普卡', '银卡', '金卡')"
COUPON = "SCENE20"
FACE_VALUE, MEDIA, MARGIN = 2_000, 500, 400
"""Of a coupon; of reaching a person, in cents; of revenue, in thousandths."""


def told(stage: Stage) -> Facts:
    """Everything, from the import to the measured result."""
    facts: Facts = {"opening": scene_stage.opening(stage), "overview": scene_stage.overview(stage)}
    stage.step("looking at the playbook")
    book = playbooks.shown(stage.merchant, ROOM, facts["overview"]["playbook"] or "repurchase")
    small = desk.estimate(stage.merchant, ROOM, simple(book["where"]), meeting=stage.meeting)
    facts["playbook"] = {"name": book["name"], "where": book["where"], "size": campaign.size(small)}
    code, facts["crowd"] = campaign.crowd(stage, "old customers", simple(WHERE), ("coupon",))
    terms = Terms("repurchase", ROOM, code, "coupon", PURPOSE, DAYS, campaign.HELD_OUT, clamp=100_000)
    facts["trial"] = campaign.trial(stage, terms, EFFECT, max(1_000, facts["crowd"]["size"]["low"]))
    batch = Batch(COUPON, "20 off 100", code, FACE_VALUE, 10_000, (), (), "", stage.first.isoformat(),
                  stage.last.isoformat(), 100_000)  # fmt: skip
    for home in (stage.merchant, stage.platform):
        activation.created(home, batch)
    file, facts["activation"] = campaign.given(stage, terms)
    facts["reactions"], events, _ = campaign.lived(stage, terms, EFFECT, file, coupon=COUPON)
    figures = activation.coupon(stage.platform, COUPON, str(events), stage.last.isoformat())["figures"]
    facts["coupon"] = {"code": COUPON, "face_value": FACE_VALUE, **figures}
    costs = {
        "media": MEDIA * facts["activation"]["sent"],
        "coupons": FACE_VALUE * figures["redeemed"],
        "margin": MARGIN,
    }
    facts["measured"] = campaign.measured(stage, terms, costs)
    facts["after"] = campaign.afterwards(stage, terms, facts["overview"])
    return facts
