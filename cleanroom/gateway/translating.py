"""Errors of the product as answers of the gateway: those that have a sub_code of their own, and the rest by their kind.

An error's text holds names, codes and counts of ours, never a value; so it may stand in a sub_msg.
"""

from cleanroom.errors import BadData, Busy, CleanroomError, Interrupted, Refused, Waiting
from cleanroom.gateway.codes import Fault
from cleanroom.lang import explain
from protocols.errors import ProtocolError

BY_TEXT = {
    "There is no crowd {code}.": "CROWD_NOT_FOUND",
    "The crowd {code} is of the room {room}.": "CROWD_NOT_FOUND",
    "The crowd {code} expired: {day} was its last day.": "CROWD_ARCHIVED",
    "The crowd {code} is archived.": "CROWD_ARCHIVED",
    "The crowd {code} is made by a rule: nobody is added to it one by one.": "CROWD_NOT_A_LIST",
    "The external code {code} means another crowd already.": "EXTERNAL_CODE_CONFLICT",
    "The rule means nobody, whatever the data.": "RULE_MEANS_NOBODY",
    "The rule is too long: it has at most {boxes} alternatives of {literals} conditions each.": "RULE_TOO_LONG",
    "A condition of the rule is longer than {most} characters.": "RULE_TOO_LONG",
    "The query is longer than {most} characters.": "RULE_TOO_LONG",
    "The contract of this room lets no crowd be made.": "ACTIVATION_NOT_IN_CONTRACT",
    "The crowd {code} is not for the channel {channel}.": "CHANNEL_NOT_ALLOWED",
    "The number {number} means another activation already.": "OUT_BIZ_NO_CONFLICT",
    "The seed has fewer than {least} people, by its noised size.": "SEED_TOO_SMALL",
    "There is no list {code}.": "CROWD_NOT_FOUND",
}
"""English text of an error → sub_code. A test holds that each is still raised somewhere."""
BUDGET = "budget"


def fault_of(error: Exception) -> Fault:
    """What is answered for one of our errors."""
    template = getattr(error, "template", "")
    if template in BY_TEXT:
        return Fault(BY_TEXT[template])
    if isinstance(error, Waiting):
        return Fault("WAITS_FOR_APPROVAL")
    if isinstance(error, Refused) and BUDGET in template:
        return Fault("BUDGET_SPENT")
    if isinstance(error, Busy):
        return Fault("isp.busy")
    if isinstance(error, Interrupted | ProtocolError):
        return Fault("isp.peer-unavailable")
    if isinstance(error, BadData) or type(error) is CleanroomError:
        return Fault("isp.unknow-error")
    return Fault("ROOM_REFUSES", reason=explain(error)[0])
