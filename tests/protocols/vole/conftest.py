"""What the tests of all protocols share is in the folder above. Kernels are compiled before anybody waits for them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))


@pytest.fixture(scope="session", autouse=True)
def _warm():
    from protocols.psi import vole

    vole.warm()
