"""The table of an `oprf` room by the cluster of the side that is asked, where its node is set to one: what
`answer.unbalanced` calls.

What comes of it is what one machine makes, and is kept as there, in the home, for the epoch: so executors evaluate what
is new since the version before, and of a version that was evaluated nothing. Parts stand only while the table is made.
"""

import hashlib

import pyarrow as pa

from cleanroom.answer.side import Side
from cleanroom.cluster import oprf_tables, session
from cleanroom.cluster.buckets import Layout
from cleanroom.cluster.oprf_tables import EVALUATED, OwnTags, Terms
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.stages import Stage
from cleanroom.cluster.vault_rows import VaultRows
from cleanroom.errors import Refused
from cleanroom.vault.identities import DIGEST
from protocols.oprf.keys import Epoch, Key
from protocols.oprf.tables import TagTable
from protocols.psi import keyed
from protocols.rows import repeated_items, schema, to_batch, to_rows


def made(
    side: Side, settings: ClusterSettings, key: Key, epoch: Epoch, earlier: pa.Table | None
) -> tuple[TagTable, pa.Table]:
    """(the table for the other side; every person's item and tag, which stay here). earlier: the latter, of the version
    before. Raises ProtocolError as `tables.precompute`, Refused above the contract's bound, NoCluster, MissingKey."""
    source = VaultRows.granted(settings, side.home.vault, side.dataset.name, [DIGEST])
    side.check_unchanged()
    if source.rows > side.dataset.rows:
        raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=side.dataset.name)
    terms = Terms(key, epoch, keyed.subkey(side.room_key, "canary"), "sender", side.width)
    parts = Parts.of_run(settings, "oprf")
    try:
        known = None if earlier is None else _stored(parts, settings, epoch, earlier)
        spark = session.started(settings).newSession()
        own = oprf_tables.evaluate(spark, settings, parts, source, terms, source.rows, side.step, earlier=known)
        if again := source.rows - own.rows:
            raise repeated_items(again)
        table = oprf_tables.table(spark, settings, parts, own, terms, side.step)
        return table.whole(), pa.Table.from_batches(own.batches(), own.schema)
    finally:
        parts.remove()


def _stored(parts: Parts, settings: ClusterSettings, epoch: Epoch, kept: pa.Table) -> OwnTags:
    """Kept items and tags as executors read them: in buckets by item."""
    items, tags = (to_rows(column.combine_chunks()) for column in kept.columns)
    layout = Layout(items.shape[1], 0, settings.buckets)
    digest = hashlib.sha256(b"cleanroom/oprf-kept/1" + items.tobytes()).hexdigest()
    of, places = schema({"item": items.shape[1], "tag": tags.shape[1]}), layout.buckets(items)
    stage = Stage(parts, "kept", digest, layout.of)
    for bucket in range(layout.of):
        rows = places == bucket
        stage.put(bucket, of, [to_batch(of, items[rows], tags[rows])], {EVALUATED: 0})
    return OwnTags(stage, epoch, items.shape[1], stage.commit())
