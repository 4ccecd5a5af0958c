"""Where the parties of a room are: all on this machine, or each at its own node. Whoever asks need not know.

Either way each party plays its part in a process of its own; what comes back is this party's outcome, and of parties on
this machine theirs too.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self

from cleanroom.errors import CleanroomError, Refused
from cleanroom.home import Home
from cleanroom.node.local import LocalParties, Progress
from cleanroom.rooms.contract import Contract


class Parties(Protocol):
    """Use it in a `with`."""

    def call(self, job: str, arguments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Run `job` at every party named in `arguments`; the results by party, this one's among them."""

    def __enter__(self) -> Self:
        """Ready."""

    def __exit__(self, *failure: object) -> None:
        """Done."""


Meeting = Callable[[Home, Contract, Iterable[str], Progress | None], Parties]
"""home, contract, the parties that take part, progress → these parties."""


def usual(home: Home, contract: Contract, names: Iterable[str], progress: Progress | None) -> Parties:
    """On this machine where all their homes are here, else over this home's node. Raises Refused where it has none."""
    others = [name for name in names if name != home.party]
    if _by_node(home, others):
        from cleanroom.node.submitted import Submitted  # what a node needs: only where there is one

        return Submitted(home, contract.room, progress)
    found = homes_here(home, contract)
    missing = next((name for name in others if name not in found), None)
    if missing is not None:
        raise Refused(
            "The home of {party} is not on this machine, and this home has no node to reach it by.",
            "Set one up: cleanroom node init, then cleanroom peer add.",
            party=missing,
        )
    return LocalParties({name: found[name] for name in (home.party, *others)}, progress)


def _by_node(home: Home, others: Iterable[str]) -> bool:
    """Whether this home has a node whose peers they all are."""
    if not (home.path / "node.toml").is_file():
        return False
    from cleanroom.node.peers import Peers

    return set(others) <= set(Peers(home).names())


def homes_here(home: Home, contract: Contract) -> dict[str, Path]:
    """The homes of the contract's parties that are on this machine, by the keys that it names."""
    path = home.path.resolve()
    keys, found = {each.name: each.signing for each in contract.parties}, {home.party: path}
    for folder in (home.peers, path.parent, path.parent.parent):
        for each in (folder, *(sorted(folder.iterdir()) if folder.is_dir() else ())):
            with suppress(OSError, CleanroomError):  # a home of somebody else, or none
                if (each / "node.json").is_file():
                    other = Home.open(each)
                    if keys.get(other.party) == other.keys.public.signing.hex():
                        found.setdefault(other.party, each)
    return found
