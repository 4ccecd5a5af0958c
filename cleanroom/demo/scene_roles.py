"""Who learned what in a step: one line a party, with the numbers as that party saw them.

What the words promise is tested elsewhere, on every message and file of a run (docs of the match protocols); here it
is said where it happens.
"""

from collections.abc import Callable, Mapping

from cleanroom.demo.scene_stage import Facts
from cleanroom.lang import t
from cleanroom.privacy.ranges import Range
from cleanroom.report.page import Table

Lines = tuple[str, str, str]
"""Merchant, platform, operator."""


def seen(step: str, facts: Facts) -> Table:
    """The three lines of a step."""
    lines = _LINES[step](facts)
    parties = (t("merchant"), t("platform"), t("operator"))
    return Table([t("party"), t("saw")], [list(pair) for pair in zip(parties, lines, strict=True)],
                 t("Who learned what"))  # fmt: skip


def _size(found: Facts) -> str:
    return Range(found["low"], found["high"], found["withheld"]).text()


def _opening(facts: Facts) -> Lines:
    told = facts["opening"]
    rows = {name: f"{count:,}" for name, count in told["rows"].items()}
    return (
        t("its own {own} people exactly; of the match {size}, and noised tables", own=rows["merchant"],
          size=Range(told["both"][0], told["both"][1], False).text()),
        t("its own {own} people exactly, and which of them are the merchant's too; the same noised tables",
          own=rows["platform"]),
        t("tokens of {one} and {two} rows, how many meet and how often each stands there; no phone, no label",
          one=rows["merchant"], two=rows["platform"]),
    )  # fmt: skip


def _overview(facts: Facts) -> Lines:
    told = facts["overview"]
    return (
        t("noised tables of all users (σ = {sigma}); counts are shown from {least} people on", sigma=told["sigma"],
          least=told["least"]),
        t("all of its own numbers; that a board was released, for ρ {rho}", rho=f"{told['rho_micro'] / 1e6:.3f}"),
        t("nothing: a board needs no match"),
    )  # fmt: skip


def _counted(size: str) -> Lines:
    return (
        size,
        t("the rule that was asked about, and the same range; nobody is given"),
        t("a digest in place of the rule, tokens of classes, how many of them meet"),
    )


def _playbook(facts: Facts) -> Lines:
    return _counted(_size(facts["playbook"]["size"]))


def _seed(facts: Facts) -> Lines:
    told = facts["seed"]
    return (
        t("its own list of {own} people; of them {size} are users", own=f"{told['people']:,}",
          size=_size(told["size"])),
        t("that a list of the merchant's was asked about, and the same range; nobody in it"),
        t("a digest in place of the rule, tokens of classes, how many of them meet"),
    )  # fmt: skip


def _lookalike(facts: Facts) -> Lines:
    told = facts["lookalike"]
    return (
        t("{size} people; noised tables of its seed by the platform's columns; the gain; nobody's rank",
          size=_size(told["size"])),
        t("its own users by rank, and the {members} best of them; the seed's noised tables; nobody of the seed",
          members=f"{facts['activation']['members']:,}"),
        t("tokens of the seed and how often each stands there; no column's name for a person, no rank"),
    )  # fmt: skip


def _exclusions(facts: Facts) -> Lines:
    return (
        t("its own list of {own} people", own=f"{facts['exclusions']['people']:,}"),
        t("nothing yet; later only that these are not among the members"),
        t("nothing yet"),
    )


def _crowd(facts: Facts) -> Lines:
    told = facts["crowd"]
    if told["size"]["source"] == "run":
        return _counted(_size(told["size"]))
    nothing = t("nothing: the plan was read, nobody was asked")
    return _size(told["size"]), nothing, nothing


def _trial(facts: Facts) -> Lines:
    terms = t("the campaign's terms, and the smallest lift that it can show")
    return terms, terms, t("nothing")


def _activation(facts: Facts) -> Lines:
    told = facts["activation"]
    return (
        t("{size} people, and that they were given; the commitment to the arms; nobody's name",
          size=_size(told["size"])),
        t("{members} of its own users, and whom it sent something: {sent}; of each one bit by the rule",
          members=f"{told['members']:,}", sent=f"{told['sent']:,}"),
        t("which tokens are in the crowd; no user, no rule") if "lookalike" not in facts
        else t("nothing: the platform had made this crowd of its own users"),
    )  # fmt: skip


def _reactions(facts: Facts) -> Lines:
    told = facts["reactions"]
    return (
        t("its own {count} orders", count=f"{told['orders']:,}"),
        t("its own {count} events of the campaign", count=f"{told['events']:,}"),
        t("nothing"),
    )


def _measured(facts: Facts) -> Lines:
    found = facts["measured"]["measured"]
    arms = {each["arm"]: f"{each['people']:,}" for each in found["arms"]}
    return (
        t("noised numbers of {treated} treated and {held} held out, each within ± {width}; nobody's arm",
          treated=arms["treated"], held=arms["holdout"], width=found["arms"][0]["within"]["people"]),
        t("the question and the same noised numbers; the arms are its own, who paid is not told"),
        t("tokens of arms and how many stand in each; payments as ciphertexts that it cannot open"),
    )  # fmt: skip


def _leads(facts: Facts) -> Lines:
    own = f"{facts['reactions']['steps']['lead.submitted']:,}"
    return (
        t("noised numbers of people with a lead, by arm"),
        t("its own {count} leads, and the same noised numbers", count=own),
        t("tokens of arms and how many stand in each"),
    )


def _visits(facts: Facts) -> Lines:
    return t("nothing"), t("all of it: its own events, by its own arms"), t("nothing")


def _after(facts: Facts) -> Lines:
    told = facts["after"]["portrait"]
    return (
        t("the next board, and a noised portrait of those reached, each number within ± {width}", width=told["within"]),
        t("which board was asked for, and the same noised portrait"),
        t("tokens of the portrait's columns and how many stand in each"),
    )


_LINES: Mapping[str, Callable[[Facts], Lines]] = {
    "opening": _opening, "overview": _overview, "playbook": _playbook, "seed": _seed, "exclusions": _exclusions,
    "lookalike": _lookalike, "crowd": _crowd, "trial": _trial, "activation": _activation, "reactions": _reactions,
    "measured": _measured, "leads": _leads, "visits": _visits, "after": _after,
}  # fmt: skip
