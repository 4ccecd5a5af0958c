"""By which identities a dataset was imported, as its manifest says, beside those that a room matches by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.errors import Refused
from cleanroom.rooms.terms import Dataset, Identity

FORM_LABEL = "cleanroom/identity-form/1"


@dataclass(frozen=True)
class Held:
    """One identity of a dataset. digest_form: how the digests were made, as the import's funnel says."""

    kind: str
    profile: str
    profile_digest: str
    digest_form: str

    @property
    def term(self) -> Identity:
        """As a contract names it."""
        return Identity(self.kind, self.profile)

    def digest(self) -> str:
        """What two sides compare before they match."""
        return canonical.digest(FORM_LABEL, [self.kind, self.profile, self.profile_digest, self.digest_form])


def held(meta: Mapping[str, Any]) -> tuple[Held, ...]:
    """The identities of a dataset in their order, from its manifest's meta or from what an import told."""
    first = Held(meta["identity"], meta["profile"], meta["profile_digest"], meta["funnel"]["digest_form"])
    further = (
        Held(each["identity"], each["profile"], each["profile_digest"], each["digest_form"])
        for each in meta.get("also", ())
    )
    return (first, *further)


def named(identities: Sequence[Identity | Held]) -> str:
    """As `--on` takes them."""
    return ",".join(each.kind for each in identities)


def as_agreed(dataset: Dataset, meta: Mapping[str, Any]) -> tuple[Held, ...]:
    """The identities of a dataset in its contract's order. Raises Refused unless they are exactly the contract's: a row
    may have any of them alone, so that none can be left out."""
    found = {each.kind: each for each in held(meta)}
    if set(found) != {each.kind for each in dataset.identities}:
        raise Refused(
            "The dataset {dataset} was imported by {held}, but the contract matches by {wanted}.",
            "Import it again: --on {wanted}.",
            dataset=dataset.name,
            held=named(tuple(found.values())),
            wanted=named(dataset.identities),
        )
    ordered = tuple(found[each.kind] for each in dataset.identities)
    if tuple(each.term for each in ordered) != dataset.identities:
        raise Refused("The dataset {dataset} was imported under another identity profile.", dataset=dataset.name)
    return ordered


def in_one_order(first: Dataset, second: Dataset) -> Dataset:
    """The second dataset's terms with its identities in the first one's order. Raises Refused where one has an identity
    that the other lacks, since a row may have that one alone."""
    ours, theirs = ({each.kind: each for each in dataset.identities} for dataset in (first, second))
    if set(ours) == set(theirs):
        ordered = [theirs[kind] for kind in ours]
        return Dataset(second.name, second.owner, ordered[0].kind, ordered[0].profile, second.rows, second.columns,
                       second.consent, tuple(ordered[1:]))  # fmt: skip
    common = [ours[kind] for kind in ours if kind in theirs]
    if not common:
        raise Refused(
            "The datasets have no identity in common: {first} has {ours}, {second} has {theirs}.",
            "Import one of them by an identity of the other.",
            first=first.name, ours=named(first.identities), second=second.name, theirs=named(second.identities),
        )  # fmt: skip
    wider = first if len(common) < len(ours) else second
    raise Refused(
        "The dataset {dataset} has {held}; what both have is {wanted}.",
        "Import it again: --on {wanted}.",
        dataset=wider.name, held=named(wider.identities), wanted=named(common),
    )  # fmt: skip
