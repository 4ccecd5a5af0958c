"""The unbalanced match: agreement, what the wire shows, one key an epoch and room, quota, updates, known answer."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oprf_support import KEY, ROOM, WIDTH, Run, fails, marks, question, table_of, terms
from support import canaries, contents, digests, drawing, headers, session, shapes

from protocols import canary
from protocols.errors import BadMessage, ProtocolError
from protocols.group import Kernel, backend
from protocols.oprf import points, suite, tables
from protocols.oprf.keys import MOST_QUERIES, MOST_ROWS, Epoch, Key, Quota
from protocols.oprf.questions import Answers, _ask, ask
from protocols.oprf.suite import Mode
from protocols.oprf.tables import TagTable, precompute, refresh
from protocols.psi import oprf
from protocols.rows import schema, to_rows

# -- agreement


@settings(max_examples=12, deadline=None)
@given(st.sets(st.integers(0, 20)), st.lists(st.integers(0, 20), unique=True, max_size=12), st.sampled_from([0, WIDTH]))
def test_matches_are_the_intersection(theirs, mine, width):
    expected = [row for row, number in enumerate(mine) if number in theirs]
    sent, received = Run(table_of(sorted(theirs), epoch=terms(width=width)), question(mine)).start().both()
    assert received.result.matched.tolist() == expected
    assert received.result.size == len(expected)
    assert (sent.peer_rows, received.result.peer_rows) == (len(mine), len(theirs))
    assert received.result.labels.tobytes() == (marks([mine[row] for row in expected]).tobytes() if width else b"")


@pytest.mark.parametrize(("theirs", "mine"), [([], []), ([1], [1]), (range(40), range(40)), (range(9), range(9, 20))])
def test_extremes_over_several_batches(monkeypatch, theirs, mine):
    monkeypatch.setattr(oprf, "SMALL_BATCH", 7)
    received = Run(table_of(theirs), question(mine)).start().both()[1]
    assert received.result.matched.tolist() == [row for row, number in enumerate(mine) if number in theirs]


def test_md5_digests_match_among_themselves():
    table = precompute(KEY, terms(), digests([1, 2], 16), None, canaries=canaries("sender", 16))[0]
    asked = ask(digests([2, 3], 16), canaries=canaries("receiver", 16))
    assert Run(table, asked).start().both()[1].result.matched.tolist() == [0]


def test_a_small_run_loads_no_compiler():
    """What 2,000 queries of a cold process load: libsodium, not numba."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from oprf_support import Run, question, table_of
assert Run(table_of(range(30)), question(range(20, 50))).start().both()[1].result.size == 10
sys.exit("numba" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# -- what the wire shows


def test_no_digest_nor_hash_of_a_candidate_crosses_the_wire():
    """Pitfall 2: everybody who could be in the data is tried against every byte that was sent, tables included."""
    outcome = Run(table_of([1, 2, 3], epoch=terms(width=WIDTH)), question([2, 3, 4])).start()
    outcome.both()
    wire = contents(outcome.frames["sender"]) + contents(outcome.frames["receiver"])
    candidates = digests(range(30))
    elements = backend().hash_to_group(candidates, b"HashToGroup-" + suite.context(Mode.VOPRF))
    for digest, element in zip(candidates, elements, strict=True):
        raw = digest.tobytes()
        forms = [raw, raw[:16], element.tobytes(), raw.hex().encode()]
        forms += [hashlib.new(name, raw).digest() for name in ("md5", "sha1", "sha256", "sha512")]
        assert not any(form[:8] in wire for form in forms)


def test_tags_of_two_rooms_or_epochs_do_not_link():
    """Pitfall 6: the same people under another room's key, or the next epoch's, have other tags and elements."""
    keys = [KEY, KEY.rotated(), Key(b"q" * 32, 1, KEY.seed), Key(ROOM, 2, KEY.seed)]
    assert len({key.public for key in keys}) == len({terms(key).key_id for key in keys}) == 4
    tags = [row[:6].tobytes() for key in keys for row in table_of([1, 2, 3], key).tags]
    assert len(set(tags)) == 4 * (3 + canary.COUNT)


def test_views_of_equal_leakage_have_equal_shapes():
    """Role-view test: other people and rows, the same sizes and overlap: the same frames in form."""
    epoch = terms(width=WIDTH)
    one = Run(table_of(range(30), epoch=epoch), question(range(20, 45))).start()
    two = Run(table_of(range(130, 100, -1), epoch=epoch), question([*range(500, 515), *range(101, 111)])).start()
    assert one.both()[1].result.size == two.both()[1].result.size == 10
    for side in ("sender", "receiver"):
        assert shapes(one.frames[side]) == shapes(two.frames[side])


def test_the_sender_does_not_see_how_many_matched():
    outcomes = [Run(table_of(range(10)), question(mine)).start() for mine in (range(8), range(50, 58))]
    assert [outcome.both()[1].result.size for outcome in outcomes] == [8, 0]
    assert shapes(outcomes[0].frames["receiver"]) == shapes(outcomes[1].frames["receiver"])


def test_items_are_asked_in_a_secret_order_and_afresh_each_time():
    people = range(40)
    one = drawing(b"seed")
    asked = _ask(
        digests(people), canaries("receiver"), None, lambda n: (1).to_bytes(64, "little") if n == 64 else one(n)
    )
    plain = backend().hash_to_group(digests(people), b"HashToGroup-" + suite.context(Mode.VOPRF))
    places = [asked.blinded.tobytes().index(row.tobytes()) for row in plain]
    assert sorted(places) != places
    again = question(people).blinded.tobytes()
    assert not any(row.tobytes() in again for row in question(people).blinded)


def test_rows_of_a_table_tell_no_order():
    table, tags = precompute(KEY, terms(), digests(range(50)), None, canaries=canaries("sender"))
    places = table.find(tags)
    assert (places >= 0).all()
    assert (np.sort(places) != places).any()
    assert (table_of(range(49, -1, -1)).tags == table.tags).all()


def test_secrets_are_not_in_a_repr():
    assert str(KEY.seed)[2:-1] not in repr(KEY)
    assert "scalar" not in repr(question([1]))


# -- one key an epoch and room; the quota


def test_keys_come_back_from_their_token():
    again = Key.import_secret(KEY.export_secret())
    assert (again, again.public, again.secret) == (KEY, KEY.public, KEY.secret)
    fresh = Key.generate(ROOM)
    assert fresh.seed != Key.generate(ROOM).seed
    assert (fresh.rotated().epoch, fresh.rotated().room) == (2, ROOM)
    for token in (
        b"",
        b"oprf-key/2\n" + KEY.export_secret()[11:],
        KEY.export_secret()[:-1],
        KEY.export_secret() + b"0",
    ):
        with pytest.raises(ProtocolError, match="unknown format"):
            Key.import_secret(token)
    with pytest.raises(ProtocolError, match="form used here"):
        Key(ROOM, 0, bytes(32))


@pytest.mark.parametrize(
    "changed",
    [
        {"number": 0},
        {"most_rows": MOST_ROWS + 1},
        {"most_queries": MOST_QUERIES + 1},
        {"label_width": -1},
        {"public": b"0"},
    ],
)
def test_terms_out_of_range_are_refused(changed):
    with pytest.raises(ProtocolError, match="out of range"):
        replace(terms(), **changed)


def test_tags_are_long_enough_for_the_epochs_largest_sizes():
    million, thousands = (1 << 20) - canary.COUNT, 20_000
    assert terms(rows=million, queries=thousands).tag_bytes == 10
    assert terms(rows=million - 1, queries=1 << 21).tag_bytes == 11
    assert terms(rows=million + 1, queries=1).tag_bytes == 11
    assert terms(rows=0, queries=1).tag_bytes == 6
    assert terms(rows=MOST_ROWS, queries=MOST_QUERIES).tag_bytes <= 16


def test_the_quota_counts_before_anything_is_answered():
    run = Run(table_of([1, 2]), question([2, 3]), quota=Quota.of(terms(queries=20)))
    run.table = table_of([1, 2], epoch=terms(queries=20))
    run.start().both()
    assert run.kept == [replace(run.quota, spent=2 + canary.COUNT)]
    answered = []

    def before(channel):
        send = channel.send_batch
        channel.send_batch = lambda name, *rest: (answered.append((name, len(run.kept))), send(name, *rest))[1]
        return channel

    run.quota, run.asked = run.kept.pop(), question([2, 3])
    run.start(sends=before).both()
    assert all(count == (name != "oprf.sizes") for name, count in answered)
    run.quota, run.asked, run.kept = run.kept[0], question([2, 3]), []
    outcome = run.start()
    fails(outcome, "sender", ProtocolError, "8 queries are asked, 4 are left in this key epoch.")
    assert not run.kept
    assert "oprf.evaluated" not in {header.name for header in headers(outcome.frames["sender"])}


def test_a_quota_comes_back_from_its_bytes_and_serves_its_epoch_only():
    quota = Quota.of(terms()).spend(terms(), 7)
    assert Quota.from_bytes(quota.to_bytes()) == quota
    for data in (b"", quota.to_bytes()[:-1], b"oprf-quota/9\n" + quota.to_bytes()[13:]):
        with pytest.raises(ProtocolError, match="unknown format"):
            Quota.from_bytes(data)
    for other in (terms(KEY.rotated()), terms(queries=501)):
        with pytest.raises(ProtocolError, match="another key epoch"):
            quota.spend(other, 1)


def test_tags_answers_and_keys_of_an_old_epoch_are_refused():
    old = Run(table_of([1, 2]), question([1])).start().both()[1]
    key = KEY.rotated()
    epoch = terms(key)
    new = Run(table_of([1, 2], key), question([1]), key=key)
    with pytest.raises(ProtocolError, match="another key epoch than 2"):
        TagTable.from_arrow(old.table.to_arrow(), epoch)
    with pytest.raises(ProtocolError, match="another key epoch than 2"):
        Answers.from_arrow(old.answers.to_arrow(), epoch)
    fails(replace(new, held=old.table).start(), "receiver", ProtocolError, "table of tags belongs to another key epoch")
    fails(
        replace(new, asked=question([1], old.answers)).start(), "receiver", ProtocolError, "Answers kept from another"
    )
    fails(replace(new, key=KEY).start(), "sender", ProtocolError, "not the one of this epoch")
    fails(replace(new, epoch=terms()).start(), "sender", ProtocolError, "do not agree on epoch: 2 here, 1 there")
    forged = Epoch(epoch.number, KEY.public, epoch.most_rows, epoch.most_queries)
    fails(replace(new, epoch=forged).start(), "receiver", ProtocolError, "hold this epoch to the same key")
    with pytest.raises(ProtocolError, match="not the one of this epoch"):
        table_of([1], KEY, epoch)


# -- within an epoch


def counting(monkeypatch) -> list[int]:
    evaluated, work = [], suite.evaluate
    monkeypatch.setattr(suite, "evaluate", lambda *given: (evaluated.append(len(given[1])), work(*given))[1])
    return evaluated


@pytest.mark.parametrize("width", [0, WIDTH])
def test_a_refreshed_table_is_the_fresh_one_at_the_cost_of_its_additions(monkeypatch, width):
    rng = np.random.default_rng(7)
    epoch = terms(width=width)
    people = list(range(100))
    table, tags = precompute(KEY, epoch, digests(people), marks(people) if width else None, canaries=canaries("sender"))
    tag_of = dict(zip(people, tags, strict=True))
    evaluated = counting(monkeypatch)
    mine = list(range(0, 130, 3))
    held = Run(table, question(mine)).start().both()[1]
    for number in range(3):
        earlier, came = table, list(range(100 + 5 * number, 105 + 5 * number))
        went = rng.choice(people, 5, replace=False).tolist()
        removed = np.array([tag_of.pop(person) for person in went])
        own = marks(came) if width else None
        table, tags = refresh(table, KEY, digests(came), own, removed=removed)
        tag_of |= dict(zip(came, tags, strict=True))
        people = [person for person in people if person not in went] + came
        run = Run(table, question(mine, held.answers), held=held.table, earlier=earlier)
        outcome = run.start()
        held = outcome.both()[1]
        fresh = Run(table_of(people, epoch=epoch), question(mine)).start().both()[1]
        assert held.result.matched.tolist() == fresh.result.matched.tolist()
        assert (held.result.labels == fresh.result.labels).all()
        assert (held.table.tags == fresh.table.tags).all()
        assert run.kept[0].spent == canary.COUNT  # nothing was asked twice
        sent = sum(len(frame) for frame in outcome.frames["sender"])
        assert "oprf.removed" in {header.name for header in headers(outcome.frames["sender"])}
        assert sent < 9_000
    assert sorted(evaluated)[:3] == [5, 5, 5]  # of a hundred; the others are the fresh runs'
    assert len(evaluated) == 3 + 2 * 3


def test_only_new_items_are_asked_and_old_answers_stay():
    table = table_of(range(10))
    first = Run(table, question([1, 20])).start().both()[1]
    run = Run(table, question([20, 2, 1], first.answers), held=first.table)
    outcome = run.start()
    second = outcome.both()[1]
    assert second.result.matched.tolist() == [1, 2]
    assert run.kept[0].spent == 1 + canary.COUNT
    assert not {"oprf.update", "oprf.tags"} & {header.name for header in headers(outcome.frames["sender"])}
    run = Run(table, question([3], second.answers), held=second.table)
    third = run.start().both()[1]
    assert len(third.answers.items) == 4
    last = Run(table, question([1, 2, 3], third.answers), held=third.table).start().both()[1]
    assert last.result.matched.tolist() == [0, 1, 2]


def test_a_changed_label_is_sealed_anew():
    epoch = terms(width=WIDTH)
    table, tags = precompute(KEY, epoch, digests([1, 2]), marks([1, 2]), canaries=canaries("sender"))
    held = Run(table, question([1, 2])).start().both()[1]
    newer, _ = refresh(table, KEY, digests([2]), marks([77]), removed=tags[1:])
    received = Run(newer, question([1, 2]), held=held.table, earlier=table).start().both()[1]
    assert (received.result.labels == marks([1, 77])).all()
    place = newer.find(tags[1:])[0]
    assert newer.labels[place].tobytes()[:16] != table.labels[table.find(tags[1:])[0]].tobytes()[:16]  # the salt


def test_what_a_table_does_not_allow():
    epoch = terms(rows=3)
    table, tags = precompute(KEY, epoch, digests([1, 2]), None, canaries=canaries("sender"))
    with pytest.raises(ProtocolError, match="4 rows are more than the 3"):
        refresh(table, KEY, digests([3, 4]), None, removed=tags[:0])
    with pytest.raises(ProtocolError, match="4 rows are more"):
        table_of(range(4), epoch=epoch)
    with pytest.raises(BadMessage, match="out of order or repeated"):
        refresh(table, KEY, digests([2]), None, removed=tags[:0])
    with pytest.raises(BadMessage, match="not there"):
        refresh(table, KEY, digests([3]), None, removed=tags[:1] ^ 1)
    with pytest.raises(ProtocolError, match="repeated"):
        table_of([1, 1])
    with pytest.raises(ProtocolError, match="repeated"):
        question([1, 1])
    with pytest.raises(ValueError, match="labels must be"):
        precompute(KEY, epoch, digests([1]), marks([1]), canaries=canaries("sender"))
    with pytest.raises(ValueError, match="as wide as"):
        TagTable(epoch, tags[:, :3], np.empty((2, 0), np.uint8))


@pytest.mark.parametrize("width", [0, WIDTH])
def test_tables_and_answers_go_through_parquet(tmp_path, width):
    epoch = terms(width=width)
    received = Run(table_of(range(5), epoch=epoch), question([1, 2])).start().both()[1]
    for what, of in ((received.table, TagTable), (received.answers, Answers)):
        pq.write_table(what.to_arrow(), tmp_path / "one.parquet")
        again = of.from_arrow(pq.read_table(tmp_path / "one.parquet"), epoch)
        assert again.to_arrow().equals(what.to_arrow(), check_metadata=True)
    assert TagTable.from_arrow(received.table.to_arrow(), epoch).fingerprint == received.table.fingerprint
    assert len(TagTable.from_arrow(TagTable.empty(epoch).to_arrow(), epoch)) == 0
    nothing = Run(received.table, question([])).start().both()[1].answers
    assert len(Answers.from_arrow(nothing.to_arrow(), epoch).items) == 0


def test_a_table_or_answers_of_another_form_are_refused():
    table = table_of(range(5))
    arrow = table.to_arrow()
    kept = arrow.schema.metadata
    for changed in (
        arrow.replace_schema_metadata(None),
        arrow.replace_schema_metadata(kept | {b"format": b"oprf-tags/2"}),
    ):
        with pytest.raises(ProtocolError, match="unknown format"):
            TagTable.from_arrow(changed, terms())
    for changed in (
        arrow.slice(1),
        arrow.rename_columns(["tags"]).replace_schema_metadata(kept),
        arrow.replace_schema_metadata(kept | {b"tag_bytes": b"3"}),
        pa.table({"tag": pa.array([None] * 11, pa.binary(6))}).replace_schema_metadata(kept),
    ):
        with pytest.raises(ProtocolError, match="damaged"):
            TagTable.from_arrow(changed, terms())
    with pytest.raises(BadMessage, match="out of order"):
        TagTable.from_arrow(arrow.take(list(range(10, -1, -1))), terms())
    with pytest.raises(BadMessage, match="more tags than"):
        TagTable(terms(rows=4, queries=1 << 20), table.tags, table.labels)
    answers = Run(table, question([1])).start().both()[1].answers.to_arrow()
    renamed = answers.rename_columns(["output", "item"]).replace_schema_metadata(answers.schema.metadata)
    for other in (arrow, renamed, answers.replace_schema_metadata(None)):
        with pytest.raises(ProtocolError, match="unknown format"):
            Answers.from_arrow(other, terms())


def test_tags_with_zero_bytes_are_found():
    """Rows compare as strings inside: a zero at the end must not make two of them equal."""
    epoch = terms()
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, 2, (200, epoch.tag_bytes), dtype=np.uint8) * rng.integers(0, 256, (200, 1), dtype=np.uint8)
    tags = np.unique(drawn, axis=0)
    table = TagTable(epoch, tags[::2], np.empty((len(tags[::2]), 0), np.uint8))
    assert (table.find(tags) == [number // 2 if number % 2 == 0 else -1 for number in range(len(tags))]).all()
    mixed = tables._sorted(epoch, (half := tags[::2])[rng.permutation(len(half))], np.empty((len(half), 0), np.uint8))
    assert (mixed.tags == half).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_known_answer(monkeypatch, compiled):
    """Injected randomness, fixed session: what every message carries, byte by byte, is what it always was, whichever
    way it is computed."""
    if compiled:
        monkeypatch.setattr(points, "SMALL_ROWS", 0)
        points.prepare(1)  # compiling takes longer than a peer waits
        monkeypatch.setattr(suite, "backend", lambda rows=None: Kernel())
    epoch = terms(width=WIDTH)
    table = tables._precompute(KEY, epoch, digests([1, 2]), marks([1, 2]), canaries("sender"), drawing(b"table"))[0]
    asked = _ask(digests([2, 3]), canaries("receiver"), None, drawing(b"receiver"))
    outcome = session(
        lambda c: oprf._sender(c, KEY, table, Quota.of(epoch), lambda _: None, None, 100, drawing(b"sender")),
        lambda c: oprf.receiver(c, asked, epoch, None),
        known_session=bytes(range(32)),
    )
    received = outcome.both()[1]
    assert received.result.matched.tolist() == [0]
    layouts = {
        "oprf.blinded": schema({"point": 32}),
        "oprf.evaluated": schema({"point": 32}),
        "oprf.proof": schema({"proof": 64}),
        "oprf.tags": tables.table_schema(epoch),
    }
    spoken = hashlib.sha256()
    for side in ("receiver", "sender"):
        for header, frame in zip(headers(outcome.frames[side]), outcome.frames[side], strict=True):
            if header.name in layouts and header.length:
                batch = pa.ipc.read_record_batch(pa.py_buffer(frame[112 + 16 :]), layouts[header.name])
                spoken.update(header.name.encode() + b"".join(to_rows(column).tobytes() for column in batch.columns))
    assert spoken.hexdigest() == KNOWN_ANSWER
    assert table.fingerprint.hex() == KNOWN_TABLE
    assert received.answers.outputs[0].tobytes() == suite.evaluate(KEY.secret, digests([2]), Mode.VOPRF).tobytes()


KNOWN_ANSWER = "1c46eaf3c124f63c8d64dde0201418e7ac1f971ad07d1ae00a62f76e6c57de77"
KNOWN_TABLE = "90fb21445923914db49ffd9347dc1805c7d7665dadd3958acea53fb85e51bdd9"
