"""搜索推广, search promotion: users of the mini-program by the levels of the CRM, less recent payers and a
black list, reached where they search; visits and payments of the days after, and attribution, which is no lift.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from cleanroom.campaigns.campaign import Terms
from cleanroom.crowds import desk, uploading
from cleanroom.crowds.rule import Pool, Rule, Tags
from cleanroom.demo import people as made_up
from cleanroom.demo import scene_campaign as campaign
from cleanroom.demo import scene_stage, scene_world
from cleanroom.demo.effects import EFFECTS
from cleanroom.demo.market import PURPOSE, ROOM
from cleanroom.demo.scene_stage import DAYS, Facts, Stage
from cleanroom.files import write_bytes

EFFECT = replace(EFFECTS["search"], base=0.1, lift=0.16, reach=0.95, answers=0.5, log_cents=10.2)
SEARCHERS = "users.mini_program = 'yes'"
LEVELS = "crm.level IN ('普卡', '银卡', '金卡')"
RECENT = "users.paid_last IN ('1 day', '2-7 days')"
BLACK = 0.02
"""Of the members, who asked to be left alone."""
MESSAGES = 1
"""To one person in seven days, as the platform says."""
MEDIA, MARGIN = 1_000, 400
"""Of reaching a person, in cents; of revenue, in thousandths."""


def told(stage: Stage) -> Facts:
    """Everything, from the import to the measured result."""
    facts: Facts = {"opening": scene_stage.opening(stage), "overview": scene_stage.overview(stage)}
    stage.step("keeping a black list")
    digests, funnel = uploading.digests_of(stage.merchant, ROOM, str(_black_list(stage)))
    desk.risk(stage.merchant, "asked to be left alone", digests, black=True)
    write_bytes(stage.platform / "activation.toml", f"messages = {MESSAGES}\ndays = 7\n".encode())
    facts["exclusions"] = {"where": RECENT, "rows": funnel["rows"], "people": len(digests), "messages": MESSAGES}
    rule = Rule((Pool((Tags(SEARCHERS),)), Pool((Tags(LEVELS),), join="intersection"),
                 Pool((Tags(RECENT),), join="difference")))  # fmt: skip
    channels = ("search-direct", "commercial-promotion")
    code, facts["crowd"] = campaign.crowd(stage, "searchers", rule, channels)
    terms = Terms("search", ROOM, code, "search-direct", PURPOSE, DAYS, campaign.HELD_OUT, clamp=100_000)
    facts["trial"] = campaign.trial(stage, terms, EFFECT, max(1_000, facts["crowd"]["size"]["low"]))
    file, facts["activation"] = campaign.given(stage, terms, other_channel="commercial-promotion")
    facts["reactions"], _, _ = campaign.lived(stage, terms, EFFECT, file, at_once=True)
    facts["measured"] = campaign.measured(
        stage, terms, {"media": MEDIA * facts["activation"]["sent"], "margin": MARGIN}, touches=True
    )
    facts["visits"] = scene_world.visitors(stage, terms)
    facts["after"] = campaign.afterwards(stage, terms, facts["overview"])
    return facts


def _black_list(stage: Stage) -> Path:
    """Some of the members, a CSV."""
    import pyarrow.csv as csv

    members = np.arange(stage.members, dtype=np.int64)
    chosen = members[made_up.random("scene-black").random(len(members)) < BLACK]
    file = stage.folder_of("merchant") / "left-alone.csv"
    csv.write_csv(pa.table({"phone": made_up.phones(chosen)}), file)
    return file
