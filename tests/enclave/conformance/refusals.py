"""What every engine refuses, with the same named error: its type and its text, and no value of a row in either."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.enclave import tables
from cleanroom.enclave.errors import LimitReached
from cleanroom.enclave.query import Query
from cleanroom.errors import Refused, UsageError
from protocols.errors import BadMessage
from tests.enclave.conformance import worlds
from tests.enclave.conformance.engines import Opened

ROWS = 6
_DRAW = np.random.default_rng(11)
TOKENS = worlds.tokens(_DRAW, 3 * ROWS).reshape(3, ROWS, 16)
SECRET = "secret-value"


@dataclass(frozen=True)
class Refusal:
    """What is done to an engine, the error that it raises, and the error's text."""

    name: str
    act: Callable[[Any], object]
    kind: type[Exception]
    template: str

    @property
    def expected(self) -> tuple[str, str]:
        """As `told` says it."""
        return self.kind.__name__, self.template


@dataclass(frozen=True)
class Given:
    """What an engine holds when it refuses these, one after the other; it must live on after each but the last.

    seconds: its limit of time, where that is what they are about. wide: others stand for these in a short run.
    """

    name: str
    prepare: Callable[[Any], object]
    refusals: Sequence[Refusal]
    seconds: float | None = None
    wide: bool = False


def told(opened: Opened, given: Given) -> Iterator[tuple[Refusal, tuple[str, str]]]:
    """Each refusal, with the type and the template of what the engine raised; ("nothing", "") for no error."""
    with opened(**({} if given.seconds is None else {"seconds": given.seconds})) as engine:
        given.prepare(engine)
        for refusal in given.refusals:
            yield refusal, _told(engine, refusal)


def _told(engine: Any, refusal: Refusal) -> tuple[str, str]:
    try:
        refusal.act(engine)
    except (Refused, UsageError, BadMessage) as error:
        shown = SECRET in f"{error}{error!r}{error.params}"
        return type(error).__name__, "shows a value" if shown else error.template
    return "nothing", ""


def dataset(name: str, token: np.ndarray = TOKENS[0], **columns: pa.Array) -> pa.Table:
    """A dataset of one identity."""
    return pa.table({"token": tables.as_binary(token)} | {f"{name}.{column}": v for column, v in columns.items()})


def load(engine: Any, name: str, table: pa.Table) -> None:
    """Its rows, two at once."""
    engine.load(name, table.schema, iter(table.to_batches(2)))


def pair(engine: Any, left: pa.Table, right: pa.Table, **how: Any) -> int:
    """Two datasets, loaded and matched."""
    load(engine, "m", left)
    load(engine, "p", right)
    return int(engine.match("m", "p", **how))


def usual(engine: Any) -> int:
    """Six persons with a cell, a text, a token and ciphertexts, matched."""
    cell = pa.array([at % 3 for at in range(ROWS)], pa.int64())
    more = {"text": pa.array([SECRET] * ROWS), "small": pa.array([1] * ROWS, pa.int8())}
    code = pa.array([b"12345678"] * ROWS, pa.binary(8))
    slots = tables.as_binary(np.ones((ROWS, 500), np.uint8))
    left = dataset("m", cell=cell, **more).append_column("m.#slots", slots)
    return pair(engine, left, dataset("p", code=code), addressed="p")


def ready(engine: Any) -> None:
    """Three rows matched already."""
    table = pa.table({"m.cell": pa.array([0, 1, 2], pa.int64())})
    engine.load_matched(table.schema, iter(table.to_batches()))


def asking(query: Callable[[], Query], **keys: int) -> Callable[[Any], object]:
    """Asks."""
    return lambda engine: engine.run(query(), keys)


def nothing(_: Any) -> None:
    """A new engine."""


def givens() -> list[Given]:
    """All of them."""
    return [
        Given("nothing loaded", nothing, [*_before(), *_rows(), _usual_works()]),
        Given("a dataset loaded", lambda e: load(e, "m", dataset("m")), list(_with_one())),
        Given("rows matched already", ready, list(_with_rows())),
        Given("a match", usual, [*_after(), *_questions()]),
        *_tokens(),
        *_limits(),
    ]


def _usual_works() -> Refusal:
    """After all that was refused the engine matches; what ends the list is a second match."""

    def act(engine: Any) -> object:
        return usual(engine) == ROWS and engine.match("m", "p")

    return Refusal("a second match", act, UsageError, ONCE)


ONCE, UNKNOWN = "An enclave matches two or more datasets, once.", "The enclave has no dataset {dataset}."
COLUMN = "The enclave has no column {name}."


def _before() -> Iterator[Refusal]:
    template = "There are no matched rows in the enclave yet."
    yield Refusal("a question before the match", lambda e: e.run(Query(), {}), UsageError, template)
    yield Refusal("positions before the match", lambda e: e.matched_positions("m"), UsageError, template)
    yield Refusal("a bit before the match", lambda e: e.subtractable(Query(), [], 3), UsageError, template)
    yield Refusal("a match of unknown datasets", lambda e: e.match("m", "q"), UsageError, UNKNOWN)


def _with_one() -> Iterator[Refusal]:
    yield Refusal("a dataset twice", lambda e: load(e, "m", dataset("m")), UsageError, "{dataset} is loaded already.")
    yield Refusal("matched rows beside a dataset", ready, UsageError, "The enclave has rows already.")
    yield Refusal("a match with itself", lambda e: e.match("m", "m"), UsageError, ONCE)
    yield Refusal("a match of an unknown dataset", lambda e: e.match("m", "q"), UsageError, UNKNOWN)


def _with_rows() -> Iterator[Refusal]:
    yield Refusal("matched rows twice", ready, UsageError, "The enclave has rows already.")
    yield Refusal("a match of rows matched already", lambda e: e.match("m", "p"), UsageError, ONCE)
    yield Refusal("a bit about an unknown column", lambda e: e.subtractable(Query(("m.x",)), [], 3), UsageError, COLUMN)


def _after() -> Iterator[Refusal]:
    meant = ((("m.cell", (0,)),),)
    yield Refusal("a dataset after the match", lambda e: load(e, "q", dataset("q")), UsageError,
                  "{dataset} is loaded already.")  # fmt: skip
    yield Refusal("canaries after the match", lambda e: e.drop_tokens(TOKENS[0]), UsageError,
                  "The match is done; no tokens can be left out of it.")  # fmt: skip
    yield Refusal("positions of an unknown dataset", lambda e: e.matched_positions("q"), UsageError, UNKNOWN)
    yield Refusal("positions by a condition of who was not addressed", lambda e: e.matched_positions("m", meant),
                  UsageError, UNKNOWN)  # fmt: skip
    yield Refusal("positions by an unknown column", lambda e: e.matched_positions("p", ((("m.x", (0,)),),)), UsageError,
                  COLUMN)  # fmt: skip


def _questions() -> Iterator[Refusal]:
    for name in ("m.other", "m.CELL", "m.cell ", "people.x", "q.cell"):
        yield Refusal("by an unknown column", asking(lambda name=name: Query((name,))), UsageError, COLUMN)
    yield Refusal("a sum of an unknown column", asking(lambda: Query((), ("m.other",))), UsageError, COLUMN)
    yield Refusal("a condition on an unknown column", asking(lambda: Query(where=((("m.other", (1,)),),))), UsageError,
                  COLUMN)  # fmt: skip
    others = (("m.cell", "6162"), ("m.small", 1), ("m.text", 1), ("m.text", "61"), ("p.code", 1), ("p.code", "61"))
    for name, cell in others:
        yield Refusal("cells of another kind", asking(lambda name=name, cell=cell: Query(where=(((name, (cell,)),),))),
                      UsageError, "Column {name} does not hold cells of this kind.")  # fmt: skip
    for name in ("m.text", "m.small", "p.code"):
        yield Refusal("a sum of what is no int64", asking(lambda name=name: Query((), (name,))), UsageError,
                      "Column {name} is not a whole number, so it has no sum.")  # fmt: skip
    yield Refusal("ciphertexts that are not there", asking(lambda: Query((), ("p.#slots",)), p=5), UsageError,
                  "The enclave has no ciphertexts of {dataset}.")  # fmt: skip
    yield Refusal("ciphertexts without their key", asking(lambda: Query((), ("m.#slots",))), UsageError,
                  "The public key of {dataset} is missing.")  # fmt: skip
    yield Refusal("ciphertexts of another width than the key",
                  asking(lambda: Query((), ("m.#slots",)), m=worlds.key().public.n), UsageError,
                  "The ciphertexts are not of this public key's width.")  # fmt: skip


def _rows() -> Iterator[Refusal]:
    token, none = tables.as_binary(TOKENS[0][:1]), pa.array([None], pa.binary(16))
    tokens, typed = "The rows of {dataset} have no column of 16-byte tokens.", (
        "Column {name} is of a type that the enclave does not group by.")  # fmt: skip
    missing, again = "Column {name} has rows without a value.", "Two columns of the enclave are named {name}."
    column, foreign = "{name} is not a column of an enclave.", "{name} is not a column of {dataset}."
    others: list[tuple[str, dict[str, pa.Array], type[Exception], str]] = [
        ("no tokens", {"m.cell": pa.array([1])}, UsageError, tokens),
        ("tokens of another type", {"token": pa.array([b"x"])}, UsageError, tokens),
        ("a missing token", {"token": none}, BadMessage, missing),
        ("a missing token of a further identity", {"token": token, "token#1": none}, BadMessage, missing),
        ("a gap among the identities", {"token": token, "token#2": token}, UsageError, column),
        ("another's column", {"token": token, "p.x": pa.array(["a"])}, UsageError, foreign),
        ("a column of no dataset", {"token": token, "x": pa.array(["a"])}, UsageError, column),
        ("floats", {"token": token, "m.x": pa.array([1.5])}, UsageError, typed),
        ("lists", {"token": token, "m.x": pa.array([[1]])}, UsageError, typed),
        ("decimals", {"token": token, "m.x": pa.array([Decimal(1)])}, UsageError, typed),
        ("ciphertexts of another type", {"token": token, "m.#slots": pa.array([1])}, UsageError, typed),
        ("a missing ciphertext", {"token": token, "m.#slots": pa.array([None], pa.binary(8))}, BadMessage, missing),
        ("names that differ by case", {"token": token, "m.x": pa.array([1]), "m.X": pa.array([1])}, UsageError, again),
        ("text that is no text", {"token": token, "m.x": _broken()}, BadMessage,
         "Rows sent to the enclave are damaged."),
    ]  # fmt: skip
    for name, columns, kind, template in others:
        yield Refusal(f"rows: {name}", lambda e, of=columns: load(e, "m", pa.table(of)), kind, template)


def _broken() -> pa.Array:
    data = SECRET.encode() + b"\xff"
    return pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, len(data)], np.int32)), pa.py_buffer(data))


def _tokens() -> Iterator[Given]:
    def alone(name: str, act: Callable[[Any], object], kind: type[Exception] = BadMessage,
              template: str = "Some persons stand twice in {dataset}.", *, wide: bool = False) -> Given:  # fmt: skip
        return Given(name, nothing, [Refusal(name, act, kind, template)], None, wide)

    for side in (0, 1):
        both = [dataset("mp"[at], TOKENS[0][[0, 1, 2, 1]] if at == side else TOKENS[0]) for at in (0, 1)]
        yield alone("a token twice", lambda e, of=both: pair(e, *of), wide=side == 0)
    unmatched = np.concatenate([TOKENS[1][[0, 0]], TOKENS[0]])
    yield alone("a token twice that nobody else has", lambda e: pair(e, dataset("m", unmatched), dataset("p")))
    for at in range(3):
        yield alone("a token twice in one of three", _three(at), wide=at < 2)
    for kind in range(3):
        yield alone("a token twice by one of three identities", _identities(kind), wide=kind < 2)
    further = dataset("m").append_column("token#1", tables.as_binary(TOKENS[1]))
    yield alone("unequally many identities", lambda e: pair(e, further, dataset("p")), UsageError,
                "The two datasets do not have tokens of as many identities.")  # fmt: skip
    yield alone("three datasets and several identities", _three(-1, further=True), UsageError,
                "More than two datasets are lined up by one identity only.")  # fmt: skip
    cell = pa.array(range(ROWS), pa.int64())
    yield alone("names of two datasets that differ by case",
                lambda e: [*(load(e, name, dataset(name, cell=cell)) for name in "mM"), e.match("m", "M")],
                UsageError, "Two columns of the enclave are named {name}.")  # fmt: skip


def _three(twice: int, *, further: bool = False) -> Callable[[Any], object]:
    def act(engine: Any) -> object:
        for at, name in enumerate("abc"):
            table = dataset(name, TOKENS[0][[0, 1, 2, 1]] if at == twice else TOKENS[0][:4])
            load(engine, name, table.append_column("token#1", tables.as_binary(TOKENS[1][:4])) if further else table)
        return engine.match("a", "b", "c")

    return act


def _identities(twice: int) -> Callable[[Any], object]:
    def act(engine: Any) -> object:
        names = ("token", "token#1", "token#2")
        own = [TOKENS[kind][[0, 1, 2, 1]] if kind == twice else TOKENS[kind][:4] for kind in range(3)]
        left = pa.table({name: tables.as_binary(of) for name, of in zip(names, own, strict=True)})
        right = pa.table({name: tables.as_binary(TOKENS[kind][3:]) for kind, name in enumerate(names)})
        return pair(engine, left, right)

    return act


def _limits() -> Iterator[Given]:
    template = "A sum does not fit 64 bits."
    ends = {"m.up": (worlds.MOST, 1), "m.down": (worlds.LEAST, -1), "m.far": (worlds.MOST, worlds.MOST)}
    table = pa.table({name: pa.array(values, pa.int64()) for name, values in ends.items()})
    beyond = [
        Refusal("a sum beyond 64 bits", asking(lambda name=name: Query((), (name,))), LimitReached, template)
        for name in ends
    ]
    yield Given("large numbers", lambda e: e.load_matched(table.schema, iter(table.to_batches(1))), beyond)
    wide = pa.table({f"m.c{at}": np.arange(6000) // 3 for at in range(3)})
    bit = Refusal("a bit about too many crossings", lambda e: e.subtractable(Query(tuple(wide.column_names)), [], 3),
                  Refused, "This grouping has more than {limit} possible cells.")  # fmt: skip
    yield Given("many cells", lambda e: e.load_matched(wide.schema, iter(wide.to_batches())), [bit])
    slots = pa.table({"m.#slots": worlds.ciphertexts(_DRAW, 1)})

    def late(engine: Any) -> object:
        engine.load_matched(slots.schema, iter(slots.to_batches()))
        return engine.run(Query((), ("m.#slots",)), worlds.moduli("m"))

    template = "The query did not end within {seconds} seconds."
    yield Given("no time", nothing, [Refusal("no time", late, LimitReached, template)], 1e-9)
