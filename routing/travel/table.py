"""The interface of travel providers, and what they answer with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from routing.problem import Place


@dataclass(frozen=True, slots=True)
class TravelTable:
    """Travel between places, square, row = from, column = to, zero on the diagonal.

    `source` says where the figures come from and is shown with every plan made from them; `estimated` marks
    figures that no road network stands behind.
    """

    seconds: NDArray[np.int32]
    metres: NDArray[np.int32]
    source: str
    estimated: bool


@dataclass(frozen=True, slots=True)
class Legs:
    """Travel of single legs, one entry for each asked pair, the very figures the table over the places would hold."""

    seconds: NDArray[np.int32]
    metres: NDArray[np.int32]


class TravelBetween(Protocol):
    """Travel between the places of one problem, asked for in tables or leg by leg; both say the same."""

    source: str
    estimated: bool

    def table(self, among: NDArray[np.intp] | None = None) -> TravelTable:
        """Return the table over the places at the indices `among`, in that order; over all places without it."""
        ...

    def legs(self, origins: NDArray[np.intp], destinations: NDArray[np.intp]) -> Legs:
        """Return the legs from ``origins[i]`` to ``destinations[i]``, indices of places; memory grows with the legs."""
        ...


class TravelTimes(Protocol):
    """Something that knows travel times between places."""

    def table(self, places: Sequence[Place]) -> TravelTable:
        """Return the table over `places`, in their order."""
        ...

    def between(self, places: Sequence[Place]) -> TravelBetween:
        """Return travel between `places`, to be asked for piece by piece."""
        ...
