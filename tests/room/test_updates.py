"""Runs that go on from the last one of their room: what is sent again, what is kept, and what heals."""

import dataclasses
import functools
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from cleanroom import datasets
from cleanroom.answer import updates
from cleanroom.answer.epochs import Kept
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.overlap import Overlap, run
from cleanroom.overlap.drafting import draft_contract
from cleanroom.rooms import draft
from cleanroom.rooms.contract import Contract, from_canonical
from cleanroom.rooms.disclosure import learns
from cleanroom.rooms.store import Rooms
from cleanroom.rooms.terms import Match
from protocols.errors import BadMessage, PeerAborted
from protocols.header import unpack
from protocols.psi import keyed
from protocols.psi.dh_update import ReceiverState, SenderState
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

PROTOCOLS = ("keyed", "dh")
NAMES = {"merchant": "crm", "platform": "users"}
KEPT = {"keyed": {"merchant": "sent", "platform": "sent", "operator": "held"}, "dh": dict.fromkeys(NAMES, "state")}
PLACES = [("keyed", "merchant"), ("keyed", "operator"), ("dh", "platform")]
BY = ("merchant.level",)
People = Iterable[int]


def phone(person: int) -> str:
    return str(13_900_000_000 + 7919 * person)


def level(person: int, silver: int) -> str:
    return "silver" if person % silver == 0 else "gold"


class Made:
    """A room, the people in it by number, and how its last run went."""

    def __init__(self, folder: Path, protocol: str, few: People, many: People, **other: Any) -> None:
        self.folder, self.protocol = folder, protocol
        self.people = {"merchant": set(few), "platform": set(many)}
        self.silver = dict.fromkeys(NAMES, 2)
        asked = Overlap(self.table("merchant"), self.table("platform"), **{"by": (), "k": 50, **other})
        self.homes, self.room, self.query = world.prepare(folder, asked, protocol)

    def table(self, party: str, silver: int = 2) -> str:
        people = sorted(self.people[party])
        columns = {"phone": list(map(phone, people)), "level": [level(n, silver) for n in people]}
        columns["spend"] = [str(n + silver - 2) for n in people]
        return world.csv(self.folder / f"{party}.csv", columns)

    def change(self, party: str, *, less: People = (), more: People = (), silver: int = 2) -> None:
        """Another version of a party's dataset."""
        self.people[party] = self.people[party] - set(less) | set(more)
        self.silver[party] = silver
        import_source(self.homes[party], Wish(NAMES[party], self.table(party, silver), everything=True))

    def run(self) -> int:
        """Run; the bytes of the match, once its results are those of sets."""
        out = self.folder / "members.csv"
        ran = self.ran = world.run(self.homes, self.query, {"platform": out})
        assert not ran.failures, ran.failures
        both = self.people["merchant"] & self.people["platform"]
        found = {line.split(",")[0].strip('"') for line in out.read_text("utf-8").split()[1:]}
        assert found == {phone(n) for n in both}
        assert ran.outcomes["platform"].size == len(both)
        if self.query.by:
            told = {each["level"]: each["people"] for each in ran.outcomes["merchant"].segments or []}
            levels = [level(n, self.silver["merchant"]) for n in both]
            assert told == {name: levels.count(name) for name in ("gold", "silver")}
        frames = [frame for came in ran.frames.values() for some in came.values() for frame in some]
        headers = [unpack(memoryview(frame)) for frame in frames]
        return sum(header.length for header in headers if header.name.startswith(("keyed.", "dh.", "dh-update.")))

    def goes_on(self) -> bool:
        """Whether the next run sends what changed alone."""
        size = sum(map(len, self.people.values()))
        return self.run() < 8 * size

    def kept(self, party: str) -> Kept:
        home = self.homes[party]
        return Kept(home, Rooms(home.rooms).load("overlap").contract, 1)


@pytest.fixture
def updating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contracts as `overlap` drafts them for homes that stay."""
    monkeypatch.setattr(world, "draft_contract", functools.partial(draft_contract, stays=True))


@pytest.mark.usefixtures("updating")
@pytest.mark.parametrize(("protocol", "size", "by"), [("keyed", 20_000, BY), ("dh", 800, ())])
def test_a_later_run_costs_what_changed(tmp_path: Path, protocol: str, size: int, by: tuple[str, ...]) -> None:
    made = Made(tmp_path, protocol, range(size), range(size // 2, size * 3 // 2), by=by)
    first = made.run()
    step = size // 200
    gone = range(size // 2, size // 2 + step)
    made.change("merchant", less=gone, more=range(2 * size, 2 * size + step))
    made.change("platform", less=range(size - step, size), more=[*range(2 * size, 2 * size + step // 2), *range(step)])
    second, third = made.run(), made.run()
    assert third < second < 0.1 * first
    made.change("merchant", more=gone, silver=3)  # who left comes back, and values change
    made.run()


@pytest.mark.usefixtures("updating")
@pytest.mark.parametrize(("protocol", "party"), PLACES)
def test_whoever_lost_a_save_makes_a_whole_run_and_then_all_fits_again(
    tmp_path: Path, protocol: str, party: str
) -> None:
    made = Made(tmp_path, protocol, range(300), range(150, 450))
    made.run()
    file = made.kept(party).folder / KEPT[protocol][party]
    before = file.read_bytes()
    made.change("merchant", less=[200, 201], more=[440])
    made.change("platform", less=[202], more=[3])
    assert made.goes_on()
    file.write_bytes(before)  # as if it had been killed after the others saved
    assert not made.goes_on()
    assert made.goes_on()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    failures = world.run(made.homes, made.query).failures
    assert type(failures.pop(party)) is BadData
    assert {type(error) for error in failures.values()} == {PeerAborted}


@pytest.mark.usefixtures("updating")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_fails_while_it_saves_fails_by_name_and_the_next_run_heals(
    tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, protocol, range(300), range(150, 450))
    made.run()
    with monkeypatch.context() as patched:
        patched.setattr(Kept, "save", lambda *_: (_ for _ in ()).throw(BadData("The disk is full.")))
        assert BadData in {type(error) for error in world.run(made.homes, made.query).failures.values()}
    if protocol == "dh":  # its scalar has answered more than any state counts
        assert made.kept("merchant").load("state") is None
    shutil.rmtree(made.kept("platform").folder)
    assert not made.goes_on()
    assert made.goes_on()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_the_term_nothing_is_kept_to_go_on_from(tmp_path: Path, protocol: str) -> None:
    made = Made(tmp_path, protocol, range(300), range(150, 450))
    assert not made.goes_on()
    assert not [path for home in made.homes.values() for path in home.rooms.glob(f"*/{protocol}-*")]


@pytest.mark.usefixtures("updating")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_forgotten_persons_are_in_nothing_that_is_kept(tmp_path: Path, protocol: str) -> None:
    made = Made(tmp_path, protocol, range(300), range(150, 450))
    made.run()
    digest = made.homes["merchant"].vault.digests("crm")[200].tobytes()[:16]
    name, kept = KEPT[protocol]["merchant"], made.kept("merchant")
    assert digest in (kept.load(name) or b"")
    gone = world.csv(tmp_path / "gone.csv", {"phone": [phone(200)]})
    datasets.forget(made.homes["merchant"].path, gone, "phone", None)
    assert {path.name for path in kept.folder.iterdir()} <= {"lock"}
    made.homes["merchant"] = Home.open(made.homes["merchant"].path)
    made.people["merchant"].remove(200)
    assert not made.goes_on()
    assert digest not in (kept.load(name) or b"")
    if protocol == "keyed":
        token = keyed.identity_tokens(room_key(made), _rows(digest)).tobytes()
        states = updates._tables(made.kept("operator").load("held") or b"", 2)
        assert token not in states[0].column("token").to_pylist()


@pytest.mark.usefixtures("updating")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_version_imported_during_a_run_is_not_taken_for_what_was_sent(
    tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, protocol, range(300), range(150, 450))
    side = updates._save
    monkeypatch.setattr(updates, "_save", lambda *given: (made.change("merchant", less=[160]), side(*given))[1])
    world.run(made.homes, made.query)
    assert made.kept("merchant").load(KEPT[protocol]["merchant"]) is None


@pytest.mark.usefixtures("updating")
def test_what_an_operator_keeps_holds_no_identity_and_of_two_worlds_has_one_form(tmp_path: Path) -> None:
    forms = []
    for name, start in (("one", 0), ("two", 10_000)):
        (tmp_path / name).mkdir()
        made = Made(tmp_path / name, "keyed", range(start, start + 300), range(start + 150, start + 450), by=BY)
        made.run()
        made.change("merchant", less=[start + 7], more=[start + 900])
        assert made.goes_on()
        sealed = (made.kept("operator").folder / "held").read_bytes()
        content = made.kept("operator").load("held") or b""
        digests = [row.tobytes()[:16] for home in NAMES for row in made.homes[home].vault.digests(NAMES[home])]
        for secret in (*digests, b"gold", b"silver", phone(start + 8).encode()):
            assert secret not in content
        (token, *_) = keyed.identity_tokens(room_key(made), _rows(digests[0]))
        assert token.tobytes() in content
        assert token.tobytes() not in sealed
        forms.append((len(content), len(sealed)))
        assert made.ran.outcomes["operator"].learned[-1].template == "what changed between versions of a dataset"
    assert forms[0] == forms[1]


@pytest.mark.usefixtures("updating")
def test_a_dh_receiver_keeps_tags_and_no_identity_of_the_other_side(tmp_path: Path) -> None:
    made = Made(tmp_path, "dh", range(300), range(150, 450))
    made.run()
    content = made.kept("platform").load("state") or b""
    state = ReceiverState.load_secret(content)
    assert (len(state.items), len(state.peer_tags), state.generation) == (300, 300, 1)
    for row in made.homes["merchant"].vault.digests("crm")[:150]:
        assert row.tobytes()[:12] not in content
    assert "come and go" in str(made.ran.outcomes["platform"].learned) + str(made.ran.outcomes["merchant"].learned)


@pytest.mark.usefixtures("updating")
def test_an_epoch_of_dh_ends_when_enough_was_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path, "dh", range(300), range(150, 450))
    made.run()
    states = [SenderState.load_secret(made.kept("merchant").load("state") or b"")]
    monkeypatch.setattr(updates, "ANSWERED_RUNS", 1)
    made.change("platform", more=[1000])
    assert not made.goes_on()
    states.append(SenderState.load_secret(made.kept("merchant").load("state") or b""))
    assert states[0]._scalar != states[1]._scalar
    assert [(state.generation, state.answered) for state in states] == [(1, 300), (1, 301)]


@pytest.mark.usefixtures("updating")
def test_another_question_of_a_keyed_room_sends_all(tmp_path: Path) -> None:
    made = Made(tmp_path, "keyed", range(400), range(150, 550), by=BY)
    every = made.query
    made.run()
    made.query = Query()
    assert not made.goes_on()
    assert made.goes_on()
    made.query = every
    assert not made.goes_on()


@pytest.mark.usefixtures("updating")
def test_slots_of_rows_that_stayed_are_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path, "keyed", range(160), range(40, 200), sums=("merchant.spend",), key_bits=2048)

    def check() -> None:
        both = made.people["merchant"] & made.people["platform"]
        (told,) = made.ran.outcomes["platform"].segments or [{}]
        assert told["people"] == len(both)
        assert told["spend"] == sum(both) + len(both) * (made.silver["merchant"] - 2)

    first = made.run()
    check()
    made.change("merchant", less=[40, 41], more=[190, 191])
    assert made.run() < 0.1 * first
    check()
    made.change("merchant", silver=3)  # everybody's amount is another
    made.run()
    check()
    monkeypatch.setattr(updates, "MOST_COLUMN_BYTES", 1 << 10)
    shutil.rmtree(made.kept("merchant").folder)
    assert made.run() > 0.9 * first
    assert made.kept("operator").load("held") is None


@pytest.mark.usefixtures("updating")
def test_labels_of_dh_are_sent_anew_and_leave_the_epoch_as_it_was(tmp_path: Path) -> None:
    made = Made(tmp_path, "dh", range(60), range(60), by=BY, key_bits=2048)
    slotted, made.query = made.query, Query()
    made.run()
    before = {party: made.kept(party).load("state") for party in NAMES}
    assert not world.run(made.homes, slotted).failures
    assert {party: made.kept(party).load("state") for party in NAMES} == before


@pytest.mark.usefixtures("updating")
def test_a_peer_that_goes_on_from_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path, "keyed", range(300), range(150, 450))
    monkeypatch.setattr(updates, "hear", lambda channel, name: {"goes_on": True, "session": ""})
    monkeypatch.setattr(updates, "held_states", lambda *_: None)
    failures = world.run(made.homes, made.query).failures
    assert type(failures["merchant"]) is BadMessage
    assert "does not know" in str(failures["merchant"])


@pytest.mark.usefixtures("near_parties")
def test_overlap_enters_a_keyed_room_of_a_home_that_stays_again(tmp_path: Path) -> None:
    people = {"merchant": range(3000), "platform": range(1000, 4000)}
    told = []
    for _ in range(2):
        paths = [world.csv(tmp_path / f"{side}.csv", {"phone": map(phone, some)}) for side, some in people.items()]  # type: ignore[dict-item]
        told.append(run(Overlap(*paths, protocol="keyed", k=50), tmp_path / "home"))
        people["merchant"] = range(20, 3020)
    assert [each["room"] for each in told] == ["overlap", "overlap"]
    assert [each["overlap"]["value"] for each in told] == [2000, 2020]
    assert told[1]["wire_bytes"] < 0.5 * told[0]["wire_bytes"]


# -- the term


def test_the_term_stands_where_runs_can_go_on_and_is_left_out_where_they_do_not(tmp_path: Path) -> None:
    for protocol, output in (("vole", "members"), ("dh", "size"), ("join-sum", "size")):
        with pytest.raises(Refused, match="can go on"):
            Match(protocol, "crm", "users", "platform", "platform", output, updates=True)  # type: ignore[arg-type]
    made = Made(tmp_path, "dh", range(60), range(60))
    plain: Contract = made.room.contract
    assert "updates" not in plain.canonical()["match"]
    term = dataclasses.replace(plain, match=dataclasses.replace(plain.match, updates=True))
    assert term.canonical()["match"]["updates"] is True
    assert from_canonical(term.canonical()) == term
    for contract in (plain, term):
        draft.write(tmp_path / "draft.toml", contract, ())
        assert draft.read(tmp_path / "draft.toml")[0] == contract
    words = [sentence.template for sentences in learns(term).values() for sentence in sentences]
    assert sum("come and go" in text for text in words) == 2
    assert sum("began or ceased" in text for text in words) == 1
    assert not any("began or ceased" in str(sentence) for some in learns(plain).values() for sentence in some)


def room_key(made: Made) -> bytes:
    """As both owners derive it."""
    from cleanroom.keys import SecretAccess
    from cleanroom.rooms.contract import session_context

    contract = made.room.contract
    secret = made.homes["merchant"].keys.exchange_secret(SecretAccess("a test"))
    return keyed.room_key(secret, bytes.fromhex(contract.party("platform").exchange), session_context(contract))


def _rows(digest: bytes) -> Any:
    import numpy as np

    return np.frombuffer(digest, np.uint8)[None, :]
