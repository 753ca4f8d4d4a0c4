"""The protocol's page says what the code says."""

import re
from pathlib import Path

import msgspec
import pytest

from sync import limits, policy, protocol, signature, task, texts
from sync.deciding import CONFLICT_DECIDE, Take
from sync.edits import ROW_MUTATIONS

PAGE = (Path(__file__).parents[2] / "docs/reference/sync-protocol.md").read_text("utf-8")
WORDS = set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)))
INSIDE = {"inventory"}
"""Said under its own heading."""


@pytest.mark.parametrize("code", texts.TEXTS)
def test_every_code_is_on_the_page(code: str) -> None:
    assert code in WORDS


def test_every_status_notice_and_mutation_is_on_the_page() -> None:
    assert {*protocol.Status, *protocol.Notice, *ROW_MUTATIONS, task.VOID, CONFLICT_DECIDE, *Take} <= WORDS


@pytest.mark.parametrize(
    "path",
    [
        f"POST {protocol.DEVICES_PATH}",
        f"POST {protocol.INCARNATIONS_PATH}",
        f"POST {protocol.PULL_PATH}",
        f"POST {protocol.PUSH_PATH}",
        f"POST {protocol.RECONCILE_PATH}",
        f"POST {protocol.RESCUE_PATH}",
        f"POST {protocol.WIPED_PATH}",
        f"POST {protocol.HAVE_PATH}",
        f"GET {protocol.HINTS_PATH}",
        f"GET {protocol.PREFETCH_PATH}?bytes=",
        f"GET {protocol.BLOBS_PATH}/{{sha256}}",
    ],
)
def test_every_endpoint_is_on_the_page(path: str) -> None:
    assert f"`{path}`" in PAGE


@pytest.mark.parametrize(
    "message",
    [
        protocol.EnrolRequest,
        protocol.PullRequest,
        protocol.PushRequest,
        protocol.ReconcileRequest,
        protocol.RescueRequest,
        protocol.WipedRequest,
    ],
)
def test_every_member_of_a_question_is_on_the_page(message: type[msgspec.Struct]) -> None:
    asked = re.findall(r"^\| `POST [^`]+` \{([^}]+)\}", PAGE, re.MULTILINE)
    members = [{name.strip(" ?") for name in one.split(",")} for one in asked]
    assert {field.encode_name for field in msgspec.structs.fields(message)} in members


@pytest.mark.parametrize("message", [protocol.PullAnswer, protocol.Mutation])
def test_every_member_of_a_message_is_described(message: type[msgspec.Struct]) -> None:
    described = {
        name for row in re.findall(r"^\| (`[^|]+`) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert {field.encode_name for field in msgspec.structs.fields(message)} - INSIDE <= described


def test_every_header_is_on_the_page() -> None:
    headers = (protocol.DEVICE_TIME, protocol.DEVICE_MONOTONIC, signature.DEVICE_ID, signature.DEVICE_SIGNATURE)
    assert {*headers, protocol.SERVER_TIME} <= WORDS


def test_the_numbers_are_those_of_the_code() -> None:
    for sentence in (
        f"good for {limits.CODE_MINUTES} minutes",
        f"at most {limits.DEVICES_A_PERSON} active phones",
        f"At most {limits.PUSH_MUTATIONS} mutations and {limits.PUSH_BYTES // 2**20} MiB",
        f"and {limits.GRANT_DAYS} days more",
        f"at most {limits.RESCUE_BYTES // 2**20} MiB a request",
        "after " + ", ".join(f"{pause:.0f}" for pause in limits.RETRY_SECONDS) + " s",
    ):
        assert sentence in PAGE


def test_every_text_is_in_both_languages() -> None:
    for text in texts.TEXTS.values():
        assert re.search(r"[\u4e00-\u9fff]", text.zh)
        assert text.en.isascii()


def test_groups_are_named_and_hold_each_field_once() -> None:
    for rules in policy.POLICY.entities.values():
        names = list(rules.editable())
        assert len(names) == len(set(names))
        assert bool(rules.parent) == bool(rules.parent_column)
