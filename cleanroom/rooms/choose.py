"""`auto`: which protocol a new room should name, and why. Decided before anything is signed, never during a run.

First what may be disclosed and who is there; only among what is left does time count (`cleanroom.rooms.costs`).
"""

from dataclasses import asdict, dataclass
from typing import Any

from cleanroom import machine as machines
from cleanroom.machine import Machine
from cleanroom.rooms import costs
from cleanroom.rooms.costs import SMALL_ROWS, Estimate, Link
from cleanroom.rooms.disclosure import WATERFALL, Sentence
from cleanroom.rooms.terms import LEAST_VOLE_ROWS, SEVERAL, Protocol

UNBALANCED = 20
"""How many times more rows than the receiver the other side has before `oprf` is thought of."""
AT_OPERATOR = "waterfall at an operator"
LEARNS: dict[str, str] = {
    "keyed": "the operator: sizes, shared pseudonyms, counts of tokens; the receiver: which of its rows matched",
    "vole": "both: sizes; the receiver: which of its rows matched",
    "dh": "both: sizes; the receiver: which of its rows matched",
    "oprf": "the receiver: which of its rows matched; the other side: how many were asked",
    "join-sum": "both: sizes; the receiver: the exact size of the overlap, and no row",
    WATERFALL: "both: sizes; the receiver: which of its rows matched, by which identities, and which are one person "
    "to the other side",
    AT_OPERATOR: "the operator: sizes, shared pseudonyms by each identity, counts of tokens; the receiver: which of "
    "its rows matched",
}
"""Beside the releases."""
SIZE_ONLY = "both: sizes; the receiver: the exact size of the overlap, and no row"


@dataclass(frozen=True)
class Wish:
    """What a room is for. operator: a neutral one runs the enclave; members: the receiver may learn which of its rows
    matched; slots: the sender's columns travel as Paillier slots; repeated: there will be later runs; identities: kinds
    that a person may have, of which several take keyed, or vole or dh with members."""

    receiver_rows: int
    sender_rows: int
    operator: bool = False
    members: bool = True
    slots: bool = False
    repeated: bool = True
    key_bits: int = 3072
    identities: int = 1


@dataclass(frozen=True)
class Option:
    """One protocol for a wish: why it does not fit (None where it does), its estimate, who learns what by it."""

    protocol: Protocol
    why_not: Sentence | None
    estimate: Estimate
    learns: str

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        why_not = None if self.why_not is None else {"template": self.why_not.template, **self.why_not.params}
        return {
            "protocol": self.protocol, "fits": self.why_not is None, "why_not": why_not, "learns": self.learns,
            "seconds": round(self.estimate.seconds, 2), "later_seconds": round(self.estimate.later, 2),
            "bytes": self.estimate.wire,
        }  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """The protocol and the reason, as an English template with its parameters; and all that was weighed."""

    protocol: Protocol
    why: str
    params: dict[str, object]
    options: tuple[Option, ...] = ()
    machine: Machine | None = None
    link: Link = Link()  # noqa: RUF009 - frozen

    def explained(self) -> dict[str, Any]:
        """The whole table, as `--explain` prints it."""
        machine = self.machine or machines.here()
        return {
            "machine": {"name": machine.name, "cores": machine.cores, "kind": machine.kind, "kernels": machine.kernels},
            "own_figures": bool(costs.saved(machine)),
            "link": asdict(self.link) if self.link.bandwidth else None,
            "protocols": [option.plain() for option in self.options],
        }


def choose(wish: Wish, machine: Machine | None = None, link: Link | None = None) -> Choice:
    """keyed where a neutral operator runs the enclave; else the quickest that discloses no more than is wished."""
    machine, link = machine or machines.here(), link or Link()
    options = tuple(_options(wish, machine, link))
    fitting = {option.protocol: option.estimate for option in options if option.why_not is None}
    protocol = _best(wish, fitting)
    choice = _reason(protocol, wish, fitting)
    return Choice(protocol, choice.template, choice.params, options, machine, link)


def _best(wish: Wish, fitting: dict[Protocol, Estimate]) -> Protocol:
    if _small(wish) and "dh" in fitting:
        return "dh"
    return min(fitting, key=lambda name: fitting[name].later if wish.repeated else fitting[name].seconds)


def _small(wish: Wish) -> bool:
    return max(wish.receiver_rows, wish.sender_rows) <= SMALL_ROWS


def _options(wish: Wish, machine: Machine, link: Link) -> list[Option]:
    names: tuple[Protocol, ...] = ("keyed", "vole", "dh", "oprf", "join-sum")
    slots = wish.sender_rows if wish.slots else 0
    options = []
    for name in names:
        learns = SIZE_ONLY if name == "dh" and not wish.members else LEARNS[name]
        cost = costs.estimate(name, wish.receiver_rows, wish.sender_rows, machine, link, slots, wish.key_bits)
        if wish.identities > 1 and name in SEVERAL:
            learns = LEARNS[AT_OPERATOR if name == "keyed" else WATERFALL]
            match = costs.estimate(name, wish.receiver_rows, wish.sender_rows, machine, link)
            cost = _several(cost, match, wish.identities - 1, once=name == "keyed")
        options.append(Option(name, _why_not(name, wish, machine), cost, learns))
    return options


def _several(whole: Estimate, match: Estimate, more: int, *, once: bool) -> Estimate:
    """A match by each identity in turn: `whole` once, then `more` times `match`. Slots are encrypted once, and sent
    each time or `once`."""
    wire = whole.wire + more * (match.wire if once else whole.wire)
    return Estimate(whole.seconds + more * match.seconds, wire, whole.later + more * match.later)


def _why_not(protocol: Protocol, wish: Wish, machine: Machine) -> Sentence | None:
    """Numbered, the first that holds: what the protocol can do, who is there, what may be disclosed, what the sizes and
    the machine allow."""
    if wish.identities > 1 and protocol not in SEVERAL:  # 0. what it can do at all
        return Sentence("it matches by one identity only")
    if wish.operator != (protocol == "keyed"):  # 1. who is there
        return (
            Sentence("no operator runs the enclave")
            if protocol == "keyed"
            else Sentence("with an operator, keyed is enough")
        )
    if protocol in ("vole", "oprf") and not wish.members:  # 2. what may be disclosed
        return Sentence("it would tell the receiver its matched rows")
    if protocol == "join-sum" and not (wish.slots and not wish.members):
        return Sentence("it gives sums alone, and tells nobody the matched rows")
    if protocol == "dh" and wish.slots and not wish.members:
        return Sentence("without matched rows its sums are those of join-sum")
    if protocol == "oprf" and wish.sender_rows < UNBALANCED * max(1, wish.receiver_rows):  # 3. the sizes
        return Sentence("the receiver is not {times} times smaller", {"times": UNBALANCED})
    if protocol == "vole" and _small(wish):
        return Sentence("so few rows need no compiled kernels")
    if protocol == "vole" and wish.receiver_rows < LEAST_VOLE_ROWS:
        return Sentence("it allows the receiver {least} rows at least", {"least": LEAST_VOLE_ROWS})
    if protocol == "vole" and not machine.kernels:  # 4. the machine
        return Sentence("compiled kernels cannot be kept on this machine")
    return None


def _reason(protocol: Protocol, wish: Wish, fitting: dict[Protocol, Estimate]) -> Sentence:
    """One line for people."""
    seconds = {"seconds": _told(fitting[protocol].seconds)}
    if protocol == "keyed":
        return Sentence("An operator that owns no data runs the enclave, so symmetric cryptography is enough.")
    if wish.identities > 1:
        return _reason_of_several(protocol, seconds | {"kinds": wish.identities}, fitting)
    if protocol == "join-sum":
        return Sentence("Only sums are wanted, so nobody learns which rows matched: about {seconds} s.", seconds)
    if protocol == "oprf":
        times = {"times": wish.sender_rows // max(1, wish.receiver_rows)}
        online = {"seconds": _told(fitting[protocol].later)}
        return Sentence(
            "No third party runs the enclave, and the receiver has {times} times fewer rows: "
            "about {seconds} s a run, once the other side's are evaluated.", times | online,
        )  # fmt: skip
    if protocol == "vole":
        return Sentence(
            "No third party runs the enclave; vole is the quickest for two parties: about {seconds} s, dh {other} s.",
            seconds | {"other": _told(fitting["dh"].seconds)},
        )
    if not wish.members:
        return Sentence("No third party runs the enclave, and only the size is wanted: about {seconds} s.", seconds)
    return Sentence(
        "No third party runs the enclave, so the two sides match by Diffie-Hellman: about {seconds} s.", seconds
    )


def _reason_of_several(protocol: Protocol, params: dict[str, Any], fitting: dict[Protocol, Estimate]) -> Sentence:
    if protocol == "vole":
        return Sentence(
            "By {kinds} identities a person the two sides match alone; vole is the quicker: about {seconds} s, "
            "dh {other} s.", params | {"other": _told(fitting["dh"].seconds)},
        )  # fmt: skip
    return Sentence(
        "By {kinds} identities a person the two sides match alone, by Diffie-Hellman: about {seconds} s.", params
    )


def _told(seconds: float) -> str:
    """About so many seconds, as people say it."""
    return f"{seconds:.1f}" if seconds < 10 else f"{round(seconds):,}"
