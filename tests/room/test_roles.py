"""Who learns what: each role's whole view in two worlds that differ only in what the role may not learn.

A view is every frame that came over every wire, every file of the role's home, and what its process reports. In two
worlds of equal permitted leakage (sizes, overlap, frequencies, releases) shapes, sizes and multiplicities must agree.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cleanroom.enclave import handle
from cleanroom.overlap.asked import Overlap
from protocols.header import unpack
from protocols.kernels.digests import sha256
from tests.near import NearEngine
from tests.room import world

K = 50
BITS = 2048
ROWS = 160
COMMON = 120


def phones(start: int) -> list[str]:
    return [str(13_900_000_000 + start + 7919 * n) for n in range(ROWS)]


def merchant(start: int, labels: tuple[str, str], money: int) -> pd.DataFrame:
    """The first COMMON rows are shared; half of them have each level."""
    return pd.DataFrame({
        "phone": phones(start), "level": [labels[n % 2] for n in range(ROWS)],
        "spend": [money + n for n in range(ROWS)],
    })  # fmt: skip


def platform(shared: list[str], start: int, labels: tuple[str, str]) -> pd.DataFrame:
    own = [str(15_000_000_000 + start + 104_729 * n) for n in range(ROWS - COMMON)]
    return pd.DataFrame({"phone": shared[:COMMON] + own, "city": [labels[n // 60 % 2] for n in range(ROWS)]})


A = merchant(1, ("gold", "silver"), 1000)
B = merchant(500_000, ("VIP-A", "VIP-B"), 1500)  # within the same declared bounds, which the contract shows to all
C = platform(list(A.phone), 3, ("Shanghai", "Hangzhou"))
D = platform(list(A.phone), 900_001, ("Kunming", "Guiyang"))
WORLDS = {  # what differs from the first is what the role may not learn: the other side's identities, labels, amounts
    "first": (A, C),
    "operator": (B, platform(list(B.phone), 900_001, ("Kunming", "Guiyang"))),
    "merchant": (A, D),
    "platform": (pd.concat([A[:COMMON], B[COMMON:]]).assign(level=B.level, spend=B.spend), C),
}
World = Callable[[str, str], world.Ran]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The run of a protocol in a world, made once."""

    @functools.cache
    def of(protocol: str, name: str) -> world.Ran:
        return run(tmp_path_factory.mktemp(f"{protocol}-{name}"), protocol, WORLDS[name])

    return of


def run(folder: Path, protocol: str, tables: tuple[pd.DataFrame, pd.DataFrame]) -> world.Ran:
    paths = []
    for name, table in zip("mp", tables, strict=True):
        paths.append(folder / f"{name}.csv")
        table.to_csv(paths[-1], index=False)
    by = ("merchant.level",) if protocol == "join-sum" else ("merchant.level", "platform.city")
    sums = ("merchant.spend",) if protocol != "join-sum" else ()
    asked = Overlap(str(paths[0]), str(paths[1]), by=by, sums=sums, k=K, key_bits=BITS)
    homes, _, query = world.prepare(folder, asked, protocol)
    with pytest.MonkeyPatch.context() as patched:
        if protocol != "keyed":  # the host's own enclave is in nobody's view
            patched.setattr(handle, "start", lambda **_: NearEngine())
        result = world.run(homes, query)
    assert not result.failures, result.failures
    return result


def view(result: world.Ran, role: str) -> list[tuple[object, ...]]:
    """Shapes and sizes of all that came, and the sizes of what stands in the home."""
    return [
        (peer, header.name, header.kind, header.length)
        for peer, came in sorted(result.frames[role].items())
        for header in (unpack(memoryview(frame)) for frame in came)
        if header.name not in VARIABLE
    ]


VARIABLE = {"release"}
"""Released labels and averages differ in length between worlds: they are what the release is for."""
PROTOCOLS = ("keyed", "dh", "vole", "oprf", "join-sum")
OWNERS = [(role, protocol) for role in ("merchant", "platform") for protocol in PROTOCOLS]


@pytest.mark.parametrize(("role", "protocol"), [("operator", "keyed"), *OWNERS])
def test_views_of_two_worlds_agree(ran: World, protocol: str, role: str) -> None:
    first, second = ran(protocol, "first"), ran(protocol, role)
    assert view(first, role) == view(second, role)
    assert multiplicities(first, role) == multiplicities(second, role)
    assert first.outcomes[role].learned == second.outcomes[role].learned
    if role == "operator":
        assert file_sizes(first) == file_sizes(second)


def multiplicities(result: world.Ran, role: str) -> dict[str, list[int]]:
    """For every column of the messages that the role read: how often its values repeat."""
    return {name: sorted(Counter(values).values()) for name, values in result.values[role].items()}


def file_sizes(result: world.Ran) -> dict[str, int]:
    """Sizes of all files at the operator; keys, its own and the peers', are random but of fixed size."""
    files = world.everything_in(result.homes["operator"].path)
    return {re.sub("peer-[0-9a-f]+", "peer", name): len(content) for name, content in files.items()}


def test_no_identity_label_or_amount_of_the_other_side_is_anywhere(ran: World) -> None:
    """All candidates of a dictionary against every byte on every wire and disk (attack P4), in every role's view."""
    import hashlib

    result = ran("keyed", "first")
    secrets = {"merchant": A, "platform": C}
    for role in ("operator", "merchant", "platform"):
        others = [table for owner, table in secrets.items() if owner != role]
        wire = b"".join(frame for came in result.frames[role].values() for frame in came)
        disk = b"".join(world.everything_in(result.homes[role].path).values())
        for table in others:
            for phone in table.phone:
                if role != "operator" and phone in set(secrets[role].phone):
                    continue
                digest = hashlib.sha256(phone.encode()).digest()
                for secret in (phone.encode(), digest, digest[:16], digest.hex().encode()):
                    assert secret not in wire
                    assert secret not in disk
        if role == "operator":
            for label in (b"gold", b"silver", b"Shanghai", b"Hangzhou"):
                assert label not in wire
                assert label not in disk


@pytest.mark.parametrize("protocol", ["dh", "oprf"])
def test_nothing_of_the_data_stands_plainly_on_any_disk(ran: World, protocol: str) -> None:
    for home in ran(protocol, "first").homes.values():
        for content in world.everything_in(home.path).values():
            assert not any(phone.encode() in content for phone in np.concatenate([A.phone, C.phone]))


# -- P4: every phone number that there can be, by the forms in which one could have been handed on

FIRST, CANDIDATES = 13_900_000_000, 10_000_000


def windows(content: bytes) -> np.ndarray:
    """Every eight bytes that stand together, as numbers, sorted."""
    pieces = [np.frombuffer(content[at:], "<u8", (len(content) - at) // 8) for at in range(min(8, len(content)))]
    return np.unique(np.concatenate(pieces)) if pieces else np.empty(0, np.uint64)


def decoded(content: bytes) -> bytes:
    """What stands in it as hexadecimal digits, wherever a run of them begins."""
    runs = re.findall(rb"[0-9a-f]{16,}", content)
    pieces = [run[at : at + (len(run) - at) // 2 * 2] for run in runs for at in (0, 1)]
    return b"".join(bytes.fromhex(piece.decode()) for piece in pieces)


@functools.cache
def heads() -> np.ndarray:
    """The first eight bytes of every candidate's SHA-256, as numbers."""
    made = np.empty(CANDIDATES, np.uint64)
    for at in range(0, CANDIDATES, 1_000_000):
        texts = pa.array(np.arange(FIRST + at, FIRST + at + 1_000_000)).cast(pa.string())
        made[at : at + 1_000_000] = np.ascontiguousarray(sha256(texts, 16)[:, :8]).view("<u8").ravel()
    return made


def found(content: bytes) -> int:
    """Of all candidates, how many stand in the content: plain, hashed, or as the digits of a hash."""
    plain = {int(run) for run in re.findall(rb"(?<![0-9a-f])139\d{8}(?![0-9a-f])", content)}
    there = windows(content + decoded(content))
    marked = np.zeros(1 << 24, bool)
    marked[there >> np.uint64(40)] = True
    likely = heads()[marked[heads() >> np.uint64(40)]]
    named = [phone for phone in plain if FIRST <= phone < FIRST + CANDIDATES]
    return len(named) + int(np.isin(likely, there).sum())


def test_ten_million_candidates_find_nobody_on_any_wire_or_disk(ran: World) -> None:
    """Every protocol, every role: what came over its wires from others, and what stands in its home."""
    views = [ran(protocol, "first") for protocol in PROTOCOLS]
    wires = [frame for result in views for came in result.frames.values() for some in came.values() for frame in some]
    disks = [content for result in views for home in result.homes.values()
             for content in world.everything_in(home.path).values()]  # fmt: skip
    assert found(b"\xff".join(wires + disks)) == 0


def test_the_dictionary_finds_everybody_where_hashes_leave() -> None:
    """What is sent by a match on hashes, or stands in an export: all are found by each form alone."""
    import hashlib

    people = [str(phone) for phone in A.phone]
    hashes = [hashlib.sha256(phone.encode()) for phone in people]
    for sent in ([phone.encode() for phone in people], [each.digest() for each in hashes],
                 [each.hexdigest().encode() for each in hashes]):  # fmt: skip
        assert found(b"\xff".join(sent)) == len(people)
