"""The operator's way with two datasets of one identity: merged as both owners send them, so that neither is ever held.

The enclave is given the rows alone that both have; where somebody is told its members, the places of these stay here.
Other rooms' datasets go into the enclave whole: of more than two owners, by several identities, or updated.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cleanroom.answer.side import Side
from cleanroom.enclave.query import Engine
from protocols.channel import Channel
from protocols.psi import keyed, lining_up
from protocols.psi import tokens as bulk
from protocols.psi.keyed import Received
from protocols.psi.lining_up import Passing
from protocols.rows import Indices


@dataclass(frozen=True)
class Merged:
    """positions: of every row in the enclave the place in what the owner sent that is told its members, ascending; none
    where nobody is told; canaries: the places of those."""

    positions: Indices
    canaries: Indices

    @property
    def matched(self) -> Indices:
        """The places of all persons that both have."""
        return np.delete(self.positions, np.flatnonzero(np.isin(self.positions, self.canaries)))


def fits(side: Side, enclave: Engine) -> bool:
    """Whether this run's datasets are merged as they come. A cluster lines up by itself."""
    simple = not any(dataset.also for dataset in side.lined_up)
    return simple and len(side.lined_up) == 2 and "cluster" not in enclave.isolation


def receive(side: Side, channels: Mapping[str, Channel], enclave: Engine, widths: Mapping[str, Mapping[str, int]],
            came: Mapping[str, Received], told: str) -> Merged:  # fmt: skip
    """Both owners' rows, those lined up into the enclave, canaries checked and taken out.

    widths: dataset → its columns' widths; came: its rows; told: the dataset whose owner is told its members, or none.
    """
    names = [dataset.name for dataset in side.lined_up]
    sides = [Passing(came[name]) for name in names]
    places: list[Indices] = [np.empty(0, np.int64)]

    def rows() -> Iterator[pa.RecordBatch]:
        for found in lining_up.lined_up(*sides):
            if told:
                places.append(found.left if told == names[0] else found.right)
            yield found.rows

    enclave.load_matched(keyed.layout({**widths[names[0]], **widths[names[1]]}), rows())
    dummies = [keyed.named_canaries(channels[owner]) for owner in side.owners]
    tokens = lining_up.canaries_passed(dummies, sides)
    lining_up.check_common(sum(enclave.drop_tokens(tokens).values()))
    out = sides[names.index(told)].places(bulk.words(tokens)[0]) if told else np.empty(0, np.int64)
    return Merged(np.concatenate(places), out)
