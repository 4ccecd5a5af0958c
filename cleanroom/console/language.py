"""The other language, without losing what is typed: the page is made once more and its form filled as it was.

The switch posts the fields of the page with its address. The address is asked for again inside this process, as the
same user in the new language, and the fields are put back by their names. Files and passwords are not.
"""

from collections.abc import Mapping, Sequence
from html import escape
from html.parser import HTMLParser

_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_NEVER = frozenset({"password", "file", "hidden", "submit", "button", "reset", "image"})


def refilled(html: str, fields: Mapping[str, Sequence[str]]) -> str:
    """The page with its controls set to `fields`, name → values, in the order in which they stand."""
    filling = _Filling(fields)
    filling.feed(html)
    filling.close()
    return "".join(filling.parts)


class _Filling(HTMLParser):
    """Copies a page, setting the controls that it meets."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._left = {name: list(values) for name, values in fields.items()}
        self._chosen: list[str] | None = None
        self._text: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        name, kind = held.get("name") or "", (held.get("type") or "text").lower()
        if tag == "input" and name and kind not in _NEVER:
            self._set_input(held, name, kind)
        elif tag == "select" and name in self._left:
            self._chosen = self._left[name]
        elif tag == "option" and self._chosen is not None:
            held.pop("selected", None)
            if held.get("value") in self._chosen:
                held["selected"] = None
        elif tag == "textarea" and self._left.get(name):
            self._text = self._left[name].pop(0)
        self.parts.append(_tag(tag, held))
        if tag == "textarea" and self._text is not None:
            self.parts.append("\n" + escape(self._text))

    def _set_input(self, held: dict[str, str | None], name: str, kind: str) -> None:
        if kind in ("checkbox", "radio"):
            held.pop("checked", None)
            if (held.get("value") or "on") in self._left.get(name, ()):
                held["checked"] = None
        elif self._left.get(name):
            held["value"] = self._left[name].pop(0)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            self.handle_starttag(tag, attrs)
        else:
            self.parts.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._chosen = None
        if tag == "textarea":
            self._text = None
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._text is None:
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")

    def handle_comment(self, data: str) -> None:
        """None is needed."""


def _tag(tag: str, held: Mapping[str, str | None]) -> str:
    attributes = "".join(f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in held.items())
    return f"<{tag}{attributes}>"
