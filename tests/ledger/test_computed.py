"""Where an answer was computed, as its receipt says: in words that name a cluster as one."""

import pytest
from parties import Keys, receipt

from cleanroom.lang import choose, t
from cleanroom.ledger.computed import by_cluster, computed
from cleanroom.ledger.receipt import SignedReceipt, verify

KEYS = {"merchant": Keys(1), "platform": Keys(2)}
CASES = {
    "": "on its owner's node alone",
    "cluster": "on a cluster (Spark) without a sandbox: whoever runs it could look into it",
    "cluster, spark-4.3.0, java-17": "on a cluster (spark-4.3.0, java-17) without a sandbox: whoever runs it could "
    "look into it",
    "no-core-dumps, own-user": "in a process of its own, kept apart by no-core-dumps, own-user",
}


@pytest.mark.parametrize("isolation", CASES)
def test_every_receipt_says_where_it_was_computed(isolation: str) -> None:
    """In both languages, of receipts that all parties signed, whatever engine made them; none needs another format."""
    signed = SignedReceipt(receipt(isolation=isolation, recipients=("platform",)))
    for party, keys in KEYS.items():
        signed = signed.sign(party, keys)
    read = SignedReceipt.parse(signed.encode())
    assert len(verify(read, {party: keys.public for party, keys in KEYS.items()})) == 3
    template, params = computed(read.receipt.isolation)
    assert by_cluster(isolation) == ("cluster" in isolation)
    try:
        choose("zh")
        assert t(template, **params) != CASES[isolation]
    finally:
        choose("en")
    assert t(template, **params) == CASES[isolation]
