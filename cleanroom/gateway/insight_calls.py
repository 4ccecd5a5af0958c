"""The methods of insight: portraits, places and TGI of a crowd, read from the room's plan, so free and unlimited.

A figure below the release rules' threshold is left out: the answer then has no entry for that value. What depends on an
uploaded list stands in no plan and is refused, never computed on the side.
"""

from collections.abc import Sequence
from typing import Any

from cleanroom.crowds.reading import understood
from cleanroom.crowds.rule import Other, Pool, Rule
from cleanroom.crowds.selection import Box, Selection, Within
from cleanroom.errors import Refused, UsageError
from cleanroom.gateway import places, words
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.place import Place, report_date
from cleanroom.gateway.planned import where_of
from cleanroom.gateway.requests import CommonInsight, InsightQuery
from cleanroom.gateway.tags import Tag
from cleanroom.insight import portraits
from cleanroom.insight.portraits import Portrait
from cleanroom.plan import reading
from cleanroom.plan.cube import Cube

Content = dict[str, Any]
_YES = "yes"
_PARAMS = {words.SCENE_CROWD: {"crowd_id", "base_crowd_id", "relation_type", "portr_type_list"},
           words.SCENE_BOARD: {"relation_type", "portr_type_list"}}  # fmt: skip


def query(place: Place, request: InsightQuery) -> Content:
    """insight.query."""
    cube = place.shelf.plan(place.room, request.day)
    segment = _segment(place, cube, request.crowd, request.relation)
    return {"portrait_data_list": _portraits(place, cube, request.portraits, segment, ())}


def city_query(place: Place, request: InsightQuery) -> Content:
    """insightcity.query: provinces with their cities."""
    cube = place.shelf.plan(place.room, request.day)
    found = [place.tags.column(name, place.home.party) for name in ("province", "city")]
    tags = [tag for tag in found if tag is not None and tag.code in cube.columns]
    if len(tags) != 2:
        raise Fault("PLACES_NOT_IN_ROOM")
    segment = _segment(place, cube, request.crowd, request.relation)
    provinces = portraits.geography(cube, tags[0].code, tags[1].code, segment)
    (whole,) = _found(cube, (tags[0].code,), segment, ())
    data = [
        {"portrait_value": each.label, "area_code": places.area_code(each.label), "num": str(each.people),
         "city_list": [
            {"portrait_value": label, "area_code": "", "num": str(people)}
            for label, people in each.cities if people is not None
        ]}
        for each in provinces if each.people is not None
    ]  # fmt: skip
    told = _titled(tags[0], tags[0].code, whole.coverage, cube)
    return {**told, "data_list": data}


def common(place: Place, request: CommonInsight) -> Content:
    """commoninsight.query: portraits, and the values that are surely commoner in the crowd than in its base."""
    if place.app.pid and request.pid not in ("", place.app.pid):
        raise Fault("OWNER_PID_OTHER")
    params = dict(request.params)
    if params.keys() - _PARAMS[request.scene]:
        raise Fault("PARAM_UNKNOWN")
    if request.scene == words.SCENE_CROWD and "crowd_id" not in params:
        raise Fault("isv.missing-parameter", field="crowd_id")
    cube = place.shelf.plan(place.room, request.day)
    segment = _segment(place, cube, params.get("crowd_id", ""), params.get("relation_type", ""))
    base = _segment(place, cube, params.get("base_crowd_id", ""), "")
    wanted = tuple(name for name in params.get("portr_type_list", "").split(",") if name)
    told = _portraits(place, cube, wanted, segment, base)
    top = portraits.top_tags(_found(cube, _columns(place, cube, wanted), segment, base), words.TOP_TAGS)
    names = [f"{_title(place, each.column)}: {each.index.label}" for each in top]
    return {"portraits_data_tgi": {"portraits": told, "top_tgi_tags": {"tgi_name_list": names}}}


def _portraits(place: Place, cube: Cube, wanted: Sequence[str], segment: reading.Where,
               base: reading.Where) -> list[Content]:  # fmt: skip
    columns = _columns(place, cube, wanted)
    found = _found(cube, columns, segment, base)
    keys = wanted or columns
    return [
        {**_titled(place.tags.find(each.column), key, each.coverage, cube),
         "data_list": [{"value": index.label, "num": str(index.people)}
                       for index in each.indices if index.people is not None]}
        for key, each in zip(keys, found, strict=True)
    ]  # fmt: skip


def _columns(place: Place, cube: Cube, wanted: Sequence[str]) -> tuple[str, ...]:
    """dataset.column of each portrait that is asked for, or of all that the plan has. Raises Fault."""
    if not wanted:
        return tuple(tag.code for tag in place.tags.every if tag.code in cube.columns)
    found = [place.tags.column(name, place.home.party) for name in wanted]
    if any(tag is None or tag.code not in cube.columns for tag in found):
        raise Fault("PORTRAIT_UNKNOWN")
    return tuple(tag.code for tag in found if tag is not None)


def _found(cube: Cube, columns: Sequence[str], segment: reading.Where, base: reading.Where) -> tuple[Portrait, ...]:
    try:
        return portraits.of_plan(cube, columns, segment, base)
    except (UsageError, Refused) as error:
        raise Fault("CROWD_NOT_IN_PLAN") from error


def _segment(place: Place, cube: Cube, crowd: str, relation: str) -> reading.Where:
    """The people of a crowd, of them those with a relation; () for everybody in the match."""
    boxes: tuple[Box, ...] = ((),)
    if crowd:
        place.crowd(crowd)
        boxes = understood(place.home, place.room, Rule((Pool((Other(crowd),)),))).boxes
    if relation and relation.upper() != words.ALL_RELATIONS:
        boxes = _related(boxes, _relation(place, cube, relation))
    where = where_of(cube, boxes)
    if where is None:
        raise Fault("CROWD_NOT_IN_PLAN")
    return where


def _relation(place: Place, cube: Cube, name: str) -> Within:
    """The column that says whether somebody has this relation, at yes."""
    tag = place.tags.column(name.lower(), place.home.party)
    if tag is None or tag.code not in cube.columns or _YES not in tag.field.labels:
        raise Fault("RELATION_UNKNOWN")
    return Within(tag.code, (tag.field.labels.index(_YES),))


def _related(boxes: tuple[Box, ...], relation: Within) -> tuple[Box, ...]:
    """Of every box those with the relation. Raises Fault where nobody can have it."""
    found: list[Box] = []
    for box in boxes:
        own = [each for each in box if isinstance(each, Within) and each.column == relation.column]
        if all(set(relation.cells) <= set(each.cells) for each in own):
            found.append((*(each for each in box if each not in own), relation))
    if not found:
        raise Fault("RULE_MEANS_NOBODY")
    return Selection(tuple(found)).boxes


def _titled(tag: Tag | None, key: str, coverage: float | None, cube: Cube) -> Content:
    return {
        "portrait_key": key, "portrait_name": tag.title if tag else key,
        "portrait_desc": tag.description if tag else "",
        "coverage": "" if coverage is None else f"{coverage:.4f}",
        "report_date": report_date(cube.made).strftime("%Y%m%d"),
    }  # fmt: skip


def _title(place: Place, code: str) -> str:
    tag = place.tags.find(code)
    return tag.title if tag else code
