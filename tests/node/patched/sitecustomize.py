"""For tests alone: changes named modules of a node right after they are loaded, as a broken machine or program would.

CLEANROOM_TEST_PATCHES is JSON: module → Python statements, run with the module's names.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
from typing import Any

_PATCHES: dict[str, str] = json.loads(os.environ.get("CLEANROOM_TEST_PATCHES", "{}"))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self) -> None:
        self._busy: set[str] = set()

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in _PATCHES or name in self._busy:
            return None
        self._busy.add(name)
        spec = importlib.util.find_spec(name)
        loader: Any = spec.loader if spec is not None else None
        if loader is None:
            return None
        usual = loader.exec_module

        def exec_module(module: Any) -> None:
            usual(module)
            exec(_PATCHES[name], module.__dict__)

        loader.exec_module = exec_module
        return spec


if _PATCHES:
    sys.meta_path.insert(0, _Finder())
