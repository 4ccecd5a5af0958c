"""What `overlap` is asked, and what can be refused before or soon after anything is read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cleanroom import machine
from cleanroom.errors import Refused, UsageError
from cleanroom.rooms import costs
from cleanroom.rooms.choose import Wish
from cleanroom.rooms.identities import Held, held
from cleanroom.rooms.terms import DEFAULT_KEY_BITS, SEVERAL, ReleaseRules

SIDES = ("merchant", "platform")
OPERATOR = "operator"
MOST_SLOT_ROWS = 2_000_000
"""Rows beyond which Paillier slots are refused: at 3072 bits they are about 0.8 GB a million, and held in memory."""
MOST_CELLS = {"keyed": 50, "vole": 20, "dh": 20, "oprf": 20, "join-sum": 20}


@dataclass(frozen=True)
class Overlap:
    """What is asked: two sources, how to match them, what to group and sum, who receives."""

    merchant: str
    platform: str
    on: str = "phone"
    profile: str | None = None
    protocol: Literal["auto", "keyed", "vole", "dh", "oprf", "join-sum"] = "auto"
    by: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    receiver: Literal["merchant", "platform"] = "platform"
    members: Path | None = None
    k: int = 100
    receipt: Path | None = None
    mappings: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)
    as_of: str | None = None
    datasets: dict[str, str] = field(default_factory=lambda: {"merchant": "crm", "platform": "users"})
    room: str = "overlap"
    purpose: str = "audience overlap"
    key_bits: int = DEFAULT_KEY_BITS
    operator: bool = True
    """Whether a neutral operator may run the enclave; where not, the two sides match alone."""
    link: str | None = None
    noise: bool = False
    """Whether releases hold noise; without it, the contract that every owner signs says so."""

    @property
    def identities(self) -> int:
        """By how many identities a person may match."""
        return len(self.on.split(","))

    @property
    def neutral(self) -> bool:
        """Whether an operator's process takes part."""
        return self.operator and self.protocol in ("auto", "keyed")

    @property
    def sender(self) -> str:
        """The side that does not receive."""
        return SIDES[1 - SIDES.index(self.receiver)]

    def wish(self, side: str) -> dict[str, Any]:
        """How a side reads its source: the arguments that its jobs have in common."""
        return {
            "dataset": self.datasets[side],
            "source": self.merchant if side == "merchant" else self.platform,
            "on": self.on,
            "mapping": self.mappings.get(side),
            "features": self.features.get(side),
            "as_of": self.as_of,
        }


@dataclass(frozen=True)
class Reference:
    """A column of one side, under its canonical name."""

    side: str
    dataset: str
    column: str

    @property
    def qualified(self) -> str:
        """dataset.column"""
        return f"{self.dataset}.{self.column}"


def check(asked: Overlap) -> None:
    """Refuse early what can be known before anything is read."""
    ReleaseRules((asked.receiver,), asked.k)
    costs.link(asked.link)
    if asked.protocol == "keyed" and not asked.operator:
        raise UsageError("keyed needs an operator.", "Leave --no-operator out, or use another protocol.")
    if asked.identities > 1 and asked.protocol not in ("auto", *SEVERAL):
        raise Refused(
            "{protocol} matches by one identity only.",
            "Use keyed, vole or dh for --protocol, or one identity after --on.",
            protocol=asked.protocol,
        )  # fmt: skip
    if asked.members is not None and asked.protocol == "join-sum":
        raise Refused("join-sum tells nobody the matched rows.", "Leave --members out, or use --protocol dh.")


def sides_of(asked: Overlap, name: str) -> dict[str, str]:
    """Where a column that the user named is to be looked for: side → name there. `merchant.tier` names one side."""
    prefix, dot, rest = name.partition(".")
    for side in SIDES:
        if dot and prefix in (side, asked.datasets[side]):
            return {side: rest}
    return dict.fromkeys(SIDES, name)


def resolve(asked: Overlap, name: str, looks: dict[str, Any]) -> Reference:
    """The side and canonical name of a column that the user named, from what both sides found.

    Raises UsageError where neither side or both sides have it.
    """
    found = [
        Reference(side, asked.datasets[side], looks[side]["found"][there])
        for side, there in sides_of(asked, name).items()
        if looks[side]["found"].get(there)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            "Both sides have a column {column}.", "Write merchant.{column} or platform.{column}.", column=name
        )
    known = ", ".join(f"{side}.{column['name']}" for side in SIDES for column in looks[side]["columns"])
    raise UsageError("Neither side has a column {column}.", "There are: {known}.", column=name, known=known)


def distinct(by: list[Reference], sums: list[Reference]) -> tuple[list[Reference], list[Reference]]:
    """Each column once, however often and by whatever name it was asked for. Raises UsageError for one in both."""
    if twice := next((reference for reference in by if reference in sums), None):
        raise UsageError(
            "The column {column} cannot group and be summed at once.", "Leave it out of --by or of --sum.",
            column=twice.column,
        )  # fmt: skip
    return list(dict.fromkeys(by)), list(dict.fromkeys(sums))


def columns_of(side: str, by: list[Reference], sums: list[Reference]) -> dict[str, list[str]]:
    """A side's own columns of the question."""
    return {
        "by": [reference.column for reference in by if reference.side == side],
        "sums": [reference.column for reference in sums if reference.side == side],
    }


def check_comparable(imports: dict[str, Any]) -> None:
    """Refuse digests that can never match, by any identity. Raises Refused."""
    by_kind: dict[str, dict[str, Held]] = {}
    for side in SIDES:
        for each in held(imports[side]):
            by_kind.setdefault(each.kind, {})[side] = each
    for kind, found in by_kind.items():
        if len(found) == len(SIDES):  # else the contract refuses it
            _check_kind(kind, found, several=len(by_kind) > 1)


def _check_kind(kind: str, found: dict[str, Held], *, several: bool) -> None:
    forms = {side: each.digest_form for side, each in found.items()}
    if len(set(forms.values())) > 1:
        if several:
            raise Refused(
                "The {kind} digests of the merchant are {merchant}, the platform's {platform}: they can never match.",
                "Ask for both sides in SHA-256, or in plain.", kind=kind, **forms,
            )  # fmt: skip
        raise Refused(
            "The merchant's identities are {merchant} digests, the platform's {platform}: they can never match.",
            "Ask for both sides in SHA-256, or in plain.",
            **forms,
        )
    if len({each.profile_digest for each in found.values()}) > 1:
        if several:
            raise Refused(
                "The two sides normalise or hash the identity {kind} differently.",
                "Use the same version, profile and digest on both.", kind=kind,
            )  # fmt: skip
        raise Refused("The two sides normalise identities differently.", "Use the same version and profile on both.")


def slotted_sides(protocol: str, asked: Overlap, by: list[Reference], sums: list[Reference]) -> list[str]:
    """Sides whose columns travel as Paillier slots. Raises Refused for a question that this protocol cannot answer."""
    if protocol == "keyed":
        return sorted({reference.side for reference in sums})
    own = [reference for reference in (*by, *sums) if reference.side == asked.receiver]
    theirs = [reference for reference in (*by, *sums) if reference.side == asked.sender]
    if protocol == "join-sum" and own:
        raise Refused(
            "In join-sum the receiver does not learn its matched rows, so its own column {column} cannot be used.",
            "Use --protocol dh or keyed, or let the other side receive.",
            column=own[0].column,
        )
    if any(reference in sums for reference in own) and any(reference in by for reference in theirs):
        raise Refused(
            "Two parties alone cannot sum the receiver's own column by the other side's.",
            "Let the other side receive (--receiver), or use --protocol keyed.",
        )
    return [asked.sender] if theirs or protocol == "join-sum" else []


def match_wish(asked: Overlap, rows: dict[str, int], by: list[Reference], sums: list[Reference]) -> Wish:
    """What `auto` chooses for. Where only the other side's columns are asked for, and no members, nobody needs to learn
    which rows matched."""
    sides = {reference.side for reference in (*by, *sums)}
    members = asked.members is not None or asked.receiver in sides or not sides or asked.identities > 1
    slots = bool(sums) if asked.neutral else asked.sender in sides
    return Wish(rows[asked.receiver], rows[asked.sender], asked.neutral, members or asked.neutral, slots,
                repeated=False, key_bits=asked.key_bits, identities=asked.identities)  # fmt: skip


def refuse_slow(asked: Overlap, rows: dict[str, int], slotted: list[str]) -> dict[str, int] | None:
    """What the Paillier slots of these sides will take, to be shown before it starts: rows, seconds, megabytes.

    None without slots. Raises Refused for more rows than fit into memory.
    """
    if not slotted:
        return None
    count = sum(rows[side] for side in slotted)
    times = 1 if asked.neutral else asked.identities  # two parties send them with each identity
    most = MOST_SLOT_ROWS if times == 1 else MOST_SLOT_ROWS // 2  # beside references they are held twice
    if count > most:
        raise Refused(
            "Sums and the other side's groups over {rows} rows need more memory than this version allows.",
            "At most {most} rows; without --sum (and --by of the other side) there is no limit.",
            rows=count,
            most=most,
        )
    seconds = costs.slot_seconds(count, machine.here(), asked.key_bits)
    megabytes = times * count * asked.key_bits / 4e6
    return {"rows": count, "seconds": round(seconds), "megabytes": round(megabytes)}
