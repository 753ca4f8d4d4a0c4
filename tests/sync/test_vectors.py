"""The vectors any client has to pass, checked against ours."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sync.feed import entry_sum
from sync.holding import Holding, check_of, damaged, swapped
from sync.ledger import read_batch
from sync.merge import merge_edits
from sync.policy import POLICY
from sync.protocol import Check, Edit, PullAnswer, PullRequest, position_digest
from sync.store import Conflict, RowKey
from tests.sync.world import START

FOLDER = Path(__file__).parent / "vectors"


def vectors(name: str) -> Any:
    cases = msgspec.json.decode((FOLDER / f"{name}.json").read_bytes())
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


@vectors("checksum")
def test_checksum(case: dict[str, Any]) -> None:
    assert entry_sum(case["entity"], case["row"], case["body"]) == case["sum"]


@vectors("merge")
def test_merge(case: dict[str, Any]) -> None:
    edits = {name: Edit(**edit) for name, edit in case["edits"].items()}
    conflicts = {
        group: Conflict(
            held["id"],
            RowKey(case["entity"], ""),
            "",
            group,
            held["base"],
            held["mine"],
            held["theirs"],
            "",
            "",
            "",
            START,
            START,
        )
        for group, held in case.get("conflicts", {}).items()
    }
    result = merge_edits(edits, case["current"], POLICY.of(case["entity"]), conflicts)
    assert result.status(moved=case.get("moved", False)) == case["status"]
    assert result.changes == case["changes"]
    assert [
        {"group": clash.group, "base": clash.base, "mine": clash.mine, "theirs": clash.theirs, "joins": clash.joins}
        for clash in result.clashes
    ] == case.get("clashes", [])


@vectors("pull")
def test_pull(case: dict[str, Any]) -> None:
    pages = [msgspec.convert(page, PullAnswer) for page in raw_bodies(case["pages"])]
    held = swapped(Holding("c", 1, "i", 0, case["held"]), pages, "i", 0)
    assert {name: rows for name, rows in held.buckets.items() if rows} == case["then"]
    checks = {name: Check(**check) for name, check in case["checks"].items()}
    assert damaged(held.buckets, checks) == case.get("damaged", [])
    for name, check in checks.items():
        if name not in case.get("damaged", []):
            assert check_of(held.buckets.get(name, {})) == check


def raw_bodies(pages: list[dict[str, Any]]) -> list[Any]:
    """Bodies stand in the vectors as text, for their bytes count; here they become part of the message."""
    return [
        {
            **page,
            "ops": [{**op, "body": msgspec.Raw(op["body"].encode())} if "body" in op else op for op in page["ops"]],
        }
        for page in pages
    ]


@vectors("digest")
def test_digest(case: dict[str, Any]) -> None:
    request = PullRequest(case["incarnation"], 1, case["cookie"], case["page"])
    assert position_digest(request) == case["of"]


@vectors("payload_sum")
def test_payload_sum(case: dict[str, Any]) -> None:
    (envelope,) = read_batch([msgspec.Raw(case["payload"].encode())])
    assert envelope.payload_sum == case["sum"]
