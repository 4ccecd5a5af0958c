"""What a node does with messages about crowds, by kind; what it needs for that is loaded when one comes."""

from typing import TYPE_CHECKING

from cleanroom.home import Home

if TYPE_CHECKING:
    from cleanroom.node.config import Config
    from cleanroom.node.post import Message
    from cleanroom.node.state import State


def _asked(home: Home, state: "State", settings: "Config", message: "Message") -> None:
    from cleanroom.crowds import lookalike_making

    lookalike_making.asked(home, state, settings, message)


def _made(home: Home, state: "State", settings: "Config", message: "Message") -> None:
    from cleanroom.crowds import lookalike_asking

    lookalike_asking.told(home, state, settings, message)


HANDLERS = {"lookalike.asked": _asked, "lookalike.made": _made}
