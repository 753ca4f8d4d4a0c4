"""The test run's own tools keep their promises."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from alembic.util import CommandError

from backend.core.migrate import check
from bench.postgres import throwaway_postgres
from tests import loopback
from tests.databases import Databases

ROOT = Path(__file__).parents[2]


async def _ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def _wait_until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


async def test_each_test_gets_a_postgresql_database_of_its_own(databases: Databases) -> None:
    one, other = databases.postgresql(migrated=False), databases.postgresql(migrated=False)
    try:
        await _ask(one, "CREATE TABLE seen (at timestamptz)")
        assert await _ask(one, "SELECT count(*) FROM seen") == 0
        with pytest.raises(asyncpg.UndefinedTableError):
            await _ask(other, "SELECT count(*) FROM seen")
    finally:
        databases.drop(one)
        databases.drop(other)


def test_a_test_gets_a_migrated_database(database_url: str) -> None:
    check(database_url)


def test_an_empty_database_is_empty(empty_database_url: str) -> None:
    with pytest.raises(CommandError, match="not up to date"):
        check(empty_database_url)


async def test_the_postgresql_server_asks_for_its_password(databases: Databases) -> None:
    url = databases.postgresql(migrated=False)
    name, _, rest = url.partition("://")[2].partition(":")
    try:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await _ask(f"postgresql://{name}:wrong@{rest.partition('@')[2]}", "SELECT 1")
    finally:
        databases.drop(url)


def test_a_throwaway_server_is_gone_after_its_block() -> None:
    with throwaway_postgres() as server:
        assert asyncio.run(_ask(server.url, "SELECT 1")) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_throwaway_server_ends_with_the_process_that_wanted_it_even_when_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import time\nfrom bench.postgres import throwaway_postgres\n"
        "with throwaway_postgres() as server:\n    print(server.pid, flush=True)\n    time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        server = int(owner.stdout.readline())
        os.kill(server, 0)
        owner.send_signal(signal.SIGKILL)
    assert _wait_until(lambda: not Path(f"/proc/{server}").exists())


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.org"])
def test_code_that_leaves_the_machine_is_stopped(host: str) -> None:
    with pytest.raises(loopback.NetworkForbidden):
        socket.create_connection((host, 80), timeout=0.2)
    assert loopback.reached
    loopback.reached.clear()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.10", None, b"127.0.0.1"])
def test_the_loopback_is_open(host: object) -> None:
    assert loopback.is_loopback(host)
