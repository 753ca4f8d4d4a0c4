"""Which files a phone fetches before it loses its signal, and which of those it holds may go. Pure."""

from collections.abc import Mapping, Sequence

import msgspec


class Listed(msgspec.Struct, frozen=True):
    """A file the server names: the most needed come first."""

    sha256: str
    size: int
    media_type: str


class Listing(msgspec.Struct, frozen=True):
    """What the server answers to a prefetch."""

    files: list[Listed]


class AheadPlan(msgspec.Struct, frozen=True):
    """What to delete first, then what to fetch, in this order."""

    evict: list[str]
    fetch: list[Listed]


def plan_ahead(listed: Sequence[Listed], held: Mapping[str, int], room: int) -> AheadPlan:
    """Return what to evict and to fetch so that never more than `room` bytes are held.

    `held` are the bytes on the disk by sha256, unfinished downloads too. What is not listed left the scope, or has to
    give way.
    """
    chosen: dict[str, Listed] = {}
    left = room
    for file in listed:
        if file.sha256 not in chosen and file.size <= left:
            chosen[file.sha256] = file
            left -= file.size
    evict = sorted(name for name in held if name not in chosen)
    return AheadPlan(evict, [file for file in chosen.values() if held.get(file.sha256, -1) != file.size])
