"""A scene's report: each step with what came of it, and one line a party of what it saw there.

It sets side by side what three parties saw apart: nobody but the maker of made-up people has such a page. Numbers of a
party's own are exact; what depends on the other side is a range or noised. No phone, digest or user stands here.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cleanroom.crowds.channels import CHANNELS
from cleanroom.demo import scene_results, scene_roles
from cleanroom.demo.scene_stage import Facts
from cleanroom.insight.care import PLAYBOOKS
from cleanroom.insight.labels import said
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.insight.registry import REGISTRY
from cleanroom.lang import current, t
from cleanroom.privacy.ranges import Range
from cleanroom.report import charts, page
from cleanroom.report.page import Block, Drawing, Figure, Figures, Heading, Note, Paragraph, Table, Value

SCENES: Mapping[str, tuple[str, str]] = {
    "goods": ("商品交易：让老客户再买一次", "Goods trade: old customers to another order"),
    "leads": ("线索留资：找到像已转化线索的人", "Lead capture: people like those whose lead became an order"),
    "search": ("搜索推广：在搜索处触达该触达的人", "Search promotion: reaching the right people where they search"),
}
"""Titles, Chinese and English."""


def write_report(path: Path, facts: Facts) -> None:
    """The page at `path`, in the current language. Raises UsageError, BadData."""
    blocks = [block for part in (_glance(facts), *_parts(facts), _checking(facts)) for block in part]
    days = {"day": facts["opening"]["as_of"], **{name: facts["reactions"][name] for name in ("first", "last")}}
    subtitle = t("Synthetic data as of {day}, campaign from {first} to {last}", **days)
    footer = t("Purchases: CDNOW data of Fader and Hardie, with made-up phones and shifted dates.")
    page.write(path, SCENES[facts["scene"]][current() != "zh"], blocks, subtitle=subtitle, footer=footer)


def sized(found: Facts) -> str:
    """A size as its reader sees it."""
    return Range(found["low"], found["high"], found["withheld"]).text()


def _parts(facts: Facts) -> Iterator[Iterator[Block]]:
    """The steps that the scene has, in their order, each with its line a party."""
    there = (name for name in _STEPS if name in facts)
    for number, name in enumerate(there, 1):
        yield _numbered(number, _STEPS[name](facts))
        yield iter([scene_roles.seen(name, facts)])


def _numbered(number: int, blocks: Iterator[Block]) -> Iterator[Block]:
    """The step's own heading with its number."""
    for block in blocks:
        yield Heading(f"{number}. {block.text}") if isinstance(block, Heading) and block.level == 2 else block


def _glance(facts: Facts) -> Iterator[Block]:
    found, truth = facts["measured"]["measured"], facts["reactions"]
    yield Heading(t("At a glance"))
    yield Note(t("All persons here are made up, and so is what they did after the campaign began: of those who "
                 "were sent something {lift} percentage points more were made to buy. What was measured is set beside "
                 "that.", lift=f"{100 * truth['lift']:.0f}"), "warning")  # fmt: skip
    yield Figures([
        Figure(t("Lift, measured"), scene_results.points(found["difference"]), t("percentage points, 95 of 100")),
        Figure(t("Lift, planted"), f"{truth['planted']:+.2%}", t("of all who match, as assigned")),
        Figure(t("Sent to"), facts["activation"]["sent"], t("people; the platform's own number")),
        Figure(t("Payers for its sake"), scene_results.number(found["payers"]), t("95 of 100")),
    ])  # fmt: skip


def _opening(facts: Facts) -> Iterator[Block]:
    told = facts["opening"]
    yield Heading(t("Import, and how many meet"))
    yield Paragraph(
        t("The merchant imported its member export, the platform its events, folded to one row a user. A neutral "
          "operator lines up tokens of both. A plan of the match was released once: {tables} tables by one or two "
          "columns, each number with noise (σ = {sigma}). Estimates and portraits are read from it for nothing.",
          tables=told["tables"], sigma=told["sigma"])
    )  # fmt: skip
    yield Figures([
        Figure(t("Merchant's members"), told["rows"]["merchant"], t("persons with a usable phone")),
        Figure(t("Platform's users"), told["rows"]["platform"], t("persons with a usable phone")),
        Figure(t("In both"), Range(told["both"][0], told["both"][1], False).text(), t("as the merchant may know it")),
    ])  # fmt: skip
    if "subscribed" in told:
        yield Note(t("Before, {count} made-up users subscribed to messages in a drive of the platform's, or a message "
                     "would reach a tenth of them.", count=f"{told['subscribed']:,}"))  # fmt: skip


def _overview(facts: Facts) -> Iterator[Block]:
    told = facts["overview"]
    yield Heading(t("C-CARE: which value is weakest"))
    yield Paragraph(
        t("A board of all users of the platform, matched or not, was released: {tables} tables and {sums} sums, noised "
          "(σ = {sigma}). The eight values are computed from it.",
          tables=told["tables"], sums=told["sums"], sigma=told["sigma"])
    )  # fmt: skip
    yield Drawing(charts.bars(t("The values of C-CARE"), [
        charts.Bar(said(name), value["value"]) for name, value in told["values"].items()
        if REGISTRY[told["metrics"][name]].unit == "share"
    ], form=".1%"))  # fmt: skip
    yield Table([t("value"), t("measured"), t("reference")], [
        [REGISTRY[told["metrics"][each["name"]]].title, scene_results.valued(each, told["metrics"][each["name"]]),
         scene_results.plainly(each["reference"], told["metrics"][each["name"]])] for each in told["judged"]
    ])  # fmt: skip
    if told["weakest"]:
        yield Note(t("Weakest: {value}. Playbook: {playbook}.", value=said(told["weakest"]),
                     playbook=PLAYBOOKS[told["playbook"]][current() == "zh"]))  # fmt: skip


def _playbook(facts: Facts) -> Iterator[Block]:
    told = facts["playbook"]
    yield Heading(t("The playbook"))
    yield Paragraph(t("The playbook {name} means: {where}", name=PLAYBOOKS[told["name"]][current() == "zh"],
                      where=told["where"]))  # fmt: skip
    small = told["size"]["withheld"]
    yield Note(t("Its own crowd has {size} people here.", size=sized(told["size"])) + (
        " " + t("Below the floor nothing more is said, and nobody can be addressed: the scene takes a wider one.")
        if small else ""), "warning" if small else "info")  # fmt: skip


def _seed(facts: Facts) -> Iterator[Block]:
    told = facts["seed"]
    yield Heading(t("The seed: leads that became orders"))
    yield Paragraph(t("Users who interact and left no lead: {where}. They are {size}: too many for all to be messaged. "
                      "So the merchant looks for those who are like its converted leads.",
                      where=told["where"], size=sized(told["wide"])))  # fmt: skip
    yield Figures([
        Figure(t("In the CRM's list"), told["people"], t("people, the merchant's own number")),
        Figure(t("Of them users"), sized(told["size"]), t("as the merchant may know it")),
    ])  # fmt: skip


def _lookalike(facts: Facts) -> Iterator[Block]:
    told = facts["lookalike"]
    yield Heading(t("The lookalike"))
    yield Paragraph(t("One noised table of every column of the platform's was released of three quarters of the seed. "
                      "The platform fitted a model of them and ranked its own users: {count} were asked for, and "
                      "{size} are kept there.", count=f"{told['count']:,}", size=sized(told["size"])))  # fmt: skip
    if told["gain"]:
        tenths = [Whiskered(t("tenth {number}", number=each["tenth"]), each["gain"], each["low"], each["high"])
                  for each in told["gain"]]  # fmt: skip
        title = t("Gain by tenth of the users, on the part of the seed that the model never saw")
        yield Drawing(whiskered(title, tenths, unit=t("1 is chance"), mark=1.0, form=".2f"))
    else:
        yield Note(t("Too few people were held out of the seed for the gain to be counted."))


def _exclusions(facts: Facts) -> Iterator[Block]:
    told = facts["exclusions"]
    yield Heading(t("Who is left out"))
    yield Table([t("who"), t("how"), t("people")], [
        [t("asked to be left alone"), t("the merchant's black list, left out of every activation"), told["people"]],
        [t("paid in the last week"), told["where"], t("by the rule")],
        [t("had a message this week"), t("the platform's cap: {count} in 7 days", count=told["messages"]),
         t("when it is sent")],
    ])  # fmt: skip


def _crowd(facts: Facts) -> Iterator[Block]:
    told = facts["crowd"]
    yield Heading(t("The crowd, by columns of both sides"))
    joins = {"union": t("together with"), "intersection": t("and of these"), "difference": t("but not")}
    yield Table([t("joined"), t("rule")], [
        [joins[pool[-1]] if place else "", " / ".join(node[1] for node in pool[:-1])]
        for place, pool in enumerate(told["rule"])
    ])  # fmt: skip
    free = told["size"]["source"] == "plan"
    source = t("read from the plan, free") if free else t("counted for it, charged")
    yield Figures([Figure(t("Size"), sized(told["size"]), source),
                   Figure(t("Price"), f"ρ {told['rho_micro'] / 1e6:.4f}", t("of the month's budget"))])  # fmt: skip


def _trial(facts: Facts) -> Iterator[Block]:
    told = facts["trial"]
    yield Heading(t("The trial, and what it can show: told before anything is sent"))
    yield Paragraph(t("{share:.0%} of the crowd are held out, drawn at random and committed to before. With {people} "
                      "people in both, of whom {base:.0%} would buy anyway, a difference of {least} points or more "
                      "will be told from chance and noise, four times in five.", share=told["held_out"],
                      people=f"{told['people']:,}", base=told["base"],
                      least=scene_results.hundredths(told["difference"])))  # fmt: skip
    if told["people_for_a_point"]:
        yield Note(t("A difference of one point would need {people} people.",
                     people=f"{told['people_for_a_point']:,}"))  # fmt: skip
    yield Figures([
        Figure(t("Treated"), told["treated"], t("expected, at least")),
        Figure(t("Held out"), told["held"], t("expected, at least")),
        Figure(t("Price"), f"ρ {told['rho_micro'] / 1e6:.3f}", t("of measuring it, σ = {sigma}", sigma=told["sigma"])),
    ])  # fmt: skip


def _activation(facts: Facts) -> Iterator[Block]:
    told = facts["activation"]
    yield Heading(t("Given and sent"))
    yield Paragraph(t("Channel: {channel}. Purpose: {purpose}.", channel=channel(told["channel"]),
                      purpose=told["purpose"]))  # fmt: skip
    if "lookalike" not in facts:
        yield Paragraph(t("The platform was told which of its own users are in the crowd."))
    yield Paragraph(
        t("Arms were drawn and committed to in the platform's ledger. Then those of the treated arm who may be "
          "addressed were written to its own folder, in {batches} batches of up to 1,000, as Parquet and as CSV.",
          batches=told["batches"])
    )  # fmt: skip
    rows: list[list[Value]] = [[t("members"), told["members"]]]
    rows += [[t("left out: {reason}", reason=_reason(name)), count] for name, count in told["left_out"].items()]
    yield Table([t("the platform's own numbers"), t("people")], [*rows, [t("sent to"), told["sent"]]])
    if told["other"]:
        yield Note(t("The same people in the channel {channel}, the same week: {count} left out by the cap, sent to "
                     "{sent}.", channel=channel(told["other"]["channel"]), sent=told["other"]["sent"],
                     count=told["other"]["left_out"].get("too-often", 0)))  # fmt: skip


def _reactions(facts: Facts) -> Iterator[Block]:
    told = facts["reactions"]
    yield Heading(t("What the made-up people did"))
    yield Note(t("Synthetic: {base:.0%} of everybody were made to buy, and {lift} percentage points more of those who "
                 "were sent something, whether they answered or not. Everyday events repeat those of the fourteen days "
                 "before.", base=told["base"], lift=f"{100 * told['lift']:.0f}"), "warning")  # fmt: skip
    steps: list[list[Value]] = [[event, count] for event, count in told["steps"].items()]
    yield Table([t("event"), t("on the platform")], steps)
    if "coupon" in facts:
        yield Table([t("figure"), t("value")], scene_results.coupon(facts["coupon"]))
    yield Paragraph(t("Both sides imported anew: the platform's events as of {day}, the merchant's {orders} orders. "
                      "The campaign's columns stand beside them, a value a person.", day=told["last"],
                      orders=f"{told['orders']:,}"))  # fmt: skip


def _reason(name: str) -> str:
    """Why somebody was not addressed."""
    return {
        "gone": t("no longer there"), "no-consent": t("no consent"), "opted-out": t("opted out"),
        "out-of-reach": t("out of reach"), "no-handle": t("no reference"), "never-addressed": t("never addressed"),
        "too-often": t("too often"), "holdout": t("held out"),
    }[name]  # fmt: skip


def channel(name: str) -> str:
    """Its title."""
    return CHANNELS[name][current() != "zh"]


def _checking(facts: Facts) -> Iterator[Block]:
    found, name = facts["after"]["verified"], facts["measured"]["name"]
    yield Heading(t("How to check it"))
    yield Table([t("what"), "SHA-256"], [
        [t("commitment to the arms, entry {entry} of the platform's ledger", entry=found["entry"]),
         found["commitment"]],
        *([t("receipt"), each] for each in facts["measured"]["measured"]["receipts"]),
    ])  # fmt: skip
    yield Table([t("command"), t("what it shows")], [
        ["cleanroom audit verify --home HOME", t("the ledger, checked step by step")],
        [f"cleanroom campaign verify market {name} --home HOME/peers/platform", t("the arms, against the commitment")],
        [f"cleanroom campaign show market {name} --home HOME", t("the campaign as the merchant has it")],
        ["cleanroom crowd list --home HOME", t("the crowds, with their ranges")],
    ], t("HOME is this demo's folder; its results lie beside this page."))  # fmt: skip


_STEPS: Mapping[str, Callable[[Facts], Iterator[Block]]] = {
    "opening": _opening, "overview": _overview, "playbook": _playbook, "seed": _seed, "exclusions": _exclusions,
    "lookalike": _lookalike, "crowd": _crowd, "trial": _trial, "activation": _activation, "reactions": _reactions,
    "measured": scene_results.lift, "leads": scene_results.leads, "visits": scene_results.visits,
    "after": scene_results.after,
}  # fmt: skip
