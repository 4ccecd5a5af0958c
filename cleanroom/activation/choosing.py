"""Who of a crowd is addressed: everybody but those whom the newest data, the caps and the trial's arms keep out.

Each person is left out for one reason, the first that holds in the order of `REASONS`; the trial's own holdout comes
last, so that its two arms are alike in all that comes before. Nothing here leaves the platform.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.activation import people, reach
from cleanroom.activation.people import Keys, Rows
from cleanroom.campaigns import arms
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.keys import SecretAccess
from cleanroom.vault.identities import Bytes, Flags
from cleanroom.vault.manifest import Manifest
from connectors.arrays import as_flags, is_valid
from connectors.values import parse_bool

REASONS = ("gone", "no-consent", "opted-out", "out-of-reach", "no-handle", "never-addressed", "too-often", "holdout")
"""gone: no longer in the dataset, as after a deletion; never-addressed: of the platform's own global holdout;
too-often: had as many messages as a person may have; holdout: of the campaign's."""
CONSENT = "consent"

Addressed = Callable[[Rows], Flags]
"""Of ascending rows of the newest version, which may be sent something (cleanroom.campaigns.holdout): bool[n]. It may
write arms beside the dataset, as a further version."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """keys: uint64, those to address, in the order of the dataset's rows; held: those of the campaign's holdout, who
    would be addressed otherwise; left_out: people by reason."""

    keys: Keys
    held: Keys
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Caps:
    """messages: that a person may have in the days that count; contacts: how many each of some had in them; share: of
    people in the platform's global holdout; secret: by which it is drawn."""

    messages: int
    contacts: Callable[[Keys], NDArray[np.int64]]
    share: float
    secret: bytes


def choose(home: Home, dataset: str, members: Keys, channel: str, caps: Caps, addressed: Addressed) -> Chosen:
    """Those of the members who are to be addressed now. Raises Refused where the dataset lacks what a channel needs."""
    treated = _treated(home, dataset, members, addressed)
    rows = people.rows_of(home, dataset, members)
    left = _Left(rows, len(members) - len(rows))
    for reason, flags in unfit(home, dataset, rows, channel).items():
        left.out(reason, flags)
    digests, keys = people.digests(home, dataset, rows), people.keys(home, dataset, rows)
    left.out("never-addressed", _never(digests, caps))
    left.out("too-often", caps.contacts(keys) >= caps.messages)
    held = left.staying & ~people.among(keys, treated)
    left.out("holdout", held)
    return Chosen(keys[left.staying], keys[held], {name: count for name, count in left.counts.items() if count})


def _treated(home: Home, dataset: str, members: Keys, addressed: Addressed) -> Keys:
    """Those whom no campaign holds out: by key, since it may bring the dataset's next version."""
    rows = people.rows_of(home, dataset, members)
    keys = people.keys(home, dataset, rows)
    return np.asarray(keys[addressed(rows)], np.uint64)


def unfit(home: Home, dataset: str, rows: Rows, channel: str) -> dict[str, Flags]:
    """reason → bool[n]: which of these ascending rows of the newest version may not or cannot be addressed."""
    manifest = home.vault.manifest(dataset)
    needed, consent = reach.need(channel), people.stored(manifest, CONSENT)
    reached = people.stored(manifest, needed) if needed else ""
    if needed and not reached:
        raise Refused(
            "The channel {channel} needs the column {column}, which the dataset {dataset} does not have.",
            "Fold the events with the features of private-domain data, or choose another channel.",
            channel=channel, column=needed, dataset=dataset,
        )  # fmt: skip
    outs, usable = _there(manifest, reach.opt_outs(channel)), _there(manifest, reach.USABLE)
    whole = people.stored(manifest, reach.REACHED)
    texts = people.texts(home, dataset, [name for name in (consent, reached, whole, *outs, *usable) if name], rows)
    said = {name: parse_bool(column) for name, column in texts.items()}
    none = np.zeros(len(rows), np.bool_)
    found = {"no-consent": _is(said[consent], yes=False) if consent else none}
    by_reach = _any(said, usable, none) & _is(said[whole], yes=False) if whole else none
    found["opted-out"] = _any(said, outs, none) | by_reach
    found["out-of-reach"] = ~_is(said[reached], yes=True) if reached else none
    handles = people.handles(home, dataset, rows, SecretAccess("to see who has no reference"))
    found["no-handle"] = ~is_valid(handles)
    return found


def _there(manifest: Manifest, columns: Sequence[str]) -> list[str]:
    return [name for name in (people.stored(manifest, column) for column in columns) if name]


def _any(said: Mapping[str, pa.BooleanArray], names: Sequence[str], none: Flags) -> Flags:
    """Of whom one of these columns says yes."""
    return np.asarray(np.logical_or.reduce([none, *(_is(said[name], yes=True) for name in names)]), np.bool_)


class _Left:
    """Who stays, and how many were left out for what."""

    def __init__(self, rows: Rows, gone: int) -> None:
        self.staying: Flags = np.ones(len(rows), np.bool_)
        self.counts = dict.fromkeys(REASONS, 0) | {"gone": gone}

    def out(self, reason: str, flags: Flags) -> None:
        self.counts[reason] += int((self.staying & flags).sum())
        self.staying &= ~flags


def _never(digests: Bytes, caps: Caps) -> Flags:
    if not caps.share:
        return np.zeros(len(digests), np.bool_)
    return np.asarray(arms.drawn(digests, caps.secret) < np.uint64(int(caps.share * 2**64)), np.bool_)


def _is(said: pa.BooleanArray, *, yes: bool) -> Flags:
    """Which say yes, or no; what says neither is neither."""
    return np.asarray(is_valid(said) & (as_flags(said) == yes), np.bool_)
