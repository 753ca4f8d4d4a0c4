"""The interface of travel providers, and the table they answer with."""

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


class TravelTimes(Protocol):
    """Something that knows travel times between places."""

    def table(self, places: Sequence[Place]) -> TravelTable:
        """Return the table over `places`, in their order."""
        ...
