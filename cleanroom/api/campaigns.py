"""A campaign in a notebook: its size planned, its arms drawn and committed to, its lift measured with intervals.

Each side keeps the same terms in its own home; whoever addresses people draws the arms. Nothing here sees a person.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanroom.api import html
from cleanroom.api.accounts import Steps
from cleanroom.api.figures import Chart
from cleanroom.campaigns import running
from cleanroom.campaigns.campaign import Terms
from cleanroom.campaigns.store import Campaigns
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.privacy import accounting

if TYPE_CHECKING:
    from cleanroom.api.rooms import Room


class Campaign:
    """One campaign of a room, at this home.

    Example::

        campaign = room.campaign("spring", crowd=crowd.code, channel="coupon", days=14, held_out=0.3)
        campaign.start()                     # where people are addressed: arms are drawn, and committed to
        campaign.collect("orders.csv", day="day", amount="amount")
        campaign.price(within="10")          # what measuring costs, before it is charged
        campaign.measure(within="10").chart()
    """

    def __init__(self, room: "Room", name: str) -> None:
        self.room, self.name = room, name

    @property
    def plain(self) -> dict[str, Any]:
        """As `cleanroom campaign show --json` has it."""
        return running.show(self.room.home, self.room.name, self.name)

    @property
    def terms(self) -> Terms:
        """As both sides keep them."""
        return Campaigns(Home.open(self.room.home), self.room.name).load(self.name).terms

    @property
    def commitment(self) -> str:
        """What whoever draws the arms has committed to, for the other side to record; empty before the start."""
        made = self.plain["commitments"]
        return str(made[-1]["commitment"]) if made else ""

    @property
    def lift(self) -> dict[str, Any] | None:
        """Difference of the arms' shares of payers: value, low and high; None before it is measured."""
        measured = self.plain["measured"]
        return None if measured is None else dict(measured["difference"])

    def start(self, *, version: str = "", commitment: str = "", day: str = "") -> "Campaign":
        """Draw and commit; elsewhere record the partner's `commitment`. day: the first one, today by default."""
        running.start(self.room.home, self.room.name, self.name, version=version, commitment=commitment, day=day)
        return self

    def collect(self, source: Path | str = "", *, on: str = "", day: str = "", amount: str = "") -> "Campaign":
        """Put what came of it beside this dataset: events where people are addressed, orders at the other side."""
        running.collect(self.room.home, self.room.name, self.name, str(source), on=on, day=day, amount=amount)
        return self

    def price(self, *, within: str | None = None, reach: bool = False) -> list[dict[str, Any] | None]:
        """Of each release that measuring takes; nothing is asked."""
        found = running.measure(self.room.home, self.room.name, self.name, within=within, reach=reach, dry_run=True)
        return list(found["price"])

    def measure(self, *, within: str | None = None, reach: bool = False, touches: bool = False) -> "Campaign":
        """Lift from one charged release; reach, touches: one more each."""
        running.measure(self.room.home, self.room.name, self.name, within=within, reach=reach, touches=touches,
                        meeting=self.room.meeting)  # fmt: skip
        return self

    def cost(self, **costs: int) -> "Campaign":
        """Enter costs in minor units (media, coupons, points, …); what is not named stays."""
        running.cost(self.room.home, self.room.name, self.name, costs)
        return self

    def verify(self) -> Steps:
        """The arms against the commitment and the ledger. Raises BadData naming what does not hold."""
        found = running.verify(self.room.home, self.room.name, self.name)
        arms = t("{treated} treated, {held} held out", treated=f"{found['treated']:,}", held=f"{found['held_out']:,}")
        return Steps((
            t("The arms are those that were committed to before anything was sent."),
            f"{t('Commitment')}: {found['commitment']}",
            f"{t('Ledger')}: {t('entry {seq}, {made}', seq=found['entry'], made=found['made'])}",
            f"{t('Arms')}: {arms}",
        ))  # fmt: skip

    def close(self) -> None:
        """End it: its slot is free, its seed and draws are gone, its results stay."""
        running.close(self.room.home, self.room.name, self.name)

    def chart(self) -> Chart:
        """Payers of both arms. Raises UsageError before it is measured."""
        from cleanroom.campaigns import report  # Altair

        found = self.plain
        if found["measured"] is None:
            raise UsageError("The campaign {name} was not measured yet.", "Run: cleanroom campaign measure",
                             name=self.name)  # fmt: skip
        return Chart(report.drawn(found))

    def __repr__(self) -> str:
        return f"<Campaign {self.name} of the room {self.room.name}>"

    def _repr_html_(self) -> str:
        from cleanroom.campaigns.report import ARM_NAMES, channel_name, number, percent

        found = self.plain
        facts = {t("Campaign"): f"{self.name} ({found['room']})",
                 t("Crowd"): f"{found['crowd']} · {channel_name(found['channel'])} · {found['purpose']}",
                 t("Begins"): t("{day}, {days} days", day=found["starts"] or t("not begun"), days=found["days"]),
                 t("Held out"): f"{found['held_out'] / 10:g} %"}  # fmt: skip
        measured, worth = found["measured"], found["worth"]
        if measured is None:
            return html.box(html.facts(facts), html.note(t("It was not measured yet.")))
        facts |= {t("Lift"): percent(measured["difference"], signed=True),
                  t("Payers for its sake"): number(measured["payers"]),
                  t("Revenue for its sake"): number(measured["revenue"])}  # fmt: skip
        if found["costs"]["total"]:
            facts[t("Cost per payer for its sake")] = number(worth["cost_per_payer"], ",.2f")
            facts["ROI"] = percent(worth["roi"], signed=True)
        noise = measured["noise"]  # a payer counts 1 of the unit that is noised, as a person does
        half = accounting.half_width(noise["sigma"], noise["draws"]) if noise else None
        arms = [
            (t(ARM_NAMES[each["arm"]]), html.number(each["people"], half), html.number(each["payers"], half),
             percent(each["share"]))
            for each in measured["arms"]
        ]  # fmt: skip
        heads = (t("arm"), t("people"), t("payers"), t("share"))
        told = t("In brackets: 95 of 100, chance and noise together. ! is more than these explain.")
        return html.box(html.facts(facts), html.table(heads, arms, t("Everybody as assigned")), html.note(told))


def created(room: "Room", name: str, *, crowd: str, channel: str, purpose: str, days: int, held_out: float, slot: int,
            strata: tuple[str, ...], most: float) -> Campaign:  # fmt: skip
    """A new one with these terms."""
    terms = Terms(
        name, room.name, crowd, channel, purpose, days, round(1000 * held_out), slot, strata, round(100 * most)
    )
    running.create(room.home, terms)
    return Campaign(room, name)
