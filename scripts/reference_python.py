"""The Python interface as Markdown, from its signatures and docstrings: a part of scripts/reference.py."""

import dataclasses
import importlib
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

MODULE = "cleanroom.api"


def parts() -> tuple[str, list[str]]:
    """The module's name, and of each public name a heading and its docstring."""
    module = importlib.import_module(MODULE)
    told = [_doc(module)]
    for name in getattr(module, "__all__", None) or _defined(module):
        told += list(_entry(name, getattr(module, name), "##"))
    return module.__name__, told


def _defined(module: Any) -> list[str]:
    kinds = (type, type(_doc))
    own = [
        name for name, each in vars(module).items() if isinstance(each, kinds) and each.__module__ == module.__name__
    ]
    return [name for name in own if not name.startswith("_")]


def _entry(name: str, each: Any, mark: str) -> Iterator[str]:
    if not (inspect.isclass(each) or callable(each)):
        yield f"{mark} {name}"
        return
    yield f"{mark} {name}"
    yield f"`{name}{_signature(each)}`"
    yield _doc(each)
    for inner, member in sorted(vars(each).items()) if inspect.isclass(each) else ():
        found = inspect.unwrap(getattr(member, "__func__", None) or getattr(member, "func", None) or member)
        if inner.startswith("_") or not inspect.getdoc(found) or dataclasses.is_dataclass(found):
            continue
        if isinstance(member, property) or hasattr(member, "func"):
            yield f"**`{name}.{inner}`**  \n{_doc(member)}"
        elif inspect.isfunction(found):
            yield f"**`{name}.{inner}{_signature(found)}`**  \n{_doc(found)}"


def _signature(each: Any) -> str:
    try:
        found = inspect.signature(each)
    except (TypeError, ValueError):
        return ""
    given = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    shown, starred = [], any(one.kind is one.VAR_POSITIONAL for one in given)
    for one in given:
        if one.kind is one.KEYWORD_ONLY and not starred:
            shown, starred = [*shown, "*"], True
        mark = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        kind = "" if one.annotation is one.empty else f": {plain(one.annotation)}"
        default = "" if one.default is one.empty else f" = {'…' if callable(one.default) else repr(one.default)}"
        shown.append(f"{mark}{one.name}{kind}{default}")
    back = found.return_annotation
    gives = "" if inspect.isclass(each) or back is found.empty else f" → {plain(back)}"
    return f"({', '.join(shown)}){gives}"


def plain(kind: Any) -> str:
    """A type as one writes it, without the modules."""
    text = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    return (
        re.sub(r"\b(?:[a-z_]\w*\.)+(\w+)", r"\1", text).replace("'", "").replace("ForwardRef(DataFrame)", "DataFrame")
    )


def _doc(each: Any) -> str:
    """A docstring as Markdown: what is indented in it, blank lines between included, is code."""
    text = re.sub(r"::$", ":", (inspect.getdoc(each) or "").strip(), flags=re.MULTILINE)
    fenced = re.sub(
        r"(?:^ {4}.*\n?(?:\n(?= {4}))?)+",
        lambda found: f"```python\n{textwrap.dedent(found[0]).rstrip()}\n```\n",
        text,
        flags=re.MULTILINE,
    )
    return fenced.rstrip()
