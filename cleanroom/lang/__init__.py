"""Chinese and English. English texts stand in the code and are the keys; `zh/*.json` holds their translations."""

import functools
import json
import locale
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources

LANGUAGES = ("en", "zh")
_current = "en"
_spoken: ContextVar[str] = ContextVar("spoken", default="")
"""The language of what is under way here alone; "" for that of the process."""


def choose(wanted: str | None = None) -> str:
    """Set and return the language: the one wanted, else by environment and locale."""
    global _current
    _current = wanted or by_locale()
    return _current


def by_locale() -> str:
    """'zh' where the environment or the locale says Chinese, else 'en'."""
    names = [os.environ.get(name, "") for name in ("CLEANROOM_LANG", "LC_ALL", "LC_MESSAGES", "LANG")]
    first = next((name for name in names if name), None) or locale.getlocale()[0] or ""
    return "zh" if first.lower().startswith(("zh", "chinese")) else "en"


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """What is done inside speaks this language, whatever others in this process speak."""
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def current() -> str:
    """The language now in force."""
    return _spoken.get() or _current


def t(text: str, /, **params: object) -> str:
    """`text` in the current language, with its `{names}` filled; untranslated texts stay English."""
    text = catalogue_text(text)
    return text.format(**params) if params else text


def explain(error: Exception) -> tuple[str, str]:
    """(what went wrong, what to do) of one of our errors, in the current language."""
    params: dict[str, object] = getattr(error, "params", {})
    template, hint = getattr(error, "template", str(error)), getattr(error, "hint", "")
    return tuple(catalogue_text(text).format(**params) for text in (template, hint))  # type: ignore[return-value]


def catalogue_text(text: str) -> str:
    """`text` translated but not filled."""
    return catalogue().get(text, text) if current() == "zh" else text


def known(text: str) -> bool:
    """Whether `text` is one of this program's."""
    return text in catalogue()


@functools.cache
def catalogue() -> dict[str, str]:
    """English text → Chinese text, of all files in `zh/`."""
    merged: dict[str, str] = {}
    for file in sorted(resources.files(__package__).joinpath("zh").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".json"):
            merged |= json.loads(file.read_text("utf-8"))
    return merged
