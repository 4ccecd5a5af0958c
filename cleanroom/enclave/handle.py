"""A party's hold on its enclave process: start it, send rows, ask, close it.

Calls are synchronous and for one thread. When the process is gone every call raises Interrupted; nothing is retried,
since its rows are gone with it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.enclave import tables
from cleanroom.enclave.errors import TRAVELLING
from cleanroom.enclave.query import SLOTS, Groups, Query, Where
from cleanroom.enclave.wire import Wire, WireEnded
from cleanroom.errors import Interrupted
from protocols.kernels.cache import caches

MEMORY = 2 << 30
SECONDS = 600.0
GRACE = 30.0
"""Seconds beyond a request's time limit after which a silent process is ended."""

ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
    "TZ": "UTC",
}
"""All that the process is told of its surroundings. The allocator's settings give freed rows back to the system; a
thread of Arrow's other allocator, which nobody uses, would be there before the sandbox."""


def start(
    *, memory: int = MEMORY, threads: int | None = None, ciphertexts: int = 0, seconds: float = SECONDS
) -> Enclave:
    """Start an enclave process.

    `memory`: bytes it may hold in rows and DuckDB; `threads`: DuckDB's, else one a core; `ciphertexts`: about how many
    it will sum; `seconds`: the most that one request may take. Raises Interrupted where it does not come up.
    """
    folder = tempfile.TemporaryDirectory(prefix="enclave-")
    here, there = socket.socketpair()
    limits = (memory, threads or os.cpu_count() or 1, ciphertexts, seconds)
    with there:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", "-m", "cleanroom.enclave.process"]
            + [str(value) for value in (there.fileno(), *limits)],
            pass_fds=[there.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=folder.name,
            env=ENVIRONMENT
            | {"NUMBA_CACHE_DIR": str(caches())}
            | {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "NUMBA_"))},
        )
    here.settimeout(seconds + GRACE)
    return Enclave(process, here, folder)


class Enclave:
    """A running enclave process; an `Engine`. Use it in a `with` block."""

    isolation: tuple[str, ...]
    """What the process has given up on this machine: names of `sandbox`, for the receipt."""
    peak_memory = 0
    """Bytes the process held at most; known once it is closed."""

    def __init__(
        self, process: subprocess.Popen[bytes], sock: socket.socket, folder: tempfile.TemporaryDirectory[str]
    ) -> None:
        self._process, self._wire, self._folder = process, Wire(sock), folder
        self.isolation = tuple(self._answer()["isolation"])

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def load(self, dataset: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Send a dataset's rows; returns how many.

        Columns: `token` fixed_size_binary(16), unique; where a person may have several identities the same by each
        further one, `token#1`, `token#2` and so on; any `<dataset>.<column>` of text, whole numbers, truth values,
        dates or fixed-size tokens; at most one `<dataset>.#slots`, ciphertexts side by side. Raises UsageError for
        another schema, LimitReached where memory does not hold them, Interrupted.
        """
        return int(self._send_rows(schema, batches, request="load", dataset=dataset)["rows"])

    def load_matched(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Send rows that are matched already, one a person; returns how many. Columns as for `load`, of any dataset.

        With `token` they were lined up elsewhere, of the datasets that `match` will name; some can be dropped first.
        """
        return int(self._send_rows(schema, batches, request="load_matched")["rows"])

    def drop_tokens(self, tokens: NDArray[np.uint8]) -> dict[str, int]:
        """Leave the rows of these tokens (uint8[n, 16], column `token`: canaries) out of the match to come.

        Returns dataset → how many of its rows that are.
        """
        schema = pa.schema({tables.TOKEN: tables.TOKEN_TYPE})
        batches = tables.in_batches(tables.TOKEN, tokens)
        return dict(self._send_rows(schema, batches, request="drop")["dropped"])

    def match(self, left: str, right: str, *others: str, addressed: str = "") -> int:
        """Line loaded datasets up by token, once; how many persons are in all. addressed: see `matched_positions`.

        By several identities each row counts once, by the first that hits; then there are two datasets, with tokens of
        the same ones. Raises BadMessage where a dataset holds a token twice.
        """
        return int(self._ask(request="match", datasets=[left, right, *others], addressed=addressed)["size"])

    def matched_positions(self, dataset: str, where: Where = ()) -> pa.Int64Array:
        """Which rows of `dataset` are matched: int64 positions in the order it was loaded, ascending.

        where: of these only the people meant; then `dataset` is the one that was addressed.

        Ascending, so that two datasets' positions do not say which row goes with which.
        """
        self._ask(request="positions", dataset=dataset, query=Query((), (), where).to_fields())
        return self._stream().column(0).combine_chunks()

    def run(self, query: Query, public_keys: Mapping[str, int] | None = None) -> Groups:
        """See `query.Engine.run`: exact groups of the matched persons, and sums."""
        keys = {dataset: f"{modulus:x}" for dataset, modulus in (public_keys or {}).items()}
        answer = self._ask(request="run", query=query.to_fields(), public_keys=keys)
        table = self._stream()
        return Groups(table, {dataset: _rows(self._stream()) for dataset in answer["ciphertexts"]})

    def subtractable(self, query: Query, earlier: Sequence[Query], k: int) -> bool:
        """See `query.Engine.subtractable`."""
        before = [each.to_fields() for each in earlier]
        return bool(self._ask(request="subtractable", query=query.to_fields(), earlier=before, k=k)["subtractable"])

    def close(self) -> None:
        """End the process in good order; its peak memory is known then. Raises Interrupted if it was gone already."""
        if self._wire.closed:
            return
        self.peak_memory = int(self._ask(request="close")["peak_memory"])
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:  # all is answered: what keeps an interpreter from its end is of no use
            self._process.kill()
            self._process.wait()
        self._release()

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._release()

    def __enter__(self) -> Enclave:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    def _release(self) -> None:
        self._wire.close()
        self._folder.cleanup()

    def _ask(self, **request: object) -> dict[str, Any]:
        try:
            self._wire.send(**request)
        except WireEnded:
            raise self._gone() from None
        return self._answer()

    def _send_rows(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], **request: object) -> dict[str, Any]:
        try:
            self._wire.send(**request)
            self._wire.send_stream(schema, batches)
        except WireEnded:
            # it stopped reading: its answer says why
            return self._answer()
        except BaseException:
            # the rows themselves failed to come: half a dataset is of no use
            self.kill()
            raise
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        try:
            answer = self._wire.receive()
        except WireEnded:
            raise self._gone() from None
        if "error" in answer:
            raise _rebuilt(**answer["error"])
        return answer

    def _stream(self) -> pa.Table:
        try:
            return self._wire.receive_table()
        except WireEnded:
            raise self._gone() from None

    def _gone(self) -> Interrupted:
        self.kill()
        return Interrupted(
            "The enclave process ended before its work was done (status {status}).",
            "If the machine was short of memory, give it more or run this room on the distributed engine.",
            status=self._process.returncode,
        )


def _rows(column: pa.Table) -> NDArray[np.uint8]:
    """A table of one fixed-size binary column as uint8[n, w]."""
    width = column.schema.field(0).type.byte_width
    pieces = [tables.fixed(batch, SLOTS) for batch in column.to_batches()]
    return np.concatenate([*pieces, np.empty((0, width), np.uint8)])


def _rebuilt(kind: str, template: str, hint: str, params: dict[str, object]) -> Exception:
    return TRAVELLING[kind](template, hint, **params)
