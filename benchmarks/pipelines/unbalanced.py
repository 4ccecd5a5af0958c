"""`oprf` in its two parts. usage:

unbalanced.py offline FILE TAGS QUERIES                            the sender evaluates its side: key, epoch and tags
unbalanced.py sender - TAGS PLACE=SOCKET                           online: answers
unbalanced.py receiver FILE OUT TAGS PLACE=SOCKET                  online: asks, and writes its matched rows
The receiver has the table of tags already, as after an epoch's first run; it is counted among the bytes.
"""

import json
from pathlib import Path

import pyarrow as pa

from benchmarks.pipelines import party
from protocols.oprf import points
from protocols.oprf.keys import Epoch, Key, Quota
from protocols.oprf.questions import ask
from protocols.oprf.tables import TagTable, precompute
from protocols.psi import oprf


def main() -> None:
    """One of the three."""
    given = party.words()
    if given.role == "offline":
        _offline(given)
    elif given.role == "sender":
        _sender(given)
    else:
        _receiver(given)


def _offline(given: party.Words) -> None:
    items = party.digests(party.read(given.file))
    key = Key.generate(bytes(32))
    epoch = Epoch(1, key.public, len(items), 2 * int(given.more[0]))
    table, _ = precompute(key, epoch, items, None, canaries=party.canaries("sender"))
    with pa.ipc.new_file(given.out, (arrow := table.to_arrow()).schema) as file:
        file.write_table(arrow)
    terms = {"public": key.public.hex(), "rows": epoch.most_rows, "queries": epoch.most_queries}
    Path(given.out + ".epoch").write_text(json.dumps(terms), "utf-8")
    Path(given.out + ".key").write_bytes(key.export_secret())
    party.tell(rows=len(items), sent=Path(given.out).stat().st_size)


def _held(path: str) -> tuple[Epoch, TagTable]:
    terms = json.loads(Path(path + ".epoch").read_text("utf-8"))
    epoch = Epoch(1, bytes.fromhex(terms["public"]), terms["rows"], terms["queries"])
    with pa.memory_map(path) as file:
        return epoch, TagTable.from_arrow(pa.ipc.open_file(file).read_all(), epoch)


def _sender(given: party.Words) -> None:
    epoch, table = _held(given.out)
    key = Key.import_secret(Path(given.out + ".key").read_bytes())
    points.prepare(epoch.most_queries)  # while the receiver blinds its items
    (number,) = given.sockets.values()
    with party.channel("sender", "receiver", number) as channel:
        oprf.sender(channel, key, table, Quota.of(epoch), lambda quota: None)
        party.tell(sent=channel.sent)


def _receiver(given: party.Words) -> None:
    rows = party.read(given.file)
    epoch, table = _held(given.more[0])
    question = ask(party.digests(rows), canaries=party.canaries("receiver"))
    (number,) = given.sockets.values()
    with party.channel("receiver", "sender", number) as channel:
        result = oprf.receiver(channel, question, epoch, table).result
        party.write(rows, result.matched, given.out)
        party.tell(matched=result.size, sent=channel.sent)


if __name__ == "__main__":
    party.run(main)
