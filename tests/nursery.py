"""Planning processes for tests that promise nothing about processes: forked from one that has loaded the solver.

Loading costs a planner a second of computing, and these tests start a hundred. What runs is the product's own process,
`routing.__main__`, told the same on the same pipes, ended by the same signals; only how it comes into being differs.
Tests of that (test_plan_desk, test_plan_failures, test_compiling, routing/test_child) start it as the product does.

    python -m tests.nursery <socket>    # has loaded the solver, and forks a planner for whoever connects
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from routing import __main__ as routing_process

STANDARD = (0, 1, 2)
WAITING = 64
"""Planners that may ask to be born at once."""
ROOT = Path(__file__).parents[1]
MIDWIFE = Path(__file__).with_name("midwife.py")


@contextmanager
def nursery() -> Generator[tuple[str, ...]]:
    """Keep one process that has loaded the solver; what to run instead of `python -m routing` to have it fork one."""
    with tempfile.TemporaryDirectory(prefix="nursery-") as folder:
        address = f"{folder}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(WAITING)  # who connects before it has loaded waits for it
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(listener.fileno())],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[listener.fileno()], cwd=ROOT,
            )  # fmt: skip
        with process:
            yield sys.executable, "-I", "-S", str(MIDWIFE), address
            process.kill()


def serve(listener: socket.socket) -> None:
    """Fork a planner for everybody who connects, until the tests are over."""
    sys.modules.update(routing_process.WITHOUT)
    routing_process.load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a keeper ended
    while listener in select.select([listener, STANDARD[0]], [], [])[0]:
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            os._exit(keep(caller))
        caller.close()


def keep(caller: socket.socket) -> int:
    """Fork the planner, tell the caller how it ended, and end it when the caller is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments, pipes, _, _ = socket.recv_fds(caller, 4096, len(STANDARD))
    planner = os.fork()
    if planner == 0:
        caller.close()
        os._exit(plan(json.loads(arguments), pipes))
    for pipe in pipes:
        os.close(pipe)
    ended = os.pidfd_open(planner)
    if ended not in select.select([caller, ended], [], [])[0]:
        os.kill(planner, signal.SIGKILL)
        return 0
    _, status = os.waitpid(planner, 0)
    caller.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    return 0


def plan(arguments: list[str], pipes: list[int]) -> int:
    """Be the planning process, with the caller's pipes."""
    for pipe, standard in zip(pipes, STANDARD, strict=True):
        os.dup2(pipe, standard)
        os.close(pipe)
    status = routing_process.main(arguments)
    sys.stdout.flush()
    return status


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
