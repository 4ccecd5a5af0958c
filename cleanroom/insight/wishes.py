"""Insight for users by token and providers by grant: the pages of `cleanroom insight`, read from what was released.

Nothing is released here and nothing charged: boards and plans are read as the owner of the home reads them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cleanroom.crowds.wishes import number, texts
from cleanroom.errors import UsageError
from cleanroom.home import Home

if TYPE_CHECKING:
    from cleanroom.node.work import Afar

TAKES = {"page", "window", "exclude_import", "date", "dataset", "metric", "by", "last", "columns", "where", "base",
         "everybody", "diagnose"}  # fmt: skip
OTHERS = ("care", "trend", "compare", "portrait", "cities")
Step = Callable[[str, int, int], None]


def work(home: Home, room: str, arguments: dict[str, Any], parties: "Afar", step: Step) -> dict[str, Any]:
    """The job of a call `insight`. arguments: page, and what that page takes. Raises UsageError for an unknown page,
    and as `insight.views` and `insight.portrait_views`."""
    from cleanroom.insight import portrait_views, views  # numba, scipy

    page = str(arguments.get("page", "overview"))
    of: dict[str, Any] = {name: _text(arguments, name) for name in ("date", "dataset")}
    where, base = _text(arguments, "where"), _text(arguments, "base")
    read: dict[str, Any] = {**of, "exclude_import": arguments.get("exclude_import") == "yes"}
    window = number(arguments, "window", 30)
    if page in views.PAGES:
        return views.page(home.path, room, page, window=window, **read)
    match page:
        case "care":
            return views.care(home.path, room, window=window, diagnosed=arguments.get("diagnose") == "yes", **read)
        case "trend":
            return views.trend(home.path, room, name=_text(arguments, "metric") or "visitors",
                               period=_text(arguments, "by") or "day", last=number(arguments, "last", 31),
                               **read)  # fmt: skip
        case "compare":
            return views.compared(home.path, room, names=texts(arguments, "metric"), window=window, **read)
        case "cities":
            return portrait_views.geography(home.path, room, where=where)
        case "portrait":
            columns = texts(arguments, "columns")
            if arguments.get("everybody") == "yes":
                return portrait_views.of_everybody(home.path, room, columns, where=where, base=base, **of)
            return portrait_views.portrait(home.path, room, columns, where=where, base=base)
    raise UsageError("There is no page {page}.", "There are: {pages}.", page=page[:64],
                     pages=", ".join((*views.PAGES, *OTHERS)))  # fmt: skip


def _text(arguments: dict[str, Any], name: str) -> str:
    found = texts(arguments, name)
    if len(found) > 1:
        raise UsageError("{name} is one text.", name=name)
    return found[0] if found else ""
