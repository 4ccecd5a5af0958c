"""`cleanroom overlap`: both parties and the enclave on this machine, each in its own process, from two sources.

The steps are those of any room (import, contract, sign, match, answer, release); one person runs all sides, so the
contract is drafted from what the two sides say of their own columns, and may give the receiver its members.
"""

from cleanroom.overlap.asked import Overlap
from cleanroom.overlap.run import run

__all__ = ["Overlap", "run"]
