"""Contracts in words for pages: states, sentences, terms and differences, in the reader's language.

Nothing is decided here, and no text of a partner's is taken for a template: texts are ours, others' words fill them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Form

from cleanroom.crowds.channels import CHANNELS
from cleanroom.lang import current, t
from cleanroom.rooms.contract import Contract
from cleanroom.terminal.reasons import kind as kind_name

Text = Annotated[str, Form(max_length=1024)]
Row = tuple[str, str]
_PARTIES = ("party", "peer", "host", "receiver", "reason")
_CHANNELS = ("channel", "channels")
_WORDS = ("yes", "no", "off", "category", "bucket", "amount", "members", "size")
_TONES = {"in force": "ok", "expired": "", "not in force": "bad", "{party} left": "bad",
          "refused by {party}: {reason}": "bad"}  # fmt: skip
GROUP = 4


def state(plain: Mapping[str, Any]) -> str:
    """Where a room or a meeting stands. plain: as `rooms.desk` tells it."""
    return sentence(plain["template"], {name: value for name, value in plain.items() if name != "template"})


def tone(plain: Mapping[str, Any]) -> str:
    """The look of that state: ok, bad, warn, or "" for what is over."""
    return _TONES.get(plain["template"], "warn")


def sentence(template: str, params: Mapping[str, Any]) -> str:
    """A sentence of ours filled, with the usual names of parties translated."""
    listed = {name: parties(value) for name, value in params.items() if isinstance(value, list | tuple)}
    named = {name: t(str(value)) if name in _PARTIES else value for name, value in params.items()}
    named |= {name: ", ".join(map(channel, str(params[name]).split(", "))) for name in _CHANNELS if name in params}
    return t(template, **{**named, **listed})


def sentences(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of sentences as plain objects."""
    return [sentence(each["template"], each["params"]) for each in found]


def parties(names: Iterable[str]) -> str:
    """Names in a row."""
    return ", ".join(t(name) for name in names)


def changes(lines: Iterable[Mapping[str, Any]]) -> list[tuple[str, bool]]:
    """Each difference of a change in words, and whether it protects less than before."""
    return [(t(each["template"], **{name: word(value) for name, value in each["params"].items()}), bool(each["weaker"]))
            for each in lines]  # fmt: skip


def word(value: Any) -> Any:
    """A value of a term; the usual words translated, several of a term in a row."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {word(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(word(each)) for each in value)
    return t(value) if value in _WORDS else value


def channel(name: str) -> str:
    """A channel's title."""
    chinese, english = CHANNELS.get(name, (name, name))
    return chinese if current() == "zh" else english


def grouped(digits: str) -> str:
    """A digest or a fingerprint in groups, to be compared by eye."""
    digits = digits.replace(" ", "")
    return " ".join(digits[at : at + GROUP] for at in range(0, len(digits), GROUP))


def column_row(column: Mapping[str, Any], *, labels: bool) -> tuple[str, str, str, str]:
    """Name, kind, values and marks of a column as `rooms.desk` tells it. labels: whether the reader may see values."""
    marks = [t("may define crowds")] if column.get("members") else []
    marks += [t("sensitive")] if column.get("sensitive") else []
    return column["name"], kind_name(column["kind"]), _values(column, labels), ", ".join(marks)


def _values(column: Mapping[str, Any], labels: bool) -> str:
    if column["kind"] == "amount":
        return f"{column['low'] / 100:,.2f} – {column['high'] / 100:,.2f}"
    if not labels or "labels" not in column:
        return t("{count} values", count=column["cells"])
    return ", ".join((*column["labels"][:-2], *(t(label) for label in column["labels"][-2:])))


def rules(contract: Contract) -> list[Row]:
    """What may leave the room, rule by rule."""
    release = contract.release
    noise = t("off: numbers are exact") if release.noise == "off" else t(
        "{sigma} persons on every count; questions of ε {epsilon} a month about each dataset",
        sigma=release.sigma, epsilon=release.epsilon)  # fmt: skip
    asked = t("only signed templates") if release.queries == "templates" else t("free, within rules")
    return [
        (t("Recipients"), parties(release.recipients)),
        (t("Least number of persons behind a number"), f"{release.k:,}"),
        (t("Noise"), noise),
        (t("Questions"), asked),
        (t("Boards"), t("of all persons of {datasets}, with noise", datasets=", ".join(release.alone))
         if release.alone else t("none")),
        (t("Planning columns"), _planned(release.planned)),
    ]  # fmt: skip


def _planned(names: Sequence[str]) -> str:
    return t("{count} columns", count=len(names)) if names else t("all categories and buckets")


def addressing(contract: Contract) -> list[Row]:
    """Who may address people as crowds, where, and how often; empty where nobody may."""
    term = contract.activation
    if term is None:
        return []
    named = [f"{each.name}.{column.name}" for each in contract.datasets for column in each.columns if column.members]
    return [
        (t("Who addresses people"), t(term.receiver)),
        (t("Channels"), ", ".join(map(channel, term.channels))),
        (t("Least size of a crowd"), t("{count} people", count=f"{term.floor:,}")),
        (t("Versions a person and month"), str(term.most_versions)),
        (t("Columns that may define crowds"), ", ".join(named) or t("none")),
        (t("Uploaded lists may define crowds"), t("yes") if term.lists else t("no")),
    ]


def matching(contract: Contract) -> list[Row]:
    """How the datasets are lined up."""
    match, identities = contract.match, contract.datasets[0].identities
    found = [
        (t("Protocol"), match.protocol),
        (t("Identity"), ", ".join(f"{t(each.kind)} ({each.profile})" for each in identities)),
        (t("Runs the enclave"), t(match.host)),
        (t("Receiver"), t("{party}: learns which of its own rows matched", party=t(match.receiver))
         if match.output == "members" else t("{party}: learns the size alone", party=t(match.receiver))),
    ]  # fmt: skip
    if match.quota:
        found.append((t("Identities that may be asked about"), f"{match.quota:,}"))
    if match.updates:
        found.append((t("Later runs"), t("go on from the last one: only changes travel")))
    for slots in contract.slots:
        what = {"dataset": slots.dataset, "columns": ", ".join((*slots.by, *slots.sums))}
        found.append((t("Encrypted with Paillier"), t("{dataset}: {columns}", **what)))
    return found
