"""What every other party learned, and what this one did: the ledger read as sentences, by day. Nothing here writes.

It says what this party's own ledger, contracts and crowds say: what a run did tell by its protocol, what was released,
whose people a crowd named. What was not in them it does not guess. Days are those of the ledger, in UTC.
"""

import datetime as dt
import functools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom.answer import closing
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.store import Crowds
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.ledger.chain import Body, Entry
from cleanroom.ledger.receipt import Receipt
from cleanroom.ledger.store import read
from cleanroom.privacy import accounting
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.disclosure import Sentence
from cleanroom.rooms.store import Rooms

USUAL_DAYS, MOST_DAYS = 30, 366
_CROWDS = "#crowds"
"""Behind a dataset's name: what its owner brought to a crowd."""
_MOST_RECEIPTS = 2_000


@dataclass(frozen=True)
class Fact:
    """Something that `learner` learned on a day (ISO). entries: of the ledger; receipts: digests of questions."""

    day: str
    learner: str
    room: str
    sentence: Sentence
    entries: tuple[int, ...] = ()
    receipts: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For programs."""
        lists = {"entries": list(self.entries), "receipts": list(self.receipts)}
        return {"learner": self.learner, "room": self.room, **_plain(self.sentence), **lists}


def told(path: Path, *, party: str = "", room: str = "", days: int = USUAL_DAYS,
         until: str = "") -> dict[str, Any]:  # fmt: skip
    """Who learned what on each of the `days` up to `until` (ISO, today where it is ""), the newest first.

    party: what it alone learned; room: of it alone. Days in a row without anything stand as one, without facts. Raises
    UsageError for a party or a day that there is not.
    """
    home = Home.open(path.expanduser())
    contracts = _Contracts(home)
    last = _day(until) if until else dt.datetime.now(dt.UTC).date()
    if not 1 <= days <= MOST_DAYS:
        raise UsageError("Between 1 and {most} days can be shown.", most=MOST_DAYS)
    parties = contracts.parties()
    if party and party not in (*parties, home.party):
        raise UsageError("No room here has a party {name}.", "There are: {names}.", name=party[:64],
                         names=", ".join((*parties, home.party)))  # fmt: skip
    first = last - dt.timedelta(days=days - 1)
    found = [fact for fact in _facts(home, contracts) if first.isoformat() <= fact.day <= last.isoformat()]
    found = [fact for fact in found if party in ("", fact.learner) and room in ("", fact.room)]
    return {
        "party": home.party, "from": first.isoformat(), "to": last.isoformat(),
        "parties": [{"name": name, "not": [_plain(each) for each in untold(contracts, name)]} for name in parties],
        "days": list(_by_day(found, first, last)), "given": _given(contracts, found),
    }  # fmt: skip


def facts(home: Home) -> list[Fact]:
    """All of them, in order of the day; the same told several times on a day is one, with all its entries."""
    return _facts(home, _Contracts(home))


def _facts(home: Home, contracts: "_Contracts") -> list[Fact]:
    entries = read(home.ledger_path).entries if home.ledger_path.exists() else ()
    found = [*_Reader(home, contracts, entries).all(), *_activations(home, contracts)]
    together: dict[tuple[Any, ...], Fact] = {}
    for fact in found:
        key = (fact.day, fact.learner, fact.room, fact.sentence.template, repr(fact.sentence.params))
        held = together.get(key)
        together[key] = fact if held is None else Fact(
            fact.day, fact.learner, fact.room, fact.sentence, (*held.entries, *fact.entries),
            (*held.receipts, *fact.receipts),
        )  # fmt: skip
    return sorted(together.values(), key=lambda each: each.day)


def untold(contracts: "_Contracts", party: str) -> list[Sentence]:
    """What a party learned in none of this home's rooms, whatever ran: by its part in their contracts."""
    owns = any(party in contract.owners for contract in contracts.current)
    noised = all(contract.release.noise != "off" for contract in contracts.current if party in contract.parties_names)
    found = [Sentence("No phone number, e-mail address or other identity, and no row of a dataset.")]
    if not owns:
        found.append(Sentence("No label, and no amount that it could read: values are tokens, amounts ciphertexts."))
        found.append(Sentence("No question or crowd in words, and no released table."))
        return found
    found.append(Sentence("Nothing about any single person whom it does not have itself."))
    if noised:
        found.append(Sentence("No exact number: each that was released carries noise, and small groups were withheld."))
    if not any(contract.match.receiver == party for contract in contracts.current):
        found.append(Sentence("Which of its people are among the matched, or in a crowd."))
    return found


class _Term:
    """A contract with what is asked of it often."""

    def __init__(self, contract: Contract) -> None:
        self.contract, self.room = contract, contract.room
        self.owners, self.match, self.release = contract.owners, contract.match, contract.release
        self.parties_names = tuple(party.name for party in contract.parties)

    @property
    def operator(self) -> str:
        """Who runs a neutral enclave; "" between two parties."""
        return self.match.host if self.match.host not in self.owners else ""


class _Contracts:
    """Contracts by digest, those that were replaced too."""

    def __init__(self, home: Home) -> None:
        self._rooms, self._party = Rooms(home.rooms), home.party
        self.current = [_Term(room.contract) for room in self._rooms.every()]
        self._held: dict[str, _Term | None] = {term.contract.digest(): term for term in self.current}

    def of(self, digest: object) -> _Term | None:
        """None where no room here has or had it."""
        name = str(digest)
        if name not in self._held:
            room = self._rooms.under(name)
            self._held[name] = None if room is None else _Term(room.contract)
        return self._held[name]

    def parties(self) -> tuple[str, ...]:
        """All others, each once."""
        names = (name for contract in self.current for name in contract.parties_names)
        return tuple(dict.fromkeys(name for name in names if name != self._party))


class _Reader:
    """A ledger's entries as facts."""

    def __init__(self, home: Home, contracts: _Contracts, entries: tuple[Entry, ...]) -> None:
        self._home, self._contracts, self._entries = home, contracts, entries
        self._debits = {str(each.body["question"]): each.body for each in entries if each.kind == "debit"}

    def all(self) -> Iterator[Fact]:
        """Of every entry."""
        for entry in self._entries:
            match entry.kind:
                case "contract":
                    yield from self._signed(entry)
                case "input":
                    yield from self._brought(entry)
                case "match":
                    yield from self._matched(entry)
                case "release":
                    yield from self._released(entry)

    def _fact(self, entry: Entry, learner: str, room: str, sentence: Sentence, question: str = "") -> Fact:
        return Fact(entry.time[:10], learner, room, sentence, (entry.seq,), (question,) if question else ())

    def _signed(self, entry: Entry) -> Iterator[Fact]:
        term = self._contracts.of(entry.body["contract"])
        if term is None:
            return
        for name in term.parties_names:
            text = (Sentence("The contract: its terms, and the labels of all its columns.") if name in term.owners
                    else Sentence("The contract: its terms, without the labels of its columns."))  # fmt: skip
            yield self._fact(entry, name, term.room, text)

    def _brought(self, entry: Entry) -> Iterator[Fact]:
        term, owner = self._contracts.of(entry.body["contract"]), str(entry.body["owner"])
        if term is None:
            return
        dataset = str(entry.body["dataset"]).removesuffix(_CROWDS)
        rows = f"{entry.body['rows']:,}"
        for name in term.parties_names:
            if name != owner:
                yield self._fact(entry, name, term.room, Sentence(
                    "How many rows {owner} brought: {rows} of {dataset}.",
                    {"owner": owner, "rows": rows, "dataset": dataset}))  # fmt: skip

    def _matched(self, entry: Entry) -> Iterator[Fact]:
        body, term = entry.body, self._contracts.of(entry.body["contract"])
        if term is None:
            return
        receiver = str(body["receiver"])
        if body["output"] == "members":
            yield self._fact(entry, receiver, term.room, Sentence("Which of its own rows matched."))
        elif body["output"] == "crowd":
            yield self._fact(entry, receiver, term.room, Sentence(
                "Which of its own people are in a crowd, if these were enough: one bit a person."))  # fmt: skip
        elif body["protocol"] != "keyed":
            yield self._fact(entry, receiver, term.room, Sentence("The exact size of the match."))
        if body["protocol"] == "keyed":
            yield self._fact(entry, str(body["host"]), term.room, Sentence(
                "Sizes, how many pseudonyms both sides share, how often each token occurs, exact counts of groups, and "
                "the question by its tokens."))  # fmt: skip

    def _released(self, entry: Entry) -> Iterator[Fact]:
        body = entry.body
        question = str(body["question"])
        debit = self._debits.get(question)
        term = None if debit is None else self._contracts.of(debit["contract"])
        if term is None:
            return
        receipt = receipt_kept(self._home, question, str(body["answer"])) if body["answer"] else None
        sentence = self._table(term, body, debit or {}) if receipt is None else _said(term.contract, receipt)
        recipients = body["recipients"]
        owner = receipt.datasets[0].owner if receipt is not None and receipt.tables else ""
        for name in recipients if isinstance(recipients, list | tuple) else ():
            own = Sentence("Which board of its own dataset was asked for.")
            yield self._fact(entry, str(name), term.room, own if name == owner else sentence, question)

    def _table(self, term: _Term, body: Body, debit: Body) -> Sentence:
        """A release of which this party keeps no answer."""
        return Sentence("A table by {columns}: {rows} groups, {noise}.", {
            "rows": f"{body['rows']:,}", "columns": _columns(debit.get("by", ())),
            "noise": Sentence("exact") if body["noise"] == "off" else Sentence("with noise"),
        })  # fmt: skip


def _said(contract: Contract, receipt: Receipt) -> Sentence:
    """What a receipt says was released."""
    sigma, rows = receipt.rules.sigma, f"{receipt.rows:,}"
    within = accounting.half_width(sigma, receipt.rules.draws) if sigma else 0
    if receipt.crowd:
        size = Sentence("below {k}", {"k": receipt.rules.k}) if receipt.people.withheld else receipt.people.text()
        if not receipt.by:
            return Sentence("The size of a crowd, as a range: {size}.", {"size": size})
        return Sentence("The size of a crowd, as a range: {size}; and {rows} counts of its people by single columns, "
                        "± {within}.", {"size": size, "rows": rows, "within": within})  # fmt: skip
    if receipt.tables:
        return Sentence("A board of {dataset}: {rows} counts of all its people by its columns, ± {within}.",
                        {"dataset": receipt.datasets[0].name, "rows": rows, "within": within})  # fmt: skip
    if receipt.plan:
        return Sentence("The plan of the room: {rows} counts of the matched by one and by two of {count} columns, "
                        "± {within}.", {"rows": rows, "count": len(receipt.by), "within": within})  # fmt: skip
    params = {"rows": rows, "columns": _columns((*receipt.by, *receipt.sums))}
    if sigma:
        noised = {**params, "within": within, "least": f"{receipt.rules.least:,}"}
        return Sentence("A table of the matched by {columns}: {rows} groups, each count ± {within}; those below "
                        "{least} were withheld.", noised)  # fmt: skip
    return Sentence("A table of the matched by {columns}: {rows} groups, exact; those below {k} were withheld.",
                    {**params, "k": receipt.rules.k})  # fmt: skip


def said(template: str, params: Mapping[str, Any]) -> str:
    """A sentence of `told` in the current language; parties by their usual names."""
    filled = {name: said(**each) if isinstance(each, Mapping) else t(each) if name == "owner" else each
              for name, each in params.items()}  # fmt: skip
    return t(template, **filled)


def _plain(sentence: Sentence) -> dict[str, Any]:
    params = {name: _plain(each) if isinstance(each, Sentence) else each for name, each in sentence.params.items()}
    return {"template": sentence.template, "params": params}


def _columns(names: Any) -> Any:
    return ", ".join(map(str, names)) or Sentence("everybody")


@dataclass(frozen=True, eq=False)
class _Hashed:
    """A home by its folder, so that what it keeps for ever can be remembered."""

    home: Home

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and other.home.path == self.home.path

    def __hash__(self) -> int:
        return hash(self.home.path)


def receipt_kept(home: Home, question: str, answer: str) -> Receipt:
    """Of a release whose sealed answer, kept here, has that digest: unsealed once, since it never changes."""
    return _receipt(_Hashed(home), question, answer)


@functools.lru_cache(_MOST_RECEIPTS)
def _receipt(place: _Hashed, question: str, answer: str) -> Receipt:
    return closing.recall(place.home, question)[1].receipt


def _activations(home: Home, contracts: _Contracts) -> Iterator[Fact]:
    """Of crowds that this home gave: what went along with their members."""
    terms = {term.room: term.contract.activation for term in contracts.current}
    crowds = Crowds(home)
    for entry in crowds.entries():
        term = terms.get(entry.room)
        if term is None or term.receiver == home.party:
            continue
        yield from _of_crowd(crowds.get(entry.code), term.receiver)


def _of_crowd(crowd: Crowd, receiver: str) -> Iterator[Fact]:
    for task in crowd.tasks:
        if task.status == "done":
            yield Fact(task.made[:10], receiver, crowd.room, Sentence(
                "Of the crowd “{name}”: its name, its version {version}, the channel {channel} and the purpose "
                "{purpose}; of each of its own people whether they are in it.",
                {"name": crowd.name, "version": task.version, "channel": task.channel, "purpose": task.purpose},
            ))  # fmt: skip


def _given(contracts: _Contracts, found: list[Fact]) -> list[dict[str, Any]]:
    """How many versions of crowds told a receiver one bit a person, a room and month; most: what the contract lets it
    learn of one person."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for fact in found:
        if fact.sentence.template.startswith("Which of its own people are in a crowd"):
            counts[fact.room, fact.learner, fact.day[:7]] += len(fact.entries)
    most = {term.room: term.contract.activation.most_versions for term in contracts.current
            if term.contract.activation is not None}  # fmt: skip
    return [{"room": room, "learner": learner, "month": month, "versions": count, "most": most.get(room, 0)}
            for (room, learner, month), count in sorted(counts.items())]  # fmt: skip


def _by_day(found: list[Fact], first: dt.date, last: dt.date) -> Iterator[Mapping[str, Any]]:
    held: dict[str, list[Fact]] = defaultdict(list)
    for fact in found:
        held[fact.day].append(fact)
    day, quiet = last, last
    while day >= first:
        facts_of = held.get(day.isoformat(), [])
        if facts_of:
            if quiet > day:
                yield {"from": (day + dt.timedelta(days=1)).isoformat(), "to": quiet.isoformat(), "facts": []}
            yield {"from": day.isoformat(), "to": day.isoformat(), "facts": [fact.plain() for fact in facts_of]}
            quiet = day - dt.timedelta(days=1)
        day -= dt.timedelta(days=1)
    if quiet >= first:
        yield {"from": first.isoformat(), "to": quiet.isoformat(), "facts": []}


def _day(text: str) -> dt.date:
    try:
        found = dt.date.fromisoformat(text)
        found - dt.timedelta(days=MOST_DAYS)
    except (ValueError, OverflowError) as error:
        raise UsageError("{text} is no day.", "Write it like 2026-11-21.", text=text[:32]) from error
    return found
