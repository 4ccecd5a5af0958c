"""The demo's report: what each side put in, what came out, who learned what, and how it can be checked."""

from pathlib import Path
from typing import Any

from cleanroom.demo.data import DemoFiles
from cleanroom.lang import t
from cleanroom.report import charts, page
from cleanroom.report.page import Block, Drawing, Figure, Figures, Heading, Note, Paragraph, Table

RECIPIENTS = ("merchant", "platform", "operator")


def write_report(path: Path, files: DemoFiles, results: dict[str, Any], checkup: dict[str, Any]) -> None:
    """The page at `path`."""
    blocks = [*_glance(results), *_import(results["audience"]), *_segments(results), *_money(results["spend"]),
              *_activity(results["activity"]), *_learned(results), *_checking(results, checkup)]  # fmt: skip
    page.write(
        path,
        t("Two parties, one answer"),
        blocks,
        subtitle=t("Sample data as of {day}; all persons are made up", day=files.as_of.isoformat()),
        footer=t("Purchases: CDNOW data of Fader and Hardie, with made-up phones and shifted dates."),
    )


def _glance(results: dict[str, Any]) -> list[Block]:
    audience = results["audience"]
    low, high = audience["overlap"]["range"]
    return [
        Heading(t("At a glance")),
        Figures([
            Figure(t("Merchant's members"), audience["left"]["unique"], t("persons with a usable phone")),
            Figure(t("Platform's users"), audience["right"]["unique"], ""),
            Figure(t("In both"), f"{low:,} – {high:,}", t("as a range; only the receiver knows its rows")),
            Figure(t("Seconds"), audience["seconds"], t("for the match and the answer")),
        ]),
        Drawing(
            charts.overlap(
                t("Overlap"),
                charts.Size(t("Merchant"), audience["left"]["unique"], audience["left"]["unique"]),
                charts.Size(t("Platform"), audience["right"]["unique"], audience["right"]["unique"]),
                charts.Size(t("both"), low, high),
                noise_off=True,
            )
        ),
        Note(t("Noise is off in these rooms: numbers are exact, and groups under {k} people are withheld.",
               k=audience["k"]), "warning"),
    ]  # fmt: skip


def _import(audience: dict[str, Any]) -> list[Block]:
    left = audience["left"]
    steps = [(t("rows read"), left["rows"]), (t("with a phone"), left["present"]), (t("valid"), left["valid"]),
             (t("persons"), left["unique"])]  # fmt: skip
    losses = [[t(reason), count] for reason, count in left["losses"].items()]
    return [
        Heading(t("The merchant's export")),
        Paragraph(t("Every row of the export is accounted for; nothing is dropped silently.")),
        Drawing(charts.funnel(t("From rows to persons"), steps)),
        Table([t("reason"), t("rows")], losses, t("What was lost, and why")),
    ]


def _segments(results: dict[str, Any]) -> list[Block]:
    audience = results["audience"]
    cells = [charts.Cell(row["level"], row["city_tier"], row["people"]) for row in audience["segments"]]
    known = {(cell.row, cell.column) for cell in cells}
    rows, columns = ({cell.row for cell in cells}, {cell.column for cell in cells})
    cells += [charts.Cell(row, column, None) for row in rows for column in columns if (row, column) not in known]
    return [
        Heading(t("Who they are")),
        Paragraph(t("Members by the merchant's level and the platform's city tier: neither side has both columns.")),
        Drawing(charts.heat(t("People in both, by level and city tier"), cells, noise_off=True)),
    ]


def _money(spend: dict[str, Any]) -> list[Block]:
    rows = [[row["city_tier"], row["people"], row["spend"], row["spend_average"]] for row in spend["segments"]]
    bars = [charts.Bar(str(row[0]), float(row[3])) for row in rows]
    return [
        Heading(t("What they spend")),
        Paragraph(
            t("The merchant's amounts, summed by the platform's city tiers without being shown (Paillier).")
        ),
        Drawing(charts.bars(t("Average spend by city tier"), bars, unit="¥", noise_off=True)),
        Table([t("city tier"), t("people"), t("spend"), t("average")], rows),
    ]


def _activity(activity: dict[str, Any]) -> list[Block]:
    bars = [charts.Bar(str(row["visits_30d"]), row["people"]) for row in activity["segments"]]
    return [
        Heading(t("How active they are")),
        Paragraph(t("Visits in 30 days, folded from the platform's events on its own side.")),
        Drawing(charts.bars(t("Members by visits in 30 days"), bars, noise_off=True)),
    ]


def _learned(results: dict[str, Any]) -> list[Block]:
    rows = [
        [t(room), t(party), "; ".join(t(item["template"], **item["params"]) for item in result["learned"][party])]
        for room, result in results.items()
        for party in RECIPIENTS
        if party in result["learned"]
    ]
    return [
        Heading(t("Who learned what")),
        Table([t("room"), t("party"), t("learned")], rows),
        Note(t("Any owner together with the operator could open all tokens of a keyed room; its contract says so.")),
    ]


def _checking(results: dict[str, Any], checkup: dict[str, Any]) -> list[Block]:
    rows = [[t(room), result["protocol"], result["contract"][:16], result["receipt"]["digest"][:16]]
            for room, result in results.items()]  # fmt: skip
    return [
        Heading(t("Check it")),
        Table([t("room"), t("protocol"), t("contract"), t("receipt")], rows),
        Paragraph(t("cleanroom audit verify checks the ledger and every receipt, step by step.")),
        Paragraph(t("The merchant's own customers, exactly: {file}", file=Path(checkup["report"]).name)),
    ]
