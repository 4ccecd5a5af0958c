"""The terms of a contract, as frozen dataclasses that refuse what cannot be meant.

Labels of categories and edges of buckets are not here: they stand in the annex, which only data owners hold, so that
an operator can verify and sign a contract without learning one label. A term carries the number of cells and a salted
digest.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from cleanroom.errors import BadData, Refused
from cleanroom.privacy.noise import LEAST_SIGMA, MOST_SIGMA

Role = Literal["merchant", "platform", "provider", "auditor", "operator"]
Protocol = Literal["keyed", "dh", "vole", "oprf", "join-sum"]
Kind = Literal["category", "bucket", "amount"]
Output = Literal["members", "size"]
Noise = Literal["off", "gaussian"]
Queries = Literal["free", "templates"]

ROLES = ("merchant", "platform", "provider", "auditor", "operator")
PROTOCOLS = ("keyed", "dh", "vole", "oprf", "join-sum")
MEMBERS_ONLY = ("vole", "oprf")
"""Protocols that cannot keep the matched rows from their receiver."""
SEVERAL = ("keyed", "vole", "dh")
"""Protocols that can match by several identities a person: at the operator, or run by run (protocols.psi.waterfall)."""
MOST_IDENTITIES = 16
MOST_OWNERS = 8
MOST_KIND_BYTES = 32
KINDS = ("category", "bucket", "amount")
MOST_CELLS = 256
LEAST_K = 50
LEAST_FLOOR = 1_000
MOST_VERSIONS = 1_000
DEFAULT_KEY_BITS = 3072
KEY_BITS = (2048, 3072, 4096)
LEAST_MASK_BITS = 40
LEAST_VOLE_ROWS = 2000
"""Rows that `vole` lets its receiver try at least (protocols.psi.vole.LEAST_ROWS), so that a contract says no fewer."""
DEFAULT_EPSILON, MOST_EPSILON = 10, 100
EPOCH_DAYS = 30
"""How long a key of `oprf` lives, from the contract's beginning on; a quota is for one key."""
_NAME = re.compile(r"[^\W\d_][\w-]{0,63}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


@dataclass(frozen=True)
class Party:
    """A party by name and role, with its Ed25519 and X25519 public keys in hex."""

    name: str
    role: Role
    signing: str
    exchange: str

    def __post_init__(self) -> None:
        _typed(self)
        _named(self.name)
        _one_of("role", self.role, ROLES)
        for key in (self.signing, self.exchange):
            if len(key) != 64 or not _HEX.fullmatch(key):
                raise BadData("A key of the party {name} is not 32 bytes in hex.", name=self.name)


@dataclass(frozen=True)
class Column:
    """A column that the room may use.

    category, bucket: `cells` labels with digest `annex` (see Annex); amount: integer minor units in [low, high].
    members: may define members lists and activations; sensitive: never may, and without noise a group that shares one
    of its values is withheld (left out of what is signed where false).
    """

    name: str
    kind: Kind
    cells: int = 0
    annex: str = ""
    low: int = 0
    high: int = 0
    unit: str = ""
    members: bool = False
    sensitive: bool = False

    def __post_init__(self) -> None:
        _typed(self)
        if not self.name or len(self.name) > 64:
            raise BadData("A column name of the contract is empty or longer than 64 characters.")
        _one_of("kind", self.kind, KINDS)
        if self.sensitive and (self.members or self.kind == "amount"):
            raise Refused("The sensitive column {column} may not define members lists, nor be an amount.",
                          column=self.name)  # fmt: skip
        if self.kind == "amount":
            if not -(2**62) < self.low <= self.high < 2**62 or self.cells or self.annex:
                raise BadData("The bounds of the amount {column} are not in order.", column=self.name)
        elif not 1 <= self.cells <= MOST_CELLS or not re.fullmatch("[0-9a-f]{64}", self.annex) or self.low or self.high:
            raise BadData("The column {column} needs 1 to {most} cells.", column=self.name, most=MOST_CELLS)


@dataclass(frozen=True)
class Identity:
    """A kind of identity, and the profile by which it is normalised."""

    kind: str
    profile: str

    def __post_init__(self) -> None:
        _typed(self)
        if not 1 <= len(self.kind.encode()) <= MOST_KIND_BYTES or not self.profile:
            raise BadData("An identity has a kind, of at most {most} bytes, and a profile.", most=MOST_KIND_BYTES)


@dataclass(frozen=True)
class Dataset:
    """What an owner brings: the identity that is matched, the most rows it may have, its columns, its legal ground.

    also: further identities, tried in this order where those before did not match; left out of what is signed where
    there are none.
    """

    name: str
    owner: str
    identity: str
    profile: str
    rows: int
    columns: tuple[Column, ...] = ()
    consent: str = ""
    also: tuple[Identity, ...] = ()

    def __post_init__(self) -> None:
        _typed(self)
        _named(self.name)
        if not 0 < self.rows <= 2**40:
            raise BadData("The row bound of the dataset {name} must be positive.", name=self.name)
        _distinct("column", (column.name for column in self.columns))
        if len({self.identity, *(each.kind for each in self.also)}) != 1 + len(self.also):
            raise BadData("The dataset {name} names an identity twice.", name=self.name)
        if len(self.also) >= MOST_IDENTITIES:
            raise BadData("The dataset {name} has more than {most} identities.", name=self.name, most=MOST_IDENTITIES)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """All that are tried, in order."""
        return (Identity(self.identity, self.profile), *self.also)

    def column(self, name: str) -> Column:
        """The column's term. Raises Refused where the contract has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise Refused("The contract has no column {dataset}.{column}.", dataset=self.name, column=name)


@dataclass(frozen=True)
class Slots:
    """Which of a dataset's columns travel as packed Paillier slots: one count, and one slot a sum, per cell of `by`.

    key: fingerprint of the owner's Paillier key (cleanroom.rooms.paillier_keys).
    """

    dataset: str
    by: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    mask_bits: int = LEAST_MASK_BITS
    key_bits: int = DEFAULT_KEY_BITS
    key: str = ""

    def __post_init__(self) -> None:
        _typed(self)
        _distinct("column", (*self.by, *self.sums))
        if not re.fullmatch("(?:[0-9a-f]{64})?", self.key):
            raise BadData("The fingerprint of a Paillier key is not 32 bytes in hex.")
        if self.key_bits not in KEY_BITS or self.mask_bits < LEAST_MASK_BITS:
            raise BadData(
                "Slots need keys of {sizes} bits and masks of at least {least} bits.",
                sizes=", ".join(map(str, KEY_BITS)),
                least=LEAST_MASK_BITS,
            )


@dataclass(frozen=True)
class Match:
    """How datasets are lined up: by which protocol, where, and what the receiver gets of it.

    quota: in `oprf` alone, how many identities the receiver may ask about within one key epoch.
    updates: in `keyed`, and where `dh` gives members, a run goes on from the last one of its epoch; left out of what is
    signed where false. others: in `keyed` alone, further datasets; commitment: then, to the secret that all owners
    share (cleanroom.rooms.room_secrets), in hex; both left out of what is signed where there are two.
    """

    protocol: Protocol
    left: str
    right: str
    host: str
    receiver: str
    output: Output = "members"
    quota: int = 0
    updates: bool = False
    others: tuple[str, ...] = ()
    commitment: str = ""

    @property
    def datasets(self) -> tuple[str, ...]:
        """All that the room lines up."""
        return (self.left, self.right, *self.others)

    def __post_init__(self) -> None:
        _typed(self)
        _one_of("protocol", self.protocol, PROTOCOLS)
        self._check_others()
        _one_of("output", self.output, ("members", "size"))
        if self.protocol == "join-sum" and self.output != "size":
            raise Refused("In join-sum nobody may learn the matched rows.", 'Set output = "size", or use dh.')
        if self.protocol in MEMBERS_ONLY and self.output != "members":
            raise Refused(
                "In {protocol} the receiver learns which of its rows matched, never the size alone.",
                'Set output = "members", or use dh.',
                protocol=self.protocol,
            )
        if (self.quota > 0) != (self.protocol == "oprf") or self.quota < 0:
            raise BadData("A contract names a quota of identities where the protocol is oprf, and nowhere else.")
        if self.updates and not (self.protocol == "keyed" or (self.protocol == "dh" and self.output == "members")):
            raise Refused(
                "Only keyed, and dh where the receiver has members, can go on from an earlier run.",
                "Leave updates out of the contract.",
            )

    def _check_others(self) -> None:
        if self.others and self.protocol != "keyed":
            raise Refused(
                "{protocol} lines up two datasets, not {count}.",
                "More than two owners need keyed, with a third party as operator.",
                protocol=self.protocol,
                count=len(self.datasets),
            )
        if len(self.datasets) > MOST_OWNERS:
            raise Refused("A room has {most} data owners at most.", most=MOST_OWNERS)
        if self.others and self.updates:
            raise Refused(
                "With more than two owners no run goes on from an earlier one.", "Leave updates out of the contract."
            )
        if bool(self.others) != bool(self.commitment) or not re.fullmatch("(?:[0-9a-f]{64})?", self.commitment):
            raise BadData(
                "A contract of more than two owners names the digest of the secret they share, and no other does.",
                "cleanroom room new draws the secret and writes its digest into the draft.",
            )


@dataclass(frozen=True)
class ReleaseRules:
    """What may leave: at least k distinct persons behind every number, to the recipients only.

    noise: gaussian adds discrete Gaussian noise of `sigma` persons to counts and of `sigma` times the largest amount to
    sums, and allows questions of ε = `epsilon` a month about each dataset; off: numbers are exact, sigma and epsilon 0.
    queries: templates, if only what the owners signed beforehand may be asked. alone: datasets of which boards may be
    made: noised numbers about all their persons, matched or not, to each other owner. planned: columns
    (dataset.column) that plans of the match are of, all where none is named: the fewer, the more exact. What is 0, free
    or empty stays out of what is signed.
    """

    recipients: tuple[str, ...]
    k: int = 100
    noise: Noise = "off"
    sigma: int = 0
    epsilon: int = 0
    queries: Queries = "free"
    alone: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _typed(self)
        if self.k < LEAST_K:
            raise Refused(
                "k = {k} is below {least}, the least any room may have.",
                "Leave --k out for 100.",
                k=self.k,
                least=LEAST_K,
            )
        _one_of("noise", self.noise, ("off", "gaussian"))
        _one_of("queries", self.queries, ("free", "templates"))
        _distinct("dataset", self.alone)
        if self.alone and (self.noise == "off" or self.queries != "free"):
            raise Refused("Boards are made in rooms with noise, and with questions other than templates.",
                          "Leave alone out of the contract.")  # fmt: skip
        if self.noise == "off":
            if self.sigma or self.epsilon:
                raise BadData("Without noise a contract names neither sigma nor epsilon.")
        elif not LEAST_SIGMA <= self.sigma <= MOST_SIGMA or not 1 <= self.epsilon <= MOST_EPSILON:
            raise Refused(
                "Noise needs a sigma of {least} to {most} persons and an epsilon of 1 to {epsilon} a month.",
                "Leave both out for 20 and 10.",
                least=LEAST_SIGMA,
                most=MOST_SIGMA,
                epsilon=MOST_EPSILON,
            )


@dataclass(frozen=True)
class Activation:
    """That crowds of the room may be addressed: its receiver learns of each of its own people whether they are in one.

    receiver: an owner of data; channels: where (cleanroom.crowds.channels); floor: the least noised size of a crowd
    that is given; most_versions: versions of crowds in which one person may be given in a month; lists: whether a list
    that the other side uploaded may define a crowd.
    """

    receiver: str
    channels: tuple[str, ...]
    floor: int = LEAST_FLOOR
    most_versions: int = 31
    lists: bool = False

    def __post_init__(self) -> None:
        _typed(self)
        _distinct("channel", self.channels)
        for channel in self.channels:
            _named(channel)
        if not self.channels:
            raise BadData("An activation names at least one channel.")
        if self.floor < LEAST_FLOOR:
            raise Refused("A crowd that is addressed has at least {least} people.", least=LEAST_FLOOR)
        if not 1 <= self.most_versions <= MOST_VERSIONS:
            raise BadData("A person may be given in 1 to {most} versions of crowds a month.", most=MOST_VERSIONS)


@dataclass(frozen=True)
class Marketing:
    """What a room for marketers has beside answers. channels: where the receiver may address crowds, none for no
    crowds; lists: whether uploaded lists may define them; boards: of all persons of the receiver's dataset; planned:
    as of `ReleaseRules`."""

    channels: tuple[str, ...] = ()
    lists: bool = False
    boards: bool = False
    planned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _typed(self)


@dataclass(frozen=True)
class Annex:
    """Labels of a column's cells, for data owners only; edges: of a bucket, as text; salt hides both from others."""

    dataset: str
    column: str
    salt: str
    labels: tuple[str, ...]
    edges: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        _typed(self)


def _typed(term: Any) -> None:
    """Raises BadData where a text, number or list of texts is of another type: JSON and TOML hold what they like."""
    for each in fields(term):
        value = getattr(term, each.name)
        if each.type in (str, int, bool):
            fits = type(value) is each.type
        elif each.type == tuple[str, ...]:
            fits = type(value) is tuple and all(type(item) is str for item in value)
        else:
            continue  # another term, or one of some words
        if not fits:
            raise BadData("The entry {entry} of the contract is of another type.", entry=each.name)


def _named(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadData("A name may have letters, digits, - and _, at most 64, and starts with a letter.")


def _one_of(what: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise BadData("The contract's {what} must be one of: {allowed}.", what=what, allowed=", ".join(allowed))


def _distinct(what: str, names: Iterable[str]) -> None:
    names = list(names)
    if len(set(names)) != len(names):
        raise BadData("Two of the contract's {what}s have the same name.", what=what)


NO_MARKETING = Marketing()
