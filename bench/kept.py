"""Run a command for as long as whoever asked for it is there: once standard input ends, the command is interrupted.

A process that is killed, as pytest is by its own timeout, ends nothing it started; that its pipe ends still tells.

    python bench/kept.py <command> [argument ...]
"""

import os
import select
import signal
import subprocess
import sys
from typing import Final

LOOK_SECONDS: Final = 0.1
"""How soon the end of the command is noticed."""
LEAVE_SECONDS: Final = 30
"""How long the command may take to end once it is interrupted, before it is killed."""
STANDARD_INPUT: Final = 0


def keep(command: list[str]) -> int:
    """Run the command until it or standard input ends; return its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as kept:
        while kept.poll() is None:
            if select.select([STANDARD_INPUT], [], [], LOOK_SECONDS)[0] and not os.read(STANDARD_INPUT, 1):
                return _end(kept)
        return kept.returncode


def _end(kept: subprocess.Popen[bytes]) -> int:
    kept.send_signal(signal.SIGINT)
    try:
        return kept.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        kept.kill()
        return kept.wait()


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
