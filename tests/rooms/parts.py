"""Contracts made of arbitrary parts, and two parties with homes and datasets of their own."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.rooms import draft
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import SEVERAL, Annex, Column, Dataset, Identity, Match, Party, ReleaseRules, Slots

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
Drafted = tuple[Contract, tuple[Annex, ...]]

names = st.from_regex(r"[A-Za-z一-龥][A-Za-z0-9一-龥_-]{0,12}", fullmatch=True)
labels = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
keys = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def columns(draw: st.DrawFn, dataset: str) -> tuple[tuple[Column, ...], tuple[Annex, ...]]:
    terms: list[Column] = []
    annexes: list[Annex] = []
    for name in draw(st.lists(labels, max_size=3, unique=True)):
        kind = draw(st.sampled_from(["category", "bucket", "amount"]))
        if kind == "amount":
            low, high = sorted(draw(st.tuples(*[st.integers(-(10**12), 10**12)] * 2)))
            terms.append(Column(name, "amount", low=low, high=high, unit="0.01"))
            continue
        if kind == "bucket":
            edges = tuple(map(str, sorted(draw(st.sets(st.integers(-999, 999), min_size=1, max_size=4)))))
            cells = draft.Cells(draft.edge_labels(edges), edges)
        else:
            cells = draft.Cells(tuple(draw(st.sets(labels, max_size=4)) - {draft.OTHER, draft.UNKNOWN}))
        term, annex = draft.column(dataset, name, kind, cells, members=draw(st.booleans()))
        terms.append(term)
        annexes.append(annex)
    return tuple(terms), tuple(annexes)


@st.composite
def contracts(draw: st.DrawFn) -> Drafted:
    protocol: Any = draw(st.sampled_from(["keyed", "dh", "vole", "oprf", "join-sum"]))
    left, right, middle = draw(st.lists(names, min_size=3, max_size=3, unique=True))
    parties = [Party(left, "merchant", draw(keys), draw(keys)), Party(right, "platform", draw(keys), draw(keys))]
    if protocol == "keyed":
        parties.append(Party(middle, "operator", draw(keys), draw(keys)))
    receiver = draw(st.sampled_from([left, right]))
    host = middle if protocol == "keyed" else receiver
    output = _output(draw, protocol)
    also = draw(_also) if protocol in SEVERAL and output == "members" else ()
    datasets, annexes = [], []
    for owner, name in zip((left, right), draw(st.lists(names, min_size=2, max_size=2, unique=True)), strict=True):
        terms, labelled = draw(columns(name))
        annexes += labelled
        datasets.append(
            Dataset(name, owner, "phone", "cn-mobile/1", draw(st.integers(2000, 2**40)), terms, draw(labels), also)
        )
    slots = tuple(
        Slots(each.name, tuple(c.name for c in each.columns if c.kind != "amount"),
              tuple(c.name for c in each.columns if c.kind == "amount"), draw(st.integers(40, 64)),
              key=draw(st.sampled_from(["", "ab" * 32])))
        for each in datasets if each.owner != host and draw(st.booleans())
    )  # fmt: skip
    contract = Contract(
        room=draw(names),
        parties=tuple(parties),
        datasets=tuple(datasets),
        match=Match(protocol, datasets[0].name, datasets[1].name, host, receiver,
                    output, draw(st.integers(1, 2**40)) if protocol == "oprf" else 0),
        release=ReleaseRules((left, right), draw(st.integers(50, 10**6))),
        purposes=tuple(draw(st.lists(labels, min_size=1, max_size=2))),
        created=START.isoformat(),
        expires=(START + dt.timedelta(days=draw(st.integers(1, 999)))).isoformat(),
        slots=slots,
        notes=tuple(draw(st.lists(labels, max_size=2))),
    )  # fmt: skip
    return contract, tuple(annexes)


_also = st.lists(
    st.builds(Identity, st.sampled_from(["email", "openid", "device", '"']), labels),
    max_size=3,
    unique_by=lambda i: i.kind,
).map(tuple)


def _output(draw: st.DrawFn, protocol: str) -> Any:
    fixed = {"join-sum": "size", "vole": "members", "oprf": "members"}
    return fixed.get(protocol) or draw(st.sampled_from(["members", "size"]))


def unsalted(drafted: Drafted) -> Any:
    """A contract and its labels without what a fresh salt changes."""
    contract, annexes = drafted
    datasets = tuple(
        dataclasses.replace(each, columns=tuple(
            dataclasses.replace(c, annex="0" * 64 if c.annex else "") for c in each.columns))
        for each in contract.datasets
    )  # fmt: skip
    return dataclasses.replace(contract, datasets=datasets), [dataclasses.replace(each, salt="") for each in annexes]


def home(folder: Path, party: str, dataset: str | None = None, rows: int = 300) -> Home:
    """A home; with a dataset of `rows` persons, two tiers and an amount."""
    made = Home.create(folder / party, party)
    if dataset is not None:
        fill(made, dataset, rows)
    return made


def fill(made: Home, dataset: str, rows: int) -> None:
    """Import `rows` persons as a dataset."""
    source = made.path.with_suffix(".csv")
    tiers = ("gold", "silver")
    lines = [f"138{row:08d},{tiers[row % 2]},private-{row},{row}.25" for row in range(rows)]
    source.write_text("\n".join(["phone,tier,rare,spend", *lines]))
    import_source(made, Wish(dataset, str(source), mapping=str(mapping_of(made.path)), everything=True))


def mapping_of(folder: Path) -> Path:
    """A mapping that says what the columns of `fill` are."""
    path = folder.with_suffix(".mapping.toml")
    columns = {"tier": "category", "rare": "category", "spend": "amount"}
    lines = [f'"{name}" = {{ name = "{name}", kind = "{kind}" }}' for name, kind in columns.items()]
    path.write_text("\n".join(["version = 1", "[columns]", *lines]))
    return path
