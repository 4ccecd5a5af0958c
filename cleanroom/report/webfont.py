"""A page's own font: the characters it shows, cut out of our Chinese font, for browsers that have none of their own.

Nothing is embedded into a page without Chinese, and no character but the page's own.
"""

import base64
import io
import unicodedata
from importlib import resources

FAMILY = "Cleanroom Sans SC"
"""The name of our font, in pages and in pictures (`charts`)."""


def face(text: str) -> str:
    """An @font-face rule with the characters of `text`, or nothing where none of them is Chinese."""
    characters = set(text)
    if not any(map(_is_wide, characters)):
        return ""
    content = base64.b64encode(_subset(characters)).decode()
    return f'@font-face {{ font-family: "{FAMILY}"; src: url(data:font/woff;base64,{content}) format("woff"); }}\n'


def _is_wide(character: str) -> bool:
    """Whether a Latin font would lack it: of East Asian width (Unicode Standard Annex 11)."""
    return unicodedata.east_asian_width(character) in "WF"


def _subset(characters: set[str]) -> bytes:
    """Our font as WOFF (W3C, 2012) with these characters only; those that it has not are left to the browser."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    with resources.as_file(resources.files(__package__) / "fonts" / "CleanroomSansSC-Regular.otf") as path:
        font = TTFont(path, lazy=True, recalcBBoxes=False, recalcTimestamp=False)
        subsetter = Subsetter(Options(layout_features=[], notdef_outline=True))
        subsetter.populate(unicodes=map(ord, characters))
        subsetter.subset(font)
        font.flavor = "woff"
        target = io.BytesIO()
        font.save(target)
        font.close()
    return target.getvalue()
