"""One call from two files to an overlap with segments, on this machine: each party in a process and home of its own."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cleanroom.api import html
from cleanroom.api.figures import Chart, Figures
from cleanroom.api.rooms import Room
from cleanroom.lang import t
from cleanroom.overlap import Overlap as Asked
from cleanroom.overlap import run

if TYPE_CHECKING:
    from cleanroom.report.charts import Picture

Protocol = Literal["auto", "keyed", "vole", "dh", "oprf", "join-sum"]


class Overlap:
    """What came of it. plain: as `cleanroom overlap --json` prints it; home: where the parties' homes stay, or None.

    Example: `cr.Overlap.of("members.csv", "users.csv", by=["city_tier"]).segments.df()`.
    """

    @classmethod
    def of(cls, merchant: Path | str, platform: Path | str, *, by: Sequence[str] = (), sums: Sequence[str] = (),
           home: Path | str | None = None, protocol: Protocol = "auto", on: str = "phone", noise: bool = False,
           receiver: Literal["merchant", "platform"] = "platform", room: str = "overlap", k: int = 100,
           **more: Any) -> "Overlap":  # fmt: skip
        """Overlap and segments of two files. home: where the room and both homes stay, so that one can go on asking
        there; by default they are removed. noise: False is a contract without noise, which it says; more: as
        `overlap.Overlap`.

        Example: `cr.Overlap.of("members.csv", "users.csv", by=["city_tier"], noise=True, home="clean").room`.
        Raises the named errors of every stage; nothing is left half-made.
        """
        asked = Asked(str(merchant), str(platform), on=on, protocol=protocol, by=tuple(by), sums=tuple(sums), k=k,
                      receiver=receiver, room=room, noise=noise, **more)  # fmt: skip
        path = None if home is None else Path(home).expanduser()
        return cls(run(asked, path), path)

    def __init__(self, plain: Mapping[str, Any], home: Path | None) -> None:
        self.plain, self.home = plain, home

    @property
    def people(self) -> int | None:
        """How many both sides have: exact or with noise as the room says; None: withheld, or a range alone."""
        value = self.plain["overlap"]["value"]
        return None if value is None else int(value)

    @property
    def segments(self) -> Figures:
        """By the columns asked for."""
        noise = self.plain["noise"]
        lines = self.plain["segments"] or []
        halves = [] if noise == "off" else [_halves(each, noise) for each in lines]
        return Figures(lines, self._said(), halves, self._bars if lines else None)

    @property
    def learned(self) -> dict[str, list[str]]:
        """What each party learned by this run, in words."""
        return {party: [each["text"] for each in found] for party, found in self.plain["learned"].items()}

    @property
    def room(self) -> Room:
        """The room that was made. Raises UsageError where its home was not kept."""
        return Room.open(self.home or Path("–"), self.plain["room"])

    def chart(self) -> Chart:
        """Two circles: both sides' persons, and whom they share."""
        from cleanroom.report import charts  # Altair

        low, high = self._range()
        sizes = (int(self.plain[side]["unique"]) for side in ("left", "right"))
        left, right = (charts.Size(name, size, size) for name, size in zip(
            (t("merchant"), t("platform")), sizes, strict=True))  # fmt: skip
        both = charts.Size(t("both"), low, high)
        return Chart(charts.overlap(t("Overlap"), left, right, both, noise_off=self.plain["noise"] == "off"))

    def _range(self) -> tuple[int | None, int | None]:
        if self.people is not None:
            return self.people, self.people
        low, high = self.plain["overlap"]["range"]
        return (None, None) if self.plain["overlap"]["withheld"] else (low, high)

    def _said(self) -> str:
        noise, k = self.plain["noise"], self.plain["k"]
        if noise == "off":
            return t("Noise off: numbers are exact. Groups under {k} persons are withheld.", k=k)
        return t("Noise on: numbers of persons are within ± {width} in 95 of 100 cases. Groups are shown from {least} "
                 "on; others may be withheld.", width=noise["people"], least=noise["least"])  # fmt: skip

    def _bars(self) -> "Picture":
        from cleanroom.report import charts

        lines = self.plain["segments"]
        by = [name for name, value in lines[0].items() if isinstance(value, str)]
        bars = [charts.Bar(" · ".join(t(each[name]) for name in by), each["people"]) for each in lines]
        return charts.bars(t("Segments"), bars, unit=t("people"), noise_off=self.plain["noise"] == "off")

    def __repr__(self) -> str:
        return f"<Overlap by {self.plain['protocol']}: {self.people}>"

    def _repr_html_(self) -> str:
        low, high = self._range()
        shown = t("withheld") if low is None else f"{low:,}" if low == high else f"{low:,} – {high:,}"
        facts = {t("merchant"): f"{self.plain['left']['unique']:,}",
                 t("platform"): f"{self.plain['right']['unique']:,}", t("both"): shown,
                 t("protocol"): self.plain["protocol"],
                 t("Between the parties"): t("{count} bytes", count=f"{self.plain['wire_bytes']:,}")}  # fmt: skip
        parts = [html.facts(facts, t("Overlap"))]
        if self.plain["segments"]:
            parts.append(self.segments._repr_html_())
        return html.box(*parts, html.note("" if self.plain["segments"] else self._said()))


def _halves(line: Mapping[str, Any], noise: Mapping[str, Any]) -> dict[str, float]:
    """Half the 95 % interval of each noised number of a segment; of an average to first order."""
    people, found = line["people"], {"people": noise["people"]}
    for name, width in noise["sums"].items():
        short = name if name in line else name.rpartition(".")[2]
        found[short], mean = width, line.get(f"{short}_average")
        if mean is not None and people > 0:
            found[f"{short}_average"] = round(math.hypot(width, mean * noise["people"]) / people, 2)
    return found
