"""The tag catalogue: the room's declared columns as nodes with options, and what was chosen of them as a crowd's rule.

A tag is a category or bucket of the contract, by the name `dataset.column`; sensitive columns are none. Titles are the
operator's where its catalogue has them. Options are labels that the contract declares; nothing of the data stands here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cleanroom import lang
from cleanroom.access import catalogue
from cleanroom.crowds import rule as rules
from cleanroom.gate.schema import Field, Schema
from cleanroom.gateway import words
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.pools import Chosen, Pool
from cleanroom.lang import t
from cleanroom.rooms.draft import OTHER, UNKNOWN
from cleanroom.rooms.store import Room

MANY_OPTIONS = 60
"""A category of more options is typed in (INPUT_VALUE), not listed."""


@dataclass(frozen=True)
class Tag:
    """A column that crowds may be described by; its titles and what it means."""

    field: Field
    zh: str
    en: str
    description: str

    @property
    def code(self) -> str:
        """dataset.column"""
        return self.field.name

    @property
    def title(self) -> str:
        """In the current language."""
        return self.zh if lang.current() == "zh" else self.en

    @cached_property
    def options(self) -> tuple[tuple[str, str, str], ...]:
        """(id, value, text) of every cell, in order; ids are the numbers of cells."""
        minor = (OTHER, UNKNOWN)
        return tuple((str(number), label, t(label) if label in minor else label)
                     for number, label in enumerate(self.field.labels))  # fmt: skip

    @property
    def type(self) -> str:
        """node_type."""
        if self.field.edges:
            return words.NUMBER_RANGE_VALUE
        if len(self.field.labels) > MANY_OPTIONS:
            return words.INPUT_VALUE
        known = {label for label in self.field.labels if label not in (OTHER, UNKNOWN)}
        return words.SINGLE_SELECT if known <= {"yes", "no"} and known else words.MULTI_SELECT


class Tags:
    """The tags of one room."""

    def __init__(self, room: Room, held: catalogue.Catalogue) -> None:
        schema = Schema.of(room.contract, room.annexes or ())
        titles = {tag.name: tag for tag in held.tags}
        sensitive = {f"{dataset.name}.{column.name}" for dataset in room.contract.datasets
                     for column in dataset.columns if column.sensitive}  # fmt: skip
        fields = [each for each in schema.fields if each.kind != "amount" and each.labels]
        self.owners = {dataset.name: dataset.owner for dataset in room.contract.datasets}
        self.every = tuple(_tag(each, titles.get(each.name)) for each in fields if each.name not in sensitive)
        self._by_code: Mapping[str, Tag] = {tag.code: tag for tag in self.every}

    def find(self, code: str) -> Tag | None:
        """The tag of that code."""
        return self._by_code.get(code)

    def column(self, name: str, owner: str) -> Tag | None:
        """The tag of a column by its bare name: of another owner's dataset, else of one of `owner`."""
        found = [tag for tag in self.every if name in (tag.field.column, tag.code)]
        others = [tag for tag in found if self.owners[tag.field.dataset] != owner]
        return next(iter([*others, *found]), None)

    # -- as nodes and options

    def nodes(self, codes: Sequence[str]) -> list[dict[str, Any]]:
        """node_list of turingtag.query: datasets as roots, tags below them; of all, or of these codes and those below
        them. Codes that there are not are left out."""
        found = []
        for name, owner in self.owners.items():
            root = {"node_code": name, "node_name": name, "node_desc": owner, "node_type": "CATEGORY",
                    "node_show_type": "TREE", "parent_node_code": ""}  # fmt: skip
            if not codes or name in codes:
                found.append(root)
            own = [tag for tag in self.every if tag.field.dataset == name]
            found += [self._node(tag) for tag in own if not codes or name in codes or tag.code in codes]
        return found

    def _node(self, tag: Tag) -> dict[str, Any]:
        options = {"code": tag.code, "id": tag.code, "name": tag.title, "option_list": _details(tag)}
        return {
            "node_code": tag.code, "node_name": tag.title, "node_desc": tag.description, "node_type": tag.type,
            "node_show_type": tag.type, "parent_node_code": tag.field.dataset, "node_option_group_id": tag.code,
            "node_option_group": {"code": tag.code, "node_option_list": [options]},
        }  # fmt: skip

    def operation(self, tag: Tag) -> dict[str, Any]:
        """An operation tag, as tagbase.batchquery and tag.query tell it."""
        option = {"option_code": tag.code, "option_name": tag.title, "option_data_type": tag.type,
                  "option_list": _details(tag)}  # fmt: skip
        return {"tag_code": tag.code, "tag_name": tag.title, "tag_desc": tag.description,
                "operation_option_list": [option]}  # fmt: skip

    def selectable(self) -> list[dict[str, Any]]:
        """select_tag_list of crowdtag.query."""
        return [
            {"tag_id": tag.code, "tag_name": tag.title, "category_tag_option_list": [
                {"tag_option_category_id": tag.code, "tag_option_category_name": tag.title,
                 "tag_option_list": [{"text": text, "value": value, "children": []} for _, value, text in tag.options]}
            ]}
            for tag in self.every
        ]  # fmt: skip

    # -- as a rule

    def rule(self, pools: Sequence[Pool]) -> rules.Rule:
        """What the pools describe. Raises Fault, naming a condition by its place among all of the call."""
        made, number = [], 0
        for place, pool in enumerate(pools):
            nodes: list[rules.Node] = []
            for chosen in pool.nodes:
                number += 1
                nodes.append(rules.Other(chosen.code) if pool.kind == words.POOL_CROWDS
                             else rules.Tags(self.condition(chosen, number)))  # fmt: skip
            join = pool.join if place else rules.UNION
            made.append(rules.Pool(tuple(nodes), pool.inside, join))  # type: ignore[arg-type]
        return rules.Rule(tuple(made))

    def condition(self, chosen: Chosen, number: int) -> str:
        """SQL over the declared labels of one column; number: the condition's place in the call."""
        tag = self.find(chosen.code)
        if tag is None:
            raise Fault("TAG_UNKNOWN", number=number)
        if not chosen.ids and not chosen.values:
            raise Fault("TAG_OPTION_MISSING", number=number)
        if chosen.values and tag.type == words.NUMBER_RANGE_VALUE and not set(chosen.values) <= set(tag.field.labels):
            labels = _between(tag.field, chosen.values, number)
        else:
            labels = _labels(tag, chosen, number)
        if tag.type == words.SINGLE_SELECT and len(labels) > 1:
            raise Fault("TAG_ONE_OPTION", number=number)
        quoted = ", ".join("'" + label.replace("'", "''") + "'" for label in labels)
        return f"{_quoted(tag.field.dataset)}.{_quoted(tag.field.column)} IN ({quoted})"


def _labels(tag: Tag, chosen: Chosen, number: int) -> tuple[str, ...]:
    by_id = {each: value for each, value, _ in tag.options}
    by_text = {text: value for _, value, text in tag.options} | {value: value for _, value, _ in tag.options}
    found = [by_id.get(each) for each in chosen.ids] + [by_text.get(each) for each in chosen.values]
    if None in found:
        raise Fault("TAG_OPTION_UNKNOWN", number=number)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _between(field: Field, values: Sequence[str], number: int) -> tuple[str, ...]:
    """Labels of the cells from one edge to below another; "" is no bound on that side."""
    if len(values) != 2 or any(value and value not in field.edges for value in values) or not any(values):
        raise Fault("TAG_RANGE_INVALID", number=number)
    low = field.edges.index(values[0]) + 1 if values[0] else 0
    high = field.edges.index(values[1]) if values[1] else len(field.edges)
    labels = field.labels[low : high + 1]
    if not labels:
        raise Fault("TAG_RANGE_INVALID", number=number)
    return labels


def _details(tag: Tag) -> list[dict[str, Any]]:
    """The options of a tag; of one that is typed in, none."""
    if tag.type == words.INPUT_VALUE:
        return []
    return [{"id": each, "value": value, "text": text, "desc": "", "parent_id": "", "parent_value": ""}
            for each, value, text in tag.options]  # fmt: skip


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _tag(field: Field, told: catalogue.Tag | None) -> Tag:
    if told is None:
        return Tag(field, field.column, field.column, "")
    return Tag(field, told.zh, told.en, told.description)
