"""`peer` and `node` for people: fingerprints to compare, peers that are pinned, what to do next."""

from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from cleanroom import lang
from cleanroom.lang import t
from cleanroom.terminal import show

STATES = {"in force": "in force", "expired": "expired"}
"""What `introducing` says of a certificate, for people."""
_QUIET = 2
"""Light modules round a QR code: scanners want some."""
_BLOCKS = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


def made_shown(console: Console, result: dict[str, Any]) -> None:
    """The new node, and what to do next."""
    show.fact(console, t("Node of {party}", party=t(result["party"])), result["home"])
    show.fact(console, t("Settings"), f"{result['home']}/node.toml")
    _identity(console, result)
    _steps(console, result)


def card_shown(console: Console, result: dict[str, Any]) -> None:
    """What this node's people read to its peers."""
    show.fact(console, t("Node of {party}", party=t(result["party"])), result["url"] or t("cannot be dialled"))
    _identity(console, result)
    if result["path"]:
        show.fact(console, t("Written to"), result["path"])
    place = result["url"] or result["path"] or "FILE"
    show.line(console, t("Peers run: {command}", command=f"cleanroom peer add {_word(result['party'])} {place} …"))
    if not result["url"] and not result["path"]:
        show.line(
            console, t("They need this node's card as a file: {command}", command="cleanroom peer card --out FILE")
        )


def added_shown(console: Console, result: dict[str, Any]) -> None:
    """The peer as it is pinned, and that the other side has to do the same."""
    show.line(console, t("{name} is pinned by its fingerprint.", name=result["name"]), "✓")
    _peer(console, result)
    show.line(console, t("It must pin this node too. Tell its people: {command}", command="cleanroom peer card"))


def shown(console: Console, result: dict[str, Any]) -> None:
    """One peer, with its fingerprint in all forms."""
    _peer(console, result)
    _spoken(console, result)
    qr(console, result["fingerprint"])


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A peer a line."""
    if not result["peers"]:
        show.line(console, t("No peers yet. Add one: {command}", command="cleanroom peer add --help"))
        return
    rows = [
        (each["name"], each["url"] or t("cannot be dialled"), each["fingerprint"][:19] + " …",
         f"{t(STATES[each['state']])}, {each['certificate']['ends'][:10]}", each["added"][:10])
        for each in result["peers"]
    ]  # fmt: skip
    titles = (t("peer"), t("address"), t("fingerprint"), t("certificate"), t("added"))
    show.table(console, t("Peers of {party}", party=t(result["party"])), titles, rows)


def removed_shown(console: Console, result: dict[str, Any]) -> None:
    """Which peer is none any more."""
    show.line(console, t("{name} is no peer any more, and is not let in.", name=result["name"]))


def renewed_shown(console: Console, result: dict[str, Any]) -> None:
    """Until when the new certificate is in force."""
    ends = result["certificate"]["ends"][:10]
    show.line(console, t("The certificate of {name} is in force until {day}.", name=result["name"], day=ends), "✓")


def certificate_shown(console: Console, result: dict[str, Any]) -> None:
    """This node's certificate, and what becomes of it."""
    show.fact(console, t("Certificate of {party}", party=t(result["party"])), result["certificate"]["digest"])
    show.fact(console, t("Runs"), _runs(result["certificate"]))
    if result["following"]:
        show.fact(console, t("Its successor"), f"{result['following']['digest']}  {_runs(result['following'])}")
        show.line(
            console, t("Peers are told of the successor; it is shown from {day} on.", day=result["switched"][:10])
        )
    if result["at_once"]:
        show.line(
            console,
            t("Restart the node. Peers let it in after: {command}",
              command=f"cleanroom peer renew {_word(result['party'])}"),
        )  # fmt: skip


def settings_shown(console: Console, result: dict[str, Any]) -> None:
    """The settings as a node.toml, so that they can be written to one."""
    console.print(result["settings"], markup=False, soft_wrap=True, end="")


def qr(console: Console, fingerprint: str) -> None:
    """The fingerprint as a QR code, dark on light whatever the terminal's colours are."""
    import segno

    matrix = [list(row) for row in segno.make(fingerprint.upper(), error="m").matrix_iter(border=_QUIET)]
    if len(matrix) % 2:
        matrix.append([0] * len(matrix[0]))
    for upper, lower in zip(matrix[::2], matrix[1::2], strict=True):
        line = "".join(_BLOCKS[bool(a), bool(b)] for a, b in zip(upper, lower, strict=True))
        console.print(Text(line, style="black on white"), soft_wrap=True)


def _identity(console: Console, result: dict[str, Any]) -> None:
    show.fact(console, t("Fingerprint of {party}", party=t(result["party"])), result["fingerprint"])
    _spoken(console, result)
    qr(console, result["fingerprint"])
    show.line(
        console, t("Compare it with your peers by telephone or in person, never only by the way that brought it.")
    )


def _spoken(console: Console, result: dict[str, Any]) -> None:
    words, title = result["words"][lang.current()], t("In words")
    show.fact(console, title, " ".join(words[:8]))
    show.fact(console, " " * cell_len(title), " ".join(words[8:]))


def _peer(console: Console, result: dict[str, Any]) -> None:
    show.fact(console, t("Fingerprint of {party}", party=t(result["name"])), result["fingerprint"])
    show.fact(console, t("Address"), result["url"] or t("cannot be dialled"))
    show.fact(console, t("Certificate"), f"{_runs(result['certificate'])}  {t(STATES[result['state']])}")


def _steps(console: Console, result: dict[str, Any]) -> None:
    home = f"--home {_word(result['home'])}"
    if result["key_inside"]:
        show.line(console, t("Whoever may read this folder may open it. To keep its key elsewhere, set {variable}.",
                             variable="CLEANROOM_KEY_FILE"))  # fmt: skip
    if result["listen"].startswith("127.0.0.1") and not result["url"].startswith("grpc+tls://127.0.0.1"):
        show.line(console, t("It listens on this machine only; other machines cannot dial it."))
    elif result["listen"]:
        show.line(console, t("Let peers through the firewall to {address}.", address=result["listen"]))
    else:
        show.line(console, t("It cannot be dialled: it dials its peers itself, and needs no open port."))
    show.line(
        console, t("Next, tell your peers who you are: {command}", command=f"cleanroom peer card --out FILE {home}")
    )
    show.line(console, t("Pin each of them: {command}", command=f"cleanroom peer add NAME ADDRESS FINGERPRINT {home}"))
    show.line(console, t("Then start it: {command}", command=f"cleanroom serve {home}"))


def _runs(certificate: dict[str, str]) -> str:
    return f"{certificate['begins'][:10]} – {certificate['ends'][:10]}"


def _word(text: str) -> str:
    """One word of a command line."""
    return f"'{text}'" if " " in text else text
