"""What is measured: each regime of the project's targets, ours beside plain joins and beside installed peers."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data
from benchmarks.peers import Installed
from benchmarks.processes import Command, Failed, Ran, Summary, alternate, loopback, summary, together
from protocols.kernels import SMALL_ROWS

PORTABLE = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
"""What makes numba compile as for a processor without AES and AVX-512: the portable twins."""
PLAIN, HASHED = "DuckDB, plain join", "DuckDB, join on SHA-256"
OURS = "ours"


@dataclass(frozen=True)
class Row:
    """One regime: its name in both languages, what was aimed at, what each contender took.

    items: of one side, by which the bytes of both directions are divided, as the papers do; 0 where nothing is sent.
    """

    work: tuple[str, str]
    target: str
    items: int
    results: Mapping[str, Summary]


@dataclass(frozen=True)
class Operation:
    """Paillier: microseconds an operation by contender."""

    work: tuple[str, str]
    target: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """Where files go, which peers are there, how often each is run, whether sizes are small."""

    folder: Path
    peers: Installed
    times: int = 3
    quick: bool = False

    def rows(self, full: int, quick: int) -> int:
        """A size."""
        return quick if self.quick else full

    def rounds(self, most: int) -> int:
        """How often: long ones less."""
        return 1 if self.quick else min(self.times, most)


def _module(name: str, *words: object) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.pipelines.{name}", *map(str, words)]


def _primitives(bits: int, count: int) -> list[str]:
    return [sys.executable, "-m", "cleanroom.bench.primitives", str(bits), str(count)]


def _size(left: int, right: int) -> str:
    return f"{left:,} × {right:,}"


# -- contenders


def _two_party(protocol: str, receiver: Path, sender: Path, out: Path) -> Callable[[], Ran]:
    commands = [
        _module("two_party", "receiver", receiver, out, protocol),
        _module("two_party", "sender", sender, "-", protocol),
    ]
    return lambda: _exact(together(commands, joined=True), receiver, sender, out)


def _keyed(receiver: Path, sender: Path, out: Path) -> Callable[[], Ran]:
    commands = [
        _module("keyed", "receiver", receiver, out),
        _module("keyed", "sender", sender, "-"),
        _module("keyed", "operator", "-", "-"),
    ]
    return lambda: _exact(together(commands, joined=True), receiver, sender, out)


def _secretflow(plan: Plan, receiver: Path, sender: Path, *protocol: str) -> Callable[[], Ran]:
    commands: list[Command] = [
        plan.peers.script("secretflow", "secretflow.py", rank, receiver, sender, "phone", *protocol) for rank in (0, 1)
    ]
    return lambda: _checked(together(commands, count=loopback), receiver, sender)


def _openmined(plan: Plan, receiver: Path, sender: Path) -> Callable[[], Ran]:
    command = plan.peers.script("openmined", "openmined.py", receiver, sender)
    return lambda: _checked(together([command]), receiver, sender)


def _join(receiver: Path, sender: Path, out: Path, on: str) -> Callable[[], Ran]:
    sides = (f"read_csv('{path}', all_varchar = true)" for path in (receiver, sender))
    sql = f"COPY (SELECT a.* FROM {next(sides)} a JOIN {next(sides)} b ON {on}) TO '{out}'"
    return lambda: together([[sys.executable, "-c", f"import duckdb; duckdb.execute({sql!r})"]])


def _limits(receiver: Path, sender: Path, out: Path) -> dict[str, Callable[[], Ran]]:
    return {
        PLAIN: _join(receiver, sender, out, "a.phone = b.phone"),
        HASHED: _join(receiver, sender, out, "sha256(a.phone) = sha256(b.phone)"),
    }


def _checked(ran: Ran, receiver: Path, sender: Path) -> Ran:
    """Raises Failed where the overlap is wrong."""
    shared = min(int(receiver.stem.split("-")[1]), int(receiver.stem.split("-")[2])) // 2
    matched = [told["matched"] for told in ran.told if told.get("matched", -1) >= 0]
    if not matched or set(matched) != {shared}:
        raise Failed(f"matched {matched}, not {shared}")
    return ran


def _exact(ran: Ran, receiver: Path, sender: Path, members: Path) -> Ran:
    """Raises Failed too where the members written are not those of a plain join."""
    phones, *both = (
        f"SELECT phone FROM read_csv('{path}', all_varchar = true)" for path in (members, receiver, sender)
    )
    wrong = f"SELECT count(*) FROM (({phones}) EXCEPT (({both[0]}) INTERSECT ({both[1]})))"
    found = f"SELECT count(DISTINCT phone) FROM ({phones})"
    told = subprocess.run(
        [sys.executable, "-c", f"import duckdb; duckdb.execute('SET enable_progress_bar=false'); "
         f"print(*duckdb.execute({f'SELECT ({wrong}), ({found})'!r}).fetchone())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    checked = _checked(ran, receiver, sender)
    matched = next(each["matched"] for each in ran.told if each.get("matched", -1) >= 0)
    if told.stdout.split() != ["0", str(matched)]:
        raise Failed("the members are wrong")
    return checked


# -- regimes


def vole(plan: Plan, full: int, quick: int, target: str, most: int) -> Row:
    """Beside RR22, and at the smaller size beside KKRT."""
    rows = plan.rows(full, quick)
    receiver, sender = data.ids(plan.folder, rows, rows)
    out = plan.folder / "out.csv"
    contenders = {OURS: _two_party("vole", receiver, sender, out)} | _limits(receiver, sender, out)
    if "secretflow" in plan.peers.pythons:
        contenders["SecretFlow RR22"] = _secretflow(plan, receiver, sender, "PROTOCOL_RR22")
        if rows <= 1_000_000:
            contenders["SecretFlow KKRT"] = _secretflow(plan, receiver, sender, "PROTOCOL_KKRT")
    return Row(_named("vole", rows, rows), target, rows, alternate(contenders, plan.rounds(most)))


def keyed(plan: Plan) -> Row:
    """At a neutral operator: no peer has it."""
    rows = plan.rows(10_000_000, 1_000_000)
    receiver, sender = data.ids(plan.folder, rows, rows)
    out = plan.folder / "out.csv"
    contenders = {OURS: _keyed(receiver, sender, out)} | _limits(receiver, sender, out)
    return Row(_named("keyed", rows, rows), "≤ 5 s", rows, alternate(contenders, plan.rounds(3)))


def dh(plan: Plan) -> Row:
    """Beside ECDH on curve 25519 with the hash that leaks a bit an item: the sound one takes a quarter of an hour."""
    rows = plan.rows(1_000_000, 20_000)
    receiver, sender = data.ids(plan.folder, rows, rows)
    contenders = {OURS: _two_party("dh", receiver, sender, plan.folder / "out.csv")}
    if "secretflow" in plan.peers.pythons:
        contenders["SecretFlow ECDH, leaky hash"] = _secretflow(plan, receiver, sender, "PROTOCOL_ECDH", "CURVE_25519")
    return Row(_named("dh", rows, rows), "≤ 16 s (AVX-512 IFMA)", rows, alternate(contenders, plan.rounds(1)))


def dh_small(plan: Plan) -> Row:
    """Beside OpenMined and ECDH with a sound hash to the curve, at a size that they manage."""
    rows = plan.rows(100_000, 5_000)
    receiver, sender = data.ids(plan.folder, rows, rows)
    contenders = {OURS: _two_party("dh", receiver, sender, plan.folder / "out.csv")}
    if "openmined" in plan.peers.pythons:
        contenders["OpenMined PSI"] = _openmined(plan, receiver, sender)
    if "secretflow" in plan.peers.pythons:
        sound = ("PROTOCOL_ECDH", "CURVE_25519_ELLIGATOR2")
        contenders["SecretFlow ECDH, sound hash"] = _secretflow(plan, receiver, sender, *sound)
    return Row(_named("dh", rows, rows), "–", rows, alternate(contenders, plan.rounds(1)))


def dh_cold(plan: Plan) -> Row:
    """As few rows as need no compiled kernel: what two processes take that have nothing loaded and nothing cached."""
    receiver, sender = data.ids(plan.folder, SMALL_ROWS, SMALL_ROWS)
    out = plan.folder / "out.csv"
    contenders = {OURS: _two_party("dh", receiver, sender, out), PLAIN: _limits(receiver, sender, out)[PLAIN]}
    return Row(_named("dh", SMALL_ROWS, SMALL_ROWS), "≤ 1 s", SMALL_ROWS, alternate(contenders, plan.rounds(9)))


def oprf(plan: Plan) -> list[Row]:
    """Offline and online apart; the peer does both at once."""
    few, many = plan.rows(20_000, 2_000), plan.rows(1_000_000, 40_000)
    receiver, sender = data.ids(plan.folder, few, many)
    tags, out = plan.folder / "tags.arrow", plan.folder / "out.csv"
    offline = _module("unbalanced", "offline", sender, tags, few)
    online = [_module("unbalanced", "receiver", receiver, out, tags), _module("unbalanced", "sender", "-", tags)]
    contenders: dict[str, Callable[[], Ran]] = {
        "offline": lambda: together([offline]),
        OURS: lambda: _exact(together(online, joined=True), receiver, sender, out),
    }
    if "secretflow" in plan.peers.pythons:
        contenders["SecretFlow unbalanced, both"] = _secretflow(plan, receiver, sender, "unbalanced")
    results = alternate(contenders, plan.rounds(2))
    prepared = {OURS: results.pop("offline")}
    size = _size(few, many)
    return [
        Row(
            (f"`oprf` {size}, offline, once a key epoch", f"`oprf` {size}，离线，每个密钥周期一次"),
            "≤ 5 s",
            many,
            prepared,
        ),
        Row((f"`oprf` {size}, online", f"`oprf` {size}，在线"), "≤ 1 s", few, results),
    ]


def join_sum(plan: Plan) -> Row:
    """No peer of ours has it in Python."""
    rows = plan.rows(100_000, 2_000)
    receiver, sender = data.ids(plan.folder, rows, rows)
    commands = [
        _module("join_sum", "receiver", receiver, "-", 2048),
        _module("join_sum", "sender", sender, "-", 2048),
    ]
    ran = [_checked(together(commands, joined=True), receiver, sender) for _ in range(plan.rounds(1))]
    work = (f"`join-sum` {_size(rows, rows)}, 2,048 bits", f"`join-sum` {_size(rows, rows)}，2,048 位")
    return Row(work, "≤ 15 s", rows, {OURS: summary(ran)})


def slots(plan: Plan, bits: int, target: str) -> Row:
    """A column of twelve declared cells, encrypted by its owner."""
    rows = plan.rows(1_000_000 if bits == 2048 else 200_000, 10_000)
    ran = together([_module("slots", bits, rows, 12)])
    told = ran.told[0]
    work = (f"slots: {rows:,} rows × 12 cells, {bits:,} bits", f"槽位：{rows:,} 行 × 12 单元格，{bits:,} 位")
    return Row(work, target, rows, {OURS: Summary(1, told["seconds"], ran.memory, told["bytes"], ran.told)})


def paillier(plan: Plan, bits: int) -> list[Operation]:
    """Microseconds an operation on one core: ours, ours as on a machine without IFMA, phe, HEU."""
    count, few = plan.rows(20_000, 2_000), plan.rows(2_000, 200)
    ours = _primitives(bits, count)
    together([_primitives(bits, 64)], environment=PORTABLE)  # compiles
    contenders: dict[str, Callable[[], Ran]] = {
        OURS: lambda: together([ours]),
        "ours, no IFMA": lambda: together([_primitives(bits, few)], environment=PORTABLE),
    }
    for name, title in (("phe", "phe"), ("heu", "HEU ZPaillier")):
        if name in plan.peers.pythons:
            command = plan.peers.script(name, f"{name}_paillier.py", bits, few // 8 if name == "phe" else few)
            contenders[title] = lambda command=command: together([command])  # type: ignore[misc]
    results = alternate(contenders, plan.rounds(3))
    targets = _TARGETS if bits == 2048 else {}
    return [
        Operation((f"{english}, {bits:,} bits", f"{chinese}，{bits:,} 位"), targets.get(name, "–"),
                  {each: ran.told[0][name] for each, ran in results.items() if name in ran.told[0]})
        for name, (english, chinese) in _OPERATIONS.items()
    ]  # fmt: skip


_OPERATIONS = {
    "owner encryption": ("owner encryption", "密钥持有方加密"),
    "packed value": ("packed value of 8", "8 值打包，每值"),
    "group sum": ("group sum, a row", "分组求和，每行"),
    "decryption": ("decryption", "解密"),
}
_TARGETS = {
    "owner encryption": "≤ 120 µs; ≤ 700 without IFMA",
    "packed value": "≤ 16 µs",
    "group sum": "≤ 1.4 µs; ≤ 10 without IFMA",
    "decryption": "≤ 400 µs",
}


def _named(protocol: str, receiver: int, sender: int) -> tuple[str, str]:
    size = _size(receiver, sender)
    return f"`{protocol}` {size}, CSV → members", f"`{protocol}` {size}，CSV → 匹配成员"
