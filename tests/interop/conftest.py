"""One room for the tests of this folder."""

from pathlib import Path

import pytest

from tests.interop.world import World, build


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("interop"))


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANROOM_LANG", "en")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
