"""Compiling the planner's search once, after an installation or an update, beside a server that works already."""

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backend.dispatch.child import Spares
from backend.dispatch.desk import Desk
from routing.kernel.cache import stamp as stamp_of_search

COMPILER: Final = (sys.executable, "-m", "routing.compile", "background")
BEGUN: Final = (
    "正在后台编译排程搜索, 只需一次, 约半分钟, 期间照常排程 / "
    "compiling the planner's search in the background, once, half a minute or so; plans are made meanwhile"
)
FAILED: Final = (
    "排程搜索未能编译 (状态 %s), 排程照常但质量较低; 请运行 python -m routing.compile 查看原因 / "
    "the planner's search could not be compiled (status %s): plans are made, but less good ones; "
    "python -m routing.compile shows why"
)

log = logging.getLogger(__name__)


async def compile_search(
    spares: Spares, desk: Desk, *, stamp: Path | None = None, compiler: Sequence[str] = COMPILER
) -> None:
    """Compile the search unless its stamp is there; then let waiting processes be replaced by ones that load it.

    Until then they run it as plain Python and leave improving to OR-Tools. The compiling child never outlives this.
    """
    if (stamp or stamp_of_search()).exists():
        return
    log.warning(BEGUN)
    process = await asyncio.create_subprocess_exec(*compiler, stdin=PIPE, stdout=DEVNULL)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status:
        log.warning(FAILED, status, status)
        return
    await spares.renew()
    await desk.renew()
