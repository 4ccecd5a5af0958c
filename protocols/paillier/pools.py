"""N-th residues drawn beforehand, so that a re-randomisation costs one product when its moment comes."""

import numpy as np

from protocols.paillier import residues
from protocols.paillier.keys import PublicKey, Secret
from protocols.paillier.numbers import Rows

MOST = 1 << 16
"""Residues that a pool may hold: 32 MB at 2048 bits."""


class Pool(Secret):
    """At most `most` residues of the source for re-randomising, each handed out once and then forgotten.

    In memory only. Give it to `cipher.rerandomise` as its source; where it runs short, the rest is drawn at once.
    """

    def __init__(self, key: PublicKey, most: int) -> None:
        if not 0 < most <= MOST:
            raise ValueError(f"a pool holds from 1 to {MOST} residues")
        self.source, self.most = residues.hiding_origins(key), most
        self._held: Rows = np.empty((0, key.width), np.uint8)

    def __len__(self) -> int:
        return len(self._held)

    def fill(self) -> None:
        """Draw what is missing."""
        if missing := self.most - len(self):
            self._held = np.concatenate([self._held, self.source.draw(missing)])

    def draw(self, count: int) -> Rows:
        """See residues.Residues."""
        taken = self._held[:count].copy()
        self._held[:count] = 0
        self._held = self._held[count:]
        if len(taken) == count:
            return taken
        return np.concatenate([taken, self.source.draw(count - len(taken))])
