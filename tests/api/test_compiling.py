"""Compiling the search beside a server that works already: processes that wait are replaced, nothing is left over."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from backend.dispatch.child import Spares
from backend.dispatch.compiling import compile_search
from backend.dispatch.desk import Desk
from tests.planning import children, new_children

MEMORY_MB = 4096
FAILS = (sys.executable, "-c", "raise SystemExit(3)")
NEVER_ENDS = (sys.executable, "-c", "import time; time.sleep(600)")


def leaves(stamp: Path) -> tuple[str, ...]:
    """A compiler that is done at once."""
    return sys.executable, "-c", f"open({str(stamp)!r}, 'x')"


@pytest.fixture
async def waiting() -> AsyncIterator[tuple[Spares, Desk]]:
    """What a server has ready: a spare planner and one process for questions."""
    spares, desk = Spares(), Desk(MEMORY_MB)
    await spares.start()
    await desk.start()
    yield spares, desk
    await spares.close()
    await desk.close()


async def test_once_compiled_those_that_wait_are_replaced_and_no_more_is_done(
    waiting: tuple[Spares, Desk], tmp_path: Path
) -> None:
    stamp, before = tmp_path / "compiled", children()
    await compile_search(*waiting, stamp=stamp, compiler=leaves(stamp))
    after = children()
    assert stamp.exists()
    assert len(before - after) == len(after - before) == 2
    await compile_search(*waiting, stamp=stamp, compiler=FAILS)
    assert children() == after


async def test_a_compiler_that_fails_is_told_and_everybody_works_on(
    waiting: tuple[Spares, Desk], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = children()
    await compile_search(*waiting, stamp=tmp_path / "compiled", compiler=FAILS)
    assert children() == before
    assert "could not be compiled (status 3)" in caplog.text


async def test_compiling_ends_with_the_server(waiting: tuple[Spares, Desk], tmp_path: Path) -> None:
    before = children()
    compiling = asyncio.create_task(compile_search(*waiting, stamp=tmp_path / "compiled", compiler=NEVER_ENDS))
    await new_children(before)
    compiling.cancel()
    with suppress(asyncio.CancelledError):
        await compiling
    assert children() == before
