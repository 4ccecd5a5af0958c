"""What may be asked of a room, by its contract and its protocol. Every party looks before anything is computed."""

from cleanroom.answer import alone, planning, two_party
from cleanroom.answer.draws import check_count
from cleanroom.answer.side import Side
from cleanroom.answer.slots import cell_layout, reach
from cleanroom.enclave.query import split_name
from cleanroom.errors import Refused
from cleanroom.privacy.noise import MOST_SCALE, MOST_SIGMAS
from cleanroom.rooms.terms import Dataset, Slots


def check(side: Side) -> None:
    """Every column asked for stands in the contract, of a kind that fits, and can be had by its protocol.

    Slots are asked for as the contract declares them, all columns of a dataset or none: they are counted by all their
    cells, and nothing leaves that the question does not name. Raises Refused.
    """
    contract = side.contract
    if side.board is not None:
        alone.check(side, side.board)
        return
    _check_lined_up(side)
    if side.plan:
        planning.check(side)
        return
    for name in (*side.cells_asked, *side.query.sums):
        owner, column = split_name(name)
        kind = contract.dataset(owner).column(column).kind
        if (kind == "amount") != (name in side.query.sums):
            raise Refused("{column} cannot be used like this: it is of the kind {kind}.", column=name, kind=kind)
    keyed_room = contract.match.protocol == "keyed"
    if side.query.where:
        _check_conditions(side)
    for name in side.query.sums:
        if side.sigma * reach(side.term(name)) > MOST_SCALE:
            raise Refused(
                "Noise of sigma {scale} does not fit into 64 bits.",
                "Narrow the bounds of the amount, or ask for a smaller sigma.",
                scale=side.sigma * reach(side.term(name)),
            )
    _check_crossing(side)
    for dataset in side.lined_up:
        by, sums = side.columns(side.query.by, dataset), side.columns(side.query.sums, dataset)
        if dataset.owner == contract.match.host:
            _check_host(side, by, sums)
        elif sums or (by and not keyed_room):
            _check_slots(dataset, contract.slots_of(dataset.name), [] if keyed_room else by, sums)


def _check_lined_up(side: Side) -> None:
    """The datasets are the room's, this party takes part, and every column is of one of them. Raises Refused."""
    names = {dataset.name for dataset in side.lined_up}
    if side.party in side.contract.owners and side.party not in side.owners:
        raise Refused(
            "{party} brings none of the datasets that the question lines up, and takes no part in it.",
            "FROM matched lines up all; or name a dataset of your own among them.",
            party=side.party,
        )
    for name in (*side.query.by, *side.query.sums, *side.query.conditions):
        if side.over and split_name(name)[0] not in names:
            raise Refused(
                "{column} is of a dataset that the question does not line up.", "Join it, or ask FROM matched.",
                column=name,
            )  # fmt: skip


def _check_crossing(side: Side) -> None:
    """Between two parties the host's columns beside the other side's slots: few enough groups for noise, and without it
    none that is sensitive, since who holds the slots' key cannot look at them. Raises Refused."""
    contract = side.contract
    if contract.match.protocol == "keyed" or not any(map(side.slots_asked, contract.datasets)):
        return
    host = contract.dataset_of(contract.match.host)
    own = [f"{host.name}.{column}" for column in side.columns(side.query.by, host)]
    if side.sigma:
        groups = two_party.noised_groups(contract, own)
        for dataset in contract.datasets:
            if (slots := side.slots_asked(dataset)) is not None:
                check_count(groups * cell_layout(contract, dataset, slots).cells, 1 + len(side.query.sums))
    elif hidden := [name for name in own if name in side.sensitive]:
        raise Refused(
            "Without noise, the sensitive column {column} cannot be asked about beside the other side's.",
            "Ask by it alone, or in a room with noise.",
            column=hidden[0],
        )


def _check_conditions(side: Side) -> None:
    """Whether people may be asked about by condition here. Raises Refused."""
    contract = side.contract
    if not side.sigma:
        _check_exact_conditions(side)
    if contract.match.protocol == "keyed":
        return
    host = contract.dataset_of(contract.match.host).name
    if foreign := next((name for name in side.query.conditions if split_name(name)[0] != host), None):
        raise Refused(
            "Between two parties alone, people cannot be chosen by {column}: it does not leave its owner.",
            "Group by it, and its cells are shown; or let its owner receive, or use keyed.",
            column=foreign,
        )
    if contract.match.output == "size":
        raise Refused("The receiver does not learn its matched rows, so its own column {column} cannot be used.",
                      "Let the other side receive, or ask in a room whose receiver has members.",
                      column=side.query.conditions[0])  # fmt: skip


def _check_exact_conditions(side: Side) -> None:
    """Without noise answers to two conditions could be subtracted: what the enclave cannot compare is refused."""
    slots = side.contract.match.protocol != "keyed" and any(map(side.slots_asked, side.contract.datasets))
    if slots or any(side.term(name).sensitive for name in side.cells_asked):
        raise Refused(
            "Without noise, these people cannot be asked about by condition: answers could be subtracted.",
            "Group by the column instead: groups of at least {k} people are shown.",
            k=side.contract.release.k,
        )


def _check_slots(dataset: Dataset, slots: Slots | None, by: list[str], sums: list[str]) -> None:
    """What is asked of a dataset whose columns travel as slots. Raises Refused."""
    if slots is None:
        raise Refused("The contract declares no slots for the sums of {dataset}.", dataset=dataset.name)
    if (set(slots.by), set(slots.sums)) != (set(by), set(sums)):
        raise Refused(
            "The question does not fit the slots that the contract declares for {dataset}.",
            "Ask by all columns of the slots, or by none of that dataset.",
            dataset=dataset.name,
        )


def _check_host(side: Side, by: list[str], sums: list[str]) -> None:
    """What the host of a two-party room is asked of its own columns. Raises Refused."""
    if side.contract.match.output == "size" and (by or sums):
        raise Refused(
            "The receiver does not learn its matched rows, so its own column {column} cannot be used.",
            "Let the other side receive, or ask in a room whose receiver has members.",
            column=(*by, *sums)[0],
        )
    dataset = side.contract.dataset_of(side.contract.match.host)
    for name in sums:
        if reach(dataset.column(name)) * (dataset.rows + MOST_SIGMAS * side.sigma) >= 1 << 63:
            raise Refused("Sums of {column} with their noise do not fit into 64 bits.",
                          "Declare narrower bounds, fewer rows or a coarser unit.", column=name)  # fmt: skip
    if sums and len(side.query.by) > len(by):
        raise Refused(
            "Two parties alone cannot sum the receiver's own column by the other side's.",
            "Let the other side receive (--receiver), or use --protocol keyed.",
        )
