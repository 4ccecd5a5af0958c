"""Several identities a person: a room counts each once, by the first that hits, and each role sees what is promised."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cleanroom import overlap
from cleanroom.answer import closing
from cleanroom.answer.side import Side
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.overlap.asked import Overlap
from protocols.errors import BadMessage
from tests.room import world
from tests.room.test_roles import multiplicities, view

pytestmark = pytest.mark.usefixtures("near_engines")

K = 50
BITS = 2048
KINDS = ("phone", "email")
Persons = list[tuple[int | None, int | None]]
"""By a number, or none, for each kind."""


def phone(number: int) -> str:
    return str(13_800_000_000 + number)


def email(number: int) -> str:
    return f"person{number}@example.com"


def table(people: Persons, **columns: list[object]) -> pd.DataFrame:
    """Rows of persons that are given by a number, or none, for phone and e-mail."""
    phones = ["" if one is None else phone(one) for one, _ in people]
    emails = ["" if one is None else email(one) for _, one in people]
    return pd.DataFrame({"phone": phones, "email": emails, **columns})


def people(rows: int, seed: int, start: int = 0) -> Persons:
    """Persons from number `start` on; a third have no phone, a third no e-mail, few have another's e-mail."""
    rng = np.random.default_rng(seed)
    lacks = rng.integers(0, 3, rows)
    found: Persons = []
    for n in range(rows):
        mail = start + n if rng.random() > 0.05 else start + int(rng.integers(rows))
        found.append((None if lacks[n] == 0 else start + n, None if lacks[n] == 1 else mail))
    return found


def standing(side: pd.DataFrame) -> pd.DataFrame:
    """A row a person, who is told by the first identity."""
    return side[~side.phone.where(side.phone != "", side.email).duplicated()]


def matched(theirs: pd.DataFrame, mine: pd.DataFrame) -> dict[int, int]:
    """Row of the receiver's → row of the sender's: who matches by phone, and of the others who does by e-mail."""
    found: dict[int, int] = {}
    for kind in KINDS:
        sides = []
        for side in map(standing, (mine, theirs)):
            named = side[side[kind] != ""].drop_duplicates(kind)  # the same e-mail twice is the first row's
            sides.append(named[[kind]].assign(row=named.index))
        joined = sides[0].merge(sides[1], on=kind, suffixes=("_mine", "_theirs"))
        taken = set(found.values())
        for row, other in zip(joined.row_mine, joined.row_theirs, strict=True):
            if row not in found and other not in taken:
                found[int(row)] = int(other)
    return found


def ran(folder: Path, merchant: pd.DataFrame, platform: pd.DataFrame, protocol: str, *,
        order: str = "phone,email") -> world.Ran:  # fmt: skip
    """order: in which the platform has imported its identities."""
    merchant.to_csv(folder / "m.csv", index=False)
    platform.to_csv(folder / "p.csv", index=False)
    asked = Overlap(str(folder / "m.csv"), str(folder / "p.csv"), "phone,email", k=K)
    homes, _, query = world.prepare(folder, asked, protocol)
    if order != "phone,email":
        imported(homes["platform"], folder / "p.csv", order)
    result = world.run(homes, query, {"platform": folder / "members.csv"})
    assert not result.failures, result.failures
    return result


def imported(home: Home, file: Path, on: str) -> None:
    import_source(home, Wish("users", str(file), on))


def crossed(rows: int, seed: int) -> Persons:
    """Persons of few phones and few e-mails, so that many share one; some lack one."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-9, 60, (rows, 2))
    return [(int(a) if a >= 0 else None, int(b) if b >= 0 else None) for a, b in drawn if max(a, b) >= 0]


def test_members_are_those_of_the_model_where_many_share_identities(tmp_path: Path) -> None:
    merchant, platform = table(crossed(70, 1)), table(crossed(90, 2))
    result = ran(tmp_path, merchant, platform, "vole")
    pairs = matched(merchant, platform)
    members = pd.read_csv(tmp_path / "members.csv", dtype=str, keep_default_na=False)
    assert members.to_dict("records") == platform.loc[sorted(pairs)].to_dict("records")
    assert result.outcomes["platform"].size == len(pairs)
    assert result.outcomes["merchant"].size is None


@pytest.mark.usefixtures("near_parties")
@pytest.mark.parametrize(("operator", "protocol"), [(True, "keyed"), (False, "dh")])
def test_a_whole_overlap_counts_a_person_once_in_cells_sums_and_members(
    operator: bool, protocol: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    merchant = table(people(200, 1), level=list(rng.choice(["gold", "silver"], 200)), spend=list(range(200)))
    platform = table(people(200, 2))
    merchant.to_csv(tmp_path / "m.csv", index=False)
    platform.to_csv(tmp_path / "p.csv", index=False)
    asked = Overlap(str(tmp_path / "m.csv"), str(tmp_path / "p.csv"), "phone,email", by=("level",), sums=("spend",),
                    k=K, key_bits=BITS, members=tmp_path / "members.csv", operator=operator)  # fmt: skip
    result = overlap.run(asked)
    assert (result["protocol"], result["on"]) == (protocol, ["phone", "email"])
    assert operator or (result["why"]["kinds"] == 2 and "match alone" in result["why"]["template"])
    pairs = matched(merchant, platform)
    groups = merchant.loc[list(pairs.values())].groupby("level").agg(people=("spend", "size"), spend=("spend", "sum"))
    assert (groups.people >= K).all()
    shown = pd.DataFrame(result["segments"]).set_index("level")[["people", "spend"]].sort_index()
    pd.testing.assert_frame_equal(shown, groups, check_dtype=False)
    assert result["overlap"]["value"] == len(pairs)
    members = pd.read_csv(tmp_path / "members.csv", dtype=str, keep_default_na=False)
    assert members.email.tolist() == platform.email[sorted(pairs)].tolist()


# -- what the roles see

ROWS = 60


def several(lacking: bool) -> Persons:
    """The merchant's: 20 whom the platform has by phone, 20 by e-mail, 20 it has not; all have a phone and an e-mail,
    or just what they are matched by."""
    found: Persons = []
    for n in range(ROWS):
        own = 10_000 + n
        phone, mail = (n, own) if n < 20 else (own, n) if n < 40 else (own, own)
        found.append(
            (phone if not lacking or n < 20 or n >= 40 else None, mail if not lacking or 20 <= n < 40 else None)
        )
    return found


BOTH = table([(n, 20_000 + n) if n < 20 else (30_000 + n, n) for n in range(ROWS)])
"""The platform's, as the merchant's `several` suppose."""
WORLDS = {
    "first": (table(several(lacking=False)), BOTH),
    "platform": (table(several(lacking=True)), BOTH),
    "by e-mail": (
        table(several(lacking=False)),
        table([(None, n) if n >= 20 else (None, 20_000 + n) for n in range(ROWS)]),
    ),
    "others by e-mail": (
        table([(None, n) if n < 20 else (n, None) if n < 40 else (10_000 + n, 10_000 + n) for n in range(ROWS)]),
        table([(30_000 + n, n) if n < 20 else (n, 20_000 + n) for n in range(ROWS)]),
    ),
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., world.Ran]:
    """The run of a world, made once."""

    @functools.cache
    def of(name: str, protocol: str = "dh") -> world.Ran:
        order = "email,phone" if name == "by e-mail" else "phone,email"  # nobody but the platform knows
        return ran(tmp_path_factory.mktemp("world"), *WORLDS[name], protocol, order=order)

    return of


def test_the_receiver_does_not_see_which_rows_of_the_sender_lack_an_identity(seen: Callable[..., world.Ran]) -> None:
    first, second = seen("first"), seen("platform")
    assert first.outcomes["platform"].size == second.outcomes["platform"].size == 40
    assert view(first, "platform") == view(second, "platform")
    assert multiplicities(first, "platform") == multiplicities(second, "platform")
    assert first.outcomes["platform"].learned == second.outcomes["platform"].learned
    told = [each.template.format(**each.params) for each in first.outcomes["platform"].learned]
    assert told[1:4] == [
        "which of its own rows matched",
        "by which identities each of its rows matched, tried in the order phone,email",
        "which of its own rows are one person to merchant",
    ]


def test_the_sender_sees_neither_who_matched_nor_by_what(seen: Callable[..., world.Ran]) -> None:
    first, second = seen("first"), seen("by e-mail")
    assert (first.outcomes["platform"].size, second.outcomes["platform"].size) == (40, 20)
    assert view(first, "merchant") == view(second, "merchant")
    assert multiplicities(first, "merchant") == multiplicities(second, "merchant")
    assert first.outcomes["merchant"].learned == second.outcomes["merchant"].learned


def test_no_identity_of_the_other_side_is_on_the_wire_or_a_disk(seen: Callable[..., world.Ran]) -> None:
    result = seen("first")
    for role, other in (("merchant", "platform"), ("platform", "merchant")):
        owned = dict(zip(("merchant", "platform"), WORLDS["first"], strict=True))
        known = {value for kind in KINDS for value in owned[role][kind]}
        wire = b"".join(frame for came in result.frames[role].values() for frame in came)
        disk = b"".join(world.everything_in(result.homes[role].path).values())
        for value in {value for kind in KINDS for value in owned[other][kind]} - known:
            digest = hashlib.sha256(value.encode()).digest()
            for secret in (value.encode(), digest, digest[:16], digest.hex().encode()):
                assert secret not in wire and secret not in disk


def test_no_message_of_one_identitys_run_comes_again_in_the_others(seen: Callable[..., world.Ran]) -> None:
    """Canaries, exponents and seals are fresh: the same 60 rows, the same labels, nothing twice."""
    for role in ("merchant", "platform"):
        for name, values in seen("first").values[role].items():
            assert name == "kind" or len(set(values)) == len(values), name


# -- at a neutral operator


def test_with_an_operator_nobody_sees_who_lacks_what_and_no_owner_by_what_a_row_matched(
    seen: Callable[..., world.Ran],
) -> None:
    """Of equal sizes and of as many hits by each identity, which is what the operator may know."""
    first, second = seen("first", "keyed"), seen("others by e-mail", "keyed")
    assert first.outcomes["platform"].size == second.outcomes["platform"].size == 40
    for role in ("operator", "merchant", "platform"):
        assert view(first, role) == view(second, role)
        assert multiplicities(first, role) == multiplicities(second, role)
        assert first.outcomes[role].learned == second.outcomes[role].learned
    repeated = multiplicities(first, "operator")
    assert (repeated["token"].count(2), repeated["token#1"].count(2)) == (20 + 4, 20)  # 4 canaries, by the first alone


def test_an_operator_reads_no_identity_and_no_token_twice_in_two_columns(seen: Callable[..., world.Ran]) -> None:
    result = seen("first", "keyed")
    wire = b"".join(frame for came in result.frames["operator"].values() for frame in came)
    disk = b"".join(world.everything_in(result.homes["operator"].path).values())
    for value in {value for side in WORLDS["first"] for kind in KINDS for value in side[kind]}:
        digest = hashlib.sha256(value.encode()).digest()
        for secret in (value.encode(), digest, digest[:16], digest.hex().encode()):
            assert secret not in wire and secret not in disk
    values = result.values["operator"]
    assert not set(values["token"]) & set(values["token#1"])
    assert len(set(values["token#1"])) == 2 * (ROWS + 6) - 20


# -- what does not fit


def test_identities_hashed_otherwise_or_others_than_the_contracts_are_refused_by_name(tmp_path: Path) -> None:
    for name in "mp":
        table(people(60, 1)).to_csv(tmp_path / f"{name}.csv", index=False)
    asked = Overlap(str(tmp_path / "m.csv"), str(tmp_path / "p.csv"), "phone,email", k=K, key_bits=BITS)
    homes, room, query = world.prepare(tmp_path, asked, "dh")
    notes = [closing.version_note(Side(homes[name], room, query, {}, None, print)) for name in ("merchant", "platform")]
    owner = Side(homes["merchant"], room, query, {}, None, print)
    dummies = [owner.canaries("sender", 32, kind).rows.tobytes() for kind in ("", *KINDS)]
    assert len(set(dummies)) == 3
    for spoilt, error in (("form", "phone"), ("also", "email")):
        other = {**notes[1], spoilt: [notes[1]["form"]] if spoilt == "also" else notes[1]["also"][0]}
        with pytest.raises(Refused, match=f"identity {error} differently"):
            closing.question_from(owner, [notes[0], other], notes[0])
    with pytest.raises(BadMessage):
        closing.question_from(owner, [notes[0], {**notes[1], "also": []}], notes[0])
    imported(homes["platform"], tmp_path / "p.csv", "phone")
    failure = world.run(homes, query).failures["platform"]
    assert isinstance(failure, Refused)
    assert failure.params == {"dataset": "users", "held": "phone", "wanted": "phone,email"}
