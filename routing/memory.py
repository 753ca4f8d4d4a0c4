"""How much memory a process of ours may use: the system refuses it more, and how that shows is known here."""

import resource
from typing import Final

UNMAPPED: Final = ("failed to map segment", "libllvmlite")
"""What the system's loader, and numba's compiler, say when a library finds no room in the address space."""


def allowed(wanted: int) -> int:
    """Return `wanted` bytes of address space, or as many as the system allows this process at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def bound(wanted: int) -> None:
    """Refuse this process more than that from now on; raise MemoryError where it uses more already."""
    if used() > allowed(wanted):
        raise MemoryError
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (allowed(wanted), hard))


def most() -> int:
    """Return the bytes of address space this process may use."""
    return resource.getrlimit(resource.RLIMIT_AS)[0]


def used() -> int:
    """Return the bytes of address space this process uses now."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - at once, without loading more
        return int(statm.read().split()[0]) * resource.getpagesize()


def was_lacking(error: Exception) -> bool:
    """Return whether an error came of too little memory: one that names a library it could not load may, too."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in UNMAPPED)
