"""The one table of who may call what. Nothing else decides it: what does not stand here is refused.

A user of the node has roles; a key of somebody else has none, and only those calls that a grant may give. To see
channels, the catalogue of tags and the own quota is `status`; the calls of these names change them.
"""

from collections.abc import Mapping

OWNER, ANALYST, MARKETER, APPROVER, OPERATOR, AUDITOR = ROLES = (
    "owner", "analyst", "marketer", "approver", "operator", "auditor"
)  # fmt: skip
"""owner: all; operator: of a platform, who keeps channels, tags and quotas and never sees data or questions."""
KEY = "key"
"""In the table: a grant may give this call to a key."""

MATRIX: Mapping[str, tuple[str, ...]] = {
    "import": (OWNER, ANALYST, KEY),
    "draft": (OWNER, ANALYST, KEY),
    "sign": (OWNER, APPROVER, KEY),
    "query": (OWNER, ANALYST, KEY),
    "plan": (OWNER, ANALYST, MARKETER, KEY),
    "members": (OWNER, MARKETER, KEY),
    "crowd": (OWNER, MARKETER, KEY),
    "activate": (OWNER, APPROVER, KEY),
    "insight": (OWNER, ANALYST, MARKETER, KEY),
    "audit": (OWNER, AUDITOR, KEY),
    "budget": (OWNER, ANALYST, MARKETER, APPROVER, AUDITOR, KEY),
    "forget": (OWNER, KEY),
    "grant": (OWNER,),
    "room.sign": (OWNER, APPROVER),
    "room.change": (OWNER, ANALYST, KEY),
    "room.leave": (OWNER,),
    "approve": (OWNER, APPROVER),
    "jobs": (OWNER, ANALYST, MARKETER, APPROVER, KEY),
    "schedule": (OWNER, ANALYST, KEY),
    "peers": (OWNER,),
    "users": (OWNER,),
    "channels": (OWNER, OPERATOR),
    "catalogue": (OWNER, OPERATOR),
    "quotas": (OWNER, OPERATOR),
    "usage": (OWNER, OPERATOR, AUDITOR),
    "backup": (OWNER,),
    "keys": (OWNER,),
    "status": (OWNER, ANALYST, MARKETER, APPROVER, OPERATOR, AUDITOR, KEY),
}
"""Call → who may make it. sign: a template; room.sign: a contract, which binds the party and so is for its people."""

CALLS = tuple(MATRIX)
SERVED = ("query", "plan", "import", "members", "insight", "crowd", "activate", "jobs", "status", "approve", "budget",
          "usage", "channels", "catalogue", "quotas", "audit", "schedule")  # fmt: skip
"""Calls that a node answers to others than the owner of its home; the rest is for people at the node."""
GRANTABLE = tuple(call for call, allowed in MATRIX.items() if KEY in allowed)
"""What a grant may give: nothing that gives rights, binds the party, or touches its keys, peers and people."""


def allows(roles: tuple[str, ...], call: str) -> bool:
    """Whether one of the roles may make the call; False for roles and calls that are not known."""
    allowed = MATRIX.get(call, ())
    return any(role in ROLES and role in allowed for role in roles)
