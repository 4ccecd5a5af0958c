"""A portrait's figures as a page shows them: names, tables, charts. A value that is withheld has no figure anywhere."""

from functools import partial
from typing import Any

from cleanroom.console.pages import Sheet
from cleanroom.console.pages import Value as Plain
from cleanroom.console.pictures import Chart
from cleanroom.console.screens.insight_charts import GROUND, province_tiles
from cleanroom.console.screens.insight_figures import labelled
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.lang import t
from cleanroom.report.more_charts import Range, ranges, tiles


def column_name(column: str) -> str:
    """A column in the current language, where its name is one of the standard ones."""
    own = column.rpartition(".")[2]
    return {
        "level": t("Member level"), "member_level": t("Member level"), "gender": t("Gender"), "age_band": t("Age band"),
        "city_tier": t("City tier"), "province": t("Province"), "city": t("City"), "device": t("Device"),
        "credit": t("Credit tier"), "stage_30d": t("Stage, 30 days"), "paid_last": t("Last paid"),
        "visited_last": t("Last visited"), "rfm": t("Customer class (RFM)"), "spend_30d": t("Spend, 30 days"),
        "value_band": t("Lifetime value"), "coupon_30d": t("Coupons, 30 days"),
        "subscribed": t("Subscribed to messages"), "reach": t("Reach"), "consent": t("Consent"),
    }.get(own, own)  # fmt: skip


def label_name(label: str) -> str:
    """A value likewise: ours in the current language, those of the data as they are."""
    return labelled(label)


def block(number: int, found: dict[str, Any]) -> dict[str, Any]:
    return {"chart": f"column-{number}", "title": column_name(found["column"]), "coverage": _coverage(found),
            "rows": _rows(found["values"])}  # fmt: skip


def _coverage(found: dict[str, Any]) -> str:
    """Of how many the value is known, and whether figures are estimated."""
    share = found["coverage"]
    text = t("Coverage is withheld.") if share is None else t("Coverage {share}: of so many the value is known.",
                                                              share=f"{share:.1%}")  # fmt: skip
    more = t("Estimated from pairs of columns, so without intervals.") if found["estimated"] else ""
    return " ".join(filter(None, (text, more)))


def _rows(values: list[dict[str, Any]]) -> list[list[Plain]]:
    return [[label_name(each["label"]), *figures(each)] for each in values]


def figures(each: dict[str, Any]) -> list[Plain]:
    """People with ±, shares, TGI with its interval, and whether it is significant."""
    if each["people"] is None:
        return [None, None, None, None, "", ""]
    people = f"{each['people']:,}" + (f" ± {each['within']:,}" if each["within"] else "")
    if each["tgi"] is None:
        return [people, "–", "–", "–", "", ""]
    between = "" if each["low"] is None else f"{each['low']:.0f} – {each['high']:.0f}"
    mark = t("estimated") if each["significant"] is None else t("yes") if surely(each) else t("not significant")
    return [people, f"{each['share']:.1%}", f"{each['base_share']:.1%}", f"{each['tgi']:.0f}", between, mark]


def surely(each: dict[str, Any]) -> bool:
    """Whether it differs from 100 by more than noise, and by more than rounding."""
    return bool(each["significant"]) and abs(each["tgi"] - 100) >= 0.5


def tgi_columns() -> list[str]:
    return [t("label"), t("persons"), t("share"), t("share of the base"), "TGI", t("95 of 100"), t("significant")]


def chart(number: int, found: dict[str, Any], *, compared: bool) -> Chart:
    title, values = column_name(found["column"]), found["values"]
    if compared:
        items = [Whiskered(label_name(each["label"]), each["tgi"], each["low"], each["high"]) for each in values]
        draw = partial(whiskered, f"{title} · TGI", items, unit="TGI", mark=100.0, form=".0f")
    else:
        people = [_people(each) for each in values]
        draw = partial(ranges, title, people, unit=t("persons"), width=520)
    return Chart(f"column-{number}", title, tgi_columns(), _rows(values), draw, "" if compared else _coverage(found))


def _people(each: dict[str, Any]) -> Range:
    people, within = each["people"], each["within"] or 0
    if people is None:
        return Range(label_name(each["label"]), None)
    return Range(label_name(each["label"]), people, max(0, people - within), people + within)


def top(found: list[dict[str, Any]]) -> list[list[Plain]]:
    sure = sorted((each for each in found if surely(each)), key=lambda each: -each["tgi"])
    return [[column_name(each["column"]), label_name(each["label"]), *figures(each)[:-1]] for each in sure[:10]]


def top_chart(found: list[dict[str, Any]]) -> Chart:
    sure = sorted((each for each in found if surely(each)), key=lambda each: -each["tgi"])[:10]
    items = [Whiskered(f"{column_name(each['column'])}: {label_name(each['label'])}", each["tgi"], each["low"],
                       each["high"]) for each in sure]  # fmt: skip
    title = t("Top TGI tags")
    return Chart("top", title, [t("column"), *tgi_columns()[:-1]], top(found),
                 lambda: whiskered(title, items, unit="TGI", mark=100.0, form=".0f"))  # fmt: skip


def sheet(found: list[dict[str, Any]]) -> Sheet:
    columns = [t("column"), t("label"), t("persons"), "±", t("share"), t("share of the base"), "TGI", t("low"),
               t("high")]  # fmt: skip
    rows = [[column_name(one["column"]), label_name(each["label"]), each["people"], each["within"], each["share"],
             each["base_share"], each["tgi"], each["low"], each["high"]]
            for one in found for each in one["values"]]  # fmt: skip
    return Sheet(t("Portrait"), columns, rows)


def place_chart(found: dict[str, Any]) -> Chart:
    """Provinces as tiles, city tiers and cities as bars."""
    place, values = found["column"].rpartition(".")[2], found["values"]
    title = column_name(found["column"])
    if place == "province":
        placed = [(each["label"], each["people"]) for each in values if each["label"] not in ("unknown", "other")]
        draw = partial(tiles, title, province_tiles(placed), unit=t("persons"), ground=GROUND)
    else:
        people = [_people(each) for each in values]
        draw = partial(ranges, title, people, unit=t("persons"), width=520)
    return Chart(place.replace("_", "-"), title, tgi_columns(), _rows(values), draw,
                 t("A grey tile is withheld.") if place == "province" else "")  # fmt: skip
