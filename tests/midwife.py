"""Stands for a planning process that the nursery (tests/nursery.py) forks, and starts in some milliseconds.

It hands its pipes over, ends as the planner ends, and takes the planner with it when it is ended itself.
"""

import json
import os
import signal
import socket
import sys

STANDARD = (0, 1, 2)


def main(address: str, arguments: list[str]) -> None:
    """Have a planner forked and end as it ends."""
    if arguments:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the planning process itself
    nursery = socket.socket(socket.AF_UNIX)
    nursery.connect(address)
    socket.send_fds(nursery, [json.dumps(arguments).encode()], STANDARD)
    for pipe in STANDARD:
        os.close(pipe)
    status = int(nursery.recv(16) or b"1")
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
