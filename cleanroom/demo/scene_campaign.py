"""What all scenes do with a crowd once they have one: a trial, people addressed, what came of it, its measure, assets.

Each function returns what the parties saw, by party where they saw different things, as plain values for the report.
"""

from dataclasses import asdict
from pathlib import Path

from cleanroom import boards, datasets, planning, querying
from cleanroom.activation import desk as activation
from cleanroom.campaigns import assets, measuring, power, running
from cleanroom.campaigns.campaign import Terms
from cleanroom.crowds import desk
from cleanroom.crowds.crowd import Size, Task
from cleanroom.crowds.rule import Rule
from cleanroom.demo import scene_world
from cleanroom.demo.effects import Effect
from cleanroom.demo.market import ROOM, USERS
from cleanroom.demo.scene_stage import Facts, Stage
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.insight import views
from cleanroom.querying import opened

WITHIN = "10"
"""Half the width of the intervals that a scene pays for: of a count, in persons."""
HELD_OUT = 300
SEED = 20_260_707


def size(found: Size | None) -> Facts:
    """A size as its reader sees it."""
    if found is None:
        return {"low": 0, "high": 0, "withheld": True, "source": "run", "charged": False}
    return {name: getattr(found, name) for name in ("low", "high", "withheld", "source", "charged")}


def crowd(stage: Stage, name: str, rule: Rule, channels: tuple[str, ...]) -> tuple[str, Facts]:
    """(code, facts) of a crowd by rule: its price, its range."""
    stage.step("building the crowd")
    made = desk.create(stage.merchant, ROOM, name, rule=rule, channels=channels, external=f"scene/{name}")
    due = desk.price(stage.merchant, ROOM, rule)
    version = desk.refresh(stage.merchant, made.code, stage.market.as_of, meeting=stage.meeting)
    return made.code, {"name": name, "rule": [[node.plain() for node in pool.nodes] + [pool.join]
                                              for pool in rule.pools], "size": size(version.size),
                       "rho_micro": due["rho_micro"], "day": version.day}  # fmt: skip


def trial(stage: Stage, terms: Terms, effect: Effect, people: int) -> Facts:
    """The campaign at both homes and what it can show, told before anything is given. people: matched, at least."""
    stage.step("planning the trial")
    for home in (stage.merchant, stage.platform):
        running.create(home, terms)
    held = opened(stage.merchant, ROOM)[1]
    sql = measuring.question(held.contract, terms).sql
    due = querying.answer(stage.merchant, ROOM, sql, within=WITHIN, dry_run=True)["price"]
    draws, k = running.noise_draws(held.contract), held.contract.release.k
    found = power.smallest(people, terms.share, effect.base, due["sigma"], draws=draws, k=k)
    needed = power.people_for(0.01, terms.share, effect.base, due["sigma"], draws=draws, k=k)
    return {"people": people, "held_out": terms.share, "days": terms.days, "people_for_a_point": needed,
            "rho_micro": due["rho_micro"], "sigma": due["sigma"], **asdict(found)}  # fmt: skip


def given(stage: Stage, terms: Terms, *, other_channel: str = "") -> tuple[Path, Facts]:
    """(whom the platform sent something, facts): the crowd given, arms drawn and committed to, then people addressed.

    other_channel: another one that the same people are brought to afterwards, where the frequency cap keeps them out.
    Raises Refused where the crowd is below its floor.
    """
    stage.step("giving the crowd")
    task = _activated(stage, terms, terms.channel)
    begun = running.start(stage.platform, ROOM, terms.name, day=stage.first.isoformat())
    commitment = begun["commitments"][0]["commitment"]
    running.start(stage.merchant, ROOM, terms.name, commitment=commitment, day=stage.first.isoformat())
    kept = activation.shown(stage.platform, ROOM, terms.crowd)
    file = _brought(stage, terms, terms.channel, ".parquet")
    sent = activation.exported(stage.platform, ROOM, terms.crowd, file, channel=terms.channel)
    table = file.with_suffix(".csv")
    again = activation.exported(stage.platform, ROOM, terms.crowd, table, channel=terms.channel)
    told = activation.told(Home.open(stage.platform), ROOM, terms.crowd, kept["version"], terms.channel)
    found = {
        "channel": terms.channel, "purpose": terms.purpose, "status": task.status, "size": size(task.size),
        "members": kept["members"], "columns": kept["columns"], "uses": [each["channel"] for each in kept["uses"]],
        "drawn": begun["drawn"], "commitment": commitment, "entry": begun["commitments"][0]["entry"],
        "sent": sent["sent"], "batches": sent["batches"], "left_out": sent["left_out"], "again": again["sent"],
        "files": [file.name, table.name], "told": told["state"], "other": None,
    }  # fmt: skip
    if other_channel:
        _activated(stage, terms, other_channel)
        more = _brought(stage, terms, other_channel, ".parquet")
        second = activation.exported(stage.platform, ROOM, terms.crowd, more, channel=other_channel)
        found["other"] = {"channel": other_channel, "sent": second["sent"], "left_out": second["left_out"]}
    return file, found


def _activated(stage: Stage, terms: Terms, channel: str) -> Task:
    found = desk.activate(
        stage.merchant, terms.crowd, channel, terms.purpose, day=stage.market.as_of, meeting=stage.meeting
    )
    if found.status != "done":
        raise Refused("The crowd of the scene is below the floor of people that may be addressed.",
                      "Take a larger --scale.")  # fmt: skip
    return found


def _brought(stage: Stage, terms: Terms, channel: str, suffix: str) -> Path:
    """A file in the platform's own folder."""
    outbox = stage.platform / "outbox"
    outbox.mkdir(mode=0o700, exist_ok=True)
    return outbox / f"{terms.name}-{channel}{suffix}"


def lived(stage: Stage, terms: Terms, effect: Effect, file: Path, *, at_once: bool = False,
          coupon: str = "") -> tuple[Facts, Path, Path]:  # fmt: skip
    """As `scene_world.react`, and then each side's data with what they did: the platform's imported anew as of the
    campaign's last day, and the campaign's columns beside both sides' datasets."""
    stage.step("making up what people do")
    who = scene_world.cast(stage, terms, file)
    truth, events, orders = scene_world.react(stage, terms, who, effect, SEED, at_once=at_once, coupon=coupon)
    folder = scene_world.further(stage, events, orders)
    made = datasets.add(stage.platform, str(folder), USERS, "phone", None, None, "private-domain",
                        stage.last.isoformat(), stage.say)  # fmt: skip
    there = running.collect(stage.platform, ROOM, terms.name, str(events))
    here = running.collect(stage.merchant, ROOM, terms.name, str(orders), day="day", amount="amount")
    own = {"platform": there["own"], "merchant": here["own"]}
    return {**truth, "own": own, "version": made["version"]}, events, orders


def measured(stage: Stage, terms: Terms, costs: Facts, *, touches: bool = False) -> Facts:
    """Lift by one charged release, reach by another, attribution by a third where it is wanted; then its worth."""
    stage.step("measuring")
    running.cost(stage.merchant, ROOM, terms.name, costs)
    return running.measure(
        stage.merchant, ROOM, terms.name, stage.say, within=WITHIN, reach=True, touches=touches, meeting=stage.meeting
    )


def afterwards(stage: Stage, terms: Terms, before: Facts) -> Facts:
    """What the campaign left: tags, the next board beside the one before, a portrait of the people it reached."""
    stage.step("reading what stays")
    boards.make(stage.merchant, ROOM, progress=stage.say, meeting=stage.meeting)
    found = views.care(stage.merchant, ROOM)
    tags = [{"tag": each.tag, "column": each.column, "where": each.where} for each in
            assets.assets(Home.open(stage.merchant), ROOM)]  # fmt: skip
    reached = next(each["where"] for each in tags if each["tag"] == "reached")
    return {"tags": tags, "report_date": found["report_date"], "before": before["values"],
            "values": {each["name"]: each["values"][0] for each in found["eight"]},
            "portrait": portrait(stage, reached, "users.city_tier"),
            "verified": running.verify(stage.platform, ROOM, terms.name)}  # fmt: skip


def portrait(stage: Stage, where: str, column: str) -> Facts:
    """People of a tag by a column, beside everybody in the match: a charged release, and the plan."""
    sql = f"SELECT {column}, COUNT(*) FROM matched WHERE {where} GROUP BY {column}"  # noqa: S608 - names of a contract
    own = querying.answer(stage.merchant, ROOM, sql, stage.say, within=WITHIN, meeting=stage.meeting)
    name = column.rpartition(".")[2]
    every = planning.read(stage.merchant, ROOM, f"SELECT {column}, COUNT(*) FROM matched GROUP BY {column}")  # noqa: S608
    base = {row[name]: row["people"] for row in every["rows"]}
    people = {row[name]: row["people"] for row in own["rows"]}
    both = [label for label in people if base.get(label)]
    totals = sum(people[label] for label in both), sum(base[label] for label in both)
    rows = [{"label": label, "people": people[label], "share": people[label] / totals[0],
             "tgi": 100 * (people[label] / totals[0]) / (base[label] / totals[1])} for label in both]  # fmt: skip
    return {"column": column, "where": where, "rows": rows, "within": own["noise"]["people"],
            "least": own["noise"]["least"], "rho_micro": own["price"]["rho_micro"] if own["price"] else 0}  # fmt: skip
