"""A room's contract in plain words: who takes part, with which columns and rules, and who learns what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom.api import html
from cleanroom.lang import t

_NAMES = ("party", "peer", "host", "receiver", "reason")


@dataclass(frozen=True)
class Contract:
    """plain: as `cleanroom room show --json` prints it.

    Example: `room.contract.columns("users")`; `room.contract.learns["merchant"]`.
    """

    plain: Mapping[str, Any]

    @property
    def parties(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(each["name"] for each in self.plain["parties"])

    @property
    def learns(self) -> dict[str, list[str]]:
        """What each party learns by a run, in the current language."""
        return {party: [_said(each) for each in found] for party, found in self.plain["learns"].items()}

    def columns(self, dataset: str = "") -> list[str]:
        """Names that a question may use, as dataset.column; of one dataset, or of all."""
        return [f"{each['name']}.{column['name']}" for each in self.plain["datasets"]
                if dataset in ("", each["name"]) for column in each["columns"]]  # fmt: skip

    def rules(self) -> dict[str, str]:
        """Room, protocol, release, purposes, validity, in words."""
        told, release = self.plain, self.plain["release"]
        who = {"host": t(told["match"]["host"]), "receiver": t(told["match"]["receiver"])}
        rules: dict[str, Any] = {"k": release["k"], "parties": ", ".join(map(t, release["recipients"]))}
        if release["noise"] == "off":
            released = t("groups of at least {k} persons, noise off, to {parties}", **rules)
        else:
            rules |= {"sigma": release["sigma"], "epsilon": release["epsilon"]}
            released = t("groups of at least {k} persons, with noise of {sigma} persons and ε {epsilon} a month, to "
                         "{parties}", **rules)  # fmt: skip
        hosted = t("hosted by {host}, received by {receiver}", **who)
        return {
            t("Room"): f"{told['room']} {told['digest'][:16]}",
            t("Match"): f"{told['match']['protocol']}, {hosted}",
            t("Release"): released,
            t("Purposes"): ", ".join(told["purposes"]),
            t("Runs"): f"{told['created'][:10]} – {told['expires'][:10]}",
            t("In force"): t("yes") if told["in_force"] else f"{t('no')}: {told['why_not']}",
        }

    def __repr__(self) -> str:
        return f"<Contract of the room {self.plain['room']} between {', '.join(self.parties)}>"

    def _repr_html_(self) -> str:
        people = [(t(each["name"]), t(each["role"]), t("yes") if each["signed"] else t("no"),
                   each["fingerprint"][:19] + " …") for each in self.plain["parties"]]  # fmt: skip
        data = [
            (each["name"], t(each["owner"]), each["rows"], t(each["identity"]),
             ", ".join(column["name"] for column in each["columns"]))
            for each in self.plain["datasets"]
        ]  # fmt: skip
        learned = [(t(party) if at == 0 else "", text) for party, texts in self.learns.items()
                   for at, text in enumerate(texts)]  # fmt: skip
        heads = (t("dataset"), t("owner"), t("at most, persons"), t("matched by"), t("columns"))
        return html.box(
            html.facts(self.rules()),
            html.table((t("party"), t("role"), t("signed"), t("fingerprint")), people, t("Parties")),
            html.table(heads, data, t("Datasets")),
            html.table((t("party"), t("learns")), learned, t("Who learns what by a run")),
            html.items(t(note) for note in self.plain["notes"]),
        )


def _said(sentence: Mapping[str, Any]) -> str:
    """A sentence of the contract, the usual names of parties translated."""
    return t(sentence["template"], **{name: _word(name, value) for name, value in sentence["params"].items()})


def _word(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(t(str(each)) for each in value)
    return t(str(value)) if name in _NAMES else value
