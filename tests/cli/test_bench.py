"""`bench` and `make bench`: figures are measured ones, a wrong overlap is no figure, tables speak both languages."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import data, processes, report
from benchmarks.processes import Failed, Ran, Summary, alternate, ratio, summary, together
from benchmarks.regimes import OURS, Operation, Row
from cleanroom.bench import run as benching
from cleanroom.bench.run import Figure, fit, match
from cleanroom.errors import Interrupted
from cleanroom.machine import Machine
from cleanroom.rooms import costs
from cleanroom.rooms.costs import Cost, Link
from tests.cli.support import Run

HERE = Machine("a processor", 2, frozenset())
RESULT: dict[str, Any] = {
    "processor": "a processor", "cores": 2, "target": "portable", "synthetic": True, "saved": "/there/figures.json",
    "protocols": [vars(Figure("vole", 100_000, 100_000, 0.5, 0.0, 4_600_000, 300, 0.1))],
    "primitives": [{"what": "group sum", "bits": 2048, "microseconds": 1.25}], "seconds": 50.0,
}  # fmt: skip


def figure(rows: int, seconds: float, offline: float = 0.0) -> Figure:
    return Figure("vole", rows, rows, seconds, offline, 1, 1, 1.0)


def test_a_fit_gives_back_what_was_measured() -> None:
    figures = [figure(10_000, 0.5), figure(110_000, 2.5, offline=1.1)]
    fitted = fit(Cost(9.0, 3e-6, 1e-6, 1, 1, 1), figures, HERE)
    assert fitted.receiver == pytest.approx(3 * fitted.sender)
    for each in figures:
        told = fitted.fixed + each.receiver_rows * fitted.receiver + each.sender_rows * fitted.sender
        assert told == pytest.approx(each.seconds)
    assert fitted.offline == pytest.approx(1e-5)
    noisy = fit(Cost(9.0, 3e-6, 1e-6, 1, 1, 1), [figure(10_000, 0.5), figure(110_000, 0.4)], HERE)
    assert noisy.receiver > 0
    assert noisy.fixed >= 0


def test_a_fit_foretells_what_it_was_fitted_to_on_more_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine("large", 8, frozenset())
    fitted = fit(costs.COSTS["vole"]["portable"], [figure(10_000, 0.5), figure(110_000, 2.5)], machine)
    monkeypatch.setattr(costs, "saved", lambda _: {"vole": fitted})
    assert costs.estimate("vole", 110_000, 110_000, machine, Link()).seconds == pytest.approx(2.5)


@pytest.mark.parametrize("protocol", ["keyed", "oprf"])
def test_a_match_is_measured_in_processes_of_its_own(protocol: str) -> None:
    found = match(protocol, 200, 300)
    assert found.seconds > 0
    assert found.bytes > 200 * 16
    assert found.join_seconds > 0
    assert (found.offline > 0) == (protocol == "oprf")


def test_a_match_that_fails_is_no_figure() -> None:
    with pytest.raises(Interrupted):
        match("no-such-protocol", 10, 10)


def test_bench_for_people_and_programs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cleanroom.bench.run.measure", lambda *_, **__: RESULT)
    english, chinese = run("bench").out, run("bench", "--lang", "zh").out
    for text in ("vole", "100,000 × 100,000", "5.0 ×", "23.00", "made-up", "1.25", "/there/figures.json"):
        assert text in english, text
    for text in ("虚构", "可移植代码", "每行字节"):
        assert text in chinese, text
    assert run("bench", "--json").json["synthetic"]


def test_measure_fits_and_saves_what_it_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def made_up(protocol: str, receiver: int, sender: int) -> Figure:
        return Figure(protocol, receiver, sender, 0.1 + receiver * 1e-6, 0.0, 1, 1, 1.0)

    monkeypatch.setattr(benching, "match", made_up)
    monkeypatch.setattr(benching, "_primitives", lambda bits, count: [])
    monkeypatch.setattr(benching.warming, "ensure", lambda *_: False)
    monkeypatch.setattr(costs, "figures_path", lambda: tmp_path / "figures.json")
    result = benching.measure(lambda *_: None, quick=True, save=True)
    assert {each["protocol"] for each in result["protocols"]} == {"keyed", "vole", "dh", "oprf"}
    saved = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    assert saved["costs"]["vole"]["fixed"] == pytest.approx(0.1)


def test_medians_peaks_and_ratios() -> None:
    seconds = iter([3.0, 30.0, 1.0, 10.0, 2.0, 20.0])
    results = alternate(dict.fromkeys(("ours", "peer"), lambda: Ran(next(seconds), memory=5)), 3)
    assert (results["ours"].seconds, results["peer"].seconds) == (2.0, 20.0)  # in turn, and the median
    assert ratio(results["ours"], results["peer"]) == 10.0
    assert summary([Ran(1.0, 7, 1), Ran(2.0, 5, 2)]) == Summary(2, 1.5, 7, 2, ())


def test_processes_are_joined_counted_and_their_failure_is_told() -> None:
    script = (
        "import json, socket, sys; place, number = sys.argv[-1].split('=');"
        "end = socket.socket(fileno=int(number)); end.send(b'x'); print(json.dumps({'sent': len(end.recv(9))}))"
    )
    ran = together([[sys.executable, "-c", script]] * 2, joined=True)
    assert ran.wire == 2
    assert ran.memory > 1 << 20
    with pytest.raises(Failed, match="ZeroDivisionError"):
        together([[sys.executable, "-c", "1 / 0"], [sys.executable, "-c", "pass"]])


def test_made_up_phones_are_distinct_and_half_are_shared(tmp_path: Path) -> None:
    receiver, sender = (set(path.read_text("utf-8").split()[1:]) for path in data.ids(tmp_path, 300, 1_000))
    assert (len(receiver), len(sender), len(receiver & sender)) == (300, 1_000, 150)
    assert all(len(phone.strip('"')) == 11 for phone in receiver)


def test_tables_name_the_machine_the_ratios_and_what_is_missing() -> None:
    both = {OURS: Summary(3, 0.5, 300 << 20, 46_000, ()), "SecretFlow RR22": Summary(3, 2.0, 1, 1, ())}
    rows = [Row(("`vole`, CSV", "`vole`，CSV"), "≤ 1 s", 1_000, both)]
    operations = [Operation(("decryption", "解密"), "–", {OURS: 100.0, "phe": 350.0})]
    made = report.Report("a processor, 2 cores", "2026-01-31", rows, operations, {"heu": "no wheel"})
    for language in (0, 1):
        text = report.markdown(made, language)
        for part in ("a processor", "**0.50 s**", "300 MB", "46 B/item", "2.00 s, 4.0 ×", "3.5 ×", "heu (no wheel)"):
            assert part in text, part
    shapes = [[line.count("|") for line in report.markdown(made, language).splitlines()] for language in (0, 1)]
    assert shapes[0] == shapes[1]
    drawn = report.pictures(made)
    assert set(drawn) == {"matching.svg", "paillier.svg"}
    assert "SecretFlow" in drawn["matching.svg"]


def test_the_readmes_have_a_place_for_the_table() -> None:
    for path in report.READMES:
        assert len(report._FIGURES.findall(path.read_text("utf-8"))) == 1
    assert math.isfinite(processes.loopback())
