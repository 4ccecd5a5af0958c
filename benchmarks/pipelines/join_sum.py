"""`join-sum`: `dh` without order, Paillier slots as labels; the receiver adds them, the sender decrypts one row.

usage: join_sum.py receiver|sender FILE OUT BITS PLACE=SOCKET
"""

import numpy as np
import pyarrow as pa

from benchmarks.pipelines import party
from protocols.channel import Channel
from protocols.paillier import answer, cipher, keys
from protocols.paillier.cells import Amount, CellLayout
from protocols.psi import dh
from protocols.rows import Bytes, schema, to_batch

_KEY = pa.schema([pa.field("key", pa.binary(), nullable=False)])
MOST = 1_000_000
"""The most that a person's amount may be, in minor units."""


def main() -> None:
    """One party."""
    given = party.words()
    items = party.digests(party.read(given.file))
    peer = "sender" if given.role == "receiver" else "receiver"
    (number,) = given.sockets.values()
    bits = int(given.more[0])
    layout = CellLayout(bits, 1, (Amount("spend", 0, MOST),), len(items))
    with party.channel(given.role, peer, number) as channel:
        (_sender if given.role == "sender" else _receiver)(channel, items, layout)


def _sender(channel: Channel, items: Bytes, layout: CellLayout) -> None:
    key = keys.generate(layout.bits)
    channel.send_batch("key", pa.record_batch([pa.array([key.public.to_bytes()])], schema=_KEY))
    amounts = np.random.default_rng(1).integers(0, MOST, (len(items), 1))
    plain = layout.encode(np.zeros(len(items), np.int64), amounts, key.public)
    labels = cipher.encrypt(key, plain)
    dh.sender(channel, items, labels, canaries=party.canaries("sender"), ordered=False)
    (sums,) = channel.receive_rows("sums", schema({"sum": labels.shape[1]}), rows=1)
    totals = answer.open_sums(key, layout, sums)
    party.tell(matched=int(totals.counts[0, 0]), sent=channel.sent)


def _receiver(channel: Channel, items: Bytes, layout: CellLayout) -> None:
    batch = channel.receive_row("key", _KEY, nbytes=layout.bits)
    public = keys.PublicKey.from_bytes(batch.column(0)[0].as_py())
    width = layout.plaintexts * public.width
    canaries = party.canaries("receiver")
    result = dh.receiver(channel, items, label_width=width, canaries=canaries, ordered=False)
    cipher.check_ciphertexts(public, result.labels)
    sums = cipher.sum_groups(public, result.labels, np.zeros(result.size, np.int64), 1)
    masked, _ = answer.prepare(public, layout, sums, np.array([result.size]))
    channel.send_batch("sums", to_batch(schema({"sum": width}), masked))
    party.tell(matched=result.size, sent=channel.sent)


if __name__ == "__main__":
    party.run(main)
