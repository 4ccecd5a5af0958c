"""What a two-party match gives each of its roles."""

from dataclasses import dataclass

from protocols.rows import Bytes, Indices


@dataclass(frozen=True)
class SenderResult:
    """peer_rows: the receiver's declared rows, canaries taken off."""

    peer_rows: int


@dataclass(frozen=True)
class ReceiverResult:
    """matched: int64, ascending, the receiver's rows that the sender has too, or None where not ordered;
    size: how many matched; labels: uint8[size, w], of the matched rows in their order (in no order if not ordered);
    peer_rows: the sender's declared rows, canaries taken off."""

    matched: Indices | None
    size: int
    labels: Bytes
    peer_rows: int
