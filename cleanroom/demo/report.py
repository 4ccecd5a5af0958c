"""The demo's report: what each side put in, what came out, who learned what, and how it can be checked.

It shows released figures only: a group under the threshold, and the name of a row or column that has no other group,
must not appear here although this process made the data.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from cleanroom.demo.data import DemoFiles
from cleanroom.lang import t
from cleanroom.report import charts, page
from cleanroom.report.page import Block, Drawing, Figure, Figures, Heading, Note, Paragraph, Table, Value
from cleanroom.rooms.draft import OTHER, UNKNOWN
from cleanroom.rooms.terms import DEFAULT_KEY_BITS
from cleanroom.terminal.reasons import reason

PARTIES = ("merchant", "platform", "operator")


def write_report(path: Path, files: DemoFiles, results: dict[str, Any], checkup: dict[str, Any]) -> None:
    """The page at `path`, in the current language. Raises UsageError, BadData."""
    audience, spend, activity = (results[room] for room in ("audience", "spend", "activity"))
    parts = (
        _glance(audience), _inputs(files, audience, spend), _segments(audience), _money(spend), _activity(activity),
        _learned(results), _checking(files, results, Path(checkup["report"]).name),
    )  # fmt: skip
    page.write(
        path,
        t("Two parties, one answer"),
        [block for part in parts for block in part],
        subtitle=t("Sample data as of {day}; all persons are made up", day=files.as_of.isoformat()),
        footer=t("Purchases: CDNOW data of Fader and Hardie, with made-up phones and shifted dates."),
    )


def _glance(audience: dict[str, Any]) -> Iterator[Block]:
    low, high = audience["overlap"]["range"]
    left, right = (audience[side]["unique"] for side in ("left", "right"))
    yield Heading(t("At a glance"))
    yield Paragraph(
        t(
            "A merchant knows its members, a platform its users. Which users are members, where they live and what "
            "they spend was computed below without either side showing the other its records."
        )
    )
    yield Figures([
        Figure(t("Merchant's members"), left, t("persons with a usable phone")),
        Figure(t("Platform's users"), right, t("persons with a usable phone")),
        Figure(t("In both"), f"{low:,}–{high:,}", t("as a range; only the platform knows which of its own")),
        Figure(t("Seconds"), float(audience["seconds"]), t("for the first room, from two files to a signed receipt")),
    ])  # fmt: skip
    sizes = (charts.Size(t("merchant"), left, left), charts.Size(t("platform"), right, right))
    yield Drawing(charts.overlap(t("Overlap"), *sizes, charts.Size(t("both"), low, high), noise_off=True))
    text = t("Noise is off in all three rooms: numbers are exact, and groups under {k} people are withheld.",
             k=audience["k"])  # fmt: skip
    yield Note(text, "warning")


def _inputs(files: DemoFiles, audience: dict[str, Any], spend: dict[str, Any]) -> Iterator[Block]:
    yield Heading(t("What each side put in"))
    yield Table([t("party"), t("file"), t("rows"), t("what it holds")], [
        [t("merchant"), files.members.name, audience["left"]["rows"],
         t("the member export as it came: phones in many forms, level, spend, a row of totals")],
        [t("merchant"), files.workbook.name, spend["left"]["rows"], t("its first rows as a workbook, for the sums")],
        [t("platform"), files.users.name, audience["right"]["rows"], t("a row a user: phone, city, age, system")],
        [t("platform"), files.events.name, files.truth.events,
         t("a row an event, folded to one row a user on the platform's own side")],
    ])  # fmt: skip
    yield Paragraph(
        t(
            "Each file was read by a process of its owner's, and went encrypted into its owner's vault. Between the "
            "parties went tokens, blinded points and ciphertexts: no phone, no row."
        )
    )
    left = audience["left"]
    steps = [(t("rows read"), left["rows"]), (t("with a phone"), left["present"]), (t("usable"), left["valid"]),
             (t("persons"), left["unique"])]  # fmt: skip
    yield Drawing(charts.funnel(t("The member export, from rows to persons"), steps))
    losses = [[reason(name), count] for name, count in left["losses"].items()]
    yield Table([t("reason"), t("rows")], losses, t("Every row is accounted for: what was lost, and why"))


def _segments(audience: dict[str, Any]) -> Iterator[Block]:
    people = {(_label(row["level"]), _label(row["city_tier"])): row["people"] for row in audience["segments"]}
    levels, tiers = (dict.fromkeys(key[place] for key in people) for place in (0, 1))
    cells = [charts.Cell(level, tier, people.get((level, tier))) for level, tier in product(levels, tiers)]
    yield Heading(t("What came out: who they are"))
    yield Paragraph(
        t("Levels are the merchant's, city tiers the platform's; neither has both. An operator who lacks the key to "
          "the tokens joined and counted them (room {room}).", room="audience")
    )  # fmt: skip
    if cells:
        names = {"rows": t("member level"), "columns": t("city tier")}
        yield Drawing(charts.heat(t("People in both, by level and city tier"), cells, **names, noise_off=True))
    yield _withheld(audience["k"])


def _money(spend: dict[str, Any]) -> Iterator[Block]:
    groups = spend["segments"]
    bars = [charts.Bar(_label(row["city_tier"]), row["spend_average"]) for row in groups]
    rows: list[list[Value]] = [
        [_label(row["city_tier"]), row["people"], float(row["spend"]), float(row["spend_average"])] for row in groups
    ]
    yield Heading(t("What came out: what they spend"))
    yield Paragraph(
        t(
            "The merchant encrypted each person's spend by itself (Paillier, {bits} bits). The platform added up the "
            "ciphertexts of the persons it matched, by its own city tiers, and could open none. The merchant holds the "
            "key, and opened one masked sum a tier without learning which tier it was (room {room}).",
            bits=DEFAULT_KEY_BITS,
            room="spend",
        )
    )
    yield Figures([
        Figure(t("Ciphertexts sent"), spend["left"]["unique"], t("one a person of the workbook")),
        Figure(t("Ciphertexts behind the sums"), sum(row["people"] for row in groups), t("none of them was opened")),
        Figure(t("Sent in all"), f"{spend['wire_bytes'] / 1e6:.1f} MB", t("by both sides")),
        Figure(t("Seconds"), float(spend["seconds"]), t("for this room")),
    ])  # fmt: skip
    if groups:
        title = t("Average spend by city tier")
        yield Drawing(charts.bars(title, bars, unit=t("¥ a person"), form=",.2f", noise_off=True))
        yield Table([t("city tier"), t("people"), t("spend (¥)"), t("average (¥)")], rows)
    yield _withheld(spend["k"])


def _activity(activity: dict[str, Any]) -> Iterator[Block]:
    bars = [charts.Bar(_label(row["visits_30d"]), row["people"]) for row in activity["segments"]]
    yield Heading(t("What came out: how active they are"))
    yield Paragraph(
        t("Visits of the last 30 days, folded from {rows:,} users' events before anything left the platform (room "
          "{room}).", rows=activity["right"]["rows"], room="activity")
    )  # fmt: skip
    if bars:
        yield Drawing(charts.bars(t("Members by visits in 30 days"), bars, unit=t("people"), noise_off=True))
    yield _withheld(activity["k"])


def _learned(results: dict[str, Any]) -> Iterator[Block]:
    yield Heading(t("Who learned what"))
    yield Table([t("room"), t("party"), t("learned")], [
        [room, t(party), t("; ").join(map(_sentence, result["learned"][party]))]
        for room, result in results.items()
        for party in PARTIES
        if party in result["learned"]
    ])  # fmt: skip
    yield Note(t("In a keyed room, an owner who joined with the operator could open all tokens; its contract says so."))


def _checking(files: DemoFiles, results: dict[str, Any], checkup: str) -> Iterator[Block]:
    yield Heading(t("How to check it"))
    found = results["audience"]["members"]["rows"]
    yield Paragraph(
        t("These data are made up, so the truth is known: {truth:,} members with a usable phone are users. The "
          "platform found {found:,} of its own rows.", truth=files.truth.overlap, found=found)
    )  # fmt: skip
    rows = [[room, result["protocol"], t(result["noise"]), result["receipt"]["digest"]]
            for room, result in results.items()]  # fmt: skip
    signed = t("Receipts, each signed by every party of its room")
    yield Table([t("room"), t("protocol"), t("noise"), t("receipt (SHA-256)")], rows, signed)
    yield Table([t("command"), t("what it shows")], [
        ["cleanroom audit verify --home HOME", t("the ledger, checked step by step")],
        ["cleanroom audit verify results/spend-receipt.json --home HOME", t("a receipt: signatures, rules and ledger")],
        ["cleanroom audit show --home HOME", t("all that was disclosed, in order")],
        ["cleanroom room show spend --home HOME", t("the contract of a room in plain words")],
    ], t("HOME is this demo's folder; its results lie beside this page."))  # fmt: skip
    yield Paragraph(t("What the merchant can learn from its own purchases alone: {file}", file=checkup))


def _label(value: object) -> str:
    """A group's label; those that are ours are translated."""
    return t(str(value)) if value in (OTHER, UNKNOWN) else str(value)


def _sentence(item: dict[str, Any]) -> str:
    """Something learned, with numbers grouped and parties in the current language."""
    params = {name: f"{value:,}" if isinstance(value, int) else t(value) for name, value in item["params"].items()}
    return t(item["template"], **params)


def _withheld(k: int) -> Note:
    return Note(
        t(
            "Groups under {k} people are withheld, and with them as many others as keep them from being worked out. "
            "What has no group to show is not named either.",
            k=k,
        )
    )
