"""`auto`: always a protocol that fits, never one that tells more than was allowed, and a reason for each other."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom import lang, machine
from cleanroom.errors import UsageError
from cleanroom.machine import Machine
from cleanroom.overlap.asked import Overlap, Reference, match_wish, refuse_slow
from cleanroom.rooms import choose as choosing
from cleanroom.rooms import costs
from cleanroom.rooms.choose import Wish, choose
from cleanroom.rooms.costs import COSTS, Cost, Link
from protocols.psi.vole.parameters import LEAST_ROWS
from tests.cli.support import Done, Run

FAST = Machine("a processor", 2, frozenset({"aes", "pclmul", "vaes", "vpclmulqdq", "avx512f", "avx512ifma"}))
PORTABLE = Machine("another", 4, frozenset(), kernels=False)
ROWS = st.integers(0, 1 << 32)
WISHES = st.builds(
    Wish, ROWS, ROWS, operator=st.booleans(), members=st.booleans(), slots=st.booleans(), repeated=st.booleans(),
    key_bits=st.sampled_from([2048, 3072]),
)  # fmt: skip
LINKS = st.one_of(st.just(Link()), st.builds(Link, st.floats(1e3, 1e11), st.floats(0, 1)))


@given(WISHES, st.sampled_from([FAST, PORTABLE]), LINKS)
def test_a_choice_fits_and_tells_no_more_than_is_allowed(wish: Wish, here: Machine, link: Link) -> None:
    choice = choose(wish, here, link)
    options = {option.protocol: option for option in choice.options}
    assert set(options) == {"keyed", "vole", "dh", "oprf", "join-sum"}
    assert options[choice.protocol].why_not is None
    assert (choice.protocol == "keyed") == wish.operator
    if not wish.members and not wish.operator:
        assert choice.protocol == ("join-sum" if wish.slots else "dh")
        assert options[choice.protocol].learns == choosing.SIZE_ONLY
    if choice.protocol == "vole":
        assert here.kernels
        assert wish.receiver_rows >= LEAST_ROWS
    if choice.protocol == "oprf":
        assert wish.sender_rows >= choosing.UNBALANCED * wish.receiver_rows
    for language in ("en", "zh"):  # every reason can be told, with its figures
        texts = lang.catalogue() if language == "zh" else {}
        assert texts.get(choice.why, choice.why).format(**choice.params)
        for option in choice.options:
            assert option.why_not is None or option.why_not.template.format(**option.why_not.params)
    assert json.loads(json.dumps(choice.explained()))["protocols"][0]["protocol"] == "keyed"


@given(WISHES, st.sampled_from([FAST, PORTABLE]), LINKS)
def test_a_cost_grows_with_the_rows_and_a_slower_link(wish: Wish, here: Machine, link: Link) -> None:
    for name in COSTS:
        less = costs.estimate(name, wish.receiver_rows, wish.sender_rows, here, link)
        more = costs.estimate(name, wish.receiver_rows + costs.SMALL_ROWS, wish.sender_rows + 1, here, link)
        assert more.wire >= less.wire
        assert (
            costs.estimate(name, 1000, 1000, here, link).seconds
            >= costs.estimate(name, 1000, 1000, here, Link()).seconds
        )
        assert less.seconds >= less.later


@pytest.mark.parametrize(
    ("wish", "protocol", "told"),
    [
        (Wish(10, 2_000), "dh", "Diffie-Hellman"),
        (Wish(1_000_000, 1_000_000), "vole", "the quickest"),
        (Wish(20_000, 1_000_000), "oprf", "50 times fewer"),
        (Wish(1_000_000, 20_000), "vole", "the quickest"),
        (Wish(1_000_000, 1_000_000, members=False), "dh", "only the size"),
        (Wish(1_000_000, 1_000_000, members=False, slots=True), "join-sum", "Only sums"),
        (Wish(1_000_000, 1_000_000, operator=True), "keyed", "An operator"),
    ],
)
def test_what_is_chosen_and_why(wish: Wish, protocol: str, told: str) -> None:
    choice = choose(wish, FAST)
    assert choice.protocol == protocol
    assert told in choice.why.format(**choice.params)


def test_without_kernels_nothing_is_chosen_that_needs_them() -> None:
    choice = choose(Wish(100_000, 100_000), PORTABLE)
    assert choice.protocol == "dh"
    reasons = {option.protocol: option.why_not for option in choice.options}
    assert reasons["vole"] is not None
    assert "kernels" in reasons["vole"].template


def test_small_sizes_are_those_below_voles_least() -> None:
    assert costs.SMALL_ROWS == LEAST_ROWS


@pytest.mark.parametrize(
    ("text", "link"),
    [
        (None, Link()),
        ("100Mbit,20ms", Link(1e8, 0.02)),
        ("1Gbit", Link(1e9)),
        ("2.5 gbit/s, 0.5 ms", Link(2.5e9, 5e-4)),
    ],
)
def test_links_as_people_write_them(text: str | None, link: Link) -> None:
    assert costs.link(text) == link


@pytest.mark.parametrize("text", ["", "fast", "0Mbit", "100", "100Mbit,20", "-1Mbit"])
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        costs.link(text)


def test_own_figures_count_on_the_same_machine_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(costs, "figures_path", lambda: tmp_path / "here" / "figures.json")
    own = Cost(7.0, 0.0, 0.0, 1, 1, 1)
    path = costs.save({"vole": own, "unheard": own}, FAST)
    assert costs.saved(FAST) == {"vole": own}
    assert costs.saved(replace(FAST, cores=3)) == {}
    assert costs.estimate("vole", 10_000, 10_000, FAST, Link()).seconds == 7.0
    assert choose(Wish(100_000, 100_000), FAST).protocol == "dh"  # since vole is slow here
    for damaged in ("", "{}", '{"version": "cleanroom-figures/2"}', "[]", '{"version": "cleanroom-figures/1"}'):
        path.write_text(damaged, "utf-8")
        assert costs.saved(FAST) == {}


def test_the_machine_is_what_numba_compiles_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    assert Machine("", 1, machine.features()).kind == "portable"
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+aes,-avx512f,+pclmul")
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    assert Machine("", 1, machine.features()).kind == "x86"
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    assert machine.features() == frozenset()
    assert FAST.kind == "avx512"


def test_what_an_overlap_wishes_for(tmp_path: Path) -> None:
    rows = {"merchant": 100, "platform": 900}
    mine, theirs = Reference("platform", "users", "city"), Reference("merchant", "crm", "spend")
    alone = Overlap("a", "b", operator=False)
    assert match_wish(alone, rows, [], []) == Wish(900, 100, members=True, repeated=False)
    assert match_wish(alone, rows, [], [theirs]) == Wish(900, 100, members=False, slots=True, repeated=False)
    assert match_wish(alone, rows, [mine], [theirs]).members
    assert match_wish(replace(alone, members=tmp_path), rows, [], [theirs]).members
    assert match_wish(Overlap("a", "b"), rows, [], [theirs]).operator
    assert not match_wish(Overlap("a", "b", protocol="dh"), rows, [], []).operator


def test_slots_are_estimated_before_they_are_made() -> None:
    asked = Overlap("a", "b")
    assert refuse_slow(asked, {"merchant": 5, "platform": 5}, []) is None
    estimate = refuse_slow(asked, {"merchant": 1_000_000, "platform": 5}, ["merchant"])
    assert estimate is not None
    assert (estimate["rows"], estimate["megabytes"]) == (1_000_000, 768)
    assert estimate["seconds"] > 30


def test_explain_shows_every_protocol(overlap: tuple[Path, Done], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = overlap[1].json
    assert [each["protocol"] for each in result["explained"]["protocols"]] == [
        "keyed",
        "vole",
        "dh",
        "oprf",
        "join-sum",
    ]
    monkeypatch.setattr("cleanroom.overlap.run", lambda *_: result)
    assert "How a protocol is chosen" not in run("overlap", "a", "b").out
    english = run("overlap", "a", "b", "--explain", COLUMNS="200").out
    chinese = run("overlap", "a", "b", "--explain", "--lang", "zh", COLUMNS="200").out
    for text in ("How a protocol is chosen", "join-sum", "with an operator, keyed is enough", "the exact size"):
        assert text in english, text
    for text in ("协议的选择", "有运营方时用 keyed 即可", "重合的确切人数"):
        assert text in chinese, text


def test_an_operator_cannot_be_both_needed_and_left_out(run: Run) -> None:
    done = run("overlap", "a.csv", "b.csv", "--protocol", "keyed", "--no-operator", "--json")
    assert (done.code, done.json["error"]["what"]) == (2, "keyed needs an operator.")
    assert run("overlap", "a.csv", "b.csv", "--link", "quick").code == 2
