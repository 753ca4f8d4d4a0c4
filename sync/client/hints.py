"""Listening for hints, for an app that wants to pull soon rather than at its next contact. Nothing rests on them."""

from collections.abc import AsyncGenerator, Callable
from typing import Final

import httpx

from sync.client.transport import OK, NoAnswer
from sync.protocol import HINTS_PATH

DATA: Final = "data: "
SILENCE_SECONDS: Final = 40.0
"""Without even a sign of life the line is taken for dead; the server gives one every 15 seconds."""


async def hinted(client: httpx.AsyncClient, token: Callable[[], str]) -> AsyncGenerator[int]:
    """Yield each `v` the server tells of; pull when it is above what the phone holds.

    Ends when the server ends the stream; raises NoAnswer when it is not there or will not have us listen. Then the
    phone goes on as without hints, and may listen again after its next contact.
    """
    headers = {"Authorization": f"Bearer {token()}", "Accept": "text/event-stream"}
    try:
        async with client.stream("GET", HINTS_PATH, headers=headers, timeout=SILENCE_SECONDS) as answer:
            if answer.status_code != OK:
                raise NoAnswer(str(answer.status_code))
            async for line in answer.aiter_lines():
                if line.startswith(DATA):
                    yield int(line.removeprefix(DATA))
    except httpx.RequestError as error:
        raise NoAnswer(str(error)) from error
