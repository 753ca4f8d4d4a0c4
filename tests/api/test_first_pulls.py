"""Answers of a whole scope take turns; whoever only asks what is new waits for none of them."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from backend.core.changes import commit_clock
from backend.core.ids import new_id
from backend.devices.turns import LARGE_ANSWERS_AT_ONCE, Turns
from sync.protocol import PULL_PATH, RECONCILE_PATH, ReconcileRequest, encode
from tests.api.test_devices import phone_of
from tests.make import Office
from tests.personas import LI_WEI
from tests.work import change, ok, sent


async def test_a_few_build_at_a_time_and_all_come_to_their_turn() -> None:
    turns, inside, most = Turns(), 0, 0

    async def pull() -> None:
        nonlocal inside, most
        async with turns.turn():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(pull() for _ in range(20)))
    assert (most, inside) == (LARGE_ANSWERS_AT_ONCE, 0)


async def test_a_pull_that_fails_or_is_given_up_leaves_its_place() -> None:
    turns = Turns()

    async def fail() -> None:
        async with turns.turn():
            raise ConnectionError

    async def linger() -> None:
        async with turns.turn():
            await asyncio.sleep(60)

    for _ in range(LARGE_ANSWERS_AT_ONCE + 1):
        with pytest.raises(ConnectionError):
            await fail()
    lingering = [asyncio.create_task(linger()) for _ in range(LARGE_ANSWERS_AT_ONCE)]
    await asyncio.sleep(0)
    for one in lingering:
        one.cancel()
    await asyncio.gather(*lingering, return_exceptions=True)
    async with asyncio.timeout(5), turns.turn():
        pass


def test_another_event_loop_has_turns_of_its_own() -> None:
    turns = Turns()

    async def crowd() -> int:
        async def pull() -> int:
            async with turns.turn():
                await asyncio.sleep(0)
                return 1

        return sum(await asyncio.gather(*(pull() for _ in range(LARGE_ANSWERS_AT_ONCE * 2))))

    assert [asyncio.run(crowd()) for _ in range(2)] == [LARGE_ANSWERS_AT_ONCE * 2] * 2


async def test_whoever_shows_what_a_restored_server_does_not_know_takes_a_turn(
    sqlite_office: Office, tmp_path: Path
) -> None:
    office = sqlite_office
    wang_fang, _, visit_id = await sent(office)
    provided: Any = office.app.dependencies["sync"]
    turns: Turns = provided.dependency().large_answers
    async with phone_of(office, LI_WEI, tmp_path) as li_wei, AsyncExitStack() as others:
        await li_wei.contact()
        known = li_wei.phone.replica
        for _ in range(LARGE_ANSWERS_AT_ONCE):
            await others.enter_async_context(turns.turn())
        assert (await li_wei.post(PULL_PATH, encode(known.pull_request()))).status_code == 204
        ok(await change(wang_fang, visit_id, "withdraw", {"reason": "病假"}))
        assert ok(await li_wei.post(PULL_PATH, encode(known.pull_request())))["ops"], "what is new waits for none"
        async with office.database.write() as session:
            await session.execute(update(commit_clock).values(epoch=new_id()))
        checks = ReconcileRequest(known.identity.incarnation, 1, "a question", {})
        waiting = [
            asyncio.create_task(li_wei.post(path, body)) for path, body in (
                (PULL_PATH, encode(msgspec.structs.replace(known.pull_request(), reconciles=False))),
                (RECONCILE_PATH, encode(checks)),
            )
        ]  # fmt: skip
        done, _ = await asyncio.wait(waiting, timeout=0.5)
        assert not done
        await others.aclose()
        assert [ok(await one)["v"] > 0 for one in waiting] == [True, True]
