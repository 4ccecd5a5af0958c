"""A node whose owner writes down all that it sees: `python -m tests.node.tapped serve --home HOME`, TAP naming a folder.

There: calls.jsonl, what peers called and what its own calls were answered; wire-NUMBER-PEER, every byte that came over a
wire; values.jsonl, what its workers read of messages. The node and its workers are the real ones.
"""

import itertools
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

VALUE_BYTES = 8
"""Narrower columns are pieces of a value, which meet by chance."""
_WORKER = "cleanroom.node.party"


def node() -> int:
    """The program, tapped."""
    import cli
    from cleanroom.node import lines, link, local

    folder = Path(os.environ["TAP"])
    one, call, deliver, made = lines.Calls.one, lines.Lines.call, link.Link._deliver, itertools.count()

    def noted(**what: Any) -> None:
        with (folder / "calls.jsonl").open("a") as file:
            file.write(json.dumps(what) + "\n")

    def asked(self: Any, peer: Any, name: str, body: Any) -> Any:
        noted(peer=peer.name, asked=name, body=body)
        return one(self, peer, name, body)

    def answered(self: Any, name: str, called: str, *given: Any) -> Any:
        try:
            answer = call(self, name, called, *given)
        except Exception as error:
            noted(peer=name, failed=called, error=str(error))
            raise
        noted(peer=name, answered=called, body=answer)
        return answer

    def came(self: Any, offset: int, payload: memoryview) -> None:
        if not hasattr(self, "tap"):
            self.tap = folder / f"wire-{next(made)}-{self.peer}"
        with self.tap.open("ab") as file:
            file.write(payload)
        deliver(self, offset, payload)

    def start(command: list[str], **how: Any) -> Any:
        at = command.index(_WORKER)
        return subprocess.Popen([*command[:at], __spec__.name, "worker", *command[at + 1 :]], **how)

    lines.Calls.one, lines.Lines.call, link.Link._deliver = asked, answered, came  # type: ignore[method-assign,assignment]
    local.subprocess = types.SimpleNamespace(**{**vars(subprocess), "Popen": start})  # type: ignore[assignment,attr-defined]
    cli.app()
    return 0


def worker(arguments: list[str]) -> int:
    """A party's process, tapped."""
    from cleanroom.lean import without_pandas

    without_pandas()
    import pyarrow as pa

    from cleanroom.node import party
    from protocols import payload

    decode = payload.decode

    def read(content: memoryview, schema: pa.Schema, most_rows: int) -> pa.RecordBatch:
        batch = decode(content, schema, most_rows)
        with (Path(os.environ["TAP"]) / "values.jsonl").open("a") as file:
            for each in schema:
                if pa.types.is_fixed_size_binary(each.type) and each.type.byte_width >= VALUE_BYTES:
                    values = [value.hex() for value in batch.column(each.name).to_pylist()]
                    file.write(json.dumps([each.name, values]) + "\n")
        return batch

    payload.decode = read
    return party.main(arguments)


if __name__ == "__main__":
    sys.exit(worker(sys.argv[2:]) if sys.argv[1] == "worker" else node())
