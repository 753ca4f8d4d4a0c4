"""How a road network is asked in a process of its own: one request on its standard input, one answer, in MessagePack.

Shortest paths keep a core busy for seconds; a server that asks this way goes on answering meanwhile.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from routing.limits import CHILD_ADDRESS_SPACE_BYTES
from routing.travel.roads import SNAP_METRES, RoadLegs

MODULE: Final = "routing.travel"
"""``python -m routing.travel`` answers one request."""


class RoadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Places in degrees, and which of them (indices) to go from and to; `paired`: from each origin to its own one.

    `address_space_bytes`: how much the process may use, what is reserved and untouched included.
    """

    file: str
    latitudes: list[float]
    longitudes: list[float]
    origins: list[int]
    destinations: list[int]
    paired: bool = False
    limit_metres: float = SNAP_METRES
    address_space_bytes: int = CHILD_ADDRESS_SPACE_BYTES


class RoadRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer: a `RoadFileError`."""

    code: str
    zh: str
    en: str


class RoadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and metres as bytes of 32-bit integers, row by row, -1 where no road leads."""

    refusal: RoadRefusal | None = None
    name: str = ""
    version: str = ""
    seconds: bytes = b""
    metres: bytes = b""

    def legs(self, shape: tuple[int, ...]) -> RoadLegs:
        """Return the figures as arrays of this shape."""
        return RoadLegs(_numbers(self.seconds, shape), _numbers(self.metres, shape))


def _numbers(packed: bytes, shape: tuple[int, ...]) -> NDArray[np.int32]:
    return np.frombuffer(packed, dtype="<i4").reshape(shape).astype(np.int32)


def packed(legs: RoadLegs) -> tuple[bytes, bytes]:
    """Return seconds and metres as they travel."""
    return legs.seconds.astype("<i4").tobytes(), legs.metres.astype("<i4").tobytes()
