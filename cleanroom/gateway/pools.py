"""Crowds as calls describe them: pools of chosen tags or of crowds, in the two shapes that the SDK has for them.

What is chosen is read here; whether there is such a tag or option, and what it means, is for `cleanroom.gateway.tags`.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from cleanroom.gateway import words
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.fields import Fields


@dataclass(frozen=True)
class Chosen:
    """A node of a pool: the code of a tag or crowd, and what of the tag is chosen, by ids or by values."""

    code: str
    ids: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pool:
    """kind: whether its nodes are tags or crowds; inside and join as in `cleanroom.crowds.rule`."""

    kind: str
    inside: str
    join: str
    nodes: tuple[Chosen, ...]


@dataclass(frozen=True)
class Described:
    """crowdwithturingtag and crowdwithtag, query and create: pools, or the crowd whose rule is meant."""

    pools: tuple[Pool, ...]
    crowd: str
    name: str = ""
    description: str = ""
    channels: tuple[str, ...] = ()
    hidden: bool = False

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "Described":
        """crowdwithturingtag.query."""
        return cls(_pools(fields), fields.code("crowd_id", need=False)).filled()

    @classmethod
    def create(cls, fields: Fields, yesterday: dt.date) -> "Described":
        """crowdwithturingtag.create."""
        return cls(_pools(fields), fields.code("crowd_id", need=False), fields.name(), fields.description(),
                   fields.channels()).new()  # fmt: skip

    @classmethod
    def selected(cls, fields: Fields, yesterday: dt.date) -> "Described":
        """crowdwithtag.query."""
        return cls(_selected(fields), fields.code("crowd_id", need=False)).filled()

    @classmethod
    def select(cls, fields: Fields, yesterday: dt.date) -> "Described":
        """crowdwithtag.create."""
        return cls(_selected(fields), fields.code("crowd_id", need=False), fields.name(), fields.description(),
                   fields.channels(), bool(fields.flag("hidden"))).new()  # fmt: skip

    def filled(self) -> "Described":
        """Itself. Raises Fault where nothing is described."""
        if not self.pools and not self.crowd:
            raise Fault("POOL_LIST_EMPTY")
        return self

    def new(self) -> "Described":
        """Itself. Raises Fault where it is no description of a new crowd."""
        if self.crowd:
            raise Fault("CROWD_RULE_FIXED")
        return self.filled()


def _pools(fields: Fields) -> tuple[Pool, ...]:
    pools = fields.entries("crowd_pool_list", _pool, words.MOST_POOLS)
    for number, pool in enumerate(pools, 1):
        if not pool.nodes:
            raise Fault("POOL_EMPTY", number=number)
    return pools


def _pool(value: Any) -> Pool:
    fields = Fields(value, "crowd_pool_list")
    fields.text("crowd_pool_code", words.MOST_CODE)
    kinds = {kind: kind for kind in (words.POOL_TAGS, words.POOL_CROWDS)}
    found = Pool(fields.word("crowd_pool_type", kinds, words.POOL_TAGS),
                 fields.word("in_operation_type", words.INSIDE, "UNION"),
                 fields.word("out_operation_type", words.OPERATIONS, "UNION"),
                 fields.entries("node_list", _node, words.MOST_NODES))  # fmt: skip
    fields.done()
    return found


def _node(value: Any) -> Chosen:
    """What is chosen stands in node_option_group; the rest of a node is as `turingtag.query` told it, and is not read
    again."""
    fields = Fields(value, "node_list")
    code = fields.text("node_code", words.MOST_CODE * 2, need=True)
    for name in ("node_desc", "node_name", "node_option_group_id", "node_show_type", "node_type", "parent_node_code"):
        fields.take(name)
    group = fields.take("node_option_group")
    fields.done()
    if group is None:
        return Chosen(code)
    inner = Fields(group, "node_option_group")
    inner.take("code")
    lists = inner.entries("node_option_list", _options, words.MOST_OPTIONS)
    inner.done()
    return Chosen(code, tuple(each for ids, _ in lists for each in ids), tuple(v for _, vs in lists for v in vs))


def _options(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(ids, values) chosen in one option list: whichever of its ways of saying so is filled first."""
    fields = Fields(value, "node_option_list")
    for name in ("code", "id", "name"):
        fields.take(name)
    ids = _list(fields, "option_id_list")
    values = _list(fields, "option_value_list")
    details = fields.entries("option_list", _detail, words.MOST_OPTIONS)
    texts = _list(fields, "option_text_list")
    fields.done()
    if ids or values:
        return (ids, ()) if ids else ((), values)
    return ((), details) if details else ((), texts)


def _list(fields: Fields, name: str) -> tuple[str, ...]:
    """Texts one by one, as they are: an option may hold a comma, and one end of a range may be empty."""
    return fields.entries(name, lambda each: Fields({name: each}).text(name), words.MOST_OPTIONS)


def _detail(value: Any) -> str:
    fields = Fields(value, "option_list")
    for name in ("desc", "id", "parent_id", "parent_value", "priority", "text"):
        fields.take(name)
    found = fields.text("value", need=True)
    fields.done()
    return found


def _selected(fields: Fields) -> tuple[Pool, ...]:
    """Groups of select_tag_list: all conditions of a group hold; people of any group are meant."""
    groups = fields.entries("select_tag_list", _group, words.MOST_POOLS)
    for number, nodes in enumerate(groups, 1):
        if not nodes:
            raise Fault("POOL_EMPTY", number=number)
    return tuple(Pool(words.POOL_TAGS, "intersection", "union", nodes) for nodes in groups)


def _group(value: Any) -> tuple[Chosen, ...]:
    fields = Fields(value, "select_tag_list")
    found = fields.entries("select_tag_values", _tag_values, words.MOST_NODES)
    fields.done()
    return found


def _tag_values(value: Any) -> Chosen:
    fields = Fields(value, "select_tag_values")
    code = fields.text("tag_id", words.MOST_CODE * 2, need=True)
    fields.text("tag_option_category_id", words.MOST_CODE * 2)
    found = Chosen(code, (), fields.texts("values", words.MOST_OPTIONS))
    fields.done()
    return found
