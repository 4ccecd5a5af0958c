"""A party's ledger: one writer at a time, every entry on the disk before the call returns.

A question is debited before anything is computed, its noise is drawn once and kept before anything leaves, its answer
is recorded before it is handed out; each happens once a question, however often and by however many processes it is
asked, and whenever they are killed. A `Ledger` belongs to one thread; open one more for another.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.keys import verify
from cleanroom.ledger import store
from cleanroom.ledger.chain import (
    COSIGN_LABEL,
    FIRST_FORMAT,
    FORMAT,
    HEAD_LABEL,
    KEPT,
    Body,
    Entry,
    Head,
    Signer,
    check_body,
    countersign_body,
    entry_hash,
    genesis,
    head_message,
)
from cleanroom.ledger.receipt import Receipt
from cleanroom.ledger.spending import as_rho, closed, month_of, renewal
from cleanroom.privacy.history import Asked, DatasetVersion, Question, check_history, check_over
from cleanroom.privacy.quotas import Seen


class Sealing(Protocol):
    """What seals stored answers: `cleanroom.keystore.Wrapping`, bound to a name."""

    def wrap(self, name: str, secret: bytes) -> bytes:
        """`secret` sealed; opens only under the same name."""
        ...

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """The reverse. Raises BadData."""
        ...


class UnsafeClear:
    """Keeps answers as they are, for those whose disk is their own business."""

    def wrap(self, name: str, secret: bytes) -> bytes:
        """`secret` itself."""
        return secret

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """`wrapped` itself."""
        return wrapped


@dataclass(frozen=True)
class Charge:
    """What a question costs, in millionths of ρ, and whom.

    lineage: the dataset charged, by its name in its owner's home, whichever the version, room or recipient; '' where
    this party owns none. most_micro: its budget of a calendar month by the contract; 0 where noise is off.
    """

    lineage: str = ""
    rho_micro: int = 0
    most_micro: int = 0

    def __post_init__(self) -> None:
        if self.rho_micro < 0 or self.most_micro < 0:
            raise UsageError("A charge gives nothing back.")


FREE = Charge()
"""The charge where noise is off."""


@dataclass(frozen=True)
class Debit:
    """The charge for a question. fresh: it was charged now; otherwise it had been before, and nothing was charged."""

    entry: Entry
    fresh: bool


class Ledger:
    """One party's ledger, open for writing. Close it, or use it in a `with`."""

    def __init__(self, path: Path, signer: Signer, public_key: bytes, sealing: Sealing) -> None:
        """The ledger at `path`, whose key must be `public_key` (Ed25519, 32 bytes). Raises BadData."""
        self._signer, self._sealing = signer, sealing
        self._database, (format_, self.party, self.key) = store.connect(path)
        if format_ not in (FORMAT, FIRST_FORMAT) or self.key != public_key.hex():
            self.close()
            raise BadData(
                "The ledger {name} is of an unknown version or of another key.",
                "Restore the home from one backup, as a whole.",
                name=path.name,
            )
        if format_ == FIRST_FORMAT:
            store.upgrade(self._database)
        store.index(self._database)

    @classmethod
    def create(cls, path: Path, party: str, signer: Signer, public_key: bytes, sealing: Sealing) -> "Ledger":
        """A new, empty ledger. Raises UsageError where there is one: a ledger is never begun again."""
        store.create(path, party, public_key)
        return cls(path, signer, public_key, sealing)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def append(self, kind: str, body: Body) -> Entry:
        """An entry that needs no more than its fields (`chain.FIELDS`). Raises BadData for other fields."""
        if kind not in ("contract", "import", "input", "match", "replay", "forget"):
            raise UsageError("Entries of the kind {kind} have a call of their own.", kind=kind)
        with self._transaction():
            return self._append(kind, body, _now())

    def debit(self, question: Question, charge: Charge = FREE, asked_by: Sequence[str] = ()) -> Debit:
        """Charge `question` once ever; charge and question are on the disk at return.

        asked_by: the party that asked, and who did in its name; none where nobody but the party's owner did.

        Raises Refused, and writes nothing, where the budget of the charge's lineage has less left in this month, or
        where an earlier question forbids this one.
        """
        digest, asked = question.digest(), question.asked()
        with self._transaction():
            if charged := self._once("debit", digest):
                return Debit(charged, fresh=False)
            if not question.sigma:
                check_history(asked, self._history(asked.population))
                check_over(question.over, self._lined_up(question.contract) if question.over else ())
            now = _now()
            self._check_open(charge, now)
            self._check_budget(charge, now)
            self._spend(charge, now)
            body: Body = {
                "question": digest,
                "query": question.query_digest(),
                "contract": question.contract,
                "population": asked.population,
                "by": list(asked.by),
                "sigma": question.sigma,
                "lineage": charge.lineage,
                "rho_micro": charge.rho_micro,
                "most_micro": charge.most_micro,
                "asked": self._keep("debit", digest, canonical.encode(question.query())),
                **_asked_by(asked_by),
            }
            return Debit(self._append("debit", body, now), fresh=True)

    def charged(self, question: Question) -> bool:
        """Whether it was debited: asked again, it costs nothing."""
        with store.storage():
            return self._once("debit", question.digest()) is not None

    def released(self, question: str) -> Entry | None:
        """The release of the question with this digest."""
        with store.storage():
            return self._once("release", question)

    def inputs(self, version: DatasetVersion) -> list[Seen]:
        """Earlier runs with the same dataset, of whatever version: what its owner declared, and when."""
        where = "WHERE kind = 'input' AND json_extract(body, '$.owner') = ? AND json_extract(body, '$.dataset') = ?"
        with store.storage():
            return [_seen(entry) for entry in self._select(where, version.owner, version.name)]

    def left(self, charge: Charge) -> int:
        """What the charge's lineage may still be charged this month (UTC), in millionths of ρ."""
        now = _now()
        with store.storage():
            if month_of(now) <= closed(self._select("WHERE kind = 'restored'")):
                return 0
            return max(0, charge.most_micro - self._spent(charge.lineage, now))

    def draws(self, question: str, make: Callable[[], bytes]) -> bytes:
        """What is told of the question with this digest, its noise in it: what is kept, or else `make()`, kept and on
        the disk at return.

        So a question is sampled once, whatever happens between this call and the release. Raises BadData unless it was
        debited, where what is kept was changed, and where an answer was released before any was drawn.
        """
        if drawn := self._drawn(question):
            return drawn
        drawn_now = make()  # may take long, and nobody else is to wait; what of two is kept first counts
        with self._transaction():
            if drawn := self._drawn(question):
                return drawn
            kept = self._keep("draws", question, drawn_now)
            self._append("draws", {"question": question, "draws": kept}, _now())
            return drawn_now

    def _drawn(self, question: str) -> bytes | None:
        with store.storage():
            if entry := self._once("draws", question):
                return self._kept(entry)
            if not self._once("debit", question) or self._once("release", question):
                raise BadData("Noise is drawn after the debit and before the release, at no other time.")
        return None

    def replays(self, question: str) -> int:
        """How often the answer to the question was computed again for an audit."""
        where = "WHERE kind = 'replay' AND json_extract(body, '$.question') = ?"
        with store.storage():
            return sum(1 for _ in self._select(where, question))

    def seen(self, peer: str, key: bytes) -> Head | None:
        """The newest head of a peer's ledger that this party countersigned, or accepted after a restore."""
        with store.storage():
            found = [(int(str(entry.body["seq"])), entry.body) for entry in self._seen(key)]
        seq, body = max(found, key=lambda each: each[0], default=(0, None))
        return None if body is None else Head(peer, key.hex(), seq, str(body["hash"]), str(body["signature"]))

    def check_holds(self, head: Head) -> None:
        """Raises BadData where a head that this ledger showed to a peer does not stand in it: it was set back."""
        with store.storage():
            row = self._database.execute("SELECT hash FROM entries WHERE seq = ?", (head.seq,)).fetchone()
        if (row[0] if row else genesis(self.party, bytes.fromhex(self.key))) != head.hash:
            raise BadData(
                "A peer has seen entries of this ledger that it does not hold: it is older, or another.",
                "Restore the home from its newest backup, as a whole.",
            )

    def restore(self, made: str) -> Entry:
        """Put on record that this ledger was brought back from a backup of that time (UTC, ISO 8601): from here on it
        is a new line, and nothing more is charged to its datasets until this month is over, since what was spent in the
        meantime is not known."""
        with self._transaction():
            last, now = self._head_now(), _now()
            body: Body = {"made": made, "until": month_of(max(now, made)), "seq": last.seq, "hash": last.hash}
            return self._append("restored", body, now)

    def restored(self) -> Entry | None:
        """The newest restore of this ledger."""
        with store.storage():
            return next(self._select("WHERE kind = 'restored' ORDER BY seq DESC LIMIT 1"), None)

    def accept_line(self, head: Head, key: bytes, who: str) -> None:
        """Keep the head of a peer's restored ledger, which `who` accepted: what was seen before no longer counts.

        Raises BadData where `key` did not sign it, Refused where it was accepted before: an old one is not new again.
        """
        head.verify(key)
        with self._transaction():
            if any(entry.body["hash"] == head.hash for entry in self._by_key("line", key)):
                raise Refused("This restored ledger of {party} was accepted before.", party=head.party)
            body: dict[str, canonical.Json] = {"peer": head.party, "key": head.key, "seq": head.seq, "hash": head.hash}
            self._append("line", body | {"signature": head.signature, "who": who}, _now())

    def questions(self, population: str) -> list[dict[str, Any]]:
        """`Question.query()` of everything that was debited over this population, in order.

        A question from before ledgers kept them has its `by` and no sums; it was about everybody, without noise.
        """
        with store.storage():
            return [self._asked(entry) for entry in self._debits(population)]

    def rooms(self, population: str) -> set[str]:
        """Digests of the contracts under which this population was asked about without noise."""
        with store.storage():
            return {str(entry.body["contract"]) for entry in self._debits(population) if not entry.body.get("sigma")}

    def lined_up(self, contract: str) -> set[tuple[str, ...]]:
        """The datasets (`Question.over`) of every question that was debited without noise under this contract."""
        with store.storage():
            return self._lined_up(contract)

    def record_release(self, receipt: Receipt, answer: bytes | None = None, asked_by: Sequence[str] = ()) -> Entry:
        """Record the release, and seal and keep its answer where this party may have it; on the disk at return.

        The first release of a question stands: recorded again, the first entry comes back and nothing changes, and the
        caller hands out `stored_answer`. Raises BadData where the question was never debited.
        """
        with self._transaction():
            if released := self._once("release", receipt.question):
                return released
            if not self._once("debit", receipt.question):
                raise BadData("A release without a debit cannot be recorded.")
            kept = "" if answer is None else self._keep("release", receipt.question, answer)
            return self._append("release", {**receipt.ledger_body(kept), **_asked_by(asked_by)}, _now())

    def stored_answer(self, question: str) -> bytes | None:
        """The kept answer to the question with this digest, or None. Raises BadData where it was changed."""
        with store.storage():
            released = self._once("release", question)
            if released is None or not released.body["answer"]:
                return None
            return self._kept(released)

    def head(self) -> Head:
        """The newest entry, signed; of an empty ledger its beginning."""
        with store.storage():
            return self._head_now()

    def countersign(self, head: Head, key: bytes) -> bytes:
        """Keep a peer's head and sign that it was seen: 64 bytes.

        Raises BadData where `key` did not sign it, or where it contradicts a head of the same key seen before: an
        older one (cut), or another at the same place (fork).
        """
        head.verify(key)
        with self._transaction():
            seen = [entry.body for entry in self._seen(key)]
            if any(body["seq"] == head.seq and body["hash"] != head.hash for body in seen):
                raise BadData("{party} shows another ledger than before: it is forked.", party=head.party)
            newest = max((int(str(body["seq"])) for body in seen), default=-1)
            if head.seq < newest:
                raise BadData("{party} shows an older ledger than before: it is cut.", party=head.party)
            if head.seq > newest:
                self._append("countersign", countersign_body(head.party, key, "theirs", head, head.signature), _now())
        return self._signer.sign(COSIGN_LABEL, head.message())

    def accept(self, peer: str, key: bytes, head: Head, cosignature: bytes) -> None:
        """Keep a peer's signature under a head of this ledger. Raises BadData unless both are what they should be."""
        verify(key, COSIGN_LABEL, head.message(), cosignature)
        with self._transaction():
            row = self._database.execute("SELECT hash FROM entries WHERE seq = ?", (head.seq,)).fetchone()
            if head.key != self.key or (row[0] if row else genesis(self.party, bytes.fromhex(self.key))) != head.hash:
                raise BadData("{party} countersigned a head that is not of this ledger.", party=peer)
            if not any(entry.body["hash"] == head.hash for entry in self._countersigned(key, "ours")):
                self._append("countersign", countersign_body(peer, key, "ours", head, cosignature.hex()), _now())

    def _check_open(self, charge: Charge, now: str) -> None:
        until = closed(self._select("WHERE kind = 'restored'"))
        if charge.lineage and month_of(now) <= until:
            raise Refused(
                "This home was restored from a backup: what was asked about {dataset} since is not known, so that "
                "nothing more may be asked before {day} (UTC).",
                "Restore it with the ledger of the lost home, if there is one: --ledger.",
                dataset=charge.lineage,
                day=renewal(until),
            )

    def _check_budget(self, charge: Charge, now: str) -> None:
        left = charge.most_micro - self._spent(charge.lineage, now)
        if charge.lineage and charge.rho_micro and charge.rho_micro > left:
            raise Refused(
                "This month's budget of {dataset} does not allow the question: it costs ρ {cost}, and ρ {left} of "
                "{most} are left.",
                "The budget renews on {day} (UTC). A wider interval, --within, costs less.",
                dataset=charge.lineage,
                cost=as_rho(charge.rho_micro),
                left=as_rho(max(0, left)),
                most=as_rho(charge.most_micro),
                day=renewal(now),
            )

    def _spent(self, lineage: str, now: str) -> int:
        """In millionths of ρ, from this month on: a clock that was set back frees nothing. For nobody it is 0."""
        if not lineage:
            return 0
        asked = "SELECT coalesce(sum(rho_micro), 0) FROM spending WHERE lineage = ? AND month >= ?"
        return int(self._database.execute(asked, (lineage, month_of(now))).fetchone()[0])

    def _spend(self, charge: Charge, now: str) -> None:
        if charge.lineage and charge.rho_micro:
            adding = (
                "INSERT INTO spending VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET rho_micro = rho_micro + excluded.rho_micro"
            )
            self._database.execute(adding, (charge.lineage, month_of(now), charge.rho_micro))

    def _keep(self, kind: str, question: str, secret: bytes) -> str:
        """Seals what belongs to an entry; returns what the entry says of it."""
        sealed = self._sealing.wrap(_name(kind, question), secret)
        self._database.execute(f"INSERT INTO {store.TABLES[kind]} VALUES (?, ?)", (question, sealed))  # noqa: S608
        return store.sha256(sealed)

    def _kept(self, entry: Entry) -> bytes:
        """What was kept with an entry. Raises BadData where it is not the same any more."""
        question = str(entry.body["question"])
        asked = f"SELECT sealed FROM {store.TABLES[entry.kind]} WHERE question = ?"  # noqa: S608
        row = self._database.execute(asked, (question,)).fetchone()
        if row is None or not isinstance(row[0], bytes) or store.sha256(row[0]) != entry.body[KEPT[entry.kind]]:
            raise BadData("What the ledger keeps of a question was changed.", "Run: cleanroom audit verify.")
        return self._sealing.unwrap(_name(entry.kind, question), row[0])

    def _asked(self, debit: Entry) -> dict[str, Any]:
        if "asked" not in debit.body:
            return {"by": debit.body["by"], "sums": []}
        query: dict[str, Any] = json.loads(self._kept(debit))
        return query

    def _append(self, kind: str, body: Body, time: str) -> Entry:
        check_body(kind, body)
        last = self._last()
        seq = last.seq + 1 if last else 1
        previous = last.hash if last else genesis(self.party, bytes.fromhex(self.key))
        hash_ = entry_hash(seq, time, kind, body, previous)
        entry = Entry(seq, time, kind, body, previous, hash_, self._head(seq, hash_).signature)
        text = canonical.encode(body).decode()
        row = (seq, time, kind, text, previous, hash_, entry.signature, *store.found_in(body))
        self._database.execute(f"INSERT INTO entries VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        return entry

    def _head_now(self) -> Head:
        entry = self._last()
        return self._head(0, genesis(self.party, bytes.fromhex(self.key))) if entry is None else self._of(entry)

    def _head(self, seq: int, hash_: str) -> Head:
        signature = self._signer.sign(HEAD_LABEL, head_message(self.party, self.key, seq, hash_))
        return Head(self.party, self.key, seq, hash_, signature.hex())

    def _of(self, entry: Entry) -> Head:
        return Head(self.party, self.key, entry.seq, entry.hash, entry.signature)

    def _last(self) -> Entry | None:
        return next(self._select("ORDER BY seq DESC LIMIT 1"), None)

    def _once(self, kind: str, question: str) -> Entry | None:
        return next(self._select(store.ONCE, question, kind), None)

    def _debits(self, population: str) -> Iterator[Entry]:
        return self._select("WHERE kind = 'debit' AND population = ? ORDER BY seq", population)

    def _history(self, population: str) -> list[Asked]:
        """Questions that were answered without noise."""
        exact = (entry for entry in self._debits(population) if not entry.body.get("sigma"))
        return [Asked(population, tuple(entry.body["by"])) for entry in exact]  # type: ignore[arg-type]

    def _lined_up(self, contract: str) -> set[tuple[str, ...]]:
        exact = self._select("WHERE kind = 'debit' AND json_extract(body, '$.contract') = ? "
                             "AND json_extract(body, '$.sigma') = 0", contract)  # fmt: skip
        return {tuple(self._asked(entry).get("over", ())) for entry in exact} - {()}

    def _countersigned(self, key: bytes, whose: str) -> Iterator[Entry]:
        where = "WHERE kind = 'countersign' AND json_extract(body, '$.key') = ? AND json_extract(body, '$.whose') = ?"
        return self._select(where, key.hex(), whose)

    def _by_key(self, kind: str, key: bytes) -> Iterator[Entry]:
        return self._select("WHERE kind = ? AND json_extract(body, '$.key') = ? ORDER BY seq", kind, key.hex())

    def _seen(self, key: bytes) -> list[Entry]:
        """What this party has seen of the ledger with this key, since the last restore of it that was accepted."""
        lines = list(self._by_key("line", key))
        begins = lines[-1].seq if lines else 0
        return [*lines[-1:], *(entry for entry in self._countersigned(key, "theirs") if entry.seq > begins)]

    def _select(self, where: str, *parameters: str) -> Iterator[Entry]:
        return map(store.entry_of, self._database.execute(f"SELECT * FROM entries {where}", parameters))  # noqa: S608

    def _transaction(self) -> AbstractContextManager[None]:
        return store.transaction(self._database)


def _asked_by(names: Sequence[str]) -> Body:
    """The field of an entry that says who asked; left out where nobody is named."""
    return {"asked_by": list(names)} if names else {}


def _seen(entry: Entry) -> Seen:
    body = entry.body
    version = DatasetVersion(str(body["owner"]), str(body["dataset"]), str(body["manifest"]), int(str(body["rows"])))
    return Seen(version, dt.datetime.fromisoformat(entry.time))


def _name(kind: str, question: str) -> str:
    """What a sealed thing opens under, and under nothing else."""
    return f"{_SEALED_AS[kind]}/{question}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_SEALED_AS = {"debit": "question", "draws": "draws", "release": "answer"}
