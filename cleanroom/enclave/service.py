"""The enclave process's conversation: one request, one answer, until the party closes its end.

A request that fails is answered with a named error. One that fails before all its rows are read ends the process, since
the rest of the socket's bytes would have no meaning.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.enclave import tables
from cleanroom.enclave.duck import DuckEngine
from cleanroom.enclave.errors import TRAVELLING
from cleanroom.enclave.query import SLOTS, Query
from cleanroom.enclave.wire import Wire, WireEnded

POSITIONS = "position"


class Service:
    """Answers requests with one engine."""

    def __init__(self, wire: Wire, engine: DuckEngine) -> None:
        self._wire, self._engine, self._unread = wire, engine, False
        self._requests: dict[str, Callable[..., None]] = {
            "load": self._load,
            "load_matched": self._load_matched,
            "drop": self._drop,
            "match": self._match,
            "positions": self._positions,
            "run": self._run,
            "subtractable": self._subtractable,
        }

    def serve(self) -> bool:
        """Answer until told to close (True), or until the conversation breaks off (False)."""
        try:
            while (request := self._wire.receive())["request"] != "close":
                if not self._answer(**request):
                    return False
        except WireEnded:
            return False
        return True

    def _answer(self, request: str, **arguments: Any) -> bool:
        """Answer one request; whether the next one can be read."""
        try:
            self._requests[request](**arguments)
        except tuple(TRAVELLING.values()) as error:
            self._wire.send(error=_as_fields(error))
            return not self._unread
        return True

    def _load(self, dataset: str) -> None:
        schema, batches = self._rows()
        self._wire.send(rows=self._engine.load(dataset, schema, batches))

    def _load_matched(self) -> None:
        schema, batches = self._rows()
        self._wire.send(rows=self._engine.load_matched(schema, batches))

    def _drop(self) -> None:
        _, batches = self._rows()
        tokens = [tables.fixed(batch, tables.TOKEN) for batch in batches]
        self._wire.send(dropped=self._engine.drop(np.concatenate([*tokens, np.empty((0, 16), np.uint8)])))

    def _match(self, datasets: list[str], addressed: str) -> None:
        self._wire.send(size=self._engine.match(*datasets, addressed=addressed))

    def _positions(self, query: dict[str, object], dataset: str) -> None:
        column = pa.record_batch({POSITIONS: self._engine.positions(dataset, Query.from_fields(query).where)})
        self._wire.send()
        self._wire.send_stream(column.schema, [column])

    def _run(self, query: dict[str, object], public_keys: dict[str, str]) -> None:
        moduli = {dataset: int(modulus, 16) for dataset, modulus in public_keys.items()}
        groups = self._engine.run(Query.from_fields(query), moduli)
        self._wire.send(ciphertexts=list(groups.ciphertexts))
        self._wire.send_stream(groups.table.schema, groups.table.to_batches())
        for rows in groups.ciphertexts.values():
            self._wire.send_stream(pa.schema({SLOTS: pa.binary(rows.shape[1])}), tables.in_batches(SLOTS, rows))

    def _subtractable(self, query: dict[str, object], earlier: list[dict[str, object]], k: int) -> None:
        before = [Query.from_fields(each) for each in earlier]
        self._wire.send(subtractable=self._engine.subtractable(Query.from_fields(query), before, k))

    def _rows(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """The schema and batches that follow a request."""
        self._unread = True
        reader = self._wire.receive_stream()

        def batches() -> Iterator[pa.RecordBatch]:
            yield from reader
            self._unread = False

        return reader.schema, batches()


def _as_fields(error: Any) -> dict[str, object]:
    params = {name: value if isinstance(value, int | float) else str(value) for name, value in error.params.items()}
    return {"kind": type(error).__name__, "template": error.template, "hint": error.hint, "params": params}
