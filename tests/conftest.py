"""For all tests: coverage measures the workers themselves, not the programs they start.

Programs are then tested as users run them (an enclave gives up writing files too), and in a third less time.
"""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        del os.environ[name]
