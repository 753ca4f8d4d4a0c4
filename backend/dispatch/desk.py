"""Live questions about a plan, answered by processes that stay, so that the event loop never computes.

    proposals = await desk.ask(Propose(visit=str(visit_id)), key=f"{run.id}", sheet=lambda: sheet_line(problem, plan))

What can be asked is in `routing.questions`. The problem and the plan go over the pipe once a `key`; another plan is
another key. Questions wait for a free process, and one about a plan goes to a process that holds it where one is free.
"""

import asyncio
import contextlib
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from backend.core.errors import Fault as Refusal
from backend.core.errors import Problem as Refused
from backend.dispatch import child
from routing.limits import DESK_SECONDS
from routing.protocol import DeskAnswer, Fault, decode_desk_answer
from routing.questions import Question, answer_type

DESK_PROCESSES: Final = 2
"""Processes that answer live questions; the second is started when the first is busy."""
DESK_WAITING: Final = 64
"""Live questions that may wait or be answered at a time; more are refused."""
DESK_PATIENCE: Final = DESK_SECONDS + 1
"""Seconds a question may take, from being sent to being answered, before its process is ended."""
DESK_TRIES: Final = 2
"""How often a question is put whose process dies over it."""
ANSWER_BYTES: Final = 256 * 1024 * 1024
"""The longest line a process may answer with."""

DESK_BUSY = Refusal(
    "desk_busy", 503, "排程计算繁忙。", "Too many planning questions at once.", "请稍候几秒再试。",
    "Try again in a few seconds.",
)  # fmt: skip
DESK_SLOW = Refusal(
    "desk_slow", 503, "计算超过时限,已放弃。", "The question took too long and was given up.",
    "请缩小范围(更短的计划期、更少的上门)再试。", "Ask about less: fewer days or fewer visits.",
)  # fmt: skip
DESK_DOWN = Refusal(
    "desk_down", 503, "计算进程意外退出,问题没有得到回答。", "The planning process ended over the question.",
    "请再试一次;若再次发生,请告诉管理员,服务器日志里有详情。",
    "Try again; if it recurs, tell the administrator: the server's log has it.",
)  # fmt: skip

A = TypeVar("A")
Sheet = Callable[[], Awaitable[bytes]]
"""Brings the line of `sheet_line` when a process needs it."""


class PlannerRefusedError(Exception):
    """The planner says why there is no answer: `fault`, whose names `wording.named_fault` fills in."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.en)
        self.fault = fault


class ProcessDiedError(Exception):
    """The process is gone, and its answer with it."""


def sheet_line(problem: object, plan: object) -> bytes:
    """Return a problem and a plan as they are sent: structs of `routing` or what a `PlanRun` has stored of them."""
    return msgspec.json.encode({"problem": problem, "plan": plan})


class Desk:
    """Answers questions in up to DESK_PROCESSES processes of `memory_mb` address space each; they start when needed."""

    def __init__(self, memory_mb: int) -> None:
        self._clerks = [Clerk(memory_mb) for _ in range(DESK_PROCESSES)]
        self._free: asyncio.Condition = asyncio.Condition()
        self._busy: set[Clerk] = set()
        self._asked = 0

    async def ask(self, question: Question[A], *, key: str, sheet: Sheet) -> A:
        """Return the answer to a question about the plan called `key`, which `sheet` brings if nobody holds it.

        Raises PlannerRefusedError when the planner refuses, Problem desk_busy, desk_slow or desk_down when it cannot.
        """
        if self._asked >= DESK_WAITING:
            raise Refused(DESK_BUSY)
        self._asked += 1
        try:
            clerk = await self._take(key)
            try:
                return await _asked(clerk, question, key, sheet)
            finally:
                await self._give_back(clerk)
        finally:
            self._asked -= 1

    async def start(self) -> None:
        """Start the first process, so that the first question finds it ready."""
        await self._clerks[0].start()

    async def renew(self) -> None:
        """Replace the processes, each once it is free: there is something new to load."""
        for clerk in self._clerks:
            await self._take_away(clerk)
            try:
                if clerk.there:
                    await clerk.stop()
                    await clerk.start()
            finally:
                await self._give_back(clerk)

    async def close(self) -> None:
        """End the processes; whoever asks again starts new ones."""
        for clerk in self._clerks:
            await clerk.stop()
        self._free, self._busy = asyncio.Condition(), set()

    async def _take(self, key: str) -> "Clerk":
        """Return a free clerk: one who holds the plan, else one who is there, else the one unused longest."""
        async with self._free:
            await self._free.wait_for(lambda: len(self._busy) < len(self._clerks))
            free = [clerk for clerk in self._clerks if clerk not in self._busy]
            clerk = min(free, key=lambda one: (not one.holds(key), not one.there))
            self._busy.add(clerk)
            return clerk

    async def _take_away(self, clerk: "Clerk") -> None:
        """Wait until that very clerk is free, and let nobody ask it."""
        async with self._free:
            await self._free.wait_for(lambda: clerk not in self._busy)
            self._busy.add(clerk)

    async def _give_back(self, clerk: "Clerk") -> None:
        async with self._free:
            self._busy.discard(clerk)
            self._free.notify()


async def _asked(clerk: "Clerk", question: Question[A], key: str, sheet: Sheet) -> A:
    """Put the question, once more when its process dies: with a new one, which may be luckier."""
    for _ in range(DESK_TRIES):
        try:
            said = await clerk.answer(question, key, sheet)
        except ProcessDiedError:
            continue
        if said.error is not None:
            raise PlannerRefusedError(said.error)
        if said.answer is not msgspec.UNSET:
            return msgspec.json.decode(said.answer, type=answer_type(type(question)))
    raise Refused(DESK_DOWN)


class Clerk:
    """One process and what it holds. Answers one question at a time; its user sees to that."""

    def __init__(self, memory_mb: int) -> None:
        self._memory_mb = memory_mb
        self._process: Process | None = None
        self._holds: set[str] = set()

    @property
    def there(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    def holds(self, key: str) -> bool:
        """Whether the plan was sent to the process that runs now; it may have let go of it since."""
        return self.there and key in self._holds

    async def answer(self, question: Question[Any], key: str, sheet: Sheet) -> DeskAnswer:
        """Put one question; raises ProcessDiedError and Problem desk_slow. However it fails, no answer is left over."""
        if not self.there:
            await self.start()
        said = await self._put(question, key, None) if self.holds(key) else DeskAnswer(unknown_key=True)
        if said.unknown_key:
            said = await self._put(question, key, await sheet())
            self._holds.add(key)
        return said

    async def _put(self, question: Question[Any], key: str, sheet: bytes | None) -> DeskAnswer:
        try:
            async with asyncio.timeout(DESK_PATIENCE):
                return await self._say(question, key, sheet)
        except TimeoutError as error:
            await self.stop()
            raise Refused(DESK_SLOW) from error
        except BaseException:  # whoever asked went away: the answer must not reach the next one
            await self.stop()
            raise

    async def start(self) -> None:
        """Start the process, or leave the one that runs."""
        if self.there:
            return
        self._holds = set()
        self._process = await asyncio.create_subprocess_exec(
            *child.PROGRAM, "desk", str(self._memory_mb * child.BYTES_A_MB), stdin=PIPE, stdout=PIPE, limit=ANSWER_BYTES
        )

    async def stop(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _say(self, question: Question[Any], key: str, sheet: bytes | None) -> DeskAnswer:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ProcessDiedError
        request: dict[str, object] = {"key": key, "question": question}
        if sheet is not None:
            request["sheet"] = msgspec.Raw(sheet)
        try:
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ProcessDiedError from error
        if not line.endswith(b"\n"):
            raise ProcessDiedError
        return decode_desk_answer(line)
