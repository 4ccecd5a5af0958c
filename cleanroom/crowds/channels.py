"""Where a crowd may be used, by the names that contracts, grants and crowds have for it; and nothing else about it."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from cleanroom.errors import UsageError

CHANNELS: Mapping[str, tuple[str, str]] = {
    "coupon": ("商家券", "merchant coupon"),
    "message": ("消息", "message to subscribers"),
    "daily-promotion": ("日常推广", "daily promotion"),
    "commercial-promotion": ("商业推广", "commercial promotion"),
    "search-direct": ("搜索直达", "search-direct"),
    "live": ("直播", "live"),
    "fan-group": ("粉丝群", "fan group"),
}
"""Name → its titles, Chinese and English."""


def check(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once, in their order. Raises UsageError for one that is not known."""
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in CHANNELS:
            near = get_close_matches(name[:64], CHANNELS, 3, 0.4) or CHANNELS
            raise UsageError("There is no channel {name}.", "Channels: {channels}.", name=name[:64],
                             channels=", ".join(near))  # fmt: skip
    return found
