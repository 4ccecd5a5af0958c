"""`vole` or `dh` between two parties. usage: two_party.py receiver|sender FILE OUT vole|dh PLACE=SOCKET"""

from typing import Any

from benchmarks.pipelines import party


def main() -> None:
    """Match, and write the receiver's matched rows."""
    given = party.words()
    table = party.read(given.file)
    items = party.digests(table)
    protocol, extra = _protocol(given.more[0])
    peer = "sender" if given.role == "receiver" else "receiver"
    (number,) = given.sockets.values()
    with party.channel(given.role, peer, number) as channel:
        canaries = party.canaries(given.role)
        if given.role == "sender":
            protocol.sender(channel, items, None, canaries=canaries, **extra)
            party.tell(rows=len(items), sent=channel.sent)
            return
        result = protocol.receiver(channel, items, label_width=0, canaries=canaries, **extra)
        party.write(table, result.matched, given.out)
        party.tell(rows=len(items), matched=len(result.matched), sent=channel.sent)


def _protocol(name: str) -> tuple[Any, dict[str, Any]]:
    if name == "vole":
        from protocols.psi import vole

        return vole, {}
    from protocols.psi import dh

    return dh, {"ordered": True}


if __name__ == "__main__":
    party.run(main)
