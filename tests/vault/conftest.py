"""A vault in a fresh home; its datasets in the home's folder, in another folder as objects, or in a bucket."""

import secrets
import shutil

import pytest
from vault_world import small

from cleanroom.home import Home
from cleanroom.vault import placing
from tests.s3_server import address, s3  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def _template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "home"
    Home.create(path, "merchant")
    return path


@pytest.fixture
def where(request):
    """Where datasets stand: "home", "folder" or "bucket"; by `parametrize(..., indirect=True)`."""
    return getattr(request, "param", "home")


@pytest.fixture
def fresh(_template, tmp_path, where, request):
    """A function that gives the path of a new home each time."""

    def make(path):
        shutil.copytree(_template, path)
        if where == "folder":
            placing.place(path / "vault", str(path / "objects"))
        if where == "bucket":
            placing.place(path / "vault", address(request.getfixturevalue("s3")))
        return path

    return make


@pytest.fixture
def another(fresh, tmp_path):
    """A function that gives a new empty vault each time."""
    return lambda: small(Home.open(fresh(tmp_path / secrets.token_hex(8))).vault)


@pytest.fixture
def home(fresh, tmp_path):
    return Home.open(fresh(tmp_path / "home"))


@pytest.fixture
def vault(home):
    return small(home.vault)


@pytest.fixture
def reopened(home):
    """A function that opens the vault anew, as another process would."""
    return lambda: small(Home.open(home.path).vault)


@pytest.fixture
def uri(home):
    """Where the objects are."""
    return placing.placed(home.path / "vault").uri
