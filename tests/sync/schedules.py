"""Stepping real transactions on PostgreSQL statement by statement, in an order drawn from a seed.

Every statement of an actor, and its commit, waits for its turn. A statement that waits for another actor's lock gives
the turn away; PostgreSQL itself says that it does, so a seed gives the same order on any machine.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.util import await_only

ACTOR: ContextVar[str] = ContextVar("ACTOR", default="")
LOOK_SECONDS: Final = 0.002
"""How long a statement is waited for before PostgreSQL is asked whether it waits for a lock."""
BLOCKED: Final = """
SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database()
"""
STEPS: Final = 40
"""Somewhere in so many steps an actor that goes first may come to go last."""
DEMOTIONS: Final = 2
EVENLY: Final = 0.4
"""Share of schedules in which everybody is as likely to go on as anybody else."""
Rewrite = Callable[[str], str]


class Stage:
    """Lets one actor at a time go on by one statement."""

    def __init__(self, dice: random.Random, watcher: asyncpg.Connection, rewrite: Rewrite | None = None) -> None:
        self.order: list[str] = []
        """Who took each step."""
        self._dice, self._watcher, self._rewrite = dice, watcher, rewrite
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._moved = asyncio.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """See every statement for the length of the block."""
        event.listen(Engine, "before_cursor_execute", self._executes, retval=True)
        event.listen(Engine, "commit", self._commits)
        try:
            yield
        finally:
            event.remove(Engine, "before_cursor_execute", self._executes)
            event.remove(Engine, "commit", self._commits)

    async def play(self, actors: Mapping[str, Callable[[], Awaitable[Any]]]) -> dict[str, Any]:
        """Step the actors to their ends; return what each came to, errors included."""
        tasks = {name: asyncio.create_task(self._act(name, actor)) for name, actor in actors.items()}
        for task in tasks.values():
            task.add_done_callback(lambda _: self._moved.set())
        choose = self._chooser(list(tasks))
        while await self._settled(tasks):
            name = choose(sorted(self._waiting))
            self.order.append(name)
            self._waiting.pop(name).set_result(None)
        return {name: task.exception() or task.result() for name, task in tasks.items()}

    def _chooser(self, names: list[str]) -> Callable[[list[str]], str]:
        """Choose evenly, or let one go first until it is demoted: that finds what one must be overtaken for."""
        if self._dice.random() < EVENLY:
            return self._dice.choice
        self._dice.shuffle(names)
        demotions = {self._dice.randrange(STEPS) for _ in range(DEMOTIONS)}

        def first(ready: list[str]) -> str:
            name = min(ready, key=names.index)
            if len(self.order) in demotions:
                names.remove(name)
                names.append(name)
            return min(ready, key=names.index)

        return first

    async def _act(self, name: str, actor: Callable[[], Awaitable[Any]]) -> Any:
        ACTOR.set(name)
        return await actor()

    async def _settled(self, tasks: Mapping[str, "asyncio.Task[Any]"]) -> bool:
        """Wait until every actor wants its next statement, is done, or waits for a lock; False when all are done."""
        while under_way := sum(not task.done() for task in tasks.values()):
            if len(self._waiting) == under_way:
                return True
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), LOOK_SECONDS)
            except TimeoutError:
                if self._waiting and len(self._waiting) + await self._blocked() >= under_way:
                    return True
        return False

    async def _blocked(self) -> int:
        return int(str(await self._watcher.fetchval(BLOCKED)))

    async def _turn(self) -> None:
        turn = self._waiting[ACTOR.get()] = asyncio.get_running_loop().create_future()
        self._moved.set()
        await turn

    def _executes(
        self,
        _connection: Any,
        _cursor: Any,
        statement: str,
        parameters: Any,
        _context: Any,
        _many: bool,  # noqa: FBT001
    ) -> tuple[str, Any]:
        if ACTOR.get():
            await_only(self._turn())
        return (self._rewrite(statement) if self._rewrite else statement), parameters

    def _commits(self, _connection: Any) -> None:
        if ACTOR.get():
            await_only(self._turn())


async def watcher_of(url: URL) -> asyncpg.Connection:
    """Return a connection that watches the others."""
    return await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
