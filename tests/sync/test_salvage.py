"""The queue file of a broken phone: whole, torn, overwritten or no database at all."""

import random
import time
from pathlib import Path

import msgspec
import pytest

from sync import work
from sync.client.disk import Disk
from sync.client.salvage import LOG, LOOKED_BYTES, salvage
from sync.outbox import Item
from sync.protocol import EnrolAnswer, Result, Status
from sync.replica import Replica
from tests.sync.world import START, Ids

WORK = 300


@pytest.fixture
def queue(tmp_path: Path) -> tuple[Path, list[Item]]:
    """A phone with a day's work, the first of it delivered, and its write-ahead log folded in."""
    ids = Ids()
    path = tmp_path / "phone.db"
    disk = Disk(path)
    replica = Replica.fresh(EnrolAnswer(ids(), ids(), "ABCD"))
    items = [
        work.command(replica, "note.add", "work_order", ids(), {"text": f"第 {n} 条"}, mutation_id=ids(), now=START)
        for n in range(WORK)
    ]
    first = items[0]
    answered = msgspec.structs.replace(first, result=Result(1, first.id, Status.APPLIED))
    replica.outbox.items[first.id] = answered
    disk.save(replica)
    disk.close()
    return path, [answered, *items[1:]]


def test_a_whole_file_gives_everything_and_is_not_touched(queue: tuple[Path, list[Item]]) -> None:
    path, items = queue
    before = path.read_bytes()
    found = salvage(path)
    assert (list(found.items.values()), found.damages) == (items, [])
    assert found.device
    assert found.unanswered == items[1:]
    assert path.read_bytes() == before
    assert not path.with_name(path.name + LOG).exists()


@pytest.mark.parametrize("seed", range(6))
def test_of_a_damaged_file_all_that_is_left_is_read(queue: tuple[Path, list[Item]], seed: int) -> None:
    path, items = queue
    content, draw = bytearray(path.read_bytes()), random.Random(seed)  # noqa: S311 - damage that repeats
    for _ in range(3):
        at = draw.randrange(0, len(content) - 4096)
        content[at : at + 4096] = bytes(4096)
    path.write_bytes(content)
    found = salvage(path)
    left = [item for item in items if msgspec.json.encode(item) in content]
    assert set(found.items) >= {item.id for item in left}
    assert all(found.items[item.id].payload == item.payload for item in left)
    assert found.damages or len(found.items) == len(items)


def test_a_torn_file_and_one_that_is_no_database_say_what_is_missing(queue: tuple[Path, list[Item]]) -> None:
    path, items = queue
    content = path.read_bytes()
    half = content[: len(content) // 2]
    path.write_bytes(half)
    torn = salvage(path)
    assert torn.damages
    assert set(torn.items) >= {item.id for item in items if msgspec.json.encode(item) in half}
    path.write_bytes(b"no database " + msgspec.json.encode(items[5])[:-20])
    found = salvage(path)
    assert found.items == {}
    assert any(items[5].id in damage.en for damage in found.damages)
    path.write_bytes(b"")
    assert salvage(path).items == {}


def test_long_items_are_read_whole_and_a_large_file_takes_no_time(tmp_path: Path) -> None:
    """Twelve megabytes of items that were cut off took 48 seconds when each was looked at to the end of the file."""
    ids, path = Ids(), tmp_path / "phone.db"
    replica = Replica.fresh(EnrolAnswer(ids(), ids(), "ABCD"))

    def note(text: str) -> bytes:
        return msgspec.json.encode(
            work.command(replica, "note.add", "work_order", ids(), {"text": text}, mutation_id=ids(), now=START)
        )

    whole = [note(text * LOOKED_BYTES) for text in ("见", '"\\', "\U0001f6d7")]
    cut = note("第三层 " * 400)[:-2]
    path.write_bytes(b"no database" + b"".join(whole) + (cut + b"\0") * (12_000_000 // len(cut)))
    began = time.perf_counter()
    found = salvage(path)
    assert time.perf_counter() - began < 5
    assert [msgspec.json.encode(item) for item in found.items.values()] == whole
    assert len(found.damages) == 2, "no database, and one that is cut off"
