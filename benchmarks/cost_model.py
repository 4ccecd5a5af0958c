"""What a match costs by size and cores, fitted on docs/evidence/growth.json: `python -m benchmarks.cost_model` renews
the tables of docs/scale.md in both languages.

Each stage takes a + b·rows, and the match + c·rows·log2(rows) where there are sizes enough; all non-negative, by least
relative squares, fitted on all sizes but the largest, whose error is told. A stage that one process feeds does not get
faster by cores, nor does the fixed time of any; what is counted in parallel does, by EFFICIENCY.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.growth import EVIDENCE, HANDED_OVER
from cleanroom.files import write_bytes

DOCS = EVIDENCE.parent
PAGES = {"en": DOCS / "scale.md", "zh": DOCS / "scale.zh-CN.md"}
MARK = "<!-- {name}: written by benchmarks.cost_model -->"
EFFICIENCY = 0.8
"""Of each doubling of cores: twice as many do 1.6 times as much."""
STAGES = ("load", "match", "run")
SERIAL: Mapping[str, tuple[str, ...]] = {"duckdb": ("load",), "spark": ("load",), HANDED_OVER: ()}
"""What one process feeds, whatever the cores. Handed over, `load` holds the owners' making of tokens too."""
ONE_MACHINE_CORES = 64
ONE_MACHINE_GB = 512
"""A large machine that can be hired by the hour."""
MACHINES_GB = (16, 64, ONE_MACHINE_GB)
SIZES: Mapping[str, tuple[float, float]] = {
    "10 M × 10 M": (1e7, 1e7), "100 M × 100 M": (1e8, 1e8), "1 B × 10 M": (1e9, 1e7), "1 B × 1 B": (1e9, 1e9)
}  # fmt: skip
CLUSTERS = (8, 64, 512)


@dataclass(frozen=True)
class Prices:
    """Assumed: of a core with 4 GB for an hour, and of a GB kept for a month."""

    core_hour: float
    gb_month: float


@dataclass(frozen=True)
class Fit:
    """value = a + b·rows + c·rows·log2(rows), rows being those of both sides together."""

    a: float
    b: float
    c: float = 0.0

    def __call__(self, rows: float) -> float:
        """At a size."""
        return self.a + self.b * rows + self.c * rows * math.log2(max(rows, 2))


@dataclass(frozen=True)
class Model:
    """An engine, fitted. seconds: by stage, on so many cores; memory, staged: bytes; largest: rows, measured and
    predicted seconds of what the fit did not see."""

    engine: str
    cores: int
    seconds: Mapping[str, Fit]
    memory: Fit
    staged: Fit
    sizes: tuple[int, ...]
    largest: tuple[int, float, float]

    @property
    def error(self) -> float:
        """How far the prediction is from what was measured at the largest size, as a share of it."""
        _, measured, predicted = self.largest
        return predicted / measured - 1

    def time(self, left: float, right: float, cores: int) -> float:
        """Seconds of a match of so many rows, with its questions, on so many cores; a stage's fixed time stays."""
        faster, rows = self.speed(cores), left + right
        return sum(
            fit.a + (fit(rows) - fit.a) / (1.0 if stage in SERIAL[self.engine] else faster)
            for stage, fit in self.seconds.items()
        )

    def speed(self, cores: int) -> float:
        """How many times as fast as the cores measured."""
        return float((2 * EFFICIENCY) ** math.log2(cores / self.cores)) if cores > self.cores else cores / self.cores


def models(runs: Sequence[Mapping[str, Any]]) -> dict[str, Model]:
    """Of each engine that was measured at three sizes at least."""
    found = {}
    for engine in SERIAL:
        own = sorted((run for run in runs if run["engine"] == engine and not run["kill"]), key=lambda run: run["rows"])
        if len(own) > 2:
            found[engine] = _model(engine, own)
    return found


def _model(engine: str, runs: Sequence[Mapping[str, Any]]) -> Model:
    rows, *_, last = [2 * run["rows"] for run in runs], runs[-1]
    taken = {stage: [stage_seconds(run, stage) for run in runs] for stage in STAGES}
    before = {stage: fitted(rows[:-1], values[:-1], logs=stage == "match") for stage, values in taken.items()}
    measured, predicted = (sum(values[-1] for values in taken.values()), sum(fit(rows[-1]) for fit in before.values()))
    return Model(
        engine, last["cores"], before, fitted(rows[:-1], [run["peak"] for run in runs][:-1]),
        fitted(rows[:-1], [run["staged"] for run in runs][:-1]), tuple(run["rows"] for run in runs),
        (last["rows"], measured, predicted),
    )  # fmt: skip


def stage_seconds(run: Mapping[str, Any], stage: str) -> float:
    """Of one stage; the questions together are one, and what makes the rows is none."""
    seconds: Mapping[str, float] = run["seconds"]
    if stage == "run":
        return sum(value for name, value in seconds.items() if name.startswith("run"))
    return max(seconds[stage] - (run["made"] if stage == "load" else 0.0), 0.01)


def fitted(rows: Sequence[float], values: Sequence[float], *, logs: bool = False) -> Fit:
    """The best non-negative terms, each size counting by its relative error."""
    from scipy.optimize import nnls

    size, target = np.array(rows, float), np.array(values, float)
    terms = [np.ones_like(size), size, *([size * np.log2(size)] if logs and len(rows) > 2 else [])]
    weight = 1 / np.maximum(target, 1e-9)
    found, _ = nnls(np.stack(terms, axis=1) * weight[:, None], target * weight)
    return Fit(*map(float, found))


# -- what follows from it


def most_rows(model: Model, gb: int) -> float:
    """Rows a side that fit so much memory."""
    return max(0.0, (gb * 1e9 - model.memory.a) / model.memory.b / 2) if model.memory.b else math.inf


def pays_from(duck: Model, spark: Model, cores: int) -> float:
    """Rows a side from which Spark on so many cores is faster than DuckDB on one large machine; inf: never."""
    own = min(cores, ONE_MACHINE_CORES)
    for exponent in np.arange(5, 10.01, 0.05):
        rows = 10.0**exponent
        if spark.time(rows, rows, cores) < duck.time(rows, rows, own):
            return rows
    return math.inf


def money(model: Model, left: float, right: float, cores: int, prices: Prices) -> float:
    """Of the cores while it lasts, and of what is staged."""
    seconds = model.time(left, right, cores)
    staged = model.staged(left + right) / 1e9
    return seconds / 3600 * cores * prices.core_hour + staged * prices.gb_month * seconds / 2_592_000


# -- pages

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "growth": "| engine | rows a side | load | match | 3 questions | memory | staged |",
        "model": "| engine | stage | seconds on {cores} cores, n rows of both sides |",
        "error": "| engine | fitted on rows a side | largest | measured | predicted | error |",
        "far": "| rows | engine | cores | time | memory | staged | money |",
        "kill": "| engine | rows a side | ended with -9 | the answer | time |",
        "right": "right",
        "none": "no runs yet",
        "limit": "A machine of {gb} GB holds {rows} rows a side in DuckDB's engine; beyond that it refuses, "
                 "and Spark is what answers.",
        "pays": "On {cores} cores {engine} is faster than DuckDB on a machine of {own} from {rows} rows a side on.",
        "never": "On {cores} cores {engine} is slower than DuckDB on a machine of {own} at every size up to 10 B.",
        "too large": "does not fit {gb} GB",
        "ratio": "At {rows} rows a side {engine} took {ratio} × DuckDB's time on the same {cores} cores.",
        "assumed": "Assumed: {core} a core hour, {gb} a GB month, twice the cores do {double} × as much; `load` is "
                   "fed by one process, whatever the cores; handed over it is not, and holds the owners' making of "
                   "tokens, which the others do not count.",
    },
    "zh": {
        "growth": "| 引擎 | 每侧行数 | 装载 | 匹配 | 3 个问题 | 内存 | 暂存 |",
        "model": "| 引擎 | 阶段 | {cores} 核上的秒数，n 为两侧行数之和 |",
        "error": "| 引擎 | 拟合所用每侧行数 | 最大规模 | 实测 | 预测 | 误差 |",
        "far": "| 行数 | 引擎 | 核数 | 时间 | 内存 | 暂存 | 费用 |",
        "kill": "| 引擎 | 每侧行数 | 被 kill -9 结束的 | 答案 | 时间 |",
        "right": "正确",
        "none": "尚无运行",
        "limit": "一台 {gb} GB 内存的机器用 DuckDB 引擎每侧可容纳 {rows} 行；再多会给出有名字的拒绝，只能用 Spark。",
        "pays": "{engine} 用 {cores} 核时，从每侧 {rows} 行起比一台 {own} 核机器上的 DuckDB 快。",
        "never": "{engine} 用 {cores} 核时，在每侧 100 亿行以内都比一台 {own} 核机器上的 DuckDB 慢。",
        "too large": "{gb} GB 放不下",
        "ratio": "每侧 {rows} 行时，{engine} 在同样的 {cores} 核上用时为 DuckDB 的 {ratio} 倍。",
        "assumed": "假设：每核小时 {core}，每 GB 月 {gb}，核数翻倍则吞吐为 {double} 倍；"
                   "`load` 由一个进程供数，与核数无关；交接方式则不然，且其中包含数据方制作令牌的时间，其余两种不计。",
    },
}  # fmt: skip
NAMES: Mapping[str, Mapping[str, str]] = {
    "en": {"duckdb": "DuckDB", "spark": "Spark", HANDED_OVER: "Spark, handed over"},
    "zh": {"duckdb": "DuckDB", "spark": "Spark", HANDED_OVER: "Spark（交接）"},
}


def tables(runs: Sequence[Mapping[str, Any]], prices: Prices, language: str) -> dict[str, str]:
    """The parts of a page, by mark."""
    text, names, found = TEXTS[language], NAMES[language], models(runs)
    return {
        "growth": _table(text["growth"], (_measured(run, names) for run in _ordered(runs) if not run["kill"])),
        "kill": _table(
            text["kill"], (_killed(run, text, names) for run in runs if run["kill"] and run["killed"]), text["none"]
        ),
        "model": _table(
            text["model"].format(cores=next((m.cores for m in found.values()), 2)), _terms(found, names), text["none"]
        ),
        "error": _table(text["error"], (_error(model, names) for model in found.values()), text["none"]),
        "far": _table(text["far"], _far(found, prices, text, names), text["none"]),
        "where": "\n".join(f"- {line}" for line in _where(found, runs, prices, text, names)) or text["none"],
    }


def _table(head: str, rows: Iterable[Sequence[str]], none: str = "") -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *lines]) if lines else none


def _ordered(runs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(runs, key=lambda run: (list(SERIAL).index(run["engine"]), run["rows"]))


def _measured(run: Mapping[str, Any], names: Mapping[str, str]) -> Sequence[str]:
    seconds = [_time(stage_seconds(run, stage)) for stage in STAGES]
    return [
        f"{names[run['engine']]}, {run['cores']}",
        f"{run['rows']:,}",
        *seconds,
        _bytes(run["peak"]),
        _bytes(run["staged"]),
    ]


def _killed(run: Mapping[str, Any], text: Mapping[str, str], names: Mapping[str, str]) -> Sequence[str]:
    ended = ", ".join(f"{run['kill']}: {stage}" for stage in run["killed"])
    total = sum(stage_seconds(run, stage) for stage in STAGES)
    return [names[run["engine"]], f"{run['rows']:,}", ended, text["right"], _time(total)]


def _terms(found: Mapping[str, Model], names: Mapping[str, str]) -> Iterator[Sequence[str]]:
    for model in found.values():
        for stage, fit in model.seconds.items():
            terms = [f"{fit.a:.2f}", f"{fit.b * 1e6:.3f}·n/10⁶"]
            terms += [f"{fit.c * 1e6:.4f}·n·log₂n/10⁶"] if fit.c else []
            yield names[model.engine], f"`{stage}`", " + ".join(terms)


def _error(model: Model, names: Mapping[str, str]) -> Sequence[str]:
    rows, measured, predicted = model.largest
    fitted_on = ", ".join(f"{size:,}" for size in model.sizes[:-1])
    return names[model.engine], fitted_on, f"{rows:,}", _time(measured), _time(predicted), f"{model.error:+.0%}"


def _far(
    found: Mapping[str, Model], prices: Prices, text: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[Sequence[str]]:
    for name, (left, right) in SIZES.items():
        for model in found.values():
            for cores in (ONE_MACHINE_CORES,) if model.engine == "duckdb" else CLUSTERS:
                memory = model.memory(left + right)
                if model.engine == "duckdb" and memory > ONE_MACHINE_GB * 1e9:
                    yield (
                        name,
                        names[model.engine],
                        str(cores),
                        text["too large"].format(gb=ONE_MACHINE_GB),
                        _bytes(memory),
                        "–",
                        "–",
                    )
                    continue
                shown = _bytes(memory) if model.engine == "duckdb" else "–"
                cost = money(model, left, right, cores, prices)
                yield (name, names[model.engine], str(cores), _time(model.time(left, right, cores)), shown,
                       _bytes(model.staged(left + right)), f"{cost:,.2f}")  # fmt: skip


def _where(
    found: Mapping[str, Model], runs: Sequence[Mapping[str, Any]], prices: Prices, text: Mapping[str, str],
    names: Mapping[str, str],
) -> Iterator[str]:  # fmt: skip
    if "duckdb" not in found or len(found) < 2:
        return
    duck, others = found["duckdb"], [model for name, model in found.items() if name != "duckdb"]
    seconds = {(run["engine"], run["rows"]): _total(run) for run in runs if not run["kill"]}
    for model in others:
        for rows in model.sizes:
            if ("duckdb", rows) in seconds:
                ratio = seconds[model.engine, rows] / seconds["duckdb", rows]
                yield text["ratio"].format(engine=names[model.engine], rows=f"{rows:,}", ratio=f"{ratio:.1f}",
                                           cores=duck.cores)  # fmt: skip
    for gb in MACHINES_GB:
        yield text["limit"].format(gb=gb, rows=_round(most_rows(duck, gb)))
    for model in others:
        for cores in CLUSTERS:
            rows = pays_from(duck, model, cores)
            yield text["never" if math.isinf(rows) else "pays"].format(
                engine=names[model.engine], cores=cores, own=min(cores, ONE_MACHINE_CORES), rows=_round(rows)
            )
    yield text["assumed"].format(core=prices.core_hour, gb=prices.gb_month, double=2 * EFFICIENCY)


def _total(run: Mapping[str, Any]) -> float:
    return sum(stage_seconds(run, stage) for stage in STAGES)


def _round(rows: float) -> str:
    if math.isinf(rows):
        return "∞"
    scale = 10 ** max(0, math.floor(math.log10(max(rows, 1))) - 1)
    return f"{int(rows // scale * scale):,}"


def _time(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds < 300
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _bytes(many: float) -> str:
    return f"{many / 1e9:.2f} GB" if many < 1e12 else f"{many / 1e12:.2f} TB"


def renewed(page: str, parts: Mapping[str, str]) -> str:
    """The page with its parts between their marks. Raises ValueError where a mark is missing."""
    for name, part in parts.items():
        begin, end = (MARK.format(name=f"{name}{which}") for which in ("", " end"))
        head, rest = page.split(begin)
        _, tail = rest.split(end)
        page = f"{head}{begin}\n\n{part}\n\n{end}{tail}"
    return page


def main() -> None:
    """Fit, and write the pages."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--core-hour", type=float, default=0.05, help="assumed price of a core with 4 GB for an hour")
    options.add_argument("--gb-month", type=float, default=0.02, help="assumed price of a GB kept for a month")
    options.add_argument("--show", action="store_true", help="print, and write nothing")
    given = options.parse_args()
    runs = json.loads((EVIDENCE / "growth.json").read_text("utf-8"))
    prices = Prices(given.core_hour, given.gb_month)
    show: Callable[[str], object] = sys.stdout.write
    for language, path in PAGES.items():
        parts = tables(runs, prices, language)
        if given.show:
            show("\n\n".join(parts.values()) + "\n")
        else:
            write_bytes(path, renewed(path.read_text("utf-8"), parts).encode())


if __name__ == "__main__":
    main()
