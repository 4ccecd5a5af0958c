"""Tokens and tags made, and rows handed over, with Spark's logs and event file on: run as a program, for a test that
looks through them.

python watched_run.py FOLDER: reads FOLDER/secrets.json; leaves FOLDER/log, FOLDER/events, FOLDER/plan, FOLDER/closures,
and in FOLDER/keys.json the keys that it drew.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from made_rows import quiet
from pyspark import cloudpickle

from cleanroom.cluster import executor_keys, oprf_tables, session, tokenising
from cleanroom.cluster.brief import Brief
from cleanroom.cluster.buckets import Layout, bucketed
from cleanroom.cluster.errors import MissingKey, raised
from cleanroom.cluster.executor_keys import SealedKey
from cleanroom.cluster.handover import HandedOver, Place
from cleanroom.cluster.lining_up import LineUp
from cleanroom.cluster.oprf_tables import Terms
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.stages import Stage
from cleanroom.cluster.vault_rows import VaultRows
from cleanroom.enclave.query import Query
from cleanroom.enclave.spark import SparkEngine
from cleanroom.enclave.tables import TOKEN
from cleanroom.home import Home
from cleanroom.rooms.terms import Annex
from cleanroom.vault import Vault
from cleanroom.vault.leave import collect
from protocols.oprf.keys import Epoch, Key
from protocols.psi import keyed

LOG = """rootLogger.level = info
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {path}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %p %c %m%n%ex
"""


def stored(folder: Path, people: list[str]) -> Vault:
    """A vault with these people."""
    schema = pa.schema({"digest": pa.binary(32), "t.tier": pa.string()})
    digests = pa.array([bytes.fromhex(person) for person in people], pa.binary(32))
    batch = pa.record_batch([digests, pa.array(["planted-tier"] * len(people))], schema=schema)
    Home.create(folder / "home", "left")
    vault = Home.open(folder / "home").vault
    vault.write("people", schema, [batch], meta={})
    return vault


def options(folder: Path) -> tuple[str, ...]:
    """Everything that Spark can be made to write down."""
    for name in ("events", "local"):
        (folder / name).mkdir()
    log = folder / "log4j2.properties"
    log.write_text(LOG.format(path=folder / "log"))
    return (
        "spark.eventLog.enabled=true",
        f"spark.eventLog.dir=file://{folder / 'events'}",
        "spark.eventLog.compress=false",
        "spark.eventLog.logStageExecutorMetrics=true",
        f"spark.local.dir={folder / 'local'}",
        "spark.sql.maxPlanStringLength=10000000",
        "spark.sql.debug.maxToStringFields=1000",
        f"spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile={log}",
    )


def handed_over(
    folder: Path, spark: Any, settings: ClusterSettings, parts: Parts, source: VaultRows, brief: Brief
) -> list[bytes]:
    """What two owners leave, lined up and counted as their operator does; the keys of the places."""
    settings = replace(settings, handover=str(folder / "handover"))
    left, places = [], []
    with SparkEngine(settings, 600.0, quiet) as engine:
        for number, each in enumerate((brief, replace(brief, dataset="crm", side="right", columns=()))):
            places.append(place := Place.new(settings))
            layout = tokenising.layout_of(each, 10, settings.buckets)
            own = replace(parts, uri=f"{parts.uri}-{each.dataset}")
            made = tokenising.tokenise(spark, settings, own, place.parts, source, each, layout, quiet)
            kept = pa.schema([field for field in keyed.layout(made.widths) if field.name != TOKEN])
            counts = (tuple(piece.rows for piece in made.pieces),)
            widths = tuple(made.widths.items())
            left.append(HandedOver(place.parts, number, each.dataset, kept, made.rows, counts, widths))
            engine.take(left[-1])
            engine.drop_tokens(each.dummies)
        if engine.match("shop", "crm") != 2 or not engine.run(Query(("shop.tier",))).table.num_rows:
            raise SystemExit("what was handed over does not match")
        task = LineUp(engine._parts, tuple(left), 0, {}, {})
    (folder / "handed-closures").write_bytes(cloudpickle.dumps([task, left]))
    (folder / "handed-names").write_text(repr([places, left, task]))
    return [place.key for place in places]


def main(folder: Path) -> None:
    """A run of each kind, and one that fails for want of a key."""
    secrets = json.loads((folder / "secrets.json").read_text())
    settings = ClusterSettings(
        staging=str(folder), executor_key=secrets["key_file"], buckets=2, memory_mb=512, options=options(folder)
    )
    parts = Parts(str(folder / "parts"), executor_keys.seal(settings, "parts", bytes.fromhex(secrets["parts"])))
    vault, columns = stored(folder, secrets["people"]), ["digest", "t.tier"]
    source = VaultRows.granted(settings, vault, "people", columns)
    keys = [key.hex() for part in collect(vault, "people", None, columns).parts for key in part.file.keys.values()]
    annex = Annex("shop", "tier", "salt", ("planted-tier", "other", "unknown"))
    brief = Brief(bytes.fromhex(secrets["room"]), bytes.fromhex(secrets["canaries"]), "left", "shop", 32, (annex,))
    key = Key(b"r" * 32, 1, bytes.fromhex(secrets["seed"]))
    terms = Terms(key, Epoch(1, key.public, 100, 100), bytes.fromhex(secrets["canaries"]), "left", 32)
    with session.running(settings) as spark:
        layout = tokenising.layout_of(brief, 10, settings.buckets)
        shown = replace(parts, uri=str(folder / "shown"))
        tokenising.tokenise(spark, settings, parts, shown, source, brief, layout, quiet)
        keys += [key.hex() for key in handed_over(folder, spark, settings, parts, source, brief)]
        (folder / "keys.json").write_text(json.dumps(keys))
        own = oprf_tables.evaluate(spark, settings, parts, source, terms, 10, quiet)
        oprf_tables.table(spark, settings, parts, own, terms, quiet)
        lost = Parts(parts.uri, SealedKey(parts.key.name, parts.key.wrapped, str(folder / "nowhere")))
        layout = Layout(16, 8, 2)
        sealed = brief.sealed(settings)
        read = tokenising._Read(source, sealed, layout)
        make = tokenising._Make(Stage(lost, "tokens", "cd" * 32, 2), lost, sealed, layout)
        frame = bucketed(spark, source.pieces, layout, (0, 1), read, make)
        (folder / "plan").write_text(frame._jdf.queryExecution().toString())
        evaluate = oprf_tables._Evaluate(own.stage, own.stage.parts.key, own.epoch, layout, own)
        (folder / "closures").write_bytes(cloudpickle.dumps([read, make, evaluate, own]))
        try:
            with raised():
                frame.collect()
        except MissingKey:
            (folder / "named").write_text("yes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
