"""Crowds for users by token and providers by grant: what they may say, and the jobs that come of it.

The calls are `crowd` (create, estimate, refresh, show) and `activate`. Sizes go back as ranges; no member does. A call
names its room, and a crowd of another room is none.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cleanroom.crowds import rule as rules
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.rule import Pool, Rule, Tags
from cleanroom.crowds.store import Crowds
from cleanroom.errors import UsageError
from cleanroom.home import Home

if TYPE_CHECKING:
    from cleanroom.node.work import Afar

INSIGHT, CROWD, ACTIVATE = "insight", "crowd", "activate"
COUNTED = ("create", "estimate")
"""What is done with a rule; the rest with a crowd that there is."""
DOES = (*COUNTED, "refresh", "show")
CROWD_TAKES = {"do", "crowd", "name", "where", "rule", "channels", "external", "description", "days", "charge"}
ACTIVATE_TAKES = {"crowd", "channel", "purpose"}
LIST_TAKES = {"do", "name", "page", "size"}
Step = Callable[[str, int, int], None]


def does(arguments: Mapping[str, Any]) -> str:
    """What is to be done with a crowd. Raises UsageError."""
    found = arguments.get("do")
    if found not in DOES:
        raise UsageError("This call needs to know what to do.", "--set do=…: {known}.",
                         known=", ".join((*DOES, "list")))  # fmt: skip
    return str(found)


def texts(arguments: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """An argument that is a text or a list of texts. Raises UsageError."""
    value = arguments.get(name, [])
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in found):
        raise UsageError("{name} is a text, or a list of texts.", name=name)
    return tuple(each for each in found if each)


def number(arguments: Mapping[str, Any], name: str, usual: int) -> int:
    """An argument that is a whole number, as text or as itself. Raises UsageError."""
    value = str(arguments.get(name, usual))
    if not value.isdecimal() or len(value) > 9:
        raise UsageError("This call needs a number as {name}.", name=name)
    return int(value)


def rule_of(arguments: Mapping[str, Any]) -> Rule:
    """where: conditions, united; or rule: one as JSON. Raises UsageError, BadData."""
    where, rule = texts(arguments, "where"), arguments.get("rule")
    if (rule is None) == (not where):
        raise UsageError("A crowd is meant by where, a condition, or by rule, as JSON.")
    return Rule((Pool(tuple(map(Tags, where))),)) if rule is None else rules.from_plain(rule)


def code_of(arguments: Mapping[str, Any]) -> str:
    """The crowd that is named. Raises UsageError."""
    code = arguments.get("crowd")
    if not isinstance(code, str):
        raise UsageError("This job needs {name}.", "--set {name}=…", name="crowd")
    return code


def crowd_in(home: Home, room: str, code: str) -> Crowd:
    """A crowd of that room; one of another is none. Raises UsageError."""
    found = Crowds(home).get(code)
    if found.room != room:
        raise UsageError("There is no crowd {code}.", "cleanroom crowd list shows them.", code=code[:64])
    return found


def listed(home: Home, room: str, arguments: Mapping[str, Any], covers: Callable[[Crowd], bool]) -> dict[str, Any]:
    """A page of the crowds that the caller may see (`covers`), the newest first. Raises UsageError."""
    from cleanroom.crowds import desk, telling

    page, size = number(arguments, "page", 1), number(arguments, "size", 20)
    if not page or not 1 <= size <= desk.MOST_PAGE:
        raise UsageError("A page has 1 to {most} crowds, the first is 1.", most=desk.MOST_PAGE)
    found: list[Crowd] = []
    at, total = 0, 1
    while at * desk.MOST_PAGE < total:
        at += 1
        some, total = desk.listed(home.path, str(arguments.get("name", "")), at, desk.MOST_PAGE, room=room)
        found += filter(covers, some)
    shown = [telling.crowd(each) for each in found[(page - 1) * size : page * size]]
    return {"crowds": shown, "total": len(found), "page": page}


def work(home: Home, room: str, arguments: dict[str, Any], parties: "Afar", step: Step) -> dict[str, Any]:
    """The job of a call `crowd`. Done twice it gives the same crowd, and is charged once. Raises as `desk` does."""
    from cleanroom.crowds import desk, telling  # the gate, plans
    from cleanroom.crowds.reading import report_day

    do, charge = does(arguments), arguments.get("charge") == "yes"
    if do == "create":
        made = desk.create(
            home.path, room, str(arguments.get("name", "")), rule=rule_of(arguments),
            external=str(arguments.get("external", "")), channels=texts(arguments, "channels"),
            description=str(arguments.get("description", "")), days=number(arguments, "days", 90),
        )  # fmt: skip
        return telling.crowd(made)
    if do == "estimate":
        found = desk.estimate(home.path, room, rule_of(arguments), charge=charge, meeting=parties.meeting)
        return {"room": room, "size": telling.size(found)}
    crowd = crowd_in(home, room, code_of(arguments))
    if do == "refresh":
        version = desk.refresh(home.path, crowd.code, report_day(), charge=charge, meeting=parties.meeting)
        return {"code": crowd.code, **telling.version(version)}
    return {**telling.crowd(crowd), "tasks": [telling.task(each) for each in crowd.tasks]}


def activated(home: Home, room: str, arguments: dict[str, Any], parties: "Afar", step: Step) -> dict[str, Any]:
    """The job of a call `activate`: a crowd's version of the day to a channel, once a day. Raises as
    `using.activate`."""
    from cleanroom.crowds import daily

    crowd = crowd_in(home, room, code_of(arguments))
    for name in ("channel", "purpose"):
        if not isinstance(arguments.get(name), str) or not arguments[name]:
            raise UsageError("This job needs {name}.", "--set {name}=…", name=name)
    return daily.work(home, crowd.room, arguments, parties, step)
