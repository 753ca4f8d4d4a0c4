"""Provider of a travel table that came with the problem."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from routing.problem import GivenTravel, Place
from routing.travel.table import Legs, TravelTable


class GivenTable:
    """Answers with the table in the problem."""

    def __init__(self, given: GivenTravel) -> None:
        self._given = given

    def table(self, places: Sequence[Place]) -> TravelTable:
        """Return the given table; `places` must be the ones it was made for."""
        return self.between(places).table()

    def between(self, places: Sequence[Place]) -> "GivenBetween":
        """Return travel between the places the table was made for."""
        return GivenBetween(self._given, len(places))


class GivenBetween:
    """The given table, whole or in part."""

    def __init__(self, given: GivenTravel, size: int) -> None:
        self.source = given.source
        self.estimated = given.estimated
        self._seconds = _square(given.seconds, size)
        self._metres = _square(given.metres, size)

    def table(self, among: NDArray[np.intp] | None = None) -> TravelTable:
        """Return the table over the places at the indices `among`, over all without it."""
        if among is None:
            return TravelTable(self._seconds, self._metres, self.source, self.estimated)
        part = np.ix_(among, among)
        return TravelTable(self._seconds[part], self._metres[part], self.source, self.estimated)

    def legs(self, origins: NDArray[np.intp], destinations: NDArray[np.intp]) -> Legs:
        """Return the legs from ``origins[i]`` to ``destinations[i]``."""
        return Legs(self._seconds[origins, destinations], self._metres[origins, destinations])


def _square(rows: tuple[tuple[int, ...], ...], size: int) -> NDArray[np.int32]:
    return np.array(rows, dtype=np.int32).reshape(size, size)
