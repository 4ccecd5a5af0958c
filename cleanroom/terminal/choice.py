"""What `--explain`, `warm-up` and `bench` show: the choice of a protocol, what is compiled, how quick a machine is."""

from typing import Any

from rich.console import Console

from cleanroom import machine
from cleanroom.lang import t
from cleanroom.terminal import show

WHAT = {
    "owner encryption": "Paillier: encryption by the key's owner",
    "packed value": "Paillier: the same, for each of eight packed values",
    "group sum": "Paillier: adding a ciphertext to its group",
    "decryption": "Paillier: decryption",
}
"""Primitives that `bench` measures."""


def explained_shown(console: Console, explained: dict[str, Any]) -> None:
    """Every protocol with its estimate, or why it was not to be chosen."""
    rows = [
        (each["protocol"], _verdict(each["why_not"]), each["seconds"], each["bytes"] / 1e6, t(each["learns"]))
        for each in explained["protocols"]
    ]
    titles = (t("protocol"), t("fits"), t("seconds, about"), t("MB"), t("who learns what, beside the releases"))
    show.table(console, t("How a protocol is chosen"), titles, rows)
    machine = explained["machine"]
    show.fact(console, t("Machine"), _machine(machine["name"], machine["cores"], machine["kind"]))
    if explained["own_figures"]:
        show.line(console, t("By this machine's own figures."))
    else:
        show.line(console, t("By our figures; `cleanroom bench --save` makes this machine's own."))


def warm_shown(console: Console, result: dict[str, Any]) -> None:
    """What was compiled for what, and where it is."""
    rows = [
        (name, t("compiled") if each["compiled"] else t("was there"), each["seconds"])
        for name, each in result["sets"].items()
    ]
    show.table(console, t("Kernels"), (t("set"), t("state"), t("seconds")), rows)
    show.fact(console, t("Compiled for"), f"{result['processor']} · {t(machine.KINDS[result['target']])}")
    show.fact(console, t("Kept in"), f"{result['folder']} ({result['megabytes']} MB)")
    if result["removed"]:
        show.line(console, t("Removed caches of older versions: {count}", count=len(result["removed"])))
    show.fact(console, t("Took"), t("{seconds} s", seconds=result["seconds"]))


def bench_shown(console: Console, result: dict[str, Any]) -> None:
    """The protocols beside a plain join, and the primitives."""
    rows = [
        (each["protocol"], f"{each['receiver_rows']:,} × {each['sender_rows']:,}", each["seconds"],
         each["bytes"] / (each["receiver_rows"] + each["sender_rows"]), each["megabytes"],
         f"{each['seconds'] / each['join_seconds']:,.1f} ×")
        for each in result["protocols"]
    ]  # fmt: skip
    titles = (t("protocol"), t("rows"), t("seconds"), t("bytes a row"), t("MB of memory"), t("beside a plain join"))
    show.table(console, t("Matching, both parties on this machine, made-up identities"), titles, rows)
    if result["primitives"]:
        heads = (t("operation"), t("bits"), t("microseconds"))
        each_bits = [(t(WHAT[each["what"]]), each["bits"], each["microseconds"]) for each in result["primitives"]]
        show.table(console, t("Primitives, on one core"), heads, each_bits)
    show.fact(console, t("Machine"), _machine(result["processor"], result["cores"], result["target"]))
    if result["saved"]:
        show.fact(console, t("Kept for `auto`"), result["saved"])
    show.fact(console, t("Took"), t("{seconds} s", seconds=result["seconds"]))


def _verdict(why_not: dict[str, Any] | None) -> str:
    if why_not is None:
        return t("yes")
    params = dict(why_not)
    return t("no: {reason}", reason=t(params.pop("template"), **params))


def _machine(name: str, cores: int, kind: str) -> str:
    return t("{name}, {cores} cores, {kind}", name=name, cores=cores, kind=t(machine.KINDS[kind]))
