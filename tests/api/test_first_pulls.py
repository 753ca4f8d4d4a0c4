"""First pulls take turns; whoever only asks what is new waits for none of them."""

import asyncio

import pytest

from backend.devices.turns import FIRST_PULLS_AT_ONCE, Turns


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
    assert (most, inside) == (FIRST_PULLS_AT_ONCE, 0)


async def test_a_pull_that_fails_or_is_given_up_leaves_its_place() -> None:
    turns = Turns()

    async def fail() -> None:
        async with turns.turn():
            raise ConnectionError

    async def linger() -> None:
        async with turns.turn():
            await asyncio.sleep(60)

    for _ in range(FIRST_PULLS_AT_ONCE + 1):
        with pytest.raises(ConnectionError):
            await fail()
    lingering = [asyncio.create_task(linger()) for _ in range(FIRST_PULLS_AT_ONCE)]
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

        return sum(await asyncio.gather(*(pull() for _ in range(FIRST_PULLS_AT_ONCE * 2))))

    assert [asyncio.run(crowd()) for _ in range(2)] == [FIRST_PULLS_AT_ONCE * 2] * 2
