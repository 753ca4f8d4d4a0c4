"""Bytes on the wire: zstd and gzip both ways, and bodies that would unpack to more than the server takes."""

import gzip
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import zstandard

from backend.core.compression import LEAST_BYTES
from sync.limits import PUSH_BYTES
from sync.protocol import PUSH_PATH
from tests.api.test_devices import Pocket, phone_of
from tests.make import Office
from tests.personas import CHEN_JING, LI_WEI

EMPTY = b'{"incarnation": "nobody", "mutations": []}'
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
async def test_a_compressed_push_is_read_and_a_bomb_is_refused(
    sqlite_office: Office, tmp_path: Path, encoding: str
) -> None:
    async with phone_of(sqlite_office, LI_WEI, tmp_path) as phone:
        taken = await push(phone, encoding, PACK[encoding](EMPTY))
        assert taken.json()["code"] == "unknown_incarnation"
        bomb = PACK[encoding](ZEROS)
        assert len(bomb) < PUSH_BYTES / 100
        refused = await push(phone, encoding, bomb)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
        torn = await push(phone, encoding, b"no such format")
        assert (torn.status_code, torn.json()["code"]) == (400, "encoding_unreadable")


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
async def test_a_body_cut_on_its_way_or_with_more_behind_its_end_is_refused(
    sqlite_office: Office, tmp_path: Path, encoding: str
) -> None:
    batch = PACK[encoding](EMPTY + b" " * 5_000)
    async with phone_of(sqlite_office, LI_WEI, tmp_path) as phone:
        for body in (batch[:-1], batch[: len(batch) // 2], batch + batch, batch + b"!", b""):
            refused = await push(phone, encoding, body)
            assert (refused.status_code, refused.json()["code"]) == (400, "encoding_unreadable"), body


async def test_an_encoding_nobody_knows_is_named(sqlite_office: Office, tmp_path: Path) -> None:
    async with phone_of(sqlite_office, LI_WEI, tmp_path) as phone:
        refused = await push(phone, "br", b"{}")
    assert (refused.status_code, refused.json()["code"]) == (415, "encoding_not_known")


async def test_a_body_is_not_read_before_it_is_known_who_sends_it(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(CHEN_JING)
    refused = await desk.ask("POST", PUSH_PATH, content=b"no such format", headers={"Content-Encoding": "zstd"})
    assert (refused.status_code, refused.json()["code"]) == (403, "no_device")


async def push(phone: Pocket, encoding: str, body: bytes) -> httpx.Response:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    return await phone.desk.ask("POST", PUSH_PATH, content=body, headers=headers)
