"""`make bench`: every regime of the targets, as whole processes, beside plain joins and, with --peers, beside peers.

Prints Markdown tables; --save writes them to docs/evidence and the READMEs, unless --quick. Contenders alternate, and
the median of each counts. Times move from machine to machine: compare the ratios.
"""

import argparse
import datetime as dt
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import enclave, ledger, product, regimes, report
from benchmarks.peers import Installed, install
from benchmarks.regimes import Operation, Plan, Row
from cleanroom import machine


def main() -> None:
    """Run what is asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=3, help="rounds of each regime, of which the median counts")
    options.add_argument("--peers", action="store_true", help="also the peers, in venvs under PEERS_HOME")
    options.add_argument("--quick", action="store_true", help="small sizes, one round, under two minutes")
    options.add_argument("--save", action="store_true", help="write docs/evidence and the READMEs' tables")
    options.add_argument("--only", default="", help="names of regimes, with commas between")
    given = options.parse_args()
    peers = install() if given.peers else Installed({}, {})
    product.warm_up()
    with tempfile.TemporaryDirectory() as name:
        plan = Plan(Path(name), peers, given.times, given.quick)
        rows, operations = _measured(plan, given.only.split(",") if given.only else ())
    here = machine.here()
    named = f"{here.name}, {here.cores} cores, {here.kind}"
    done = report.Report(named, dt.date.today().isoformat(), rows, operations, peers.missing)
    sys.stdout.write(report.markdown(done))
    if given.save and not given.quick:
        report.save(report.renewed(done) if given.only else done)


def _measured(plan: Plan, only: Sequence[str]) -> tuple[list[Row], list[Operation]]:
    rows: list[Row] = []
    operations: list[Operation] = []
    for name, work in regimes_of(plan).items():
        if only and name not in only:
            continue
        sys.stderr.write(f"{name} …\n")
        found = work()
        for each in found if isinstance(found, list) else [found]:
            if isinstance(each, Operation):
                operations.append(each)
            else:
                rows.append(each)
            sys.stderr.write(f"{each}\n")
    return rows, operations


def regimes_of(plan: Plan) -> dict[str, Callable[[], Row | list[Row] | list[Operation]]]:
    """All of them, by name."""
    more = {} if plan.quick else {"vole-10m": lambda: regimes.vole(plan, 10_000_000, 0, "≤ 8.5 s, ≤ 900 MB", 1)}
    return {
        "vole": lambda: regimes.vole(plan, 1_000_000, 100_000, "≤ 1.25 s, ≤ 46 B/item", 9),
        **more,
        "keyed": lambda: regimes.keyed(plan),
        "dh": lambda: regimes.dh(plan),
        "dh-small": lambda: regimes.dh_small(plan),
        "dh-cold": lambda: regimes.dh_cold(plan),
        "oprf": lambda: regimes.oprf(plan),
        "join-sum": lambda: regimes.join_sum(plan),
        "slots": lambda: regimes.slots(plan, 2048, "≤ 70 s"),
        "slots-3072": lambda: regimes.slots(plan, 3072, "–"),
        "paillier": lambda: regimes.paillier(plan, 2048),
        "paillier-3072": lambda: regimes.paillier(plan, 3072),
        "overlap": lambda: product.overlap(plan, plan.rows(20_000, 5_000), "≤ 3 s"),
        "overlap-1m": lambda: product.overlap(plan, plan.rows(1_000_000, 50_000), "≤ 4 s, ≤ 400 MB"),
        "overlap-vole": lambda: product.overlap(plan, plan.rows(1_000_000, 50_000), "–", "--no-operator"),
        "doctor": lambda: product.doctor(plan),
        "help": lambda: product.help_time(plan),
        "segments": lambda: enclave.segments(plan, tokens=False),
        "segments-tokens": lambda: enclave.segments(plan, tokens=True),
        "encrypted-sums": lambda: enclave.sums(plan),
        "ledger": lambda: ledger.row(plan),
    }


if __name__ == "__main__":
    main()
