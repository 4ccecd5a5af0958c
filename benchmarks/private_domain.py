"""`python -m benchmarks.private_domain FOLDER --users 10000000`: time and memory of folding a made-up platform.

The first call makes the parts (about ten events a user) in FOLDER, which is to be empty; later ones only fold them.
"""

import argparse
import datetime as dt
import resource
import sys
import time
from pathlib import Path

from cleanroom.demo.domain import Platform, write
from connectors.private_domain.opening import open_domain
from connectors.private_domain.settings import Settings

AS_OF = dt.date(2026, 11, 21)


def main() -> None:
    """Make what is not there, fold it, and say what it took."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("folder", type=Path)
    given.add_argument("--users", type=int, default=1_000_000)
    asked = given.parse_args()
    if not any(asked.folder.glob("events-*.parquet")):
        sys.stdout.write(f"{write(Platform(asked.users, AS_OF), asked.folder):,} events made\n")
    begun, used = time.perf_counter(), time.process_time()
    domain = open_domain(str(asked.folder), AS_OF, Settings())
    people = sum(batch.table.num_rows for batch in domain.batches())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    taken = f"{time.perf_counter() - begun:.1f} s ({time.process_time() - used:.1f} s of CPU)"
    sys.stdout.write(f"{people:,} users folded and read in {taken}, peak {peak:,} MB\n")


if __name__ == "__main__":
    main()
