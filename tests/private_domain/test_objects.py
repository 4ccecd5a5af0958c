"""Tables in an object store, over real HTTP against a server that speaks S3."""

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.errors import InputError
from connectors.objects import address
from connectors.open import open_source
from connectors.private_domain.opening import parts_of

TABLE = pa.table({"user": ["00123", "00456"], "event": ["payment.pay"] * 2, "time": ["2026-11-20"] * 2})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    where = f"http://{host}:{port}"
    store = boto3.client("s3", endpoint_url=where, region_name="us-east-1", aws_access_key_id="made",
                         aws_secret_access_key="up")  # fmt: skip
    store.create_bucket(Bucket="events")
    sink = io.BytesIO()
    pq.write_table(TABLE, sink)
    store.put_object(Bucket="events", Key="day/part-0.parquet", Body=sink.getvalue())
    store.put_object(Bucket="events", Key="day/part-1.csv", Body=b"user,event,time\n00789,payment.pay,2026-11-20\n")
    store.put_object(Bucket="events", Key="day/_SUCCESS", Body=b"")
    store.put_object(Bucket="events", Key="broken.parquet", Body=b"PAR1 nothing")
    yield where
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "up")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def rows(uri: str) -> list[dict[str, object]]:
    return [row for batch in open_source(uri).batches() for row in batch.table.to_pylist()]


def test_an_object_is_read_twice_alike_and_zeros_stay(endpoint: str) -> None:
    found = open_source(f"s3://events/day/part-0.parquet?endpoint={endpoint}")
    assert [batch.table.to_pylist() for batch in found.batches()] == [TABLE.to_pylist()]
    assert [batch.rows.to_pylist() for batch in found.batches()] == [[1, 2]]
    assert found.label == "part-0.parquet"
    assert [row["user"] for row in rows(f"s3://events/day/part-1.csv?endpoint={endpoint}")] == ["00789"]


def test_the_endpoint_may_stand_in_the_environment(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert len(rows("s3://events/day/part-0.parquet")) == 2


def test_a_prefix_is_its_objects_by_name(endpoint: str) -> None:
    found = parts_of(f"s3://events/day/?endpoint={endpoint}")
    assert found == [f"s3://events/day/part-{name}?endpoint={endpoint}" for name in ("0.parquet", "1.csv")]


@pytest.mark.parametrize("key", ["nothing.parquet", "broken.parquet"])
def test_what_cannot_be_read_is_named_and_not_shown(endpoint: str, key: str) -> None:
    with pytest.raises(InputError) as error:
        rows(f"s3://events/{key}?endpoint={endpoint}")
    assert key in str(error.value) and "127.0.0.1" not in str(error.value)


def test_a_store_that_is_not_there_is_said_soon() -> None:
    with pytest.raises(InputError, match="not reached"):
        rows("s3://events/day/part-0.parquet?endpoint=http://127.0.0.1:9")


def test_addresses() -> None:
    found = address("oss://bucket/a/b.parquet?region=cn-hangzhou")
    assert (found.endpoint, found.path, found.virtual, found.plain) == (
        "oss-cn-hangzhou.aliyuncs.com", "bucket/a/b.parquet", True, False,
    )  # fmt: skip
    for bad in ("s3://key:secret@bucket/a", "s3://bucket/a?secret_key=x"):
        with pytest.raises(InputError, match="must not hold a key"):
            address(bad)
    for bad in ("s3://bucket", "s3:///a", "s3://bucket/a?what=1", "oss://bucket/a"):
        with pytest.raises(InputError):
            address(bad)
