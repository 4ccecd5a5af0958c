"""Who learns what, over the wire: each role's whole view of runs between real nodes, in worlds that differ only in what
the role may not learn.

A view is every file of its home, its node's database, log and figures, the calls that it got and the answers to its
own, every byte that came over its wires, and how often values in them repeat. The worlds agree in what is permitted:
sizes, the overlap, frequencies, and (without noise) the numbers released; their labels are of the same lengths.
"""

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from cleanroom.errors import Waiting
from cleanroom.home import Home
from cleanroom.node import config
from cleanroom.node.lines import Lines
from cleanroom.node.peers import Peers
from cleanroom.node.runs import Runs
from cleanroom.node.session import Sessions
from cleanroom.node.state import State
from tests.node import views
from tests.node.views import PARTIES, Data, Seen, Table, View, repeats

pytestmark = pytest.mark.nodes
BLOCK = 50
COMMON, ROWS = 4 * BLOCK, 5 * BLOCK


# -- the worlds


def phones(start: int, first: int, count: int) -> list[str]:
    return [str(first + start + 7919 * n) for n in range(count)]


def merchant(people: list[str], labels: tuple[str, str], turn: int) -> Table:
    """turn: 0 or 1, which of two neighbours has which level; what each spends goes with the level."""
    amounts = [6_123_456_710 + 101_301 * ((n ^ turn) % BLOCK) for n in range(ROWS)]
    spent = [f"{amount // 100}.{amount % 100:02}" for amount in amounts]
    return {"phone": people, "level": [labels[(n + turn) % 2] for n in range(ROWS)], "spend": spent}


def platform(people: list[str], labels: tuple[str, str]) -> Table:
    return {"phone": people, "city": [labels[n // (2 * BLOCK) % 2] for n in range(ROWS)]}


PEOPLE = phones(21_473_651, 13_900_000_000, ROWS)
A = merchant(PEOPLE, ("gold", "silver"), 0)
B = merchant(PEOPLE[:COMMON] + phones(18_264_737, 13_700_000_000, BLOCK), ("jade", "tinned"), 1)
C = platform(PEOPLE[:COMMON] + phones(37_118_293, 15_000_000_000, BLOCK), ("Shanghai", "Hangzhou"))
D = platform(PEOPLE[BLOCK:] + phones(52_746_119, 15_000_000_000, BLOCK), ("Shenyang", "Changsha"))
LABELS = {"gold": 0, "jade": 0, "silver": 1, "tinned": 1, "Shanghai": 2, "Shenyang": 2, "Hangzhou": 3, "Changsha": 3}
WORLDS = {"first": Data(A, C, "Shanghai"), "merchant": Data(A, D, "Shenyang"), "platform": Data(B, C, "Shanghai")}
"""The other side of the party that the world is named after is another than in the first: in "merchant" other people
match too, in "platform" the same, since it learns which of its own do."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    found = {}
    with views.maker(tmp_path_factory.mktemp("maker")) as client:
        for name, data in WORLDS.items():
            found[name] = views.run(tmp_path_factory.mktemp(name), data, client)
        yield found


# -- views agree

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_NUMBER = re.compile(r"\b[0-9a-f]{8}(?:[0-9a-f]{8})*\b")
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
_LABEL = re.compile("|".join(LABELS))
PROGRESS = ("stage", "done", "total")
"""Of a job: how far it was when it was last written down, by the clock."""


def form(value: Any, *, owner: bool) -> Any:
    """What may not depend on the other side's data: texts but for times, random numbers, addresses and (at an owner,
    who knows them) labels; numbers but for durations; all with their lengths."""
    if isinstance(value, dict):
        return {name: form(each, owner=owner) for name, each in value.items() if name not in PROGRESS}
    if isinstance(value, list):
        return [form(each, owner=owner) for each in value]
    if isinstance(value, bytes | float):
        return len(value) if isinstance(value, bytes) else "float"
    if not isinstance(value, str):
        return value
    if value[:1] == "{":
        return form(json.loads(value), owner=owner)
    text = _NUMBER.sub(lambda found: f"<{len(found[0])}>", _ADDRESS.sub("<address>", _TIME.sub("<time>", value)))
    return _LABEL.sub(lambda found: f"<label {LABELS[found[0]]}>", text) if owner else text


def away(line: dict[str, Any]) -> bool:
    """Whether a line of the log says that a node was not reached."""
    return bool(line["event"] == "post" and line.get("error") == "Interrupted")


def forms(view: View, *, owner: bool) -> dict[str, Any]:
    """All of a view that must agree. A ping, of which there is one for every dialling, says nothing; nor does a line
    of the log that the postman's next call came before a node was up."""

    def as_sorted(values: Iterable[Any]) -> list[str]:
        return sorted(json.dumps(form(each, owner=owner), sort_keys=True) for each in values)

    return {
        "files": sorted((_NUMBER.sub("-", name), len(content)) for name, content in view.files.items()),
        "log": as_sorted(line for line in map(json.loads, view.log.splitlines()) if not away(line)),
        "calls": as_sorted(call for call in view.calls if "ping" not in call.values()),
        "frames": {wire: [(each.kind, each.role, each.name, each.bucket, each.sequence, each.length) for each in found]
                   for wire, found in view.frames().items()},
        "bytes": {name: value for name, value in view.figures.items() if "wire_bytes_total" in name},
        "repeats": repeats(view.values),
        "rows": {table: as_sorted(rows) for table, rows in view.rows.items()},
    }  # fmt: skip


ROLES = [("merchant", "merchant"), ("platform", "platform"), ("operator", "merchant"), ("operator", "platform")]


@pytest.mark.parametrize("part", ["files", "log", "calls", "frames", "bytes", "repeats", "rows"])
@pytest.mark.parametrize(("role", "world"), ROLES)
def test_views_of_two_worlds_agree(seen: dict[str, Seen], role: str, world: str, part: str) -> None:
    first, second = (forms(seen[name].views[role], owner=role != "operator") for name in ("first", world))
    assert first[part]
    assert first[part] == second[part]


def test_what_is_permitted_agrees(seen: dict[str, Seen]) -> None:
    """Else the worlds would tell nothing: both questions were answered, by the same true numbers."""
    for room, groups in (("keyed", 2), ("dh", 4)):
        answers = [[(row["people"], row["spend"]) for row in each.results[room]["rows"]] for each in seen.values()]
        assert answers == [answers[0]] * 3
        assert [people for people, _ in answers[0]] == [BLOCK] * groups


def test_every_message_of_a_run_was_seen(seen: dict[str, Seen]) -> None:
    """Else a view would lack what it claims to hold."""
    found = seen["first"].views
    wires = {role: sorted(view.wires) for role, view in found.items()}
    assert wires["operator"] == ["wire-merchant-0", "wire-platform-0"]
    assert wires["merchant"] == ["wire-operator-0", "wire-platform-0"]
    assert wires["platform"] == ["wire-merchant-0", "wire-operator-0"]
    for role, view in found.items():
        for wire, content in view.wires.items():
            peer = wire.split("-")[1]
            figure = 'cleanroom_wire_bytes_total{{peer="{}",way="{}"}}'
            assert view.figures[figure.format(peer, "received")] == len(content) + 1  # its end
            assert found[peer].figures[figure.format(role, "sent")] == len(content)
    names = {each.name for frames in found["operator"].frames().values() for each in frames}
    assert "keyed.rows" in names


# -- no value of the other side's


_URLSAFE = bytes.maketrans(b"+/", b"-_")


def unfolded(content: bytes) -> bytes:
    """The content, and what stands in it as hexadecimal digits or base64, wherever a run of them begins."""
    found = [content]
    for run in re.findall(rb"[0-9a-fA-F]{16,}", content):
        found += [bytes.fromhex(run[at : at + (len(run) - at) // 2 * 2].decode()) for at in (0, 1)]
    for run in re.findall(rb"[0-9A-Za-z_-]{6,}", content.translate(_URLSAFE)):
        for at in range(4):
            piece = run[at : len(run) - ((len(run) - at) % 4 == 1)]
            found.append(base64.urlsafe_b64decode(piece + b"=" * (-len(piece) % 4)))
    return b"\xff".join(found)


def hashes(text: bytes) -> list[bytes]:
    return [hashlib.new(name, text).digest() for name in ("md5", "sha1", "sha256", "sha512")]


def secrets_of(data: Data) -> dict[str, list[bytes]]:
    """Every identity and amount of both sides, in the forms in which it could have been handed on."""
    found: dict[str, list[bytes]] = {}
    for phone in {*data.merchant["phone"], *data.platform["phone"]}:
        plain = [phone.encode(), f"+86{phone}".encode(), f"86{phone}".encode(), f"+86 {phone}".encode()]
        number = [int(phone).to_bytes(8, order) for order in ("little", "big")]
        found[phone] = [*plain, *number, *(one for text in plain for one in hashes(text))]
    for spend in data.merchant["spend"]:
        minor = int(spend.replace(".", ""))
        plain = [spend.encode(), str(minor).encode(), f"{int(spend.split('.')[0]):,}".encode()]
        number = [minor.to_bytes(8, order) for order in ("little", "big")]
        found[spend] = [*plain, *number, *(one for text in plain for one in hashes(text))]
    return found


def leaks(content: bytes, secrets: dict[str, list[bytes]]) -> set[str]:
    """Which of the secrets stand in it, in any form: by eight bytes of each, at every place."""
    whole = unfolded(content)
    ends = {int.from_bytes(one[-8:], "little"): secret for secret, found in secrets.items() for one in found}
    wanted = np.array(sorted(ends), "<u8")
    marked = np.zeros(1 << 24, bool)
    marked[wanted >> np.uint64(40)] = True
    hits: set[int] = set()
    for at in range(8):
        there = np.frombuffer(whole[at : at + (len(whole) - at) // 8 * 8], "<u8")
        likely = there[marked[there >> np.uint64(40)]]
        hits |= set(likely[np.isin(likely, wanted)].tolist())
    return {ends[hit] for hit in hits}


def spelled(content: bytes, words: Iterable[str]) -> set[str]:
    """Which of these short words stand in it, plain or hashed."""
    whole = unfolded(content)
    return {word for word in words if any(one in whole for one in (word.encode(), *hashes(word.encode())))}


@pytest.mark.parametrize("role", PARTIES)
def test_no_identity_or_amount_stands_in_any_view(seen: dict[str, Seen], role: str) -> None:
    """Not its own either: at rest they are encrypted."""
    for name, data in WORLDS.items():
        assert not leaks(seen[name].views[role].everything(), secrets_of(data))


WRITTEN: list[Callable[[bytes], bytes]] = [
    bytes, lambda one: one.hex().encode(), lambda one: one.hex().upper().encode(), base64.urlsafe_b64encode,
    lambda one: base64.b64encode(b"x" + one + b"yz"),
]  # fmt: skip


def test_the_search_finds_each_form_of_a_value() -> None:
    """Else the test above could not fail. Each form of each writing is of another person, and none else is found."""
    secrets = secrets_of(WORLDS["first"])
    for people in (C["phone"], A["spend"][:BLOCK]):
        ways = [(write, at) for write in WRITTEN for at in range(len(secrets[people[0]]))]
        for some in (ways[at : at + len(people)] for at in range(0, len(ways), len(people))):
            told = [write(secrets[who][at]) for who, (write, at) in zip(people, some, strict=False)]
            assert leaks(b"\xff".join(told), secrets) == set(people[: len(some)])
    for written in (b"gold", hashlib.sha256(b"gold").hexdigest().encode(), base64.b64encode(b"a: gold")):
        assert spelled(b"before " + written, LABELS) == {"gold"}


# -- what an operator's node holds


def test_an_operators_node_holds_no_label_condition_or_table(seen: dict[str, Seen]) -> None:
    for name in WORLDS:
        view = seen[name].views["operator"]
        assert not spelled(view.everything(), LABELS)
        released = {str(row["spend"]) for answer in seen[name].results.values() for row in answer["rows"]}
        released |= {str(round(100 * float(number))) for number in released}
        assert not spelled(view.everything(), released)
        (job,) = view.rows["jobs"]
        assert json.loads(job["arguments"]) == {}
        assert json.loads(job["result"]).keys() == {"charged", "sent", "receipt"}
        (asked,) = (call["body"] for call in view.calls if call.get("asked") == "run.ask")
        assert asked["job"] == {"room": "keyed", "template": None, "values": {}, "query": {
            "by": ["crm.level"], "sums": ["crm.spend"], "sigma": 0, "where": [], "over": []}}  # fmt: skip


def test_jobs_logs_and_figures_hold_no_label_but_the_askers_own_job(seen: dict[str, Seen]) -> None:
    for name in WORLDS:
        for role, view in seen[name].views.items():
            jobs = [job for job in view.rows["jobs"] if job["peer"]]
            assert len(jobs) == {"merchant": 2, "platform": 0, "operator": 1}[role]
            told = [view.log, json.dumps(view.figures), json.dumps(view.calls, ensure_ascii=False), repr(jobs)]
            assert not spelled("\n".join(told).encode(), LABELS)
            assert all(line["event"] != "?" for line in map(json.loads, view.log.splitlines()))


def test_an_approval_holds_no_label_or_value(seen: dict[str, Seen]) -> None:
    """What a node keeps that asks a person first, of the very runs that were asked for."""
    run = seen["first"]
    for role in ("merchant", "operator"):
        home = Home.open(run.folder / role)
        asks = dataclasses.replace(config.load(home.path, {}), approval=config.Approval(runs="ask"))
        bodies = [call["body"] for call in run.views[role].calls if call.get("asked") == "run.ask"]
        lines = Lines(home, asks)
        with State.open(home) as state:
            runs = Runs(home, state, asks, lines, Sessions(home, 300.0), lambda *_: None)
            for body in bodies:
                with pytest.raises(Waiting):
                    runs.asked(Peers(home).get("platform"), body)
            with state.reading() as database:
                kept = repr(database.execute("SELECT * FROM approvals").fetchall()).encode()
        lines.close()
        assert kept.count(b"asks a question") == len(bodies) == {"merchant": 2, "operator": 1}[role]
        assert not spelled(kept, LABELS)
        assert not leaks(kept, secrets_of(WORLDS["first"]))


# -- a peer that is not in the room


def test_a_pinned_peer_that_is_not_in_the_room_learns_nothing_of_a_run(seen: dict[str, Seen]) -> None:
    for run in seen.values():
        assert run.before == run.after
        contract = run.results["dh"]["receipt"]["contract"]
        assert contract.encode() in run.views["merchant"].everything()
        assert contract.encode() not in run.views["operator"].everything()
