"""Two tiny files whose overlap is known, the command in this process, and one real run that many tests look at."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from cleanroom import lang
from tests.cli.support import SHARED, Done, phone, process


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Done]:
    """The command in this process, in a folder of its own, in English unless told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lang, "_current", "en")  # and back to what it was, afterwards
    for name in ("CLEANROOM_LANG", "LC_MESSAGES", "LANG", "CLEANROOM_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"LC_ALL": "C.UTF-8", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)

    def call(*words: object, **changes: str) -> Done:
        result = CliRunner().invoke(cli.app, [str(word) for word in words], env=changes, prog_name="cleanroom")
        return Done(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """crm.csv (300 persons, 4 rows lost by name, 1 repeated) and users.csv (320); persons 80 to 299 are in both."""
    folder = tmp_path_factory.mktemp("files")
    bad = {0: "", 1: "138****0001", 2: "1.38E+10", 3: "021-12345678"}
    rows = [f"{bad.get(n, phone(n))},{'金卡' if n % 2 else '银卡'},{n}.50" for n in range(304)]
    rows.append(f"{phone(10)},金卡,1.00")
    (folder / "crm.csv").write_text("手机号,会员等级,累计消费\n" + "\n".join(rows) + "\n", "utf-8-sig")
    users = [f"{phone(n)},{'T1' if n % 4 else 'T2'}" for n in range(304 - SHARED, 404)]
    (folder / "users.csv").write_text("mobile,city_tier\n" + "\n".join(users) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def overlap(files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A folder in which the real command found the overlap: home/, members.csv, receipt.json; and what it said."""
    folder = tmp_path_factory.mktemp("overlap")
    words = [
        "overlap",
        str(files / "crm.csv"),
        str(files / "users.csv"),
        "--by",
        "level",
        "--k",
        "60",
        "--home",
        "home",
    ]
    words += ["--members", "members.csv", "--receipt", "receipt.json", "--json"]
    return folder, process(words, folder)
