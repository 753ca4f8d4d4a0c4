"""One planner in a process of its own, spoken to in lines of JSON (`python -m routing`)."""

import asyncio
import contextlib
import logging
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from routing.plan import Plan
from routing.problem import Problem
from routing.protocol import CANCEL, Fault, Limits, Message, Request, decode_message, encode

PROGRAM: Final = (sys.executable, "-m", "routing")
"""The planning process; what it is to do follows."""
LINE_BYTES: Final = 256 * 1024 * 1024
"""The longest line the child may write: one plan."""
STOP_SECONDS: Final = 10
"""How long a child that has said its last word, or whose answer nobody wants, may take to go before it is ended."""
BYTES_A_MB: Final = 1024 * 1024
LAST_WORDS: Final = 2000
"""Characters of a failing child's error output that are logged."""

log = logging.getLogger(__name__)


class Planner:
    """A running child: iterate `answers()` until a plan or an error comes; `cancel()` asks for the best plan so far."""

    def __init__(self, process: Process, says: StreamWriter, answers: StreamReader, complaints: StreamReader) -> None:
        self._process = process
        self._says = says
        self._answers = answers
        self._complaints = complaints

    async def ask(
        self, problem: Problem, *, seconds: float, seed: int, memory_mb: int, pieces: Sequence[Plan] = ()
    ) -> None:
        """Hand the problem over, with `pieces` to have these plans joined; what comes of it is in `answers`.

        It is also there when the child is gone already.
        """
        stop = Limits(seconds=seconds, address_space_bytes=memory_mb * BYTES_A_MB)
        await self._say(encode(Request(problem=problem, stop=stop, seed=seed, pieces=tuple(pieces))))

    async def cancel(self) -> None:
        """Ask the child to stop with what it has; safe to repeat, and when it has already ended."""
        await self._say(CANCEL + b"\n")

    def end(self) -> None:
        """End the child, whatever it does; what it says then is that it died."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def answers(self) -> AsyncIterator[Message]:
        """Yield what the child says; a child that dies without a plan or an error is an error itself."""
        async for line in self._answers:
            if not line.endswith(b"\n"):
                break  # it died in the middle of a word
            answer = decode_message(line)
            yield answer
            if answer.progress is None:
                return
        yield Message(error=await self._died())

    async def _say(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._says.write(line)
            await self._says.drain()

    async def _died(self) -> Fault:
        words = (await self._complaints.read()).decode(errors="replace")[-LAST_WORDS:]
        status = await self._process.wait()
        log.error("a planner ended with status %s: %s", status, words)  # of this machine, nothing for a dispatcher
        return Fault(
            code="planner_died",
            where="process",
            facts={"status": status},
            zh=f"计划进程意外退出 (状态 {status}),服务器日志里有详情。请缩短计划期或减少上门数后重试。",
            en=f"The planner ended unexpectedly (status {status}); the server's log has more. Plan less and try again.",
        )


class Spares:
    """Keeps one child that has loaded the solver and waits, so that a plan starts at once. Used only once started."""

    def __init__(self) -> None:
        self._spare: Process | None = None
        self._started = False
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Start the spare child; from now on there is always one."""
        async with self._changing:
            self._started = True
            self._spare = await _start("warm")

    async def take(self) -> Process:
        """Return a child: the spare one, followed by a new spare, or one that has yet to load."""
        async with self._changing:
            spare, self._spare = self._spare, None
            if self._started:
                self._spare = await _start("warm")
        return spare if spare is not None and spare.returncode is None else await _start()

    async def renew(self) -> None:
        """Replace the spare child: there is something new to load."""
        async with self._changing:
            await self._dismiss()
            if self._started:
                self._spare = await _start("warm")

    async def close(self) -> None:
        """End the spare child."""
        async with self._changing:
            self._started = False
            await self._dismiss()

    async def _dismiss(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            if spare.returncode is None:
                spare.kill()
            await spare.wait()


@asynccontextmanager
async def planner(spares: Spares | None = None) -> AsyncGenerator[Planner]:
    """Start a child, or take a spare one, and make sure it is gone afterwards, whatever happens here."""
    process = await (spares.take() if spares else _start())
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("a child started with pipes has all three")
    try:
        yield Planner(process, process.stdin, process.stdout, process.stderr)
    finally:
        process.stdin.close()
        await _end(process)


async def _start(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=LINE_BYTES
    )


async def _end(process: Process) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
