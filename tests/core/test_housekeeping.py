"""What is kept for a while only is forgotten once a day, and nothing else is."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from backend.app import task_handlers
from backend.core.clock import clock_of
from backend.core.housekeeping import HOUSEKEEPING, start_housekeeping
from backend.core.once import REMEMBERED, Creation
from backend.core.tasks import DONE_KEPT, Task
from backend.people.models import SignInSession
from backend.people.sign_in import SESSIONS_KEPT
from backend.settings import Settings
from tests.make import Office
from tests.personas import HE_LI


async def kept(office: Office, model: Any) -> int:
    async with office.database.read() as session:
        return len((await session.execute(select(model))).scalars().all())


async def test_answers_sign_ins_and_finished_tasks_are_forgotten_after_their_time(
    office: Office, tmp_path: Path
) -> None:
    desk = await office.sign_in(HE_LI)
    await desk.post("/customers", {"unit_id": str(office.house.service), "name": "湖滨小学"})
    clock_file = tmp_path / "now"
    settings = Settings(mode="acceptance", clock_file=clock_file)
    housekeeping = task_handlers(settings, office.database)[HOUSEKEEPING]
    async with office.database.write() as session:
        for state, finished_at in (("done", office.now), ("failed", office.now)):
            session.add(
                Task(
                    kind="say", key=state, payload={}, state=state, run_at=office.now, attempts=1,
                    finished_at=finished_at,
                )
            )  # fmt: skip
        await start_housekeeping(session, now=office.now)
        await start_housekeeping(session, now=office.now)

    async def on(days: timedelta) -> tuple[int, int, list[str]]:
        clock_file.write_text((office.now + days).isoformat(), "utf-8")
        assert clock_of(settings).now() == office.now + days
        await housekeeping({})
        async with office.database.read() as session:
            said = select(Task.state).where(Task.kind == "say").order_by(Task.state)
            states = list((await session.execute(said)).scalars())
        return await kept(office, Creation), await kept(office, SignInSession), states

    assert await on(REMEMBERED) == (1, 1, ["done", "failed"])
    assert await on(REMEMBERED + timedelta(days=1)) == (0, 1, ["done", "failed"])
    assert await on(DONE_KEPT + timedelta(days=1)) == (0, 1, ["failed"]), "what was given up stays for the operator"
    ended = timedelta(days=settings.refresh_days) + SESSIONS_KEPT
    assert await on(ended + timedelta(days=1)) == (0, 0, ["failed"])
    async with office.database.read() as session:
        rounds = select(Task.key).where(Task.kind == HOUSEKEEPING)
        keys = list((await session.execute(rounds)).scalars())
    assert len(keys) == 5, "the first, and after each the next day's"
