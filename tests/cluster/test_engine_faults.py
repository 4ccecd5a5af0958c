"""What breaks around Spark's engine: a named error or recovery, never a wrong count; and no key in what Spark writes.

What needs a Spark of its own (kills, other masters, logs turned on) is `slow` and runs in a process of its own.
"""

import base64
import functools
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cleanroom.cluster import executor_keys, session
from cleanroom.cluster.errors import MissingKey, NoCluster
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.enclave import spark, tables
from cleanroom.enclave.errors import LimitReached
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, Interrupted
from tests.enclave.conformance import worlds

ROOT = Path(__file__).parents[2]
PEOPLE, COMMON = 400, 150
NEVER = "never told to Spark"


@pytest.fixture
def own(spark_session: Any, spark_settings: ClusterSettings, tmp_path: Path) -> ClusterSettings:
    """The shared session, with an executor key and a staging folder of this test alone."""
    executor_keys.make(tmp_path / "executor.key")
    return replace(spark_settings, executor_key=str(tmp_path / "executor.key"), staging=str(tmp_path / "staging"))


def dataset(name: str, token: np.ndarray) -> pa.Table:
    """A dataset of these tokens, and who has which."""
    text = pa.array([f"{NEVER} {at % 7}" for at in range(len(token))])
    number = pa.array([987_600_000 + at for at in range(len(token))], pa.int64())
    return pa.table({"token": tables.as_binary(token), f"{name}.text": text, f"{name}.number": number})


def loaded(engine: Any, seed: int = 1) -> np.ndarray:
    """Two datasets with COMMON people in both; the tokens of all."""
    people = worlds.tokens(np.random.default_rng(seed), PEOPLE)
    for name, own in (("m", people[: PEOPLE // 2 + COMMON // 2]), ("p", people[PEOPLE // 2 - COMMON // 2 :])):
        table = dataset(name, own)
        engine.load(name, table.schema, iter(table.to_batches(64)))
    return people


def answers(engine: Any) -> bool:
    """Whether a matched engine counts right."""
    return engine.run(Query(), {}).table.to_pylist() == [{"people": COMMON}]


# -- what is not there


def test_no_java(own: ClusterSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCluster, match="needs Java 17 or later, and there is none"):
        session.started(own)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    with pytest.raises(NoCluster, match="needs Java 17 or later, and there is none"):
        spark.start(own)


@pytest.mark.parametrize(("says", "version"), [("11.0.2", "11"), ("1.8.0_402", "1"), ("soon", "?")])
def test_the_wrong_java(
    own: ClusterSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, version: str
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{says}\" 2019-01-15' >&2\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(NoCluster, match=f"needs Java 17 or later; this is {version.replace('?', '.')}"):
        session.started(own)


def test_no_pyspark(own: ClusterSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyspark", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(NoCluster, match="open-cleanroom\\[spark\\]"):
        spark.start(own)


@pytest.mark.parametrize(
    "master", ["spark://127.0.0.1:1", "spark://127.0.0.1:1,127.0.0.1:2", "spark://nowhere.invalid:7077"]
)
def test_no_cluster(own: ClusterSettings, master: str) -> None:
    with pytest.raises(NoCluster, match="is not reached"):
        spark.start(replace(own, master=master))


# -- time and progress


def test_a_match_that_takes_too_long_ends_by_name_and_leaves_nothing(own: ClusterSettings) -> None:
    with (
        pytest.raises(LimitReached, match="did not end within 0 seconds"),
        spark.start(own, seconds=0.0) as engine,
    ):
        loaded(engine)
        engine.match("m", "p")
    assert not list(Path(own.staging).rglob("*.parquet"))


def test_progress_is_told_while_it_counts(own: ClusterSettings) -> None:
    told: list[tuple[str, int, int]] = []
    with spark.start(own, step=lambda *step: told.append(step)) as engine:
        loaded(engine)
        engine.match("m", "p")
        assert answers(engine)
    assert {name for name, _, _ in told} == {"enclave"}
    assert all(0 <= done <= total and total > 0 for _, done, total in told)
    assert len([done for _, done, _ in told if not done]) >= 2, "the match and the question begin with nothing done"


# -- keys


def test_no_executor_key_at_the_driver(own: ClusterSettings) -> None:
    path = Path(own.executor_key)
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(MissingKey, match="There is no executor key"):
        spark.start(own)
    for changed, mode, text in ((content, 0o644, "others may read it"), (content[:-9], 0o600, "is damaged"),
                                (b"key", 0o600, "is damaged")):  # fmt: skip
        path.unlink(missing_ok=True)
        path.write_bytes(changed)
        path.chmod(mode)
        with pytest.raises(MissingKey, match=text):
            spark.start(own)


@pytest.mark.parametrize(("fault", "text"), [("missing", "There is no executor key"), ("another", "is not the one")])
def test_no_executor_key_on_an_executor(own: ClusterSettings, tmp_path: Path, fault: str, text: str) -> None:
    """The driver has opened its own already; executors look when their work comes."""
    path, aside = Path(own.executor_key), tmp_path / "aside.key"
    with spark.start(own) as engine:
        loaded(engine)
        path.rename(aside)
        if fault == "another":
            executor_keys.make(path)
        with pytest.raises(MissingKey, match=text):
            engine.match("m", "p")
        path.unlink(missing_ok=True)
        aside.rename(path)
        assert engine.match("m", "p") == COMMON  # once the file is there again
        assert answers(engine)


# -- damaged and half-written parts


def damages(content: bytes) -> Iterator[bytes]:
    """One bit changed in the middle; half of it, nothing, its end gone, more behind it; a bit changed in ten places."""
    for at in (len(content) // 2, -1, *range(7, len(content), max(1, len(content) // 10))):
        if at < 0:
            yield from (content[: len(content) // 2], b"", content[:-1], content + b"\0")
        else:
            yield content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("most", [1, pytest.param(99, marks=pytest.mark.slow)])
def test_a_damaged_part_is_never_counted(own: ClusterSettings, most: int) -> None:
    with spark.start(own) as engine:
        loaded(engine)
        refused(own, "rows-", lambda: engine.match("m", "p"), most)
        assert engine.match("m", "p") == COMMON
        query = Query((), ("m.number",))
        right = repr(engine.run(query, {}))
        refused(own, "matched-", lambda: engine.run(query, {}), most, right)
        assert answers(engine)


def refused(settings: ClusterSettings, prefix: str, ask: Callable[[], object], most: int, right: str = "") -> None:
    """Damages to one of these parts, its loss, and another in its place are BadData, and leave the engine well.

    right: the answer, which may also come of a bit changed where this question does not read: in another column.
    """
    found = sorted(path for path in Path(settings.staging).rglob(f"{prefix}*") if path.stat().st_size)
    first, second = found[:2]
    content = first.read_bytes()
    other, named = second.read_bytes(), 0
    for changed in (other, None, *itertools.islice(damages(content), most)):
        first.unlink()
        if changed is not None:
            first.write_bytes(changed)
        try:
            told = repr(ask())
        except BadData:
            told = "BadData"
        same_size = changed is not None and changed != other and len(changed) == len(content)
        fits = told == "BadData" or (same_size and told == right != "")
        assert fits, f"{len(content)} bytes became {changed and len(changed)}: {told}"
        named += told == "BadData"
        first.write_bytes(content)
    assert named >= min(most, 5) + 2, "most of it is read"


# -- two at once


def test_two_engines_over_one_place_do_not_meet(own: ClusterSettings) -> None:
    found: dict[int, list[bool]] = {}

    def run(seed: int) -> None:
        with spark.start(own) as engine:
            loaded(engine, seed)
            matched = engine.match("m", "p") == COMMON
            found[seed] = [matched, answers(engine), len(engine.matched_positions("m")) == COMMON]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: [True] * 3, 2: [True] * 3}
    assert not [path for path in Path(own.staging).rglob("*") if path.is_file()]


def test_one_engines_end_leaves_the_other_alone(own: ClusterSettings) -> None:
    with spark.start(own) as stays:
        loaded(stays)
        with spark.start(own) as goes:
            loaded(goes, 2)
        assert stays.match("m", "p") == COMMON
        with suppress(KeyError), spark.start(own) as fails:
            loaded(fails, 3)
            raise KeyError
        assert answers(stays)


# -- kills, in processes of their own


def growth(*options: str) -> dict[str, Any]:
    """A run of benchmarks.growth, whose answers are compared with what is known."""
    command = [sys.executable, "-m", "benchmarks.growth", "--engine", "spark", *options]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return dict(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_workers_killed_in_the_middle_change_nothing() -> None:
    told = growth("--rows", "4e5", "--kill", "worker")
    assert told["killed"].get("match"), told
    assert any(stage.startswith("run") for stage in told["killed"]), told


@pytest.mark.slow
def test_executors_killed_in_the_middle_change_nothing() -> None:
    told = growth("--rows", "4e5", "--kill", "executor", "--master", "local-cluster[2,1,1024]", "--memory", "1024",
                  "--option", "spark.authenticate.secret=of-this-machine")  # fmt: skip
    assert told["killed"].get("match"), told


# -- what Spark writes


@pytest.mark.slow
def test_no_key_and_no_value_in_anything_that_spark_writes(tmp_path: Path) -> None:
    """Event log and logs at INFO, plans explained, Spark's own files kept: everything is looked through."""
    program = "from tests.cluster.test_engine_faults import told; told()"
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)],
                         cwd=ROOT, capture_output=True, timeout=600, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    (tmp_path / "stdout").write_bytes(ran.stdout + ran.stderr)
    planted = {
        name: bytes.fromhex(value) for name, value in json.loads((tmp_path / "planted.json").read_text("utf-8")).items()
    }
    (tmp_path / "planted.json").unlink()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".key"]
    shown = [(name, path.name) for path in written for name in found_in(path.read_bytes(), planted)]
    assert shown == []
    # that it would be found: what is not secret stands there
    for where, word in {"events": b"m.number", "plans": b"m.number", "spark.log": b"DAGScheduler"}.items():
        assert any(word in path.read_bytes() for path in written if where in str(path)), where
    assert found_in(b"..." + base64.b64encode(b"x" + planted["run key"]), planted) == ["run key"]
    assert found_in(planted["text"], planted) == ["text"]


def found_in(content: bytes, planted: dict[str, bytes]) -> list[str]:
    """What of it stands there: raw, in hex, in base64 from any place, as signed or unsigned numbers, reversed."""
    lowered = content.lower()
    return [
        name for name, value in planted.items()
        if any(form in content for form in _forms(value)) or value.hex().encode() in lowered
    ]  # fmt: skip


def _forms(value: bytes) -> Sequence[bytes]:
    parts = [base64.b64encode(b"\0" * shift + value)[4 if shift else 0 : -4] for shift in range(3)]
    parts += [part.replace(b"+", b"-").replace(b"/", b"_") for part in parts]
    unsigned = [str(byte) for byte in value]
    signed = [str(byte - 256 if byte > 127 else byte) for byte in value]
    lists = [join.join(words).encode() for words in (unsigned, signed) for join in (",", ", ")]
    return [value, value[::-1], *parts, *lists]


LOG4J = """rootLogger.level = info
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {path}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %p %c %m%n%ex
"""


def told() -> None:
    """In a process of its own: matches and asks with everything turned on that Spark can write."""
    folder = Path(sys.argv[1])
    (folder / "events").mkdir()
    (folder / "log4j2.properties").write_text(LOG4J.format(path=folder / "spark.log"), "utf-8")
    executor_keys.make(folder / "executor.key")
    options = (
        "spark.eventLog.enabled=true", f"spark.eventLog.dir=file:{folder / 'events'}", "spark.eventLog.compress=false",
        f"spark.driver.extraJavaOptions=-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        f"spark.local.dir={folder / 'local'}", "spark.ui.enabled=false", "spark.sql.maxPlanStringLength=1000000",
        "spark.sql.debug.maxToStringFields=1000", "spark.eventLog.logBlockUpdates.enabled=true",
    )  # fmt: skip
    settings = ClusterSettings(staging=str(folder / "staging"), executor_key=str(folder / "executor.key"), buckets=4,
                               memory_mb=1024, options=options)  # fmt: skip
    key = worlds.key()
    with spark.start(settings) as engine:
        _explained(engine, folder / "plans")
        token = loaded(engine)
        slots = worlds.ciphertexts(np.random.default_rng(1), 20)
        written = Path(settings.executor_key).read_bytes().split(b"\n")[1]
        secret = {
            "run key": engine._parts.key.open(), "executor key": bytes.fromhex(written.decode()),
            "token": token[PEOPLE // 2].tobytes(), "another token": token[1].tobytes(), "text": NEVER.encode(),
            "number": b"987600190", "private p": int(key.p).to_bytes(key.public.bits // 16, "big"),
            "ciphertext": slots[3].as_py()[:64],
        }  # fmt: skip
        (folder / "planted.json").write_text(json.dumps({name: value.hex() for name, value in secret.items()}), "utf-8")
        engine.drop_tokens(token[:3])
        engine.match("m", "p", addressed="m")
        engine.run(Query(("m.text", "p.text"), ("m.number",)), {})
        engine.matched_positions("m", ((("m.number", (1, 2)),),))
        with suppress(Interrupted):
            engine.run(Query(("m.number",)), {})
        _ciphertexts(settings, slots)
        subprocess.run(
            ["cp", "-r", str(folder / "local"), str(folder / "kept")], check=True
        )  # Spark removes it at its end
        session.started(settings).stop()


def _ciphertexts(settings: ClusterSettings, slots: pa.Array) -> None:
    with spark.start(settings) as engine:
        table = pa.table({"m.cell": pa.array(range(20), pa.int64()), "m.#slots": slots})
        engine.load_matched(table.schema, iter(table.to_batches(5)))
        engine.run(Query((), ("m.#slots",)), worlds.moduli("m"))


def _explained(engine: Any, path: Path) -> None:
    """Every frame that is collected has its plans written down first, as `explain` shows them."""
    collected = engine._collected

    @functools.wraps(collected)
    def explained(frame: Any, *more: Any) -> Any:
        with path.open("a", encoding="utf-8") as file:
            file.write(
                frame._jdf.queryExecution().toString() + frame._jdf.queryExecution().debug().codegenToSeq().toString()
            )
        return collected(frame, *more)

    engine._collected = explained
