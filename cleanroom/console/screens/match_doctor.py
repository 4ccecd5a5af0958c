"""The match-rate doctor: why fewer match than one would like, from this party's own account of its import alone.

Counts, row numbers and what the contract says; no value of the data, and nothing of the other side but its size.
"""

from dataclasses import dataclass
from typing import Any

from cleanroom.console.screens.match_sizes import Matched
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.rooms.contract import Contract
from cleanroom.terminal.reasons import reason
from connectors.doctor import LOSSES, UNREAD

FEW = 0.02
"""A loss of fewer rows than this share is a remark, no finding."""
OLD_DAYS = 35


@dataclass(frozen=True)
class Step:
    """One step of the way from rows to persons: what is left, and as a share of all."""

    name: str
    rows: int
    share: float


@dataclass(frozen=True)
class Finding:
    """Something that lowers the rate. weight: rows that it costs, 0 where that is not known; what: and what to do."""

    title: str
    what: str
    weight: int
    share: float


def steps(home: Home, dataset: str) -> list[Step]:
    """From the rows of the file to the persons who can match. Empty for a dataset that is not of a file."""
    manifest = home.vault.manifest(dataset)
    funnel = _funnel(manifest.meta)
    if not funnel or not funnel["rows"]:
        return []
    named = ((t("rows read"), funnel["rows"]), (t("with an identity"), funnel["present"]),
             (t("usable"), funnel["valid"]), (t("persons"), funnel["unique"]),
             (t("not forgotten"), manifest.rows))  # fmt: skip
    return [Step(name, rows, rows / funnel["rows"]) for name, rows in named]


def findings(home: Home, contract: Contract, last: Matched | None, age_days: int) -> list[Finding]:
    """What lowers the rate and what to do, the costliest first."""
    own = contract.dataset_of(home.party)
    manifest = home.vault.manifest(own.name)
    funnel = _funnel(manifest.meta)
    found = [*_of_sizes(contract, own.name, manifest.rows, last), *_of_losses(funnel)]
    if manifest.tombstoned:
        found.append(_finding(t("Forgotten persons"), t("They asked to be forgotten, and must stay out."),
                              manifest.tombstoned, manifest.rows + manifest.tombstoned))  # fmt: skip
    found.sort(key=lambda each: -each.share)
    if len(own.identities) == 1:
        found.append(Finding(t("One identity only"), t(
            "People are matched by {identity} alone. Whoever gave the other side another one is not found: agree on a "
            "room that tries e-mail or a device id too.", identity=t(own.identity)), 0, 0.0))  # fmt: skip
    if age_days > OLD_DAYS:
        found.append(Finding(t("Old data"), t("This version was imported {days} days ago. Numbers change: import a "
                                              "newer export.", days=age_days), 0, 0.0))  # fmt: skip
    if manifest.meta.get("digest_form") == "md5" or funnel.get("digest_form") == "md5":
        found.append(Finding(t("MD5 hashes"), t("Hashes of MD5 match only where the other side has MD5 too. Export the "
                                                "numbers in plain, or as SHA-256."), 0, 0.0))  # fmt: skip
    return found


def _of_sizes(contract: Contract, dataset: str, own: int, last: Matched | None) -> list[Finding]:
    """What the other side's size makes of the best rate there can be."""
    names = [name for name in contract.match.datasets if name != dataset]
    told = {name: last.rows[name] for name in names if last is not None and name in last.rows}
    found = []
    for name in names:
        rows, bound = told.get(name, contract.dataset(name).rows), name not in told
        if own and rows < own:
            share = {"rows": f"{rows:,}", "share": f"{rows / own:.0%}", "party": t(contract.dataset(name).owner)}
            text = t("The contract allows {party} at most {rows} persons: at best {share} of yours can match.",
                     **share) if bound else t("{party} brought {rows} persons: at best {share} of yours can match.",
                                              **share)  # fmt: skip
            found.append(Finding(t("The other side is smaller"), text, own - rows, (own - rows) / own))
    return found


def _of_losses(funnel: dict[str, Any]) -> list[Finding]:
    """Rows lost on import, by reason."""
    found = []
    for name, count in funnel.get("losses", {}).items():
        template = LOSSES.get(name) or UNREAD.get(name)
        rows = ", ".join(map(str, funnel["examples"].get(name, ())))
        text = t(template, count=f"{count:,}", rows=rows) if template else ""
        found.append(_finding(reason(name), text, count, funnel["rows"]))
    if funnel.get("merged"):
        found.append(_finding(t("another row of the same person"),
                              t("{count} rows belong to a person that another row stands for.",
                                count=f"{funnel['merged']:,}"), funnel["merged"], funnel["rows"]))  # fmt: skip
    return found


def _finding(title: str, text: str, count: int, whole: int) -> Finding:
    return Finding(title, text, count, count / whole if whole else 0.0)


def _funnel(meta: Any) -> dict[str, Any]:
    return dict(meta.get("funnel") or {})
