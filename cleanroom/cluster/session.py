"""A session with Spark: checked before it is needed, encrypted on the wire and on disks, without page or event log.

What is not there is named: pyspark, Java, the master, executors that answer, our program and the key file on them.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from cleanroom.cluster import errors, executor_keys
from cleanroom.cluster.errors import NoCluster
from cleanroom.cluster.executor_keys import SealedKey
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.errors import Interrupted
from cleanroom.lean import with_pandas

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LEAST_JAVA = 17
FIRST_ANSWER = 120.0
"""Seconds within which a first task has to run somewhere."""
BRIEF = "-XX:TieredStopAtLevel=1 -XX:+UseParallelGC"
"""Of a Java program that lives for a few questions: what is compiled well costs more than it gives back."""
SECRET, SECRET_VARIABLE = "spark.authenticate.secret", "_SPARK_AUTH_SECRET"
_PROBE = "probe"
_REACH = 5.0
JAVA_LOG = "CLEANROOM_JAVA_LOG"
"""The environment's name of a file for what Spark's Java program writes on stderr."""
QUIET = Path(__file__).with_name("log4j2.properties")

OPTIONS = {
    "spark.ui.enabled": "false",
    "spark.eventLog.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.authenticate": "true",
    "spark.network.crypto.enabled": "true",
    "spark.io.encryption.enabled": "true",
    "spark.io.encryption.keySizeBits": "256",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.variable.substitute": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "131072",
    "spark.sql.execution.arrow.localRelationThreshold": "0",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.maxPlanStringLength": "2000",
    "spark.sql.debug.maxToStringFields": "25",
    "spark.python.worker.faulthandler.enabled": "false",
    "spark.sql.execution.pyspark.udf.faulthandler.enabled": "false",
}
"""What differs from Spark's own settings; those of `ClusterSettings.options` go over it."""


def started(settings: ClusterSettings) -> SparkSession:
    """The session of this process with that cluster; the first call starts and proves it.

    Raises NoCluster for what is missing or too old, MissingKey where the executors cannot open what is sealed for them.
    """
    _check_java(os.environ)
    _check_master(settings.master)
    _check_secret(settings)
    with_pandas()
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise NoCluster("Spark for Python is not installed.", "Run: pip install open-cleanroom[spark]") from None
    known = SparkSession.getActiveSession()
    if known is not None and known.sparkContext.master == settings.master:
        return known
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    sealed = executor_keys.seal(settings, _PROBE, _PROBE.encode())
    builder: Any = SparkSession.builder.appName("cleanroom").master(settings.master)
    for name, value in (_options(settings) | dict(option.split("=", 1) for option in settings.options)).items():
        builder = builder.config(name, value)
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)  # pandas is not used
    try:
        with _java_says_nothing(), errors.raised():
            session: SparkSession = builder.getOrCreate()
    except (RuntimeError, OSError):
        raise NoCluster("Spark did not start.", "{variable}=PATH shows what its Java program writes.",
                        variable=JAVA_LOG) from None  # fmt: skip
    _prove(session, sealed)
    return session


@contextmanager
def running(settings: ClusterSettings) -> Iterator[SparkSession]:
    """As `started`, and stopped at the end."""
    session = started(settings)
    try:
        yield session
    finally:
        session.stop()


@contextmanager
def _java_says_nothing() -> Iterator[None]:
    """A Java program begun in here keeps this stderr: the file that the environment names, or nowhere."""
    kept = os.dup(2)
    try:
        with Path(os.environ.get(JAVA_LOG, os.devnull)).open("ab") as log:
            os.dup2(log.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _options(settings: ClusterSettings) -> dict[str, str]:
    from protocols.kernels.cache import caches

    workers = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TZ": "UTC", "NUMBA_CACHE_DIR": str(caches())}
    options = OPTIONS | {f"spark.executorEnv.{name}": value for name, value in workers.items()}
    options["spark.driver.extraJavaOptions"] = f"-Dlog4j2.configurationFile={QUIET}"
    options["spark.sql.shuffle.partitions"] = str(settings.buckets)
    options["spark.executor.memory"] = options["spark.driver.memory"] = f"{settings.memory_mb}m"
    options["spark.executor.pyspark.memory"] = f"{2 * settings.memory_mb}m"
    if settings.master.startswith("local"):
        options["spark.driver.extraJavaOptions"] += f" {BRIEF}"
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        options |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        del options["spark.executor.pyspark.memory"]  # its limit is of addresses, which kernels reserve and never touch
    return options


def _check_java(environment: Any) -> None:
    home = environment.get("JAVA_HOME", "")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    try:
        found = subprocess.run([program or "java", "-version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        raise NoCluster(
            "Spark needs Java {least} or later, and there is none.", "Install it, or set JAVA_HOME.", least=LEAST_JAVA
        ) from None
    said = re.search(rb'version "(\d+)', found.stderr + found.stdout)
    if said is None or int(said[1]) < LEAST_JAVA:
        raise NoCluster(
            "Spark needs Java {least} or later; this is {version}.",
            "Set JAVA_HOME to a newer one.",
            least=LEAST_JAVA,
            version=said[1].decode() if said else "?",
        )


def _check_master(master: str) -> None:
    """A standalone master is knocked at first: Spark itself would try for a minute and then say little."""
    if not master.startswith("spark://"):
        return
    for one in master.removeprefix("spark://").split(","):
        where = urlsplit(f"//{one}")
        try:
            with socket.create_connection((where.hostname or "", where.port or 7077), _REACH):
                return
        except (OSError, ValueError):
            continue
    raise NoCluster("The cluster {master} is not reached.", "Is its master running, and this its address?",
                    master=master)  # fmt: skip


def _check_secret(settings: ClusterSettings) -> None:
    """The machines of a standalone cluster share a secret, without which Spark's wire cannot be encrypted."""
    given = any(option.startswith((f"{SECRET}=", f"{SECRET}.file=")) for option in settings.options)
    if settings.master.startswith(("spark://", "local-cluster")) and not given and not os.environ.get(SECRET_VARIABLE):
        raise NoCluster(
            "The cluster {master} needs the secret that its machines share.",
            "Set {variable} in the environment, or {option}.file in the options.",
            master=settings.master,
            variable=SECRET_VARIABLE,
            option=SECRET,
        )


def _prove(session: SparkSession, sealed: SealedKey) -> None:
    """One task that opens a sealed key; ends the session and raises where none runs in time or the key is not there."""
    answered, master = threading.Event(), session.sparkContext.master

    def give_up() -> None:
        if not answered.is_set():
            session.sparkContext.cancelAllJobs()

    timer = threading.Timer(FIRST_ANSWER, give_up)
    timer.daemon = True
    timer.start()
    try:
        with errors.raised():
            session.range(0, 1, 1, 1).mapInArrow(Probe(sealed), "answer string").toArrow()
    except Exception as error:
        session.stop()
        if isinstance(error, Interrupted):
            raise NoCluster(
                "No executor of {master} ran a first task.",
                "Are there free executors, with open-cleanroom installed in their Python?",
                master=master,
            ) from None
        raise
    finally:
        answered.set()
        timer.cancel()


class Probe:
    """Opens a sealed key on an executor."""

    def __init__(self, sealed: SealedKey) -> None:
        self._sealed = sealed

    @errors.named
    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Whatever comes in, one word comes out."""
        self._sealed.open()
        for _ in batches:
            yield pa.record_batch({"answer": pa.array(["yes"])})
