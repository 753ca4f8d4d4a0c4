"""Bytes on the wire: zstd and gzip both ways, and bodies that would unpack to more than the server takes."""

import gzip
from collections.abc import Awaitable, Callable

import httpx
import pytest
import zstandard

from backend.core.compression import LEAST_BYTES
from sync.limits import PUSH_BYTES
from sync.protocol import PUSH_PATH
from tests.make import Office
from tests.personas import CHEN_JING

ZEROS = b"0" * (PUSH_BYTES * 3)
PACK: dict[str, Callable[[bytes], bytes]] = {"zstd": zstandard.compress, "gzip": gzip.compress}


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
async def test_a_long_answer_comes_compressed_as_asked(sqlite_office: Office, encoding: str) -> None:
    answer = await sqlite_office.client.get("/docs/openapi.json", headers={"Accept-Encoding": encoding})
    assert answer.headers["Content-Encoding"] == encoding
    assert int(answer.headers["Content-Length"]) < len(answer.content) / 4
    assert answer.json()["openapi"]


async def test_zstd_is_preferred_and_short_answers_stay_as_they_are(sqlite_office: Office) -> None:
    client = sqlite_office.client
    both = await client.get("/docs/openapi.json", headers={"Accept-Encoding": "gzip, zstd"})
    assert both.headers["Content-Encoding"] == "zstd"
    short = await client.get("/healthz", headers={"Accept-Encoding": "zstd"})
    assert len(short.content) < LEAST_BYTES
    assert "Content-Encoding" not in short.headers


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
async def test_a_compressed_push_is_read_and_a_bomb_is_refused(sqlite_office: Office, encoding: str) -> None:
    push = await _pusher(sqlite_office, encoding)
    taken = await push(PACK[encoding](b'{"incarnation": "nobody", "mutations": []}'))
    assert taken.json()["code"] == "no_device"
    bomb = PACK[encoding](ZEROS)
    assert len(bomb) < PUSH_BYTES / 100
    refused = await push(bomb)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    torn = await push(b"no such format")
    assert (torn.status_code, torn.json()["code"]) == (400, "encoding_unreadable")


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
async def test_a_body_cut_on_its_way_or_with_more_behind_its_end_is_refused(
    sqlite_office: Office, encoding: str
) -> None:
    push = await _pusher(sqlite_office, encoding)
    batch = PACK[encoding](b'{"incarnation": "nobody", "mutations": []}' + b" " * 5_000)
    for body in (batch[:-1], batch[: len(batch) // 2], batch + batch, batch + b"!", b""):
        refused = await push(body)
        assert (refused.status_code, refused.json()["code"]) == (400, "encoding_unreadable"), body


async def test_an_encoding_nobody_knows_is_named(sqlite_office: Office) -> None:
    push = await _pusher(sqlite_office, "br")
    refused = await push(b"{}")
    assert (refused.status_code, refused.json()["code"]) == (415, "encoding_not_known")


async def _pusher(office: Office, encoding: str) -> Callable[[bytes], Awaitable[httpx.Response]]:
    desk = await office.sign_in(CHEN_JING)
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}

    async def push(body: bytes) -> httpx.Response:
        return await desk.ask("POST", PUSH_PATH, content=body, headers=headers)

    return push
