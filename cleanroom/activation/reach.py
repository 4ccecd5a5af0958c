"""What a channel needs of a person to reach them: a column of the platform's own dataset that says yes, or nothing.

The one table of it. Consent and opt-outs hold for all channels and stand in `choosing`.
"""

from collections.abc import Mapping

from cleanroom.errors import UsageError

NEEDS: Mapping[str, str] = {
    "coupon": "",
    "message": "subscribed",
    "daily-promotion": "",
    "commercial-promotion": "",
    "search-direct": "",
    "live": "life_follow",
    "fan-group": "group_member",
}
"""Channel (cleanroom.crowds.channels) → the column that must say yes; "": everybody of the platform can be reached."""

REACHED = "reach"
USABLE = ("subscribed", "card_open", "group_member", "life_follow")
"""Of the standard columns: `reach` says no of somebody with one of these just where the person opted out."""


def need(channel: str) -> str:
    """The column. Raises UsageError for a channel that is not known."""
    if channel not in NEEDS:
        raise UsageError("There is no channel {name}.", "Channels: {channels}.", name=channel[:64],
                         channels=", ".join(NEEDS))  # fmt: skip
    return NEEDS[channel]


def opt_outs(channel: str) -> tuple[str, ...]:
    """The columns that keep a person from being addressed where they say yes: for all channels, for this one."""
    return "opt_out", f"opt_out_{channel.replace('-', '_')}"
