"""From a draft to a rule, and from any rule to words: what it means by columns and labels, pool by pool.

Words come from how the gate understood the rule, never from how it was typed, so that what stands there is what holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cleanroom.console.screens.crowds_columns import Columns
from cleanroom.console.screens.crowds_draft import CROWD, LIST, SQL, Condition, Draft, Group, Part
from cleanroom.console.visit import Visit
from cleanroom.crowds import reading
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.lists import ListHead, Lists
from cleanroom.crowds.rule import INTERSECTION, UNION, Node, Other, Pool, Rule, Tags, Uploaded
from cleanroom.crowds.selection import Listed, Selection
from cleanroom.crowds.store import Crowds
from cleanroom.enclave.query import split_name
from cleanroom.errors import KNOWN, UsageError
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.querying import opened
from cleanroom.rooms.store import Room

MOST_LINES = 12


@dataclass(frozen=True)
class Line:
    """People who meet all of these: (column's title, labels). Empty: everybody."""

    sides: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Said:
    """A pool in words. before: how it is joined to those above; nodes: of each its title and its lines, people in any
    of them; between: the word between nodes."""

    before: str
    between: str
    nodes: tuple[tuple[str, tuple[Line, ...]], ...]


class Reader:
    """What drafts and rules of one room are read against."""

    def __init__(self, visit: Visit, room: str) -> None:
        """Raises Refused where this party brings no data to the room."""
        self.home: Home
        self.room: Room
        self.home, self.room = opened(visit.path, room)
        self.columns = Columns(self.home, self.room)

    def rule(self, draft: Draft) -> Rule | None:
        """What the draft means so far: conditions without a label, and pools without a condition, are left out; None
        where nothing is left. Raises UsageError for columns and labels that there are not."""
        pools: list[Pool] = []
        for group in draft.pools:
            nodes = tuple(node for part in group.parts if (node := self._node(part)) is not None)
            if nodes:
                pools.append(Pool(nodes, group.inside, group.join if pools else UNION))  # type: ignore[arg-type]
        return Rule(tuple(pools)) if pools else None

    def _node(self, part: Part) -> Node | None:
        if part.kind == SQL:
            return Tags(part.where.strip()) if part.where.strip() else None
        if part.kind in (LIST, CROWD):
            return None if not part.code else Uploaded(part.code) if part.kind == LIST else Other(part.code)
        where = self.sql(part)
        return Tags(where) if where else None

    def sql(self, part: Part) -> str:
        """A tag's conditions as SQL; "" where no label is chosen. "Everybody else" is by the other labels, so that who
        has no value is in it."""
        if part.kind != "tag":
            return part.where
        told = [text for each in part.conditions if (text := self._condition(each, part.other))]
        return (" AND " if part.every != part.other else " OR ").join(told)

    def _condition(self, held: Condition, turned: bool) -> str:
        if not held.column or not held.labels:
            return ""
        column = self.columns.by_code.get(held.column)
        known = () if column is None else tuple(label for label, _ in column.options)
        if not set(held.labels) <= set(known):
            raise UsageError("This column or label is not in the contract any more.", "Choose another.")
        chosen = [each for each in known if (each in held.labels) != (held.other != turned)]
        if not chosen:
            raise UsageError("Nobody can meet a condition that leaves out every label.", "Leave one of them in.")
        quoted = ", ".join("'" + label.replace("'", "''") + "'" for label in chosen)
        return f"{'.'.join(map(_name, split_name(held.column)))} IN ({quoted})"

    def selection(self, rule: Rule) -> Selection:
        """Whom it means. Raises as `reading.understood`."""
        return reading.understood(self.home, self.room, rule)

    # -- words

    def said(self, rule: Rule) -> list[Said]:
        """The rule, pool by pool. Raises as `selection`."""
        found = []
        for number, pool in enumerate(rule.pools):
            before = "" if not number else joins()[pool.join]
            nodes = tuple((self._titled(node), self._lines(node)) for node in pool.nodes)
            found.append(Said(before, insides()[pool.inside], nodes))
        return found

    def _titled(self, node: Node) -> str:
        if isinstance(node, Other):
            return t("The crowd {name}", name=Crowds(self.home).get(node.crowd_code).name)
        if isinstance(node, Uploaded):
            return t("The list {name}", name=self.list_name(node.list_code))
        return ""

    def _lines(self, node: Node) -> tuple[Line, ...]:
        if isinstance(node, Uploaded):
            return ()
        return self.lines(self.selection(Rule((Pool((node,)),))))

    def lines(self, selection: Selection) -> tuple[Line, ...]:
        """Its alternatives, at most MOST_LINES of them."""
        return tuple(Line(tuple(self._sides(box))) for box in selection.boxes[:MOST_LINES])

    def _sides(self, box: Iterable[object]) -> Iterable[tuple[str, str]]:
        for each in box:
            if isinstance(each, Listed):
                yield t("in the list") if each.inside else t("not in the list"), self.list_name(each.code)
                continue
            column, cells = each.column, each.cells  # type: ignore[attr-defined]
            labels = self.room.annex(*split_name(column)).labels
            yield self.columns.title(column), self.columns.text(column, [labels[cell] for cell in cells])

    def list_name(self, code: str) -> str:
        """What people call a list of this home; of another home its code."""
        own = code.partition("@")[0]
        return next((head.name for head in Lists(self.home).names() if head.code == own), own)


def meant(visit: Visit, crowd: Crowd) -> list[Said]:
    """A crowd's rule in words; nothing where it cannot be read any more, as of an archived crowd."""
    try:
        return Reader(visit, crowd.room).said(crowd.rule)
    except KNOWN:
        return []


def drafted(rule: Rule) -> tuple[Group, ...]:
    """A rule as a draft's pools: its conditions stay SQL."""
    return tuple(Group(tuple(map(_part, pool.nodes)), pool.inside, pool.join) for pool in rule.pools)


def _part(node: Node) -> Part:
    if isinstance(node, Tags):
        return Part(SQL, where=node.where)
    if isinstance(node, Uploaded):
        return Part(LIST, code=node.list_code)
    return Part(CROWD, code=node.crowd_code)


def own_lists(home: Home) -> Sequence[ListHead]:
    """Lists that a rule may name: uploaded and grey ones."""
    return [head for head in Lists(home).names() if head.kind in ("upload", "grey")]


def joins() -> dict[str, str]:
    """How pools are joined."""
    return {"union": t("and these people too (∪)"), "intersection": t("of these, only who is also here (∩)"),
            "difference": t("without these people (−)")}  # fmt: skip


def insides() -> dict[str, str]:
    """How what stands in a pool is taken together."""
    return {UNION: t("or"), INTERSECTION: t("and")}


def _name(name: str) -> str:
    return name if name.isascii() and name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'
