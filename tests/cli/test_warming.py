"""`warm-up`: compiles what is cold, says so, removes older caches and nothing else; a run never compiles silently."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleanroom import machine, warming
from cleanroom.errors import CleanroomError
from cleanroom.overlap.run import Ahead
from protocols.kernels import cache
from tests.cli.support import Run

OLDER = "0123456789abcdef0123"


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty folder for caches, in which sets without kernels are to be compiled."""
    folder = tmp_path / "caches"
    cache.cache_folder.cache_clear()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(
        warming, "SETS", {"hashing": ("tests.cli.cold",), "vole": ("tests.cli.cold",), "paillier": ("tests.cli.cold",)}
    )
    monkeypatch.setattr(warming, "_command", lambda name: [sys.executable, "-c", f"import {warming.SETS[name][0]}"])
    yield folder
    cache.cache_folder.cache_clear()


def test_warm_up_compiles_once_and_says_what_for(caches: Path, run: Run) -> None:
    assert not warming.is_warm("vole")
    first = run("warm-up", "--json").json
    assert {name: each["compiled"] for name, each in first["sets"].items()} == dict.fromkeys(warming.SETS, True)
    assert first["target"] == machine.here().kind
    assert Path(first["folder"]).parent == caches
    assert warming.is_warm("vole")
    second = run("warm-up", "--json").json
    assert not any(each["compiled"] for each in second["sets"].values())
    shown = run("warm-up", "--lang", "zh").out
    assert "原已存在" in shown
    assert str(first["folder"]) in shown.replace("\n", "")


def test_another_target_is_cold(caches: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("warm-up")
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert not warming.is_warm("vole")


def test_only_caches_of_older_sources_are_removed(caches: Path, run: Run) -> None:
    kept = {"notes": "a.txt", "fedcba98765432100000": "a.txt", OLDER.upper(): "x.nbi", "01234": "x.nbi"}
    for name, file in {**kept, OLDER: "kernel.1.nbc"}.items():
        (caches / name / "deep").mkdir(parents=True)
        (caches / name / "deep" / file).write_text("x")
    (caches / ("a" * 20)).symlink_to(caches / "notes")
    assert run("warm-up", "--json").json["removed"] == [OLDER]
    assert {path.name for path in caches.iterdir()} == {*kept, "a" * 20, cache.sources_digest()}


def test_where_nothing_can_be_kept_it_says_so(caches: Path, run: Run) -> None:
    caches.write_text("a file, not a folder")
    assert run("warm-up").code == 2
    assert not warming.ensure(["vole"], lambda *_: None)


def test_a_set_that_does_not_compile_is_named(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "SETS", {"vole": ("tests.cli.no_such_module",)})
    with pytest.raises(CleanroomError, match="vole"):
        warming.warm_up(lambda *_: None)
    assert not warming.is_warm("vole")


def test_a_run_compiles_with_a_word_about_it_and_small_ones_never(caches: Path) -> None:
    told: list[str] = []
    steps: list[tuple[Any, ...]] = []
    ahead = Ahead(lambda *step: steps.append(step), told.append)
    ahead.prepare("vole", 2_000, None)
    assert (told, steps) == ([], [])
    ahead.prepare("vole", 2_001, {"rows": 3_000_000, "seconds": 600, "megabytes": 2_304})
    assert ["3,000,000" in told[0], "Compiling" in told[1]] == [True, True]
    assert steps[0][:2] == ("kernels", "compiling once")
    ahead.prepare("vole", 2_001, None)
    assert len(told) == 2


def test_every_protocol_names_sets_that_exist() -> None:
    for protocol in ("keyed", "vole", "dh", "oprf", "join-sum"):
        assert set(warming.needed(protocol, 1 << 20, slots=True)) <= set(warming.SETS)
        assert warming.needed(protocol, 2_000, slots=True) == ()


def test_asking_loads_no_numba() -> None:
    script = (
        "import sys; from cleanroom import machine, warming; warming.is_warm('vole'); machine.here();"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "False", done.stderr
