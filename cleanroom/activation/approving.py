"""What a yes to a crowd tells, person by person, as texts for whoever is to say it; and whether it was said.

Column names, numbers and days; no value of the data and no exact size stands here.
"""

import datetime as dt

from cleanroom.activation import memberships
from cleanroom.activation.memberships import Membership, Use
from cleanroom.errors import Refused, Waiting
from cleanroom.home import Home
from cleanroom.node.approvals import Text
from cleanroom.privacy.ranges import Range, size_range
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.disclosure import Sentence

KIND = "activation"
_APPROVED_DAYS = 7


def said(contract: Contract, use: Use, code: str, version: str, columns: tuple[str, ...], versions: int,
         size: Range | None) -> tuple[tuple[Text, ...], tuple[Text, ...]]:  # fmt: skip
    """(what is asked, what a yes discloses of each person).

    columns: of the rule, dataset.column; versions: of this room's crowds this month, this one among them; size: None
    where it was not told.
    """
    term = memberships.term_of(contract, contract.activation.receiver if contract.activation else "")
    asked = {"name": use.name, "code": code, "version": version, "party": term.receiver, "channel": use.channel}
    what = Sentence(
        "The crowd {name} ({code}) of {version} is to be addressed by {party} in the channel {channel}.", asked
    )
    reveals = [
        Sentence("Of each of its people {party} learns one bit, outside k and noise: whether they meet the rule.",
                 {"party": term.receiver}),
    ]  # fmt: skip
    if columns:
        told = {"columns": ", ".join(columns)}
        reveals.append(Sentence("The rule looks at {columns}: whoever knows it reads them from that bit.", told))
    reveals.append(
        Sentence("It is version {versions} of this room's crowds this month; a person may be in {most} of them.",
                 {"versions": versions, "most": term.most_versions})
    )  # fmt: skip
    if size is not None:
        reveals.append(Sentence("The crowd has {low} to {high} people, by its noised size; the least is {floor}.",
                                {"low": size.low, "high": size.high, "floor": term.floor}))  # fmt: skip
    reveals.append(Sentence("It is for {purpose} alone, until {ends}; then its members are removed.",
                            {"purpose": use.purpose, "ends": use.ends}))  # fmt: skip
    return _texts([what]), _texts(reveals)


def _texts(said: list[Sentence]) -> tuple[Text, ...]:
    return tuple((each.template, dict(each.params)) for each in said)


def of_kept(home: Home, contract: Contract, held: Membership,
            use: Use) -> tuple[tuple[Text, ...], tuple[Text, ...]]:  # fmt: skip
    """`said` of what this home keeps."""
    versions = memberships.versions_given(home, contract.room, held.version[:6])
    size = shown_size(contract, held.noised)
    return said(contract, use, held.code, held.version, held.columns, versions, size)


def shown_size(contract: Contract, noised: int) -> Range | None:
    """The range of a noised size; None where it was not told."""
    return None if noised < 0 else size_range(noised, contract.release.k)


def check_approved(home: Home, contract: Contract, held: Membership, use: Use) -> None:
    """Raises Waiting until a person of this home has said yes, Refused where they said no."""
    from cleanroom.node.desk import opened

    payload = {"crowd": held.code, "version": held.version, "channel": use.channel, "purpose": use.purpose}
    asker = next(name for name in contract.owners if name != home.party)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=_APPROVED_DAYS)
    with opened(home.path) as desk:
        decided = desk.approvals.answer(KIND, contract.room, asker, payload, since)
        if decided is None:
            desk.approvals.ask(KIND, contract.room, asker, *of_kept(home, contract, held, use), payload)
            raise Waiting("A person at {party} has to say yes first.", "See: cleanroom inbox",
                          party=home.party)  # fmt: skip
    if decided.state != "approved":
        raise Refused("A person at {party} said no: {reason}", party=home.party, reason=decided.reason)
