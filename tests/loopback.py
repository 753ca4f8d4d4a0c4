"""No network but the loopback: a test that reaches further fails, even when the code under test swallows the error.

Python itself reports each connection, each name looked up and each address bound (PEP 578). What other processes and C
libraries with an event loop of their own do is outside its sight.
"""

import ipaddress
import sys
from typing import Final

LOOKUPS: Final = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
REACHES: Final = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
WATCHED: Final = frozenset((*LOOKUPS, *REACHES))
NAMES: Final = ("localhost", "")

reached: list[str] = []
"""Where code tried to go since the list was last emptied."""


class NetworkForbidden(RuntimeError):
    """Code under test tried to leave this machine."""


def is_loopback(host: object) -> bool:
    """Whether a host as given to a socket stays on this machine. A missing host means the local one."""
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else str(host)
    if name in NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _destination(event: str, arguments: tuple[object, ...]) -> object:
    """The host an audited call is about, or None when it is no Internet address."""
    if event in LOOKUPS:
        return arguments[0]
    address = arguments[1]
    return address[0] if isinstance(address, tuple) else None


def _look(event: str, arguments: tuple[object, ...], watched: frozenset[str] = WATCHED) -> None:
    if event not in watched:  # most are: Python reports every import, and the end, when this module has no names left
        return
    host = _destination(event, arguments)
    if is_loopback(host):
        return
    reached.append(f"{event} {host}")
    raise NetworkForbidden(f"{event}: tests stay on the loopback, this went to {host!r}")


def guard() -> None:
    """Watch this process from now on. There is no way back, as PEP 578 wants it."""
    sys.addaudithook(_look)
