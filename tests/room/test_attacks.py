"""Lies in rooms: notes of any form, altered releases, contracts and labels that were changed or cannot be kept.

Whatever a peer says ends in a named protocol error at whoever hears it, and in no release entry without a receipt.
"""

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom import canonical
from cleanroom.answer import closing, keyed_operator, keyed_owner, notes, run, tables, two_party
from cleanroom.answer.side import Side
from cleanroom.answer.slots import cell_layout
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, CleanroomError, Refused
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.ledger.audit import verify_home_ledger
from cleanroom.ledger.chain import HEAD_LABEL, Head
from cleanroom.ledger.ledger import Ledger
from cleanroom.ledger.store import read
from cleanroom.matching import cells
from cleanroom.overlap.asked import Overlap
from cleanroom.rooms import draft
from cleanroom.rooms.contract import SignedContract, annex_digest, check_annexes, from_canonical
from cleanroom.rooms.store import Room, Rooms, from_plain, to_plain
from cleanroom.rooms.terms import Annex, ReleaseRules, Slots
from protocols.channel import Channel
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.header import BYTES, Kind, unpack
from protocols.payload import FINGERPRINT_BYTES
from protocols.psi import keyed as keyed_psi
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

ROWS, K, BITS = 160, 50, 2048
BY = ("merchant.level", "platform.city")
Prepared = tuple[dict[str, Home], Room, Query]


def prepared(folder: Path, protocol: str, by: tuple[str, ...] = BY, levels: tuple[str, str] = ("gold", "silver"),
             **asked: Any) -> Prepared:  # fmt: skip
    phones = [str(13_900_000_000 + 7919 * n) for n in range(ROWS)]
    people = {"phone": phones, "level": [levels[n % 2] for n in range(ROWS)], "spend": list(range(ROWS))}
    merchant = world.csv(folder / "m.csv", people)
    platform = world.csv(folder / "p.csv", {"phone": phones, "city": ["Shanghai"] * ROWS})
    return world.prepare(folder, Overlap(merchant, platform, by=by, k=K, key_bits=BITS, **asked), protocol)


@pytest.fixture(scope="module")
def neutral(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("neutral"), "keyed", sums=("merchant.spend",))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("alone"), "dh", sums=("merchant.spend",))


def side(made: Prepared, party: str, query: Query | None = None) -> Side:
    homes, room, asked = made
    held = Rooms(homes[party].rooms).load(room.contract.room)
    return Side(homes[party], held, query or asked, {}, None, lambda *_: None)


# -- what a peer tells


class Told:
    """A channel on which one note came."""

    session = bytes(32)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def receive_row(self, name: str, schema: pa.Schema, **_: Any) -> pa.RecordBatch:
        return pa.record_batch([pa.array([self._content], pa.binary())], schema=schema)


def told(content: bytes) -> Channel:
    return Told(content)  # type: ignore[return-value]


DIGEST = "ab" * 32
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.integers() | st.text(max_size=4) | st.just(10**400)
    | st.just(DIGEST),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=4,
)  # fmt: skip


@settings(deadline=None)
@given(st.binary(max_size=40) | anything.map(lambda value: json.dumps(value).encode()))
def test_a_note_is_canonical_json_or_refused(content: bytes) -> None:
    try:
        assert canonical.encode(notes.hear(told(content), "note")) == content
    except BadMessage:
        return


@pytest.mark.parametrize(
    "content",
    [b"NaN", b"1.0", b'{"a":1,"a":2}', b' {"a":1}', b"[" * 100_000, b"9" * 5000, b'"\\ud800"', b"\xff\xfe1", b"1e999"],
)
def test_a_note_that_could_be_read_in_two_ways_or_not_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(BadMessage):
        notes.hear(told(content), "note")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a note, the whole first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def spoilt(data: st.DataObject, note: Any) -> Any:
    """The note with something of it changed or missing."""
    whole = {"note": copy.deepcopy(note)}
    *way, last = data.draw(st.sampled_from(places(whole)[1:]))
    at: Any = whole
    for key in way:
        at = at[key]
    if isinstance(at, dict) and way and data.draw(st.booleans()):
        del at[last]
    else:
        at[last] = data.draw(anything)
    return whole["note"]


def test_every_spoilt_note_is_a_named_error_to_whoever_takes_it_apart(neutral: Prepared, alone: Prepared) -> None:
    owner, sender = side(neutral, "merchant"), side(alone, "merchant")
    mine = closing.version_note(owner)
    other = closing.version_note(side(neutral, "platform"))
    tokens = {
        name: [keyed_psi.value_tokens(owner.room_key, name, np.arange(1)).tobytes().hex()] for name in owner.query.by
    }
    sums = {owner.dataset.name: "00" * 16}
    sealed = keyed_psi.seal(owner.room_key, keyed_owner.SEAL_LABEL, bytes(16)).hex()
    release = {
        "tokens": tokens,
        "people": [60],
        "withheld": False,
        "sealed": {owner.dataset.name: sealed},
        "masks": sums,
    }
    table = {"by": {"crm.level": [0], "users.city": [0]}, "people": [60], "sums": {"crm.spend": [7]}, "withheld": True}
    opened = {"group": [0, 1], "cell": [0, 0], "people": [50, 51], "withheld": False}
    question = closing.question_from(owner, [mine, other], mine)
    facts = {"transcript": DIGEST, "isolation": ["network"], "time": run.now(), "code": "0.1.0+0123456789abcdef"}
    size = closing.as_range([100, 199, 0], K)
    taken: list[tuple[Any, Callable[[Any], object]]] = [
        ([mine, other], lambda note: closing.question_from(owner, note, mine)),
        (release, lambda note: tables.table_of(owner, keyed_owner.table_from(owner, note))),
        (table, lambda note: tables.table_of(sender, note)),
        (opened, lambda note: two_party._cells_of(note, 2, 3, 140)),
        ({"people": [70, 80]}, lambda note: two_party._people_of(note, 2, ROWS)),
        ([100, 199, 0], lambda note: closing.as_range(note, K)),
        (facts, lambda note: closing.receipt_of(owner, question, note, DIGEST, 1, size, False)),
    ]  # fmt: skip
    for note, take in taken:
        take(note)  # as it should be

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.data(), st.sampled_from(taken))
    def fuzz(data: st.DataObject, case: tuple[Any, Callable[[Any], object]]) -> None:
        try:
            case[1](spoilt(data, case[0]))
        except (ProtocolError, Refused):
            return

    fuzz()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda v, w: [v], "another dataset"),
        (lambda v, w: [v, w, w], "another dataset"),
        (lambda v, w: [{**v, "epoch": 7}, w], "not in the form"),  # the operator changed what we said
        (lambda v, w: [v, {**w, "by": ["users.city"]}], "not asked the same question"),
        (lambda v, w: [v, {**w, "form": DIGEST}], "normalise identities differently"),
        (lambda v, w: [v, {**w, "version": {**w["version"], "rows": 10**6}}], "more rows than the contract"),
    ],
)
def test_sides_that_do_not_agree_end_before_anything_is_charged(
    neutral: Prepared, change: Callable[..., Any], text: str
) -> None:
    owner = side(neutral, "merchant")
    mine, other = closing.version_note(owner), closing.version_note(side(neutral, "platform"))
    with pytest.raises((ProtocolError, Refused), match=text):
        closing.question_from(owner, change(mine, other), mine)


# -- whole runs


def lying(monkeypatch: pytest.MonkeyPatch, role: str, name: str, change: Callable[[Any], Any]) -> None:
    """Whoever plays `role` tells another note `name`."""

    def tell(channel: Channel, called: str, value: Any) -> None:
        notes.tell(channel, called, change(value) if (channel.role, called) == (role, name) else value)

    for module in (closing, keyed_operator, keyed_owner, run, two_party):
        monkeypatch.setattr(module, "tell", tell)


def kinds(home: Home) -> list[str]:
    return [entry.kind for entry in read(home.ledger_path).entries]


def test_an_altered_release_is_noticed_and_a_second_run_is_one_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes, _, query = prepared(tmp_path, "dh", by=("merchant.level",), sums=("merchant.spend",))

    def more(told: Any) -> Any:
        return {**told, "table": {**told["table"], "people": [count + 1 for count in told["table"]["people"]]}}

    with monkeypatch.context() as patched:
        lying(patched, "receiver", "release", more)
        failed = world.run(homes, query).failures
    assert (type(failed["merchant"]), type(failed["platform"])) == (BadMessage, PeerAborted)
    assert "not those that were opened" in str(failed["merchant"])
    for home in homes.values():
        assert "debit" in kinds(home)
        assert "release" not in kinds(home)
    outcomes = [world.run(homes, query).outcomes for _ in range(2)]
    assert outcomes[0]["merchant"].segments == outcomes[1]["platform"].segments != []
    for home in homes.values():
        assert (kinds(home).count("debit"), kinds(home).count("release")) == (1, 1)
        verify_home_ledger(home.ledger_path, home.keys.public.signing)


def test_a_head_under_anothers_name_does_not_spoil_the_ledger(
    neutral: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes, _, query = neutral
    true = Ledger.head

    def head(ledger: Ledger) -> Head:
        shown = true(ledger)
        if ledger.party != "operator":
            return shown
        lie = dataclasses.replace(shown, party="nobody")
        return dataclasses.replace(lie, signature=homes["operator"].keys.sign(HEAD_LABEL, lie.message()).hex())

    monkeypatch.setattr(Ledger, "head", head)
    result = world.run(homes, query)
    assert {type(error) for error in result.failures.values()} <= {BadMessage, PeerAborted}
    for home in (homes["merchant"], homes["platform"]):
        assert not any(entry.body.get("peer") == "nobody" for entry in read(home.ledger_path).entries)
    tokens_of_rows(result)


def tokens_of_rows(result: world.Ran) -> None:
    """The dummies' ciphertext stands at dummies alone: it tells nothing of a row."""
    contract = result.room.contract
    crm = contract.dataset("crm")
    slots = contract.slots_of("crm")
    assert slots is not None
    width = cell_layout(contract, crm, slots).plaintexts * BITS // 4
    names = {"token": 16, "crm.level": 8, "crm.#slots": width}
    schema = pa.schema([pa.field(name, pa.binary(size), nullable=False) for name, size in names.items()])
    found: list[bytes] = []
    for frame in result.frames["operator"]["merchant"]:
        header = unpack(memoryview(frame))
        if header.name == "keyed.rows" and header.kind is Kind.DATA:
            batch = pa.ipc.read_record_batch(pa.py_buffer(frame[BYTES + FINGERPRINT_BYTES :]), schema)
            found += batch.column("crm.#slots").to_pylist()
    assert len(found) == ROWS + 6
    assert sorted(found.count(value) for value in set(found)) == [*[1] * ROWS, 6]


# -- what may be asked


@pytest.mark.parametrize(
    ("by", "sums", "text"),
    [
        (("crm.level",), (), "does not fit the slots"),
        ((), ("crm.spend",), "does not fit the slots"),
        (("crm.spend",), (), "of the kind amount"),
        (("users.mood",), (), "has no column"),
    ],
)
def test_a_question_asks_for_slots_as_they_were_signed(
    alone: Prepared, by: tuple[str, ...], sums: tuple[str, ...], text: str
) -> None:
    with pytest.raises(Refused, match=text):
        run.run_room(side(alone, "platform", Query(by, sums)))


def test_a_dataset_that_changes_meanwhile_ends_the_run(tmp_path: Path) -> None:
    made = prepared(tmp_path, "keyed", by=())
    owner = side(made, "merchant")
    closing.version_note(owner)
    import_source(made[0]["merchant"], Wish("crm", str(tmp_path / "m.csv")))
    with pytest.raises(Refused, match="changed during the run"):
        owner.digests()


@pytest.mark.parametrize("levels", [("other", "unknown"), ("a\x1b[2Jb", "x" * 300)])
def test_values_that_cannot_be_labels_are_counted_with_the_rest(tmp_path: Path, levels: tuple[str, str]) -> None:
    homes, room, _ = prepared(tmp_path, "keyed", by=("merchant.level",), levels=levels)
    annex = room.annex("crm", "level")
    assert annex.labels == (draft.OTHER, draft.UNKNOWN)
    counted = np.bincount(cells.codes(homes["merchant"].vault, "crm", annex), minlength=2)
    assert counted.tolist() == ([ROWS // 2] * 2 if "other" in levels else [ROWS, 0])


def test_edges_that_do_not_fit_the_values_are_named(neutral: Prepared) -> None:
    with pytest.raises(BadData, match="edges of level do not fit"):
        cells.codes(neutral[0]["merchant"].vault, "crm", Annex("crm", "level", "00" * 16, ("a", "b", "c", "d"), ("1",)))


# -- contracts and labels


def test_a_second_annex_of_a_column_is_refused(neutral: Prepared) -> None:
    room = neutral[1]
    plain = to_plain(room)
    false = {**plain["annexes"][0], "labels": list(reversed(plain["annexes"][0]["labels"]))}
    with pytest.raises(BadData, match="not those that were signed"):
        from_plain({**plain, "annexes": [false, *plain["annexes"]]})


@pytest.mark.parametrize(
    "change",
    [
        {"salt": ""},
        {"labels": ("a", "a", "other")},
        {"edges": ("2", "1")},
        {"edges": ("nan",)},
        {"edges": ("gold",)},
    ],
)
def test_labels_that_do_not_serve_are_refused(neutral: Prepared, change: dict[str, Any]) -> None:
    contract = neutral[1].contract
    annex = Annex("crm", "level", "00" * 16, ("a", "b", "other"))
    changed = dataclasses.replace(annex, **change)
    column = dataclasses.replace(contract.dataset("crm").column("level"), cells=3, annex=annex_digest(changed))
    crm = dataclasses.replace(contract.dataset("crm"), columns=(column,))
    users = dataclasses.replace(contract.dataset("users"), columns=())
    with pytest.raises(BadData, match="cannot be used"):
        check_annexes(dataclasses.replace(contract, datasets=(crm, users), slots=()), [changed])


def test_an_entry_of_another_type_is_bad_data(alone: Prepared) -> None:
    plain = alone[1].contract.canonical()

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        try:
            changed = from_canonical(spoilt(data, plain))
        except (BadData, Refused):
            return
        assert len(changed.digest()) == 64

    fuzz()
    for path, value in (
        (("release", "k"), 100.0),
        (("match", "host"), None),
        (("notes",), "abc"),
        (("purposes",), [5]),
    ):
        changed: Any = json.loads(json.dumps(plain))
        at = changed
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        with pytest.raises(CleanroomError):
            from_canonical(changed)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: {"release": ReleaseRules(("platform",), K)}, "both owners see each release"),
        (lambda c: {"parties": (*c.parties, dataclasses.replace(c.parties[0], name="third"))}, "takes no part"),
        (lambda c: {"parties": (c.parties[0], dataclasses.replace(c.parties[0], name="platform"))}, "the same key"),
        (lambda c: {"parties": (c.parties[0], dataclasses.replace(c.parties[1], signing="00" * 32))}, "small order"),
    ],
)
def test_what_no_run_could_keep_is_not_signed(alone: Prepared, change: Callable[..., Any], text: str) -> None:
    homes, room, _ = alone
    contract = dataclasses.replace(room.contract, **change(room.contract))
    with pytest.raises(CleanroomError, match=text):
        SignedContract(contract).sign("merchant", homes["merchant"].keys)


@pytest.mark.parametrize("change", [{"key_bits": 512}, {"key_bits": 10**9}, {"mask_bits": 8}, {"by": ("a", "a")}])
def test_slots_out_of_measure_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadData):
        Slots(**{"dataset": "crm", **change})
