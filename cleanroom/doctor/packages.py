"""Python and the packages that this program stands on, against the versions that it was declared to need."""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import cleanroom
from cleanroom.doctor.finding import Finding
from cleanroom.lang import t

PROGRAM = "open-cleanroom"
LEAST_PYTHON = (3, 11)
_NEED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:>=\s*([0-9.]+))?[^;]*")
"""A requirement of PEP 508 as ours are: a name and the least version."""


def checks() -> Iterator[Finding]:
    """All of this module."""
    yield python(sys.version_info[:3])
    try:
        needs = declared(Path(cleanroom.__file__).parents[1] / "pyproject.toml")
    except metadata.PackageNotFoundError:
        yield Finding("packages", t("Packages"), "warn", t("this program is not installed, so its needs are not known"),
                      t("Install it: pip install ."))  # fmt: skip
        return
    yield from packages(needs)


def declared(project: Path) -> list[str]:
    """What this program needs: by its checkout where it runs from one, whose installation may be older, else as it was
    installed. Raises PackageNotFoundError."""
    try:
        found = tomllib.loads(project.read_text("utf-8"))["project"]
        if found["name"] == PROGRAM:
            return list(found["dependencies"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return metadata.requires(PROGRAM) or []


def python(version: tuple[int, ...]) -> Finding:
    """Its version."""
    found = ".".join(map(str, version))
    if version >= LEAST_PYTHON:
        return Finding("python", "Python", "ok", found)
    return Finding("python", "Python", "bad", found, t("Install Python 3.11 or newer."))


def packages(needs: Iterable[str]) -> Iterator[Finding]:
    """One for each that is missing or too old; else one for all. needs: as in a package's metadata."""
    count, wrong = 0, []
    for need in needs:
        found = _NEED.match(need)
        if found is None or "extra ==" in need:
            continue
        count += 1
        name, least = found[1], found[2] or "0"
        try:
            held = metadata.version(name)
        except metadata.PackageNotFoundError:
            held = ""
        if not held or _numbers(held) < _numbers(least):
            wrong.append((name, held, least))
    for name, held, least in wrong:
        state = t("{held} is here, {least} is the least", held=held, least=least) if held else t("is missing")
        yield Finding(f"package.{name}", t("Package {name}", name=name), "bad", state,
                      t("Run: pip install '{need}'", need=f"{name}>={least}"))  # fmt: skip
    if not wrong:
        yield Finding("packages", t("Packages"), "ok", t("all {count} are there, none too old", count=count))


def _numbers(version: str) -> tuple[int, ...]:
    """Of 2.0.1rc1 (2, 0, 1); trailing zeros do not count."""
    numbers = [int(part) for part in re.findall(r"\d+", re.split(r"[a-z+-]", version)[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
