"""Commands on real files: overlap, data, audit, as people and as programs meet them."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.support import SHARED, Done, Run, phone

LOSSES = {"missing": 1, "masked": 1, "spreadsheet-rounded": 1, "landline": 1}

IN_ENGLISH = (
    "lost: masked, as in 138****1234",
    "220 persons (exact",
    "200–499 persons",
    "Noise off: numbers are exact. Groups under 60 persons are withheld.",
    "Who learned what",
    "which of its own rows matched",
    "the number of rows of platform: 320",
    "220 rows in members.csv",
)
IN_CHINESE = (
    "损失：已脱敏，形如 138****1234",
    "220 人（确切值",
    "200–499 人",
    "少于 60 人的分组不显示",
    "谁得知了什么",
    "平台的行数：320",
    "members.csv",
)


def test_overlap_says_all_in_one_object(overlap: tuple[Path, Done]) -> None:
    folder, done = overlap
    assert (done.code, done.err) == (0, "")
    found = done.json
    assert found["protocol"] == "keyed"
    assert found["left"] == {"rows": 305, "present": 304, "valid": 301, "unique": 300, "losses": LOSSES}
    assert found["right"]["unique"] == 320
    assert found["overlap"]["value"] == SHARED
    assert {row["level"]: row["people"] for row in found["segments"]} == {"金卡": SHARED / 2, "银卡": SHARED / 2}
    assert found["members"] == {"path": "members.csv", "rows": SHARED}
    for name in ("seconds", "stages", "wire_bytes", "peak_memory", "learned", "receipt", "why", "noise", "k"):
        assert found[name] is not None, name
    assert sorted(path.name for path in folder.iterdir()) == ["home", "members.csv", "receipt.json"]


def test_members_are_the_receivers_own_rows_for_a_spreadsheet(overlap: tuple[Path, Done]) -> None:
    content = (overlap[0] / "members.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(content.decode("utf-8-sig").splitlines()))
    assert {row["mobile"] for row in rows} == {phone(n) for n in range(304 - SHARED, 304)}
    assert set(rows[0]) == {"mobile", "city_tier"}


def test_overlap_for_people(overlap: tuple[Path, Done], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = overlap[1].json
    monkeypatch.setattr("cleanroom.overlap.run", lambda *_: result)
    english, chinese = run("overlap", "a", "b"), run("overlap", "a", "b", "--lang", "zh")
    for text in (*IN_ENGLISH, result["receipt"]["digest"]):
        assert text in english.out, text
    for text in IN_CHINESE:
        assert text in chinese.out, text
    assert "138000" not in english.out


def test_a_withheld_size_and_no_groups(overlap: tuple[Path, Done], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"value": None, "range": [0, 99], "withheld": True}
    result = {**overlap[1].json, "overlap": size, "segments": [], "members": None, "why": None}
    monkeypatch.setattr("cleanroom.overlap.run", lambda *_: result)
    done = run("overlap", "a", "b")
    assert "fewer than 100 persons" in done.out
    assert "exact: the receiver" not in done.out
    assert "Segments" not in done.out


def test_an_answer_of_a_cluster_says_so(overlap: tuple[Path, Done], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In both languages, with what the receipt names; an answer of the enclave's own process needs no word of it."""
    result = overlap[1].json
    monkeypatch.setattr("cleanroom.overlap.run", lambda *_: result)
    assert "whoever runs it" not in run("overlap", "a", "b").out
    result["receipt"] = {**result["receipt"], "isolation": "cluster, spark-4.3.0"}
    said = "on a cluster (spark-4.3.0) without a sandbox: whoever runs it could look into it"
    assert said in run("overlap", "a", "b").out
    assert "在集群上（spark-4.3.0），没有沙箱" in run("overlap", "a", "b", "--lang", "zh").out


def test_what_a_run_left_can_be_audited(overlap: tuple[Path, Done], run: Run) -> None:
    folder = overlap[0]
    home, receipt = folder / "home", folder / "receipt.json"
    told = run("audit", "verify", receipt, "--home", home, "--json").json
    assert len(told["ledger"]["steps"]) == 8  # with the peers as witnesses
    assert told["receipt"]["steps"][-1].startswith("6 ledger")
    assert "no-core-dumps" in told["receipt"]["isolation"]
    assert "isolation" not in told["ledger"]
    held = run("audit", "verify", receipt, "--home", home)
    assert "Computed  in a process of its own, kept apart by no-core-dumps" in held.out
    assert "✓ 8 见证" in run("audit", "verify", "--home", home, "--lang", "zh").out
    shown = run("audit", "show", "--home", home)
    assert "platform learned which of its own rows matched" in shown.out
    assert run("audit", "show", "--home", home, "--json").json["entries"][0]["seq"] == 1
    assert run("room", "verify", "overlap", "--home", home).code == 0


def test_a_receipt_that_was_changed_is_refused(overlap: tuple[Path, Done], run: Run, tmp_path: Path) -> None:
    folder = overlap[0]
    text = (folder / "receipt.json").read_text("utf-8")
    (tmp_path / "forged.json").write_text(text.replace('"k":60', '"k":61'), "utf-8")
    done = run("audit", "verify", "forged.json", "--home", folder / "home", "--json")
    assert (done.code, "step 2" in done.json["error"]["what"]) == (4, True)


def test_a_receipt_and_a_contract_need_no_home(overlap: tuple[Path, Done], run: Run, tmp_path: Path) -> None:
    folder = overlap[0]
    contract = folder / "home" / "rooms" / "overlap" / "room.json"
    words = ("audit", "verify", folder / "receipt.json", "--home", tmp_path / "none")
    assert run(*words, "--contract", contract, "--json").json["ledger"] is None
    assert run(*words).code == 2


def test_a_ledger_that_was_cut_is_seen(overlap: tuple[Path, Done], run: Run, tmp_path: Path) -> None:
    import sqlite3

    home = tmp_path / "home"
    shutil.copytree(overlap[0] / "home", home)
    with sqlite3.connect(home / "ledger.sqlite") as database:
        database.execute("DELETE FROM entries WHERE seq >= (SELECT max(seq) - 2 FROM entries)")
        database.execute("DELETE FROM answers")
    done = run("audit", "verify", "--home", home)
    assert done.code == 4
    assert "Ledger, step" in done.err


def test_the_doctor_tells_losses_and_no_value(run: Run, files: Path) -> None:
    done = run("data", "doctor", files / "crm.csv", "--json")
    funnel = done.json["funnel"]
    assert (funnel["rows"], funnel["unique"], funnel["losses"]) == (305, 300, LOSSES)
    shown = run("data", "doctor", files / "crm.csv", "--lang", "zh")
    assert "损失：已脱敏，形如 138****1234" in shown.out
    assert "同一人的其他行" in shown.out
    assert "13800" not in done.out + shown.out


def test_datasets_are_added_listed_and_forgotten(run: Run, files: Path, tmp_path: Path) -> None:
    words = ("data", "add", files / "crm.csv", "--name", "crm", "--home", tmp_path / "home")
    added = run(*words, "--party", "shop")
    assert "Dataset crm, version 1: 300 persons, encrypted." in added.out
    assert run("data", "list", "--home", tmp_path / "home", "--json").json["party"] == "shop"
    (tmp_path / "people.csv").write_text(f"phone\n{phone(100)}\n{phone(101)}\n\n")
    gone = run("data", "forget", "people.csv", "--home", tmp_path / "home")
    assert "2 persons are forgotten" in gone.out
    again = run(*words, "--json").json
    assert (again["rows"], again["version"], again["forgotten"]) == (298, 3, 2)
    listed = run("data", "list", "--home", tmp_path / "home", "--lang", "zh")
    assert "shop的数据集" in listed.out
    assert phone(100) not in gone.out + listed.out


@pytest.mark.parametrize(("language", "said"), [
    ("en", ("Rows by email alone", "email: 50 persons have one that more than 20 persons share", "(meta/1)",
            "1 other identities in their rows were left alone")),
    ("zh", ("仅按邮箱统计的行", "邮箱：50 人的该标识由超过 20 人共用", "(meta/1)", "另有 1 个标识未作处理")),
])  # fmt: skip
def test_several_identities_are_told_by_kind_and_a_placeholder_forgets_nobody(
    run: Run, tmp_path: Path, language: str, said: tuple[str, ...]
) -> None:
    rows = "".join(f"{phone(n)},none@none.com\n" for n in range(50))
    (tmp_path / "crm.csv").write_text(f"phone,email\n{rows}138****1234,one@shop.cn\n")
    (tmp_path / "people.csv").write_text(f"phone\n{phone(7)}\n")
    home, lang = ("--home", tmp_path / "home"), ("--lang", language)
    doctor = run("data", "doctor", "crm.csv", "--on", "phone,email", *lang).out
    added = run("data", "add", "crm.csv", "--name", "crm", "--on", "phone,email", *home, *lang).out
    listed = run("data", "list", *home, *lang).out
    gone = run("data", "forget", "people.csv", *home, *lang).out
    alone, shared, matched, left = said
    assert (alone in doctor, alone in added, shared in flat(doctor), matched in listed) == (True,) * 4
    assert left in flat(gone)
    (left_over,) = run("data", "list", *home, "--json").json["datasets"]
    assert left_over["rows"] == 50  # of 51
    assert "none@none" not in doctor + added + listed + gone


def flat(shown: str) -> str:
    """Without the breaks of lines."""
    return " ".join(shown.split())


def test_a_home_is_found_by_environment(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "here"
    assert run("room", "card", "--role", "operator", "--home", home).json["party"] == "operator"
    assert run("room", "list", "--json", CLEANROOM_HOME=str(home)).json == {
        "home": str(home), "party": "operator", "rooms": [], "meetings": [],
    }  # fmt: skip
    assert run("room", "list", CLEANROOM_HOME=str(tmp_path / "none")).code == 2
    assert "No rooms yet" in run("room", "list", CLEANROOM_HOME=str(home)).out
    assert list(tmp_path.iterdir()) == [home]
    assert json.loads((home / "node.json").read_bytes())["party"] == "operator"


def test_the_demo_and_a_checkup_for_people(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    size = {"value": None, "range": [200, 499], "withheld": False}
    room = {"protocol": "dh", "overlap": size, "segments": [{"level": "gold", "people": 120}], "seconds": 1.5}
    told = {"home": "here", "rooms": ["spend"], "report": "here/report.html", "checkup": "here/checkup.html",
            "as_of": "2026-01-31", "results": {"spend": room}}  # fmt: skip
    monkeypatch.setattr("cleanroom.demo.story.tell", lambda *_, **__: told)
    shown = run("demo").out
    for text in ("spend", "dh", "200–499", "1.50", "here/report.html", "cleanroom room show spend --home here"):
        assert text in shown, text
    assert run("demo", "--json").json == told
    orders = [f"{phone(n % 40)},2026-01-{1 + n % 28:02d},{n}.00" for n in range(200)]
    (tmp_path / "orders.csv").write_text("\n".join(["手机号,下单时间,消费金额", *orders, ",2026-01-01,1.00"]), "utf-8")
    done = run("checkup", "orders.csv", "--lang", "zh")
    assert done.code == 0, done.err
    for text in ("客户体检报告", "201", "复购率", "没有身份标识", str(tmp_path / "orders-checkup.html")):
        assert text in done.out, text
    assert (tmp_path / "orders-checkup.html").stat().st_size > 1000
