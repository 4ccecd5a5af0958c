"""What roles and calls mean, in plain words for whoever gives them."""

from cleanroom.access.matrix import GRANTABLE, ROLES, SERVED
from cleanroom.lang import t

GIVEN = tuple(call for call in SERVED if call in GRANTABLE)
"""Calls that a grant can give."""


def roles() -> list[tuple[str, str, str]]:
    """(role, its name, what whoever has it may do)."""
    texts = {
        "owner": (t("Owner"), t("everything, and alone: users, grants, other parties, forgetting persons")),
        "analyst": (t("Analyst"), t("import data, draft contracts and changes, ask questions, plan, see insight")),
        "marketer": (t("Marketer"), t("see insight, build crowds, propose campaigns, read the budget")),
        "approver": (t("Approver"), t("say yes or no: contracts, crowds for channels, what waits")),
        "operator": (t("Platform operator"), t("keep channels, tags and quotas; sees no data and no questions")),
        "auditor": (t("Auditor"), t("read the ledger and receipts, verify, see who learned what")),
    }
    return [(role, *texts[role]) for role in ROLES]


def role_names(names: list[str]) -> str:
    """Names of roles between commas."""
    called = {role: name for role, name, _ in roles()}
    return t(", ").join(called.get(name, name) for name in names)


def calls() -> list[tuple[str, str]]:
    """(call, what it lets a provider do) of all that a grant can give."""
    texts = {
        "query": t("ask questions of a room, charged to its budget"),
        "plan": t("make the period's planning figures"),
        "import": t("import a file that lies ready at this node"),
        "members": t("write a list of matched members into a file of this node"),
        "insight": t("read boards, portraits and trends"),
        "crowd": t("build crowds and see them"),
        "activate": t("give a crowd to a channel"),
        "jobs": t("see its own jobs, and end them"),
        "status": t("see whether this node runs"),
        "budget": t("see what is left of the budget"),
        "audit": t("read the whole ledger"),
        "schedule": t("have such work done again and again"),
    }
    return [(call, texts.get(call, call)) for call in GIVEN]


def grant_state(state: str) -> tuple[str, str]:
    """(its words, its colour)."""
    found = {"in force": (t("in force"), "ok"), "pending": (t("pending"), "warn"), "revoked": (t("revoked"), ""),
             "expired": (t("expired"), ""), "forged": (t("not signed by this party"), "bad")}  # fmt: skip
    return found.get(state, (state, ""))


def every(names: list[str]) -> str:
    """Names between commas; "*" is all."""
    return t(", ").join(t("all") if name == "*" else name for name in names)
