"""A receipt: signed proof of one release. What was asked, over which data, under which rules, who got the answer.

Every party that took part signs it. It proves what was claimed, not that it was done, and it shows none of the answer:
the digest of the table is salted, and the salt goes with the answer to its recipients alone.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cleanroom import canonical
from cleanroom.enclave.query import Where
from cleanroom.errors import BadData, UsageError
from cleanroom.keys import verify as verify_signature
from cleanroom.ledger.chain import Signer, is_digest, unhex
from cleanroom.privacy.history import DatasetVersion, Question, plain_where
from cleanroom.privacy.ranges import Range
from cleanroom.privacy.threshold import Rules

FORMAT = "cleanroom-receipt/2"
FIRST_FORMAT = "cleanroom-receipt/1"
"""Without the entries of `_LATER`, and of a time when there was no noise."""
_LATER = ("where", "code", "plan", "over", "crowd", "tables")
LABEL = "cleanroom/receipt/1"
TABLE_LABEL = b"cleanroom/table/1"
SALT_BYTES = 16


@dataclass(frozen=True)
class Receipt:
    """One release. Digests in hex; time in UTC, ISO 8601, to the second; rho_micro: its cost in millionths of ρ.

    question: digest of the canonical question; transcript: digest of the match's channel; isolation: how the enclave
    was kept apart, in the engine's words; table, rows, columns: salted digest and shape of what was released; people:
    size of the match as a range, with noise of the groups shown; withheld: whether groups may have stayed behind;
    where: whom the question was about, cells being numbers or value tokens; code: of the program at the host; plan: it
    is a planning cube, whose `rows` are the cells of all its tables; over: as of the question, the datasets lined up in
    a room of more than two; left out where there are two; crowd, tables: as of the question, left out where it
    has none.
    """

    room: str
    contract: str
    question: str
    by: tuple[str, ...]
    sums: tuple[str, ...]
    datasets: tuple[DatasetVersion, ...]
    protocol: str
    transcript: str
    isolation: str
    rules: Rules
    recipients: tuple[str, ...]
    purposes: tuple[str, ...]
    table: str
    rows: int
    columns: int
    people: Range
    withheld: bool
    time: str
    epoch: str = ""
    rho_micro: int = 0
    where: Where = ()
    code: str = ""
    plan: bool = False
    over: tuple[str, ...] = ()
    crowd: str = ""
    tables: tuple[tuple[str, ...], ...] = ()
    format: str = field(default=FORMAT)

    def __post_init__(self) -> None:
        later = self.where or self.code or self.plan or self.over or self.crowd or self.tables or self.rules.sigma
        if self.format not in (FORMAT, FIRST_FORMAT) or (self.format == FIRST_FORMAT and later):
            raise BadData("This receipt has a format that this version does not know.", "Update this program.")
        for digest in (self.contract, self.question, self.transcript, self.table):
            if not is_digest(digest):
                raise BadData("A digest in the receipt is not a SHA-256 in hex.")
        if (self.crowd and not is_digest(self.crowd)) or any(
            version.selected and not is_digest(version.selected) for version in self.datasets
        ):
            raise BadData("A digest in the receipt is not a SHA-256 in hex.")
        if not self.recipients or not self.purposes or not self.datasets:
            raise BadData("A receipt names datasets, recipients and purposes.")
        if self.tables and not len(self.datasets) == len(self.over) == 1:
            raise BadData("A board is about one dataset.")
        if self.over and self.over != tuple(sorted(version.name for version in self.datasets)):
            raise BadData("A receipt is about the datasets that its question lines up.")
        texts = (self.room, self.protocol, self.isolation, self.time, self.epoch, self.code, *self.by, *self.sums)
        lists = (*self.recipients, *self.purposes, *(v for d in self.datasets for v in (d.owner, d.name, d.manifest)))
        numbers = (self.rows, self.columns, self.rho_micro, *(version.rows for version in self.datasets))
        if not all(isinstance(text, str) for text in texts + lists):
            raise BadData("A text in the receipt is not a text.")
        if (
            not all(type(number) is int and number >= 0 for number in numbers)
            or type(self.withheld) is not bool
            or (type(self.plan) is not bool)
        ):
            raise BadData("A number in the receipt is not a number.")

    def plain(self) -> dict[str, Any]:
        """As canonical JSON."""
        plain = {
            **dataclasses.asdict(self),
            "datasets": [each.plain() for each in self.datasets],
            "query": self.asked().query_digest(),
            "rules": self.rules.plain(),
        }
        if self.format == FIRST_FORMAT:
            return {name: value for name, value in plain.items() if name not in _LATER}
        for name in ("over", "crowd", "tables"):
            if not plain[name]:
                del plain[name]
        return {**plain, "where": plain_where(self.where)}

    def digest(self) -> str:
        """SHA-256 in hex over the canonical form: what is signed and what ledgers hold."""
        return canonical.digest(LABEL, self.plain())

    def asked(self) -> Question:
        """The question that it answers."""
        return Question(self.by, self.sums, self.contract, self.datasets, self.epoch, self.where, self.rules.sigma,
                        self.plan, self.over, self.crowd, self.tables)  # fmt: skip

    def ledger_body(self, answer: str) -> dict[str, canonical.Json]:
        """What a ledger holds of it, with the digest of the sealed answer."""
        return {
            "question": self.question,
            "receipt": self.digest(),
            "recipients": list(self.recipients),
            "table": self.table,
            "rows": self.rows,
            "withheld": self.withheld,
            "k": self.rules.k,
            "noise": self.rules.noise,
            "answer": answer,
        }


@dataclass(frozen=True)
class SignedReceipt:
    """A receipt with the signatures collected so far (party → hex)."""

    receipt: Receipt
    signatures: Mapping[str, str] = field(default_factory=dict)

    def sign(self, party: str, signer: Signer) -> "SignedReceipt":
        """The same with `party`'s signature."""
        signature = signer.sign(LABEL, bytes.fromhex(self.receipt.digest())).hex()
        return SignedReceipt(self.receipt, {**self.signatures, party: signature})

    def merge(self, other: "SignedReceipt") -> "SignedReceipt":
        """Both sides' signatures. Raises BadData where they are under different receipts."""
        if other.receipt != self.receipt:
            raise BadData("Two signatures are not under the same receipt.")
        return SignedReceipt(self.receipt, {**self.signatures, **other.signatures})

    def encode(self) -> bytes:
        """The file form: canonical JSON."""
        return canonical.encode({"receipt": self.receipt.plain(), "signatures": self.signatures})

    @classmethod
    def parse(cls, content: bytes) -> "SignedReceipt":
        """The reverse of `encode`. Raises BadData where anything is missing, foreign, or not in canonical form."""
        try:
            whole = json.loads(content)
            fields = dict(whole["receipt"])
            if fields.get("format") not in (FORMAT, FIRST_FORMAT):
                raise BadData("This receipt has a format that this version does not know.", "Update this program.")
            del fields["query"]
            fields["datasets"] = tuple(DatasetVersion(**version) for version in fields["datasets"])
            fields["rules"], fields["people"] = Rules(**fields["rules"]), Range(**fields["people"])
            for name in ("by", "sums", "recipients", "purposes"):
                fields[name] = tuple(fields[name])
            fields["over"] = tuple(fields.get("over", ()))
            fields["tables"] = tuple(tuple(map(str, table)) for table in fields.get("tables", ()))
            boxes = fields.get("where", [])
            fields["where"] = tuple(tuple((name, tuple(cells)) for name, cells in box) for box in boxes)
            signed = cls(Receipt(**fields), {party: str(text) for party, text in whole["signatures"].items()})
            if signed.encode() != content.strip():
                raise BadData("The receipt is not in its canonical form.")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BadData("The receipt is damaged or incomplete.") from error
        return signed


def verify(
    signed: SignedReceipt,
    keys: Mapping[str, bytes],
    *,
    contract: str | None = None,
    answer: tuple[pa.Table, bytes] | None = None,
) -> tuple[str, ...]:
    """Check a receipt, step by step; raises BadData naming the step that failed, else returns the steps (texts).

    `keys`: Ed25519 public key of each party that takes part (`rooms.taking_part.signers`); `contract`: its digest;
    `answer`: table and salt.
    """
    receipt = signed.receipt
    # 1. It is signed by every party that took part, and by nobody else.
    if set(signed.signatures) != set(keys) or not keys:
        raise BadData("Receipt, step 1, parties: the signatures are not those of the parties that took part.")
    # 2. Every signature is over this receipt.
    for party, key in keys.items():
        try:
            verify_signature(key, LABEL, bytes.fromhex(receipt.digest()), unhex(signed.signatures[party]))
        except BadData as error:
            raise BadData("Receipt, step 2, signatures: {party}'s does not verify.", party=party) from error
    # 3. It belongs to the contract, and so does its question.
    if contract is not None and receipt.contract != contract:
        raise BadData("Receipt, step 3, contract: it belongs to another contract.")
    if receipt.asked().digest() != receipt.question or not set(receipt.recipients) <= set(keys):
        raise BadData("Receipt, step 3, contract: its question or recipients do not fit the rest of it.")
    # 4. What it says was released keeps the rules that it names.
    few = receipt.people.withheld or receipt.people.high < receipt.rules.k
    if receipt.plan or receipt.tables:
        if not receipt.rules.sigma:
            raise BadData("Receipt, step 4, rules: a plan was released without noise.")
    elif (few and receipt.rows) or receipt.rules.least * receipt.rows > receipt.people.high:
        raise BadData("Receipt, step 4, rules: more groups were released than k allows.")
    # 5. The table at hand is the one released.
    if answer is not None:
        table, salt = answer
        if (table.num_rows, table.num_columns) != (receipt.rows, receipt.columns):
            raise BadData("Receipt, step 5, table: it has another shape.")
        if table_digest(table, salt) != receipt.table:
            raise BadData("Receipt, step 5, table: it is not the table that was released.")
    asked = (True, True, contract is not None, True, answer is not None)
    return tuple(text for text, done in zip(STEPS, asked, strict=True) if done)


STEPS = (
    "1 parties: signed by every party that took part, and nobody else",
    "2 signatures: every one is over this receipt",
    "3 contract: it belongs to this contract, and so does its question",
    "4 rules: what was released keeps the rules that it names",
    "5 table: the table at hand is the one released",
)
"""What `verify` checked, for people."""


def table_digest(table: pa.Table, salt: bytes) -> str:
    """SHA-256 in hex of a released table under a random salt of `SALT_BYTES`, the same however it is chunked.

    Covers names, order and values of its columns; dates and decimals count as their texts, and neither dictionaries nor
    the widths of integers make a difference.
    Raises UsageError for types that no release has.
    """
    if len(salt) != SALT_BYTES:
        raise UsageError("A table's digest needs a salt of {bytes} bytes.", bytes=SALT_BYTES)
    digest = hashlib.sha256(TABLE_LABEL + salt + table.num_rows.to_bytes(8, "big"))
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = _logical(name, column)
        digest.update(canonical.encode({"name": name, "type": str(values.type)}) + b"\n")
        digest.update(values.is_valid().to_numpy(zero_copy_only=False).tobytes())
        for part in _parts(values):
            digest.update(part)
    return digest.hexdigest()


def _logical(name: str, column: pa.ChunkedArray) -> pa.Array:
    """One array of int64, double, bool or string."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_date32(kind) or pa.types.is_decimal(kind) or pa.types.is_large_string(kind):
        target = pa.string()
    elif pa.types.is_integer(kind) and kind != pa.uint64():
        target = pa.int64()
    elif kind in (pa.float64(), pa.bool_(), pa.string()):
        target = kind
    else:
        raise UsageError("A released table has no column of the type of {column}.", column=name)
    whole = pa.chunked_array(column.cast(target).chunks, target).combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _parts(values: pa.Array) -> list[bytes]:
    """The values as bytes, nulls as zeros: little-endian 8 bytes or 1; texts as their lengths, then themselves."""
    if pa.types.is_string(values.type):
        texts = pc.fill_null(values, "")
        lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype("<i8")
        joined = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), "")
        return [lengths.tobytes(), joined[0].as_py().encode()]
    plain = pc.fill_null(values, False if pa.types.is_boolean(values.type) else 0).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(values.type):
        plain = np.where(np.isnan(plain), np.nan, plain + 0.0)  # one NaN, one zero
    return [plain.astype(plain.dtype.newbyteorder("<")).tobytes()]
