"""Travel estimated from coordinates alone: needs no data and no network, and is labelled as an estimate.

``seconds = overhead + scale * 2.0 * metres ** 0.67`` with great-circle metres. Growing slower than the distance
stands for longer trips using faster roads. Measured against road networks, the untrained error is 13 to 21 %, where
distance * 1.3 at 30 km/h errs by 49 to 91 % (docs/decisions/0201).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.limits import MAX_LEG_METRES, MAX_LEG_SECONDS
from routing.problem import EstimatedTravel, Place
from routing.travel.table import TravelTable

EARTH_RADIUS_METRES: Final = 6_371_008.8
"""Mean radius (IUGG 1980, R1)."""
SECONDS_FACTOR: Final = 2.0
SECONDS_EXPONENT: Final = 0.67
SOURCE: Final = "estimate from straight-line distance"


def great_circle_metres(latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the n x n great-circle distances in metres between n points in degrees (haversine formula)."""
    lat = np.radians(latitudes)
    lon = np.radians(longitudes)
    half_lat = np.sin((lat[:, None] - lat[None, :]) / 2.0)
    half_lon = np.sin((lon[:, None] - lon[None, :]) / 2.0)
    chord = half_lat**2 + np.cos(lat)[:, None] * np.cos(lat)[None, :] * half_lon**2
    return 2.0 * EARTH_RADIUS_METRES * np.arcsin(np.sqrt(np.clip(chord, 0.0, 1.0)))


class CoordinateEstimate:
    """Embedded provider: symmetric, the same at every hour."""

    def __init__(self, parameters: EstimatedTravel) -> None:
        self._parameters = parameters

    def table(self, places: Sequence[Place]) -> TravelTable:
        """Return estimated seconds and great-circle metres; 0 s between places at the same spot.

        Seconds are rounded up, so that going by a third place is never estimated shorter than going straight.
        """
        latitudes = np.array([place.latitude for place in places], dtype=np.float64)
        longitudes = np.array([place.longitude for place in places], dtype=np.float64)
        metres = great_circle_metres(latitudes, longitudes)
        rate = self._parameters.scale * SECONDS_FACTOR
        seconds = np.ceil(self._parameters.overhead_seconds + rate * metres**SECONDS_EXPONENT)
        same_spot = metres == 0.0
        seconds[same_spot] = 0.0
        return TravelTable(
            seconds=np.minimum(seconds, MAX_LEG_SECONDS).astype(np.int32),
            metres=np.minimum(np.rint(metres), MAX_LEG_METRES).astype(np.int32),
            source=SOURCE,
            estimated=True,
        )
