"""docs/evidence/conformance.md: engine × shape of question, engine × refusal, engine × metric, with how many cases each
were compared: `python -m tests.enclave.conformance.table [ENGINE …]` (all by default; minutes).
"""

import argparse
import datetime as dt
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, settings

from cleanroom import machine
from cleanroom.files import write_bytes
from tests.enclave.conformance import drawn, engines, golden, metrics, refusals, worlds
from tests.enclave.conformance.engines import Opened
from tests.enclave.conformance.judge import World

PAGE = Path(__file__).parents[3] / "docs" / "evidence" / "conformance.md"
DRAWN = 15
Tally = Counter[tuple[str, bool]]
"""(what was compared, whether it was equal) → how often."""


def of_shapes(opened: Opened) -> Tally:
    """All worlds, in full."""
    return Counter((case.shape, case.found == case.expected) for world in worlds.worlds()
                   for case in engines.cases(opened, world))  # fmt: skip


def of_drawn(opened: Opened) -> Tally:
    """Worlds that hypothesis draws."""
    found: Tally = Counter()

    @settings(max_examples=DRAWN, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @hypothesis.given(drawn.drawn())
    def compare(world: World) -> None:
        found.update(("drawn populations and questions", case.found == case.expected)
                     for case in engines.cases(opened, world))  # fmt: skip

    compare()
    return found


def of_refusals(opened: Opened) -> Tally:
    """Everything that is refused."""
    return Counter((f"{refusal.name}: `{refusal.kind.__name__}`", found == refusal.expected)
                   for given in refusals.givens() for refusal, found in refusals.told(opened, given))  # fmt: skip


def of_metrics(opened: Opened) -> Tally:
    """Every metric of the registry, in all its windows, from a question a table."""
    judged = dict(metrics.figures(metrics.judged()))
    found: Tally = Counter()
    for name, values in metrics.figures(metrics.counted(opened)):
        found.update((f"`{name}`", each == expected) for each, expected in zip(values, judged[name], strict=True))
    return found


def page(names: Sequence[str]) -> str:
    """The whole page."""
    here = machine.here()
    shapes = {name: of_shapes(engines.ENGINES[name]) + of_drawn(engines.ENGINES[name]) for name in names}
    refused = {name: of_refusals(engines.ENGINES[name]) for name in names}
    figures = {name: of_metrics(engines.ENGINES[name]) for name in names}
    statements = sum(text.count("\n-- ") + 1 for text in map(golden.text, golden.DIALECTS))
    return "\n".join([
        "# Conformance", "",
        f"`python -m tests.enclave.conformance.table`, {dt.date.today().isoformat()}, {here.name}, {here.cores} cores.",
        "Every engine gets the same rows and questions; what comes back is compared with a judge in plain Python, in",
        "values, types and order, before any noise. `n` = n cases, all equal; `n of m` = n of m were equal.",
        f"Of SQL {statements} statements stand word for word in `tests/enclave/conformance/golden`.", "",
        *_table("shape", shapes), "", "Refused with the same named error and the same text:", "",
        *_table("refusal", refused), "",
        "Every metric of the registry from the counts that the engine gives (one question a table of a full board, ",
        f"{metrics.PERSONS:,} persons), in all its windows, with and without uploaded persons, beside pandas':", "",
        *_table("metric", figures), "",
    ])  # fmt: skip


def _table(what: str, found: Mapping[str, Tally]) -> Iterator[str]:
    yield f"| {what} | {' | '.join(found)} |"
    yield "|---" * (1 + len(found)) + "|"
    for name in dict.fromkeys(name for tally in found.values() for name, _ in tally):
        yield f"| {name} | {' | '.join(_cell(tally, name) for tally in found.values())} |"
    yield f"| all | {' | '.join(_sum(tally) for tally in found.values())} |"


def _cell(tally: Tally, name: str) -> str:
    equal, other = tally[name, True], tally[name, False]
    return str(equal) if not other else f"**{equal} of {equal + other}**"


def _sum(tally: Tally) -> str:
    equal = sum(count for (_, same), count in tally.items() if same)
    return str(equal) if equal == tally.total() else f"**{equal} of {tally.total()}**"


def main() -> None:
    """Write the page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("engines", nargs="*", help="of: " + ", ".join(engines.ENGINES))
    options.add_argument("--show", action="store_true", help="print, and write nothing")
    given = options.parse_args()
    made = page(given.engines or list(engines.ENGINES))
    if given.show:
        sys.stdout.write(made)
    else:
        write_bytes(PAGE, made.encode())


if __name__ == "__main__":
    main()
