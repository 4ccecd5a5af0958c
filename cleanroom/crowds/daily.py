"""The job `crowd` of a node: a crowd's version of the day, and, where asked, its activation, with nobody watching.

cleanroom schedule add "daily 03:30" crowd ROOM --set crowd=C… --set channel=coupon --set purpose=…
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cleanroom.crowds import telling, using
from cleanroom.crowds.reading import report_day
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home

if TYPE_CHECKING:
    from cleanroom.node.work import Afar

Step = Callable[[str, int, int], None]


def work(home: Home, room: str, arguments: dict[str, Any], parties: "Afar", step: Step) -> dict[str, Any]:
    """arguments: crowd, its code; channel and purpose where it is to be activated. The same day again changes nothing.

    Raises UsageError for a crowd of another room, and as `using.refresh` and `using.activate`.
    """
    code = arguments.get("crowd")
    if not isinstance(code, str):
        raise UsageError("This job needs {name}.", "--set {name}=…", name="crowd")
    day = report_day()
    if room not in ("", using.crowd_of(home, code).room):
        raise Refused("The crowd {code} is not of this room.", code=code)
    if not arguments.get("channel"):
        version = using.refresh(home.path, code, day, meeting=parties.meeting)
        return {"crowd": code, "day": version.day, "size": telling.size(version.size), "task": None}
    channel, purpose = str(arguments["channel"]), str(arguments.get("purpose", ""))
    number = using.unattended(code, channel, day)
    found = using.activate(home.path, code, channel, purpose, meeting=parties.meeting, out_no=number, day=day)
    told = {"number": found.number, "status": found.status, "channel": channel}
    return {"crowd": code, "day": found.version, "size": telling.size(found.size), "task": told}
