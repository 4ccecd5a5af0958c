"""The metrics as Markdown, from their registry: a part of scripts/reference.py. The registry writes docs/metrics.md."""

from cleanroom.insight.care import BESIDE, DIMENSIONS, EIGHT, REFERENCES
from cleanroom.insight.metric import Metric
from cleanroom.insight.registry import REGISTRY, THEMES, of_theme

_DIMENSIONS = {"Scale": "多渠道精准获客", "Active": "高质量关系维护", "Worth": "多样化交易增长",
               "Efficiency": "省心高效经营"}  # fmt: skip
_VALUES = {"reachable": "可触达", "identifiable": "可识别", "interactive": "可互动", "growing": "可增值",
           "convertible": "可转化", "enhanceable": "可增强", "safe": "可安心", "efficient": "可提效"}  # fmt: skip
_EIGHT = {"en": ("dimension", "value", "defined as", "of whom", "worth a look below"),
          "zh": ("维度", "价值", "定义", "分母", "低于多少值得关注")}  # fmt: skip
_OTHERS = {"en": ("metric", "defined as", "of whom"), "zh": ("指标", "定义", "分母")}
_INTRODUCTION = (
    "`cleanroom insight` 与控制台里的每个指标都只在此定义一次。列名中的 `{w}` 代表窗口：1d、7d、30d 或 90d。",
    "- 报表日：默认 T-1；按上海时区计日，窗口以报表日为末日。\n"
    "- 自有数据为精确值；他方数据取自已发布的看板，附噪声的 95 % 区间。比率用 Fieller 区间，并计入"
    "分子分母共有的噪声；差值与增长率用 MOVER（Donner 与 Zou，2012）。\n"
    "- 人群须达到 k 加 4.75 倍噪声标准差才显示；人群中的一部分由噪声保护。\n"
    "- 环比与上一期相比，同比与 364 天（52 周）前相比。",
)


def eight(language: str) -> list[tuple[str, ...]]:
    """The eight values of C-CARE: the head of a table, and its rows."""
    rows = [_EIGHT[language]]
    for dimension, values in DIMENSIONS.items():
        for value in values:
            metric, least = REGISTRY[EIGHT[value]], REFERENCES[value]
            shown = f"{least:.0%}" if metric.unit == "share" else f"{least:g}"
            names = (f"{dimension} {_DIMENSIONS[dimension]}", _VALUES[value])
            names = names if language == "zh" else (dimension, f"{value} {_VALUES[value]}")
            rows.append((*names, *_defined(metric, language), shown))
    return rows


def beside(language: str) -> list[tuple[str, ...]]:
    """What stands beside them, likewise."""
    shown = (REGISTRY[name] for name in BESIDE)
    rows = [(each.zh if language == "zh" else each.en, *_defined(each, language)) for each in shown]
    return [_OTHERS[language], *rows]


def in_chinese() -> list[str]:
    """The Chinese of docs/metrics.md, which has both languages side by side."""
    parts = list(_INTRODUCTION)
    for theme, (_, name) in THEMES.items():
        parts.append(f"## {name}")
        for each in (REGISTRY[metric] for metric in of_theme(theme)):
            window = "/".join(map(str, each.windows)) + " 天" if each.windows else "报表日"
            needs = "、".join(f"`{column}`" for column in each.needs) or "–"
            parts += [f"### {each.zh}（`{each.name}`）", each.definition_zh]
            parts.append(f"- 窗口：{window}\n- 分母：{each.base_zh}\n- 所需列：{needs}")
    return parts


def _defined(metric: Metric, language: str) -> tuple[str, str]:
    return (metric.definition_zh, metric.base_zh) if language == "zh" else (metric.definition, metric.base)
