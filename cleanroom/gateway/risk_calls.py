"""The methods about risk lists (灰黑名单). A black one is left out of every activation, a grey one by rule.

An app knows the lists alone that an app of its room made; of others it is not told that they are there.

A list is black where one of its tags is FRAUD, DISPUTE or OVERDUE, and grey where it is OTHER or has none.
"""

import hashlib
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from cleanroom.crowds import desk
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.store import Crowds
from cleanroom.gateway import words
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.kept import Kept, Memory, export_key
from cleanroom.gateway.place import Place
from cleanroom.gateway.requests import RiskCreate, RiskUsers
from cleanroom.gateway.users import Digests, RiskUser, risky

Content = dict[str, Any]
_GREY = "OTHER"


def create(place: Place, request: RiskCreate) -> Content:
    """greyblackcrowd.create. The same external code with the same content is the same list."""
    kind, digests = risky(request.users, place.dataset)
    content = _digest(request, digests)
    key, memory = export_key(place.app.app_id, request.external), Memory(place.home)
    if request.external and (held := memory.load().risks.get(key)):
        if held[1] != content:
            raise Fault("EXTERNAL_CODE_CONFLICT")
        return {"crowd_code": held[0]}
    tags = {*request.tags, *(tag for user in request.users for tag in user.tags)}
    code = desk.risk(place.path, request.name, digests[:0], black=bool(tags - {_GREY}), tags=request.tags,
                     identity=kind or place.dataset.identity)  # fmt: skip
    _put(place, code, request.users, digests, request.tags)

    def kept(held: Kept) -> Kept:
        known = {**held.risks, key: [code, content]} if request.external else held.risks
        return replace(held, risks=known, lists={**held.lists, code: place.app.room})

    memory.change(kept)
    return {"crowd_code": code}


def add(place: Place, request: RiskUsers) -> Content:
    """greyblackcrowduser.add."""
    _check_risk_list(place, request.code)
    _, digests = risky(request.users, place.dataset)
    _put(place, request.code, request.users, digests, ())
    return {}


def delete(place: Place, request: RiskUsers) -> Content:
    """greyblackcrowduser.delete."""
    _check_risk_list(place, request.code)
    _, digests = risky(request.users, place.dataset)
    Lists(place.home).remove(request.code, digests)
    return {}


def _put(place: Place, code: str, users: tuple[RiskUser, ...], digests: Digests, tags: tuple[str, ...]) -> None:
    """Into the list, those with the same tags at once."""
    by_tags: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, user in enumerate(users):
        by_tags[tuple(sorted({*tags, *user.tags}, key=words.RISK_TAGS.index))].append(row)
    for held, rows in by_tags.items():
        Lists(place.home).add(code, digests[np.array(rows)], tags=held)


def _check_risk_list(place: Place, code: str) -> None:
    """Raises Fault for what is no risk list of the app's room."""
    if Memory(place.home).load().lists.get(code) == place.app.room:
        return
    held = Crowds(place.home)
    if any(each.code == code and each.room == place.app.room for each in held.entries()):
        raise Fault("CROWD_NOT_A_RISK_LIST")
    raise Fault("CROWD_NOT_FOUND")


def _digest(request: RiskCreate, digests: Digests) -> str:
    people = hashlib.sha256(np.unique(digests, axis=0).tobytes()).hexdigest() if len(digests) else ""
    terms = [request.name, request.description, *request.tags, people]
    return hashlib.sha256("\n".join(terms).encode()).hexdigest()
