"""`auto`: which protocol a new room should name, and why. Decided before anything is signed, never during a run."""

from dataclasses import dataclass

from cleanroom.rooms.terms import Protocol

DH_ROW_SECONDS = 1.2e-4
"""Seconds a row of either side takes `dh` on two cores with libsodium (52 µs a multiplication, two a row, hashing)."""
SLOT_ROW_SECONDS = 3.0e-3
"""Seconds a row of the side that sends Paillier slots takes at 3072 bits, as measured."""


@dataclass(frozen=True)
class Choice:
    """The protocol and the reason, as an English template with its parameters."""

    protocol: Protocol
    why: str
    params: dict[str, object]


def choose(*, operator: bool, left_rows: int, right_rows: int) -> Choice:
    """keyed where the trust setting has a neutral operator; else dh, with the time it will take."""
    if operator:
        return Choice(
            "keyed",
            "An operator that owns no data runs the enclave, so symmetric cryptography is enough.",
            {},
        )
    seconds = estimate_seconds("dh", left_rows + right_rows, 0)
    return Choice(
        "dh", "No third party runs the enclave, so the two sides match by Diffie-Hellman: about {seconds} s.",
        {"seconds": max(1, round(seconds))},
    )  # fmt: skip


def estimate_seconds(protocol: Protocol, rows: int, slot_rows: int) -> float:
    """Seconds a match of `rows` (both sides together) takes, `slot_rows` of them with Paillier slots."""
    matching = 2e-6 if protocol == "keyed" else DH_ROW_SECONDS
    return rows * matching + slot_rows * SLOT_ROW_SECONDS
