"""`python -m cleanroom.console HOME`: what a node starts beside itself where its settings say so."""

import sys
from pathlib import Path

from cleanroom.console.server import serve_until_eof
from cleanroom.errors import KNOWN
from cleanroom.node.log import Log


def main() -> int:
    """Serve; the exit code."""
    try:
        serve_until_eof(Path(sys.argv[1]))
    except KNOWN as error:
        Log().error("console failed", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
