"""The ledger of a home: opened for writing, made at first use."""

from collections.abc import Iterator
from contextlib import contextmanager

from cleanroom.home import Home
from cleanroom.ledger.ledger import Ledger


@contextmanager
def open_ledger(home: Home) -> Iterator[Ledger]:
    """The home's ledger. Raises BadData for one of another key."""
    public = home.keys.public.signing
    if home.ledger_path.exists():
        ledger = Ledger(home.ledger_path, home.keys, public, home.wrapping)
    else:
        ledger = Ledger.create(home.ledger_path, home.party, home.keys, public, home.wrapping)
    with ledger:
        yield ledger
