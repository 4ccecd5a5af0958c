"""The one registry of metrics: code, documentation and tooltips all read it here, so that none can differ."""

from collections.abc import Iterable, Mapping

from cleanroom.errors import UsageError
from cleanroom.insight.metric import ALL_WINDOWS, Found, Metric, View, evaluate
from cleanroom.insight.tables import WINDOWS
from cleanroom.insight.themes import behaviour, care, overview, retention

REGISTRY: Mapping[str, Metric] = {
    metric.name: metric for metric in (*overview.METRICS, *behaviour.METRICS, *care.METRICS, *retention.METRICS)
}
"""By name, in the order in which they are documented."""

THEMES = {
    "overview": ("Asset overview", "用户资产概览"),
    "composition": ("Composition", "用户构成"),
    "behaviour": ("Behaviour over 30 days", "近 30 天行为"),
    "funnel": ("Funnel", "行为漏斗"),
    "flow": ("Flow between stages", "阶段流转"),
    "care": ("C-CARE", "C-CARE"),
    "retention": ("Retention, coupons and messages", "留存、优惠券与消息"),
    "worth": ("Worth", "用户价值"),
}
"""Themes in order: English, Chinese."""


def metric(name: str) -> Metric:
    """The metric of that name. Raises UsageError for an unknown one."""
    if name not in REGISTRY:
        raise UsageError("There is no metric {name}.", "cleanroom insight metrics lists them.", name=name)
    return REGISTRY[name]


def computed(view: View, names: Iterable[str]) -> tuple[Found, ...]:
    """These metrics of one view. Raises UsageError for an unknown one."""
    return tuple(evaluate(metric(name), view) for name in names)


def of_theme(theme: str) -> tuple[str, ...]:
    """The names of a theme's metrics."""
    return tuple(name for name, each in REGISTRY.items() if each.theme == theme)


def check_window(window: int) -> int:
    """A window that there is. Raises UsageError otherwise."""
    if window not in WINDOWS:
        raise UsageError("A window has {windows} days.", windows=", ".join(map(str, ALL_WINDOWS)))
    return window


def documentation() -> str:
    """docs/metrics.md: every metric in English and Chinese, as Markdown."""
    parts = [_INTRODUCTION]
    for theme, (en, zh) in THEMES.items():
        parts.append(f"\n## {en} · {zh}\n" if en != zh else f"\n## {en}\n")
        parts.extend(_entry(REGISTRY[name]) for name in of_theme(theme))
    return "".join(parts)


def _entry(each: Metric) -> str:
    windows = "/".join(map(str, each.windows))
    window = f"{windows} days · {windows} 天" if windows else "at the report date · 报表日"
    needs = ", ".join(f"`{name}`" for name in each.needs) or "–"
    return (
        f"\n### {each.en} · {each.zh} (`{each.name}`)\n"
        f"{each.definition}  \n{each.definition_zh}\n\n"
        f"- window · 窗口: {window}\n- base · 分母: {each.base} · {each.base_zh}\n- unit · 单位: {each.unit}\n"
        f"- columns · 所需列: {needs}\n"
    )


_INTRODUCTION = """# Metrics · 指标

Every figure of `cleanroom insight` is defined here, once. This page is written by `cleanroom.insight.registry`; do not
edit it. `{w}` in a column's name stands for the window: 1d, 7d, 30d or 90d.
`cleanroom insight` 的每个指标都只在此定义一次。本页由程序生成，请勿手改。列名中的 `{w}` 代表窗口：1d、7d、30d 或 90d。

- Report date · 报表日: T-1 by default; days are days of Asia/Shanghai. A window ends with the report date.
  默认 T-1；按上海时区计日，窗口以报表日为末日。
- Figures of one's own data are exact; of another party's they are read from a released board, and each has the 95 %
  interval of its noise. Ratios: Fieller (1954), with the noise that both parts share; differences and growth: MOVER
  (Donner and Zou, 2012). 自有数据为精确值；他方数据取自已发布的看板，附噪声的 95 % 区间。
  比率用 Fieller 区间并计入分子分母共有的噪声；差值与增长率用 MOVER。
- A population is shown from k + 4.75 deviations of its noise on. The part of a population is protected by the noise.
  人群须达到 k 加 4.75 倍噪声标准差才显示；人群中的一部分由噪声保护。
- 环比 compares with the period before, 同比 with 364 days (52 weeks) before.
  环比与上一期相比，同比与 364 天（52 周）前相比。
"""
