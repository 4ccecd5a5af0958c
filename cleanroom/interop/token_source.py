"""A verified file of match tokens as a source: a column of opaque identities that any matching of this program takes.

So a tool that runs this program imports both owners' files as datasets of its own, under the profile `openid/1`, and
matches, counts and makes crowds of them as of any other. Nothing is read before the header holds.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from cleanroom.interop import bodies, tokens
from connectors.source import Batch, Rejected

PROFILE = "openid/1"
"""Identities as they are given."""
COLUMN = "openid"


class TokenSource:
    """A source (`connectors.source.Source`) of one column, the tokens in hex. Raises BadData where the file does not
    verify, at once or, of its order, as it is read."""

    def __init__(self, path: Path) -> None:
        self._file = tokens.opened(path)

    @property
    def label(self) -> str:
        """The file's name."""
        return self._file.path.name

    @property
    def schema(self) -> pa.Schema:
        """One column of texts."""
        return pa.schema([(COLUMN, pa.string())])

    @property
    def rejected(self) -> Sequence[Rejected]:
        """None: a file is taken whole or not at all."""
        return ()

    @property
    def notes(self) -> Sequence[tuple[str, dict[str, object]]]:
        """Nothing had to be found out."""
        return ()

    def batches(self) -> Iterator[Batch]:
        """All rows, the first being row 1."""
        first = 1
        for rows in self._file.batches():
            texts = bodies.texts(rows, "hex").view("S32").reshape(-1).astype("U32")
            numbers = pa.array(np.arange(first, first + len(rows), dtype=np.int64))
            yield Batch(numbers, pa.record_batch([pa.array(texts, pa.string())], schema=self.schema))
            first += len(rows)
