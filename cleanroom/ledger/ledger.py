"""A party's ledger on disk: one SQLite file, one writer at a time, every entry on the disk before the call returns.

An answer to a question is debited before it is computed and recorded before it leaves; either happens once a question,
however often and by however many processes it is asked. `synchronous=FULL` over a truncated rollback journal is durable
and leaves one file to back up. A `Ledger` belongs to one thread; open one more for another.
"""

import datetime as dt
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError
from cleanroom.files import replacing
from cleanroom.keys import verify
from cleanroom.ledger.chain import (
    COSIGN_LABEL,
    FORMAT,
    HEAD_LABEL,
    Body,
    Entry,
    Head,
    Signer,
    check_body,
    entry_hash,
    genesis,
    head_message,
)
from cleanroom.ledger.receipt import Receipt
from cleanroom.privacy.history import Asked, Question, check_history

_WAIT_SECONDS = 60.0
_LONGEST_BODY = 1 << 16
_SCHEMA = """
CREATE TABLE meta (format TEXT NOT NULL, party TEXT NOT NULL, key TEXT NOT NULL);
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    previous TEXT NOT NULL, hash TEXT NOT NULL, signature TEXT NOT NULL, subject TEXT NOT NULL
);
CREATE TABLE answers (question TEXT PRIMARY KEY, sealed BLOB NOT NULL);
CREATE UNIQUE INDEX once ON entries (subject, kind) WHERE kind IN ('debit', 'release');
"""


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
class Debit:
    """The charge for a question. fresh: it was charged now; otherwise it had been before, and nothing was charged."""

    entry: Entry
    fresh: bool


@dataclass(frozen=True)
class Contents:
    """All of a ledger file as it stands, unverified. answers: question → SHA-256 in hex of its sealed answer."""

    format: str
    party: str
    key: str
    entries: tuple[Entry, ...]
    answers: dict[str, str]


class Ledger:
    """One party's ledger, open for writing. Close it, or use it in a `with`."""

    def __init__(self, path: Path, signer: Signer, public_key: bytes, sealing: Sealing) -> None:
        """The ledger at `path`, whose key must be `public_key` (Ed25519, 32 bytes). Raises BadData."""
        self._signer, self._sealing = signer, sealing
        self._database, (format_, self.party, self.key) = _connect(path)
        if format_ != FORMAT or self.key != public_key.hex():
            self.close()
            raise BadData(
                "The ledger {name} is of an unknown version or of another key.",
                "Restore the home from one backup, as a whole.",
                name=path.name,
            )

    @classmethod
    def create(cls, path: Path, party: str, signer: Signer, public_key: bytes, sealing: Sealing) -> "Ledger":
        """A new, empty ledger. Raises UsageError where there is one: a ledger is never begun again."""
        if path.exists():
            raise UsageError("There is a ledger already.", name=path.name)
        with replacing(path) as aside, _storage():
            database = sqlite3.connect(aside, isolation_level=None)
            database.execute("PRAGMA journal_mode = OFF")  # the whole file appears by renaming, or not at all
            database.executescript(_SCHEMA)
            database.execute("INSERT INTO meta VALUES (?, ?, ?)", (FORMAT, party, public_key.hex()))
            database.close()
        return cls(path, signer, public_key, sealing)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def append(self, kind: str, body: Body) -> Entry:
        """An entry of the kinds contract, import, match or forget (`chain.FIELDS`). Raises BadData for other fields."""
        if kind not in ("contract", "import", "match", "forget"):
            raise UsageError("Entries of the kind {kind} have a call of their own.", kind=kind)
        with self._transaction():
            return self._append(kind, body, _now())

    def debit(self, question: Question, rho_micro: int = 0) -> Debit:
        """Charge `question` once; on the disk at return. Raises Refused where an earlier question forbids it."""
        asked = question.asked()
        with self._transaction():
            charged = self._once("debit", question.digest())
            if charged:
                return Debit(charged, fresh=False)
            check_history(asked, self._history(asked.population))
            body: Body = {
                "question": question.digest(),
                "query": question.query_digest(),
                "contract": question.contract,
                "population": asked.population,
                "by": list(asked.by),
                "rho_micro": rho_micro,
            }
            return Debit(self._append("debit", body, _now()), fresh=True)

    def record_release(self, receipt: Receipt, answer: bytes | None = None) -> Entry:
        """Record the release, and seal and keep its answer where this party may have it; on the disk at return.

        The first release of a question stands: recorded again, the first entry comes back and nothing changes, and the
        caller hands out `stored_answer`. Raises BadData where the question was never debited.
        """
        with self._transaction():
            released = self._once("release", receipt.question)
            if released:
                return released
            if not self._once("debit", receipt.question):
                raise BadData("A release without a debit cannot be recorded.")
            sealed = None if answer is None else self._sealing.wrap(_answer_name(receipt.question), answer)
            if sealed is not None:
                self._database.execute("INSERT INTO answers VALUES (?, ?)", (receipt.question, sealed))
            return self._append("release", receipt.ledger_body(_sha256(sealed)), _now())

    def stored_answer(self, question: str) -> bytes | None:
        """The kept answer to the question with this digest, or None. Raises BadData where it was changed."""
        with _storage():
            row = self._database.execute("SELECT sealed FROM answers WHERE question = ?", (question,)).fetchone()
            released = self._once("release", question)
        if row is None:
            return None
        if released is None or released.body["answer"] != _sha256(row[0]):
            raise BadData("A stored answer is not the one that was released.", "Run: cleanroom audit verify.")
        return self._sealing.unwrap(_answer_name(question), row[0])

    def head(self) -> Head:
        """The newest entry, signed; of an empty ledger its beginning."""
        with _storage():
            entry = self._last()
        return self._head(0, genesis(self.party, bytes.fromhex(self.key))) if entry is None else self._of(entry)

    def countersign(self, head: Head, key: bytes) -> bytes:
        """Keep a peer's head and sign that it was seen: 64 bytes.

        Raises BadData where `key` did not sign it, or where it contradicts a head of the same key seen before: an
        older one (cut), or another at the same place (fork).
        """
        head.verify(key)
        with self._transaction():
            seen = [entry.body for entry in self._countersigned(key, "theirs")]
            if any(body["seq"] == head.seq and body["hash"] != head.hash for body in seen):
                raise BadData("{party} shows another ledger than before: it is forked.", party=head.party)
            newest = max((int(str(body["seq"])) for body in seen), default=-1)
            if head.seq < newest:
                raise BadData("{party} shows an older ledger than before: it is cut.", party=head.party)
            if head.seq > newest:
                self._append("countersign", _countersign_body(head.party, key, "theirs", head, head.signature), _now())
        return self._signer.sign(COSIGN_LABEL, head.message())

    def accept(self, peer: str, key: bytes, head: Head, cosignature: bytes) -> None:
        """Keep a peer's signature under a head of this ledger. Raises BadData unless both are what they should be."""
        verify(key, COSIGN_LABEL, head.message(), cosignature)
        with self._transaction():
            row = self._database.execute("SELECT hash FROM entries WHERE seq = ?", (head.seq,)).fetchone()
            if head.key != self.key or (row[0] if row else genesis(self.party, bytes.fromhex(self.key))) != head.hash:
                raise BadData("{party} countersigned a head that is not of this ledger.", party=peer)
            if not any(entry.body["hash"] == head.hash for entry in self._countersigned(key, "ours")):
                self._append("countersign", _countersign_body(peer, key, "ours", head, cosignature.hex()), _now())

    def _append(self, kind: str, body: Body, time: str) -> Entry:
        check_body(kind, body)
        last = self._last()
        seq = last.seq + 1 if last else 1
        previous = last.hash if last else genesis(self.party, bytes.fromhex(self.key))
        hash_ = entry_hash(seq, time, kind, body, previous)
        entry = Entry(seq, time, kind, body, previous, hash_, self._head(seq, hash_).signature)
        text = canonical.encode(body).decode()
        row = (seq, time, kind, text, previous, hash_, entry.signature, _subject(body))
        self._database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return entry

    def _head(self, seq: int, hash_: str) -> Head:
        signature = self._signer.sign(HEAD_LABEL, head_message(self.party, self.key, seq, hash_))
        return Head(self.party, self.key, seq, hash_, signature.hex())

    def _of(self, entry: Entry) -> Head:
        return Head(self.party, self.key, entry.seq, entry.hash, entry.signature)

    def _last(self) -> Entry | None:
        return next(self._select("ORDER BY seq DESC LIMIT 1"), None)

    def _once(self, kind: str, question: str) -> Entry | None:
        where = "WHERE subject = ? AND kind = ? AND kind IN ('debit', 'release')"
        return next(self._select(where, question, kind), None)

    def _history(self, population: str) -> list[Asked]:
        where = "WHERE kind = 'debit' AND json_extract(body, '$.population') = ?"
        return [Asked(population, tuple(entry.body["by"])) for entry in self._select(where, population)]  # type: ignore[arg-type]

    def _countersigned(self, key: bytes, whose: str) -> Iterator[Entry]:
        where = "WHERE kind = 'countersign' AND json_extract(body, '$.key') = ? AND json_extract(body, '$.whose') = ?"
        return self._select(where, key.hex(), whose)

    def _select(self, where: str, *parameters: str) -> Iterator[Entry]:
        return map(_entry, self._database.execute(f"SELECT * FROM entries {where}", parameters))  # noqa: S608

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, alone: BEGIN IMMEDIATE takes the write lock before anything is read."""
        with _storage():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")


def read(path: Path) -> Contents:
    """Everything that stands in the ledger file at `path`, unverified. Raises BadData where it cannot be read."""
    database, (format_, party, key) = _connect(path)
    try:
        with _storage():
            database.execute("BEGIN")  # both tables as of one moment
            entries = tuple(map(_entry, database.execute("SELECT * FROM entries ORDER BY seq")))
            answers = {str(row[0]): _sha256(row[1]) for row in database.execute("SELECT question, sealed FROM answers")}
    finally:
        database.close()
    return Contents(format_, party, key, entries, answers)


def _connect(path: Path) -> tuple[sqlite3.Connection, tuple[str, str, str]]:
    """The file, open for writing, and what it says of itself: format, party, key."""
    if not path.is_file():
        raise BadData("The ledger {name} is missing.", "Restore it from a backup.", name=path.name)
    with _storage():
        uri = path.resolve().as_uri() + "?mode=rw"
        database = sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            for setting in ("trusted_schema = OFF", "journal_mode = TRUNCATE", "synchronous = FULL"):
                database.execute(f"PRAGMA {setting}")
            rows = database.execute("SELECT format, party, key FROM meta").fetchall()
            if len(rows) != 1 or not all(isinstance(value, str) for value in rows[0]):
                raise BadData("The ledger does not say whose it is.", "Restore it from a backup.")
        except (sqlite3.Error, BadData):
            database.close()
            raise
    return database, (rows[0][0], rows[0][1], rows[0][2])


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BadData(
            "The ledger could not be read or written: {reason}.",
            "Check free space and rights, then run: cleanroom audit verify.",
            reason=getattr(error, "sqlite_errorname", type(error).__name__),
        ) from error


def _entry(row: tuple[Any, ...]) -> Entry:
    """An entry from a row that may have been tampered with. Raises BadData unless it is of an entry's types."""
    try:
        body = json.loads(row[3]) if len(row[3]) <= _LONGEST_BODY else None
    except (ValueError, TypeError, RecursionError):
        body = None
    texts = (*row[1:3], *row[4:])
    if not isinstance(body, dict) or not all(isinstance(text, str) for text in texts) or row[7] != _subject(body):
        raise BadData("Entry {seq} of the ledger is damaged.", "Restore it from a backup.", seq=row[0])
    return Entry(row[0], row[1], row[2], body, *row[4:7])


def _subject(body: Body) -> object:
    """What a debit and a release are looked up by; it stands beside the body, since indexes cannot look into it."""
    return body.get("question", "")


def _countersign_body(peer: str, key: bytes, whose: str, head: Head, signature: str) -> Body:
    return {
        "peer": peer,
        "key": key.hex(),
        "whose": whose,
        "seq": head.seq,
        "hash": head.hash,
        "signature": signature,
    }


def _answer_name(question: str) -> str:
    return f"answer/{question}"


def _sha256(sealed: bytes | None) -> str:
    return "" if sealed is None else hashlib.sha256(sealed).hexdigest()


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
