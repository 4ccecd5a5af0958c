"""The builder's form: from its fields to a draft, and what each of its buttons does to the draft.

Fields are named by their place, p0.n1.c2.column; a button says do=remove:0:1:2. Nothing is believed of what comes:
places that there are not are left out, columns and labels are looked up in the contract when the rule is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from starlette.datastructures import FormData

from cleanroom.console.screens.crowds_draft import (
    CROWD,
    LIST,
    MOST_CONDITIONS,
    MOST_NODES,
    MOST_POOLS,
    SQL,
    TAG,
    Condition,
    Draft,
    Group,
    Part,
)
from cleanroom.crowds.rule import DIFFERENCE, INTERSECTION, MOST_SQL, UNION
from cleanroom.errors import UsageError

_KINDS = (TAG, SQL, LIST, CROWD)
_MOST_TEXT = 500


def read(draft: Draft, form: FormData) -> Draft:
    """The draft as the form has it; a form without a rule (p0.join) changes none."""
    pools = tuple(_group(form, f"p{at}") for at in range(MOST_POOLS) if f"p{at}.inside" in form)
    days = str(form.get("days", draft.days))
    return replace(
        draft, pools=pools or draft.pools, name=_text(form, "name", draft.name),
        description=_text(form, "description", draft.description),
        channels=tuple(map(str, form.getlist("channels"))) if "name" in form else draft.channels,
        days=int(days) if days.isdecimal() and len(days) < 5 else draft.days,
    )  # fmt: skip


def _text(form: FormData, name: str, usual: str) -> str:
    return str(form.get(name, usual))[:_MOST_TEXT]


def _group(form: FormData, at: str) -> Group:
    parts = tuple(_part(form, f"{at}.n{n}") for n in range(MOST_NODES) if f"{at}.n{n}.kind" in form)
    inside, join = str(form.get(f"{at}.inside")), str(form.get(f"{at}.join", UNION))
    return Group(parts, inside if inside in (UNION, INTERSECTION) else UNION,
                 join if join in (UNION, INTERSECTION, DIFFERENCE) else UNION)  # fmt: skip


def _part(form: FormData, at: str) -> Part:
    kind = str(form[f"{at}.kind"])
    conditions = tuple(_condition(form, f"{at}.c{c}") for c in range(MOST_CONDITIONS) if f"{at}.c{c}.column" in form)
    return Part(kind if kind in _KINDS else TAG, conditions, form.get(f"{at}.every", "all") == "all",
                form.get(f"{at}.other") == "yes", str(form.get(f"{at}.where", ""))[:MOST_SQL],
                str(form.get(f"{at}.code", ""))[:64])  # fmt: skip


def _condition(form: FormData, at: str) -> Condition:
    column = str(form[f"{at}.column"])[:130]
    same = form.get(f"{at}.of") == column  # labels stand there of the column that was shown before
    labels = tuple(str(each) for each in form.getlist(f"{at}.label")) if same else ()
    return Condition(column, labels, form.get(f"{at}.other") == "yes")


def done(draft: Draft, what: str, sql_of: Callable[[Part], str]) -> tuple[Draft, str]:
    """(the draft after a button, the place that is to have the focus). what: its name and the place it stands at.

    sql_of: how a part reads as SQL. Raises UsageError for what there is not.
    """
    name, *places = what.split(":")
    at = [int(each) for each in places if each.isdecimal() and len(each) < 4]
    if name == "pool" and not at:
        _check(len(draft.pools), MOST_POOLS)
        return replace(draft, pools=(*draft.pools, Group())), f"p{len(draft.pools)}.add"
    if not at or at[0] >= len(draft.pools):
        raise UsageError("This part of the rule is not there any more.", "Load the page anew.")
    if len(at) == 1:
        return _of_pool(draft, name, at[0])
    group, focus = _of_group(draft.pools[at[0]], name, at[0], at[1:], sql_of)
    return replace(draft, pools=_set(draft.pools, at[0], group)), focus


def _of_pool(draft: Draft, name: str, at: int) -> tuple[Draft, str]:
    pools = list(draft.pools)
    group = pools[at]
    if name in _KINDS:
        _check(len(group.parts), MOST_NODES)
        made = Part(name, (Condition(),) if name == TAG else ())
        pools[at] = replace(group, parts=(*group.parts, made))
        return replace(draft, pools=tuple(pools)), f"p{at}.n{len(group.parts)}"
    if name == "remove":
        del pools[at]
    elif name in ("up", "down"):
        _moved(pools, at, name)
    if pools:
        pools[0] = replace(pools[0], join=UNION)
    return replace(draft, pools=tuple(pools) or (Group(),)), "p0.add"


def _of_group(group: Group, name: str, pool: int, at: Sequence[int],
              sql_of: Callable[[Part], str]) -> tuple[Group, str]:  # fmt: skip
    parts = list(group.parts)
    if at[0] >= len(parts):
        raise UsageError("This part of the rule is not there any more.", "Load the page anew.")
    part, place = parts[at[0]], f"p{pool}.n{at[0]}"
    if len(at) > 1:
        conditions = [each for number, each in enumerate(part.conditions) if number != at[1]]
        parts[at[0]] = replace(part, conditions=tuple(conditions))
        return replace(group, parts=tuple(parts)), f"{place}.add"
    match name:
        case "condition":
            _check(len(part.conditions), MOST_CONDITIONS)
            parts[at[0]] = replace(part, conditions=(*part.conditions, Condition()))
            return replace(group, parts=tuple(parts)), f"{place}.c{len(part.conditions)}"
        case "sql":
            parts[at[0]] = Part(SQL, where=sql_of(part))
            return replace(group, parts=tuple(parts)), place
        case "up" | "down":
            to = _moved(parts, at[0], name)
            return replace(group, parts=tuple(parts)), f"p{pool}.n{to}.{name}"
        case "remove":
            del parts[at[0]]
    return replace(group, parts=tuple(parts)), f"p{pool}.add"


def _moved(held: list[Any], at: int, way: str) -> int:
    to = max(0, at - 1) if way == "up" else min(len(held) - 1, at + 1)
    held[at], held[to] = held[to], held[at]
    return to


def _set(pools: tuple[Group, ...], at: int, group: Group) -> tuple[Group, ...]:
    return tuple(group if number == at else each for number, each in enumerate(pools))


def _check(count: int, most: int) -> None:
    if count >= most:
        raise UsageError("A rule holds at most {most} parts here.", "Save it as a crowd, and combine crowds.",
                         most=most)  # fmt: skip
