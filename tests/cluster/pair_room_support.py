"""Two-party rooms whose nodes match by their clusters: nodes, people, what a plain join gives, and a run's errors."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleanroom.cluster import executor_keys
from cleanroom.errors import KNOWN
from cleanroom.home import Home
from cleanroom.node import config
from cleanroom.overlap.asked import Overlap
from cleanroom.overlap.siblings import Siblings

BY, SUMS = ("merchant.level", "platform.city"), ("merchant.spend", "platform.visits")
K, BITS = 50, 2048
ROLES = {"operator": "enclave"}


def write(folder: Path, merchant: int, platform: int, common: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of so many people as m.csv and p.csv: the merchant, who has the slots, and the platform, who receives."""
    rng = np.random.default_rng(5)
    phones = (13_800_000_000 + rng.permutation(merchant + platform - common)).astype(str)
    left = pd.DataFrame({
        "phone": phones[:merchant], "level": rng.choice(["gold", "silver"], merchant),
        "spend": rng.integers(0, 90_000, merchant) / 100,
    })  # fmt: skip
    right = pd.DataFrame({
        "phone": phones[merchant - common :], "city": rng.choice(["Shanghai", "Hangzhou", "Xi'an"], platform),
        "visits": rng.integers(0, 40, platform),
    })  # fmt: skip
    left.to_csv(folder / "m.csv", index=False)
    right.to_csv(folder / "p.csv", index=False)
    return left, right


def wanted(folder: Path, members: bool = True, **more: Any) -> Overlap:
    """The question: groups of both sides, sums of one, members for the platform."""
    return Overlap(
        str(folder / "m.csv"), str(folder / "p.csv"), protocol="vole", by=BY, sums=SUMS[:1], receiver="platform", k=K,
        key_bits=BITS, members=folder / "members.csv" if members else None, **more,
    )  # fmt: skip


def joined(left: pd.DataFrame, right: pd.DataFrame) -> list[dict[str, Any]]:
    """The same by a plain join."""
    groups = left.merge(right, on="phone").groupby(["level", "city"])
    table = groups.agg(people=("phone", "size"), spend=("spend", "sum")).reset_index()
    return table.sort_values(["level", "city"]).round(2).to_dict("records")


def told(segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The released groups in the order of `joined`."""
    rows = [{name: row[name] for name in ("level", "city", "people", "spend")} for row in segments]
    return sorted(rows, key=lambda row: (row["level"], row["city"]))


def on_spark(home: Path, role: str, *, pairs: str = "127.0.0.1", master: str = "local[1]", buckets: int = 4) -> Path:
    """A node.toml that says so, with a key and a staging place of the node's own; the place."""
    key, staging = home.parent / f"{role}.executor.key", home.parent / f"{role}-staging"
    executor_keys.make(key)
    cluster = {"master": master, "staging": str(staging), "executor_key": str(key), "buckets": buckets,
               "memory_mb": 512, "pairs": pairs}  # fmt: skip
    lines = [f'role = "{ROLES.get(role, role)}"', 'engine = "spark"', "[cluster]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in cluster.items()]
    (home / config.FILE).write_text("\n".join(lines))
    return staging


def left_in(*places: Path) -> list[Path]:
    """Parts that outlived their run."""
    return [path for place in places for path in place.rglob("*") if path.is_file()]


def run_apart(homes: dict[str, Home], query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Exception]]:
    """A run with each party in a process of its own: results and errors, by party."""
    results, errors = {}, {}
    with Siblings({name: home.path for name, home in homes.items()}) as parties:

        def one(name: str) -> None:
            try:
                results[name] = parties._call(name, "run", {"room": "overlap", "query": query})
            except KNOWN as error:
                errors[name] = error

        with ThreadPoolExecutor(len(homes)) as pool:
            list(pool.map(one, homes))
    return results, errors
