"""The planning process: ``python -m routing`` plans one request and ends. The protocol is in `routing.protocol`.

``python -m routing warm`` loads the solver before the request comes instead of after; ``python -m routing desk BYTES``
answers questions about plans until its pipe is closed (`routing.desk`), in BYTES of address space.

It never hangs: its own time limit is followed by an alarm that ends it whatever it is doing, a closed pipe cancels
it, and its memory is bounded. No thread waits for a wish to stop: the search asks for it, often.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from threading import Lock
from typing import Any, BinaryIO, Final

from routing import limits, memory
from routing.kernel.cache import prefer_compiled
from routing.plan import Progress
from routing.problem import ProblemError
from routing.protocol import CANCEL, Message, Request, decode_request, encode, fault
from routing.stop import StopWhen
from routing.validate import validate

CHUNK_BYTES = 1 << 20
WITHOUT: Final[dict[str, Any]] = {"scipy.linalg": None}
"""What numba would load in passing where it is installed: a fifth of the time of loading, for products nobody forms."""


class Parent:
    """The other end of the pipes: `reads` is the file descriptor it writes to, `writes` the stream it reads from."""

    def __init__(self, reads: int, writes: BinaryIO) -> None:
        self._reads = reads
        self._writes = writes
        self._waiting = b""
        self._told = 0.0
        self._cancelled = False
        self._reading = Lock()

    def request(self) -> Request:
        """Return the request; raise `ProblemError` when none comes, or none that can be read."""
        chunks: list[bytes] = []
        size = 0
        while not (chunks and b"\n" in chunks[-1]):
            chunk = os.read(self._reads, CHUNK_BYTES)
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
            if size > limits.MAX_REQUEST_BYTES:
                raise ProblemError("request_too_large", "request", limit=limits.MAX_REQUEST_BYTES)
        line, _, self._waiting = b"".join(chunks).partition(b"\n")
        return decode_request(line)

    def cancelled(self) -> bool:
        """Return whether the parent asked to stop, or is gone. Searches of several areas may ask at once; one looks."""
        if not self._cancelled and self._reading.acquire(blocking=False):
            try:
                self._cancelled = self._cancelled or self._told_to_stop()  # another may have heard it meanwhile
            finally:
                self._reading.release()
        return self._cancelled

    def _told_to_stop(self) -> bool:
        while select.select([self._reads], [], [], 0)[0]:
            chunk = os.read(self._reads, CHUNK_BYTES)
            if not chunk:
                return True
            self._waiting += chunk
        *lines, self._waiting = self._waiting.split(b"\n")
        return any(line.strip() == CANCEL for line in lines)

    def progress(self, progress: Progress) -> None:
        """Send `progress`, unless the last was sent a moment ago."""
        now = time.monotonic()
        if now - self._told >= limits.PROGRESS_SECONDS:
            self._told = now
            self.send(Message(progress=progress))

    def send(self, message: Message) -> None:
        """Send one line."""
        self._writes.write(encode(message))
        self._writes.flush()


def bound(request: Request) -> None:
    """Make the system end this process when it outlives its limits, and refuse it memory beyond them.

    Raises MemoryError when what is loaded already, in a warm process, takes more than the request allows.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    seconds = request.stop.seconds or limits.MAX_SOLVE_SECONDS
    signal.setitimer(signal.ITIMER_REAL, seconds + limits.CHILD_GRACE_SECONDS)
    memory.bound(address_space(request))


def address_space(request: Request) -> int:
    """Return the bytes of address space the request allows this process."""
    return request.stop.address_space_bytes or limits.CHILD_ADDRESS_SPACE_BYTES


def answer(parent: Parent) -> Message:
    """Return the answer to the parent's request."""
    try:
        request = parent.request()
        validate(request.problem)
    except ProblemError as error:
        return Message(error=fault(error))
    try:
        stop = StopWhen(seconds=request.stop.seconds, solutions=request.stop.solutions, cancelled=parent.cancelled)
        bound(request)
        load()  # a bad request was answered before this second of loading, and the search's own seconds begin after it
        from routing.pieces import join  # noqa: PLC0415
        from routing.solve import solve  # noqa: PLC0415

        if request.pieces:
            return Message(plan=join(request.problem, request.pieces, request.seed))
        return Message(plan=solve(request.problem, stop, request.seed, parent.progress))
    except ProblemError as error:
        return Message(error=fault(error))
    except (MemoryError, ImportError, OSError) as error:
        if not memory.was_lacking(error):
            raise
        refused = ProblemError("out_of_memory", "process", limit=memory.allowed(address_space(request)))
        return Message(error=fault(refused))


def attend(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer questions until no more come; a question that takes too long ends the process."""
    # Only a desk needs all that is asked at one.
    from routing.desk import Sheets, respond  # noqa: PLC0415

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sheets = Sheets()
    for line in requests:
        signal.setitimer(signal.ITIMER_REAL, limits.DESK_SECONDS)
        answers.write(encode(respond(sheets, line)))
        answers.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)


@cache
def load() -> None:
    """Load everything a plan needs, compiled code too, so that the next request starts at once."""
    prefer_compiled()
    from routing.rehearsal import rehearse  # noqa: PLC0415

    rehearse()


def plan() -> int:
    """Plan one request; return 0 with a plan, 2 with an error."""
    parent = Parent(sys.stdin.fileno(), sys.stdout.buffer)
    try:
        message = answer(parent)
        parent.send(message)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0 if message.error is None else 2


def desk(address_space_bytes: int) -> int:
    """Answer questions until the pipe is closed; return 0. Raises MemoryError where the search itself has no room."""
    load()
    memory.bound(address_space_bytes)
    with suppress(BrokenPipeError):
        attend(sys.stdin.buffer, sys.stdout.buffer)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say."""
    sys.modules.update(WITHOUT)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # tables are small: threads would only cost address space
    if arguments:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard stops the server; its children end with its pipes
    match arguments:
        case ["desk", size]:
            return desk(int(size))
        case ["warm"]:
            load()
            return plan()
        case _:
            return plan()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
