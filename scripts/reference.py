"""Writes the pages of docs/ that are made from the code: `python scripts/reference.py`. Nobody edits them by hand.

`--check` writes nothing and ends with 1 where a page is not what the code says now; a test does the same.
"""

import dataclasses
import datetime as dt
import enum
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import reference_metrics
import reference_python
import typer.main
from reference_python import plain

import cli  # noqa: TID251 - it is what the page is about
from cleanroom import lang
from cleanroom.gateway import words
from cleanroom.gateway.codes import MESSAGES, SUB_CODES, Fault
from cleanroom.gateway.fields import Fields
from cleanroom.gateway.methods import METHODS
from cleanroom.lang import t
from cleanroom.node import config
from cleanroom.rooms import terms
from cleanroom.rooms.contract import Contract

DOCS = Path(__file__).parents[1] / "docs"
TERMS = (Contract, terms.Party, terms.Dataset, terms.Identity, terms.Column, terms.Match, terms.ReleaseRules,
         terms.Slots, terms.Activation)  # fmt: skip
MADE = {
    "en": "This page is made from the code by `scripts/reference.py`: do not edit it.",
    "zh": "本页由 `scripts/reference.py` 从代码生成，请勿手改。",
}


def page(title: str, language: str, *parts: str) -> str:
    """A page with its title and where it comes from."""
    return "\n\n".join((f"# {title}", MADE[language], *(part.strip("\n") for part in parts if part))) + "\n"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown; nothing where it has no row."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") or "–" for cell in row) + " |" for row in rows]
    names = list(heads)
    return "\n".join(["| " + " | ".join(names) + " |", "|" + "---|" * len(names), *lines]) if lines else ""


def either(language: str, en: str, zh: str) -> str:
    """A word of a page that no message of the program has."""
    return zh if language == "zh" else en


# commands


def commands(language: str) -> str:
    """Every command with its help, arguments, options and example."""
    root = typer.main.get_command(cli.app)
    title = either(language, "Commands", "命令")
    told = either(
        language,
        "`--lang en` or `--lang zh` stands before or after any command, `--help` after it. Exit codes: 0 done, 2 "
        "usage, 3 refused by a rule, 4 bad input, 5 peer or protocol failure, 1 our bug. A failure leaves no output "
        "file.",
        "任何命令前后都可以加 `--lang en` 或 `--lang zh`，其后可以加 `--help`。退出码：0 完成，2 用法有误，"
        "3 被规则拒绝，4 输入有误，5 对方或协议出错，1 程序自身的错误。失败时不会留下输出文件。",
    )
    return page(title, language, told, *_walk(root, "cleanroom", language))


def _walk(node: Any, called: str, language: str) -> Iterator[str]:
    children = getattr(node, "commands", {})
    alone = [name for name, child in children.items() if not getattr(child, "commands", {})]
    groups = [name for name in children if name not in alone]
    if called == "cleanroom":
        yield f"## {either(language, 'Without a group', '不分组的命令')}"
    for name in alone:
        yield from _command(children[name], f"{called} {name}", language)
    for name in groups:
        child = children[name]
        yield f"{'##' if called == 'cleanroom' else '###'} {called} {name}"
        yield t(child.help) if child.help else ""
        yield _parameters(child, language)
        yield from _walk(child, f"{called} {name}", language)


def _command(node: Any, called: str, language: str) -> Iterator[str]:
    yield f"### {called}"
    yield t(node.help)
    if node.epilog:
        yield "```text\n" + re.sub(r" {4,}", "\n", re.sub(r"\[/?dim\]", "", node.epilog)) + "\n```"
    yield _parameters(node, language)


def _parameters(node: Any, language: str) -> str:
    heads = ("", either(language, "default", "默认值"), either(language, "meaning", "含义"))
    shown = (each for each in node.params if not each.hidden and each.name != "lang")
    return table(heads, (_parameter(each, language) for each in shown))


def _parameter(each: Any, language: str) -> tuple[str, str, str]:
    named = " ".join(each.opts + each.secondary_opts)
    kind = each.type_descriptor.annotation if each.type_descriptor else str
    if each.param_type_name == "argument":
        named = named.upper()
    elif not each.is_flag:
        named += f" {_taken(kind)}"
    many = each.multiple or each.nargs == -1
    default = each.default.value if isinstance(each.default, enum.Enum) else each.default
    if each.required:
        default = either(language, "required", "必填")
    elif default in (None, "", False, [], ()) or callable(default):
        default = ""
    return f"`{named}`{' …' if many else ''}", str(default), t(each.help) if each.help else ""


def _taken(kind: Any) -> str:
    kinds = [each for each in typing.get_args(kind) if each is not type(None)] or [kind]
    if isinstance(kinds[0], type) and issubclass(kinds[0], enum.Enum):
        return "|".join(str(member.value) for member in kinds[0])
    return {"int": "N", "float": "X", "Path": "FILE"}.get(getattr(kinds[0], "__name__", ""), "TEXT")


# settings


def settings(language: str) -> str:
    """Every key of node.toml."""
    title = either(language, "Settings of a node", "节点的设置")
    told = either(
        language,
        "`node.toml` in the home; `cleanroom node settings --default` prints it whole. The environment overrides each "
        "key. No secret is a setting: a setting names the file that holds one.",
        "写在主目录的 `node.toml` 里；`cleanroom node settings --default` 会打印完整的一份。"
        "每一项都可以用环境变量覆盖。设置里没有任何密钥：只写存放密钥的文件。",
    )
    heads = (either(language, "key", "键"), either(language, "default", "默认值"), either(language, "bounds", "范围"),
             either(language, "environment", "环境变量"), either(language, "meaning", "含义"))  # fmt: skip
    top = [each for each in dataclasses.fields(config.Config) if each.name not in config.TABLES]
    parts = [told, table(heads, (_setting(each, "") for each in top))]
    for name, kind in config.TABLES.items():
        parts += [f"## [{name}]", t(config.TITLES[name])]
        parts.append(table(heads, (_setting(each, name) for each in dataclasses.fields(kind))))
    return page(title, language, *parts)


def _setting(each: "dataclasses.Field[Any]", inside: str) -> tuple[str, ...]:
    said = each.metadata
    bounds = f"{said['least']:g} – {said['most']:.15g}" if said["most"] else ""
    default = ", ".join(each.default) if isinstance(each.default, tuple) else str(each.default)
    variable = config.ENVIRONMENT + (f"{inside}_" if inside else "").upper() + each.name.upper()
    return f"`{each.name}`", f"`{default}`" if default else "", bounds, f"`{variable}`", t(said["text"])


# the contract


def contract() -> str:
    """Every field of the signed terms."""
    parts = [
        "What is signed, as the program holds it. [The contract](../contract.md) explains each and has an example."
    ]
    for kind in TERMS:
        parts += [f"## {kind.__name__}", _told(kind)]
        rows = ((f"`{each.name}`", f"`{_typed(kind, each.name)}`", _default(each)) for each in dataclasses.fields(kind))
        parts.append(table(("field", "type", "default"), rows))
    return page("Fields of a contract", "en", *parts)


def _typed(kind: type[Any], name: str) -> str:
    given = kind.__annotations__[name]
    if typing.get_origin(given) == typing.Literal:
        return " | ".join(map(str, typing.get_args(given)))
    return plain(given)


def _default(each: "dataclasses.Field[Any]") -> str:
    if each.default is dataclasses.MISSING:
        return "needed" if each.default_factory is dataclasses.MISSING else ""
    return f"`{each.default}`" if each.default not in ("", (), None, False, 0) else ""


# the gateway


class Recorder(Fields):
    """Fields of nothing that give the least that fits whatever is asked of them, and remember what was."""

    def __init__(self) -> None:
        super().__init__({})
        self.asked: dict[str, tuple[str, bool]] = {}

    def _ask(self, name: str, kind: str, need: bool = False) -> None:
        if self.asked.get(name, ("", False))[0] == "":
            self.asked[name] = (kind, need)

    def take(self, name: str) -> Any:
        self._ask(name, "")
        return None

    def text(self, name: str, most: int = words.MOST_TEXT, *, need: bool = False, too_long: str = "") -> str:
        self._ask(name, " or ".join(words.SCENES) if name == "scene_code" else f"text, at most {most}", need)
        return (words.SCENE_CROWD if name == "scene_code" else "x") if need else ""

    def flag(self, name: str) -> bool | None:
        self._ask(name, "true or false")
        return None

    def whole(self, name: str, *, default: int | None = None) -> int:
        self._ask(name, "whole number" + (f", else {default}" if default is not None else ""), default is None)
        return words.LEAST_SPREAD if default is None else default

    def entries(self, name: str, read: Callable[[Any], Any], most: int, *, too_long: str = "") -> tuple[Any, ...]:
        self._ask(name, f"list, at most {most:,}")
        return ()

    def texts(self, name: str, most: int, longest: int = words.MOST_TEXT) -> tuple[str, ...]:
        self._ask(name, f"list of texts, at most {most:,}")
        return ()

    def channels(self, name: str = "apply_channel_list") -> tuple[str, ...]:
        self._ask(name, "list of channels")
        return ("coupon",)

    def word(self, name: str, known: Any, default: str = "") -> Any:
        self._ask(name, " or ".join(known) + (f", else {default}" if default else ""), not default)
        return next(iter(known.values()))

    def day(self, name: str, yesterday: dt.date) -> dt.date:
        self._ask(name, "yyyyMMdd, else yesterday")
        return yesterday


def gateway() -> str:
    """Every method with what its content may hold, and every sub_code."""
    rows = [(f"`{name}`", "yes" if method.changes else "no", _fields(method)) for name, method in METHODS.items()]
    parts = [
        "What the methods take in `biz_content`; entries of lists, and what each is here, are in "
        "[the gateway](../gateway.md#methods). A field with * is needed. A method that changes something takes the "
        "same signed bytes once.",
        table(("method", "changes", "fields"), rows),
        "## Codes",
        table(("code", "msg"), ((f"`{code}`", text) for code, text in MESSAGES.items())),
        "## sub_codes",
        table(("sub_code", "code", "says", "中文"),
              ((f"`{name}`", sub.code, sub.en, sub.zh) for name, sub in SUB_CODES.items())),
    ]  # fmt: skip
    return page("Methods of the gateway", "en", *parts)


def _fields(method: Any) -> str:
    recorder = Recorder()
    try:
        method.parse(recorder, dt.date(2026, 1, 31))
    except Fault as fault:
        if fault.sub_code in ("USER_LIST_EMPTY", "POOL_LIST_EMPTY"):
            wanted = next(name for name, (kind, _) in recorder.asked.items() if kind.startswith("list"))
            recorder.asked[wanted] = (recorder.asked[wanted][0], True)
    return "<br>".join(f"`{name}`{'*' if need else ''} {kind}" for name, (kind, need) in recorder.asked.items())


def python() -> str:
    """The Python interface."""
    name, parts = reference_python.parts()
    return page(f"Python: `{name}`", "en", *parts)


def _told(kind: type[Any]) -> str:
    return textwrap.dedent(inspect.getdoc(kind) or "")


# pages with tables that are filled


def c_care(name: str, language: str) -> str:
    """The page as it stands, with its two tables made anew."""
    text = (DOCS / name).read_text("utf-8")
    for mark, rows in (("eight", reference_metrics.eight(language)), ("beside", reference_metrics.beside(language))):
        made = f"<!-- {mark} -->\n{table(rows[0], rows[1:])}\n<!-- end -->"
        text = re.sub(rf"<!-- {mark} -->.*?<!-- end -->", lambda _, made=made: made, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def decisions() -> str:
    """The list of decision records."""
    rows = []
    for record in sorted((DOCS / "decisions").glob("*.md")):
        number, _, title = record.read_text("utf-8").splitlines()[0].removeprefix("# ").partition(". ")
        rows.append((number, f"[{title}](decisions/{record.name})"))
    return page(
        "Decisions", "en", "What was decided, why, and what was refused; one page each.", table(("", "record"), rows)
    )


PAGES: dict[str, tuple[str, Callable[[], str]]] = {
    "reference/cli.md": ("en", lambda: commands("en")),
    "reference/cli.zh-CN.md": ("zh", lambda: commands("zh")),
    "reference/settings.md": ("en", lambda: settings("en")),
    "reference/settings.zh-CN.md": ("zh", lambda: settings("zh")),
    "reference/contract.md": ("en", contract),
    "reference/gateway.md": ("en", gateway),
    "reference/python.md": ("en", python),
    "metrics.zh-CN.md": ("zh", lambda: page("指标", "zh", *reference_metrics.in_chinese())),
    "c-care.md": ("en", lambda: c_care("c-care.md", "en")),
    "c-care.zh-CN.md": ("zh", lambda: c_care("c-care.zh-CN.md", "zh")),
    "decisions.md": ("en", decisions),
}
"""Each page, the language that it is made in, and how."""


def made(name: str) -> str:
    """What a page must be now."""
    language, make = PAGES[name]
    before = lang.current()
    lang.choose(language)
    try:
        return make()
    finally:
        lang.choose(before)


def stale() -> list[str]:
    """The pages that are not what the code says."""
    paths = {name: DOCS / name for name in PAGES}
    return [name for name, path in paths.items() if not path.exists() or path.read_text("utf-8") != made(name)]


def main(words: list[str]) -> int:
    found = stale()
    for name in found:
        if "--check" in words:
            print(f"docs/{name} is stale: python scripts/reference.py")
        else:
            path = DOCS / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(made(name), "utf-8")
            print(f"docs/{name}")
    return int(bool(found) and "--check" in words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
