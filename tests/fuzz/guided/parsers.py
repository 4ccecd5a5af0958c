"""Coverage-guided fuzzing of everything that parses, by atheris; what breaks a parser is kept in the corpus.

python -m tests.fuzz.guided.parsers [--seconds 60] [TARGET …]

Each target runs in a process of its own, so that a crash of a library is found and named too. Every input may take
SECONDS and MEGABYTES.
"""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "corpus"
SECONDS, MEGABYTES = 5, 2048
_ONE = "--one"


def main() -> int:
    """Fuzz the targets named, or all; how many found something."""
    if _ONE in sys.argv:
        return _guided(sys.argv[1], sys.argv[sys.argv.index(_ONE) + 1 :])
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    return sum(_apart(name, given.seconds) for name in given.targets)


def _apart(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; whether something was found, which is then in the corpus."""
    with tempfile.TemporaryDirectory() as folder:
        seeds, broken = Path(folder, "seeds"), Path(folder, "broken")
        broken.mkdir()
        _write_seeds(name, seeds)
        limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", "-max_len=65536"]
        options = [*limits, f"-artifact_prefix={broken}/", "-print_final_stats=1", str(seeds)]
        command = [sys.executable, "-m", "tests.fuzz.guided.parsers", name, _ONE, *options]
        environment = os.environ | {"TMPDIR": folder}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
        runs = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        found = [path.read_bytes() for path in sorted(broken.iterdir())]
    kept = [_keep(name, content) for content in found]
    inputs = runs[-1].split()[-1] if runs else "?"
    sys.stdout.write(f"{name}: {inputs} inputs, {', '.join(kept) or 'nothing found'}\n")
    if found or done.returncode:
        sys.stdout.write(done.stderr[-3000:])
    sys.stdout.flush()
    return bool(found or done.returncode)


def _write_seeds(name: str, folder: Path) -> None:
    from tests.fuzz.targets import TARGETS

    folder.mkdir()
    corpus = CORPUS / name
    seeds = [*TARGETS[name].examples, *(path.read_bytes() for path in corpus.glob("*"))]
    for place, content in enumerate(seeds):
        (folder / str(place)).write_bytes(content)


def _keep(name: str, content: bytes) -> str:
    path = CORPUS / name / hashlib.sha256(content).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.name


def _guided(name: str, options: Sequence[str]) -> int:
    """Hand this process over to atheris, which ends it."""
    import atheris

    with atheris.instrument_imports(include=["cleanroom", "connectors", "protocols"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS, tried
    from tests.fuzz.mutate import mutated

    target = TARGETS[name]

    def test(content: bytes) -> None:
        tried(target, content)

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if target.structured or chance.random() < 0.5:
            return mutated(content, chance, structured=target.structured, most=most)
        return bytes(atheris.Mutate(content, most))

    atheris.Setup([sys.argv[0], *options], test, custom_mutator=mutate)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
