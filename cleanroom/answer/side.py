"""One party's side of a run: its home, its contract, its question, and the channels to its peers."""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom import engines
from cleanroom.answer.board import BoardAsked
from cleanroom.answer.crowd import CrowdAsked
from cleanroom.answer.slot_store import PlainRows, SlotStore
from cleanroom.answer.slots import Codes, cell_layout, crossed, draws, sizes
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.crowds.selecting import Chosen, choose
from cleanroom.enclave.query import Engine, Query, Where, split_name
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.keys import PublicKeys, SecretAccess
from cleanroom.matching import cells
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.privacy.threshold import Rules
from cleanroom.rooms import paillier_keys, room_secrets
from cleanroom.rooms.contract import Contract, session_context
from cleanroom.rooms.identities import as_agreed
from cleanroom.rooms.store import Room
from cleanroom.rooms.taking_part import keys_of, lined_up, owners_of, parties_of
from cleanroom.rooms.terms import Column, Dataset, Slots
from cleanroom.vault.identities import DIGEST, as_bytes
from cleanroom.vault.manifest import Manifest
from protocols import canary
from protocols.channel import Channel, Transport
from protocols.paillier import cipher
from protocols.paillier.cells import CellLayout
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.psi import keyed
from protocols.psi.tokens import Items
from protocols.psi.waterfall import Identities
from protocols.rows import Bytes, Indices

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Learned:
    """Something that this party learned by the run: an English template with its parameters."""

    template: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Side:
    """What a role needs; `stages` gathers seconds by stage.

    query: by cell numbers; wished: sigma of the noise in persons, 0 for the contract's; again: compute once more what
    was answered already, with the noise that was drawn then, `expected` being the question's digest; asked_by: as the
    ledger names them, the party and who did in its name; plan: all tables by one and two of the query's columns;
    earlier: exact answers from which this one's could be subtracted; same: of what was computed again, whether it is;
    charged: whether this run was; over: the datasets lined up, none being named where these are all of the
    room; after: what is let go of when a session ends;
    crowd: what it is about, its plan then being as `answer.crowd` has it; board: it is one.
    """

    home: Home
    room: Room
    query: Query
    peers: Mapping[str, Transport]
    members: Path | None
    step: Step
    wished: int = 0
    again: bool = False
    plan: bool = False
    expected: str = ""
    asked_by: tuple[str, ...] = ()
    earlier: tuple[Query, ...] = ()
    same: bool | None = None
    charged: bool = False
    over: tuple[str, ...] = ()
    crowd: CrowdAsked | None = None
    board: BoardAsked | None = None
    stages: dict[str, float] = field(default_factory=dict)
    after: ExitStack = field(default_factory=ExitStack)
    sent: int = 0
    enclave_memory: int = 0

    def __post_init__(self) -> None:
        """One order of columns, so that a question means the same noise however it was put. Without noise the order
        asked stays: what was released in it has its digest."""
        if self.contract.release.noise == "off":
            return
        self.query = Query(tuple(sorted(self.query.by)), tuple(sorted(self.query.sums)), self.query.where)

    @property
    def contract(self) -> Contract:
        """The room's terms."""
        return self.room.contract

    @property
    def party(self) -> str:
        """This party's name."""
        return self.home.party

    @property
    def rules(self) -> Rules:
        """What may leave as the answer to this question."""
        release = self.contract.release
        return Rules(release.k, release.noise, self.sigma, self.draws if self.sigma else 0)

    @cached_property
    def sigma(self) -> int:
        """Of the noise that a party adds to a count, in persons; 0 without noise. Raises Refused."""
        release = self.contract.release
        if self.wished and release.noise == "off":
            raise Refused("This room is without noise: its numbers are exact already.", "Leave --within out.")
        return self.wished or release.sigma

    @property
    def draws(self) -> int:
        """How many parties add noise: see `slots.draws`; to a plan, the host alone."""
        return 1 if self.plan or self.board else draws(self.contract, (*self.query.by, *self.query.sums))

    @cached_property
    def where(self) -> Where:
        """Whom the question is about, as all parties may see it: of an owner in a neutral room, by value tokens."""
        if self.contract.match.protocol != "keyed" or self.party not in self.contract.owners:
            return self.query.where
        boxes = (
            tuple((name, tuple(sorted(self.tokens(name, cells)))) for name, cells in box) for box in self.query.where
        )
        return tuple(sorted(boxes))

    def tokens(self, name: str, cells: Sequence[Any]) -> list[str]:
        """The value tokens of these cells of a column (dataset.column), in hex; for owners in a neutral room."""
        found = keyed.value_tokens(self.room_key, name, np.array(cells, np.int64))
        return [token.tobytes().hex() for token in found]

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset this party brings."""
        return self.contract.dataset_of(self.party)

    @cached_property
    def lined_up(self) -> tuple[Dataset, ...]:
        """The datasets that this run lines up, in the contract's order; the one of a board. Raises Refused."""
        if self.board is not None:
            return (self.contract.dataset(self.board.dataset),)
        return lined_up(self.contract, self.over)

    @cached_property
    def owners(self) -> tuple[str, ...]:
        """Their owners, in the order of the match: who takes part, beside an operator; of a board who asks, too."""
        if self.board is not None:
            return self.board.parties(self.contract)
        return owners_of(self.contract, self.over)

    @cached_property
    def peer(self) -> str:
        """The other owner, of two."""
        return next(owner for owner in self.owners if owner != self.party)

    @property
    def signing_keys(self) -> dict[str, bytes]:
        """Ed25519 keys of all that take part, and so sign."""
        part = self.owners if self.board is not None else parties_of(self.contract, self.over)
        return keys_of(self.contract, part)

    @cached_property
    def context(self) -> bytes:
        """What sessions bind to."""
        return session_context(self.contract)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, and show it."""
        self.step(name, 0, 0)
        start = time.perf_counter()
        yield
        self.stages[name] = round(self.stages.get(name, 0.0) + time.perf_counter() - start, 3)

    @contextmanager
    def channel(self, peer: str, role: str, peer_role: str) -> Iterator[Channel]:
        """A session with `peer`, bound to the contract and both parties' keys."""
        term = self.contract.party(peer)
        theirs = PublicKeys(bytes.fromhex(term.signing), bytes.fromhex(term.exchange))
        channel = Channel.open(
            self.peers[peer],
            role=role,
            peer_role=peer_role,
            me=_Signer(self.home),
            peer_key=theirs.signing,
            contract_hash=self.context,
            fingerprints=(self.home.keys.fingerprint, theirs.fingerprint),
            parameters=self._parameters,
        )
        with self.after, channel:
            yield channel
            self.sent += channel.sent

    @property
    def _parameters(self) -> dict[str, int]:
        """What both ends of a session must have alike. A board matches nothing, so that it goes no way of a cluster."""
        ways = {} if self.board is not None else {"clusters": self.paired, "handover": self.handed_over}
        return {"k": self.contract.release.k} | {name: 1 for name, cluster in ways.items() if cluster is not None}

    @contextmanager
    def enclave(self, ciphertexts: int = 0) -> Iterator[Engine]:
        """A fresh engine that will sum about so many ciphertexts; its peak memory is kept."""
        with engines.start(self.home.path, ciphertexts=ciphertexts, step=self.step) as enclave:
            yield enclave
        self.enclave_memory = enclave.peak_memory

    @cached_property
    def room_key(self) -> bytes:
        """What the data owners share and nobody else has; of more than two, for runs over these datasets alone."""
        if self.contract.match.others:
            return room_secrets.run_key(self.home, self.contract, self.room.secrets, self.over)
        secret = self.home.keys.exchange_secret(SecretAccess("agree on the room key"))
        return keyed.room_key(secret, bytes.fromhex(self.contract.party(self.peer).exchange), self.context)

    def canaries(self, side: str, width: int, kind: str = "") -> canary.Canaries:
        """This side's canaries; kind: of one identity, where there are several."""
        return canary.draw(keyed.subkey(self.room_key, "canary", kind.encode()), side, width)

    @cached_property
    def paired(self) -> ClusterSettings | None:
        """The cluster by which this side matches, if it does: the peer's must too."""
        match = self.contract.match
        fits = match.protocol == "vole" or (match.protocol == "dh" and match.output == "members" and not self.updates)
        return engines.paired(self.home.path) if fits else None

    @cached_property
    def handed_over(self) -> ClusterSettings | None:
        """The cluster by which this party's rows go to the operator's executors, or come from owners' to its own, if
        they do: all parties' nodes must be set to it."""
        simple = self.crowd is None and not self.updates and not any(dataset.also for dataset in self.lined_up)
        return engines.handing_over(self.home.path) if simple and self.contract.match.protocol == "keyed" else None

    @property
    def updates(self) -> bool:
        """Whether this run goes on from the last one."""
        return self.contract.match.updates and self.crowd is None

    @cached_property
    def chosen(self) -> Chosen | None:
        """Of a crowd, what this owner brings; None for all that it has. Raises Refused above the contract's bound."""
        if self.crowd is None or self.crowd.selection is None:
            return None
        asked_by_peer = bool(self.asked_by) and self.asked_by[0] != self.party
        found = choose(self.home, self.room, self.crowd.selection, by_peer=asked_by_peer)
        self.check_unchanged()
        return found

    def digests(self) -> Bytes:
        """The identities of this party's dataset, in the vault's order; of a crowd, as `Chosen` has them. Raises
        Refused above the contract's bound."""
        if self.chosen is not None:
            return self.chosen.items
        found = self.home.vault.digests(self.dataset.name)
        self.check_unchanged()
        if len(found) > self.dataset.rows:
            raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=self.dataset.name)
        return found

    @property
    def width(self) -> int:
        """Bytes of an identity of this party's dataset."""
        width: int = self.home.vault.schema(self.dataset.name, [DIGEST]).field(0).type.byte_width
        return width

    def items(self) -> Items:
        """The same in parts, so that they need not be held. What changes the dataset meanwhile raises Refused, too."""
        if self.chosen is not None or self.manifest.rows > self.dataset.rows:
            found = self.digests()
            return Items(len(found), lambda: [found])
        return Items(self.manifest.rows, self._digest_parts)

    def _digest_parts(self) -> Iterator[Bytes]:
        batches = self.home.vault.read(self.dataset.name, [DIGEST])
        self.check_unchanged()
        for batch in batches:
            yield as_bytes(batch.column(0))
        self.check_unchanged()

    def identities(self) -> tuple[Identities, ...]:
        """All identities of this party's dataset in the contract's order. Errors as `digests`."""
        held = self.home.vault.identities(self.dataset.name)
        found = {kind: Identities(kind, digests, present) for kind, digests, present in held}
        self.check_unchanged()
        agreed = as_agreed(self.dataset, self.manifest.meta)
        if self.manifest.rows > self.dataset.rows:
            raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=self.dataset.name)
        return tuple(found[each.kind] for each in agreed)

    def slots_asked(self, dataset: Dataset) -> Slots | None:
        """The slot layout of a dataset, where the question has columns of that dataset (between two parties)."""
        asked = not self.plan and any(
            split_name(name)[0] == dataset.name for name in (*self.query.by, *self.query.sums)
        )
        return self.contract.slots_of(dataset.name) if asked else None

    @property
    def sensitive(self) -> tuple[str, ...]:
        """The grouping columns (dataset.column) that the contract calls sensitive."""
        return tuple(name for name in self.query.by if self.term(name).sensitive)

    @property
    def cells_asked(self) -> tuple[str, ...]:
        """The categories and buckets (dataset.column) that the question groups by or makes conditions of, or that an
        earlier one did from whose answer this one's could be subtracted; sorted, as they travel."""
        asked = (self.query, *self.earlier)
        return tuple(sorted({name for each in asked for name in (*each.by, *each.conditions)}))

    def term(self, name: str) -> Column:
        """The contract's term of a column (dataset.column). Raises Refused."""
        dataset, column = split_name(name)
        return self.contract.dataset(dataset).column(column)

    def own(self, names: tuple[str, ...]) -> list[str]:
        """Those columns of `names` (dataset.column) that are this party's, without the dataset."""
        return self.columns(names, self.dataset)

    def columns(self, names: tuple[str, ...], dataset: Dataset) -> list[str]:
        """Those columns of `names` (dataset.column) that are the dataset's, without it."""
        return [column for owner, column in map(split_name, names) if owner == dataset.name]

    def codes(self, column: str) -> Codes:
        """The cell of every row in a category or bucket; of a crowd, of every item it brings, or its class."""
        if self.chosen is not None and self.crowd is not None and self.crowd.is_class(f"{self.dataset.name}.{column}"):
            return self.chosen.classes
        found = cells.codes(self.home.vault, self.dataset.name, self.room.annex(self.dataset.name, column))
        self.check_unchanged()
        if self.chosen is not None:
            others = len(self.chosen.items) - self.chosen.rows
            return np.concatenate([found, np.full(others, self.dataset.column(column).cells - 1, found.dtype)])
        return found

    def amounts(self, column: str) -> Codes:
        """The clamped amount of every row."""
        found = cells.amounts(self.home.vault, self.dataset.name, self.dataset.column(column))
        self.check_unchanged()
        return found

    def paillier(self, slots: Slots) -> PrivateKey:
        """This party's Paillier key, the one that the contract names. Raises Refused."""
        return paillier_keys.own_for(self.home, slots)

    def peer_paillier(self, slots: Slots) -> PublicKey:
        """The Paillier key of another owner's slots, proved when the contract was kept. Raises Refused."""
        return paillier_keys.of_peer(self.home, self.contract, slots)

    def slot_rows(self, slots: Slots, key: PrivateKey) -> tuple[CellLayout, Bytes]:
        """The slots of every row, encrypted under this party's own key: uint8[rows, plaintexts · width].

        Some as the last run sent them, where the peer may see that (`slot_store`).
        """
        layout = cell_layout(self.contract, self.dataset, slots)
        items = self.digests()
        codes = crossed([self.codes(name) for name in slots.by], sizes(self.dataset, slots.by), len(items))
        amounts = [self.amounts(name) for name in slots.sums]
        values = np.stack(amounts, axis=1) if amounts else np.empty((len(items), 0), np.int64)

        def encrypt(rows: Indices) -> Bytes:
            return cipher.encrypt(key, layout.encode(codes[rows], values[rows], key.public))

        store = SlotStore(self.home, self.contract)
        plain = PlainRows(self.dataset.name, self.manifest.digest, items, codes, values)
        width = layout.plaintexts * key.public.width
        return layout, store.encrypted(plain, width, encrypt, lambda done: self.step("encrypt", done, len(items)))

    @cached_property
    def manifest(self) -> Manifest:
        """The version of the dataset that this run is about."""
        return self.home.vault.manifest(self.dataset.name)

    def version(self) -> DatasetVersion:
        """The same, as peers know it."""
        if (chosen := self.chosen) is None:
            return DatasetVersion(self.party, self.dataset.name, self.manifest.digest, self.manifest.rows)
        return DatasetVersion(self.party, self.dataset.name, self.manifest.digest, len(chosen.items), chosen.digest)

    def check_unchanged(self) -> None:
        """Raises Refused where the dataset is not of the run's version any more: its rows are not those matched."""
        if self.home.vault.manifest(self.dataset.name).digest != self.manifest.digest:
            raise Refused("The dataset {dataset} changed during the run.", "Run it again.", dataset=self.dataset.name)

    def identity_forms(self) -> list[str]:
        """For each identity of the contract a digest of how it was normalised and hashed. Raises Refused if not as the
        contract says."""
        return [each.digest() for each in as_agreed(self.dataset, self.manifest.meta)]

    def question(self, versions: tuple[DatasetVersion, ...], epochs: Mapping[str, int], where: Where) -> Question:
        """The canonical question, in terms both sides share."""
        epoch = ",".join(f"{owner}:{epochs[owner]}" for owner in sorted(epochs))
        ordered = tuple(sorted(versions, key=lambda version: version.owner))
        over = tuple(sorted(dataset.name for dataset in self.lined_up)) if self.contract.match.others else ()
        return Question(self.query.by, self.query.sums, self.contract.digest(), ordered, epoch, where, self.sigma,
                        self.plan, over, self.crowd.digest if self.crowd else "")  # fmt: skip


def now() -> str:
    """The time in UTC, to the second."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat()


class _Signer:
    """The home's signing key as protocols want it."""

    def __init__(self, home: Home) -> None:
        self._keys = home.keys

    @property
    def public(self) -> bytes:
        return self._keys.public.signing

    def sign(self, label: str, message: bytes) -> bytes:
        return self._keys.sign(label, message)
