"""A server on this machine that speaks S3 (moto's), which can be stopped and started again with what it holds."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_numbers = itertools.count()


class S3Server:
    """The server; it is running from the beginning."""

    def __init__(self) -> None:
        self._port = 0
        self.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, at the port of before."""
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        self._port = int(self._server.get_host_and_port()[1])

    def stop(self) -> None:
        """Refuse connections from now on; what is stored stays in the memory of this process."""
        self._server.stop()

    def bucket(self) -> str:
        """The address of a new bucket."""
        import boto3

        name = f"bucket-{next(_numbers)}"
        boto3.client("s3", endpoint_url=self.endpoint).create_bucket(Bucket=name)
        return f"s3://{name}"


@contextmanager
def serving_s3() -> Iterator[S3Server]:
    """The server, with an environment in which everything that speaks S3 goes to it."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        server = S3Server()
        patch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        try:
            yield server
        finally:
            server.stop()
