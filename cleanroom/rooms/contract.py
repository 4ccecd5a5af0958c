"""The contract: one canonical form of its terms, what makes it valid, and the signatures under it."""

import dataclasses
import datetime as dt
import hashlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cleanroom import canonical
from cleanroom.errors import BadData, Refused
from cleanroom.keys import PartyKeys, PublicKeys, verify
from cleanroom.rooms.match_rules import check_match
from cleanroom.rooms.terms import (
    MEMBERS_ONLY,
    Activation,
    Annex,
    Column,
    Dataset,
    Identity,
    Match,
    Party,
    ReleaseRules,
    Slots,
    _distinct,
    _named,
    _typed,
)

FORMAT = "cleanroom-contract/2"
FIRST_FORMAT = "cleanroom-contract/1"
"""Without the entries of `_LATER`; it can be read and audited, no more."""
LABEL = "cleanroom/contract/1"
ANNEX_LABEL = "cleanroom/annex/1"
MOST_SLOT_CELLS = 4096
_LATER = ("quota", "key")
"""Entries of a match and of slots that came with version 2."""


@dataclass(frozen=True)
class Contract:
    """What the parties agree on. Times are UTC in ISO 8601, to the second."""

    room: str
    parties: tuple[Party, ...]
    datasets: tuple[Dataset, ...]
    match: Match
    release: ReleaseRules
    purposes: tuple[str, ...]
    created: str
    expires: str
    slots: tuple[Slots, ...] = ()
    notes: tuple[str, ...] = ()
    format: str = field(default=FORMAT)
    activation: Activation | None = None

    def __post_init__(self) -> None:
        _typed(self)
        if self.format not in (FORMAT, FIRST_FORMAT) or (self.format == FIRST_FORMAT and self._is_later()):
            raise BadData("This contract has a format that this version does not know.")
        _named(self.room)
        _distinct("party", (party.name for party in self.parties))
        _distinct("dataset", (dataset.name for dataset in self.datasets))
        if not self.purposes:
            raise BadData("A contract names at least one purpose.")
        if not _moment(self.created) < _moment(self.expires):
            raise BadData("The contract ends before it begins.")
        check_match(self)
        self._check_slots()
        self._check_activation()
        for name in self.release.alone:
            self.dataset(name)
        for name in self.release.planned:
            dataset, _, column = name.partition(".")
            if self.dataset(dataset).column(column).kind == "amount":
                raise Refused("A plan is of categories and buckets, not of {column}.", column=name)

    def _is_later(self) -> bool:
        """Whether the terms need what the first format could not say."""
        release = self.release
        later = self.match.quota or self.match.updates or self.match.others or self.match.protocol in MEMBERS_ONLY
        later = later or release.noise != "off" or release.queries != "free" or self.activation is not None
        return bool(later or any(slots.key for slots in self.slots) or any(dataset.also for dataset in self.datasets))

    def _check_activation(self) -> None:
        """Who is to address people has some; its answers come with noise, and the two are lined up alone."""
        if self.activation is None:
            return
        if self.activation.receiver not in self.owners:
            raise Refused("Who addresses people must be an owner of data.")
        if self.release.noise == "off":
            raise Refused("Crowds are addressed in rooms with noise only.", 'Set release.noise = "gaussian".')
        if self.match.others or any(dataset.also for dataset in self.datasets):
            raise Refused("Crowds are made in rooms of two owners and one identity.")
        if self.match.protocol in ("oprf", "join-sum"):
            raise Refused("In {protocol} no crowd can be made.", "Agree on keyed, vole or dh.",
                          protocol=self.match.protocol)  # fmt: skip
        if self.match.protocol != "keyed" and (self.match.receiver, self.match.output) != (
            self.activation.receiver, "members"
        ):  # fmt: skip
            raise Refused("Between two parties the match's receiver, who has members, is who addresses people.")

    def _check_slots(self) -> None:
        _distinct("slot layout", (slots.dataset for slots in self.slots))
        for slots in self.slots:
            dataset = self.dataset(slots.dataset)
            if self.match.protocol != "keyed" and dataset.owner == self.match.host:
                raise Refused("The host's own columns need no slots.")
            for name in slots.by:
                if dataset.column(name).kind == "amount":
                    raise Refused("Cells are made of categories and buckets, not of {column}.", column=name)
            if math.prod(dataset.column(name).cells for name in slots.by) > MOST_SLOT_CELLS:
                raise Refused(
                    "The slots of {dataset} would have more than {most} cells.",
                    "Name fewer columns.",
                    dataset=slots.dataset,
                    most=MOST_SLOT_CELLS,
                )
            for name in slots.sums:
                if dataset.column(name).kind != "amount":
                    raise Refused("Only an amount can be summed, not {column}.", column=name)

    @property
    def owners(self) -> tuple[str, ...]:
        """Owners of the left, of the right, and of all other datasets."""
        return tuple(self.dataset(name).owner for name in self.match.datasets)

    def party(self, name: str) -> Party:
        """The party of that name. Raises BadData."""
        for party in self.parties:
            if party.name == name:
                return party
        raise BadData("The contract has no party {name}.", name=name)

    def dataset(self, name: str) -> Dataset:
        """The dataset of that name. Raises BadData."""
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        raise BadData("The contract has no dataset {name}.", name=name)

    def dataset_of(self, owner: str) -> Dataset:
        """The dataset that `owner` brings. Raises BadData."""
        for dataset in self.datasets:
            if dataset.owner == owner:
                return dataset
        raise BadData("The party {name} brings no dataset.", name=owner)

    def check_usable(self) -> None:
        """Raises Refused or BadData for what may be written down, but not signed or run by this version.

        1. Nobody signs who never takes part. 2. All owners see each release of theirs. 3. Keys are of use, and each
        party has its own.
        """
        if {party.name for party in self.parties} != {*self.owners, self.match.host}:
            raise Refused("A party of the contract takes no part in the match.", "Leave it out.")
        if set(self.release.recipients) != set(self.owners):
            if self.match.others:
                raise Refused("In this version all owners see each release of theirs.", "Name all as recipients.")
            raise Refused("In this version both owners see each release.", "Name both as recipients.")
        for party in self.parties:
            PublicKeys(bytes.fromhex(party.signing), bytes.fromhex(party.exchange))
        keys = [key for party in self.parties for key in (party.signing, party.exchange)]
        if len(set(keys)) != len(keys):
            raise Refused("Two parties of the contract have the same key.", "Each party has keys of its own.")

    def check_current(self) -> None:
        """Raises Refused for what an earlier version could run and this one reads only."""
        if self.format != FORMAT:
            raise Refused(
                "This contract has an older format: it can be read and audited, not run.", "Agree on a new one."
            )
        for slots in self.slots:
            if not slots.key:
                raise Refused(
                    "The contract names no Paillier key for the slots of {dataset}.",
                    "The fingerprint stands in the owner's card.",
                    dataset=slots.dataset,
                )

    @property
    def moved(self) -> int:
        """How many persons' places in an answer one person can change at most, as the match lines them up.

        One, by one identity, however many datasets are lined up. By n, of two datasets, whoever is added may take the
        match of another by one identity and pass a third on by the next: at the j-th identity at most 2j pairs come or
        go, of two rows that each pair before set free and one identity that rows share. In all 1 + n (n - 1).
        """
        kinds = len(self.datasets[0].identities)
        return 1 + kinds * (kinds - 1)

    def slots_of(self, dataset: str) -> Slots | None:
        """The slot layout of a dataset, if it has one."""
        return next((slots for slots in self.slots if slots.dataset == dataset), None)

    def canonical(self) -> dict[str, Any]:
        """The terms as canonical JSON (strings, integers, booleans, lists)."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        for name in ("updates", "others", "commitment"):
            if not plain["match"][name]:  # they came later: what was signed without them stays what it was
                del plain["match"][name]
        for name in ("sigma", "epsilon"):
            if not plain["release"][name]:  # likewise
                del plain["release"][name]
        if self.release.queries == "free":
            del plain["release"]["queries"]
        for name in ("alone", "planned"):
            if not plain["release"][name]:
                del plain["release"][name]
        if self.activation is None:
            del plain["activation"]
        for dataset in plain["datasets"]:
            if not dataset["also"]:
                del dataset["also"]
            for column in dataset["columns"]:
                if not column["sensitive"]:
                    del column["sensitive"]
        if self.format == FIRST_FORMAT:
            for term in (plain["match"], *plain["slots"]):
                for name in _LATER:
                    term.pop(name, None)
        return plain

    def digest(self) -> str:
        """What every run binds to: SHA-256 in hex over the canonical form."""
        return canonical.digest(LABEL, self.canonical())


@dataclass(frozen=True)
class SignedContract:
    """A contract with the signatures collected so far (party → hex)."""

    contract: Contract
    signatures: Mapping[str, str] = field(default_factory=dict)

    def sign(self, party: str, keys: PartyKeys) -> "SignedContract":
        """The same with `party`'s signature. Raises Refused unless the contract names exactly these keys."""
        term = self.contract.party(party)
        if (term.signing, term.exchange) != (keys.public.signing.hex(), keys.public.exchange.hex()):
            raise Refused(
                "The contract names other keys for {party}.", "Ask for a contract with your keys.", party=party
            )
        self.contract.check_usable()
        self.contract.check_current()
        signature = keys.sign(LABEL, bytes.fromhex(self.contract.digest())).hex()
        return SignedContract(self.contract, {**self.signatures, party: signature})

    def check(self, now: dt.datetime, annexes: Sequence[Annex] | None = None) -> Contract:
        """The contract, if it may be used now; else Refused or BadData says why.

        1. Every party has signed. 2. Every signature verifies. 3. It is not expired. 4. The annex is the one signed.
        What this version cannot keep is refused too.
        """
        contract = self.contract
        for party in contract.parties:
            if party.name not in self.signatures:
                raise Refused("{party} has not signed the contract.", "Ask for the signature.", party=party.name)
            signature = bytes.fromhex(self.signatures[party.name])
            verify(bytes.fromhex(party.signing), LABEL, bytes.fromhex(contract.digest()), signature)
        if not _moment(contract.created) <= now < _moment(contract.expires):
            raise Refused("The contract is not in force: it runs from {start} to {end}.", "Agree on a new one.",
                          start=contract.created, end=contract.expires)  # fmt: skip
        contract.check_usable()
        if annexes is not None:
            check_annexes(contract, annexes)
        return contract

    def canonical(self) -> dict[str, Any]:
        """As it is stored and sent."""
        return {"contract": self.contract.canonical(), "signatures": dict(self.signatures)}


def annex_digest(annex: Annex) -> str:
    """The salted digest that stands in the contract for a column's labels and edges."""
    return canonical.digest(ANNEX_LABEL, _plain(dataclasses.asdict(annex)))


def check_annexes(contract: Contract, annexes: Sequence[Annex]) -> None:
    """Raises BadData unless there is exactly the annex that was signed for every category and bucket."""
    held = {(annex.dataset, annex.column): annex for annex in annexes}
    wanted = {
        (dataset.name, column.name): column
        for dataset in contract.datasets
        for column in dataset.columns
        if column.kind != "amount"
    }
    if (
        len(annexes) != len(held)
        or held.keys() != wanted.keys()
        or any(
            annex_digest(held[key]) != column.annex or len(held[key].labels) != column.cells
            for key, column in wanted.items()
        )
    ):
        raise BadData("The labels beside the contract are not those that were signed.")
    if not all(map(_sound, annexes)):
        raise BadData("The labels, edges or salts beside the contract cannot be used.")


def _sound(annex: Annex) -> bool:
    """Whether labels are distinct, edges ascend and make as many cells, and the salt hides them."""
    edges = [_edge(edge) for edge in annex.edges]
    made = not edges or len(annex.labels) == len(edges) + 3
    ascending = all(low < high for low, high in itertools.pairwise(edges)) and all(map(math.isfinite, edges))
    hidden = re.fullmatch("[0-9a-f]{32,128}", annex.salt) is not None
    return made and ascending and hidden and len(set(annex.labels)) == len(annex.labels)


def _edge(text: str) -> float:
    """A number, or the number of a day; NaN for anything else."""
    try:
        return float(text)
    except ValueError:
        try:
            return dt.date.fromisoformat(text).toordinal()
        except ValueError:
            return math.nan


def from_canonical(value: Any) -> Contract:
    """A contract from its canonical form. Raises BadData for anything malformed or unknown."""
    try:
        terms = dict(value)
        terms["parties"] = tuple(Party(**party) for party in terms["parties"])
        terms["datasets"] = tuple(map(_dataset, terms["datasets"]))
        terms["match"] = Match(**{**terms["match"], "others": tuple(terms["match"].get("others", ()))})
        release = terms["release"]
        lists = {name: tuple(release.get(name, ())) for name in ("recipients", "alone", "planned")}
        terms["release"] = ReleaseRules(**{**release, **lists})
        terms["slots"] = tuple(
            Slots(**{**slots, "by": tuple(slots["by"]), "sums": tuple(slots["sums"])}) for slots in terms["slots"]
        )
        if "activation" in terms:
            channels = tuple(terms["activation"]["channels"])
            terms["activation"] = Activation(**{**terms["activation"], "channels": channels})
        contract = Contract(**{**terms, "purposes": tuple(terms["purposes"]), "notes": tuple(terms["notes"])})
        if canonical.encode(contract.canonical()) != canonical.encode(value):
            raise ValueError
        return contract
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise BadData("The contract is not in the form that this version knows.") from error


def _dataset(value: Mapping[str, Any]) -> Dataset:
    columns = tuple(Column(**column) for column in value["columns"])
    also = tuple(Identity(**identity) for identity in value.get("also", ()))
    return Dataset(**{**value, "columns": columns, "also": also})


def signed_from_canonical(value: Any) -> SignedContract:
    """A signed contract from its stored form. Raises BadData."""
    try:
        signatures = {str(name): str(signature) for name, signature in value["signatures"].items()}
        contract = from_canonical(value["contract"])
    except (TypeError, KeyError, AttributeError) as error:
        raise BadData("The contract is not in the form that this version knows.") from error
    if any(not re.fullmatch("[0-9a-f]{128}", signature) for signature in signatures.values()):
        raise BadData("A signature of the contract is not 64 bytes in hex.")
    return SignedContract(contract, signatures)


def short(digest: str) -> str:
    """A digest as people compare it: four groups of four."""
    return "-".join(digest[i : i + 4] for i in range(0, 16, 4))


def session_context(contract: Contract) -> bytes:
    """The 32 bytes that protocol sessions bind to."""
    return hashlib.sha256(b"cleanroom/session/1" + bytes.fromhex(contract.digest())).digest()


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise BadData("A date of the contract is not in the form 2026-01-31T00:00:00+00:00.") from error
    if moment.tzinfo is None:
        raise BadData("A date of the contract has no time zone.")
    return moment


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
