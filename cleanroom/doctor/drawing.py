"""Whether charts can be drawn, with Chinese in them."""

from collections.abc import Iterator

from cleanroom.doctor.finding import Finding
from cleanroom.lang import t

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><text x="4" y="32" font-size="28" ' \
       'font-family="{family}">{sign}</text></svg>'  # fmt: skip


def checks() -> Iterator[Finding]:
    """All of this module."""
    title = t("Charts")
    try:
        drawn = _drawn("安", "全")
    except ImportError:
        yield Finding("charts", title, "bad", t("what draws them does not load"),
                      t("Run: pip install '{need}'", need="vl-convert-python"))  # fmt: skip
        return
    except (OSError, ValueError) as error:
        yield Finding("charts", title, "bad", t("drawing failed: {error}", error=type(error).__name__),
                      t("Install this program anew."))  # fmt: skip
        return
    if drawn:
        yield Finding("charts", title, "ok", t("are drawn, with the Chinese font of this program"))
    else:
        yield Finding("charts", title, "warn", t("Chinese signs are drawn as empty boxes"),
                      t("Install this program anew: its font is missing."))  # fmt: skip


def _drawn(one: str, other: str) -> bool:
    """Whether two signs look different, which boxes in their place do not."""
    import vl_convert

    from cleanroom.report import charts
    from cleanroom.report.webfont import FAMILY

    charts._fonts()
    first, second = (bytes(vl_convert.svg_to_png(_SVG.format(family=FAMILY, sign=each))) for each in (one, other))
    return first != second
