"""Who of a crowd is held out of a campaign: drawn by a keyed hash, stratified, committed to before anything is sent.

The seed comes from the operating system and stays sealed with the party that addresses people. A person's draw is a
keyed hash of the identity digest, so that it does not depend on the order of rows, and a person who comes again has the
same one. Later versions of the crowd bring batches: those who have an arm keep it, the others are drawn among
themselves. Nobody may choose an arm here, and nothing here may look at what people did.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.vault.row_digests import BLOCK, row_digests

TREATED, HELD_OUT = 0, 1
SEED_BYTES = 32
LEAST_SHARE, MOST_SHARE = 10, 900
"""Of a thousand members, those that may be held out."""
LABEL = "cleanroom/arms/1"
MOST_STRATA = 1 << 16

Bytes = NDArray[np.uint8]
Arms = NDArray[np.uint8]
Ints = NDArray[np.int64]
Draws = NDArray[np.uint64]
"""64 bits a person: of ten million, two have the same one in 3 of a million crowds, and then the same arm."""


@dataclass(frozen=True, eq=False)
class Members:
    """Who was given an arm, in the order of their draws.

    draws: uint64[n], keyed hashes of identity digests, ascending; strata: int64[n]; batches: int64[n], with which
    version of the crowd each came, from 0; arms: uint8[n], TREATED or HELD_OUT.
    """

    draws: Draws
    strata: Ints
    batches: Ints
    arms: Arms

    @classmethod
    def none(cls) -> "Members":
        """Nobody yet."""
        empty = np.zeros(0, np.int64)
        return cls(np.zeros(0, np.uint64), empty, empty, np.zeros(0, np.uint8))

    @property
    def last_batch(self) -> int:
        """The newest batch; -1 where there is nobody."""
        return int(self.batches.max()) if len(self.batches) else -1

    def to_bytes(self) -> bytes:
        """Canonical bytes of everything: what a commitment is to."""
        columns = (self.draws.astype("<u8"), self.strata.astype("<i8"), self.batches.astype("<i8"), self.arms)
        return b"".join([len(self.draws).to_bytes(8, "big"), *(column.tobytes() for column in columns)])


def new_seed() -> bytes:
    """32 bytes from the operating system."""
    return secrets.token_bytes(SEED_BYTES)


def assign(digests: Bytes, share: float, strata: Ints | None, seed: bytes) -> Arms:
    """uint8[n]: TREATED or HELD_OUT for each identity digest, uint8[n, 32 or 16], each there once.

    share: of each stratum, how much is held out; strata: int64[n], None: one. In every stratum the number held out is
    its share, rounded up or down at random. Raises UsageError for a share outside 0.01 to 0.9.
    """
    return _drawn(drawn(digests, seed), share, _strata(strata, len(digests)), seed, 0)


def drawn(digests: Bytes, seed: bytes) -> Draws:
    """uint64[n]: the draws of identity digests (AES-256 CBC-MAC under a key of the seed and the digests' width)."""
    if len(seed) != SEED_BYTES:
        raise BadData("A campaign's seed is damaged.", "Restore the home from a backup.")
    if digests.ndim != 2 or digests.shape[1] % BLOCK or not digests.shape[1]:
        raise UsageError("Arms are drawn for identity digests of 16 or 32 bytes.")
    key = hmac.digest(seed, f"{LABEL}/draw/{digests.shape[1]}".encode(), "sha256")
    return row_digests(key, digests)[:, :8].copy().view(">u8").reshape(-1).astype(np.uint64)


def admitted(members: Members, digests: Bytes, share: float, strata: Ints | None, seed: bytes) -> tuple[Members, Arms]:
    """(the members with a batch more, the arm of each digest): who has an arm keeps it, also in another stratum now.

    Raises UsageError where a digest stands twice.
    """
    draws, groups = drawn(digests, seed), _strata(strata, len(digests))
    if len(np.unique(draws)) != len(draws):
        raise UsageError("A person stands twice among those to be given an arm.")
    at, known = find(members, draws)
    fresh = ~known
    batch = members.last_batch + 1
    arms = np.empty(len(digests), np.uint8)
    arms[known] = members.arms[at[known]]
    arms[fresh] = _drawn(draws[fresh], share, groups[fresh], seed, batch)
    if not fresh.any():
        return members, arms
    columns = (
        np.concatenate([members.draws, draws[fresh]]),
        np.concatenate([members.strata, groups[fresh]]),
        np.concatenate([members.batches, np.full(int(fresh.sum()), batch, np.int64)]),
        np.concatenate([members.arms, arms[fresh]]),
    )
    order = np.argsort(columns[0], kind="stable")
    draws, groups, batches, given = columns
    return Members(draws[order], groups[order], batches[order], given[order]), arms


def find(members: Members, draws: Draws) -> tuple[Ints, NDArray[np.bool_]]:
    """(place among the members, whether it is there) of each draw; a place of one that is not there is arbitrary."""
    if not len(members.draws):
        return np.zeros(len(draws), np.int64), np.zeros(len(draws), np.bool_)
    at = np.minimum(np.searchsorted(members.draws, draws), len(members.draws) - 1).astype(np.int64)
    return at, members.draws[at] == draws


def commitment(seed: bytes, terms: canonical.Json, members: Members) -> str:
    """SHA-256 in hex over seed, parameters, who was drawn in which stratum and batch, and into which arm.

    It hides them all, since the seed is random, and lets none of them be changed afterwards.
    """
    membership = hashlib.sha256(members.to_bytes()).hexdigest()
    return canonical.digest(LABEL, {"seed": seed.hex(), "terms": terms, "members": membership})


def check(stated: str, seed: bytes, terms: canonical.Json, members: Members, share: float) -> None:
    """Raises Refused unless the commitment is to these, and the arms are those that the seed draws."""
    if not hmac.compare_digest(stated, commitment(seed, terms, members)):
        raise Refused("The arms, the seed or the terms are not those that were committed to.",
                      "Do not use what was measured with them.")  # fmt: skip
    for batch in range(members.last_batch + 1):
        its = members.batches == batch
        if not np.array_equal(members.arms[its], _drawn(members.draws[its], share, members.strata[its], seed, batch)):
            raise Refused("The arms are not those that the seed draws.", "Do not use what was measured with them.")


def _drawn(draws: Draws, share: float, strata: Ints, seed: bytes, batch: int) -> Arms:
    """The lowest draws of each stratum are held out."""
    if not LEAST_SHARE <= round(1000 * share) <= MOST_SHARE:
        raise UsageError("Held out is a share of 0.01 to 0.9.")
    arms = np.full(len(draws), TREATED, np.uint8)
    if not len(draws):
        return arms
    groups, inverse, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    if len(groups) > MOST_STRATA:
        raise UsageError("Arms are drawn within at most {most} strata.", most=MOST_STRATA)
    order = np.lexsort((draws, inverse))
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(draws), np.int64)
    ranks[order] = np.arange(len(draws)) - np.repeat(starts, sizes)
    rounding = np.array([_uniform(seed, batch, int(group)) for group in groups])
    held = np.floor(sizes * (round(1000 * share) / 1000) + rounding).astype(np.int64)
    arms[ranks < held[inverse]] = HELD_OUT
    return arms


def _uniform(seed: bytes, batch: int, group: int) -> float:
    """In [0, 1), of a stratum and batch."""
    block = hmac.digest(seed, f"{LABEL}/round/{batch}/{group}".encode(), "sha256")
    return int.from_bytes(block[:6], "big") / 2**48


def _strata(strata: Ints | None, count: int) -> Ints:
    return np.zeros(count, np.int64) if strata is None else strata.astype(np.int64)
