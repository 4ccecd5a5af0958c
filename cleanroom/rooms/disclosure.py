"""What a contract discloses, in words: who learns what by its match protocol. English templates with parameters.

It says what the protocol gives away by design, so it is read before signing; what a run did disclose, its receipt and
the ledger say.
"""

from dataclasses import dataclass, field
from typing import Any

from cleanroom.rooms.contract import Contract
from cleanroom.rooms.identities import named
from cleanroom.rooms.terms import EPOCH_DAYS


@dataclass(frozen=True)
class Sentence:
    """Something that a party learns: an English template, the key of its translation, and its parameters."""

    template: str
    params: dict[str, Any] = field(default_factory=dict)


SHARED = "by each of {identities}, how many pseudonyms both sides share, and which of these stand in one row"
"""What an operator learns by a match of several identities."""


def learns(contract: Contract) -> dict[str, list[Sentence]]:
    """What each party learns by a run of this contract, by the table of design.md."""
    found: dict[str, list[Sentence]] = {party.name: [] for party in contract.parties}
    if contract.match.others:
        return {**found, **_of_several(contract)}
    left, right = contract.owners
    for owner, other in ((left, right), (right, left)):
        found[owner] = [Sentence("the number of rows of {party}", {"party": other}), *_by_match(contract, owner)]
        if owner in contract.release.recipients:
            found[owner].append(_released(contract))
        found[owner] += _boards(contract, owner)
        found[owner] += _crowds(contract, owner)
    if contract.match.protocol == "keyed":
        found[contract.match.host] = [
            Sentence("both sides' numbers of rows, and how many pseudonyms they share"),
            Sentence("how often each token of a value occurs, exact counts of groups, and the questions"),
            Sentence("what changed between versions of a dataset"),
            Sentence("no identity, label or amount"),
        ]
        identities = contract.dataset(contract.match.left).identities
        if len(identities) > 1:
            found[contract.match.host].insert(1, Sentence(SHARED, {"identities": named(identities)}))
    return found


def _of_several(contract: Contract) -> dict[str, list[Sentence]]:
    """Where more than two owners share a room: each learns of the questions that line up its dataset."""
    found, match = {}, contract.match
    for owner in contract.owners:
        parties = ", ".join(other for other in contract.owners if other != owner)
        found[owner] = [Sentence("the number of rows of {parties}, of each by a question that lines up both",
                                 {"parties": parties})]  # fmt: skip
        if owner == match.receiver and match.output == "members":
            found[owner].append(Sentence("which of its own rows matched, by each choice of datasets asked about"))
        found[owner] += [_released(contract), *_boards(contract, owner)]
        found[owner].append(Sentence("of questions that leave its dataset out, only how long the ledgers of parties "
                                     "that it works with become"))  # fmt: skip
        if contract.release.noise == "off":
            found[owner].append(Sentence("whether one of these forbids a question of its own (noise is off)"))
    found[match.host] = [
        Sentence("the numbers of rows of the datasets that a question lines up, and how many pseudonyms any of these "
                 "share"),
        Sentence("how often each token of a value occurs, exact counts of groups, and the questions"),
        Sentence("what changed between versions of a dataset"),
        Sentence("no identity, label or amount"),
        *map(Sentence, NOTES[SEVERAL]),
    ]  # fmt: skip
    return found


def _crowds(contract: Contract, owner: str) -> list[Sentence]:
    """Of crowds: sizes with noise to both; who is in one to whoever addresses people."""
    term = contract.activation
    if term is None:
        return []
    found = [Sentence("crowds: their sizes, with noise")]
    if owner == term.receiver:
        named = [f"{each.name}.{column.name}" for each in contract.datasets if each.owner != owner
                 for column in each.columns if column.members]  # fmt: skip
        found.append(Sentence(
            "which of its own people are in a crowd of at least {floor} that the other side gives it, defined by: "
            "{columns}; in at most {versions} versions a person and month; for: {channels}",
            {"floor": term.floor, "columns": ", ".join(named) or "–", "versions": term.most_versions,
             "channels": ", ".join(term.channels)},
        ))  # fmt: skip
        if contract.match.protocol != "keyed":
            found.append(Sentence("which of its own people match those that the other side selects for a crowd, "
                                  "however few, also where it is only estimated"))  # fmt: skip
        if term.lists:
            found.append(Sentence("which of its own people stand in a list of the other side's that defines a crowd"))
    return found


def _boards(contract: Contract, owner: str) -> list[Sentence]:
    """Of boards, for which nobody is matched."""
    found = []
    for name in contract.release.alone:
        if contract.dataset(name).owner == owner:
            found.append(Sentence("which boards of {dataset} others ask for", {"dataset": name}))
        else:
            found.append(Sentence("boards of {dataset}: numbers with noise about all its persons, matched or not, by "
                                  "any of its columns, and how many rows it has at each",
                                  {"dataset": name}))  # fmt: skip
    return found


def _released(contract: Contract) -> Sentence:
    rules = contract.release
    if rules.noise == "off":
        return Sentence("releases: exact numbers (noise off) of groups of at least {k} people", {"k": rules.k})
    return Sentence(
        "releases: numbers with noise (sigma {sigma} people) of groups of at least {k} people, by questions of ε "
        "{epsilon} a month about each dataset", {"sigma": rules.sigma, "k": rules.k, "epsilon": rules.epsilon},
    )  # fmt: skip


def _by_match(contract: Contract, owner: str) -> list[Sentence]:
    match = contract.match
    found = []
    identities = contract.dataset_of(owner).identities
    if owner == match.receiver:
        size = Sentence("the exact size of the overlap")
        found.append(Sentence("which of its own rows matched") if match.output == "members" else size)
        if len(identities) > 1 and match.protocol != "keyed":
            other = next(name for name in contract.owners if name != owner)
            found.append(Sentence("by which identities each of its rows matched, tried in the order {identities}",
                                  {"identities": named(identities)}))  # fmt: skip
            found.append(Sentence("which of its own rows are one person to {party}", {"party": other}))
        if match.updates and match.protocol == "dh":
            found.append(Sentence("of each row in which run it began or ceased to match, and of removed rows too"))
        if match.protocol == "oprf":
            other = next(name for name in contract.owners if name != owner)
            quota = {"quota": match.quota, "days": EPOCH_DAYS}
            found.append(Sentence("whether the other side has any of {quota} identities asked in {days} days", quota))
            found.append(Sentence("how many rows of {party} come and go within a key epoch", {"party": other}))
    elif match.protocol == "oprf":
        found.append(Sentence("how many identities {party} asks about", {"party": match.receiver}))
    if match.updates and match.protocol == "dh":
        other = next(name for name in contract.owners if name != owner)
        found.append(Sentence("how many rows of {party} come and go within a key epoch", {"party": other}))
    slots = contract.slots_of(contract.dataset_of(owner).name)
    if slots is not None and match.protocol != "keyed":
        exact = "exact counts of unlabelled groups, and so the size of the overlap (noise is off)"
        noised = "counts of unlabelled groups, also of withheld ones, under the other side's noise"
        found.append(Sentence(exact if contract.release.noise == "off" else noised))
    return found


WATERFALL, SEVERAL = "waterfall", "several"
NOISE_OFF = ("Noise is off: numbers are exact, groups below k are withheld.",)
NOTES: dict[str, tuple[str, ...]] = {
    "keyed": ("Any owner together with the operator could open all tokens.",),
    "dh": (),
    "vole": (),
    "oprf": ("One key answers for the whole key epoch; who asks is bound by the quota alone.",),
    "join-sum": ("The receiver learns the exact size of the overlap.",),
    SEVERAL: (
        "Any owner together with the operator could open the tokens of all owners, of every question in this room, "
        "also of those that leave that owner's dataset out: who each row is, matched or not, which rows are one "
        "person, and in which cell it is of each column asked about.",
        "Together they could read exact counts of all groups, and take the noise out of every release, since the "
        "operator draws it.",
        "Together they could not open a person's amounts, which are encrypted under their owner's Paillier key; but an "
        "operator that breaks the protocol could have that owner open sums of few people for them.",
    ),
    WATERFALL: ("Several identities a person: whoever matches counts once, by the first that hits; sizes by identity "
              "are never released.",),
}  # fmt: skip
"""What a contract says beside its terms, by protocol; where it matches by several identities; and, in place of that
of keyed, where more than two owners share a room."""
