"""People and rows for vault tests; row groups and parts so small that every test crosses their edges."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("digest", pa.binary(32), nullable=False),
        pa.field("t.level", pa.dictionary(pa.int8(), pa.string())),
        pa.field("t.spend", pa.int64()),
        pa.field('o.手机号, "主"', pa.string()),
        pa.field("o.备注", pa.string()),
    ]
)


def person(number):
    """The identity digest of person `number`, bytes[32]."""
    return int(number).to_bytes(4, "big") * 8


def persons(numbers):
    """uint8[n, 32]: their digests."""
    return np.frombuffer(b"".join(person(number) for number in numbers), np.uint8).reshape(-1, 32)


def table(numbers):
    """A table of SCHEMA with a row for each person number."""
    numbers = list(numbers)
    levels = pa.DictionaryArray.from_arrays(
        pa.array([number % 3 if number % 5 else None for number in numbers], pa.int8()),
        pa.array(["金卡", "银卡", "普通"]),
    )
    return pa.table(
        [
            pa.array(range(2, 2 + len(numbers)), pa.int64()),
            pa.array([person(number) for number in numbers], pa.binary(32)),
            levels,
            pa.array([number * 100 if number % 7 else None for number in numbers], pa.int64()),
            pa.array([f"1380000{number:04d}" for number in numbers], pa.string()),
            pa.array([f"planted-{number}-备注" if number % 2 else None for number in numbers], pa.string()),
        ],
        schema=SCHEMA,
    )


def write(vault, name, numbers, size=7, **more):
    """Writes a table of these persons in batches of `size` rows."""
    return vault.write(name, SCHEMA, table(numbers).to_batches(size), **({"meta": {"source": "crm.csv"}} | more))


def read(vault, name, *args, **named):
    """Everything that `read` yields, as one table of plain columns."""
    batches = list(vault.read(name, *args, **named))
    return pa.Table.from_batches(batches) if batches else pa.table({})


def people(vault, name, version=None):
    """The person numbers in a dataset, in order."""
    return [int.from_bytes(bytes(row[:4]), "big") for row in vault.digests(name, version)]


def small(vault):
    """The same vault with row groups of 10 rows and parts of 20."""
    vault._setting = replace(vault._setting, group_rows=10, part_rows=20)
    return vault


everywhere = pytest.mark.parametrize("where", ["home", "folder"], indirect=True)
"""A test that holds wherever datasets stand; objects in a folder are as those in a bucket (`test_object_vault`)."""
everywhere_in_time = pytest.mark.parametrize(
    "where", ["home", pytest.param("folder", marks=pytest.mark.slow)], indirect=True
)
"""The same for tests that take long."""
