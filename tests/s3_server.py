"""A server that speaks S3, in a thread of the tests, on loopback; and how to break what it has."""

import logging
import os
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

BUCKET = "vaults"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Its endpoint; it has one bucket, and takes any credentials. They are in the environment as long as it runs."""
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    one, put = threading.Lock(), S3Response.put_object

    def put_object(self: S3Response) -> object:
        with one:  # it looks and then puts; a real store does both in one step
            return put(self)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "put_object", put_object)
        patch.setattr(logging.getLogger("werkzeug"), "disabled", True)
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        client(f"http://{host}:{port}").create_bucket(Bucket=BUCKET)
        yield f"http://{host}:{port}"
    server.stop()


def client(endpoint):
    """What an owner of the bucket has."""
    import boto3

    made, up = CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=made,
                        aws_secret_access_key=up)  # fmt: skip


def address(endpoint):
    """A prefix of the bucket that nobody used yet."""
    return f"s3://{BUCKET}/{os.urandom(6).hex()}/here?endpoint={endpoint}"


def key(uri, name):
    """The object's key."""
    return f"{urlsplit(uri).path.strip('/')}/{name}"
