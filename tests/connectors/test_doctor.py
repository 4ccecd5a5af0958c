"""The doctor on files of which every defect is known."""

import ast
import hashlib
import json
import random
import string
from collections import Counter
from pathlib import Path

import pytest
from few_rows import Rows, mapping

from connectors import doctor, events
from connectors.doctor import examine
from connectors.errors import InputError
from connectors.identity import Loss, Repair
from connectors.open import open_source
from connectors.source import Rejected

ROOT = Path(__file__).parents[2]
DEFECTS = {
    Loss.MISSING: ["", "NULL", "无", " "],
    Loss.MASKED: ["138****1234", "139XXXX0001"],
    Loss.ROUNDED: ["1.38E+10", "1.39E+10", "1.380013E+10"],
    Loss.SEVERAL: ["13800138000/13900139000"],
    Loss.OTHER_CHARACTERS: ["138O0138000", "未提供号码"],
    Loss.NOT_MAINLAND: ["+85251234567"],
    Loss.LANDLINE: ["010-88888888", "4008101234"],
    Loss.LEADING_ZERO: ["013800138000"],
    Loss.TOO_FEW_DIGITS: ["1380013800", "10086"],
    Loss.TOO_MANY_DIGITS: ["138001380001"],
    Loss.NOT_A_MOBILE: ["12345678901"],
    Loss.HASHED_AMONG_RAW: [hashlib.sha256(b"13800138000").hexdigest()],
}
REPAIRS = {
    Repair.DECIMAL: ["13600000001.0", "13600000002.00"],
    Repair.SCIENTIFIC: ["1.3600000003E+10"],
    Repair.FULL_WIDTH: ["１３６００００００４０"],
    Repair.COUNTRY_CODE: ["+86 136 0000 0050", "8613600000060"],
    Repair.SEPARATORS: ["136-0000-0070", " 13600000080"],
}


def known_file(path: Path) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """A CSV of 2,000 good rows, 30 duplicates and every defect, shuffled; (losses, their first rows)."""
    rows: list[tuple[str, str | None]] = [(f"137{n:08}", None) for n in range(2_000)]
    rows += [(f"137{n:08}", None) for n in range(30)]
    rows += [(text, name) for name, texts in DEFECTS.items() for text in texts * 3]
    rows += [(text, None) for texts in REPAIRS.values() for text in texts]
    random.Random(7).shuffle(rows)
    spend = ["many" if place % 500 == 0 else f"{place}.50" for place in range(len(rows))]
    lines = [f"{phone},金卡,{spend[place]}" for place, (phone, _) in enumerate(rows)]
    path.write_text("手机号,会员等级,累计消费\n" + "\n".join(lines) + "\n", "utf-8")
    losses = Counter(name for _, name in rows if name)
    where = {name: tuple(p + 2 for p, row in enumerate(rows) if row[1] == name)[:5] for name in losses}
    return losses, where


def test_every_defect_is_found_by_name_and_row(tmp_path: Path) -> None:
    losses, where = known_file(tmp_path / "crm.csv")
    found = examine(open_source(str(tmp_path / "crm.csv")), "phone")
    funnel = found.funnel
    assert funnel.losses == losses
    assert {name: rows for name, rows in funnel.examples.items() if name in losses} == where
    assert funnel.repairs == {name: len(texts) for name, texts in REPAIRS.items()}
    assert funnel.rows == 2_030 + losses.total() + sum(map(len, REPAIRS.values()))
    assert (funnel.unique, funnel.merged) == (2_008, 30)
    assert funnel.unparsed["spend"] == funnel.examples["unparsed:spend"].__len__()
    assert [role.name for role in found.mapping.columns] == ["phone", "level", "spend"]


def test_advice_names_rows_and_columns_and_no_value(tmp_path: Path) -> None:
    losses, where = known_file(tmp_path / "crm.csv")
    found = examine(open_source(str(tmp_path / "crm.csv")), "phone")
    texts = [template.format(**params) for template, params in found.advice]
    masked = next(text for text in texts if "masked" in text)
    assert masked.startswith(f"{losses[Loss.MASKED]} identities are masked")
    assert ", ".join(map(str, where[Loss.MASKED])) in masked
    assert len(texts) == len(losses) + len(REPAIRS) + 2  # amounts that could not be read; duplicates
    own = " ".join(texts).replace("138****1234", "").replace("13800138000.0", "").replace("1.38E+10", "")
    assert not any(text.strip() in own for texts in DEFECTS.values() for text in texts if len(text.strip()) > 5)


def test_rows_that_were_never_read_are_named() -> None:
    rejected = [Rejected(3, "ragged"), Rejected(9, "gone")]
    found = examine(Rows({"phone": ["13800138000"]}, rejected=rejected), "phone")
    assert found.funnel.losses == {"ragged": 1, "gone": 1}
    texts = [template.format(**params) for template, params in found.advice]
    assert any("(rows 3)" in text for text in texts)
    assert any("gone (rows 9)" in text for text in texts)


def hashes(count: int, algorithm: str) -> list[str]:
    return [hashlib.new(algorithm, str(n).encode()).hexdigest() for n in range(count)]


def test_hashed_columns_get_advice() -> None:
    md5 = examine(Rows({"phone": hashes(9, "md5")}), "phone")
    assert md5.funnel.digest_form == "md5"
    assert md5.advice[0][0].startswith("Column {column} holds MD5")
    assert "SHA-256" in examine(Rows({"phone": hashes(9, "sha256")}), "phone").advice[0][0]


def test_the_majority_of_the_whole_column_decides() -> None:
    found = examine(Rows({"phone": ["13800138000"] * 3 + hashes(9, "sha256")}), "phone")
    assert found.funnel.losses == {Loss.RAW_AMONG_HASHED: 3}
    assert found.funnel.examples[Loss.RAW_AMONG_HASHED] == (2, 3, 4)


def test_openids_without_an_app_get_advice_and_consents_are_applied() -> None:
    roles = mapping(openid="identity", agreed="consent")
    found = examine(Rows({"openid": ["oAbc", "oDef"], "agreed": ["是", "否"]}), "openid", mapping=roles)
    assert "app id" in found.advice[0][0]
    assert found.funnel.losses == {Loss.NO_CONSENT: 1}
    assert not examine(Rows({"openid": ["oAbc"]}), "openid", scope="wx1").advice


def test_an_absent_identity_is_refused() -> None:
    with pytest.raises(InputError):
        examine(Rows({"note": ["x"]}), "phone")


def test_an_empty_source() -> None:
    assert examine(Rows({"phone": [None][:0]}), "phone", mapping=mapping(phone="identity")).funnel.rows == 0


def two_kinds() -> Rows:
    """25 persons of one placeholder, a phone that comes 25 times with its own address, and rows with every defect."""
    phones = [f"137{n:08}" for n in range(25)] + ["13800138000"] * 25
    mails = [" none@none.com"] * 25 + ["own@shop.cn"] * 25
    more = [("138****1234", "kept@shop.cn"), ("", "nobody"), ("13900139000", ""), ("", ""), ("1380013800", "x@y.cn")]
    spend = ["1"] * 54 + ["many"]
    return Rows({"phone": [*phones, *(one for one, _ in more)], "email": [*mails, *(one for _, one in more)],
                 "spend": spend}, rejected=[Rejected(60, "ragged")])  # fmt: skip


def test_of_several_identities_each_has_its_own_advice() -> None:
    found = examine(two_kinds(), "phone,email", mapping=mapping(phone="identity", email="identity", spend="amount"))
    said = {kind: dict(own) for kind, own in found.by_kind.items()}
    assert list(said) == ["phone", "email"]
    assert {text: params["count"] for text, params in said["phone"].items()} == {
        doctor._NONE: 2, doctor.LOSSES[Loss.MASKED]: 1, doctor.LOSSES[Loss.TOO_FEW_DIGITS]: 1,
    }  # fmt: skip
    assert said["email"] == {
        doctor._NONE: {"count": 2, "rows": "54, 55"},
        doctor.LOSSES[Loss.NOT_AN_EMAIL]: {"count": 1, "rows": "53"},
        doctor.REPAIRS[Repair.SEPARATORS]: {"count": 25},
        doctor._SHARED: {"count": 25, "most": 20, "rows": "2, 3, 4, 5, 6 …"},
    }
    whole = {text: params["count"] for text, params in found.advice}
    assert whole == {doctor.UNREAD["ragged"]: 1, doctor._NOBODY: 2, doctor._UNPARSED: 1, doctor._MERGED: 24}


def test_hashes_and_consents_of_several_identities() -> None:
    columns = {"phone": ["13800138000", "13900139000"], "email": hashes(2, "sha256"), "agreed": ["是", "否"]}
    roles = mapping(phone="identity", email="identity", agreed="consent")
    found = examine(Rows(columns), "email, phone", mapping=roles)
    assert [text for text, _ in found.advice] == [doctor.LOSSES[Loss.NO_CONSENT]]
    assert {kind: [text for text, _ in own] for kind, own in found.by_kind.items()} == {
        "email": [doctor._SHA256], "phone": [],
    }  # fmt: skip


def test_one_identity_alone_has_no_advice_by_kind() -> None:
    assert examine(two_kinds(), "email").by_kind == {}


def own_texts() -> set[str]:
    """Every text of these modules that a person can be shown."""
    modules = ["values", "days", "merging", "importing", "funnel", "doctor", "events", "event_types", "features"]
    files = [*(ROOT / "connectors" / "identity").glob("*.py"), *(ROOT / "connectors" / f"{m}.py" for m in modules)]
    calls = [node for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    raised = [call for call in calls if getattr(call.func, "id", "") in ("InputError", "MixedForms")]
    texts = {ast.literal_eval(argument) for call in raised for argument in call.args[:2]}
    for table in (doctor.LOSSES, doctor.REPAIRS, doctor.UNREAD, events.LOSSES):
        texts |= set(table.values())
    named = ("_UNREAD", "_UNPARSED", "_MERGED", "_MD5", "_SHA256", "_NO_SCOPE", "_NONE", "_NOBODY", "_SHARED")
    return texts | {getattr(doctor, name) for name in named}


def test_every_name_has_a_text_and_every_text_a_translation() -> None:
    assert set(doctor.LOSSES) == set(Loss)
    assert set(doctor.REPAIRS) == set(Repair)
    chinese = json.loads((ROOT / "cleanroom" / "lang" / "zh" / "identity.json").read_text("utf-8"))

    def names(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert own_texts() - chinese.keys() == set()
    assert all(names(english) == names(text) for english, text in chinese.items())
