"""A room in a notebook: the contract in words, questions and their price, plans, boards, crowds, campaigns, audit.

A room's parties on this machine are met at the first question that needs them, and stay for the next ones until
`close`, the end of a `with`, or the end of this process.
"""

import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cleanroom import auditing, boards, budgets, planning, querying
from cleanroom.activation import desk as addressing
from cleanroom.answer import closing
from cleanroom.api import campaigns, crowds, html
from cleanroom.api.accounts import Budget, Ledger, Steps, steps
from cleanroom.api.campaigns import Campaign
from cleanroom.api.contracts import Contract
from cleanroom.api.crowds import Crowd
from cleanroom.api.figures import Figures
from cleanroom.api.insight import Page, Portrait, changes
from cleanroom.api.releases import Priced, Receipt, Release
from cleanroom.campaigns import running
from cleanroom.crowds.rule import Node
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.insight import portrait_views, views
from cleanroom.insight.registry import THEMES
from cleanroom.lang import current, t
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.store import read
from cleanroom.node.parties import Meeting, usual
from cleanroom.node.together import Together
from cleanroom.rooms import desk
from cleanroom.rooms.store import Rooms


class Room:
    """A room of a home on this machine.

    Example::

        room = cr.Room.open("~/merchant", "market")
        room.contract                                        # who learns what, in words
        room.query("SELECT level, COUNT(*) FROM matched GROUP BY level", within="5%")
        room.plan("SELECT level, COUNT(*) FROM matched GROUP BY level")     # from the newest plan: free
    """

    def __init__(self, home: Path, name: str, meeting: Meeting = usual) -> None:
        self.home, self.name = home, name
        self._together = Together(meeting)
        self.meeting: Meeting = self._together
        weakref.finalize(self, self._together.close)

    @classmethod
    def open(cls, home: Path | str, name: str = "", *, meeting: Meeting = usual) -> "Room":
        """A room by its name, or the only one. Raises UsageError or BadData where there is no such home or room."""
        path = Path(home).expanduser()
        names = Rooms(Home.open(path).rooms).names()
        if not name and len(names) != 1:
            raise UsageError("Name the room: this home has {names}.", names=", ".join(names) or "–")
        querying.opened(path, name or names[0])
        return cls(path, name or names[0], meeting)

    @classmethod
    def list(cls, home: Path | str) -> Figures:
        """The rooms of a home, each with its protocol, its parties and whether it is in force."""
        lines = [{t("room"): each["room"], t("protocol"): each["protocol"],
                  t("parties"): ", ".join(map(t, each["parties"])),
                  t("until"): each["expires"][:10], t("in force"): t("yes") if each["in_force"] else t("no")}
                 for each in desk.listed(Path(home))["rooms"]]  # fmt: skip
        return Figures(lines)

    def close(self) -> None:
        """Let the parties' processes go; a later question starts them again."""
        self._together.close()

    def __enter__(self) -> "Room":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    # -- the contract

    @cached_property
    def contract(self) -> Contract:
        """Parties, columns, rules, and who learns what, in words."""
        return Contract(desk.described(self.home, self.name))

    def purpose(self, wanted: str = "") -> str:
        """The purpose wanted, or the contract's only one. Raises UsageError where it has several."""
        known = self.contract.plain["purposes"]
        if not wanted and len(known) > 1:
            raise UsageError("The contract has several purposes: {purposes}.", "Name one.", purposes=", ".join(known))
        return wanted or str(known[0])

    # -- questions

    def price(self, sql: str = "", *, within: str | None = None, template: str | None = None,
              values: Mapping[str, str] | None = None) -> Priced:  # fmt: skip
        """How a question is understood, and what it would cost; nothing is computed. Raises as `query`."""
        home, room = querying.opened(self.home, self.name)
        told = querying.answer(self.home, self.name, sql, dry_run=True, within=within, template=template, values=values)
        asked, _ = querying.understand(home, room, sql, template, values)
        due = None if told["exact"] else querying.priced(home, room, asked, within)[1]
        return Priced(due, told["understood"])

    def query(self, sql: str = "", *, within: str | None = None, template: str | None = None,
              values: Mapping[str, str] | None = None) -> Release:  # fmt: skip
        """Ask, and pay. within: how exact counts must be, as '30' persons or '5%'; template: by its name, with values.

        Raises QueryRefused at its place in the text, Refused for what the room does not release or can no longer pay.
        """
        home, room = querying.opened(self.home, self.name)
        asked, digest = querying.understand(home, room, sql, template, values)
        return Release(querying.ask(home, room, asked, within=within, template=digest, values=values,
                                    meeting=self.meeting))  # fmt: skip

    def overlap(self, *by: str, where: str = "", within: str | None = None) -> Release:
        """How many people both sides have, by columns: `query` without writing SQL.

        Example: `room.overlap("crm.level", where="users.city_tier = '一线'")`.
        """
        return self.query(_count(by, where), within=within)

    # -- plans: charged once a period, then free

    def make_plan(self, period: Literal["weekly", "monthly"] = "weekly", *, dry_run: bool = False) -> dict[str, Any]:
        """Make this period's plan, unless there is one. dry_run: only its price (rho_micro)."""
        return planning.make(self.home, self.name, period, dry_run=dry_run, meeting=self.meeting)

    def plan(self, sql: str = "") -> Figures:
        """How many people, from the newest plan: free, however often. Without SQL: every column by its values.

        Raises UsageError where there is no plan, Refused for what it has not.
        """
        if sql:
            found = planning.read(self.home, self.name, sql)
            least = t("Groups are shown from {least} on; others are withheld.", least=found["least"])
            return Figures(found["rows"], t("{first}. {second}", first=found["said"], second=least), found["within"])
        whole = planning.show(self.home, self.name)
        groups = [(each["column"], group) for each in whole["columns"] for group in each["groups"]]
        lines = [{t("column"): column, t("label"): group["label"], t("people"): group["people"]}
                 for column, group in groups]  # fmt: skip
        halves = [{} if group["within"] is None else {t("people"): group["within"]} for _, group in groups]
        day = whole["made"][:10]
        return Figures(lines, t("from the plan of {day}", day=day), halves, title=self._total(whole["total"]))

    def estimate(self, *by: str, where: str = "") -> Figures:
        """`plan` without writing SQL. Example: `room.estimate("crm.level", where="users.gender = '女'")`."""
        return self.plan(_count(by, where))

    def portrait(self, *columns: str, where: str = "", base: str = "") -> Portrait:
        """How the people that `where` means differ from those of `base` (all in the match), by columns: TGI. Free."""

        def portrayed(chart: Path | None = None) -> dict[str, Any]:
            return portrait_views.portrait(self.home, self.name, columns, where=where, base=base, chart=chart)

        return Portrait(portrayed(), portrayed)

    # -- boards: one's own are free, others' are charged once and then free

    def make_board(self, dataset: str = "", *, board: boards.Board = "full", dry_run: bool = False) -> dict[str, Any]:
        """Release a board of another owner's dataset. dry_run: only its price."""
        return boards.make(self.home, self.name, dataset=dataset, board=board, dry_run=dry_run, meeting=self.meeting)

    def page(self, name: str = "overview", *, window: int = 30, dataset: str = "", date: str = "",
             exclude_import: bool = False) -> Page:  # fmt: skip
        """One page: overview, composition, behaviour, funnel, flow, retention. Raises UsageError without a board."""
        if name not in views.PAGES:
            raise UsageError("There is no page {name}.", "There are {names}.", name=name, names=", ".join(views.PAGES))
        return self._page(THEMES[name][current() == "zh"], views.page, name, window=window, dataset=dataset, date=date,
                          exclude_import=exclude_import)  # fmt: skip

    def care(self, *, window: int = 30, dataset: str = "", date: str = "") -> Page:
        """The eight values of C-CARE, and `.diagnosis`: which is weakest, and what helps."""
        return self._page("C-CARE", views.care, window=window, diagnosed=True, dataset=dataset, date=date)

    def trend(self, metric: str = "visitors", *, period: str = "day", last: int = 31, dataset: str = "") -> Page:
        """A metric at each period's end. Raises UsageError for one that has no such trend."""
        return self._page(metric, views.trend, name=metric, period=period, last=last, dataset=dataset)

    def compare(self, *metrics: str, window: int = 30, dataset: str = "") -> Figures:
        """Metrics against the period before and against 52 weeks before, as far as there are boards; by default the
        usual ones."""
        return changes(views.compared(self.home, self.name, names=metrics, window=window, dataset=dataset))

    def _page(self, title: str, view: Any, *given: Any, **options: Any) -> Page:
        def shown(chart: Path | None = None) -> dict[str, Any]:
            return dict(view(self.home, self.name, *given, chart=chart, **options))

        found = shown()
        return Page(found, str(found.get("title", title)), shown)

    # -- crowds and campaigns

    def people(self, *nodes: str | Node) -> Crowd:
        """Those of whom any of these holds, as a crowd that is not saved yet; none: everybody who matches.

        Example: `room.people("level = '金卡'") - room.people("visited_last = '1 day'")`.
        """
        return crowds.people(self, *nodes)

    def crowd(self, code: str) -> Crowd:
        """A saved crowd by its code."""
        return crowds.found(self, code)

    def crowds(self) -> Sequence[Crowd]:
        """The room's crowds, the newest first."""
        return crowds.listed(self)

    def upload(
        self, file: Path | str, name: str, *, on: str = "", channels: Sequence[str] = (), days: int = 90
    ) -> Crowd:
        """A crowd of the people in a file of one's own; it is sealed in this home."""
        return crowds.uploaded(self, file, name, on=on, channels=channels, days=days)

    def campaign(self, name: str, *, crowd: str = "", channel: str = "", purpose: str = "", days: int = 14,
                 held_out: float = 0.1, slot: int = 1, strata: Sequence[str] = (),
                 most: float = 500.0) -> Campaign:  # fmt: skip
        """A campaign by its name; a new one where its crowd (a code) is named. most: of a person's spend, major units.

        The other side creates it with the same terms. Raises Refused for what the contract does not allow.
        """
        if not crowd:
            return Campaign(self, name)
        return campaigns.created(self, name, crowd=crowd, channel=channel, purpose=self.purpose(purpose), days=days,
                                 held_out=held_out, slot=slot, strata=tuple(strata), most=most)  # fmt: skip

    def export(self, code: str, file: Path | str, channel: str = "") -> dict[str, Any]:
        """Where people are addressed: write those of a crowd that was given here to a file, less whom consent, holdout
        and caps leave out; how many. One bit a person leaves by that: it is for the channel alone."""
        return addressing.exported(self.home, self.name, code, Path(file), channel=channel)

    def trial(self, crowd: Crowd | None = None, *, people: int = 0, base: float = 0.05, held_out: float = 0.1,
              wanted: float = 0.0, within: str | None = None) -> dict[str, Any]:  # fmt: skip
        """What a campaign of this size can show, before anything is spent: the smallest lift (`difference`)."""
        code = crowd.kept.code if crowd is not None else ""
        return running.plan(self.home, self.name, people=people, crowd=code, base=base, wanted=wanted,
                                      held_out=round(1000 * held_out), within=within)  # fmt: skip

    # -- accounts

    def budget(self) -> Budget:
        """What may still be asked this month."""
        return Budget(budgets.told(self.home, self.name))

    def ledger(self) -> Ledger:
        """The home's ledger in words."""
        return Ledger(auditing.entries(self.home))

    def receipts(self) -> Sequence[Receipt]:
        """Of the answers that this home keeps of this room, oldest first."""
        home = Home.open(self.home)
        asked = [str(each.body["question"]) for each in read(home.ledger_path).entries if each.kind == "release"]
        with open_ledger(home) as ledger:
            kept = [each for each in dict.fromkeys(asked) if ledger.stored_answer(each) is not None]
        signed = [closing.recall(home, each)[1] for each in kept]
        return [Receipt(each) for each in signed if each.receipt.room == self.name]

    def verify(self, receipt: Path | str | None = None) -> Steps:
        """The contract, the ledger and a receipt's file, checked. Raises BadData naming the step that failed."""
        room = desk.verified(self.home, self.name)
        found = auditing.verified(self.home, None if receipt is None else Path(receipt), None)
        return steps(room, found["ledger"], found["receipt"])

    # -- shown

    def _total(self, total: Mapping[str, Any]) -> str:
        people = t("withheld") if total["people"] is None else f"{total['people']:,} ± {total['within']:,}"
        return f"{t('In the match')}: {people}"

    def __repr__(self) -> str:
        return f"<Room {self.name} of {', '.join(self.contract.parties)}>"

    def _repr_html_(self) -> str:
        names = [(t(each), text) for each, found in self.contract.learns.items() for text in found[:2]]
        return html.box(html.facts(self.contract.rules()), html.table((t("party"), t("learns")), names),
                        html.note(t("All of it: room.contract")))  # fmt: skip


def _count(by: Sequence[str], where: str) -> str:
    """A count of people by columns, as SQL; the gate reads it like any other."""
    shown = "".join(f"{each}, " for each in by)
    groups = " GROUP BY " + ", ".join(by) if by else ""
    return f"SELECT {shown}COUNT(*) AS people FROM matched{f' WHERE {where}' if where else ''}{groups}"  # noqa: S608
