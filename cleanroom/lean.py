"""Processes without pandas, which Arrow would load unasked: half a second, 40 MB, and files that a sandbox has not."""

import sys


class _WithoutPandas:
    """An importer that finds no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse pandas, know nothing of the rest."""
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


def without_pandas() -> None:
    """From here on this process finds no pandas."""
    sys.meta_path.insert(0, _WithoutPandas())


def with_pandas() -> None:
    """The reverse, for a library that will not start without it: PySpark looks whether pandas is there."""
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _WithoutPandas)]
