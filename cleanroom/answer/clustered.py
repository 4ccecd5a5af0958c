"""An owner's part of a neutral room where its node is set to a cluster: executors make the tokens and the slots.

What is sent is what one machine sends (`answer.keyed_owner`), over the channel or, where the nodes are set to it, by a
place that the operator's executors read. Rooms by several identities, crowds and updates go the way of one machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cleanroom import engines
from cleanroom.answer.side import Side
from cleanroom.answer.slots import cell_layout
from cleanroom.cluster import handover, session, tokenising
from cleanroom.cluster.brief import Brief, SlotTerms
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.tokenising import Tokenised
from cleanroom.cluster.vault_rows import VaultRows
from cleanroom.enclave.query import Engine
from cleanroom.enclave.spark import SparkEngine
from cleanroom.errors import Refused
from cleanroom.matching.cells import TYPED
from cleanroom.vault.identities import DIGEST
from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.paillier.keys import PrivateKey
from protocols.psi import keyed, lining_up
from protocols.rows import Indices


def fits(side: Side) -> bool:
    """Whether this owner's rows of this run are made on its cluster."""
    simple = side.crowd is None and not side.updates and not side.dataset.also
    return simple and engines.cluster(side.home.path) is not None


@dataclass(frozen=True)
class Spread:
    """An owner's rows in buckets, as they were sent; key: of its slots, where these went along."""

    tokenised: Tokenised
    source: VaultRows
    key: PrivateKey | None

    def receive_matched(self, channel: Channel) -> Indices:
        """As `keyed.receive_matched`: this party's rows that matched, ascending, by their place in the vault."""
        positions = keyed.receive_positions(channel, self.tokenised.rows - canary.COUNT)
        numbers = self.tokenised.rows_at(np.sort(positions))
        if (np.diff(np.sort(positions)) == 0).any() or (numbers < 0).any():
            raise BadMessage("The operator named rows that were not sent.")
        found: Indices = np.sort(self.source.positions(numbers))
        return found


def send(side: Side, channel: Channel) -> Spread:
    """The tokens, made and sent; parts stand until the session ends. Raises NoCluster, MissingKey, PeerAborted."""
    settings = engines.cluster(side.home.path)
    if settings is None:
        raise Refused("This node has no cluster.")
    spark = session.started(settings).newSession()
    parts = _own_parts(side, settings)
    brief = _brief(side)
    asked = [TYPED + annex.column for annex in brief.columns]
    columns = dict.fromkeys([DIGEST, *asked, *(brief.slots.columns if brief.slots else ())])
    source = VaultRows.granted(settings, side.home.vault, side.dataset.name, list(columns))
    side.check_unchanged()
    rows = side.manifest.rows
    if rows > side.dataset.rows:
        raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=side.dataset.name)
    if side.handed_over is None:
        layout = tokenising.layout_of(brief, rows, settings.buckets)
        with side.stage("tokens"):
            shown = _own_parts(side, settings)
            tokenised = tokenising.tokenise(spark, settings, parts, shown, source, brief, layout, side.step)
        with side.stage("match"):
            tokenising.send(channel, tokenised, brief)
    else:
        needed = tokenising.layout_of(brief, rows, 1)
        layout = replace(needed, of=handover.agree(channel, needed.of))
        place = handover.Place.new(settings)
        side.after.callback(place.parts.remove)
        with side.stage("tokens"):
            tokenised = tokenising.tokenise(spark, settings, parts, place.parts, source, brief, layout, side.step)
        with side.stage("match"):
            handover.give(channel, place, tokenised)
            keyed.name_canaries(channel, brief.dummies)
    return Spread(tokenised, source, brief.slots.key if brief.slots else None)


def take(side: Side, channels: Mapping[str, Channel], enclave: Engine, settings: ClusterSettings,
         widths: Mapping[str, dict[str, int]]) -> None:  # fmt: skip
    """As operator: what all owners left into the enclave, canaries checked and taken out. widths: by dataset.

    Raises BadMessage, ProtocolError where canaries are not as they must be, Refused, MissingKey.
    """
    spark = _spark(enclave)
    wishes = [handover.wished(channels[each.owner], each.rows, widths[each.name]) for each in side.lined_up]
    buckets = max(settings.buckets, *wishes)
    for dataset in side.lined_up:
        handover.decide(channels[dataset.owner], buckets)
    for number, dataset in enumerate(side.lined_up):
        name, channel = dataset.name, channels[dataset.owner]
        spark.take(handover.taken(channel, settings, number, name, widths[name], dataset.rows, buckets))
    _without_canaries(side, channels, spark)


def load(side: Side, channels: Mapping[str, Channel], enclave: Engine, widths: Mapping[str, dict[str, int]],
         came: Mapping[str, keyed.Received]) -> None:  # fmt: skip
    """As operator: what all owners send into the enclave, as it comes; canaries as `take`. No token is held here."""
    spark = _spark(enclave)
    for dataset in side.lined_up:
        spark.load(dataset.name, keyed.layout(widths[dataset.name]), came[dataset.name].batches)
    _without_canaries(side, channels, spark)


def _without_canaries(side: Side, channels: Mapping[str, Channel], spark: SparkEngine) -> None:
    dummies = [keyed.named_canaries(channels[owner]) for owner in side.owners]
    names = [side.contract.dataset_of(owner).name for owner in side.owners]
    found = np.stack([spark.has_tokens(name, np.concatenate(dummies)) for name in names])
    spark.drop_tokens(lining_up.canaries_agreed(dummies, found))


def _spark(enclave: Engine) -> SparkEngine:
    if not isinstance(enclave, SparkEngine):
        raise Refused("This node has no cluster.")
    return enclave


def _own_parts(side: Side, settings: ClusterSettings) -> Parts:
    """A place that this node's executors alone open, until the session ends."""
    parts = Parts.of_run(settings, "tokens")
    side.after.callback(parts.remove)
    return parts


def _brief(side: Side) -> Brief:
    """What executors must know of this question."""
    name = side.dataset.name
    annexes = tuple(side.room.annex(name, column) for column in side.own(side.cells_asked))
    slots, terms = side.contract.slots_of(name), None
    if slots and side.own(side.query.sums):
        by = tuple(side.room.annex(name, column) for column in slots.by)
        terms = SlotTerms(side.paillier(slots), cell_layout(side.contract, side.dataset, slots), by)
    canaries = keyed.subkey(side.room_key, "canary")
    return Brief(side.room_key, canaries, side.party, name, side.width, annexes, terms)
