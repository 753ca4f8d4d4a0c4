"""The peer: Kinto on the same PostgreSQL, behind waitress, in a virtual environment of its own.

Its settings are those `kinto init` writes for PostgreSQL, with a log that keeps silent, batches as large as ours, and
the cheapest sign-in it has. Its history (audit) plugin stays off, which spares it work that we do.
"""

import base64
import os
import secrets
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy.engine import make_url

from bench.peers import installed
from bench.postgres import free_port
from bench.sync.servers import Process, process
from bench.sync.wire import Answer, Wire

BATCH: Final = 200
COLLECTION: Final = "/v1/buckets/field/collections/asset"
SETTINGS: Final = """
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = {port}
threads = 8
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {url}
kinto.storage_poolclass = sqlalchemy.pool.QueuePool
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = {url}
kinto.userid_hmac_secret = {secret}
kinto.batch_max_requests = {batch}
kinto.bucket_create_principals = system.Authenticated
multiauth.policies = basicauth
multiauth.policy.basicauth.use = kinto.core.authentication.BasicAuthAuthenticationPolicy
[loggers]
keys = root, waitress
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = console
[logger_waitress]
level = INFO
handlers =
qualname = waitress
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"""


@contextmanager
def kinto(database: str, folder: Path) -> Generator[Process]:
    """Run Kinto on an empty database."""
    python = installed()
    url = make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
    port = free_port()
    ini = folder / "kinto.ini"
    ini.write_text(SETTINGS.format(port=port, url=url, secret=secrets.token_hex(), batch=BATCH), "utf-8")
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8"}
    subprocess.run([python.parent / "kinto", "migrate", "--ini", ini], check=True, env=environment, capture_output=True)
    command = [str(python.parent / "kinto"), "start", "--ini", str(ini), "--port", str(port)]
    with process(command, folder / "kinto.log", environment, rf"http://127\.0\.0\.1:({port})") as running:
        yield running


class Records(msgspec.Struct):
    """An answer of the peer, its records left as they came."""

    data: list[msgspec.Raw]


class Client:
    """Somebody who syncs with Kinto."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        wire.headers["Authorization"] = "Basic " + base64.b64encode(b"liwei:bench").decode()
        self.since = ""

    async def furnish(self, records: Sequence[dict[str, Any]]) -> None:
        """Store the records."""
        for path in ("/v1/buckets/field", COLLECTION):
            (await self.wire.ask("PUT", path, {})).checked(200, 201)
        for start in range(0, len(records), BATCH):
            some = records[start : start + BATCH]
            await self.batch([
                {"method": "PUT", "path": f"{COLLECTION}/records/{record['id']}", "body": {"data": record}}
                for record in some
            ])  # fmt: skip

    async def batch(self, requests: Sequence[dict[str, Any]]) -> Answer:
        """Send many changes in one request, which is one transaction."""
        answer = (await self.wire.ask("POST", "/v1/batch", {"requests": requests})).checked()
        for one in msgspec.json.decode(answer.body)["responses"]:
            if one["status"] not in (200, 201):
                raise RuntimeError(f"the peer did not take a change: {one}")
        return answer

    async def notes(self, notes: Sequence[tuple[str, str]]) -> Answer:
        """Change the note of each record (id, note)."""
        return await self.batch([
            {"method": "PATCH", "path": f"{COLLECTION}/records/{row}", "body": {"data": {"note": note}}}
            for row, note in notes
        ])  # fmt: skip

    async def first_pull(self) -> int:
        """Fetch all records and read as much of the answer as of ours; return its bytes."""
        answer = (await self.wire.ask("GET", f"{COLLECTION}/records")).checked()
        msgspec.json.decode(answer.body, type=Records)
        self.since = answer.headers["etag"].strip('"')
        return len(answer.body)

    async def pull(self) -> int:
        """Fetch what changed since the last; return how many records did."""
        answer = (await self.wire.ask("GET", f"{COLLECTION}/records?_since={self.since}")).checked()
        self.since = answer.headers["etag"].strip('"')
        return len(msgspec.json.decode(answer.body)["data"])

    def unchanged_request(self) -> bytes:
        """Return the request that asks whether anything changed."""
        return self.wire.request("GET", f"{COLLECTION}/records?_since=%22{self.since}%22")
