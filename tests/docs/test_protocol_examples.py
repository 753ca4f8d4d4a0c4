"""The generated parts of the protocol's pages are what the server says today; every number in them can be checked."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.devices.handlers import HANDLERS
from bench.protocol.pages import PAGES, filled, named
from bench.protocol.story import PHOTO, told
from bench.protocol.tables import ARGS, tables
from sync.edits import ROW_MUTATIONS
from sync.holding import check_of
from sync.protocol import PullRequest, position_digest
from sync.signature import is_signed, text_of
from sync.task import VOID
from tests.databases import Databases

PROTOCOL, _, MUTATIONS = PAGES
PUBLIC_KEY = text_of(Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw())
CHECKS = 16
"""Buckets of the page whose rows are all on it."""
EXCHANGE = re.compile(r"```http\n(?P<asked>[A-Z]+ /.*?)\n\n(?P<status>\d{3}) [^\n]*\n(?P<said>.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def examples(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("story")
    return asyncio.run(told(databases.sqlite(folder / "paigong.db"), folder))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_what_the_server_says(page: Path, examples: dict[str, str]) -> None:
    text = page.read_text("utf-8")
    assert filled(text, examples, tables()) == text, "run: .venv/bin/python -m bench.protocol"


def test_every_example_and_table_is_on_a_page(examples: dict[str, str]) -> None:
    texts = [page.read_text("utf-8") for page in PAGES]
    assert set().union(*(named(text, "example") for text in texts)) == set(examples)
    assert set().union(*(named(text, "table") for text in texts)) == set(tables())


def test_every_mutation_is_described() -> None:
    page = MUTATIONS.read_text("utf-8")
    assert ARGS.keys() == HANDLERS.keys()
    assert all(f"| `{name}`" in page for name in ARGS)
    assert all(f"`{name}`" in page for name in (*ROW_MUTATIONS, VOID))


def exchanges(examples: dict[str, str]) -> Iterator[tuple[str, dict[str, str], str, str]]:
    """Every example as it is shown, in the order of the story: first line, headers, body, what was answered."""
    for found in EXCHANGE.finditer("\n".join(examples.values())):
        head, _, body = found["asked"].partition("\n\n")
        line, *headers = head.splitlines()
        yield line, dict(header.split(": ", 1) for header in headers), body, found["said"].partition("\n\n")[2].strip()


def pulls(examples: dict[str, str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for line, _, body, said in exchanges(examples):
        if line == "POST /sync/v1/pull" and said:
            yield msgspec.json.decode(body), msgspec.json.decode(said)


def test_digests_are_those_of_the_questions(examples: dict[str, str]) -> None:
    asked = list(pulls(examples))
    assert len(asked) > 5
    for question, answer in asked:
        assert answer["of"] == position_digest(msgspec.convert(question, PullRequest))


def test_checks_are_those_of_the_rows_shown(examples: dict[str, str]) -> None:
    held: dict[str, dict[str, str]] = {}
    checked = 0
    for _, _, _, said in exchanges(examples):
        for line in re.findall(r'\{"op":.*\}', said):
            op = msgspec.json.decode(line)
            rows = held.setdefault(op["bucket"], {})
            if op["op"] == "drop":
                rows.clear()
            elif op["op"] == "put":
                rows[f"{op['entity']}/{op['row']}"] = line.partition(',"body":')[2].removesuffix("}")
        checks = msgspec.json.decode(said).get("checks", {}) if '"checks":' in said else {}
        for bucket, check in checks.items():
            if len(held[bucket]) == check["count"]:  # the photo's row came with a pull that is not on the page
                assert msgspec.to_builtins(check_of(held[bucket])) == check, bucket
                checked += 1
    assert checked == CHECKS


def test_signatures_can_be_verified(examples: dict[str, str]) -> None:
    signed = [one for one in exchanges(examples) if "Device-Signature" in one[1]]
    assert len(signed) == 4
    for line, headers, body, _ in signed:
        sent = PHOTO if body == f"({len(PHOTO)} bytes)" else re.sub(r"\n +", "", body).encode()
        assert is_signed(PUBLIC_KEY, headers["Device-Signature"], line.split()[1], sent)


def test_secrets_are_masked() -> None:
    text = PROTOCOL.read_text("utf-8")
    assert not re.search(r'"(?:access_token|refresh_token|password)":"[^…]', text)
    assert not re.search(r"Bearer [^…<]", text)
