"""`make bench-sync`: a phone's pulls over HTTP against a demo server on SQLite.

    .venv/bin/python -m bench.sync

The peer of each row is a read of `/healthz` in the same run: what a request costs before anything is done.
"""

import argparse
import asyncio
import base64
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx

from bench.server import demo_server
from bench.table import Figure, report
from sync.protocol import DEVICES_PATH, PULL_PATH, EnrolAnswer, EnrolRequest, PullRequest, encode

PASSWORD: Final = "paigong-demo"  # noqa: S105 - known to everybody
MILLISECONDS: Final = 1_000
FIRST_MOST: Final = 1_000
UNCHANGED_MOST: Final = 100


async def measure(address: str, rounds: int) -> list[Figure]:
    """Register a phone and time its first pull and its unchanged pulls, in milliseconds."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as server:
        phone = await _phone(server)
        first = await _timed(lambda: _pull(server, phone, None), 3)
        cookie = (await _pull(server, phone, None)).json()["cookie"]
        unchanged = await _timed(lambda: _pull(server, phone, cookie), rounds)
        nothing = await _timed(lambda: server.get("/healthz"), rounds)
    return [
        Figure("first pull, ms", first, nothing, first / nothing, "under 1000 ms", first < FIRST_MOST),
        Figure(
            "unchanged pull, ms", unchanged, nothing, unchanged / nothing, "under 100 ms", unchanged < UNCHANGED_MOST
        ),
    ]


async def _phone(server: httpx.AsyncClient) -> dict[str, Any]:
    admin = await _sign_in(server, "YQ018")
    me = await _sign_in(server, "YQ001")
    path = f"/people/{me['person_id']}/enrolment-codes"
    headers = {"Authorization": f"Bearer {admin['access_token']}", "Idempotency-Key": secrets.token_hex()}
    code = (await server.post(path, headers=headers)).raise_for_status().json()["code"]
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    request = EnrolRequest(code, key, "bench", "bench", 1)
    identity = (await server.post(DEVICES_PATH, content=encode(request))).raise_for_status().json()
    tokens = await _sign_in(server, "YQ001", identity["device"])
    return {"identity": EnrolAnswer(**identity), "token": tokens["access_token"]}


async def _sign_in(server: httpx.AsyncClient, login: str, device: str | None = None) -> dict[str, Any]:
    body = {"login": login, "password": PASSWORD} | ({"device_id": device} if device else {})
    return (await server.post("/auth/sign-in", json=body)).raise_for_status().json()


async def _pull(server: httpx.AsyncClient, phone: dict[str, Any], cookie: str | None) -> httpx.Response:
    body = encode(PullRequest(phone["identity"].incarnation, 1, cookie))
    headers = {"Authorization": f"Bearer {phone['token']}", "Content-Type": "application/json"}
    return (await server.post(PULL_PATH, content=body, headers=headers)).raise_for_status()


async def _timed(work: Callable[[], Awaitable[Any]], rounds: int) -> float:
    """Median milliseconds of `work`."""
    spans: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        spans.append((time.perf_counter() - began) * MILLISECONDS)
    return statistics.median(spans)


def main() -> None:
    """Start a demo server, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="bench-sync", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, demo_server(Path(folder)) as address:
        report("bench-sync", asyncio.run(measure(address, options.rounds)))


if __name__ == "__main__":
    main()
