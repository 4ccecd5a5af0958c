"""How `cleanroom/report/fonts/CleanroomSansSC-Regular.otf` was made: Noto Sans CJK SC cut down to simplified Chinese.

Needs fonttools (`pip install fonttools` in a throwaway environment; the product itself does not need it) and the font
collection of Debian's package `fonts-noto-cjk`:

    apt-get download fonts-noto-cjk && dpkg -x fonts-noto-cjk_*.deb noto
    python scripts/subset_font.py noto/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc cleanroom/report/fonts

Kept: ASCII, Latin-1, every character of GB 2312 (6,763 ideographs and its punctuation), and the signs that reports use.
The licence (SIL OFL 1.1) asks that a changed font says so and does not use a reserved name, hence the new family name.
"""

import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTCollection

FAMILY = "Cleanroom Sans SC"
SIGNS = "–—‘’“”…·•≤≥≠≈±×÷−→←↑↓▲▼●○■□◆✓✗€£¥￥‰′″∩∪∅"


def gb2312() -> set[int]:
    """Code points of GB 2312: all two-byte codes that the codec knows."""
    kept = set()
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                kept.add(ord(bytes([high, low]).decode("gb2312")))
            except UnicodeDecodeError:
                continue
    return kept


def main(collection: str, folder: str) -> None:
    """Write the subset of the collection's simplified Chinese face."""
    faces = TTCollection(collection, recalcTimestamp=False).fonts  # the font's own date stays: same bytes at each run
    font = next(face for face in faces if face["name"].getDebugName(4) == "Noto Sans CJK SC")
    options = Options()
    options.hinting = False
    options.desubroutinize = False
    options.layout_features = ["kern", "liga", "vert"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes={*range(0x20, 0x7F), *range(0xA0, 0x100), *map(ord, SIGNS), *gb2312()})
    subsetter.subset(font)
    names = {1: FAMILY, 3: f"{FAMILY} 1; subset of Noto Sans CJK SC", 4: FAMILY, 6: "CleanroomSansSC-Regular"}
    for record in font["name"].names:
        if record.nameID in names:
            record.string = names[record.nameID]
    font["CFF "].cff.fontNames = [names[6]]
    top = font["CFF "].cff.topDictIndex[0]
    top.FullName = top.FamilyName = FAMILY
    font.save(str(Path(folder) / "CleanroomSansSC-Regular.otf"))


if __name__ == "__main__":
    main(*sys.argv[1:])
