"""The vectors about files and re-sending, checked against our client; and that any language can read all of them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sync.ahead import Listed, plan_ahead
from sync.holding import Holding
from sync.outbox import Item, Outbox
from sync.protocol import EnrolAnswer, Result, Status
from sync.replica import Replica
from sync.shelf import FileState, Heard, OwnFile, Step, first_step, heard, to_send, unsafe
from tests.sync.test_vectors import FOLDER, vectors
from tests.sync.world import START

README = (FOLDER / "README.md").read_text("utf-8")


@vectors("uploads")
def test_an_answer_to_an_upload(case: dict[str, Any]) -> None:
    file = msgspec.convert(case["file"], OwnFile)
    turn = heard(file, Step(case["step"]), msgspec.convert(case["answer"], Heard))
    then = case["then"]
    assert (turn.step, turn.offset, turn.file.state, turn.file.upload, turn.file.code) == (
        then["step"], then["offset"], then["state"], then.get("upload"), then.get("code", ""),
    )  # fmt: skip


@vectors("files_kept")
def test_a_file_is_sent_and_kept(case: dict[str, Any]) -> None:
    file, told = msgspec.convert(case["file"], OwnFile), case["phone"]
    replica = Replica.fresh(EnrolAnswer("d", told["incarnation"], "P"))
    replica.rewinds = told["rewinds"]
    replica.holding = Holding(durable=tuple(told["durable"]) if told["durable"] else None)
    replica.outbox.put("note.add", "m", START, blobs=(file.sha256,))
    files, then = {file.sha256: file}, case["then"]
    assert [first_step(one) for one in to_send(files, replica)] == ([then["first"]] if then["first"] else [])
    assert (unsafe(files, replica, datetime.fromisoformat(told["now"])) == set()) is then["safe"]
    assert file.state in FileState


@vectors("ahead")
def test_files_to_fetch_ahead(case: dict[str, Any]) -> None:
    plan = plan_ahead(msgspec.convert(case["listed"], list[Listed]), case["held"], case["room"])
    assert plan.evict == case["evict"]
    assert [file.sha256 for file in plan.fetch] == case["fetch"]


@vectors("resend")
def test_what_waits_again_after_a_restore(case: dict[str, Any]) -> None:
    items = [
        Item(
            one["id"], one["n"], one["incarnation"], msgspec.json.encode({"id": one["id"], "n": one["n"]}).decode(),
            Result(one["n"], one["id"], Status.APPLIED) if one["answered"] else None,
        )
        for one in case["items"]
    ]  # fmt: skip
    outbox = Outbox.load(case["incarnation"], items)
    outbox.rewound(case["acked_n"])
    waiting = [{"id": item.id, "n": item.n, "incarnation": item.incarnation} for item in outbox.pending()]
    assert waiting == case["then"]["waiting"]
    assert outbox.numbering_lost is case["then"]["renew"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_any_language_can_read_a_vector(path: Path) -> None:
    """JSON and nothing else: names, no duplicates, no number a double cannot hold; and the README says what it is."""
    cases = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names) > 0
    assert largest(cases) < 2**53
    assert f"`{path.name}`" in README


def largest(value: Any) -> float:
    """Return the largest number in a JSON value."""
    if isinstance(value, dict):
        return max(map(largest, value.values()), default=0)
    if isinstance(value, list):
        return max(map(largest, value), default=0)
    return value if isinstance(value, int | float) else 0
