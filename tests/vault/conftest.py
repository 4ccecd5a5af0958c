"""A vault in a fresh home."""

import secrets
import shutil

import pytest
from vault_world import small

from cleanroom.home import Home


@pytest.fixture(scope="session")
def _template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "home"
    Home.create(path, "merchant")
    return path


@pytest.fixture
def another(_template, tmp_path):
    """A function that gives a new empty vault each time."""

    def make():
        path = tmp_path / secrets.token_hex(8)
        shutil.copytree(_template, path)
        return small(Home.open(path).vault)

    return make


@pytest.fixture
def home(_template, tmp_path):
    shutil.copytree(_template, tmp_path / "home")
    return Home.open(tmp_path / "home")


@pytest.fixture
def vault(home):
    return small(home.vault)


@pytest.fixture
def reopened(home):
    """A function that opens the vault anew, as another process would."""
    return lambda: small(Home.open(home.path).vault)
