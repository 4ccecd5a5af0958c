"""What comes in: rows of the announced columns, forgotten persons left out, and the importer's last word."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.errors import UsageError
from cleanroom.vault.identities import check_identities, forgotten, nameless
from cleanroom.vault.parts import Finish, storable
from cleanroom.vault.tombstones import Tombstones


class Intake:
    """One write's rows on their way in.

    stored: the schema with the types that are stored; physical: column name → name in the files; epoch: of the
    tombstones.
    """

    def __init__(self, schema: pa.Schema, stones: Tombstones) -> None:
        """Raises UsageError for a schema that a vault cannot hold."""
        _check_schema(schema)
        self._schema, self._stones = schema.remove_metadata(), stones
        self.stored = pa.schema([pa.field(field.name, storable(field.type), field.nullable) for field in schema])
        self.epoch = stones.epoch
        self.physical: Mapping[str, str] = {name: f"c{at}" for at, name in enumerate(schema.names)}
        self._rows = 0
        self._survived = [np.ones(0, np.bool_)]

    def take(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without forgotten persons. Raises UsageError where it does not fit the schema."""
        if batch.schema.names != self._schema.names or batch.schema.types != self._schema.types:
            raise UsageError("A batch of rows does not have the announced columns.")
        if nameless(batch):
            raise UsageError("A row without an identity digest cannot be stored.")
        self._rows += batch.num_rows
        if not len(self._stones.tokens):
            return batch
        survived = ~forgotten(batch, self._stones)
        self._survived.append(survived)
        return batch if survived.all() else batch.filter(pa.array(survived))

    def survived(self) -> NDArray[np.bool_] | None:
        """bool[rows given]: which were not forgotten; None where all were stored."""
        survived = np.concatenate(self._survived)
        return None if survived.all() else survived

    def finish(self, given: Finish) -> tuple[Finish, int]:
        """(the same for the rows that were stored, how many standing rows were left out as forgotten)."""
        self._check_finish(given)
        survived = self.survived()
        if survived is None:
            return given, 0
        keep = np.ones(self._rows, np.bool_) if given.keep is None else given.keep
        replaced = {name: values[survived[keep]] for name, values in given.replaced.items()}
        return Finish(None if given.keep is None else keep[survived], replaced), int((keep & ~survived).sum())

    def _check_finish(self, given: Finish) -> None:
        keep = given.keep
        if keep is not None and (keep.dtype != np.bool_ or keep.shape != (self._rows,)):
            raise UsageError("The rows to keep are not one yes or no for each row given.")
        standing = self._rows if keep is None else int(keep.sum())
        for name, values in given.replaced.items():
            fits = name in self._schema.names and self._schema.field(name).type == pa.int64()
            if not fits or values.dtype != np.int64 or values.shape != (standing,):
                raise UsageError("Column {column} cannot be replaced by these values.", column=name)


def _check_schema(schema: pa.Schema) -> None:
    if len(set(schema.names)) != len(schema.names):
        raise UsageError("Two columns have the same name.")
    check_identities(schema)
    for field in schema:
        if pa.types.is_nested(field.type) or isinstance(field.type, pa.BaseExtensionType):
            raise UsageError(
                "Column {column} holds lists or records.", "Turn it into texts or numbers.", column=field.name
            )
