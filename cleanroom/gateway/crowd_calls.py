"""The methods about crowds: made by upload, by rule, of one another; found, changed. Sizes as ranges, nobody listed."""

from typing import Any

from cleanroom.crowds import desk
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.lists import Lists, today
from cleanroom.crowds.reading import understood
from cleanroom.crowds.rule import Other, Pool, Rule
from cleanroom.crowds.store import Crowds
from cleanroom.gateway import planned, words
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.place import Place
from cleanroom.gateway.pools import Described
from cleanroom.gateway.requests import (
    CrowdBatchQuery,
    CrowdCreate,
    CrowdModify,
    CrowdPool,
    CrowdQuery,
    CrowdUsers,
)
from cleanroom.gateway.users import digested

Content = dict[str, Any]


def create(place: Place, request: CrowdCreate) -> Content:
    """crowd.create. The same external code with the same content is the same crowd."""
    kind, digests = digested(request.users, place.dataset)
    crowd = desk.create(
        place.path, place.app.room, request.name, digests=digests, identity=kind or place.dataset.identity,
        external=request.external, channels=request.channels, hidden=request.hidden, description=request.description,
    )  # fmt: skip
    return {"crowd_code": crowd.code}


def add(place: Place, request: CrowdUsers) -> Content:
    """crowduser.add."""
    desk.add(place.path, request.code, _for_list(place, request))
    return {}


def delete(place: Place, request: CrowdUsers) -> Content:
    """crowduser.delete. Whether they were in it is not told."""
    desk.remove(place.path, request.code, _for_list(place, request))
    return {}


def modify(place: Place, request: CrowdModify) -> Content:
    """crowd.modify: name and channels; what a crowd means never changes."""
    place.crowd(request.code)
    desk.modify(place.path, request.code, request.name or None, request.channels)
    return {}


def query(place: Place, request: CrowdQuery) -> Content:
    """crowd.query."""
    if request.code:
        found = place.crowd(request.code)
    else:
        held = Crowds(place.home).by_external(request.external, place.app.room)
        if held is None:
            raise Fault("CROWD_NOT_FOUND")
        found = held
    if request.external and found.external != request.external:
        raise Fault("CROWD_NOT_FOUND")
    return {"crowd_info": _told(place, found)}


def batch_query(place: Place, request: CrowdBatchQuery) -> Content:
    """crowd.batchquery: the app's room alone, the newest first; hidden crowds are left out."""
    name, crowds = request.name.casefold(), Crowds(place.home)
    every = [each for each in crowds.entries() if each.room == place.app.room and not each.hidden and not each.archived]
    found = [each for each in every if name in each.name.casefold()]
    page = found[(request.page - 1) * request.size : request.page * request.size]
    return {"crowd_list": [_told(place, crowds.get(each.code)) for each in page], "total_number": len(found)}


def pool(place: Place, request: CrowdPool) -> Content:
    """crowdpool.create."""
    for code in request.codes:
        place.crowd(code)
    made = desk.pool(place.path, place.app.room, request.name, request.codes, request.operation, request.channels)
    return {"crowd_code": made.code}


def described(place: Place, request: Described) -> Content:
    """crowdwithturingtag.query and crowdwithtag.query: a range, free by the plan, else a charged release."""
    rule = rule_of(place, request)
    free = planned.size(place, understood(place.home, place.room, rule))
    found = desk.estimate(place.path, place.app.room, rule).range if free is None else free
    return {"count_range": words.range_text(found)}


def describe(place: Place, request: Described) -> Content:
    """crowdwithturingtag.create and crowdwithtag.create."""
    made = desk.create(
        place.path, place.app.room, request.name, rule=rule_of(place, request), channels=request.channels,
        hidden=request.hidden, description=request.description,
    )  # fmt: skip
    return {"crowd_id": made.code}


def rule_of(place: Place, request: Described) -> Rule:
    """What pools or a crowd describe; crowds are looked for first, so that a missing one has its own answer."""
    if request.crowd:
        place.crowd(request.crowd)
        return Rule((Pool((Other(request.crowd),)),))
    rule = place.tags.rule(request.pools)
    for code in rule.crowds:
        place.crowd(code)
    return rule


def _for_list(place: Place, request: CrowdUsers) -> Any:
    crowd = place.crowd(request.code)
    kind, digests = digested(request.users, place.dataset)
    if not crowd.lists:
        raise Fault("CROWD_NOT_A_LIST")
    if Lists(place.home).head(crowd.lists[0]).identity != kind:
        raise Fault("IDENTITY_TYPES_MIXED", number=1)
    return digests


def _told(place: Place, crowd: Crowd) -> Content:
    crowd = desk.settled(place.home, crowd)
    status = crowd.status(today())
    size = crowd.size
    return {
        "crowd_code": crowd.code, "external_crowd_code": crowd.external, "crowd_name": crowd.name,
        "crowd_desc": crowd.description, "crowd_size": words.range_text(size.range if size else None),
        "apply_channel_list": list(crowd.channels), "hidden": crowd.hidden,
        "processable": status not in ("expired", "archived", "small"), "status": words.STATUSES[status],
    }  # fmt: skip
