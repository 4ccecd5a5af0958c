"""How the platform addresses its people, as it says itself: home/activation.toml. No secret stands there.

messages = 3          # to one person, from all crowds and channels, …
days = 7              # … in so many days
holdout = 0.02        # share of all people who are never addressed, so that all of it can be measured
approval = "ask"      # a person says yes to each send; "no" (the default): the contract is enough
[push.message]        # where batches for a channel go
url = "https://gateway.example/batches"
token_file = "/etc/cleanroom/message.token"
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cleanroom import private_files
from cleanroom.activation import reach
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.node.notices import check_webhook

FILE = "activation.toml"
MOST_MESSAGES, MOST_DAYS, MOST_HOLDOUT = 100, 90, 0.5
APPROVALS = ("no", "ask")


@dataclass(frozen=True)
class Server:
    """Who takes batches of a channel: an https address, and the file of mode 0600 with its token, if it wants one."""

    url: str
    token_file: str = ""


@dataclass(frozen=True)
class Rules:
    """messages, days: at most so many to a person in so many days; holdout: share of people never addressed; approval:
    whether a person says yes to each send; push: channel → its server."""

    messages: int = 3
    days: int = 7
    holdout: float = 0.0
    approval: str = "no"
    push: Mapping[str, Server] = field(default_factory=dict)


def load(home: Home) -> Rules:
    """The rules of a home, the defaults where it has none. Raises UsageError for what cannot be meant."""
    path = home.path / FILE
    if not path.exists() and not path.is_symlink():
        return Rules()
    try:
        given: dict[str, Any] = tomllib.loads(private_files.read(path).decode())
        push = {name: Server(**server) for name, server in given.pop("push", {}).items()}
        found = Rules(**given, push=push)
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError("{file} is not written as it has to be.", "See docs/activation.md.", file=FILE) from error
    _check(found)
    return found


def _check(rules: Rules) -> None:
    fits = (
        type(rules.messages) is int and 1 <= rules.messages <= MOST_MESSAGES
        and type(rules.days) is int and 1 <= rules.days <= MOST_DAYS
        and type(rules.holdout) in (int, float) and 0 <= rules.holdout <= MOST_HOLDOUT
        and rules.approval in APPROVALS
    )  # fmt: skip
    if not fits or not all(type(each.url) is str and type(each.token_file) is str for each in rules.push.values()):
        raise UsageError(
            "{file} is not written as it has to be.",
            "1 to {messages} messages in 1 to {days} days, a holdout of 0 to {holdout}, approval no or ask.",
            file=FILE, messages=MOST_MESSAGES, days=MOST_DAYS, holdout=MOST_HOLDOUT,
        )  # fmt: skip
    for channel, server in rules.push.items():
        reach.need(channel)
        check_webhook(server.url)
