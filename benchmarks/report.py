"""Measurements as a Markdown table in both languages, as pictures, and as JSON; nothing is measured here."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processes import Summary, ratio
from benchmarks.regimes import OURS, Operation, Row

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
_FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
_HEADS = (
    ("work", "measured (median; runs)", "target", "others in the same run: seconds, times ours"),
    ("任务", "实测（中位数；次数）", "目标", "同次运行的对照：秒，为本项目的倍数"),
)
_OPERATIONS = (("Paillier, one core", "ours", "target", "others"), ("Paillier，单核", "本项目", "目标", "对照"))
_MACHINE = (
    "Measured on {machine}, {day}, both parties on that machine. Times differ between machines; compare the ratios.",
    "测量环境：{machine}，{day}，双方在同一台机器上。不同机器耗时不同，请看倍数。",
)
_MISSING = ("Not compared: {names}.", "未对照：{names}。")


@dataclass(frozen=True)
class Report:
    """All that was measured."""

    machine: str
    day: str
    rows: Sequence[Row]
    operations: Sequence[Operation]
    missing: dict[str, str]


def markdown(report: Report, language: int = 0) -> str:
    """The tables. language: 0 English, 1 Chinese."""
    lines = [_MACHINE[language].format(machine=report.machine, day=report.day), ""]
    lines += _table(_HEADS[language], [_row(row, language) for row in report.rows])
    if report.operations:
        lines += ["", *_table(_OPERATIONS[language], [_operation(each, language) for each in report.operations])]
    if report.missing:
        names = ", ".join(f"{name} ({reason})" for name, reason in report.missing.items())
        lines += ["", _MISSING[language].format(names=names)]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]


def _row(row: Row, language: int) -> tuple[str, ...]:
    ours = row.results[OURS]
    others = "; ".join(
        f"{name} {_seconds(each)}, {ratio(ours, each):.1f} ×" for name, each in row.results.items() if name != OURS
    )
    return row.work[language], _figure(ours, row.items), row.target, others or "–"


def _figure(ours: Summary, items: int) -> str:
    parts = [f"**{_seconds(ours)}**"]
    if ours.memory:
        parts.append(f"{ours.memory >> 20} MB")
    if ours.wire and items:
        parts.append(f"{ours.wire / items:.0f} B/item")
    return ", ".join([*parts, f"{ours.runs} ×"])


def _seconds(each: Summary) -> str:
    return f"{each.seconds:.2f} s" if each.seconds < 10 else f"{each.seconds:.1f} s"


def _operation(each: Operation, language: int) -> tuple[str, ...]:
    ours = each.figures[OURS]
    others = "; ".join(
        f"{name} {value:,.1f} µs, {value / ours:.1f} ×" for name, value in each.figures.items() if name != OURS
    )
    return each.work[language], f"**{ours:,.2f} µs**", each.target, others or "–"


def pictures(report: Report) -> dict[str, str]:
    """SVG by file name: what a match and what an operation takes, times ours."""
    from cleanroom.report.charts import Bar, bars

    drawn = {}
    matches = [
        Bar(f"{row.work[0].replace('`', '')}: {name}", each.seconds)
        for row in report.rows
        for name, each in row.results.items()
        if len(row.results) > 1
    ]
    if matches:
        drawn["matching.svg"] = bars("Matching, CSV to members", matches, unit="seconds", form=",.2f").svg
    times = [
        Bar(f"{each.work[0]}: {name}", value / each.figures[OURS])
        for each in report.operations
        for name, value in each.figures.items()
        if name != OURS
    ]
    if times:
        drawn["paillier.svg"] = bars("Paillier, time of one operation", times, unit="times ours", form=",.1f").svg
    return drawn


def renewed(report: Report) -> Report:
    """What was saved, with the rows of `report` in place of their like: for runs of some regimes only."""
    saved = json.loads((EVIDENCE / "benchmarks.json").read_text("utf-8"))
    rows = [
        Row(tuple(row["work"]), row["target"], row["items"],
            {name: Summary(**{**each, "told": tuple(each["told"])}) for name, each in row["results"].items()})
        for row in saved["rows"]
    ]  # fmt: skip
    operations = [Operation(**{**each, "work": tuple(each["work"])}) for each in saved["operations"]]
    ours = {_name(row): row for row in report.rows}
    kept = [ours.pop(_name(row), row) for row in rows]
    mine = {each.work[0]: each for each in report.operations}
    return Report(report.machine, report.day, [*kept, *ours.values()],
                  [mine.get(each.work[0], each) for each in operations], saved["missing"])  # fmt: skip


def _name(row: Row) -> str:
    return row.work[0].partition(" (")[0]


def save(report: Report) -> None:
    """docs/evidence/benchmarks.md and .json, pictures beside them, and the table of both READMEs."""
    drawn = pictures(report)
    links = "".join(f"\n![{name.removesuffix('.svg')}]({name})\n" for name in drawn)
    title = "# Benchmarks\n\n`make bench` wrote this; with `PEERS=1` the peers run beside, in turn.\n\n"
    (EVIDENCE / "benchmarks.md").write_text(title + markdown(report) + links, "utf-8")
    for name, svg in drawn.items():
        (EVIDENCE / name).write_text(svg, "utf-8")
    plain = json.dumps(asdict(report), ensure_ascii=False, indent=1)
    (EVIDENCE / "benchmarks.json").write_text(plain + "\n", "utf-8")
    for language, path in enumerate(READMES):
        table = markdown(report, language)
        path.write_text(_FIGURES.sub(lambda _, table=table: table, path.read_text("utf-8")), "utf-8")  # type: ignore[misc]
