"""The language of a crowd's rule: pools of conditions, uploaded lists and other crowds, joined by union and the like.

A rule says whom one means and holds nothing of the data: conditions on declared columns as SQL, codes of lists and of
crowds. Its form is canonical JSON with a version:

    {"format": "cleanroom-crowd-rule/1", "pools": [
        {"inside": "union", "join": "union", "nodes": [["tags", "tier = 'gold'"], ["uploaded", "L…", ""]]},
        {"inside": "union", "join": "difference", "nodes": [["crowd", "C…"]]}]}
Pools are joined from the first to the last: ((first ∘ second) ∘ third); the first pool's own join means nothing and is
union. What a rule means in a room is said by `cleanroom.crowds.pools`.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError

FORMAT = "cleanroom-crowd-rule/1"
UNION, INTERSECTION, DIFFERENCE = "union", "intersection", "difference"
MOST_POOLS, MOST_NODES, MOST_SQL, MOST_CODE = 32, 64, 20_000, 64
Inside = Literal["union", "intersection"]
Join = Literal["union", "intersection", "difference"]


@dataclass(frozen=True)
class Tags:
    """People of whom a condition on declared columns of either side holds; as SQL, what stands after WHERE. Empty:
    everybody who matches."""

    where: str

    def plain(self) -> list[canonical.Json]:
        """As canonical JSON."""
        return ["tags", self.where]


@dataclass(frozen=True)
class Uploaded:
    """People in a list of this party's; or, with its name, in one that the owner of another dataset of the room holds.

    list_code: With `CODE@20261122` its version of that day, otherwise the newest.
    """

    list_code: str
    dataset: str = ""

    def plain(self) -> list[canonical.Json]:
        """As canonical JSON."""
        return ["uploaded", self.list_code, self.dataset]


@dataclass(frozen=True)
class Other:
    """People of another crowd of the same room, as its rule is."""

    crowd_code: str

    def plain(self) -> list[canonical.Json]:
        """As canonical JSON."""
        return ["crowd", self.crowd_code]


Node = Tags | Uploaded | Other


@dataclass(frozen=True)
class Pool:
    """Nodes, how they are taken together, and how the pool is joined to the pools before it. Raises UsageError."""

    nodes: tuple[Node, ...]
    inside: Inside = "union"
    join: Join = "union"

    def __post_init__(self) -> None:
        if not self.nodes:
            raise UsageError("A pool of the rule is empty.", "Put a condition, a list or a crowd in it.")
        if len(self.nodes) > MOST_NODES:
            raise UsageError("A pool holds at most {most} conditions, lists and crowds.", most=MOST_NODES)
        if self.inside not in (UNION, INTERSECTION):
            raise UsageError("Inside a pool there is union or intersection.")
        if self.join not in (UNION, INTERSECTION, DIFFERENCE):
            raise UsageError("Between pools there is union, intersection or difference.")
        for node in self.nodes:
            _check(node)

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON."""
        return {"inside": self.inside, "join": self.join, "nodes": [each.plain() for each in self.nodes]}


@dataclass(frozen=True)
class Rule:
    """The pools in their order. Raises UsageError."""

    pools: tuple[Pool, ...]

    def __post_init__(self) -> None:
        if not self.pools:
            raise UsageError("A rule has at least one pool.", "Put a condition, a list or a crowd in it.")
        if len(self.pools) > MOST_POOLS:
            raise UsageError("A rule has at most {most} pools.", most=MOST_POOLS)
        if self.pools[0].join != UNION:
            raise UsageError("The first pool has nothing before it to be joined to.", 'Its join is "union".')

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of all pools."""
        return tuple(node for pool in self.pools for node in pool.nodes)

    @property
    def crowds(self) -> tuple[str, ...]:
        """Codes of the crowds that it stands on, sorted."""
        return tuple(sorted({node.crowd_code for node in self.nodes if isinstance(node, Other)}))

    def without(self, nodes: tuple[Node, ...]) -> "Rule":
        """The same without the people of these nodes; as it is where there are none."""
        return Rule((*self.pools, Pool(nodes, "union", "difference"))) if nodes else self

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON."""
        return {"format": FORMAT, "pools": [each.plain() for each in self.pools]}

    def digest(self) -> str:
        """SHA-256 in hex of how it is written; what it means has a digest of its own (`Selection.digest`)."""
        return canonical.digest(FORMAT, self.plain())


def simple(where: str) -> Rule:
    """One condition."""
    return Rule((Pool((Tags(where),)),))


def listed(code: str, dataset: str = "") -> Rule:
    """One list."""
    return Rule((Pool((Uploaded(code, dataset),)),))


def combined(codes: tuple[str, ...], operation: Join) -> Rule:
    """Crowds taken together; difference: the first without all others. Raises UsageError for fewer than two."""
    if len(set(codes)) < 2:
        raise UsageError("Two or more different crowds are combined.")
    if operation == DIFFERENCE:
        return Rule((Pool((Other(codes[0]),)), Pool(tuple(map(Other, codes[1:])), "union", "difference")))
    if operation not in (UNION, INTERSECTION):
        raise UsageError("Between pools there is union, intersection or difference.")
    return Rule((Pool(tuple(map(Other, codes)), cast(Inside, operation)),))


def from_plain(value: Any) -> Rule:
    """Of `Rule.plain`. Raises BadData for another form, UsageError for what cannot be meant."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadData("A crowd's rule is of an unknown version.", 'It begins with "format": "{known}".', known=FORMAT)
    try:
        pools = value["pools"]
        if value.keys() != {"format", "pools"} or not isinstance(pools, list):
            raise _malformed()
        return Rule(tuple(_pool(each) for each in pools))
    except (KeyError, TypeError, AttributeError) as error:
        raise _malformed() from error


def from_text(text: str) -> Rule:
    """Of JSON. Raises as `from_plain`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed() from error
    return from_plain(value)


def _pool(value: Any) -> Pool:
    if not isinstance(value, dict) or not {"nodes"} <= value.keys() <= {"nodes", "inside", "join"}:
        raise _malformed()
    if not isinstance(value["nodes"], list):
        raise _malformed()
    nodes = tuple(_node(each) for each in value["nodes"])
    return Pool(nodes, value.get("inside", "union"), value.get("join", "union"))


def _node(value: Any) -> Node:
    match value:
        case ["tags", str(where)]:
            return Tags(where)
        case ["uploaded", str(code)]:
            return Uploaded(code)
        case ["uploaded", str(code), str(dataset)]:
            return Uploaded(code, dataset)
        case ["crowd", str(code)]:
            return Other(code)
    raise _malformed()


def _check(node: Node) -> None:
    if isinstance(node, Tags):
        if len(node.where) > MOST_SQL:
            raise UsageError("A condition of the rule is longer than {most} characters.", most=MOST_SQL)
        return
    code = node.list_code if isinstance(node, Uploaded) else node.crowd_code
    if not 0 < len(code) <= MOST_CODE or not code.isprintable():
        raise UsageError("A list or crowd is named by its code.", "cleanroom crowd list shows them.")


def _malformed() -> BadData:
    return BadData("A crowd's rule is not in the form that this version knows.")
