"""`insight` for people: metrics with their intervals, changes with a mark where noise does not explain them."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from cleanroom.insight.labels import said
from cleanroom.lang import current, t
from cleanroom.terminal import show

Plain = Mapping[str, Any]


def page_shown(console: Console, result: Plain) -> None:
    """Metrics of one figure in one table; every other in one of its own."""
    _head(console, result)
    single = [each for each in result["metrics"] if [value["label"] for value in each["values"]] == [""]]
    if single:
        rows = [(_named(each), *_figures(each["values"][0], each["unit"])) for each in single]
        show.table(console, t("Metrics"), (t("metric"), t("value"), t("95 of 100"), ""), rows)
    for each in result["metrics"]:
        if each not in single and each["values"]:
            _series(console, each)
    _foot(console, result)


def care_shown(console: Console, result: Plain) -> None:
    """The eight by dimension, what stands beside them, and the diagnosis."""
    _head(console, result)
    rows = [
        (said(each["dimension"]), said(each["name"]), each["title"], *_figures(each["values"][0], each["unit"]))
        for each in result["eight"]
    ]
    columns = (t("dimension"), t("value of C-CARE"), t("metric"), t("value"), t("95 of 100"), "")
    show.table(console, "C-CARE", columns, rows)
    beside = [each for each in result["beside"] if len(each["values"]) == 1]
    others = [(_named(each), *_figures(each["values"][0], each["unit"])) for each in beside]
    show.table(console, t("Beside them"), (t("metric"), t("value"), t("95 of 100"), ""), others)
    if "diagnosis" in result:
        _diagnosed(console, result["diagnosis"], result["room"])
    _foot(console, result)


def trend_shown(console: Console, result: Plain) -> None:
    """A period a row."""
    _head(console, result)
    rows = [(_day(each["date"]), *_figures(each, result["unit"])) for each in result["points"]]
    title = f"{result['title']} · {said(result['period'])}"
    show.table(console, title, (t("up to"), t("value"), t("95 of 100"), ""), rows)
    _foot(console, result)


def compared_shown(console: Console, result: Plain) -> None:
    """The changes against the period before, and against 52 weeks before."""
    _head(console, result)
    for against, title in (("previous", t("Against the period before")), ("year", t("Against 52 weeks before"))):
        side = result[against]
        if side["report_date"] is None:
            show.line(console, t("{title}: there is no board of that day.", title=title))
            continue
        rows = [_changed(each) for each in side["changes"]]
        columns = (t("metric"), t("now"), t("before"), t("growth"), t("95 of 100"), "")
        show.table(console, f"{title} · {_day(side['report_date'])}", columns, rows)
    show.line(console, t("! is a change that noise does not explain."))
    _foot(console, result)


def portrait_shown(console: Console, result: Plain) -> None:
    """Each column by its values, then the top tags."""
    show.fact(console, t("Room"), result["room"])
    show.fact(console, t("Segment"), result["where"] or t("everybody"))
    show.fact(console, t("Base"), t("everybody") if result["base"] == "everybody" else result["base"])
    titles = (t("label"), t("persons"), t("share"), t("share of all"), "TGI", t("95 of 100"), "")
    for each in result["portraits"]:
        coverage = "" if each["coverage"] is None else " · " + t("coverage {share}", share=f"{each['coverage']:.1%}")
        show.table(console, each["column"] + coverage, titles, [_portrayed(value) for value in each["values"]])
    if result["top"]:
        rows = [(each["column"], *_portrayed(each)) for each in result["top"]]
        show.table(console, t("Top TGI tags"), (t("column"), *titles), rows)
    show.line(console, result["said"])
    show.line(console, t("100 is as in the base; ≈ is a difference that is not significant."))


def geography_shown(console: Console, result: Plain) -> None:
    """Provinces and their cities."""
    rows = []
    for province in result["provinces"]:
        rows.append((province["label"], "", _people(province["people"])))
        rows.extend(("", city["label"], _people(city["people"])) for city in province["cities"] if city["people"])
    show.table(console, result["where"] or t("everybody"), (t("province"), t("city"), t("persons")), rows)
    show.line(console, result["said"])


def metrics_shown(console: Console, result: Plain) -> None:
    """The registry by theme."""
    chinese = current() == "zh"
    for theme in dict.fromkeys(each["theme_title"] for each in result["metrics"]):
        rows = [
            (each["name"], each["zh" if chinese else "en"], each["definition_zh" if chinese else "definition"],
             "/".join(map(str, each["windows"])))
            for each in result["metrics"] if each["theme_title"] == theme
        ]  # fmt: skip
        show.table(console, theme, (t("code"), t("metric"), t("definition"), t("days")), rows)


def refreshed_shown(console: Console, result: Plain) -> None:
    """What a refresh cost, or would."""
    show.fact(console, t("Room"), result["room"])
    show.fact(console, t("Dataset"), result["dataset"])
    if result["exact"]:
        show.line(console, t("Your own numbers are exact and free: nothing had to be released."))
        return
    told = {"cost": f"{result['rho_micro'] / 1e6:g}", "tables": result["tables"], "sums": result["sums"]}
    show.fact(console, t("Price"), t("ρ {cost} for {tables} tables and {sums} sums", **told))
    if result["made"]:
        show.fact(console, t("Report date"), result["report_date"])
        show.fact(console, t("Receipt"), result["receipt"])
        if not result["charged"]:
            show.line(console, t("The data are as they were: it is the same board, and nothing was charged."))


def costs_shown(console: Console, result: Plain) -> None:
    """The table of costs."""
    rows = [
        (each["day"], each["campaign"], said(each["kind"]), f"{each['minor'] / 100:,.2f}",
         "" if each["margin"] is None else f"{each['margin'] / 1000:.1%}")
        for each in result["costs"]
    ]  # fmt: skip
    show.table(console, t("Costs"), (t("day"), t("campaign"), t("kind"), t("amount"), t("margin")), rows)


def _head(console: Console, result: Plain) -> None:
    show.fact(console, t("Room"), f"{result['room']} · {result['dataset']}")
    day = _day(result["report_date"]) + (" · " + said("restated") if result["restated"] else "")
    show.fact(console, t("Report date"), day)
    if "between" in result:
        show.fact(console, t("Between"), " → ".join(map(_day, result["between"])))
    if result["exclude_import"]:
        show.line(console, t("Without persons known only by upload."))
    console.print()


def _foot(console: Console, result: Plain) -> None:
    if result["exact"]:
        show.line(console, t("Your own data: exact, without noise or charge."))
        return
    show.line(console, t("From a released board; populations are shown from {least} persons on. Reading is free.",
                         least=f"{result['least']:,}"))  # fmt: skip
    show.fact(console, t("Receipt"), result["receipt"])


def _named(each: Plain) -> str:
    return each["title"] if each["window"] is None else f"{each['title']} · " + t("{count} days", count=each["window"])


def _series(console: Console, each: Plain) -> None:
    for between in (" → ", " +"):
        if all(between in value["label"] for value in each["values"]):
            _crossed(console, each, between)
            return
    rows = [(said(value["label"], each["metric"]), *_figures(value, each["unit"])) for value in each["values"]]
    show.table(console, _named(each), (t("label"), said(each["unit"]), t("95 of 100"), ""), rows)


def _crossed(console: Console, each: Plain, between: str) -> None:
    """Figures of two dimensions, each with half the width of its interval."""
    cells = {tuple(value["label"].split(between)): value for value in each["values"]}
    across = list(dict.fromkeys(column for _, column in cells))
    rows = [
        (said(row), *(_within(cells[row, column], each["unit"]) if (row, column) in cells else "" for column in across))
        for row in dict.fromkeys(row for row, _ in cells)
    ]
    titles = [(between.strip() + said(column)) if between == " +" else said(column) for column in across]
    show.table(console, _named(each), (said(each["unit"]), *titles), rows)


def _day(text: str) -> str:
    """A report date (yyyyMMdd) as people write days."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def _within(value: Plain, unit: str) -> str:
    if value["value"] is None:
        return "–"
    text = _number(value["value"], unit)
    if value["low"] is None or value["low"] == value["high"]:
        return text
    half = max(value["high"] - value["value"], value["value"] - value["low"])
    return f"{text} ± {100 * half:.1f}" if unit == "share" else f"{text} ± {half:,.0f}"


def _figures(value: Plain, unit: str) -> tuple[str, str, str]:
    """A figure, its interval, and its marks or why there is none."""
    if value["value"] is None:
        return "–", "", value["reason"]
    between = ""
    if value["low"] is not None and value["high"] is not None and value["low"] != value["high"]:
        between = f"{_number(value['low'], unit)} – {_number(value['high'], unit)}"
    return _number(value["value"], unit), between, ", ".join(said(mark) for mark in value["marks"])


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:,.2f}" if unit in ("money", "ratio") else f"{value:,.0f}"


def _changed(each: Plain) -> tuple[str, ...]:
    name = f"{each['title']} {said(each['label'], each['metric'])}".strip()
    growth, unit = each["growth"], each["unit"]
    now, before = (_figures(each[side], unit)[0] for side in ("after", "before"))
    if growth["value"] is None:
        return name, now, before, "–", "", growth["reason"]
    between = "" if growth["low"] == growth["high"] else f"{growth['low']:+.1%} – {growth['high']:+.1%}"
    return name, now, before, f"{growth['value']:+.1%}", between, "!" if each["significant"] else ""


def _diagnosed(console: Console, found: Plain, room: str) -> None:
    rows = [
        (said(each["name"]), _number(each["value"], "share" if each["name"] != "efficient" else "money"),
         _number(each["reference"], "share" if each["name"] != "efficient" else "money"), said(each["against"]),
         f"{100 * each['score']:+.0f}", "" if each["sure"] else "≈")
        for each in sorted(_known(found["judged"]), key=lambda each: each["score"])
    ]  # fmt: skip
    columns = (t("value of C-CARE"), t("now"), t("against"), t("which is"), t("score"), "")
    show.table(console, t("Diagnosis"), columns, rows)
    show.line(console, t("A score of 0 is even with what it is set against, below is worse; ≈ is a difference that is "
                         "not significant."))  # fmt: skip
    show.line(console, found["text"])
    if found["playbook"]:
        command = f"cleanroom campaign playbook show {found['playbook']} {room}"
        show.line(console, t("See it: {command}", command=command))


def _known(judged: Iterable[Plain]) -> list[Plain]:
    return [each for each in judged if each["score"] is not None]


def _portrayed(each: Plain) -> tuple[str, ...]:
    label = said(each["label"]) if each["label"] in ("unknown", "other") else each["label"]
    if each["tgi"] is None:
        return label, _people(each["people"]), "", "", "", "", ""
    between = "" if each["low"] is None else f"{each['low']:.0f} – {each['high']:.0f}"
    people = f"{each['people']:,}" + (f" ± {each['within']:,}" if each["within"] else "")
    mark = "≈" if each["significant"] is False else ""
    return label, people, f"{each['share']:.1%}", f"{each['base_share']:.1%}", f"{each['tgi']:.0f}", between, mark


def _people(people: int | None) -> str:
    return t("withheld") if people is None else f"{people:,}"
