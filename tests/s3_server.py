"""Starts the S3-compatible server of tests/swift_server.py, and makes buckets in it."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import obstore
from obstore.store import S3Store

from bench.postgres import free_port

BUCKET: Final = "paigong"
REGION: Final = "us-east-1"
KEY: Final = "office:paigong"
SECRET: Final = "photos-of-lifts"
ENVIRONMENT: Final = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
START_SECONDS: Final = 30


class S3Server:
    """A server that can be stopped and started again on what it has."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def address(self, prefix: str, *, bucket: str = BUCKET) -> str:
        """What PAIGONG_BLOBS is set to."""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&region={REGION}"

    def start(self) -> None:
        """Return when it answers."""
        command = [sys.executable, str(Path(__file__).with_name("swift_server.py")), str(self._folder), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.02)
        raise TimeoutError("the S3 server did not start")

    def stop(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def store(self, prefix: str = "") -> S3Store:
        """A client of its own, to look at what lies there."""
        return S3Store(
            BUCKET, prefix=prefix or None, endpoint=self.endpoint, region=REGION, access_key_id=KEY,
            secret_access_key=SECRET, client_options={"allow_http": True},
        )  # fmt: skip

    def keys(self, prefix: str) -> dict[str, int]:
        """What lies below a prefix, with sizes."""
        return {one["path"]: one["size"] for page in obstore.list(self.store(prefix)) for one in page}

    def clear(self, prefix: str) -> None:
        """Remove what lies below a prefix."""
        for key in self.keys(prefix):
            obstore.delete(self.store(prefix), key)


@contextmanager
def running(folder: Path) -> Generator[S3Server]:
    """Run a server with one empty bucket."""
    server = S3Server(folder)
    try:
        server.start()
        address = obstore.sign(server.store(), "PUT", "", timedelta(minutes=1))
        httpx.put(address).raise_for_status()
        yield server
    finally:
        server.stop()
