"""How a run is put on record: the debit before anything is computed, a receipt that every party signs, the ledgers.

All recipients compute the same receipt for themselves and sign only their own; a peer's signature must be under it too.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pyarrow as pa

from cleanroom import private_files
from cleanroom.answer import crowd, crowd_members, heads, planning
from cleanroom.answer.notes import hear, malformed, reading, take, tell, whole_numbers
from cleanroom.answer.release import Release
from cleanroom.answer.side import Side
from cleanroom.enclave.query import VERSION as QUERY_VERSION
from cleanroom.enclave.query import Query, split_name
from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.keys import verify as verify_signature
from cleanroom.ledger.chain import COSIGN_LABEL, Head, is_digest
from cleanroom.ledger.ledger import Charge, Ledger
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.receipt import SALT_BYTES, Receipt, SignedReceipt, table_digest, verify
from cleanroom.privacy import accounting
from cleanroom.privacy.history import DatasetVersion, Question, check_over, plain_where
from cleanroom.privacy.quotas import Limits, Seen, check_inputs
from cleanroom.privacy.ranges import Range, size_range
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Dataset
from protocols.channel import Channel
from protocols.errors import BadMessage, ProtocolError
from protocols.psi import keyed

RECEIPT = b"cleanroom.receipt"
_CROWD_VERSIONS = 62
"""Versions in 30 days that crowds may be made of: a new one a day, and some made again."""
MOST_REPLAYS = 3
"""Each tells one bit of the data as they are now, so there are few."""
ANOTHER = "The same question got another answer than before."
_CLOCKS_APART = dt.timedelta(days=1)


def version_note(side: Side) -> dict[str, Any]:
    """What a party tells of its data and of what it was asked, before a run."""
    asked = {"by": list(side.query.by), "sums": list(side.query.sums), "where": plain_where(side.where),
             "sigma": side.sigma, "plan": side.plan, "crowd": side.crowd.digest if side.crowd else ""}  # fmt: skip
    if side.contract.match.others:
        asked["over"] = [dataset.name for dataset in side.lined_up]
    forms = side.identity_forms()
    if side.plan and side.contract.match.protocol == "keyed":
        asked["cells"] = planning.cells_told(side)
    told = {"version": side.version().plain(), "epoch": side.home.vault.epoch, "form": forms[0],
            "seen": heads.seen(side), **asked}  # fmt: skip
    return {**told, "also": forms[1:]} if len(forms) > 1 else told


def question_from(side: Side, notes: Any, mine: Mapping[str, Any] | None = None) -> Question:
    """The canonical question, from what the owners told; `mine`: of an owner, what must stand among it.

    Raises BadMessage, ProtocolError where the sides ask different things, Refused where they cannot match.
    """
    if type(notes) is not list or (mine is not None and mine not in notes):
        raise malformed()
    heads.check_not_set_back(side, notes)
    versions = tuple(_version(note) for note in notes)
    if sorted((version.owner, version.name) for version in versions) != sorted(
        (dataset.owner, dataset.name) for dataset in side.lined_up
    ):
        raise BadMessage("The peer named another dataset than the contract.")
    asked = _asked(side, notes[0])
    for version, note in zip(versions, notes, strict=True):
        if _asked(side, note) != asked or (asked.by, asked.sums) != (side.query.by, side.query.sums):
            raise ProtocolError("The parties were not asked the same question.", "Name the same columns everywhere.")
        if side.contract.match.others and take(note, "over", list) != [dataset.name for dataset in side.lined_up]:
            raise ProtocolError("The parties were not asked the same question.", "Name the same datasets everywhere.")
        if (take(note, "sigma", int), take(note, "plan", bool)) != (side.sigma, side.plan):
            raise ProtocolError("The parties were not asked the same question.", "Ask for the same accuracy.")
        if take(note, "crowd", str) != (side.crowd.digest if side.crowd else ""):
            raise ProtocolError("The parties were not asked the same question.", "Name the same crowd everywhere.")
        if version.rows > side.contract.dataset(version.name).rows:
            raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=version.name)
    _check_forms(side, notes)
    epochs = {v.owner: take(n, "epoch", int) for v, n in zip(versions, notes, strict=True)}
    question = side.question(versions, epochs, asked.where)
    if side.expected and question.digest() != side.expected:
        raise Refused("The datasets are of other versions than those of the receipt.", "It can no longer be replayed.")
    return question


def _asked(side: Side, note: Any) -> Query:
    """The query that a note names, its conditions about columns that can have some. Raises BadMessage."""
    fields = {name: take(note, name, list) for name in ("by", "sums", "where")}
    with reading():
        query = Query.from_fields({"format": QUERY_VERSION, **fields})
    for name in query.conditions:
        dataset, column = split_name(name)
        if side.crowd is not None and side.crowd.is_class(name):
            continue
        if side.contract.dataset(dataset).column(column).kind == "amount":
            raise malformed()
    return query


def _check_forms(side: Side, notes: list[Any]) -> None:
    """Raises Refused where the sides cannot match by an identity, or by one of several."""
    if len({take(note, "form", str) for note in notes}) > 1:
        if not side.contract.datasets[0].also:
            raise Refused(
                "The two sides normalise identities differently.", "Use the same version and profile on both."
            )
        raise _differs(side.contract.datasets[0].identity)
    also = side.contract.datasets[0].also
    forms = [take(note, "also", list) for note in notes] if also else []
    if any(len(each) != len(also) for each in forms):
        raise malformed()
    for at, identity in enumerate(also):
        if any(each[at] != forms[0][at] for each in forms):
            raise _differs(identity.kind)


def _differs(kind: str) -> Refused:
    return Refused(
        "The two sides normalise or hash the identity {kind} differently.",
        "Use the same version, profile and digest on both.",
        kind=kind,
    )


def _version(note: Any) -> DatasetVersion:
    """The version of a dataset that a note names. Raises BadMessage."""
    told = take(note, "version", dict)
    owner, name, manifest = (take(told, field, str) for field in ("owner", "name", "manifest"))
    version = DatasetVersion(owner, name, manifest, take(told, "rows", int))
    if "selected" in told:
        version = replace(version, selected=take(told, "selected", str))
        if not is_digest(version.selected):
            raise malformed()
    if version.plain() != told or version.rows < 0 or not is_digest(version.manifest):
        raise malformed()
    return version


def charge(side: Side, question: Question) -> Charge:
    """What the question costs the dataset of this party, or an operator, who has none and keeps account."""
    brought = {version.owner: version.name for version in question.datasets}
    lineage = brought.get(side.party, "")
    if not question.sigma:
        return Charge(lineage)
    moved = 1 if question.tables else side.contract.moved  # without a match a person is one row
    rho = accounting.rho_micro(question.sigma, released(question), moved)
    return Charge(lineage, rho, budget(side.contract, side.dataset) if lineage else 0)


def budget(contract: Contract, dataset: Dataset) -> int:
    """What may be charged to a dataset in a month, in millionths of ρ, by the contract's ε."""
    return accounting.budget_micro(contract.release.epsilon, accounting.delta(dataset.rows))


def released(question: Question) -> int:
    """How many noised numbers of a person's group leave: the count and every sum; of a plan or board, one a table."""
    if question.tables:
        return len(question.tables) + len(question.sums)
    return len(planning.tables(question)) if question.plan else 1 + len(question.sums)


def standing(side: Side, question: Question) -> dict[str, Any]:
    """Whether this party holds the answer already, and can pay for it: told before anybody is charged.

    Raises Refused where it would not take part: a dataset changed too often or grew too fast, in whatever room; an
    answer is to be computed again that never was; or, without noise, datasets were lined up among others before.
    """
    due, given = charge(side, question), _given(side)
    if given is not None:
        crowd_members.check(side.home, side.contract, given)
    with open_ledger(side.home) as ledger:
        charged = ledger.charged(question)
        have = bool(question.sigma) and ledger.released(question.digest()) is not None and not side.again
        have = have and (given is None or _has_members(side, question, given))
        if side.again and not charged:
            raise Refused("This question was not asked here, so there is nothing to compute again.")
        if side.again and ledger.replays(question.digest()) >= MOST_REPLAYS:
            raise Refused("This answer was computed again {most} times, which is the most.", most=MOST_REPLAYS)
        if question.sigma and not charged and not question.tables:  # a board tells nothing of whom anybody brings
            moment = dt.datetime.now(dt.UTC)
            limits = Limits(_CROWD_VERSIONS if question.crowd else Limits.versions, rows=side.rules.k)
            for version in _brought(question):
                check_inputs(ledger.inputs(version), Seen(version, moment), limits)
        if question.over and not question.sigma and not charged:
            check_over(question.over, ledger.lined_up(question.contract))
        affords = charged or not due.lineage or ledger.left(due) >= due.rho_micro
        return {"party": side.party, "have": have, "charged": charged, "affords": affords}


def _given(side: Side) -> crowd.CrowdAsked | None:
    """The crowd whose members this party is to be given, if it is to be."""
    asked = side.crowd
    return asked if asked is not None and asked.given and crowd.receives(side.contract, side.party) else None


def _has_members(side: Side, question: Question, given: crowd.CrowdAsked) -> bool:
    """Whether this party lacks no members of it: a run may have been cut off before they came."""
    release, _ = recall(side.home, question.digest())
    return not crowd.gives(side.contract, given, release.first) or crowd_members.kept(side.home, side.contract, given)


def _receiver(side: Side) -> str:
    """Who is told whom the match found; of a crowd, who addresses people."""
    term = side.contract.activation
    return side.contract.match.receiver if side.crowd is None or term is None else term.receiver


def _output(side: Side) -> str:
    """What the match told its receiver; of a crowd, between two parties the host learns whom it found in any case."""
    match = side.contract.match
    if side.crowd is None:
        return match.output
    return "crowd" if side.crowd.given or match.protocol != "keyed" else "size"


def settle(side: Side, question: Question, standings: Sequence[Any]) -> bool:
    """Debit the question, on the disk before anything is computed; or say that the stored answer serves (True).

    Raises Refused where an owner's budget is spent, BadMessage.
    """
    held, before, paid = ([take(each, name, bool) for each in standings] for name in ("have", "charged", "affords"))
    if question.tables:  # its owner alone knows of what others asked
        owner = question.datasets[0].owner
        before = [each["charged"] for each in standings if each.get("party") == owner]
    if any(held) and not all(before):
        raise BadMessage("The ledger of a peer knows nothing of a question that was answered.")
    if all(held):
        return True
    if not all(paid):
        raise Refused(
            "The privacy budget of a dataset in this room does not suffice for this question.",
            "cleanroom budget shows it. Ask less exactly (--within), read the plan, or wait for the next month.",
        )
    with open_ledger(side.home) as ledger:
        if question.sigma and not ledger.charged(question) and not question.tables:
            _keep_inputs(ledger, question)
        debit = ledger.debit(question, charge(side, question), side.asked_by)
        side.charged = debit.fresh and bool(question.sigma)
    if not question.sigma:
        side.earlier = _earlier(side, question)
    return False


def _keep_inputs(ledger: Ledger, question: Question) -> None:
    """What the owners brought to this run, for the limits of later ones."""
    for version in _brought(question):
        ledger.append("input", {
            "contract": question.contract, "owner": version.owner, "dataset": version.name,
            "manifest": version.manifest, "rows": version.rows,
        })  # fmt: skip


def _brought(question: Question) -> list[DatasetVersion]:
    """The datasets by the names under which their changes are counted: those of crowds, one a day, apart."""
    if not question.crowd:
        return list(question.datasets)
    return [replace(version, name=f"{version.name}#crowds") for version in question.datasets]


def _earlier(side: Side, question: Question) -> tuple[Query, ...]:
    """Questions without noise about the same people, where this one or one of them is about some of these only.

    Raises Refused where they cannot be compared: asked in another room, or of cells that are not the host's to see.
    """
    with open_ledger(side.home) as ledger:
        asked, rooms = ledger.questions(question.population()), ledger.rooms(question.population())
    found = [each for each in asked if not each.get("sigma") and each != question.query()]
    if not any(each.get("where") for each in (*found, question.query())):
        return ()
    queries = []
    for each in found:
        fields = {"by": list(each["by"]), "sums": [], "where": each.get("where", [])}
        queries.append(Query.from_fields({"format": QUERY_VERSION, **fields}))
    columns = {name for query in queries for name in (*query.by, *query.conditions)}
    match = side.contract.match
    foreign = match.protocol != "keyed" and any(
        side.contract.dataset(split_name(name)[0]).owner != match.host for name in columns
    )
    if rooms != {question.contract} or foreign:
        raise subtractable(side)
    return tuple(dict.fromkeys(queries))


def subtractable(side: Side) -> Refused:
    """For an exact answer that could be subtracted from an earlier one."""
    return Refused(
        "This answer could be subtracted from an earlier one: the people of both differ by fewer than {limit}.",
        "Ask about other people, or in a room with noise, which has no such limit.",
        limit=side.contract.release.k,
    )


def salt(side: Side, question: Question) -> bytes:
    """What hides the released table in the receipt from everybody but its recipients."""
    return keyed.subkey(side.room_key, "cleanroom/receipt-salt/1", bytes.fromhex(question.digest()))[:SALT_BYTES]


def draft(side: Side, question: Question, release: Release, told: Mapping[str, Any]) -> Receipt:
    """The receipt of a release; `told` holds what the host alone knew: time, isolation, transcript."""
    table = table_digest(release.table, salt(side, question))
    return receipt_of(side, question, told, table, release.table.num_rows, release.size, release.withheld)


def receipt_of(side: Side, question: Question, told: Mapping[str, Any], table: str, rows: int, size: Range,
               withheld: bool) -> Receipt:  # fmt: skip
    """The receipt of `rows` groups whose salted digest is `table`. Raises BadMessage."""
    contract = side.contract
    with reading():
        return Receipt(
            room=contract.room,
            contract=contract.digest(),
            question=question.digest(),
            by=question.by,
            sums=question.sums,
            datasets=question.datasets,
            protocol="" if question.tables else contract.match.protocol,
            transcript=take(told, "transcript", str),
            isolation=", ".join(take(told, "isolation", list)),
            rules=side.rules,
            recipients=tuple(name for name in contract.release.recipients if name in side.owners),
            purposes=contract.purposes,
            table=table,
            rows=rows,
            columns=1 if question.plan or question.tables else len(question.by) + 1 + len(question.sums),
            people=size,
            withheld=withheld,
            time=_of_now(side, take(told, "time", str)),
            epoch=question.epoch,
            rho_micro=charge(side, question).rho_micro,
            where=question.where,
            code=take(told, "code", str),
            plan=question.plan,
            over=question.over,
            crowd=question.crowd,
            tables=question.tables,
        )


def _of_now(side: Side, time: str) -> str:
    """The host's time, if the contract ran then and it is about ours: whoever audits the receipt goes by it."""
    moment = dt.datetime.fromisoformat(time)
    start, end = (dt.datetime.fromisoformat(text) for text in (side.contract.created, side.contract.expires))
    if not start <= moment < end or abs(dt.datetime.now(dt.UTC) - moment) > _CLOCKS_APART:
        raise BadMessage("The time of the receipt is not that of this run.", "Check the clocks of both sides.")
    return time


def sign_with_peer(side: Side, channel: Channel, receipt: Receipt) -> SignedReceipt:
    """Both owners' signatures under the same receipt."""
    mine = SignedReceipt(receipt).sign(side.party, side.home.keys)
    tell(channel, "receipt", {"signature": mine.signatures[side.party]})
    theirs = take(hear(channel, "receipt"), "signature", str)
    with reading():
        return checked(side, SignedReceipt(receipt, {**mine.signatures, side.peer: theirs}))


def checked(side: Side, signed: SignedReceipt) -> SignedReceipt:
    """The receipt, if every party that takes part signed it; raises BadData else."""
    verify(signed, side.signing_keys, contract=side.contract.digest())
    return signed


def record(side: Side, signed: SignedReceipt, answer: pa.Table | None) -> None:
    """The match and the release into this party's ledger, and the answer where this party may have it."""
    contract, receipt = side.contract, signed.receipt
    match = contract.match
    with open_ledger(side.home) as ledger:
        if not receipt.tables:
            ledger.append("match", {
                "contract": receipt.contract, "protocol": match.protocol, "transcript": receipt.transcript,
                "host": match.host, "receiver": _receiver(side), "output": _output(side),
            })  # fmt: skip
        kept = None if answer is None else stored_form(answer, signed)
        first = ledger.record_release(receipt, kept, side.asked_by)
    if first.body["table"] != receipt.table:
        raise BadData(ANOTHER, "Run: cleanroom audit verify.")


def exchange_heads(side: Side, channel: Channel, peer: str) -> None:
    """Both show the head of their ledger, and each countersigns the other's.

    Runs of the same two parties that end at the same time do this one after the other, or one would show a head that is
    older than what the other has shown: the party whose name comes first waits for its turn, then speaks first.
    """
    key = bytes.fromhex(side.contract.party(peer).signing)
    turn = side.home.path / f"heads-{key.hex()[:16]}.lock"
    first = side.party < peer
    with private_files.locked(turn) if first else nullcontext(), open_ledger(side.home) as ledger:
        head = None if first else hear(channel, "ledger.head")
        mine = ledger.head()
        tell(channel, "ledger.head", mine.plain())
        if head is None:
            head = hear(channel, "ledger.head")
        with reading():
            theirs = Head.parse(head)
            theirs.verify(key)
            if theirs.party != peer:  # a name that no contract knows would spoil this ledger for good
                raise ValueError
        tell(channel, "ledger.cosign", {"signature": ledger.countersign(theirs, key).hex()})
        signature = hear(channel, "ledger.cosign")
        with reading():
            cosigned = bytes.fromhex(take(signature, "signature", str))
            verify_signature(key, COSIGN_LABEL, mine.message(), cosigned)
        ledger.accept(peer, key, mine, cosigned)


def transcript_of(channels: Sequence[Channel]) -> str:
    """One digest over the sessions of a run, in the order of the contract's datasets."""
    return hashlib.sha256(b"".join(channel.transcript() for channel in channels)).hexdigest()


def as_range(value: Any, k: int) -> Range:
    """The range of [low, high, withheld], one of those that a room with this `k` shows. Raises BadMessage."""
    low, high, withheld = whole_numbers(value, 3)
    found = size_range(low, k)
    if (found.low, found.high, int(found.withheld)) != (low, high, withheld):
        raise malformed()
    return found


def stored_form(table: pa.Table, signed: SignedReceipt) -> bytes:
    """A released table as it is kept: an Arrow stream that carries its receipt."""
    table = table.replace_schema_metadata({RECEIPT: signed.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def recall(home: Home, question: str) -> tuple[Release, SignedReceipt]:
    """The answer that this party keeps to the question of this digest, with its receipt. Raises BadData where it is
    damaged."""
    with open_ledger(home) as ledger:
        kept = ledger.stored_answer(question)
    try:
        table = pa.ipc.open_stream(pa.py_buffer(kept or b"")).read_all()
        signed = SignedReceipt.parse(table.schema.metadata[RECEIPT])
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise BadData("A stored answer is not the one that was released.", "Run: cleanroom audit verify.") from error
    receipt = signed.receipt
    return Release(table.replace_schema_metadata(None), receipt.withheld, receipt.people), signed


def receipt_recorded(side: Side, question: Question) -> str:
    """The digest of the receipt that this party's ledger holds for the question. Raises BadData."""
    with open_ledger(side.home) as ledger:
        released = ledger.released(question.digest())
    if released is None:
        raise BadData("This ledger does not hold the release.", "Run: cleanroom audit verify.")
    return str(released.body["receipt"])
