"""`python -m routing.compile`: compile the search once, so that later processes only load it.

``python -m routing.compile background`` does the same beside a server: it lets everybody else go first, says nothing,
and ends when its standard input is closed.
"""

import os
import sys
import threading
from collections.abc import Sequence
from typing import Final

from routing.kernel.cache import INTERPRET, stamp

ONCE: Final = "正在编译排程搜索, 只需一次, 约半分钟 / compiling the planner's search, once, half a minute or so ...\n"
YIELDING: Final = 10
"""How far compiling in the background steps back behind other processes, of 19."""


def main(arguments: Sequence[str] = ()) -> None:
    """Plan a tiny day, which compiles all there is, and leave the stamp; at once where that was done before."""
    os.environ.pop(INTERPRET, None)
    if stamp().exists():
        return
    if list(arguments) == ["background"]:
        os.nice(YIELDING)
        threading.Thread(target=_end_with_parent, daemon=True).start()
    else:
        sys.stdout.write(ONCE)
        sys.stdout.flush()
    from routing.rehearsal import rehearse  # noqa: PLC0415 - loads numba, with what was set above

    rehearse()
    stamp().touch()


def _end_with_parent() -> None:
    """Wait until nobody holds the other end of the pipe, and end; what numba has stored by then stays good."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
