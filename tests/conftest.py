"""What every test may ask for: databases of its own, and the certainty that nothing leaves the machine."""

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from backend.dispatch import child
from tests import connections, loopback
from tests import nursery as nurseries
from tests.databases import Databases
from tests.make import Office, Offices, furnish

COMPILING = pytest.StashKey[subprocess.Popen[bytes]]()
RUN = pytest.StashKey[Databases]()
FOLDER = pytest.StashKey[Path]()
MEMORY_DISK = "/dev/shm"  # noqa: S108 - made for this; every run has a folder of its own in it
ROOM = 4 * 1024**3
"""Bytes a memory disk must have free."""

hypothesis.settings.register_profile("here", deadline=None)  # two busy cores make any deadline a coin toss
hypothesis.settings.register_profile("ci", parent=hypothesis.settings.get_profile("here"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure(config: pytest.Config) -> None:
    """Give the run its folder; workers get the controller's."""
    for name in [name for name in os.environ if name.startswith("PAIGONG_")]:
        del os.environ[name]  # a developer's settings must not decide what a test shows
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        # Once for all workers: each of them, and each planner they start, would compile the search for itself.
        command = [sys.executable, "-m", "routing.compile"]
        config.stash[COMPILING] = subprocess.Popen(command, cwd=Path(__file__).parents[1])
        tempfile.tempdir = _quick_folder()
        config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="paigong-tests-"))
        config.option.basetemp = config.option.basetemp or config.stash[FOLDER] / "pytest"
        config.stash[RUN] = Databases(config.stash[FOLDER], os.getpid())
    else:
        config.stash[RUN] = Databases(Path(worker["run_folder"]), worker["run_owner"])
    loopback.guard()
    connections.watch()


def _quick_folder() -> str | None:
    """Return the memory disk if there is one with room: thousands of databases are made, and none is to be kept."""
    return MEMORY_DISK if Path(MEMORY_DISK).is_dir() and shutil.disk_usage(MEMORY_DISK).free > ROOM else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where the run's folder is and whose end is the end of the run."""
    node.workerinput["run_folder"] = str(node.config.stash[FOLDER])
    node.workerinput["run_owner"] = os.getpid()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Find the tests without looking for garbage; what is loaded by then stays, and is not looked at again either."""
    gc.disable()
    try:
        found = yield
    finally:
        gc.enable()
        gc.freeze()
    if not session.config.getoption("numprocesses", 0):
        _wait_for_the_search(session.config)
    return found


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """Let a worker of pytest-xdist begin with its tests when the search is compiled; it finds them meanwhile."""
    _wait_for_the_search(node.config)


def _wait_for_the_search(config: pytest.Config) -> None:
    if COMPILING in config.stash and (status := config.stash[COMPILING].wait()):
        raise RuntimeError(f"the planner's search could not be compiled (status {status}); see what was said above")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server and remove the folder, however the tests went."""
    if COMPILING in config.stash:
        config.stash[COMPILING].kill()  # it has ended, unless the run was given up before the first test
        config.stash[COMPILING].wait()
    try:
        if RUN in config.stash:
            config.stash[RUN].leave()
    finally:
        if FOLDER in config.stash:
            config.stash[RUN].close()


@pytest.fixture(autouse=True)
def _stay_on_the_loopback() -> Iterator[None]:
    loopback.reached.clear()
    yield
    assert not loopback.reached, f"tests stay on the loopback: {loopback.reached}"


@pytest.fixture(autouse=True)
def _leave_no_connection() -> Iterator[None]:
    yield
    assert not (left := connections.left()), f"connections left open by {left}: end what opened them, or its lifespan"


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Databases:
    """The run's databases, for tests that need several or an empty one."""
    return request.config.stash[RUN]


@pytest.fixture(scope="session")
def nursery() -> Iterator[tuple[str, ...]]:
    """Starts planning processes in no time; ask for `quick_planners`."""
    with nurseries.nursery() as program:
        yield program


@pytest.fixture
def quick_planners(nursery: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning processes come out of the nursery: for tests of plans, not of processes."""
    monkeypatch.setattr(child, "PROGRAM", nursery)


@pytest.fixture
def sqlite_url(databases: Databases, tmp_path: Path) -> str:
    """A fresh migrated SQLite database."""
    return databases.sqlite(tmp_path / "paigong.db")


@pytest.fixture
def postgresql_url(databases: Databases) -> Iterator[str]:
    """A fresh migrated PostgreSQL database."""
    url = databases.postgresql()
    yield url
    databases.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated database; the test runs once on each kind."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """A database without a single table; the test runs once on each kind."""
    if request.param == "sqlite":
        yield databases.sqlite(tmp_path / "empty.db", migrated=False)
        return
    url = databases.postgresql(migrated=False)
    yield url
    databases.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def furnished_url(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """A fresh database with presets and the house of tests/make.py; the test runs once on each kind."""
    if request.param == "sqlite":
        yield databases.sqlite(tmp_path / "furnished.db", furnish=furnish)
        return
    url = databases.postgresql(furnish=furnish)
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def offices(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Offices:
    """The applications of this process; what they stand on is new for each test."""
    return Offices(databases, tmp_path_factory.mktemp("offices"))


@pytest.fixture(params=["sqlite", "postgresql"])
async def office(request: pytest.FixtureRequest, offices: Offices) -> AsyncIterator[Office]:
    """The server running on a furnished database; sign in with `await office.sign_in(WANG_FANG)`."""
    async with offices.open(request.param) as office:
        yield office


@pytest.fixture
async def sqlite_office(offices: Offices) -> AsyncIterator[Office]:
    """The same on SQLite only, for what no database can change."""
    async with offices.open("sqlite") as office:
        yield office
