"""The planning process over real pipes: a plan, progress, errors, cancelling, limits; it always ends."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from routing import limits
from routing.__main__ import Parent, answer
from routing.check import violations
from routing.cutting import cut
from routing.pieces import join
from routing.plan import Progress
from routing.problem import Place, Problem, ProblemError
from routing.protocol import Limits, Message, Request, decode_message, encode
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.make import city_week, problem, shift, visit

PATIENCE = 60


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "routing", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def heard(process: subprocess.Popen[bytes]) -> list[Message]:
    """Read until the child ends."""
    assert process.stdout is not None
    return [decode_message(line) for line in process.stdout]


def answer_to(line: bytes) -> tuple[list[Message], int]:
    with child() as process:
        ask(process, line)
        messages = heard(process)
        return messages, process.wait(PATIENCE)


def request(of: Problem, **stop: Any) -> bytes:
    return encode(Request(problem=of, stop=Limits(**stop), seed=3))


def test_progress_and_then_the_same_plan_as_in_this_process() -> None:
    week = city_week(60, 6, 2, breaks=True)
    messages, status = answer_to(request(week, solutions=60))
    assert status == 0
    *progress, last = messages
    assert progress
    assert all(message.progress is not None and message.plan is None for message in progress)
    first = progress[0].progress
    assert first is not None
    assert first.served + first.unplanned == 60
    assert last.plan == solve(week, StopWhen(solutions=60), seed=3)


def test_cancelling_brings_the_best_so_far_soon() -> None:
    week = city_week(200, 12, 3)
    with child() as process:
        ask(process, request(week, seconds=60))
        assert process.stdout is not None
        assert decode_message(process.stdout.readline()).progress is not None
        asked = time.monotonic()
        ask(process, b"what is this\ncancel\n")
        *_, last = heard(process)
        assert time.monotonic() - asked < 10
        assert process.wait(PATIENCE) == 0
    assert last.plan is not None
    assert last.plan.status == "cancelled"
    assert violations(week, last.plan) == []


def test_a_closed_pipe_cancels() -> None:
    with child() as process:
        ask(process, request(city_week(200, 12, 3), seconds=60))
        assert process.stdin is not None
        process.stdin.close()
        *_, last = heard(process)
        assert process.wait(PATIENCE) == 0
    assert last.plan is not None
    assert last.plan.status == "cancelled"


def test_a_reader_that_went_away_ends_it_quietly() -> None:
    with child() as process:
        ask(process, request(city_week(200, 12, 3), seconds=60))
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == b""


BAD: list[tuple[bytes, str]] = [
    (b"\n", "request_unreadable"),
    (b"hello\n", "request_unreadable"),
    (b'{"problem": 1}\n', "request_unreadable"),
    (b"\xff\xfe\n", "request_unreadable"),
    (request(problem((), ()), seconds=1).replace(b'"seed"', b'"sead"'), "request_unreadable"),
    (request(problem((), ()), seconds=1, address_space_bytes=1), "request_unreadable"),
    (request(problem((), ())), "stop_limit"),
    (request(problem((), ()), seconds=-5), "stop_limit"),
    (request(problem((shift(),), (visit("v1", place="moon"),)), seconds=1), "place_unknown"),
    (request(problem((), (), places=(Place(id="p", latitude=float("nan"), longitude=0.0),)), seconds=1),
     "place_without_coordinates"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code"), BAD, ids=[f"{code}{n}" for n, (_, code) in enumerate(BAD)])
def test_a_bad_request_is_answered_with_its_error(line: bytes, code: str) -> None:
    (message,), status = answer_to(line)
    assert status == 2
    assert message.error is not None
    assert message.error.code == code
    assert message.error.en
    assert message.error.zh


def test_silence_is_an_error_too() -> None:
    with child() as process:
        assert process.stdin is not None
        process.stdin.close()
        (message,) = heard(process)
        assert process.wait(PATIENCE) == 2
    assert message.error is not None
    assert message.error.code == "request_unreadable"


def test_lines_are_plain_json_objects() -> None:
    """For a reader in any language."""
    with child() as process:
        ask(process, request(problem((shift(),), (visit("v1"),)), solutions=3))
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
    assert set(lines[-1]) == {"plan"}
    assert all(set(line) == {"progress"} for line in lines[:-1])
    assert lines[-1]["plan"]["routes"][0]["stops"][0]["visit"] == "v1"


def test_a_warm_child_has_loaded_the_solver_before_it_is_asked() -> None:
    """And refuses a request that allows less memory than that took."""
    week = problem((shift(),), (visit("v1"),))
    with child("warm") as process:
        maps = Path(f"/proc/{process.pid}/maps")
        deadline = time.monotonic() + PATIENCE
        while "_pywrapcp" not in maps.read_text("utf-8"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        ask(process, request(week, solutions=3))
        assert heard(process)[-1].plan == solve(week, StopWhen(solutions=3), seed=3)
    with child("warm") as process:
        ask(process, request(week, seconds=5, address_space_bytes=limits.MIN_ADDRESS_SPACE_BYTES))
        (message,) = heard(process)
    assert message.error is not None
    assert message.error.code == "out_of_memory"


def test_a_warm_child_nobody_asks_ends_with_its_parent() -> None:
    with child("warm") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 2


def test_plans_of_pieces_are_joined() -> None:
    week = city_week(20, 4, 1)
    pieces = cut(week, {one.id: one.technician for one in week.shifts})
    assert len(pieces) == 4
    plans = tuple(solve(piece, StopWhen(solutions=3), seed=3) for piece in pieces)
    joining = Request(problem=week, stop=Limits(seconds=5), seed=3, pieces=plans)
    *_, last = answer_to(encode(joining))[0]
    assert last.plan == join(week, plans, seed=3)


def test_too_little_memory_is_an_error() -> None:
    (message,), status = answer_to(request(city_week(20, 4, 1), seconds=5, address_space_bytes=140 * 1024 * 1024))
    assert status == 2
    assert message.error is not None
    assert message.error.code == "out_of_memory"


def test_an_alarm_ends_a_process_that_outlives_its_limit() -> None:
    """The alarm is the system's own, so that it works while the solver does not listen."""
    program = (
        "import time, msgspec\n"
        "from routing import limits\n"
        "limits.CHILD_GRACE_SECONDS = 0.2\n"
        "from routing.__main__ import bound\n"
        "from routing.problem import Problem\n"
        "from routing.protocol import Limits, Request\n"
        "bound(Request(problem=Problem(places=(), shifts=(), visits=()), stop=Limits(seconds=0.1)))\n"
        "time.sleep(60)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE, check=False)
    assert ended.returncode == -signal.SIGALRM


def test_a_message_has_only_what_is_set() -> None:
    assert json.loads(encode(Message(progress=None))) == {}
    with pytest.raises(msgspec.DecodeError):
        decode_message(b"[]")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reads, writes = os.pipe()
    yield reads, writes
    for end in (reads, writes):
        with suppress(OSError):
            os.close(end)


def test_a_request_may_come_in_pieces_and_with_the_wish_to_cancel(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    line = request(problem((shift(),), (visit("v1"),)), seconds=1)
    parent = Parent(reads, io.BytesIO())
    sender = threading.Thread(target=send_slowly, args=(writes, [line[:50], line[50:] + b"can", b"cel\n"]))
    sender.start()
    assert parent.request().problem.visits[0].id == "v1"
    sender.join()
    assert parent.cancelled()
    assert parent.cancelled(), "said once, it holds"


def test_a_wish_to_cancel_said_once_is_heard_by_every_search_and_holds_none_up(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    parent, until = Parent(reads, io.BytesIO()), time.monotonic() + 20

    def searching() -> bool:
        while not parent.cancelled():
            if time.monotonic() > until:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        searches = [pool.submit(searching) for _ in range(8)]
        os.write(writes, b"cancel\n")
        assert all(search.result() for search in searches)


def test_a_wish_another_search_heard_a_moment_ago_is_not_forgotten(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, writes = pipe
    asked = list[bool]()

    class TakenFirstByAnother:
        """A lock that another search takes and lets go of before who asks for it gets it."""

        def acquire(self, *, blocking: bool) -> bool:
            if not asked:
                asked.append(blocking)
                assert parent.cancelled()
            return True

        def release(self) -> None:
            """There is nothing to let go of."""

    monkeypatch.setattr("routing.__main__.Lock", TakenFirstByAnother)
    parent = Parent(reads, io.BytesIO())
    os.write(writes, b"cancel\n")
    assert parent.cancelled()
    assert parent.cancelled()


def test_a_parent_that_is_gone_wants_no_plan(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    parent = Parent(reads, io.BytesIO())
    assert not parent.cancelled()
    os.close(writes)
    assert parent.cancelled()


def send_slowly(writes: int, pieces: list[bytes]) -> None:
    for piece in pieces:
        os.write(writes, piece)
        time.sleep(0.05)


def test_a_request_beyond_the_limit_is_refused(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_REQUEST_BYTES", 100)
    reads, writes = pipe
    os.write(writes, b"x" * 101)
    with pytest.raises(ProblemError) as refused:
        Parent(reads, io.BytesIO()).request()
    assert refused.value.code == "request_too_large"


def test_progress_is_told_no_more_often_than_the_limit_says(pipe: tuple[int, int]) -> None:
    written = io.BytesIO()
    parent = Parent(pipe[0], written)
    progress = Progress(elapsed_seconds=0.0, served=1, unplanned=0, late=0, cost=1, share=0.0)
    for _ in range(100):
        parent.progress(progress)
    (line,) = written.getvalue().splitlines()
    assert decode_message(line).progress == progress


def test_an_answer_is_made_from_errors_too(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    os.write(writes, b"nonsense\n")
    message = answer(Parent(reads, io.BytesIO()))
    assert message.error is not None
    assert message.error.code == "request_unreadable"
