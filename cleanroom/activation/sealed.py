"""Files of state about persons: a version, a head of canonical JSON and some arrays, sealed as one by the home's key.

Nothing of a person ever stands in a file's name, and nothing is written in the clear, not even for a moment.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom import canonical, private_files
from cleanroom.errors import BadData
from cleanroom.files import write_bytes
from cleanroom.home import Home

Arrays = Mapping[str, NDArray[Any]]
_MOST_BYTES = 1 << 31
_SIZE_BYTES = 4
_TYPES = ("|u1", "<u2", "<u8", "<i8")


@dataclass(frozen=True)
class Form:
    """A kind of file: its format's name and version, and the label of what stands in it."""

    format: str
    label: str

    def save(self, home: Home, path: Path, head: Mapping[str, canonical.Json], arrays: Arrays) -> None:
        """Durably and whole. arrays: of uint8, uint16, uint64 or int64, one dimension each. Raises BadData."""
        listed: list[canonical.Json] = [[name, each.dtype.str, len(each)] for name, each in arrays.items()]
        text = canonical.encode({"format": self.format, "head": head, "arrays": listed})
        parts = [len(text).to_bytes(_SIZE_BYTES, "big"), text, *(each.tobytes() for each in arrays.values())]
        write_bytes(path, home.wrapping.wrap(self._name(home, path), b"".join(parts)))

    def load(self, home: Home, path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """(head, arrays) of `save`. Raises BadData where it was changed, moved, or is of another version."""
        content = home.wrapping.unwrap(self._name(home, path), private_files.read(path, _MOST_BYTES))
        try:
            at = _SIZE_BYTES + int.from_bytes(content[:_SIZE_BYTES], "big")
            told = json.loads(content[_SIZE_BYTES:at])
            if told["format"] != self.format:
                raise BadData("A file about a crowd's people is of an unknown version.", "Update this program.")
            arrays: dict[str, NDArray[Any]] = {}
            for name, kind, length in told["arrays"]:
                if kind not in _TYPES:
                    raise ValueError
                arrays[name] = np.frombuffer(content, np.dtype(kind), length, at)
                at += arrays[name].nbytes
            if at != len(content):
                raise ValueError
            return dict(told["head"]), arrays
        except (KeyError, TypeError, ValueError) as error:
            raise BadData("A file about a crowd's people is damaged.", "Restore it from a backup.") from error

    def _name(self, home: Home, path: Path) -> str:
        """What the file is sealed to: its kind and its place."""
        return f"{self.label}/{path.relative_to(home.path).as_posix()}"
