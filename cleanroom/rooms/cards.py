"""Cards: what a party hands to a partner before there is a contract. Its name, its public keys, what it could bring.

A card is not signed: fingerprints are to be compared by another way (a call, a meeting) before a contract is signed. It
names values of categories only where at least `LEAST_PEOPLE` rows have them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError
from cleanroom.keys import PublicKeys
from cleanroom.rooms import draft, paillier_keys, standard
from cleanroom.rooms.identities import held
from cleanroom.rooms.terms import DEFAULT_KEY_BITS, Annex, Column, Dataset, Identity, Party, Slots

if TYPE_CHECKING:
    from cleanroom.home import Home
    from cleanroom.vault.manifest import Manifest

FORMAT = "cleanroom-card/2"
MOST_CELLS = 20
LEAST_PEOPLE = 100
MOST_BYTES = 1 << 19
"""Of a card as canonical JSON: some hundred columns with all their values fit."""
UNIT = "0.01"
"""Amounts are integers of this part of the currency unit."""
_KINDS = {"category": "category", "bucket": "bucket", "date": "bucket", "amount": "amount"}


@dataclass(frozen=True)
class Card:
    """A partner as its card shows it; `offer` is None of an operator."""

    party: Party
    offer: dict[str, Any] | None

    @property
    def rows(self) -> int:
        """The bound on rows that it offers."""
        return int(self.offer["rows"]) if self.offer else 0

    @property
    def identities(self) -> int:
        """How many kinds of identities its persons may have."""
        return 1 + len(self.offer.get("also", ())) if self.offer else 0


def make(home: "Home", role: str, dataset: str | None, members: Sequence[str] = ()) -> dict[str, Any]:
    """This party's card, as JSON. members: columns of the dataset that may define whom the other side addresses.

    Raises UsageError for an unknown dataset or column, BadData for an unknown role.
    """
    public = home.keys.public
    party = Party(home.party, role, public.signing.hex(), public.exchange.hex())  # type: ignore[arg-type]
    return {
        "format": FORMAT,
        "party": party.name,
        "role": party.role,
        "signing": party.signing,
        "exchange": party.exchange,
        "fingerprint": public.fingerprint,
        "dataset": None if dataset is None else _offer(home, dataset, members),
    }


def read(path: Path) -> Card:
    """The card in a file. Raises UsageError for a missing file, BadData for what is not a card."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError("There is no file {name}.", "cleanroom room card makes one.", name=path.name) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadData("{name} is not a card.", "cleanroom room card makes one.", name=path.name) from error
    return parse(value, path.name)


def parse(value: Any, name: str) -> Card:
    """The card of `make`; `name` says where it came from. Raises BadData."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadData("{name} is not a card of a version that is known.", "Ask the partner for it again.", name=name)
    try:
        if len(canonical.encode(value)) > MOST_BYTES:
            raise BadData("The card in {name} is larger than {most} bytes.", "Offer fewer columns.", name=name,
                          most=MOST_BYTES)  # fmt: skip
        party = Party(value["party"], value["role"], value["signing"], value["exchange"])
        genuine = fingerprint(party) == value["fingerprint"]
        if value["dataset"] is not None:
            terms(value["dataset"], party.name)
            Slots(value["dataset"]["name"], **paillier(value["dataset"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData("{name} is damaged.", "Ask the partner for it again.", name=name) from error
    if not genuine:
        raise BadData("The fingerprint in {name} is not that of its keys.", "Ask the partner for it again.", name=name)
    return Card(party, value["dataset"])


def fingerprint(party: Party) -> str:
    """What people compare before they sign. Raises BadData for keys that are unusable."""
    return PublicKeys(bytes.fromhex(party.signing), bytes.fromhex(party.exchange)).fingerprint


def terms(offer: dict[str, Any], owner: str) -> tuple[Dataset, tuple[Annex, ...]]:
    """What an offer means in a contract: the dataset's terms, and labels under fresh salts."""
    columns: list[Column] = []
    annexes: list[Annex] = []
    for entry in offer["columns"]:
        if entry["kind"] == "amount":
            columns.append(Column(**entry))
            continue
        cells = draft.Cells(tuple(entry["cells"]), tuple(entry["edges"]))
        members = entry.get("members", False)
        term, annex = draft.column(offer["name"], entry["name"], entry["kind"], cells, members=members)
        columns.append(term)
        annexes.append(annex)
    also = tuple(Identity(**each) for each in offer.get("also", ()))
    identity = {name: offer[name] for name in ("identity", "profile")}
    dataset = Dataset(offer["name"], owner, **identity, rows=offer["rows"], columns=tuple(columns), also=also)
    return dataset, tuple(annexes)


def paillier(offer: dict[str, Any]) -> dict[str, Any]:
    """The size and fingerprint of the Paillier key that the owner of an offer will use, as `Slots` takes them."""
    return {"key_bits": offer["paillier"]["bits"], "key": offer["paillier"]["key"]}


def _offer(home: "Home", dataset: str, members: Sequence[str]) -> dict[str, Any]:
    manifest = home.vault.manifest(dataset)
    columns = _columns(home, manifest)
    for name in members:
        found = next((each for each in columns if each["name"] == name and each["kind"] != "amount"), None)
        if found is None:
            raise UsageError("The dataset {dataset} cannot offer {column}.", "It can offer: {columns}", dataset=dataset,
                             column=name, columns=", ".join(each["name"] for each in columns) or "–")  # fmt: skip
        found["members"] = True
    return {
        "name": dataset,
        **identities_of(manifest.meta),
        "rows": room_to_grow(manifest.rows),
        "columns": columns,
        "paillier": {"bits": DEFAULT_KEY_BITS, "key": paillier_keys.own_fingerprint(home, DEFAULT_KEY_BITS)},
    }


def identities_of(meta: Any) -> dict[str, Any]:
    """The entries of an offer that name the identities; meta: a manifest's, or what an import told."""
    first, *further = held(meta)
    also = [{"kind": each.kind, "profile": each.profile} for each in further]
    return {"identity": first.kind, "profile": first.profile, **({"also": also} if also else {})}


def room_to_grow(rows: int) -> int:
    """The bound on rows that a contract should name for a dataset of `rows`: later versions are half as long again."""
    return max(1000, rows + rows // 2)


def _columns(home: "Home", manifest: "Manifest") -> list[dict[str, Any]]:
    """Columns that can be used: typed ones, in the source's order, without those whose values are all rare."""
    from cleanroom.matching.cells import TYPED, propose_bounds, propose_cells  # pyarrow: only where a card is made

    meta: Any = manifest.meta
    typed = {stored.name.removeprefix(TYPED) for stored in manifest.columns if stored.name.startswith(TYPED)}
    found: list[dict[str, Any]] = []
    for column in meta["columns"]:
        name, kind = column["name"], _KINDS.get(column["kind"])
        if kind is None or name not in typed:
            continue
        if kind == "amount":
            low, high = standard.bounds_of(name) or propose_bounds(home.vault, manifest.dataset, name)
            found.append({"name": name, "kind": kind, "low": low, "high": high, "unit": UNIT})
            continue
        if (labels := standard.labels_of(name)) is not None:
            found.append({"name": name, "kind": kind, "cells": list(labels), "edges": []})
            continue
        cells = propose_cells(home.vault, manifest.dataset, name, most=MOST_CELLS, least_people=LEAST_PEOPLE)
        if cells.labels:
            found.append({"name": name, "kind": kind, "cells": list(cells.labels), "edges": list(cells.edges)})
    return found
