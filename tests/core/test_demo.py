"""`make demo` as a newcomer meets it: a taken port, Ctrl-C, a second start, and --fresh while one is running."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from backend.cli import main
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.imports.demo_city import DEMO_PASSWORD, build_demo_city
from backend.imports.presets import load_presets
from backend.people.models import Shift
from bench.server import newcomers_environment
from tests.make import START

STOPPED = "stopped, everything is saved"


def environment(folder: Path) -> dict[str, str]:
    """A newcomer who wants the data elsewhere."""
    return newcomers_environment(folder) | {"PAIGONG_DATA_DIR": str(folder / "elsewhere")}


class Demo:
    """A demo server in a folder of its own, and what it says."""

    def __init__(self, folder: Path, port: int) -> None:
        self.said = folder / "said.log"
        command = [sys.executable, "-u", "-m", "backend.cli", "demo", "--port", str(port)]
        with self.said.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment(folder), stdout=log, stderr=subprocess.STDOUT
            )

    def read(self) -> str:
        return self.said.read_text("utf-8")

    def address(self) -> str:
        found = None
        while found is None and self.process.poll() is None:
            time.sleep(0.1)
            found = re.search(r"http://127\.0\.0\.1:\d+", self.read())
        assert found, self.read()
        return found[0]

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=30) == 0, self.read()
        return self.read()


@contextmanager
def demo(folder: Path, port: int) -> Iterator[Demo]:
    started = Demo(folder, port)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def desk(address: str) -> httpx.Client:
    signed_in = httpx.post(f"{address}/auth/sign-in", json={"login": "YQ009", "password": DEMO_PASSWORD}).json()
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {signed_in['access_token']}"})


def created(client: httpx.Client, path: str, body: dict[str, object]) -> str:
    answer = client.post(path, json=body, headers={"Idempotency-Key": str(new_id())})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_a_newcomers_demo_moves_aside_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with demo(tmp_path, port) as first, desk(first.address()) as wang_fang:
            assert f"port {port} is taken" in first.read()
            assert "a new demo city" in first.read()
            unit = wang_fang.get("/me").json()["unit_id"]
            customer = created(wang_fang, "/customers", {"unit_id": unit, "name": "云桥书店"})
            created(
                wang_fang,
                "/sites",
                {"unit_id": unit, "customer_id": customer, "name": "总店", "address": "云桥市湖滨区书院路 1 号"},
            )
            fresh = [sys.executable, "-m", "backend.cli", "demo", "--fresh"]
            refused = subprocess.run(
                fresh, cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False, text=True
            )
            assert (refused.returncode, "stop it with Ctrl-C first" in refused.stderr) == (1, True), refused.stderr
            assert STOPPED in first.stop()
    with demo(tmp_path, port) as second, desk(second.address()) as wang_fang:
        assert "the demo city of last time" in second.read()
        assert "is taken" not in second.read()
        assert wang_fang.get(f"/customers/{customer}").json()["name"] == "云桥书店"
        assert STOPPED in second.stop()
    assert (tmp_path / "elsewhere" / "demo" / "paigong.db").is_file()
    assert not (tmp_path / "var").exists()


async def test_the_roster_goes_on_when_the_demo_is_looked_at_weeks_later(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    async with database.write() as session:
        await load_presets(session, now=START)
    assert await build_demo_city(database, now=START)
    later = START + timedelta(days=20)
    for _ in range(2):
        assert not await build_demo_city(database, now=later)
    async with database.read() as session:
        people = (await session.execute(select(func.count(Shift.person_id.distinct())))).scalar_one()
        ahead = (await session.execute(select(Shift).where(Shift.starts_at > later))).scalars().all()
    assert len(ahead) == people * 7
    assert all(shift.starts_at < shift.ends_at for shift in ahead)
    assert {pause["start_at"][:10] for shift in ahead for pause in shift.breaks} == {
        str(shift.starts_at.date()) for shift in ahead
    }
    await database.close()


WRONG_OUTSIDE = [
    (["migrate"], {"PAIGONG_DATABASE": "somewhere"}, "is not the address of a database"),
    (["migrate"], {"PAIGONG_PORT": "abc"}, "PAIGONG_PORT='abc'"),
    (["serve", "--port", "99999"], {}, "is not in the range"),
]


@pytest.mark.parametrize(("arguments", "settings", "said"), WRONG_OUTSIDE)
def test_what_is_wrong_outside_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    told = CliRunner().invoke(main, arguments, env=settings)
    assert told.exit_code in {1, 2}
    assert said in told.stderr
    assert isinstance(told.exception, SystemExit), "nothing but the sentence"


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["import-list"], {}, "run paigong migrate first"),
        (["migrate"], {"PAIGONG_DATABASE": "postgresql+asyncpg://x@127.0.0.1:1/x"}, "cannot be reached"),
        (["serve", "--host", "192.0.2.1"], {}, "cannot be reached"),
    ],
)
def test_so_is_an_address_out_of_reach_by_a_process_of_its_own(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    (tmp_path / "var").mkdir()
    told = subprocess.run(
        [sys.executable, "-m", "backend.cli", *arguments], cwd=tmp_path, env=newcomers_environment(tmp_path) | settings,
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert told.returncode == 1
    assert said in told.stderr
    assert "Traceback" not in told.stderr
