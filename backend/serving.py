"""Running the server: a port of its own, a start that is announced, and a stop that is clean."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final

import uvicorn
from litestar import Litestar

PORTS_TRIED: Final = 20
"""How many ports after the wanted one are tried before giving up."""
SHUTDOWN_SECONDS: Final = 5
"""How long open requests may take to finish after Ctrl-C."""


class NoFreePortError(Exception):
    """No port near the wanted one is free."""


def open_port(host: str, wanted: int, on_busy: Callable[[int], None]) -> socket.socket:
    """Return a listening socket on the wanted port or the next free one; tells `on_busy` each port that was taken."""
    for port in range(wanted, wanted + PORTS_TRIED):
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(socket.SOMAXCONN)
        except OSError as error:
            listening.close()
            if error.errno != errno.EADDRINUSE:
                raise
            on_busy(port)
        else:
            listening.setblocking(False)
            return listening
    msg = f"{wanted}-{wanted + PORTS_TRIED - 1}: all taken / 端口全部被占用"
    raise NoFreePortError(msg)


class AnnouncingServer(uvicorn.Server):
    """A server that says when it is up."""

    def __init__(self, config: uvicorn.Config, on_up: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_up = on_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce."""
        await super().startup(sockets)
        if self.started:
            self._on_up()


def serve(app: Litestar, listening: socket.socket, *, on_up: Callable[[], None], log_level: str) -> bool:
    """Serve until SIGINT or SIGTERM; return whether the start succeeded.

    Open requests get SHUTDOWN_SECONDS to finish.
    """
    config = uvicorn.Config(
        app, log_level=log_level, access_log=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS, server_header=False,
        ws="none", lifespan="on",
    )  # fmt: skip
    server = AnnouncingServer(config, on_up)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        return True
    return server.started


def until_stopped(work: Coroutine[Any, Any, None]) -> int:
    """Run until the work ends, or SIGINT or SIGTERM cancels it; return the exit code: 0 for a wanted stop."""

    async def run() -> None:
        working = asyncio.create_task(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        await working

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        return 0
    return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The server hands a signal back once it has stopped; a wanted stop is then a success, not a crash."""
    raise KeyboardInterrupt
