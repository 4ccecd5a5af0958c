"""The methods about tags: the catalogue in the three shapes that the SDK knows. Nothing here is of the data."""

from typing import Any

from cleanroom.gateway.codes import Fault
from cleanroom.gateway.place import Place
from cleanroom.gateway.requests import NodeQuery, Nothing, TagQuery

Content = dict[str, Any]


def nodes(place: Place, request: NodeQuery) -> Content:
    """turingtag.query."""
    return {"node_list": place.tags.nodes(request.codes)}


def base(place: Place, request: Nothing) -> Content:
    """tagbase.batchquery: all tags, without their options."""
    found = [place.tags.operation(tag) for tag in place.tags.every]
    return {"operation_tag_list": [{**tag, "operation_option_list": []} for tag in found]}


def one(place: Place, request: TagQuery) -> Content:
    """tag.query: one tag with its options."""
    tag = place.tags.find(request.code)
    if tag is None:
        raise Fault("TAG_UNKNOWN", number=1)
    return {"operation_tag": place.tags.operation(tag)}


def selectable(place: Place, request: Nothing) -> Content:
    """crowdtag.query: what select_tag_list may name."""
    return {"select_tag_list": place.tags.selectable()}
