"""The methods that need a run of the parties: exports of a crowd to a channel, and lookalikes.

An export gives the crowd's members to whoever addresses people, which the merchant is not: the answer holds states and
a range. Both are answered before the run is over where it takes long.
"""

import datetime as dt
import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import TimeoutError as TakesLonger
from dataclasses import replace
from typing import Any

from cleanroom import canonical
from cleanroom.crowds import desk
from cleanroom.crowds.crowd import Crowd, Task
from cleanroom.crowds.lists import today
from cleanroom.errors import KNOWN
from cleanroom.gateway import words
from cleanroom.gateway.background import Background
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.kept import Export, Memory
from cleanroom.gateway.place import Place
from cleanroom.gateway.requests import CrowdSpread, ExportCreate, ExportQuery
from cleanroom.gateway.translating import fault_of

Content = dict[str, Any]
Work = Background[Any]
PATIENCE = 10.0
"""Seconds that a lookalike is waited for: the SDK gives up after fifteen."""
_STATES = {"running": words.PROCESSING, "done": words.SUCCESS, "small": words.FAIL, "failed": words.FAIL}


def spread(place: Place, request: CrowdSpread, work: Work) -> Content:
    """crowd.spread. The same call again on the same day is the same crowd; while it is made: isp.processing."""
    _check_usable(place.crowd(request.seed))
    term = place.room.contract.activation
    if term is None:
        raise Fault("ACTIVATION_NOT_IN_CONTRACT")
    if not set(request.channels) <= set(term.channels):
        raise Fault("CHANNEL_NOT_ALLOWED")
    plain: list[canonical.Json] = [place.app.app_id, request.name, request.seed, request.count, request.include_seed,
                                   *request.channels, today().isoformat()]  # fmt: skip
    key, memory = canonical.digest("cleanroom/gateway/spread/1", plain), Memory(place.home)
    if known := memory.load().spreads.get(key):
        return {"crowd_code": known}

    def made() -> str:
        crowd = desk.spread(place.path, place.app.room, request.name, request.seed, request.count,
                            request.include_seed, request.channels, purpose=place.app.purpose)  # fmt: skip
        memory.change(lambda kept: replace(kept, spreads={**kept.spreads, key: crowd.code}))
        return crowd.code

    try:
        return {"crowd_code": work.begin(key, made).result(PATIENCE)}
    except TakesLonger as error:
        raise Fault("isp.processing") from error


def export(place: Place, request: ExportCreate, work: Work) -> Content:
    """crowdexport.create. The same out_biz_no for the same export is the same task; for another it is refused."""
    memory = Memory(place.home)
    held = memory.export(place.app.app_id, request.number)
    if held is not None:
        if (held.crowd, held.channel) != (request.code, request.channel):
            raise Fault("OUT_BIZ_NO_CONFLICT")
        if held.status != words.FAIL:
            return {"task_no": held.number}
    crowd = place.crowd(request.code)
    _check_usable(crowd)
    _check_channel(place, crowd, request.channel)
    number = held.number if held else f"E{secrets.token_hex(8)}"
    made = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    begun = Export(number, request.number, place.app.app_id, request.code, request.channel, place.app.purpose,
                   words.PROCESSING, made)  # fmt: skip
    memory.put_export(begun)
    work.begin(number, exporting(place, begun))
    return {"task_no": number}


def exporting(place: Place, begun: Export) -> Callable[[], None]:
    """The work of an export; how it ended is kept."""

    def run() -> None:
        memory = Memory(place.home)
        try:
            task = desk.activate(place.path, begun.crowd, begun.channel, begun.purpose, out_no=_out_no(begun))
        except KNOWN as error:
            memory.put_export(replace(begun, status=words.FAIL, sub_code=fault_of(error).sub_code))
            return
        memory.put_export(_ended(begun, task))

    return run


def export_query(place: Place, request: ExportQuery) -> Content:
    """crowdexport.query. user_count is a range; oss_bucket and oss_path stay empty: no file of members is made here."""
    found = Memory(place.home).export(place.app.app_id, request.number)
    if found is None:
        raise Fault("TASK_NOT_FOUND")
    message = Fault(found.sub_code, reason="").text() if found.sub_code else ""
    data = {
        "biz_date": found.day, "biz_msg": message, "crowd_code": found.crowd, "export_channel_type": found.channel,
        "oss_bucket": "", "oss_path": "", "uniq_biz_id": found.number, "user_count": found.size,
    }  # fmt: skip
    return {"crowd_code": found.crowd, "crowd_export_data": data, "out_biz_no": found.out_no,
            "task_no": found.number, "task_status": found.status}  # fmt: skip


def taken_up(place_of: Callable[[str], Place | None], memory: Memory, work: Work) -> int:
    """Begins again what was under way when the gateway stopped; how many. place_of: by app id."""
    count = 0
    for each in memory.load().exports.values():
        place = place_of(each.app) if each.status == words.PROCESSING else None
        if place is not None:
            work.begin(each.number, exporting(place, each))
            count += 1
    return count


def _ended(begun: Export, task: Task) -> Export:
    size = words.range_text(task.size.range) if task.size else ""
    sub_code = {"small": "CROWD_BELOW_FLOOR", "failed": "isp.unknow-error"}.get(task.status, "")
    return replace(begun, status=_STATES[task.status], day=task.version, size=size, sub_code=sub_code)


def _out_no(export: Export) -> str:
    """The number by which the crowd's desk knows it; two apps may use the same of their own."""
    return hashlib.sha256(f"{export.app}/{export.out_no}".encode()).hexdigest()[:32]


def _check_usable(crowd: Crowd) -> None:
    if crowd.status(today()) in ("archived", "expired"):
        raise Fault("CROWD_ARCHIVED")


def _check_channel(place: Place, crowd: Crowd, channel: str) -> None:
    term = place.room.contract.activation
    if term is None:
        raise Fault("ACTIVATION_NOT_IN_CONTRACT")
    if channel not in term.channels or (crowd.channels and channel not in crowd.channels):
        raise Fault("CHANNEL_NOT_ALLOWED")
