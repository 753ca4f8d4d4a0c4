"""Travel estimated from coordinates alone: needs no data and no network, and is labelled as an estimate.

``seconds = overhead + scale * zone factor * 2.0 * metres ** 0.67`` with great-circle metres. Growing slower than the
distance stands for longer trips using faster roads. Measured against road networks, the untrained error is 13 to
21 %, where distance * 1.3 at 30 km/h errs by 49 to 91 % (docs/decisions/0201); scale, overhead and factors are learnt
from finished trips (docs/decisions/0207).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.limits import MAX_LEG_METRES, MAX_LEG_SECONDS
from routing.problem import EstimatedTravel, Place
from routing.travel.table import Legs, TravelTable

EARTH_RADIUS_METRES: Final = 6_371_008.8
"""Mean radius (IUGG 1980, R1)."""
SECONDS_FACTOR: Final = 2.0
SECONDS_EXPONENT: Final = 0.67
SOURCE: Final = "estimate from straight-line distance"
LEGS_AT_ONCE: Final = 250_000
"""Legs computed together: what is held between is a few times 2 MB, whatever is asked."""


def unit_vectors(latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points in degrees as an n x 3 array of points on a ball of radius 1."""
    lat, lon = np.radians(latitudes), np.radians(longitudes)
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def great_circle_metres(origins: NDArray[np.float64], destinations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return great-circle metres between points given as unit vectors in the last axis; the other axes broadcast.

    The haversine formula with its chord taken from the vectors, so that no sine is computed for each pair.
    """
    chord = np.square(origins[..., 0] - destinations[..., 0])
    chord += np.square(origins[..., 1] - destinations[..., 1])
    chord += np.square(origins[..., 2] - destinations[..., 2])
    return 2.0 * EARTH_RADIUS_METRES * np.arcsin(np.minimum(np.sqrt(chord) / 2.0, 1.0))


def base_seconds(metres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the estimate before overhead, scale and factors: ``2.0 * metres ** 0.67``."""
    return SECONDS_FACTOR * np.power(metres, SECONDS_EXPONENT)


class CoordinateEstimate:
    """Embedded provider: needs coordinates only. Symmetric unless zone factors are not; the hours are `Problem.pace`'s.

    Without zone factors going by a third place is never estimated shorter than going straight.
    """

    def __init__(self, parameters: EstimatedTravel) -> None:
        self._parameters = parameters

    def table(self, places: Sequence[Place]) -> TravelTable:
        """Return estimated seconds, rounded up, and great-circle metres; 0 s between places at the same spot."""
        return self.between(places).table()

    def between(self, places: Sequence[Place]) -> "EstimateBetween":
        """Return the estimate between these places."""
        return EstimateBetween(self._parameters, places)


class EstimateBetween:
    """The estimate between the places of one problem. It holds a few numbers for each place and nothing for pairs."""

    def __init__(self, parameters: EstimatedTravel, places: Sequence[Place]) -> None:
        self.source = SOURCE
        self.estimated = True
        self._parameters = parameters
        self._vectors = unit_vectors(
            np.array([place.latitude for place in places], dtype=np.float64),
            np.array([place.longitude for place in places], dtype=np.float64),
        )
        self._zones, self._factors = _zone_factors(parameters, places)

    def table(self, among: NDArray[np.intp] | None = None) -> TravelTable:
        """Return the table over the places at the indices `among`, over all without it."""
        chosen = np.arange(len(self._vectors), dtype=np.intp) if among is None else np.asarray(among, dtype=np.intp)
        size = len(chosen)
        seconds = np.empty((size, size), dtype=np.int32)
        metres = np.empty((size, size), dtype=np.int32)
        rows = max(1, LEGS_AT_ONCE // max(1, size))
        for first in range(0, size, rows):
            block = slice(first, first + rows)
            seconds[block], metres[block] = self._computed(chosen[block, None], chosen[None, :])
        return TravelTable(seconds, metres, self.source, self.estimated)

    def legs(self, origins: NDArray[np.intp], destinations: NDArray[np.intp]) -> Legs:
        """Return the legs from ``origins[i]`` to ``destinations[i]``, to the second what `table` says."""
        starts, goals = np.asarray(origins, dtype=np.intp), np.asarray(destinations, dtype=np.intp)
        seconds = np.empty(len(starts), dtype=np.int32)
        metres = np.empty(len(starts), dtype=np.int32)
        for first in range(0, len(starts), LEGS_AT_ONCE):
            block = slice(first, first + LEGS_AT_ONCE)
            seconds[block], metres[block] = self._computed(starts[block], goals[block])
        return Legs(seconds, metres)

    def _computed(
        self, origins: NDArray[np.intp], destinations: NDArray[np.intp]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        metres = great_circle_metres(self._vectors[origins], self._vectors[destinations])
        seconds = base_seconds(metres)
        seconds *= self._parameters.scale
        if self._factors is not None:
            seconds *= self._factors[self._zones[origins], self._zones[destinations]]
        seconds += self._parameters.overhead_seconds
        np.ceil(seconds, out=seconds)
        seconds[metres == 0.0] = 0.0
        whole = np.minimum(seconds, MAX_LEG_SECONDS).astype(np.int32)
        return whole, np.minimum(np.rint(metres), MAX_LEG_METRES).astype(np.int32)


def _zone_factors(
    parameters: EstimatedTravel, places: Sequence[Place]
) -> tuple[NDArray[np.intp], NDArray[np.float64] | None]:
    """Return each place's zone as a number (0: no known one) and the factors by number; None where there are none."""
    names = {name for zone in parameters.zones for name in (zone.origin, zone.destination)}
    numbers = {name: number for number, name in enumerate(sorted(names), start=1)}
    zones = np.array([numbers.get(place.zone or "", 0) for place in places], dtype=np.intp)
    if not numbers:
        return zones, None
    factors = np.ones((len(numbers) + 1, len(numbers) + 1))
    for zone in parameters.zones:
        factors[numbers[zone.origin], numbers[zone.destination]] = zone.factor
    return zones, factors
