"""线索留资, lead capture: people like those whose lead became an order, messaged where they subscribed.

The seed is a list of the merchant's CRM; the platform ranks its own users by it. Before the scene's campaign the
made-up platform ran a drive for subscriptions, or a message would reach a tenth of them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cleanroom import datasets, querying
from cleanroom.campaigns import slots
from cleanroom.campaigns.campaign import Terms
from cleanroom.crowds import desk, lookalike_asking, uploading
from cleanroom.crowds.lookalike_gain import Tenth
from cleanroom.crowds.lookalike_store import Lookalikes
from cleanroom.crowds.rule import simple
from cleanroom.demo import people as made_up
from cleanroom.demo import scene_campaign as campaign
from cleanroom.demo import scene_stage
from cleanroom.demo.domain import EVENT_SCHEMA
from cleanroom.demo.effects import EFFECTS
from cleanroom.demo.market import CAMPAIGNS, PURPOSE, ROOM, USERS
from cleanroom.demo.scene_stage import DAYS, Facts, Stage
from cleanroom.home import Home
from connectors.arrays import as_flags

EFFECT = replace(EFFECTS["leads"], base=0.05, lift=0.2, reach=0.95, answers=0.5, log_cents=10.6,
                 events=("message.delivered", "lead.submitted", "lead.valid"), slot="")  # fmt: skip
WIDE = "users.stage_30d IN ('interact', 'pay') AND users.lead = 'no'"
SUBSCRIBED, SHARE = 0.85, 0.45
"""Of the users, by the drive; of the users, in the lookalike."""
LIKELY, OTHERS = 0.8, 0.3
"""Chance that a member's lead became an order: aged 25-34 in a city of the first tiers, and all others."""
LEAST_HELD = 700
"""People held out of the seed from whom on ten noised counts of them say something of the gain."""
MEDIA, MARGIN = 600, 400
"""Of reaching a person, in cents; of revenue, in thousandths."""


def told(stage: Stage) -> Facts:
    """Everything, from the import to the measured result."""
    subscribers = _drive(stage)
    facts: Facts = {"opening": scene_stage.opening(stage), "overview": scene_stage.overview(stage)}
    facts["opening"]["subscribed"] = subscribers
    stage.step("uploading the seed")
    wide = desk.estimate(stage.merchant, ROOM, simple(WIDE), meeting=stage.meeting)
    digests, funnel = uploading.digests_of(stage.merchant, ROOM, str(_converted(stage)))
    seed = desk.create(stage.merchant, ROOM, "converted leads", digests=digests, external="scene/seed")
    version = desk.refresh(stage.merchant, seed.code, stage.market.as_of, meeting=stage.meeting)
    facts["seed"] = {"where": WIDE, "wide": campaign.size(wide), "rows": funnel["rows"], "people": len(digests),
                     "size": campaign.size(version.size)}  # fmt: skip
    code, facts["lookalike"] = _lookalike(stage, seed.code)
    terms = Terms("leads", ROOM, code, "message", PURPOSE, DAYS, campaign.HELD_OUT, clamp=100_000)
    low, users = facts["lookalike"]["size"]["low"], facts["opening"]["rows"]["platform"]
    people = max(700, round(low * facts["opening"]["both"][0] / users))
    facts["trial"] = campaign.trial(stage, terms, EFFECT, people)
    file, facts["activation"] = campaign.given(stage, terms)
    facts["reactions"], _, _ = campaign.lived(stage, terms, EFFECT, file)
    facts["measured"] = campaign.measured(
        stage, terms, {"media": MEDIA * facts["activation"]["sent"], "margin": MARGIN}
    )
    facts["leads"] = _leads(stage, terms)
    facts["after"] = campaign.afterwards(stage, terms, facts["overview"])
    return facts


def _drive(stage: Stage) -> int:
    """Subscriptions of most users, six weeks before and more, and the platform's data with them; how many there are."""
    import pyarrow.parquet as pq

    stage.step("making up subscriptions")
    stream = made_up.random("scene-subscriptions")
    who = stage.market.people[stream.random(len(stage.market.people)) < SUBSCRIBED]
    start = np.datetime64(stage.market.as_of.isoformat()).astype("datetime64[us]").astype(np.int64)
    times = start - stream.integers(40, 60, len(who)) * 86_400_000_000
    given = {"user": made_up.phones(who), "event": pa.array(["mini-program.subscribe"] * len(who)),
             "time": pa.array(times, pa.timestamp("us", "UTC")),
             "quota": pa.array(["lasting"] * len(who))}  # fmt: skip
    columns = [given[field.name].cast(pa.string()).dictionary_encode() if pa.types.is_dictionary(field.type)
               else given[field.name] for field in EVENT_SCHEMA if field.name in given]  # fmt: skip
    names = [field.name for field in EVENT_SCHEMA if field.name in given]
    pq.write_table(pa.table(columns, names), stage.market.events / "subscriptions.parquet", compression="zstd")
    datasets.add(stage.platform, str(stage.market.events), USERS, "phone", None, None, "private-domain",
                 stage.market.as_of.isoformat(), stage.say)  # fmt: skip
    slots.prepare(stage.platform, USERS, "platform", CAMPAIGNS)
    return len(who)


def _converted(stage: Stage) -> Path:
    """The CRM's list of members whose lead became an order, a CSV."""
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    users = pa.concat_tables(pq.read_table(part, columns=["user", "city_tier", "age_band"])
                             for part in sorted(stage.market.events.glob("users-*.parquet")))  # fmt: skip
    first_tiers = pc.is_in(users.column("city_tier").cast(pa.string()), pa.array(["一线", "新一线"]))
    young = pc.is_in(users.column("age_band").cast(pa.string()), pa.array(["25-29", "30-34"]))
    likely = users.filter(pc.and_(first_tiers, young)).column("user").combine_chunks()
    members = np.arange(stage.members, dtype=np.int64)
    phones = made_up.phones(members)
    chance = np.where(as_flags(pc.is_in(phones, value_set=likely)), LIKELY, OTHERS)
    chosen = made_up.random("scene-leads").random(len(members)) < chance
    file = stage.folder_of("merchant") / "converted-leads.csv"
    csv.write_csv(pa.table({"phone": phones.filter(pa.array(chosen))}), file)
    return file


def _lookalike(stage: Stage, seed: str) -> tuple[str, Facts]:
    """(code, facts): made by the platform, its gain counted on the part of the seed that the model never saw."""
    stage.step("making the lookalike")
    due = lookalike_asking.price(stage.merchant, ROOM)
    count = round(SHARE * Home.open(stage.platform).vault.manifest(USERS).rows)
    made = desk.spread(stage.merchant, ROOM, "like converted leads", seed, count, include_seed=True,
                       channels=("message",), external="scene/lookalike", meeting=stage.meeting)  # fmt: skip
    tenths: tuple[Tenth, ...] = ()
    noised = desk.history(stage.merchant, seed)[-1].noised
    if noised * lookalike_asking.HELD_OUT > LEAST_HELD:
        stage.step("counting its gain")
        tenths = lookalike_asking.gain(stage.merchant, ROOM, made.code, meeting=stage.meeting)
    asked = Lookalikes(Home.open(stage.merchant)).load(made.code)
    return made.code, {"count": count, "size": campaign.size(made.size), "rho_micro": due["rho_micro"],
                       "gain_rho_micro": due["gain_rho_micro"], "known": asked.known,
                       "gain": [vars(each) | {"significant": each.significant} for each in tenths]}  # fmt: skip


def _leads(stage: Stage, terms: Terms) -> Facts:
    """Who left a lead, by arm: a charged release to the merchant."""
    stage.step("counting leads")
    arm = f"users.{terms.column('arm')}"
    sql = f"SELECT {arm}, users.lead, COUNT(*) FROM matched GROUP BY {arm}, users.lead"  # noqa: S608
    found = querying.answer(stage.merchant, ROOM, sql, stage.say, within=campaign.WITHIN, meeting=stage.meeting)
    rows = [{"arm": row[terms.column("arm")], "lead": row["lead"], "people": row["people"]} for row in found["rows"]]
    return {"rows": rows, "within": found["noise"]["people"], "least": found["noise"]["least"],
            "rho_micro": found["price"]["rho_micro"] if found["price"] else 0}  # fmt: skip
