"""A server that a test started does not outlive the test, however that ends."""

import os
import subprocess
import sys
import time

from bench.server import KEPT

PATIENCE = 10
SLEEPER = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
KILLED = f"""
import os, subprocess
kept = subprocess.Popen({[*KEPT, *SLEEPER]!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(kept.stdout.readline().decode(), flush=True)
os._exit(1)  # as a timeout of pytest ends
"""


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_is_kept_ends_with_whoever_started_it_even_if_that_is_killed() -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, check=False, timeout=PATIENCE)
    pid, until = int(killed.stdout), time.monotonic() + PATIENCE
    while lives(pid):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_who_keeps_a_command_tells_how_it_ended() -> None:
    kept = [*KEPT, sys.executable, "-c", "raise SystemExit(3)"]
    with subprocess.Popen(kept, stdin=subprocess.PIPE) as process:
        assert process.wait(PATIENCE) == 3
