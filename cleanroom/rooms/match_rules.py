"""What a contract may line up: which datasets, of whom, where, and by which identities."""

from typing import TYPE_CHECKING

from cleanroom.errors import BadData, Refused
from cleanroom.rooms.terms import LEAST_VOLE_ROWS, SEVERAL

if TYPE_CHECKING:
    from cleanroom.rooms.contract import Contract


def check_match(contract: "Contract") -> None:
    """Raises BadData or Refused where a contract's match cannot be meant."""
    match = contract.match
    names = {dataset.name for dataset in contract.datasets}
    if set(match.datasets) != names or len(match.datasets) != len(names) or _owners(contract) != len(names):
        if match.others:
            raise BadData("A match lines up each dataset of the contract once, each of another owner.")
        raise BadData("A match lines up two datasets of two owners.")
    owners = contract.owners
    for owner in owners:
        if contract.party(owner).role == "operator":
            raise Refused("An operator cannot own data: it would hold both sides' keys.")
    for name in (match.receiver, *contract.release.recipients):
        if name not in owners:
            raise Refused("Receivers and recipients must be owners of data.")
    if match.protocol == "keyed":
        if contract.party(match.host).role != "operator":
            raise Refused(
                "keyed needs a third party as operator, named in the contract.", "Name one, or use dh or join-sum."
            )
    elif match.host != match.receiver:
        raise Refused("In a two-party room the receiver hosts the enclave.")
    if match.protocol == "vole" and contract.dataset_of(match.receiver).rows < LEAST_VOLE_ROWS:
        raise Refused(
            "vole cannot hold the receiver to {rows} rows: it allows {least} at least.",
            "Set rows = {least} for its dataset, or use dh.",
            rows=contract.dataset_of(match.receiver).rows,
            least=LEAST_VOLE_ROWS,
        )
    _check_identities(contract)


def _owners(contract: "Contract") -> int:
    return len({dataset.owner for dataset in contract.datasets})


def _check_identities(contract: "Contract") -> None:
    match, datasets = contract.match, contract.datasets
    also = any(dataset.also for dataset in datasets)
    if match.others and also:
        raise Refused(
            "More than two datasets are matched by one identity only.", "Import all of them by one and the same."
        )
    if len({dataset.identities for dataset in datasets}) > 1:
        if match.others:
            raise Refused("All datasets of the room must be matched by the same identity and profile.")
        if also:
            raise Refused("Both datasets must be matched by the same identities and profiles, in the same order.")
        raise Refused("Both datasets must be matched by the same identity and profile.")
    if not also:
        return
    if match.protocol not in SEVERAL:
        raise Refused(
            "{protocol} matches by one identity only.",
            "Use keyed, vole or dh, or import both datasets by one identity.",
            protocol=match.protocol,
        )
    if match.output != "members" and match.protocol != "keyed":
        raise Refused(
            "With several identities the receiver learns which of its rows matched, never the size alone.",
            'Set output = "members", use keyed, or import both datasets by one identity.',
        )
    if match.updates:
        raise Refused(
            "With several identities no run goes on from an earlier one.", "Leave updates out of the contract."
        )
