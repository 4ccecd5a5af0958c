"""What a node writes about itself: one JSON object a line, of fixed words, names and numbers; never a value of the
data.

Nobody's text is passed on: an error is told by its template, whose parameters are names, counts and paths of ours.
"""

import datetime as dt
import json
import sys
import threading
from typing import Any, TextIO

_LONGEST = 200


class Log:
    """Lines to a stream, standard error by default."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()

    def __call__(self, event: str, /, **facts: Any) -> None:
        """event: a fixed word; facts: names and numbers."""
        line: dict[str, Any] = {"time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), "event": event}
        line |= {name: value if isinstance(value, int | float | bool) else str(value)[:_LONGEST]
                 for name, value in facts.items()}  # fmt: skip
        with self._lock:
            try:
                self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # a full disk or a closed pipe must not stop the node
                return

    def error(self, event: str, error: Exception, /, **facts: Any) -> None:
        """An error by its name and template, not by what fills it."""
        self(event, **facts, error=type(error).__name__, text=getattr(error, "template", ""))
